"""Embedded reports: in memory, and as the files that `echoclip-r embed --reports` keeps.

    OUT/run.json        the model's fingerprint
    OUT/rows.parquet    a row for each report: name, text, embedding, and the columns beside it
    OUT/part-*.parquet  while a run works: what is embedded already, without the texts

What normalizes alike is embedded once. A grown table is embedded into the same folder: only what
is new there is computed. These files hold the reports: keep them as safe as those.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.data.report_table import ReportTable, report_table
from echoclip_r.embedding.embeddings import (
    FORMAT,
    REPORTS,
    claim_embeddings,
    read_kept,
    read_run,
    write_vectors,
    writing_embeddings,
)
from echoclip_r.errors import EchoclipError, ShardError
from echoclip_r.jobs.progress import Progress
from echoclip_r.metrics.finite import check_embeddings
from echoclip_r.places import place
from echoclip_r.storage import whole_file
from echoclip_r.text.equality import normalize_report
from echoclip_r.text.losses import tell_losses

if TYPE_CHECKING:
    from echoclip_r.model.trained import TrainedModel

__all__ = [
    "EmbeddedReports",
    "embed_reports",
    "load_reports",
    "select_reports",
    "text_key",
    "with_embeddings",
    "write_report_table",
]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]

_BATCH = 256
_PART = 8192
_ROWS = "rows.parquet"
_BESIDE = "column:"  # so that no column of a table takes the place of one of ours


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EmbeddedReports:
    """Reports with the embeddings of their texts.

    Attributes:
        table: the reports (N).
        text_of: for each report its text among the different ones, int64 (N,); reports that
            normalize to the same text share it, and texts are numbered as they first occur.
        texts: unit embeddings of the different texts, float32 (num_texts, D).
        keys: `text_key` of each of them, an array of objects (num_texts,).
    """

    table: ReportTable
    text_of: NDArray[np.int64]
    texts: Floats
    keys: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.table)


def embed_reports(
    model: TrainedModel,
    reports: ReportTable | Sequence[tuple[str, str]],
    *,
    out: Path | str | None = None,
    overwrite: bool = False,
    told: Callable[[int], None] = lambda _number: None,
) -> EmbeddedReports:
    """Embed reports, each different text once.

    Args:
        model: model from `echoclip_r.model.checkpoint.load_checkpoint`.
        reports: table from `echoclip_r.data.report_table.read_report_table`, or name and text of
            each report.
        out: folder to keep the embeddings in. What lies there is not computed again, so that a
            stopped run continues and a grown table costs only what is new; reports that are no
            longer in the table are removed from the folder, which is said.
        overwrite: replace embeddings of another model, or of other reports, in `out`.
        told: called with the number of texts that are left, again and again.

    Raises:
        EchoclipError: there is no report.
        ShardError: `out` holds something else or is in use.
        EvaluationError: an embedding holds NaN or infinity.
    """
    table = reports if isinstance(reports, ReportTable) else report_table(reports)[0]
    if not len(table):
        raise EchoclipError(
            "there is no report to embed or search; is it the right file and column?"
        )
    if out is None:
        keys = [text_key(text) for text in table.reports]
        return _numbered(table, keys, dict(_embed(model, _first(table, keys), told)))
    folder = place(out)
    run = {
        "format": FORMAT,
        "kind": REPORTS,
        "model": model.name,
        "fingerprint": model.fingerprint,
        "dimensions": model.embed_dim,
    }
    if not overwrite and (kept := _kept(table, folder, run)) is not None:
        return kept  # nothing is written, so several searches may read it at a time
    with claim_embeddings(folder, run, overwrite=overwrite):
        return _embed_into(model, table, folder, told, overwrite=overwrite)


def load_reports(folder: Path | str) -> tuple[EmbeddedReports, dict[str, Any]]:
    """Read back what `embed_reports` kept, without the model.

    Returns:
        The reports, and the record of the run: `model`, `fingerprint`, `dimensions`.

    Raises:
        ShardError: the folder holds no embedded reports, or they are not finished or damaged.
        EvaluationError: an embedding holds NaN or infinity.
    """
    folder = place(folder)
    run = read_run(folder, REPORTS)
    command = f"`echoclip-r embed CHECKPOINT --reports FILE --out {folder}`"
    if run is None:
        raise ShardError(f"{folder}: no embeddings of reports there; make them with {command}")
    rows = _read(folder / _ROWS)
    if rows is None:
        raise ShardError(
            f"{folder}: the reports are not embedded to the end yet, or the file is damaged; run "
            f"{command} again to finish them"
        )
    beside = [name for name in rows.columns if name.startswith(_BESIDE)]
    table = ReportTable(
        names=tuple(rows["name"]),
        reports=tuple(rows["report"]),
        columns=rows[beside].rename(columns=lambda name: name.removeprefix(_BESIDE)),
    )
    keys = rows["key"].tolist()
    return _numbered(table, keys, dict(zip(keys, rows["vector"], strict=True))), run


def with_embeddings(table: ReportTable, embeddings: Floats) -> EmbeddedReports:
    """Reports with embeddings (N, D) that are there already; of equal texts the first counts.

    Raises:
        EvaluationError: an embedding holds NaN or infinity.
    """
    check_embeddings(embeddings, "reports")
    keys = [text_key(text) for text in table.reports]
    rows = np.ascontiguousarray(embeddings, "<f4")
    # Backwards, so that the first stays.
    vectors = {key: row.tobytes() for key, row in zip(keys[::-1], rows[::-1], strict=True)}
    return _numbered(table, keys, vectors)


def select_reports(reports: EmbeddedReports, mask: NDArray[np.bool_]) -> EmbeddedReports:
    """Some of the reports: those where `mask`, bool (N,), is true."""
    kept, first, number_of = np.unique(
        reports.text_of[mask], return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    return EmbeddedReports(
        table=reports.table.take(mask),
        text_of=np.argsort(order)[number_of],
        texts=reports.texts[kept[order]],
        keys=reports.keys[kept[order]],
    )


def text_key(text: str) -> bytes:
    """What names a report's text: the same for all reports that normalize alike."""
    return hashlib.sha256(normalize_report(text).encode("utf-8", "surrogatepass")).digest()


def write_report_table(reports: EmbeddedReports, folder: Path, *, form: str) -> tuple[Path, ...]:
    """Write the reports' embeddings with their names, but without texts, for other tools.

    Args:
        reports: the embedded reports.
        folder: folder to write to.
        form: `parquet` or `npy`, as in `echoclip_r.embedding.embeddings.write_vectors`.

    Returns:
        The files.
    """
    ids = pd.DataFrame({"name": reports.table.names})
    return write_vectors(ids, reports.texts[reports.text_of], folder / "reports", form=form)


def _kept(table: ReportTable, folder: Path, run: Mapping[str, Any]) -> EmbeddedReports | None:
    """The table with the embeddings of a folder that is finished and holds just this table."""
    if not (folder / _ROWS).is_file() or any(folder.glob("part-*.parquet")):
        return None
    before = _read(folder / _ROWS) if read_run(folder, REPORTS) == run else None
    if before is None:
        return None
    keys = before["key"].tolist()
    vectors = dict(zip(keys, before["vector"], strict=True))
    is_same = len(keys) == len(table) and _same(before, _columns(table, keys, vectors))
    return _numbered(table, keys, vectors) if is_same else None


def _embed_into(
    model: TrainedModel,
    table: ReportTable,
    folder: Path,
    told: Callable[[int], None],
    *,
    overwrite: bool,
) -> EmbeddedReports:
    before = _read(folder / _ROWS)
    known: dict[bytes, bytes] = {}
    key_of: dict[str, bytes] = {}
    if before is not None:
        known = dict(zip(before["key"], before["vector"], strict=True))
        # Normalizing costs much more than to find a text again.
        key_of = dict(zip(before["report"], before["key"], strict=True))
    keys = [key_of.get(text) or text_key(text) for text in table.reports]
    wanted = _first(table, keys)
    gone = len(known.keys() - wanted.keys())
    if gone and gone == len(known) and not overwrite:
        raise ShardError(
            f"{folder}: it holds embeddings of other reports, of which none is in this table; "
            "choose another folder, or pass overwrite=True (--overwrite) to replace them"
        )
    if gone:
        _log.warning(
            "%s: %s texts are no longer in the table; they are removed there", folder, f"{gone:,}"
        )
    parts = sorted(folder.glob("part-*.parquet"))
    for path in parts:
        part = _read(path)
        if part is not None:
            known |= dict(zip(part["key"], part["vector"], strict=True))
    new = {key: text for key, text in wanted.items() if key not in known}
    _log.info("%s of %s texts are embedded already", len(wanted) - len(new), len(wanted))
    number = 1 + max((int(path.stem.removeprefix("part-")) for path in parts), default=-1)
    made: dict[bytes, bytes] = {}
    for key, vector in _embed(model, new, told):
        made[key] = known[key] = vector
        if len(made) == _PART:
            _write(
                folder / f"part-{number:06d}.parquet", {"key": [*made], "vector": [*made.values()]}
            )
            made, number = {}, number + 1
    embedded = _numbered(table, keys, known)
    columns = _columns(table, keys, known)
    if before is None or new or gone or not _same(before, columns):
        _write(folder / _ROWS, columns)
        for path in folder.glob("reports.*"):  # what other tools were given is of the old table
            path.unlink()
    for path in folder.glob("part-*.parquet"):
        path.unlink()
    return embedded


def _embed(
    model: TrainedModel, texts: Mapping[bytes, str], told: Callable[[int], None]
) -> Iterator[tuple[bytes, bytes]]:
    """The embedding of each text, as bytes by its key."""
    # Texts of about one length together: a batch is as wide as its longest.
    order = sorted(texts, key=lambda key: len(texts[key]))
    num_cut = 0
    tell_losses(model.text, texts.values())
    with Progress(len(order), unit="reports", what="embed") as bar:
        for start in range(0, len(order), _BATCH):
            keys = order[start : start + _BATCH]
            found = model.embed_texts([texts[key] for key in keys])
            check_embeddings(found, "reports")
            num_cut += sum(model.text.is_cut(texts[key]) for key in keys)
            bar.advance(len(keys))
            told(len(order) - start - len(keys))
            yield from zip(keys, (row.tobytes() for row in found), strict=True)
    if num_cut:
        _log.warning(
            "%s of %s texts are longer than the %s tokens that the model reads; of these only the "
            "beginning was embedded",
            f"{num_cut:,}",
            f"{len(order):,}",
            model.context_length,
        )


def _first(table: ReportTable, keys: Sequence[bytes]) -> dict[bytes, str]:
    """Each key with the first text that has it."""
    found: dict[bytes, str] = {}
    for key, text in zip(keys, table.reports, strict=True):
        found.setdefault(key, text)
    return found


def _columns(
    table: ReportTable, keys: Sequence[bytes], vectors: Mapping[bytes, bytes]
) -> dict[str, Any]:
    """The columns of the file of reports."""
    columns: dict[str, Any] = {
        "name": table.names,
        "report": table.reports,
        "key": keys,
        "vector": [vectors[key] for key in keys],
    }
    return columns | {f"{_BESIDE}{name}": table.columns[name] for name in table.columns}


def _numbered(
    table: ReportTable, keys: Sequence[bytes], vectors: Mapping[bytes, bytes]
) -> EmbeddedReports:
    numbers: dict[bytes, int] = {}
    text_of = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    texts = np.frombuffer(b"".join(vectors[key] for key in numbers), "<f4")
    texts = texts.reshape(len(numbers), -1).astype(np.float32, copy=False)
    check_embeddings(texts, "reports")
    return EmbeddedReports(
        table=table, text_of=text_of, texts=texts, keys=np.array([*numbers], object)
    )


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    with writing_embeddings(path.parent, path.name), whole_file(path) as partial:
        pd.DataFrame(columns).to_parquet(partial, index=False)


def _read(path: Path) -> pd.DataFrame | None:
    return read_kept(path, needed=("key", "vector"))


def _same(before: pd.DataFrame, columns: Mapping[str, Any]) -> bool:
    return list(before.columns) == list(columns) and all(
        before[name].tolist() == list(columns[name]) for name in columns
    )
