"""Mining as one call, from files of reports to a table folder."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from echotok.corpora import read_reports
from echotok.errors import InputError, OptionError
from echotok.leftovers import describe_leftovers
from echotok.mining.assembly import Mined
from echotok.mining.growth import grow
from echotok.mining.options import MAX_DISTINCT, UNITS, Options
from echotok.mining.pipeline import mine
from echotok.mining.privacy import PrivateFinder
from echotok.mining.release import read_allowed
from echotok.mining.sheet import review_rows, write_held_back, write_sheet
from echotok.mining.store import ReportStore
from echotok.table.checks import validate_table
from echotok.table.phrases import PhraseTable
from echotok.table.reading import read_fallback
from echotok.table.review import MINED_SHEET
from echotok.table.writing import append_phrases, write_table
from echotok.text import is_number, make_normalizer, split_pieces
from echotok.text_files import read_text, write_whole

__all__ = ["MineResult", "mine_reports", "state_path"]

_LONGEST_WORD = 100
_log = logging.getLogger(__name__)


class _Told(Protocol):
    """Called with the step, the share of the work that is done, and reports since the last call."""

    def __call__(self, step: str, share: float | None = None, *, count: int = 0) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MineResult:
    """What a mining run wrote.

    Attributes:
        table: the table, as it lies in the folder.
        out: the table's folder, for `echotok.build`.
        review: the sheet in this folder that a person reads before the table is used.
        private: the file outside of the folder that lists what was held back; None if nothing was.
        num_reports: number of reports that were read.
        num_new: number of phrases that were added; all phrases, unless a table was grown.
        num_held_back: number of texts held back since they may name a person, a date or a place.
        vocab_size: number of phrases, values, special tokens and tokens of the fallback together,
            without spare rows.
        tokens_per_report: mean number of tokens in a report as mining counts them, without BOS and
            EOS; an estimate where sentences were drawn (`max_distinct`).
    """

    table: PhraseTable
    out: Path
    review: Path
    private: Path | None
    num_reports: int
    num_new: int
    num_held_back: int
    vocab_size: int
    tokens_per_report: float


def mine_reports(
    reports: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    column: str | None = None,
    patient_column: str | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
    k: int = 5,
    allow_rare: bool = False,
    vocab_size: int = 2000,
    num_merges: int | None = None,
    private: str | Path | None = None,
    allow: str | Path | None = None,
    words: Sequence[str | Path] = (),
    join_sentences: bool = False,
    max_distinct: int = MAX_DISTINCT,
    base: str | Path | None = None,
    name: str | None = None,
    locale: str = "en",
    executor: Executor | None = None,
    progress: _Told | None = None,
    warn: Callable[[str], None] | None = None,
) -> MineResult:
    """Propose a phrase table for the reports of a place.

    Only text that k patients share is taken, and what may name a person is held back. A run that
    was stopped continues when it is called again with the same arguments; until it ends, the file
    at `state_path` keeps the sizes of the fallback that were tried, and nothing of a report.

    Args:
        reports: CSV, TSV, JSON Lines or Parquet files, or folders of ``*.txt``; or one of them.
        out: the table folder to write. It is new or empty, or the same as `base`.
        column: column of the reports, or None for the usual names.
        patient_column: column of the patients; None counts every report as a patient of its own.
        delimiter: the character between the cells of a CSV or TSV file; None finds it.
        encoding: encoding of text files and tables; None reads UTF-8, and what begins with a
            byte-order mark.
        k: number of patients that must hold a phrase, a value, or a word that trains the fallback.
        allow_rare: needed for `k` below 2; the table may then hold text of one patient's report.
        vocab_size: number of phrases, values, special tokens and tokens of the fallback together,
            without spare rows.
        num_merges: number of merges of the fallback; None tries several on a fifth of the patients.
        private: file that lists what was held back, never inside of `out`; None puts it beside
            `out`, as ``OUT.private.csv``.
        allow: file of held-back texts that a person releases: lines of the private file as they
            stand, or the text alone, one on each line.
        join_sentences: whether a row may hold several sentences that follow each other.
        max_distinct: number of distinct sentences that are mined at once, a gigabyte for some
            100,000. Of more, those that fewer than k patients hold are drawn by lot and count for
            the others; the rest, too, where it alone fills three quarters.
        words: public word lists, which train the fallback beside the words of the reports.
        base: table folder to grow: rows are appended, every id and the fallback stay the same.
        name: name of the table; None takes the name of the folder.
        locale: language of the reports.
        executor: what reads the reports (normalizes them and looks for names) in place of this
            process: anything of the interface of `concurrent.futures`; the table is the same.
        progress: called with the step, the share of the work that is done (0 to 1, or None where
            it is not known), and as ``count`` the number of reports read since the last call.
        warn: called with each remark on the reports (missing ones, leftovers of markup) and on the
            texts that were released; None logs the remarks.

    Returns:
        The table, and the places of the files that were written.

    Raises:
        OptionError: `k` is below 2 without `allow_rare`, `max_distinct` below 1, `words` and `base`
            exclude each other, or `private` lies inside of `out` or in a folder that is not there.
        InputError: reports cannot be read or share nothing, `out` exists and is not empty,
            `vocab_size` leaves no room, or `base` is not a table that was mined.
        TableError: `base` breaks a rule.
        OSError: a file cannot be written.
    """
    if k < 1 or (k < 2 and not allow_rare):
        raise OptionError(
            f"k is {k} (--k): below 2 the table may take text of a single patient's report; if you "
            "mean that, add allow_rare=True (--allow-rare)"
        )
    if max_distinct < 1:
        raise OptionError(f"max_distinct is {max_distinct}; at least one sentence must be mined")
    if words and base is not None:
        raise OptionError(
            "words (--words) train a new fallback, and --base keeps the old one; leave one of them "
            "out"
        )
    out = Path(out)
    private = Path(private or f"{out.resolve()}.private.csv")
    if out.resolve() in (private.resolve(), *private.resolve().parents):
        raise OptionError(
            f"{private} (--private) may name people, and {out} is made to be passed on; keep the "
            "file outside of that folder"
        )
    old = None if base is None else _read_base(Path(base))
    grows_in_place = base is not None and out.resolve() == Path(base).resolve()
    if not grows_in_place and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already and not empty; name another folder")
    units = UNITS if old is None else old.table.units
    options = Options(
        vocab_size=vocab_size,
        k=k,
        units=units,
        name=name or out.resolve().name,
        locale=locale,
        num_merges=num_merges,
        words=_read_public_words(words, units),
        join_sentences=join_sentences,
        max_distinct=max_distinct,
    )
    allowed = None if allow is None else read_allowed(Path(allow), units)
    say = warn or _log.warning
    told: _Told = progress or _say_nothing
    store = ReportStore(
        units=units, find_private=PrivateFinder(allowed=allowed.lines if allowed else ())
    )
    with _writable(out, private):
        paths = [reports] if isinstance(reports, str | Path) else reports
        given = read_reports(
            paths,
            column=column,
            patient_column=patient_column,
            delimiter=delimiter,
            encoding=encoding,
            warn=say,
        )
        pairs = ((report.text, report.patient) for report in given)
        for _ in store.add_all(pairs, executor=executor):
            told("reading", count=1)
        for remark in describe_leftovers(store.leftovers, store.num_reports):
            say(remark)
        if store.num_distinct > max_distinct:
            say(
                f"the reports hold {store.num_distinct:,} distinct sentences: about "
                f"{max_distinct:,} of them are mined, of which those that few patients hold are "
                "drawn by lot and count for the others (--max-distinct)"
            )
        with _kept_state(state_path(out), options, store) as (trials, keep):
            if old is not None:
                mined = grow(store, options, old, report=told)
            else:
                mined = mine(store, options, report=told, trials=trials, checkpoint=keep)
            with nullcontext(out) if grows_in_place else _whole_folder(out) as folder:
                if old is None:
                    write_table(mined.table, folder, mined.fallback)
                else:
                    if base is not None and not grows_in_place:
                        shutil.copytree(base, folder, dirs_exist_ok=True)
                    append_phrases(mined.table, folder)
                write_sheet(review_rows(store, mined), folder / MINED_SHEET)
                validate_table(folder)
                if held := store.held_back(k=k):
                    write_held_back(held, private)
        if allowed is not None:
            say(allowed.tell(store.released()))
    return MineResult(
        table=mined.table,
        out=out,
        review=out / MINED_SHEET,
        private=private if held else None,
        num_reports=store.num_reports,
        num_new=len(mined.table.phrases) - (0 if old is None else len(old.table.phrases)),
        num_held_back=len(held),
        vocab_size=mined.vocab_size,
        tokens_per_report=mined.num_tokens / store.num_reports,
    )


def state_path(out: Path) -> Path:
    """The file in which a run that was stopped has noted how far it got.

    Args:
        out: the table folder that the run was to write.
    """
    return Path(f"{out.resolve()}.mining-state.json")


def _say_nothing(step: str, share: float | None = None, *, count: int = 0) -> None:
    """Nobody watches."""


@contextmanager
def _writable(out: Path, private: Path) -> Iterator[None]:
    """Find out before minutes of work that the results can be written, not after them."""
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        if not private.parent.is_dir():
            raise OptionError(
                f"{private.parent}: there is no such folder, and {private.name} (--private) is to "
                "be written there; make the folder first"
            )
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):  # it holds something: what was written stays
                out.rmdir()
        raise


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write, whose files move into `out` when the block ends without an error.

    A run that is killed while it writes, a minute where reports are many, leaves `out` empty and
    can be started again. What says that a folder is a table moves last.
    """
    partial = out.resolve().with_name(f".{out.resolve().name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
    partial.mkdir()
    try:
        yield partial
        for path in sorted(partial.iterdir(), key=lambda path: path.name == "table.toml"):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _read_public_words(paths: Sequence[str | Path], units: tuple[str, ...]) -> tuple[str, ...]:
    """The words of public word lists, normalized."""
    what = "--words takes a text file with one word a line"
    normalize = make_normalizer(units)
    words: set[str] = set()
    for path in paths:
        for number, line in enumerate(read_text(Path(path)).splitlines(), 1):
            word = line.strip().partition("\t")[0].partition(" ")[0]
            if len(word) > _LONGEST_WORD:
                raise InputError(
                    f"{path}:{number}: {len(word):,} letters are not one word; {what}, of at most "
                    f"{_LONGEST_WORD} letters"
                )
            words.update(piece for piece in split_pieces(normalize(word)) if not is_number(piece))
    return tuple(sorted(words))


def _read_base(folder: Path) -> Mined:
    """A table folder that a mined table grows from."""
    table = validate_table(folder)
    fallback = read_fallback(folder)
    if fallback is None:
        raise InputError(
            f"{folder} holds no merges.txt: growth keeps the fallback, so it needs a folder that "
            "echotok mine wrote"
        )
    return Mined(table=table, fallback=fallback, saved={}, num_tokens=0)


@contextmanager
def _kept_state(
    path: Path, options: Options, store: ReportStore
) -> Iterator[tuple[dict[int, float], Callable[[Mapping[int, float]], None]]]:
    """What a stopped run has found so far: sizes tried and their figures, and nothing of a report.

    The file is deleted when the run ends well.
    """
    key = hashlib.sha256(f"{options!r} {store.digest()}".encode()).hexdigest()
    trials: dict[int, float] = {}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["key"] == key:
            trials = {int(size): float(tokens) for size, tokens in state["trials"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # none, or another run's: start afresh

    def keep(tried: Mapping[int, float]) -> None:
        write_whole(path, json.dumps({"key": key, "trials": tried}))

    yield trials, keep
    path.unlink(missing_ok=True)
