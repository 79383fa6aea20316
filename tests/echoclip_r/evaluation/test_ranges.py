"""Labels that cannot be true: left out, counted and said, never believed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.datasets import Dataset, make_items
from echoclip_r.evaluation.outcomes import Outcome
from echoclip_r.evaluation.runner import evaluate_model
from echoclip_r.evaluation.tasks import Tasks, read_tasks
from echoclip_r.metrics.bootstrap import Resampling

TASKS = read_tasks("phantom")


def run(
    helpers: SimpleNamespace, embedded: Embedded, tasks: Tasks = TASKS
) -> tuple[dict[str, Outcome], dict[str, str]]:
    dataset = Dataset(
        name="internal", test=make_items(embedded, "study", tasks.findings), validation=None
    )
    outcomes, skipped = evaluate_model(
        "m", [dataset], helpers.text_embeddings, tasks, resampling=Resampling(num_draws=10)
    )
    return {one.task: one for one in outcomes}, {one.task: one.reason for one in skipped}


@pytest.mark.parametrize("missing", [-1.0, 0.0, 999.0, 9999.0, 0.55])
def test_a_number_for_missing_is_left_out(helpers: SimpleNamespace, missing: float) -> None:
    """Figures are those of the other studies alone, and the remark counts what was left out."""
    embedded = helpers.phantom_embedded(40, seed=3, noise=0.05)
    right = embedded.clips["ef"].copy()
    embedded.clips.loc[::4, "ef"] = np.nan
    want, _ = run(helpers, embedded)
    embedded.clips.loc[::4, "ef"] = missing
    found, _ = run(helpers, embedded)
    num = len(right.iloc[::4])
    for task in ("ejection_fraction", "heart_failure"):
        assert found[task].scores.num_items == want[task].scores.num_items == len(right) - num
        # As text, in which a figure that is not known equals itself.
        assert str(found[task].scores.figures) == str(want[task].scores.figures)
        (remark,) = found[task].about["remarks"]
        assert f"'ef': {num} of {len(right)} values are outside of the task's range, 5 to 95: " in (
            remark
        )
        assert f"{missing:g} ({num} times); left out" in remark
        assert want[task].about["remarks"] == []
    assert (
        found["heart_failure"].about["num_positive"] == want["heart_failure"].about["num_positive"]
    )


def test_a_column_of_fractions_is_refused(helpers: SimpleNamespace) -> None:
    """0.55 is no ejection fraction of 55 %: the task is not run, and the reason says what to do."""
    embedded = helpers.phantom_embedded(30, seed=3, noise=0.05)
    embedded.clips["ef"] /= 100
    found, skipped = run(helpers, embedded)
    assert not {"ejection_fraction", "heart_failure"} & set(found)
    for task in ("ejection_fraction", "heart_failure"):
        assert "look like fractions: multiply the column by 100" in skipped[task]


def test_a_column_of_nothing_but_placeholders_is_refused(helpers: SimpleNamespace) -> None:
    """Where no value can be true, there is no task."""
    embedded = helpers.phantom_embedded(20, seed=3, noise=0.05)
    embedded.clips["pap_mmhg"] = -1.0
    _, skipped = run(helpers, embedded)
    assert (
        "values are outside of the task's range, 5 to 150: -1"
        in (skipped["pulmonary_artery_pressure"])
    )


def test_placeholders_in_devices_and_grades(helpers: SimpleNamespace) -> None:
    """-1 is no `no`, and 9 is no `yes`."""
    embedded = helpers.phantom_embedded(40, seed=3, noise=0.05)
    num = len(embedded.clips)
    embedded.clips.loc[:4, "pacer"] = 9.0
    embedded.clips.loc[:4, "lv_dilation"] = -1.0
    found, _ = run(helpers, embedded)
    for task in ("pacemaker_lead", "lv_dilation_mild"):
        assert found[task].scores.num_items == num - 5
        assert found[task].about["remarks"][0].startswith("label column ")


def test_a_task_file_states_its_range(tmp_path: Path, helpers: SimpleNamespace) -> None:
    """A range of one's own counts; without one a number has that of its values."""
    path = tmp_path / "tasks.toml"
    label = 'label = { columns = ["ef"]'
    path.write_text(
        f'[[regression]]\nname = "ejection_fraction"\n{label}, range = [40, 60] }}\n'
        f'[[regression]]\nname = "pulmonary_artery_pressure"\nvalues = [20, 70]\n'
        'label = { columns = ["pap_mmhg"] }\n'
        f'[[binary]]\nname = "heart_failure"\n{label}, below = 50 }}\n'
        f'[[binary]]\nname = "tavr"\nlabel = {{ columns = ["ef"], at_least = 1 }}\n'
    )
    tasks = read_tasks("phantom", path)
    assert tasks.regression("ejection_fraction").label.range == (40, 60)
    assert tasks.regression("pulmonary_artery_pressure").label.range == (20, 70)
    assert tasks.binary("heart_failure").label.range == (40, 60)  # of what scores it
    assert tasks.binary("tavr").label.range == (0, float("inf"))
    found, _ = run(helpers, helpers.phantom_embedded(40, seed=3, noise=0.05), tasks)
    assert found["ejection_fraction"].items["truth"].between(40, 60).all()


@pytest.mark.parametrize("span", ["5", "[5]", "[9, 5]", '["a", "b"]', "[5, 95, 100]"])
def test_a_range_is_two_numbers(tmp_path: Path, span: str) -> None:
    """Anything else is an error that names the task."""
    path = tmp_path / "tasks.toml"
    path.write_text(
        '[[binary]]\nname = "tavr"\n'
        f'label = {{ columns = ["tavr"], at_least = 1, range = {span} }}\n'
    )
    with pytest.raises(EvaluationError, match="'tavr': the label's range must be two numbers"):
        read_tasks(path)
