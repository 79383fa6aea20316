"""Pseudonyms in place of ids, and dates shifted by patient."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date, timedelta

__all__ = ["pseudonym", "shifted_date"]


_MIN_SALT_CHARACTERS = 16


def pseudonym(kind: str, name: str, salt: str) -> str:
    """What stands for an id: 20 hex digits that only the holder of the salt can make again.

    Example:
        >>> pseudonym("patient", "P-0001", "0123456789abcdef")
        'd856c7035b90f1ec5372'
    """
    return hmac.new(salt.encode(), f"{kind}:{name}".encode(), hashlib.sha256).hexdigest()[:20]


def shifted_date(day: str, patient_id: str, salt: str) -> str:
    """An ISO date moved back by 1 to 365 days, the same for all of a patient's studies."""
    if not day:
        return ""
    shift = 1 + int(pseudonym("date", patient_id, salt), 16) % 365
    return (date.fromisoformat(day) - timedelta(days=shift)).isoformat()
