"""Task files: what ships is complete, what a user lays over it counts, what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.labels import read_findings
from echoclip_r.evaluation.tasks import read_tasks

BINARY = """
[[binary]]
name = "{name}"
title = "t"
family = "f"
label = {{ columns = ["x"], at_least = 1 }}
prompts = ["p"]
"""


@pytest.mark.parametrize("source", ["default", "phantom"])
def test_shipped_files_have_the_tasks_of_the_paper(source: str) -> None:
    """Both regressions, devices, heart failure, each chamber in three grades, pressures, fluid."""
    tasks = read_tasks(source)
    names = {task.name for task in tasks.binaries}
    assert {"pacemaker_lead", "impella", "tavr", "mitraclip", "heart_failure"} <= names
    assert {"pericardial_effusion", "raised_ra_pressure"} <= names
    for chamber in ("lv", "rv", "la", "ra"):
        grades = [tasks.binary(f"{chamber}_dilation_{g}") for g in ("mild", "moderate", "severe")]
        assert [task.label.at_least for task in grades] == [1, 2, 3]
    for task in tasks.regressions:
        values = [value for value, _ in task.candidates()]
        assert sorted(set(values)) == list(range(101))
        assert all("{" not in text for _, text in task.candidates())
    assert tasks.regression("ejection_fraction").human_range == (7, 10)
    assert {event.name for event in tasks.events} == {"mitral_surgery", "transplant"}


def test_own_file_overrides_key_by_key_and_adds(tmp_path: Path) -> None:
    """Other prompts keep the label; a finding's phrases add to the rules'; a new task is there."""
    path = tmp_path / "house.toml"
    path.write_text(
        '[[binary]]\nname = "tavr"\nprompts = ["TAVI in situ."]\n'
        '[[finding]]\nname = "tavr"\nphrases = { "core valve" = 1 }\n' + BINARY.format(name="new")
    )
    tasks, before = read_tasks(path), read_tasks()
    assert tasks.binary("tavr").prompts == ("TAVI in situ.",)
    assert tasks.binary("tavr").label == before.binary("tavr").label
    tavr = [finding for finding in tasks.findings if finding.name == "tavr"]
    said = read_findings(["A core valve is seen.", "TAVR in situ.", "Normal."], tavr)
    assert said[:, 0].tolist() == [1, 1, 0]
    assert tasks.binary("new").prompts == ("p",)
    assert len(tasks.binaries) == len(before.binaries) + 1


def test_prompt_for_some_values_only(tmp_path: Path) -> None:
    """A wording with `from` and `to` stands for these values alone."""
    path = tmp_path / "house.toml"
    path.write_text(
        '[[regression]]\nname = "ejection_fraction"\nvalues = [49, 51]\nprompts = ["EF {value}%",'
        ' { text = "reduced to {value}%", to = 49 }]'
    )
    assert read_tasks(path).regression("ejection_fraction").candidates() == [
        (49, "EF 49%"),
        (49, "reduced to 49%"),
        (50, "EF 50%"),
        (51, "EF 51%"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[binary", "cannot be read"),
        ("[[ternary]]\nname='a'", r"'ternary' is not known; .*\[\[double brackets\]\]"),
        ("[binary]\nname='a'", r"write \[\[binary\]\]"),
        ("[[binary]]\ntitle='a'", "number 1 has no name"),
        (BINARY.format(name="a") * 2, "'a' is there twice"),
        ("[[binary]]\nname='a'", r"\[\[binary\]\] 'a': key 'title' is missing"),
        (BINARY.format(name="a").replace("label", "# "), "key 'label' is missing"),
        (
            "[[regression]]\nname='ejection_fraction'\nvalues=[0]",
            "values must be two whole numbers",
        ),
        ("[[regression]]\nname='ejection_fraction'\nprompts=[{to=9}]", "a text with {value}"),
        (BINARY.format(name="a") + "colour='red'", "key 'colour' is not known"),
        (BINARY.format(name="a").replace(", at_least = 1", ""), "either at_least or below"),
        (BINARY.format(name="a").replace('columns = ["x"],', ""), "neither columns nor"),
        (BINARY.format(name="a").replace("prompts", "# "), "either prompts or scored_by"),
        (BINARY.format(name="a").replace('prompts = ["p"]', 'prompts = "p"'), "list of texts"),
        (BINARY.format(name="a").replace('prompts = ["p"]', 'scored_by = "b"'), "no such"),
        (BINARY.format(name="a").replace('columns = ["x"]', 'finding = "b"'), "no such"),
        ("[[regression]]\nname='ejection_fraction'\nprompts=['EF']", "a text with {value}"),
        (
            "[[regression]]\nname='ejection_fraction'\nprompts=[{text='{value}',from=50}]",
            "no prompt is worded for the value 0",
        ),
        ("[[finding]]\nname='tavr'\nphrases={'a'='{mood}'}", "give a number or a slot"),
        (
            "[[finding]]\nname='tavr'\nphrases={'a'='{severity}'}",
            "must hold the slot {severity} exactly once",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, message: str) -> None:
    """File, entry and rule are in the error."""
    path = tmp_path / "own.toml"
    path.write_text(content)
    with pytest.raises(EvaluationError, match=message) as caught:
        read_tasks(path)
    assert "own.toml" in str(caught.value)


def test_missing_file() -> None:
    """A name that is neither shipped nor a file says what ships."""
    with pytest.raises(EvaluationError, match=r"nowhere.*default, phantom"):
        read_tasks("nowhere")


def test_example_of_the_documentation(tmp_path: Path) -> None:
    """The file that docs/evaluation.md shows is one, and does what is said of it."""
    text = (Path(__file__).parents[3] / "docs" / "evaluation.md").read_text(encoding="utf-8")
    path = tmp_path / "house.toml"
    path.write_text(text.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    tasks = read_tasks(path)
    assert tasks.binary("pacemaker_lead").prompts == ("PPM WIRE SEEN IN RV.", "RV LEAD.")
    assert tasks.binary("tavr").against == ("Normal echocardiogram.",)
    bicuspid = [finding for finding in tasks.findings if finding.name == "bicuspid"]
    reports = ["A bicuspid aortic valve.", "The aortic valve is trileaflet.", "Normal."]
    assert read_findings(reports, bicuspid)[:, 0].tolist() == [1, 0, 0]
