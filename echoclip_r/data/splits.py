"""The splits of an archive, by patient."""

from __future__ import annotations

import hashlib

__all__ = ["SPLITS", "assign_split"]


SPLITS = ("train", "validation", "test")


_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


def assign_split(patient_id: str, *, seed: int) -> str:
    """The split of a patient: 80 % train, 10 % validation, 10 % test.

    It depends on the patient and the seed alone, so that an archive can grow without anyone
    moving from one split to another.

    Example:
        >>> assign_split("P-0001", seed=0)
        'train'
    """
    digest = hashlib.blake2b(f"{seed}:{patient_id}".encode(), digest_size=8).digest()
    share = int.from_bytes(digest, "big") / 2**64
    return "train" if share < 0.8 else "validation" if share < 0.9 else "test"
