"""Reviews: what a person decided on the phrases of a table, phrase by phrase, as a sheet.

    phrase,decision,new_phrase,note
    normal chest x-xxxx.,drop,,not a word
    there is {severity} mr.,rename,there is {severity} mitral regurgitation.,
    no pleural effusion.,keep,,
    the lungs are clear.,,,

A decision goes with the text of a phrase, wherever its row stands. Spreadsheets may write the
sheet: with semicolons, a byte-order mark, other line ends, more columns, rows in another order.

A spreadsheet computes a cell that begins with `=`, and makes a date of `2/6`. Such a text is
written with an apostrophe before it, which is taken off again when the sheet is read.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from echotok.errors import InputError, Problem, TableError
from echotok.spelling import did_you_mean
from echotok.table.checks import find_shadowed
from echotok.table.phrases import (
    BUILT_IN_SLOTS,
    Phrase,
    PhraseTable,
    normalize_phrase,
    parse_phrase,
)
from echotok.table.rows import next_version, version_numbers, write_row
from echotok.text_files import find_dialect, read_text, write_whole

__all__ = [
    "DECISIONS",
    "MINED_SHEET",
    "REVIEW_COLUMNS",
    "Decision",
    "Review",
    "apply_review",
    "read_mined_sheet",
    "read_review",
    "write_review",
]

REVIEW_COLUMNS = ("phrase", "decision", "new_phrase", "note")
MINED_SHEET = "review.tsv"
"""The sheet in the folder of a mined table, which tells how often each phrase is used."""
DECISIONS = ("keep", "drop", "rename")
_SHORT = {"": "", "k": "keep", "d": "drop", "r": "rename"}
# What a spreadsheet would compute or make a date or a number of.
_GUARDED = re.compile(r"'*[=+\-@\t\r0-9]")
_MOST_SUGGESTIONS = 10
# Beyond as many, and half of the rows, it is no slip of the pen.
_MOST_UNKNOWN = 20
_LONGEST_PHRASE = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of a review, as it stands there.

    Attributes:
        line: 1-based line at which the row ends.
        phrase: the phrase that it is about.
        decision: one of `DECISIONS`, or "" where nothing is decided yet: the phrase stays.
        new_phrase: for `rename` the text that the phrase gets.
        note: a word of explanation.
    """

    line: int
    phrase: str
    decision: str = ""
    new_phrase: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A review as a file holds it.

    Attributes:
        path: the file.
        rows: its rows.
    """

    path: Path
    rows: tuple[Decision, ...]

    def of(self, table: PhraseTable) -> Review:
        """The rows whose phrases the table has, with the text that stands there."""
        find = _finder(table, {phrase.text for phrase in table.phrases})
        found = ((row, find(row.phrase)) for row in self.rows)
        return replace(
            self, rows=tuple(replace(row, phrase=text) for row, text in found if text is not None)
        )


def read_review(
    path: Path | str, *, encoding: str | None = None, delimiter: str | None = None
) -> Review:
    """Read a review; its decisions are checked when it is applied to a table.

    Args:
        path: the file.
        encoding: its encoding where it is known; by default UTF-8, or what its mark says.
        delimiter: the character between the cells; None finds it in the header.

    Raises:
        InputError: the file cannot be read as a table, or has no column for phrase or decision.
    """
    path = Path(path)
    text = read_text(path, encoding=encoding).removeprefix("\ufeff")
    dialect = find_dialect(
        next(iter(text[:1000].splitlines()), ""),
        names=REVIEW_COLUMNS,
        default=",",
        delimiter=delimiter,
    )
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.delimiter,
        skipinitialspace=dialect.spaced,
        strict=True,
    )
    rows = []
    try:
        if dialect.declared:
            next(reader)
        header = [re.sub(r"[ -]+", "_", name.strip().lower()) for name in next(reader, [])]
        _check_header(path, header)
        places = [header.index(name) if name in header else len(header) for name in REVIEW_COLUMNS]
        for cells in reader:
            if len(cells) > len(header) and any(map(str.strip, cells[len(header) :])):
                raise InputError(
                    f"{path}:{reader.line_num}: {len(cells)} cells under a header of "
                    f"{len(header)}; put a phrase that holds {dialect.delimiter!r} in double quotes"
                )
            padded = [cell.strip() for cell in (*cells, *[""] * (len(header) + 1 - len(cells)))]
            phrase, decision, new_phrase, note = (padded[place] for place in places)
            if phrase or decision or new_phrase:
                rows.append(
                    Decision(
                        line=reader.line_num,
                        phrase=phrase,
                        decision=_SHORT.get(decision.lower(), decision.lower()),
                        new_phrase=_unguarded(new_phrase),
                        note=_unguarded(note),
                    )
                )
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: {error}; check the double quotes of this row"
        ) from None
    return Review(path=path, rows=tuple(rows))


def _check_header(path: Path, header: list[str]) -> None:
    for name in REVIEW_COLUMNS[:2]:
        if name not in header:
            near = did_you_mean(name, header) or "."
            raise InputError(
                f"{path}:1: a review has the columns {', '.join(REVIEW_COLUMNS)}, and there is no "
                f"column {name!r} in its first line{near} `echotok review TABLE_DIR --sheet FILE` "
                "writes a sheet to fill in"
            )
    for name in REVIEW_COLUMNS:
        if header.count(name) > 1:
            raise InputError(f"{path}:1: there are two columns {name!r}; keep one of them")


def read_mined_sheet(folder: Path | str) -> tuple[list[str], list[dict[str, str]]]:
    """The columns and rows of the sheet that `echotok mine` puts beside a table.

    Args:
        folder: the table's folder.

    Returns:
        The columns and the rows; no row where there is no such sheet with columns `id` and
        `phrase`.

    Raises:
        InputError: the sheet cannot be read.
    """
    path = Path(folder) / MINED_SHEET
    if not path.is_file():
        return [], []
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter="\t", restval="")
    try:
        columns = list(reader.fieldnames or ())
        if not {"id", "phrase"} <= set(columns):
            return columns, []
        return columns, [{name: row[name] for name in columns} for row in reader]
    except csv.Error as error:
        raise InputError(
            f"{path}:{reader.line_num}: {error}; delete the file, or mend it"
        ) from None


def write_review(
    rows: Iterable[Decision], path: Path | str, *, more: Mapping[str, Mapping[str, object]]
) -> None:
    """Write a review; an interrupted write leaves no half file behind.

    Args:
        rows: the decisions, one for each phrase.
        path: the file to write. Where it is not ASCII it has a byte-order mark, by which Excel
            knows UTF-8.
        more: further columns by name, each with its cells by phrase; nobody reads them back.
    """
    sheet = io.StringIO(newline="")
    write_row(sheet, (*REVIEW_COLUMNS, *more))
    for row in rows:
        texts = (row.phrase, row.decision, row.new_phrase, row.note)
        further = (cells.get(row.phrase, "") for cells in more.values())
        write_row(sheet, (*map(_guarded, texts), *further))
    text = sheet.getvalue()
    write_whole(path, text, encoding="utf-8" if text.isascii() else "utf-8-sig")


def _guarded(text: str) -> str:
    return "'" + text if _GUARDED.match(text) else text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and _GUARDED.match(text) else text


def apply_review(
    table: PhraseTable,
    review: Review,
    *,
    published: PhraseTable | None = None,
    tell: Callable[[str], None] | None = None,
) -> PhraseTable:
    """Do to a table what a review decided (I5: no id ever gets another meaning).

    A phrase is published when `published` holds it, or when the table's version is later than the
    one that added it. Where it is not, `drop` takes its row away and `rename` changes its text: no
    model knows it. Where it is, its row stays as a tombstone, and a renamed text gets an id of its
    own at the end; the table's minor version is raised.

    Args:
        table: a checked table.
        review: the decisions; phrases without one stay.
        published: an earlier table of the same name, whose ids models know. What it appended for
            the same renaming keeps its id.
        tell: called with a sentence on how many phrases were kept, dropped and renamed.

    Raises:
        TableError: decisions that cannot be followed; the error lists all problems.
    """
    check = _Check(table=table, review=review)
    decided = check.decisions()
    new_texts = check.new_texts(decided)
    changed = _changed(table, decided, new_texts, published)
    if not changed.live:
        check.problem("empty-table", None, "every phrase would be dropped; keep one at least")
    if changed.phrases and changed.phrases[-1].id >= table.phrase_capacity:
        check.problem(
            "full-table",
            None,
            f"the renamed phrases need {changed.phrases[-1].id + 1:,} ids, and the table has room "
            f"for {table.phrase_capacity:,}, since a published phrase keeps its id; rename fewer",
        )
    check.stop()
    check.shadowed(changed, decided, new_texts)
    check.stop()
    if tell is not None:
        tell(_told(table, changed, review.path, decided))
    return changed


@dataclass(slots=True, kw_only=True)
class _Check:
    """Gathers what is wrong with a review."""

    table: PhraseTable
    review: Review
    problems: list[Problem] = field(default_factory=list)

    def problem(self, rule: str, line: int | None, message: str) -> None:
        """Note a broken rule; `line` is None when the problem concerns the whole file."""
        self.problems.append(Problem(rule=rule, file=self.review.path, line=line, message=message))

    def stop(self) -> None:
        """End with all problems so far, if there is one."""
        if self.problems:
            raise TableError(sorted(self.problems, key=lambda one: one.line or 0), "the review")

    def decisions(self) -> dict[str, Decision]:
        """The decisions by phrase."""
        live = {phrase.text for phrase in self.table.live}
        retired = {phrase.text for phrase in self.table.phrases if phrase.retired} - live
        find = _finder(self.table, live | retired)
        decided: dict[str, Decision] = {}
        unknown = []
        for row in self.review.rows:
            text = find(row.phrase)
            if text is None:
                unknown.append(row)
                continue
            first = decided.get(text)
            if row.decision and row.decision not in DECISIONS:
                self.problem(
                    "unknown-decision",
                    row.line,
                    f"a decision is {', '.join(DECISIONS)}, or empty for a phrase that stays"
                    f"{did_you_mean(row.decision, DECISIONS)}",
                )
            elif row.new_phrase and row.decision != "rename":
                self.problem(
                    "new-phrase",
                    row.line,
                    f"there is a new phrase, and the decision is {row.decision or 'empty'}; write "
                    "rename, or empty the new phrase",
                )
            elif text in retired and row.decision in ("keep", "rename"):
                self.problem(
                    "retired-phrase",
                    row.line,
                    "the table has retired this phrase; delete the row, or rename another phrase "
                    "to this text, which gives it a new id",
                )
            elif first is not None and first.decision and row.decision:
                self.problem(
                    "decided-twice",
                    row.line,
                    f"line {first.line} decides on the same phrase; keep one of the two rows",
                )
            elif first is None or row.decision:
                decided[text] = row
        self._unknown(unknown, live)
        return decided

    def _unknown(self, rows: list[Decision], live: Collection[str]) -> None:
        table = f"{self.table.name} {self.table.version}"
        if len(rows) > max(_MOST_UNKNOWN, len(self.review.rows) // 2):
            self.problem(
                "unknown-phrase",
                None,
                f"{len(rows):,} of its {len(self.review.rows):,} phrases are not in the table "
                f"{table}: it is the review of another table, or of another state of this one. "
                "Give the table that was reviewed, as it was then",
            )
            return
        done = all(row.decision in ("drop", "rename") for row in rows)
        again = "; or was this review followed already when the table was written?" if done else ""
        for number, row in enumerate(rows):
            if not row.phrase:
                self.problem(
                    "no-phrase", row.line, "the phrase is empty; fill it, or delete the row"
                )
                continue
            near = ""
            if number < _MOST_SUGGESTIONS:
                near = did_you_mean(row.phrase, live, longest=_LONGEST_PHRASE)
            self.problem(
                "unknown-phrase",
                row.line,
                f"the table {table} has no such phrase{near or '.'} Write it as it stands in the "
                f"table, or delete the row{again}",
            )

    def new_texts(self, decided: Mapping[str, Decision]) -> dict[str, str]:
        """The new texts of the renamed phrases, by their old ones; a problem for each bad one."""
        slots, units = (*BUILT_IN_SLOTS, *self.table.slots), self.table.units
        given: dict[str, str] = {}
        for text, row in decided.items():
            if row.decision != "rename":
                continue
            new = normalize_phrase(row.new_phrase, units=units)
            if not new:
                self.problem(
                    "empty-phrase", row.line, "rename needs a new phrase; fill it, or write drop"
                )
                continue
            try:
                parse_phrase(new, slots=slots, units=units)
            except ValueError as error:
                self.problem("bad-phrase", row.line, f"the new phrase: {error}")
                continue
            if new != text:
                given[text] = new
        stays = {
            phrase.text
            for phrase in self.table.live
            if phrase.text not in given
            and (phrase.text not in decided or decided[phrase.text].decision != "drop")
        }
        counted = Counter(given.values())
        for text, new in given.items():
            line = decided[text].line
            if new in stays:
                self.problem(
                    "duplicate",
                    line,
                    "the table has a phrase of this text already; drop this one instead",
                )
            elif counted[new] > 1:
                others = [str(decided[o].line) for o in given if given[o] == new and o != text]
                self.problem(
                    "duplicate",
                    line,
                    f"line {', '.join(others[:3])} has the same new phrase; drop all but one",
                )
        return given

    def shadowed(
        self, changed: PhraseTable, decided: Mapping[str, Decision], new_texts: Mapping[str, str]
    ) -> None:
        """A problem for each phrase that could never be produced any more."""
        by_id = {phrase.id: phrase.text for phrase in changed.phrases}
        line = {new: decided[text].line for text, new in new_texts.items()}
        for loser, winner in find_shadowed(changed).items():
            text, other = by_id[loser], by_id.get(winner)
            what = "a bare value" if other is None else repr(other)
            self.problem(
                "shadowed",
                line.get(text, line.get(other or "")),
                f"{text!r} would never be produced: {what} always wins; drop or reword one of them",
            )


def _finder(table: PhraseTable, known: Collection[str]) -> Callable[[str], str | None]:
    """A function from a cell of a sheet to the phrase that it stands for, or None."""

    def find(cell: str) -> str | None:
        if cell in known:
            return cell
        if len(cell) > 10_000:  # no phrase, and slow to read
            return None
        for text in (_unguarded(cell), cell):
            normal = normalize_phrase(text, units=table.units)
            if normal in known:
                return normal
        return None

    return find


def _changed(
    table: PhraseTable,
    decided: Mapping[str, Decision],
    new_texts: Mapping[str, str],
    published: PhraseTable | None,
) -> PhraseTable:
    """The table with the decisions followed."""
    slots = (*BUILT_IN_SLOTS, *table.slots)
    old = {} if published is None else {phrase.id: phrase for phrase in published.phrases}
    appended = {phrase.text: phrase for phrase in old.values() if not phrase.retired}
    used = {phrase.id for phrase in table.phrases}
    next_id = max((*used, *old), default=-1) + 1
    latest = max(
        (table.version, *([] if published is None else [published.version])), key=version_numbers
    )
    version = next_version(latest)
    rows: list[Phrase] = []
    for phrase in table.phrases:
        row = None if phrase.retired else decided.get(phrase.text)
        if row is None:
            rows.append(phrase)
            continue
        new = new_texts.get(phrase.text)
        known = old.get(phrase.id)
        is_published = (known is not None and known.text == phrase.text) or (
            version_numbers(phrase.since) < version_numbers(table.version)
        )
        note = row.note or phrase.note
        if row.decision != "drop" and new is None:
            rows.append(replace(phrase, note=note))
            continue
        if is_published:
            retired = known.retired if known is not None else ""
            rows.append(replace(phrase, retired=retired or version, note=note))
        if new is None:
            continue
        items = parse_phrase(new, slots=slots, units=table.units)
        if not is_published:
            rows.append(replace(phrase, text=new, items=items, note=note))
            continue
        again = appended.get(new)
        if again is not None and again.id not in used:
            number, since = again.id, again.since or version
        else:
            number, since = next_id, version
            next_id += 1
        used.add(number)
        rows.append(
            replace(phrase, id=number, text=new, items=items, since=since, retired="", note=note)
        )
    stamped = {text for row in rows for text in (row.since, row.retired) if text}
    newest = max((table.version, *stamped), key=version_numbers)
    return replace(table, phrases=tuple(sorted(rows, key=lambda row: row.id)), version=newest)


def _told(
    before: PhraseTable, after: PhraseTable, path: Path, decided: Mapping[str, Decision]
) -> str:
    counts = Counter(row.decision for text, row in decided.items())
    live = {phrase.text for phrase in before.live}
    dropped = {text for text, row in decided.items() if row.decision == "drop" and text in live}
    tombstones = {phrase.text for phrase in after.phrases if phrase.retired}
    retired = len(dropped & tombstones)
    how = f" ({retired:,} of them retired, since models may know their ids)" if retired else ""
    open_rows = len(live) - counts["keep"] - counts["rename"] - len(dropped)
    undecided = f"{open_rows:,} without a decision, which stay" if open_rows else "none undecided"
    return (
        f"{path}: {counts['keep']:,} kept, {len(dropped):,} dropped{how}, "
        f"{counts['rename']:,} renamed, {undecided}"
    )
