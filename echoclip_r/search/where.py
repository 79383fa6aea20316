"""A small language to choose rows of a table by their columns: `view = A4C and date >= 2020`.

    column = value     also !=, <, <=, >, >=
    column in (a, b)   also not in
    and, or, not       and parentheses

A value of several words stands in quotes, a column of several words in `backticks`; letter case
makes no difference. A date may be given as a year, a month or a day: `date = 2020` is any day of
that year. A blank cell fits no comparison, and no `not` of one, but `column = ""`.

Nothing is evaluated as a program: an expression is read into comparisons of columns, and no more.
"""

from __future__ import annotations

import math
import operator
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.errors import OptionError
from echotok.spelling import did_you_mean

__all__ = ["Columns", "Selection", "select_rows"]

Mask = NDArray[np.bool_]

_TOKEN = re.compile(
    r"""(?P<text>"[^"]*"|'[^']*')|(?P<column>`[^`]*`)|(?P<sign>[!<>=]=|<>|[=<>≤≥≠(),])"""
    r"""|(?P<word>[^\s()=<>!,"'`≤≥≠]+)"""
)
_SIGNS = {"==": "=", "<>": "!=", "≠": "!=", "≤": "<=", "≥": ">="}
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?")
_DATE_CELL = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?")
_LEADING_ZERO = re.compile(r"[+-]?0\d")
_DEEPEST = 50
_MOST_VALUES, _LONGEST_VALUE = 12, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rows of a table that fit an expression.

    Attributes:
        mask: for each row whether it fits, bool (N,).
        num_unknown: number of rows of which nothing can be said, since a cell is blank.
    """

    mask: Mask
    num_unknown: int


class Columns(Protocol):
    """Columns of one length by name: a DataFrame, or what reads a column when it is asked for."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""

    def __getitem__(self, name: str, /) -> Any:
        """A column, as a Series."""

    def __len__(self) -> int: ...


def select_rows(expression: str, table: pd.DataFrame | Columns) -> Selection:
    """Choose the rows of a table that fit an expression.

    Args:
        expression: as at the head of this module.
        table: the table; blank cells are None, NaN or "". Of a column of categories only these
            are read, so that one of a million rows costs little.

    Raises:
        OptionError: the expression cannot be read, it names a column that is not there, a column
            does not hold what it is compared with, or no row fits.

    Example:
        >>> clips = pd.DataFrame({"view": ["A4C", "PLAX", ""], "ef": [55.0, 30.0, 60.0]})
        >>> select_rows("view = a4c or ef < 40", clips).mask.tolist()
        [True, True, False]
    """
    parser = _Parser(expression, table)
    fits, fits_not = parser.parse()
    if not fits.any():
        held = "; ".join(parser.columns[name].describe() for name in parser.columns)
        raise OptionError(
            f"{parser.said}: none of the {len(table):,} rows fits; among them, {held}"
        )
    return Selection(mask=fits, num_unknown=int((~(fits | fits_not)).sum()))


class _Token(NamedTuple):
    """A word of an expression: its kind (`text`, `column`, `sign`, `word`, `end`) and place."""

    kind: str
    text: str
    at: int


class _Known(NamedTuple):
    """Rows for which a part of an expression is true, and for which it is false."""

    true: Mask
    false: Mask


class _Parser:
    def __init__(self, expression: str, table: pd.DataFrame | Columns) -> None:
        self._expression, self._table = expression, table
        self.said = f"where {textwrap.shorten(expression, 120, placeholder=' ...')!r}"
        self._tokens = list(self._split())
        self._place = self._depth = 0
        self.columns: dict[str, _Column] = {}

    def parse(self) -> _Known:
        """Read the whole expression."""
        if self._now.kind == "end":
            raise OptionError(
                "where '': the expression is empty; write a condition such as view = A4C"
            )
        found = self._either()
        if self._now.kind != "end":
            raise self._error(
                "'and', 'or' or the end was expected; a value of several words stands in quotes"
            )
        return found

    def _split(self) -> Iterator[_Token]:
        place = 0
        text = self._expression
        while place < len(text):
            if text[place].isspace():
                place += 1
                continue
            found = _TOKEN.match(text, place)
            if found is None:
                why = (
                    "a quote opens here and does not close"
                    if text[place] in "\"'`"
                    else "write != for 'not equal', and 'not' for 'not'"
                )
                raise OptionError(f"{self.said}: character {place + 1}: {why}")
            kind = str(found.lastgroup)
            word = found[0][1:-1] if kind in ("text", "column") else found[0]
            yield _Token(kind, _SIGNS.get(word, word) if kind == "sign" else word, place)
            place = found.end()
        yield _Token("end", "", len(text))

    @property
    def _now(self) -> _Token:
        return self._tokens[self._place]

    def _error(self, why: str) -> OptionError:
        token = self._now
        where = (
            "at the end"
            if token.kind == "end"
            else f"character {token.at + 1}, {token.text[:40]!r}"
        )
        return OptionError(f"{self.said}: {where}: {why}")

    def _is(self, *words: str, kind: str = "word") -> bool:
        return self._now.kind == kind and self._now.text.casefold() in words

    def _take(self, *words: str, kind: str = "word") -> bool:
        found = self._is(*words, kind=kind)
        self._place += found
        return found

    def _either(self) -> _Known:
        found = self._both()
        while self._take("or"):
            other = self._both()
            found = _Known(found.true | other.true, found.false & other.false)
        return found

    def _both(self) -> _Known:
        found = self._one()
        while self._take("and"):
            other = self._one()
            found = _Known(found.true & other.true, found.false | other.false)
        return found

    def _one(self) -> _Known:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(
                f"more than {_DEEPEST} parts lie inside one another; write it flatter"
            )
        if self._take("not"):
            found = self._one()
            found = _Known(found.false, found.true)
        elif self._take("(", kind="sign"):
            found = self._either()
            if not self._take(")", kind="sign"):
                raise self._error("a closing parenthesis was expected")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> _Known:
        column = self._column()
        denied = self._take("not")
        if self._take("in"):
            found = column.among(self._values())
            return _Known(found.false, found.true) if denied else found
        if denied or self._now.kind != "sign" or self._now.text not in _COMPARE:
            raise self._error(
                f"{'in' if denied else 'one of =, !=, <, <=, >, >= and in'} was expected behind "
                f"the column {column.name!r}"
            )
        sign = self._now.text
        self._place += 1
        return column.compare(sign, self._value())

    def _column(self) -> _Column:
        token = self._now
        if token.kind not in ("word", "column", "text") or token.text.casefold() in _WORDS:
            raise self._error("a column was expected, as in view = A4C")
        names = [str(name) for name in self._table.columns]
        plain = {name.casefold(): name for name in reversed(names)}
        name = token.text if token.text in names else plain.get(token.text.casefold())
        if name is None:
            hint = did_you_mean(token.text, names)
            raise self._error(f"there is no such column; there are {', '.join(names)}{hint}")
        self._place += 1
        if name not in self.columns:
            self.columns[name] = _Column(name, self._table[name])
        return self.columns[name]

    def _values(self) -> list[str]:
        if not self._take("(", kind="sign"):
            raise self._error("in takes values in parentheses, as in view in (A4C, A2C)")
        values = [self._value()]
        while self._take(",", kind="sign"):
            values.append(self._value())
        if not self._take(")", kind="sign"):
            raise self._error("a comma or a closing parenthesis was expected")
        return values

    def _value(self) -> str:
        token = self._now
        if token.kind not in ("word", "text") or (
            token.kind == "word" and token.text.casefold() in _WORDS
        ):
            raise self._error("a value was expected, such as A4C, 2020 or 'two words'")
        self._place += 1
        return token.text


_WORDS = frozenset({"and", "or", "not", "in"})


class _Column:
    """A column as numbers, dates or words, whichever all of its cells are."""

    def __init__(self, name: str, cells: pd.Series) -> None:
        self.name = name
        self._rows: NDArray[Any] | None = None
        if isinstance(cells.dtype, pd.CategoricalDtype):
            # Each different cell once; the last one stands for a blank.
            self._rows = cells.cat.codes.to_numpy(np.int64)
            cells = pd.Series([*cells.cat.categories, None], dtype=object)
        self.kind, self._filled, self._cells = _read_cells(name, cells)
        self._written = cells

    def compare(self, sign: str, value: str) -> _Known:
        """Rows whose cell compares so with a value."""
        known = self._compare(sign, value)
        if self._rows is None:
            return known
        return _Known(known.true[self._rows], known.false[self._rows])

    def _compare(self, sign: str, value: str) -> _Known:
        if not value.strip():
            if sign not in ("=", "!="):
                raise OptionError(
                    f"column {self.name!r}: only = and != compare with an empty value"
                )
            blank = _Known(~self._filled, self._filled)
            return blank if sign == "=" else _Known(blank.false, blank.true)
        if self.kind == "dates":
            fits = self._compare_dates(sign, value)
        elif self.kind == "numbers":
            number = _number(value)
            if number is None:
                raise OptionError(f"column {self.name!r} holds numbers, and {value!r} is none")
            fits = _COMPARE[sign](self._cells, number)
        else:
            if sign not in ("=", "!="):
                raise OptionError(
                    f"column {self.name!r} holds words, which have no order; compare them with =, "
                    "!= or in (...)"
                )
            fits = _COMPARE[sign](self._cells, _plain(value))
        return _Known(fits & self._filled, ~fits & self._filled)

    def among(self, values: Sequence[str]) -> _Known:
        """Rows whose cell is one of some values."""
        found = [self.compare("=", value) for value in values]
        return _Known(
            np.logical_or.reduce([one.true for one in found]),
            np.logical_and.reduce([one.false for one in found]),
        )

    def describe(self) -> str:
        """What the column holds, in words; long or many texts are only counted."""
        if self._rows is not None:
            rows = self._written.iloc[self._rows].reset_index(drop=True)
            return _Column(self.name, rows).describe()
        filled = self._cells[self._filled].tolist()
        if not filled:
            return f"{self.name} is blank everywhere"
        if self.kind != "words":
            low, high = min(filled), max(filled)
            ends = f"{low:g} to {high:g}" if self.kind == "numbers" else f"{low} to {high}"
            return f"{self.name} goes from {ends}"
        counts = Counter(str(cell).strip() for cell in self._written[self._filled])
        names = self.name == "key" or self.name.endswith("_id")
        if names or len(counts) > _MOST_VALUES or max(map(len, counts)) > _LONGEST_VALUE:
            return f"{self.name} has {len(counts):,} different values"
        told = ", ".join(f"{value} ({count:,})" for value, count in sorted(counts.items()))
        return f"{self.name} is {told}"

    def _compare_dates(self, sign: str, value: str) -> Mask:
        found = _DATE.fullmatch(value)
        try:
            if found is None:
                raise ValueError
            date(int(found[1]), int(found[2] or 1), int(found[3] or 1))
        except ValueError:
            raise OptionError(
                f"column {self.name!r} holds dates, and {value!r} is none; write 2020, 2020-03 or "
                "2020-03-31"
            ) from None
        # Text in this form has the order of the days. Nothing is wrong with a 31st of February
        # as the end of a month.
        first = value + "-01-01"[len(value) - 4 :]
        last = value + "-12-31"[len(value) - 4 :]
        within = (self._cells >= first) & (self._cells <= last)
        days: dict[str, Mask] = {
            "=": within,
            "!=": ~within,
            "<": self._cells < first,
            "<=": self._cells <= last,
            ">": self._cells > last,
            ">=": self._cells >= first,
        }
        return days[sign]


def _read_cells(name: str, cells: pd.Series) -> tuple[str, Mask, NDArray[Any]]:
    """A column's kind, which of its cells are filled, and the cells as that kind."""
    if pd.api.types.is_bool_dtype(cells) or not pd.api.types.is_numeric_dtype(cells):
        texts = np.array(["" if _is_blank(cell) else str(cell).strip() for cell in cells], object)
    else:
        numbers = cells.to_numpy(np.float64)
        return "numbers", ~np.isnan(numbers), numbers
    filled = texts != ""
    told = texts[filled]
    if len(told) and not _is_id(name, told):
        read = [_number(text) for text in told]
        if None not in read:
            numbers = np.full(len(texts), np.nan)
            numbers[filled] = read
            return "numbers", filled, numbers
        if all(map(_DATE_CELL.fullmatch, told)):
            return "dates", filled, np.array([text[:10] for text in texts], np.str_)
    return "words", filled, np.array([_plain(text) for text in texts], np.str_)


def _is_id(name: str, texts: Sequence[str]) -> bool:
    """Whether texts of digits name something: 007 is not 7."""
    return (
        name == "key"
        or name.endswith("_id")
        or any(len(text) > 15 or _LEADING_ZERO.match(text) for text in texts)
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_blank(cell: object) -> bool:
    return cell is None or cell is pd.NA or cell != cell


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
