"""Who is trained on and who is tested on."""

from collections import Counter

import pytest

from echoclip_r.data.splits import SPLITS, assign_split, split_named


def test_splits_are_80_10_10():
    """Over many patients, for any seed; another seed gives another split."""
    for seed in (0, 1):
        counts = Counter(assign_split(f"P{number}", seed=seed) for number in range(20_000))
        assert [round(counts[split] / 20_000, 2) for split in SPLITS] == [0.8, 0.1, 0.1]
    assert any(assign_split(f"P{n}", seed=0) != assign_split(f"P{n}", seed=1) for n in range(50))


def test_a_patient_never_moves():
    """In every version: an archive that grows must move nobody from training to test."""
    expected = {"P-0001": "train", "P-0004": "validation", "P-0010": "test"}
    assert {patient: assign_split(patient, seed=0) for patient in expected} == expected


@pytest.mark.parametrize(
    ("cell", "split"),
    [("train", "train"), ("Training", "train"), ("VAL", "validation"), ("valid", "validation")],
)
def test_usual_spellings_are_understood(cell, split):
    """As archives write them."""
    assert split_named(cell) == split


@pytest.mark.parametrize("cell", ["dev", "tset", "", "train "])
def test_a_split_of_another_name_is_refused(cell):
    """With what to write instead."""
    with pytest.raises(ValueError, match="not a split; write train, validation or test, or leave"):
        split_named(cell)
