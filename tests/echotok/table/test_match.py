"""Leftmost-longest matching against brute force (I3)."""

from __future__ import annotations

import oracle
from hypothesis import given, settings
from strategies import table_texts, tables

from echotok.table.match import Matcher
from echotok.text import split_pieces


@given(table=tables, text=table_texts)
@settings(max_examples=500)
def test_matcher_equals_brute_force(table, text: str) -> None:
    """The trie finds what trying every phrase with every value finds (I3)."""
    matcher = Matcher(table.live, table.values)
    pieces = split_pieces(text)
    for at in range(len(pieces)):
        assert matcher.longest(pieces, at) == oracle.longest(pieces, at, table.live, table.values)
        gate = matcher.followers(pieces[at])
        if gate is not None and [*pieces, " "][at + 1] not in gate:
            assert matcher.longest(pieces, at) is None
