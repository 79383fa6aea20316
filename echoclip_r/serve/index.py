"""What a search looks through, on disk: embeddings, ids, reports and findings, memory-mapped.

    shards -> embeddings of clips (kept by shard) -> vectors.npy   a row for each clip
           -> different reports, embedded once    -> texts.npy     a row for each different text
                                                  -> reports.arrow, findings.npy, clips.arrow

A run that was stopped goes on with the first shard, or the first texts, that are not embedded yet.
`index.json` is written last: a folder without it is not finished, and one whose model, shards or
findings are others than today's is made again from the embeddings that are kept.

These files hold the reports: keep them as safe as the shards.
"""

from __future__ import annotations

import logging
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from echoclip_r.data.report_table import ReportTable
from echoclip_r.data.shards import Shard, ShardIndex, read_index
from echoclip_r.embedding.embedder import embed_by_shard
from echoclip_r.embedding.embeddings import ID_COLUMNS, Embedded, writing_embeddings
from echoclip_r.embedding.reports import embed_reports, text_key
from echoclip_r.errors import ShardError
from echoclip_r.serve.report_findings import FindingsColumns, read_findings
from echoclip_r.storage import json_text, lock, read_json, sha256_of, write_text
from echotok.corpora import holds_text

if TYPE_CHECKING:
    from echoclip_r.model.trained import TrainedModel
    from echotok.findings.rules import FindingsRules

__all__ = ["ArchiveIndex", "Place", "Step", "build_index", "open_index"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Step = Callable[[str, int, int], None]
"""Told what is being done, how many are finished, and of how many."""

FORMAT = 1
_RECORD = "index.json"
_NO_TEXT = -1
_MOST_COLUMNS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a clip lies: its shard and the bytes of its files in it."""

    shard: Path
    offset: int
    size: int


class ArchiveIndex:
    """An archive that can be searched; nothing of it is read before it is needed.

    Attributes:
        folder: folder of the index.
        vectors: unit embeddings of the clips, float32 (N, D), memory-mapped.
        texts: unit embeddings of the different reports, float32 (T, D), memory-mapped.
        text_of: for each clip its report's number, int32 (N,); -1 for a clip without one.
        findings: what the reports say (T), see `FindingsColumns`.
        labels: names of the label columns.
        num_studies: number of studies.
        notes: sentences on what was left out.
    """

    def __init__(self, folder: Path, record: Mapping[str, Any], shards: ShardIndex) -> None:
        self.folder = folder
        self.vectors: Floats = np.load(folder / "vectors.npy", mmap_mode="r")
        self.texts: Floats = np.load(folder / "texts.npy", mmap_mode="r")
        self._clips = _mapped(folder / "clips.arrow")
        self._reports = _mapped(folder / "reports.arrow")["report"]
        self.text_of: NDArray[np.int32] = self._clips["text"].to_numpy()
        self.findings = FindingsColumns.load(folder, record["findings"])
        self.labels: tuple[str, ...] = tuple(record["labels"])
        self.num_studies = int(record["num_studies"])
        self.notes: tuple[str, ...] = tuple(record["notes"])
        self._shards = [shard.path for part in shards.shards.values() for shard in part]
        self._study_of = self._clips["study"].to_numpy()
        self._order = np.load(folder / "by_patient.npy", mmap_mode="r")
        self._starts = np.load(folder / "patient_starts.npy", mmap_mode="r")
        self._patient_of = self._clips["patient"].to_numpy()
        self._cells: dict[str, pd.Series] = {}

    def __len__(self) -> int:
        return len(self.vectors)

    def cell(self, name: str, row: int) -> str:
        """A clip's `key`, `study_id`, `patient_id`, `split`, `view` or `date`."""
        return str(self._clips[name][row].as_py())

    def report(self, text: int) -> str:
        """A report by its number; "" for -1."""
        return "" if text == _NO_TEXT else str(self._reports[text].as_py())

    def place(self, row: int) -> Place:
        """Where a clip's files lie."""
        return Place(
            shard=self._shards[self._clips["shard"][row].as_py()],
            offset=self._clips["offset"][row].as_py(),
            size=self._clips["size"][row].as_py(),
        )

    def row_of(self, key: str) -> int | None:
        """The row of a clip by its key; None where there is none."""
        found = pa.compute.index(self._clips["key"], pa.scalar(key)).as_py()
        return None if found < 0 else int(found)

    def rows_of_study(self, row: int) -> list[int]:
        """The clips of a clip's study, this one included, in the order of the archive."""
        return [one for one in self.rows_of_patient(row) if self.same_study(one, row)]

    def rows_of_patient(self, row: int) -> list[int]:
        """All clips of a clip's patient, in the order of the archive."""
        patient = self._patient_of[row]
        first, last = self._starts[patient], self._starts[patient + 1]
        return [int(one) for one in self._order[first:last]]

    def same_study(self, row: int, other: int) -> bool:
        """Whether two clips are of one study."""
        return bool(self._study_of[row] == self._study_of[other])

    def study_number(self, row: int) -> int:
        """The number of a clip's study."""
        return int(self._study_of[row])

    def num_studies_of(self, rows: NDArray[np.int64]) -> int:
        """How many studies some clips are of."""
        return len(np.unique(self._study_of[rows]))

    @property
    def columns(self) -> list[str]:
        """Names of what clips can be chosen by."""
        return [*ID_COLUMNS, *self.labels, *self.findings.column_names(self.labels)]

    def __getitem__(self, name: str) -> pd.Series:
        """A column of `columns` (N): words are categories, so that each is read once."""
        column = self._cells.get(name)
        if column is None:
            column = self._read_column(name)
            if len(self._cells) >= _MOST_COLUMNS:  # each is some MB of a million clips
                self._cells.pop(next(iter(self._cells)), None)
            self._cells[name] = column
        return column

    def _read_column(self, name: str) -> pd.Series:
        if name in ID_COLUMNS or name in self.labels:
            cells: pd.Series = self._clips[name].to_pandas()
            return cells
        return self.findings.column(name, self.text_of, self.labels)


def open_index(
    folder: Path, fingerprint: str, shards_dir: Path, rules: FindingsRules, findings: Path | None
) -> ArchiveIndex | None:
    """The finished index of a folder; None where it is missing, or of other things than these.

    Args:
        folder: of the index.
        fingerprint: of the model.
        shards_dir: the archive, as `build_index` takes it.
        rules: findings that it reads.
        findings: its table of findings, or None.
    """
    record = read_json(folder / _RECORD)
    shards = read_index(shards_dir)
    if record is None or record.get("made_from") != _made_from(
        fingerprint, shards, rules, findings
    ):
        return None
    try:
        return ArchiveIndex(folder, record, shards)
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        _log.warning("%s is damaged (%s) and made again", folder, type(error).__name__)
        return None


def build_index(
    folder: Path,
    model: TrainedModel,
    shards_dir: Path,
    rules: FindingsRules,
    *,
    findings: Path | None = None,
    step: Step = lambda _what, _done, _total: None,
) -> ArchiveIndex:
    """Make an index; what is embedded already is kept.

    Args:
        folder: folder of the index; `train`, `validation` and `test` in it are as `embed` makes
            them, `reports` as `embed_reports` does.
        model: model that embeds clips and reports.
        shards_dir: the archive: shards from `prepare`, of which all splits are taken.
        rules: findings to read in the reports.
        findings: a table of `echotok findings` whose `report` is a study's id; None reads the
            reports here.
        step: told of the progress.

    Raises:
        ShardError: the shards cannot be read, hold no clip that can, or the folder is in use.
        EchoclipError: a table of findings cannot be used.
    """
    shards = read_index(shards_dir)
    with lock(folder, what="an index", error=ShardError):
        with writing_embeddings(folder, _RECORD):
            (folder / _RECORD).unlink(missing_ok=True)
        made_from = _made_from(model.fingerprint, shards, rules, findings)
        with writing_embeddings(folder, "the index"):
            record = _build(folder, model, shards, rules, findings, step)
            write_text(folder / _RECORD, json_text({**record, "made_from": made_from}, indent=1))
    return ArchiveIndex(folder, record, shards)


def _made_from(
    fingerprint: str, shards: ShardIndex, rules: FindingsRules, findings: Path | None
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "shards_sha256": shards.sha256,
        "rules": f"{rules.name} {rules.version} {' '.join(rules.findings)}",
        "findings": None if findings is None else sha256_of(findings),
    }


def _build(
    folder: Path,
    model: TrainedModel,
    shards: ShardIndex,
    rules: FindingsRules,
    findings: Path | None,
    step: Step,
) -> dict[str, Any]:
    total = sum(shards.num_clips(split) for split in shards.shards)
    if not total:
        raise ShardError(f"{shards.folder}: it holds no clip to search")
    reports: dict[bytes, int] = {}
    texts: list[str] = []
    studies: list[str] = []
    tables: list[pd.DataFrame] = []
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(total, model.embed_dim)
    )
    done = seen = 0
    step("embedding clips", 0, total)
    for number, (shard, part) in enumerate(_parts(folder, model, shards)):
        rows = part.clips
        vectors[done : done + len(rows)] = part.clip_embeddings()
        of = np.full(len(rows), _NO_TEXT, np.int32)
        for at, (report, study) in enumerate(zip(rows["report"], rows["study_id"], strict=True)):
            if not holds_text(report):
                continue
            key = text_key(report)
            if key not in reports:
                reports[key] = len(texts)
                texts.append(report)
                studies.append(study)
            of[at] = reports[key]
        where = _places(shard)
        table = rows.drop(columns="report").assign(text=of, shard=np.int32(number))
        table["offset"] = [where[key][0] for key in rows["key"]]
        table["size"] = [where[key][1] for key in rows["key"]]
        tables.append(table)
        done += len(rows)
        seen += shard.num_clips
        step("embedding clips", seen, total)
    if not done:
        raise ShardError(f"{shards.folder}: none of its clips can be read; see the messages above")
    vectors.flush()
    del vectors
    if done < total:
        _shorten(folder / "vectors.npy", done)
    clips = pd.concat(tables, ignore_index=True)
    patients = _write_clips(folder, clips)
    notes = []
    if done < total:
        notes.append(f"{total - done:,} of {total:,} clips cannot be read and are left out")
    if missing := int((clips["text"] == _NO_TEXT).sum()):
        notes.append(f"{missing:,} of {done:,} clips have no report")
    np.save(folder / "by_patient.npy", np.argsort(patients, kind="stable"))
    np.save(folder / "patient_starts.npy", np.concatenate([[0], np.cumsum(np.bincount(patients))]))
    _write_texts(folder, model, texts, studies, step)
    said = read_findings(texts, rules, step, file=findings, studies=_by_study(clips))
    return {
        "labels": list(shards.labels),
        "num_studies": int(clips["study_id"].nunique()),
        "notes": notes,
        "findings": said.save(folder),
    }


def _parts(
    folder: Path, model: TrainedModel, shards: ShardIndex
) -> Iterator[tuple[Shard, Embedded]]:
    for split in shards.shards:
        if shards.num_clips(split):
            yield from embed_by_shard(model, shards.folder, split=split, out=folder / split)


def _places(shard: Shard) -> dict[str, tuple[int, int]]:
    """First byte and number of bytes of each clip's files in a shard, by its key."""
    found: dict[str, tuple[int, int]] = {}
    with tarfile.open(shard.path, "r:") as tar:
        for member in tar:
            key = member.name.partition(".")[0]
            first = found.get(key, (member.offset, 0))[0]
            last = member.offset_data + (member.size + 511) // 512 * 512
            found[key] = (first, last - first)
            tar.members = []  # type: ignore[attr-defined]  # else all headers stay in memory
    return found


def _shorten(path: Path, num_rows: int) -> None:
    whole = np.load(path, mmap_mode="r")
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, whole[:num_rows])
    del whole
    partial.replace(path)


def _write_clips(folder: Path, clips: pd.DataFrame) -> NDArray[np.int64]:
    """Write ids, labels and places; returns for each clip its patient's number."""
    patients = pd.factorize(clips["patient_id"])[0]
    columns: dict[str, Any] = {}
    for name in clips.columns:
        words = name in ID_COLUMNS and name != "key"
        columns[name] = pa.array(clips[name].astype("category") if words else clips[name])
    columns["study"] = pa.array(pd.factorize(clips["study_id"])[0])
    columns["patient"] = pa.array(patients)
    _write_arrow(folder / "clips.arrow", pa.table(columns))
    return np.asarray(patients, np.int64)


def _write_texts(
    folder: Path, model: TrainedModel, texts: list[str], studies: list[str], step: Step
) -> None:
    step("embedding reports", 0, len(texts))
    _write_arrow(folder / "reports.arrow", pa.table({"report": pa.array(texts, pa.large_string())}))
    embeddings = np.zeros((0, model.embed_dim), np.float32)
    if texts:
        table = ReportTable(
            names=tuple(studies),
            reports=tuple(texts),
            columns=pd.DataFrame(index=range(len(texts))),
        )
        embeddings = embed_reports(
            model,
            table,
            out=folder / "reports",
            told=lambda left: step("embedding reports", len(texts) - left, len(texts)),
        ).texts
    np.save(folder / "texts.npy", embeddings)
    step("embedding reports", len(texts), len(texts))


def _by_study(clips: pd.DataFrame) -> Mapping[str, int]:
    first = clips.drop_duplicates("study_id")
    return dict(zip(first["study_id"], first["text"].astype(int), strict=True))


def _write_arrow(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _mapped(path: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
