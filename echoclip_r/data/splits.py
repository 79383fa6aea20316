"""Training, validation and test: their names, and the split of each patient (I10)."""

from __future__ import annotations

import hashlib

__all__ = ["SPLITS", "assign_split", "split_named"]

SPLITS = ("train", "validation", "test")

_SPELLINGS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


def split_named(name: str) -> str:
    """The split that a manifest's cell names, in any of the usual spellings.

    Raises:
        ValueError: the cell does not name a split.

    Example:
        >>> split_named("Val")
        'validation'
    """
    split = _SPELLINGS.get(name.lower())
    if split is None:
        raise ValueError("not a split; write train, validation or test, or leave it blank")
    return split


def assign_split(patient_id: str, *, seed: int) -> str:
    """The split of a patient: 80 % train, 10 % validation, 10 % test.

    It depends only on the patient and the seed, so that an archive can grow and no patient moves to
    another split.

    Example:
        >>> assign_split("P-0001", seed=0)
        'train'
    """
    digest = hashlib.blake2b(f"{seed}:{patient_id}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"
