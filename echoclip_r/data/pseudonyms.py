"""Pseudonyms and shifted dates, which replace an archive's ids and dates when a salt is given.

The same salt always gives the same pseudonyms, so that archives prepared apart still fit together;
without it nobody can go back from a pseudonym to an id, nor from a shifted date to the true one.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import date, timedelta

from echoclip_r.errors import OptionError

__all__ = ["check_salt", "pseudonym", "shifted_date"]

_MIN_SALT_CHARACTERS = 16


def check_salt(salt: str) -> None:
    """Check that a salt is too long to be found by trying.

    Raises:
        OptionError: the salt is too short; the message does not show it.
    """
    if len(salt) < _MIN_SALT_CHARACTERS:
        raise OptionError(
            f"the salt has {len(salt)} characters; with fewer than {_MIN_SALT_CHARACTERS} the ids "
            "can be found by trying; make a longer one with `openssl rand -hex 32`"
        )


def pseudonym(kind: str, name: str, salt: str) -> str:
    """The pseudonym of an id: 20 hex digits that only the holder of the salt can make again.

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
