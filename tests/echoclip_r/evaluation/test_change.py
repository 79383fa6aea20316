"""Change over time: which study is compared with which, before an event and after it."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.change import _event_remarks, change_scores, follow
from echoclip_r.metrics.bootstrap import Resampling


def studies(*rows: tuple[str, str, int]) -> tuple[pd.DataFrame, np.ndarray]:
    """(patient, date, event flag) of each study; study k points k degrees off the first axis."""
    frame = pd.DataFrame(rows, columns=["patient_id", "date", "since_surgery"])
    angle = np.deg2rad(np.arange(len(rows)))
    return frame, np.stack([np.cos(angle), np.sin(angle)], axis=1)


def test_every_study_is_compared_with_the_earliest() -> None:
    """Before and after come from the patient's event, which lies halfway between two studies."""
    frame, embeddings = studies(
        ("A", "2020-03-11", 1),
        ("A", "2020-01-01", 0),
        ("A", "2020-03-01", 0),
        ("B", "2020-01-01", 0),
        ("B", "2020-01-31", 0),
    )
    found = follow(frame, embeddings, since=["since_surgery"])
    assert found[["patient_id", "when", "days"]].to_numpy().tolist() == [
        ["A", "before", -5],
        ["A", "after", 5],
        ["B", "no event", 30],
    ]
    degrees = np.rad2deg(np.arccos(found["cosine"]))
    assert degrees.tolist() == pytest.approx([1, 1, 1], abs=1e-4)


def test_window_moves_the_earliest_study() -> None:
    """A study long before the event is no reference, one long behind it is not looked at."""
    frame, embeddings = studies(
        ("A", "2010-01-01", 0),
        ("A", "2020-01-01", 0),
        ("A", "2020-02-01", 1),
        ("A", "2029-01-01", 0),
    )
    found = follow(frame, embeddings, since=["since_surgery"], window_days=400)
    assert found["when"].tolist() == ["after"]
    assert np.rad2deg(np.arccos(found["cosine"])).tolist() == pytest.approx([1], abs=1e-4)


def test_who_cannot_be_compared_is_left_out() -> None:
    """An event before the first study, undated studies, another event."""
    frame, embeddings = studies(
        ("A", "2020-01-01", 1),
        ("A", "2020-02-01", 0),
        ("B", "", 0),
        ("B", "2020-01-01", 0),
        ("C", "2020-01-01", 0),
        ("C", "2020-02-01", 0),
    )
    frame["since_transplant"] = [0, 0, 0, 0, 0, 1]
    found = follow(
        frame, embeddings, since=["since_surgery", "missing"], others=["since_transplant"]
    )
    assert len(found) == 0


def test_dated_events_stand_in_for_the_column() -> None:
    """Dates by patient tell before from after."""
    frame, embeddings = studies(("A", "2020-01-01", 0), ("A", "2020-02-01", 0))
    found = follow(frame, embeddings, dates={"A": "2020-01-21"})
    assert found[["when", "days"]].to_numpy().tolist() == [["after", 11]]


def test_a_flag_that_is_no_flag_is_not_taken_for_an_event() -> None:
    """-1 and 999 for "missing" make nobody a patient with an event."""
    frame, embeddings = studies(
        ("A", "2020-01-01", 0), ("A", "2020-02-01", 999), ("B", "2020-01-01", -1)
    )
    found = follow(frame, embeddings, since=["since_surgery"])
    assert found["when"].tolist() == ["no event"]


def test_scores_by_hand() -> None:
    """Lower cosines after the event are what is looked for; each kind of control has its AUC."""
    table = pd.DataFrame(
        {
            "patient_id": list("ABCDE"),
            "when": ["after", "after", "before", "no event", "no event"],
            "days": [1.0] * 5,
            "cosine": [0.2, 0.6, 0.5, 0.7, 0.6],
        }
    )
    found = {
        name: f.value
        for name, f in change_scores(table, resampling=Resampling(num_draws=20)).figures.items()
    }
    assert found == pytest.approx(
        {
            "auc": (1 + 1 + 1 + 0 + 1 + 0.5) / 6,
            "auc_before": 0.5,
            "auc_no_event": 3.5 / 4,
            "cosine:before": 0.5,
            "cosine:after": 0.4,
            "cosine:no event": 0.65,
        }
    )


def test_nothing_to_compare_is_said() -> None:
    """Without studies after an event, or without any other, there is no AUC."""
    table = pd.DataFrame({"patient_id": ["A"], "when": ["after"], "days": [1.0], "cosine": [0.5]})
    with pytest.raises(EvaluationError, match="1 studies after the event and 0 others"):
        change_scores(table)
    with pytest.raises(EvaluationError, match="both kinds are needed"):
        change_scores(table.iloc[:0])


def test_remarks_of_many_patients_take_little_time() -> None:
    """Each patient is looked up once: ten thousand take a moment."""
    ids = [f"P{number}" for number in range(10_000)]
    studies = pd.DataFrame({"patient_id": ids, "date": "2020-05-01"})
    dates = dict.fromkeys(ids[:9_000], "2019-01-01") | dict.fromkeys(ids[9_000:], "2021-01-01")
    begin = time.process_time()
    first, second = _event_remarks(studies, dates)
    assert time.process_time() - begin < 2
    assert first.startswith("9,000 of 10,000 patients with the event had it before")
    assert second == "1,000 of 10,000 patients with the event had it after their last study"
