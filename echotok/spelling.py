"""The known name that a misspelt one was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str], *, longest: int = 60) -> str:
    """The end of an error message: `; did you mean 'report'?`, or "" where no name is near.

    Letter case, spaces, hyphens and underscores do not count. Whatever is suggested is one of the
    known names; the misspelt name itself is not repeated.

    Args:
        name: the name that was not found.
        known: the names that there are.
        longest: nothing is suggested for a name of more letters, which takes long to compare.

    Example:
        >>> did_you_mean("Reprot", ["report", "patient"])
        "; did you mean 'report'?"
    """
    from difflib import get_close_matches  # takes a while that a start need not

    plain = {_plain(one): one for one in known}
    wanted = _plain(name)
    if len(wanted) > longest:
        return ""
    near = [one for one in plain if wanted and (one in wanted or wanted in one) and len(one) > 2]
    near = [one for one in near if 2 * len(wanted) >= len(one) and len(wanted) > 2]
    found = get_close_matches(wanted, plain, n=1, cutoff=0.6) or sorted(near, key=len)[-1:]
    return f"; did you mean {plain[found[0]]!r}?" if found else ""


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()
