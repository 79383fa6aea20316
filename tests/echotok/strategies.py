"""Shared Hypothesis strategies: any Unicode text, report-like text, random tables."""

from __future__ import annotations

from hypothesis import strategies as st

from echotok.table.phrases import Phrase, PhraseTable, parse_phrase
from echotok.table.values import EnumValue

# Fragments that meet every rule of the engine, glued with and without spaces.
FRAGMENTS = [
    "mild", "mildly", "mild to moderate", "moderate", "to", "severe", "mitral", "regurgitation",
    "the", "left", "ventricle", "ventricular", "is", "normal", "in", "size", "no", "not", "a",
    "5", "55", "05", "-5", ".5", "0.85", "1,234.05", "55-60", "55 - 60", "55 to 60",
    "60% to 65%", ">15", "> 15", ">=", "<", "\xb13", "~40", "2d", "cm2", "cm\xb2", "10\xb2",
    "v2x", "1+", "e'", "E/e\u2032", "mmHg", "35mmHg", "2.5m/s", "3cm", "5 %", "%", ".", ",",
    ";", ":", "!", "?", "(", ")", "[", "]", "-", "--", "\u2013", "\u2212", "/", "=", "'", "'s",
    "\u201c", "\u2019", '"', "+", "\xb0", "#", "_", "\n", "\n\n", "\t", "\xa0", "\u2003",
    "\x1c", "\u200b", "\ufeff", "{number}", "{", "}", "<eos>", "<pad>", "</w>", "\xdf",
    "\u0130", "\u03a3", "\u0391\u03a3", "\xe9", "e\u0301", "\u0301", "q\u0323\u0307", "\ufb01",
    "\xc5", "\u212a", "\u5fc3", "\ud55c", "\u1112\u1161\u11ab", "\U0001f600",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\ud800", "\x00", "\u0130\u0323", "5\u0308",
    "-\u0338", "=\u0338",
]  # fmt: skip

# What the rules of numbers, units, contractions, stops and spacing turn on.
ADVERSARIAL = [
    *"0123456789.,-+<>=~%/ '()[]{};:!?\"_#@*&^|\\$`\n\t\x00\x1c\x7f",
    *"abcdehlmorstvx", " to ", "% to ", " - ", "mm", "mmhg", "m/s", "cm2", "cm2/m2", "ml", "'s",
    "'re", "'ll", ". ", ".  ", " .", " .5", " ,", ", ,", "mild", " mitral regurgitation",
    " lvef ", "is ", "no ", "trace to mild", "1+", "\u2019", "\u2013", "\xa0", "\u2003", "\u0301",
    "\xb2", "\xe9", "\u212a", "\u037e", "</w>", "{number}", "severe ", "right ventricle ", "5",
]  # fmt: skip
adversarial = st.lists(st.sampled_from(ADVERSARIAL), max_size=60).map("".join)

anything = st.text(st.characters(), max_size=40)
reportlike = st.lists(
    st.tuples(st.sampled_from(FRAGMENTS), st.sampled_from(["", " ", " ", "  "])), max_size=25
).map(lambda parts: "".join(fragment + space for fragment, space in parts))
texts = st.one_of(reportlike, anything, st.tuples(reportlike, anything).map("".join))

WORDS = ["a", "b", "c", "mild", "to", "moderate", "5", ".", "-", ","]
_VALUES = (
    EnumValue(id=0, slot="kind", text="a"),
    EnumValue(id=1, slot="kind", text="a b"),
    EnumValue(id=2, slot="kind", text="a b c"),
    EnumValue(id=3, slot="other", text="b"),
    EnumValue(id=4, slot="other", text="c to"),
)
_items = st.lists(
    st.tuples(
        st.sampled_from([*WORDS, "{number}", "{severity}", "{kind}", "{other}"]), st.booleans()
    ),
    min_size=1,
    max_size=6,
).map(
    lambda parts: "".join(" " * (space and at > 0) + word for at, (word, space) in enumerate(parts))
)


def _parse(texts: list[str]) -> tuple[Phrase, ...]:
    phrases = []
    for text in dict.fromkeys(texts):
        try:
            items = parse_phrase(text, slots=("number", "severity", "kind", "other"))
        except ValueError:
            continue
        phrases.append(Phrase(id=len(phrases), text=text, items=items, section="s", since="1.0.0"))
    return tuple(phrases)


tables = st.builds(
    lambda texts, closings: PhraseTable(
        name="random",
        version="1.0.0",
        locale="en",
        licence="none",
        provenance="random",
        units=("mm",),
        slots={"kind": "a kind", "other": "another"},
        values=_VALUES,
        phrases=_parse(texts),
        phrase_capacity=16,
        value_capacity=8,
        num_merges=0,
        closings=closings,
    ),
    st.lists(_items, min_size=1, max_size=12),
    st.sampled_from(["", ".", ",."]),
)
table_texts = st.lists(
    st.tuples(st.sampled_from([*WORDS, "55-60", "a b", "mild to moderate"]), st.booleans()),
    max_size=20,
).map(lambda parts: "".join(" " * space + word for word, space in parts))
