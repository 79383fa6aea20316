"""The options of a mined table."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_DISTINCT", "UNITS", "Options"]

MAX_DISTINCT = 1_000_000
"""Of some ten words each, mining them takes about 8 GB."""

UNITS = (
    "mm", "cm", "m", "dm", "mm2", "cm2", "m2", "mm²", "cm²", "m²", "mm3", "cm3", "cc", "ml", "dl",
    "l", "mmhg", "kpa", "m/s", "m/sec", "cm/s", "cm/sec", "mm/s", "m/s2", "ml/m2", "ml/m²", "g/m2",
    "g/m²", "mm/m2", "mm/m²", "cm/m", "cm/m2", "cm/m²", "cm2/m2", "cm²/m²", "mm/m", "g/m",
    "ml/beat", "ml/min", "l/min", "l/min/m2", "l/min/m²", "mmhg/s", "mmhg/sec", "ms", "msec", "sec",
    "s", "min", "mins", "minutes", "hr", "hrs", "bpm", "rpm", "hz", "mhz", "kg", "kg/m2", "kg/m²",
    "g", "mg", "mcg", "lbs", "mets", "watts", "joules", "wu", "fr", "yo", "yrs", "years",
)  # fmt: skip
"""Units of measurement of clinical reports, the same as in the echo table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user decides about a mined table.

    Attributes:
        vocab_size: number of phrases, values, special tokens and tokens of the fallback together;
            spare rows are not counted.
        k: number of patients that must hold a phrase, a value, or a word that trains a merge.
        name: name of the table.
        locale: language of the reports.
        units: spellings of units, as in `PhraseTable.units`.
        longest: largest number of words in a phrase.
        num_merges: number of merges of the fallback; None lets mining choose it.
        words: public words, of the language or of the field, that train the fallback together with
            those of the reports. They are no patient's words, so no patient has to hold them.
        join_sentences: whether a row may hold several sentences that follow each other. It saves
            tokens on templates; a sentence then has one id alone and others among its neighbours.
        max_distinct: number of distinct sentences that are mined at once. Of more, those that fewer
            than k patients hold are drawn by lot and count for the others.
    """

    vocab_size: int
    k: int = 5
    name: str = "mined"
    locale: str = "en"
    units: tuple[str, ...] = UNITS
    longest: int = 30
    num_merges: int | None = None
    words: tuple[str, ...] = ()
    join_sentences: bool = False
    max_distinct: int = MAX_DISTINCT
