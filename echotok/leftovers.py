"""What other programs leave in reports (such as HTML); no phrase matches across it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

__all__ = ["describe_leftovers", "find_leftovers"]

_REMEDY = "export the reports as plain text"
_TAKE_OUT = "take them out of the reports first"
_KINDS: tuple[tuple[str, re.Pattern[str], str], ...] = (
    (
        "HTML",
        re.compile(
            r"</?(?:p|br|div|span|b|i|u|em|strong|font|table|tbody|thead|tr|td|th|ul|ol|li|pre|hr|"
            r"html|body|head|h[1-6]|a|sup|sub)(?:\s[^<>]*)?/?>"
            r"|&(?:nbsp|amp|lt|gt|quot|apos|#[0-9]{1,6}|#x[0-9a-f]{1,5});",
            re.IGNORECASE,
        ),
        _REMEDY,
    ),
    (
        "RTF",
        re.compile(
            r"\{\\rtf|\\(?:par|pard|plain|line|tab|ql|qc|b0?|i0?|ul|ulnone|(?:fs|cf|f|lang|li|sb|sa)"
            r"[0-9]+|u-?[0-9]{2,6}\?|'[0-9a-f]{2})(?![a-zA-Z])"
        ),
        _REMEDY,
    ),
    ("soft hyphens", re.compile("\u00ad"), _TAKE_OUT),
    (
        "zero-width characters",
        re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u180e\u202a-\u202e]"),
        _TAKE_OUT,
    ),
    (
        "full-width letters or digits",
        re.compile("[\uff01-\uff5e]"),
        "write them in the usual width (NFKC does, but it also turns 10\u00b2 into 102)",
    ),
    (
        "control characters",
        re.compile("[\x01-\x08\x0e-\x1b\x7f\x80-\x84\x86-\x9f]"),
        _TAKE_OUT,
    ),
    (
        "characters that were lost in a conversion",
        re.compile("\ufffd|\u00c3[\u00a0-\u00bf]|\u00e2\u20ac"),
        "export the reports again as UTF-8",
    ),
)


def find_leftovers(text: str) -> list[str]:
    """The kinds of leftovers that a report holds.

    Example:
        >>> find_leftovers("<p>Mild MR.</p>")
        ['HTML']
    """
    ascii_kinds = 2 if text.isascii() and text.isprintable() else len(_KINDS)
    return [name for name, pattern, _ in _KINDS[:ascii_kinds] if pattern.search(text)]


def describe_leftovers(counts: Mapping[str, int], num_reports: int) -> Iterator[str]:
    """A sentence for each kind of leftovers.

    Args:
        counts: for each kind the number of reports that hold it.
        num_reports: number of all reports.
    """
    for name, _, remedy in _KINDS:
        if count := counts.get(name, 0):
            yield (
                f"{count:,} of {num_reports:,} reports hold {name}: no phrase matches across "
                f"{'it' if name.isupper() else 'them'}; {remedy}"
            )
