"""Patient identification: which pairs are made, and what their cosines tell."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.evaluation.identification import find_pairs, identification_scores
from echoclip_r.metrics.bootstrap import Resampling


def embedded(studies: list[tuple[str, str]], *, likeness: float, seed: int = 0) -> Embedded:
    """One clip of four frames for each (patient, study); a patient's frames share a direction."""
    rng = np.random.default_rng(seed)
    own = {patient: rng.normal(size=32) for patient, _ in studies}
    frames = np.concatenate(
        [rng.normal(size=(4, 32)) + likeness * own[patient] for patient, _ in studies]
    )
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    clips = pd.DataFrame(
        [
            {"key": str(n), "study_id": study, "patient_id": patient, "report": "", "date": ""}
            for n, (patient, study) in enumerate(studies)
        ]
    )
    return Embedded(
        clips=clips,
        frames=frames.astype(np.float32),
        frame_clip=np.repeat(np.arange(len(studies)), 4),
    )


STUDIES = [(f"P{number // 2}", f"S{number}") for number in range(40)]


def test_pairs_are_all_of_a_patient_and_some_between_patients() -> None:
    """Each two studies of a patient are one pair; no pair of patients is a patient with itself."""
    one = embedded([("A", "1"), ("A", "2"), ("A", "3"), ("B", "4"), ("B", "5")], likeness=1)
    table = find_pairs(one).table
    _, studies = one.studies()
    same = table[table["kind"] == "same patient"]
    expected = [
        float(studies[i] @ studies[j])
        for group in ([0, 1, 2], [3, 4])
        for i, j in itertools.combinations(group, 2)
    ]
    assert sorted(same["cosine"]) == pytest.approx(sorted(expected), abs=1e-6)
    other = table[table["kind"] == "different patients"]
    between = {round(float(studies[i] @ studies[j]), 5) for i in range(3) for j in (3, 4)}
    assert {round(value, 5) for value in other["cosine"]} <= between
    assert len(other) > 10


def test_same_study_pairs_are_clips_where_there_are_two() -> None:
    """Two clips of a study are a pair; without any, halves of a clip stand in, and it is said."""
    pairs = find_pairs(embedded([("A", "1"), ("A", "1"), ("B", "2")], likeness=1))
    assert (pairs.table["kind"] == "same study").sum() == 1
    assert pairs.same_study.startswith("two clips")
    halves = find_pairs(embedded(STUDIES, likeness=1))
    assert (halves.table["kind"] == "same study").sum() == 40
    assert "even and odd" in halves.same_study


def test_auc_equals_scikit_learn_and_rises_with_likeness() -> None:
    """Embeddings that share a patient's direction identify, those that do not are at chance."""
    aucs = []
    for likeness in (0.0, 0.3, 3.0):
        pairs = find_pairs(embedded(STUDIES, likeness=likeness))
        figure = identification_scores(pairs, resampling=Resampling(num_draws=100)).figures["auc"]
        judged = pairs.table[pairs.table["kind"] != "same study"]
        expected = roc_auc_score(judged["kind"] == "same patient", judged["cosine"])
        assert figure.value == pytest.approx(expected)
        assert figure.low <= figure.value <= figure.high
        aucs.append(figure.value)
    assert aucs[0] == pytest.approx(0.5, abs=0.15)
    assert aucs[0] < aucs[1] < aucs[2]
    assert aucs[2] == 1


def test_means_of_each_kind() -> None:
    """The mean cosine of each kind is what its pairs have."""
    pairs = find_pairs(embedded(STUDIES, likeness=1))
    scores = identification_scores(pairs, resampling=Resampling(num_draws=10))
    for kind, cosines in pairs.table.groupby("kind")["cosine"]:
        figure = scores.figures[str(kind).replace(" ", "_")]
        assert figure.value == pytest.approx(cosines.mean())
    assert scores.num_patients == 20
