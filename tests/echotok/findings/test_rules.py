"""Rules files: what ships is whole, what is laid over it counts, what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

import echotok
from echotok.errors import InputError
from echotok.findings.reading import findings
from echotok.findings.rule_files import read_findings_rules
from echotok.findings.rules import expand_phrase

OWN = '[[finding]]\nname = "a"\ntitle = "A"\nfamily = "f"\nterms = ["aaa"]\n'


def test_shipped_rules_have_the_findings_of_adult_echo() -> None:
    """There are at least sixty, and the names of the task files are among them."""
    rules = echotok.read_findings_rules("echo")
    assert len(rules.findings) >= 60
    assert {"ejection_fraction", "lv_dilation", "pacemaker_lead", "wall_motion"} <= set(
        rules.findings
    )


def test_own_file_adds_to_an_entry_and_overrides_its_scalars(tmp_path: Path) -> None:
    """A phrase more is read beside those that ship; another unsaid value counts."""
    path = tmp_path / "house.toml"
    path.write_text('[[finding]]\nname = "impella"\nterms = ["blue pump"]\nunsaid = 2\n')
    rules = read_findings_rules(path)
    assert [row.name for row in findings("Blue pump. Impella.", rules)] == ["impella"] * 2
    assert rules.findings["impella"].unsaid == 2
    assert read_findings_rules().findings["impella"].unsaid == 0


def test_file_that_stands_alone(tmp_path: Path) -> None:
    """With `alone`, nothing of what ships is left."""
    path = tmp_path / "own.toml"
    path.write_text('alone = true\n[cues]\ndeny_before = ["no"]\n' + OWN)
    rules = read_findings_rules(path)
    assert [(row.name, row.status) for row in findings("No aaa. Severe MR.", rules)] == [
        ("a", "absent")
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[finding", "cannot be read"),
        ("[findings]\na = 1", "key 'findings' is not known"),
        ("[finding]\na = 1", r"write \[\[finding\]\]"),
        ("[[finding]]\ntitle = 'a'", "number 1 has no name"),
        (OWN + OWN, "'a' is there twice"),
        (OWN.replace('title = "A"\n', ""), "'a': key 'title' is missing"),
        (OWN + 'colour = "red"', "'a': key 'colour' is not known"),
        (OWN + 'kind = "mood"', "kind is 'mood'; give one of grade, sign, number, class"),
        (OWN + "range = [5, 1]", "range must be two numbers, the lower first"),
        (OWN + "whole = 1", "whole must be true or false"),
        (OWN + 'structure = "b"', r"there is no \[\[structure\]\] 'b'"),
        (OWN + 'states = ["b"]', "need a structure"),
        (OWN + 'dimension = "b"', "no dimension 'b'"),
        (OWN + 'dimension = "length"\nunit = "b"', "unit 'b' is no spelling of length"),
        (OWN.replace('terms = ["aaa"]', ""), "no phrase says it"),
        (OWN.replace("aaa", "AAA"), r"'a'.*phrase 'AAA'.*write it as 'aaa'"),
        (OWN.replace("aaa", "a [b"), "bracket is not closed"),
        (OWN.replace("aaa", "{mood} a"), r"unknown slot \{mood\}"),
        ("[cues]\nshout = ['a']", r"\[cues\] 'shout' is not known"),
        ("[grades]\nmild = 'x'", "a word and its number"),
        ("[[structure]]\nname = 'a'\nwords = ['b']\nparts = ['c']", "parts names 'c'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    """File, entry and rule are in the error."""
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_findings_rules(path)
    assert "own.toml" in str(caught.value)


TWO = "# mine\n\n" + OWN.replace('"a"', '"z"').replace("aaa", "zzz") + "\n" + OWN


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("x = 1\n[finding", 2),
        ("name = 'x'\nx = 1", 2),
        ("name = 'x'\n\n[findings]\na = 1", 3),
        (TWO + "\n[[finding]]\ntitle = 'b'", 15),
        (TWO + 'colour = "red"', 14),
        (TWO + 'kind = "mood"', 14),
        (TWO.replace('title = "A"\n', ""), 3),
        (TWO.replace("aaa", "AAA"), 13),
        (TWO + 'denied = [\n"b",\n"a [b"\n]', 16),
        ("[cues]\ndeny_before = ['a']\nshout = ['a']", 3),
        ("[cues]\ndeny_before = ['a']\n\ndeny_behind = 'a'", 4),
        ("[[finding]]\nname = 'mitral_regurgitation'\n[finding.says]\n'Foo' = 1", 4),
        ("\ncapitals = 3", 2),
    ],
)
def test_line_of_what_is_wrong_is_told(tmp_path: Path, content: str, line: int) -> None:
    """An error begins with the file and the line to look at."""
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(InputError, match=rf"own\.toml:{line}: "):
        read_findings_rules(path)


def test_line_is_told_of_the_file_that_is_wrong(tmp_path: Path) -> None:
    """Of two files laid over each other, the one with the phrase is named."""
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(OWN + 'denied = ["BBB"]')
    two.write_text('[[finding]]\nname = "a"\ntitle = "Other"\n')
    with pytest.raises(InputError, match=r"one\.toml:6: "):
        read_findings_rules(one, two)


def test_phrase_with_choices() -> None:
    """Optional parts and choices multiply."""
    assert set(expand_phrase("a [b] (c|d e)")) == {"a c", "a d e", "a b c", "a b d e"}
