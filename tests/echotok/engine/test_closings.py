"""A row with what closes it is one id; merges that go on where CLIP's end."""

from __future__ import annotations

from pathlib import Path

import pytest

import echotok
from echotok.building import build
from echotok.table.fallback import Fallback
from echotok.tokenizer import Tokenizer


@pytest.fixture
def tok(small_table: Path) -> Tokenizer:
    """The small table, whose rows a full stop or a comma closes."""
    toml = small_table / "table.toml"
    toml.write_text('closings = ".,"\n' + toml.read_text(encoding="utf-8"), encoding="utf-8")
    return build(small_table)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Mild mitral regurgitation.", ["{severity} mitral regurgitation.", "mild"]),
        ("Mild mitral regurgitation,", ["{severity} mitral regurgitation,", "mild"]),
        ("Mild mitral regurgitation", ["{severity} mitral regurgitation", "mild"]),
        ("Mild mitral regurgitation;", ["{severity} mitral regurgitation", "mild", ";</w>"]),
        (
            "Mild mitral regurgitation. Left.",
            ["{severity} mitral regurgitation.", "mild", "left."],
        ),
        ("Left, right", ["left,", "right"]),
        ("Moderate.", ["moderate."]),
        ("55.", ["55", ".</w>"]),
        ("Blood pressure is 120/80.", ["blood pressure is {number}/{number}.", "120", "80"]),
        ("Normal study.", None),
        ("Mild mitral regurgitation .. left ,right", None),
        ("Mild mitral regurgitation.Mild mitral regurgitation.,", None),
    ],
)
def test_what_closes_a_row_is_part_of_its_id(
    tok: Tokenizer, text: str, tokens: list[str] | None
) -> None:
    """Nothing is lost, and a phrase or value takes the stop or comma behind it."""
    encoding = tok.encode(text)
    assert tok.decode(encoding.ids) == tok.normalize(text)
    assert tok.encode(tok.decode(encoding.ids)).ids == encoding.ids
    if tokens is not None:
        assert encoding.tokens[1:-1] == tokens


def test_spans_hold_the_closing(tok: Tokenizer) -> None:
    """A unit's span goes to its stop; a slot's value keeps its own."""
    text = "Severe  mitral regurgitation. Left, normal"
    encoding = tok.encode(text)
    spans = [span and text[slice(*span)] for span in encoding.offsets]
    assert spans[1:4] == ["Severe  mitral regurgitation.", "Severe", "Left,"]
    units = [text[slice(*span)] for span in encoding.unit_offsets]
    assert units[:2] == ["Severe  mitral regurgitation.", "Left,"]


def test_a_new_row_has_its_closings_too(tok: Tokenizer, small_table: Path) -> None:
    """Growth adds three ids for a row that two characters may close, and changes no other."""
    with (small_table / "all.csv").open("a", encoding="utf-8") as file:
        file.write("5,no thrombus,1.1.0,,\n")
    grown = build(small_table, base=tok)
    added = grown.added_since(tok)
    assert [grown.id_to_token(number) for number in added] == [
        "no thrombus",
        "no thrombus.",
        "no thrombus,",
    ]
    assert grown.encode("No thrombus.").ids[1:-1] == added[1:2]


def test_closings_survive_saving(tok: Tokenizer, tmp_path: Path) -> None:
    """An artifact and a written folder keep which characters close a row."""
    tok.save(tmp_path / "a.json")
    again = echotok.load(tmp_path / "a.json")
    assert again.table.closings == ".,"
    assert again.encode("Left.").ids == tok.encode("Left.").ids


@pytest.mark.parametrize("closings", ['"(("', '"a"', "5", '".."'])
def test_closings_are_checked(small_table: Path, closings: str) -> None:
    """Only characters that close something, each once."""
    toml = small_table / "table.toml"
    toml.write_text(f"closings = {closings}\n" + toml.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(echotok.TableError, match="closings"):
        echotok.read_table(small_table)


def test_merges_go_on_where_clip_ends(small_table: Path) -> None:
    """The words that CLIP splits become single tokens with ids of their own; its ids stay."""
    pytest.importorskip("open_clip")
    table = echotok.read_table(small_table)
    plain = Tokenizer.from_table(table, Fallback(kind="clip"))
    word = plain.encode("akinesis").ids[1:-1]
    assert len(word) > 1
    left, *rest = (plain.id_to_token(number) for number in word)
    merges = []
    for right in rest:
        merges.append((left, right))
        left += right
    more = Tokenizer.from_table(table, Fallback(kind="clip", merges=tuple(merges)))
    (new,) = more.encode("akinesis").ids[1:-1]
    assert new >= plain.vocab_size - 64
    assert more.id_to_token(new) == "akinesis</w>"
    assert more.decode([new]) == "akinesis"
    assert more.encode("normal heart").ids[:-1] == plain.encode("normal heart").ids[:-1]
    assert more.bos_id == plain.bos_id == 49406
    assert more.eos_id == more.vocab_size - 1
