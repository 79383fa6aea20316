"""Which words a model has read, and whether those of a prompt are among them.

    training reports -> words and units -> how many reports hold each, of enough patients
    a prompt         -> words and units -> those that hardly any report held, and what is near them

A model knows nothing of a word that it has not read, and a prompt in such words is answered by
chance. It hardly knows a word either that it has only read inside of phrases, since a phrase is
one id. The counts name no word: each is kept under a hash, and only where the reports of enough
patients hold it (I9).
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echoclip_r.text.codec import TextCodec
    from echoclip_r.text.readers import Unit

__all__ = ["MIN_PATIENTS", "KnownWords", "Remark", "WordCounts", "count_words"]

MIN_PATIENTS = 5
"""A word is counted that stands in the reports of this many patients, or more."""

_FORMAT = 1
_WORD = re.compile(r"[^\W_]+")
_SLOT = re.compile(r"\{[a-z_]+\}")
_CLOSERS = ".,:;!?-/"
# A whole report always holds a rare word: only many of them are worth a remark.
_LONG, _MIN_SHARE_OF_LONG = 30, 0.2
# Words that are known inside of phrases still say something, unless most are.
_MIN_SHARE_OUTSIDE = 0.5
_NUM_NEAREST, _MIN_LIKENESS = 3, 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class WordCounts:
    """In how many training reports each word and each unit of the tokenizer stands.

    Attributes:
        num_reports: number of reports that were read.
        reports_with: number of reports with a word or unit, by its hash; those of fewer than
            `MIN_PATIENTS` patients are left out.
    """

    num_reports: int
    reports_with: Mapping[str, int]

    def to_json(self) -> str:
        """The counts as a file's text; it holds no word of any report."""
        content = {
            "format": _FORMAT,
            "min_patients": MIN_PATIENTS,
            "num_reports": self.num_reports,
            "reports_with": dict(sorted(self.reports_with.items())),
        }
        return json.dumps(content, indent=0) + "\n"

    @classmethod
    def from_json(cls, text: str) -> WordCounts:
        """Read what `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            if content["format"] != _FORMAT:
                raise ValueError(f"format {content['format']} is not known")
            counts = {str(key): int(number) for key, number in content["reports_with"].items()}
            return cls(num_reports=int(content["num_reports"]), reports_with=counts)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no counts of words ({error})") from error


def count_words(reports: Iterable[tuple[str, str]], codec: TextCodec) -> WordCounts:
    """Count the words and units of reports.

    Args:
        reports: patient and text of each report, each report once.
        codec: the model's tokenizer.
    """
    counted: Counter[str] = Counter()
    patients: dict[str, set[str]] = {}
    num_reports = 0
    for patient, text in reports:
        num_reports += 1
        keys = {_key("word", word) for word in _words(text)}
        for unit in set(codec.units(text)):
            keys |= {_key(unit.kind, unit.form), _key("unit", _bare(unit.form))}
        counted.update(keys)
        for key in keys:
            seen = patients.setdefault(key, set())
            if len(seen) < MIN_PATIENTS:
                seen.add(patient)
    kept = {key: number for key, number in counted.items() if len(patients[key]) >= MIN_PATIENTS}
    return WordCounts(num_reports=num_reports, reports_with=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """That a model hardly knows the words of a text.

    Attributes:
        num_words: number of words in the text, numbers left out.
        unknown: words that the reports of fewer than `MIN_PATIENTS` patients hold.
        num_unknown: how often one of these stands in the text.
        outside: units of known words that were read only in other phrases than here or, where the
            run did not count, that no phrase of the tokenizer holds and that have no id of their
            own.
        num_outside: number of words in these.
        share_bpe: share of the words that stand in no phrase or value of the tokenizer.
        nearest: phrases and words that the model knows and that are spelled like these.
        is_counted: whether the run counted what its training reports hold.
        needs_stop: whether all words are known, but the last ones only with a full stop.
    """

    num_words: int
    unknown: tuple[str, ...] = ()
    num_unknown: int = 0
    outside: tuple[str, ...] = ()
    num_outside: int = 0
    share_bpe: float
    nearest: tuple[str, ...] = ()
    is_counted: bool
    needs_stop: bool = False

    def __str__(self) -> str:
        """The remark in words, to stand behind the name of a prompt and a colon."""
        if self.needs_stop:
            return (
                "its last words were read only with a full stop behind them, which this tokenizer "
                "takes together with them; end it with a full stop"
            )
        of = f"of {self.num_words:,} {'word' if self.num_words == 1 else 'words'}"
        said = []
        if self.unknown:
            said.append(
                f"{self.num_unknown} {of} {_were(self.num_unknown)} read in the training reports "
                f"of fewer than {MIN_PATIENTS} patients{self._named(self.unknown)}"
            )
        if self.outside and self.is_counted:
            said.append(
                f"{self.num_outside} {of} {_were(self.num_outside)} read, but in other phrases "
                f"than here{self._named(self.outside)}"
            )
        elif self.outside:
            said.append(
                f"{self.num_outside} {of} stand in no phrase of the tokenizer, which has no id "
                f"for them{self._named(self.outside)}, and the run did not count what its training "
                "reports hold"
            )
        near = "nearest that it knows: " + ", ".join(map(repr, self.nearest))
        return "; ".join([*said, near if self.nearest else "it knows nothing spelled like that"])

    def _named(self, forms: tuple[str, ...]) -> str:
        """Words in brackets; of a whole report none is repeated."""
        return f" ({', '.join(map(repr, forms))})" if self.num_words <= _LONG else ""

    def to_dict(self) -> dict[str, Any]:
        """The remark, ready for JSON."""
        return {"says": str(self), **asdict(self)}


class KnownWords:
    """The words that a model knows.

    Args:
        codec: the model's tokenizer.
        counts: what its training reports hold; None for a run that did not count: then the phrases
            and words of the tokenizer are what it knows, and of open_clip's own tokenizer, which
            was made for other texts, nothing is said.
    """

    def __init__(self, codec: TextCodec, counts: WordCounts | None) -> None:
        self._codec = codec
        self._counts = counts

    def look_up(self, text: str) -> Remark | None:
        """What there is to say of the words of a text; None where the model knows them.

        One unknown word is worth a remark, and so are known ones of which at least half were read
        in other phrases than here. A text of more than 30 words must hold many unknown ones.
        """
        if self._counts is None and self._codec.tokenizer is None:
            return None
        words = _words(text)
        units = [unit for unit in self._codec.units(text) if _words(unit.form)]
        unknown = [word for word in words if not self._is_read(word)]
        rare = [unit for unit in units if not self._is_known(unit)]
        outside = [unit for unit in rare if self._has_read(unit)]
        num_outside = sum(len(_words(unit.form)) for unit in outside)
        num_bpe = sum(len(_words(unit.form)) for unit in units if unit.kind == "bpe")
        if len(words) > _LONG and len(unknown) < _MIN_SHARE_OF_LONG * len(words):
            unknown = []
        if len(unknown) + num_outside < _MIN_SHARE_OUTSIDE * len(words):
            outside, num_outside = [], 0
        told = [*outside, *(unit for unit in rare if unknown and not self._has_read(unit))]
        needs_stop = not unknown and not outside and self._needs_stop(text)
        if not (unknown or outside or needs_stop):
            return None
        return Remark(
            num_words=len(words),
            unknown=tuple(dict.fromkeys(unknown)),
            num_unknown=len(unknown),
            outside=tuple(dict.fromkeys(_bare(unit.form) for unit in outside)),
            num_outside=num_outside,
            share_bpe=num_bpe / max(len(words), 1),
            nearest=() if needs_stop else self._nearest(units, told),
            is_counted=self._counts is not None,
            needs_stop=needs_stop,
        )

    def _is_read(self, word: str) -> bool:
        """Whether the training reports hold a word, or that is not known."""
        return self._counts is None or _key("word", word) in self._counts.reports_with

    def _is_known(self, unit: Unit) -> bool:
        """Whether they hold a unit, whatever closes it."""
        if self._counts is None:
            return unit.kind != "bpe" or unit in self._vocabulary
        return _key("unit", _bare(unit.form)) in self._counts.reports_with

    def _has_read(self, unit: Unit) -> bool:
        """Whether they hold each of its words."""
        return all(map(self._is_read, _words(unit.form)))

    def _needs_stop(self, text: str) -> bool:
        """Whether a full stop behind a text would make ids of it that were read."""
        if self._counts is None:
            return False
        stopped = text.rstrip().rstrip(_CLOSERS) + "."
        return self._num_unread(stopped) < self._num_unread(text)

    def _num_unread(self, text: str) -> int:
        """Number of units of which no report holds this very form."""
        assert self._counts is not None
        return sum(
            _key(unit.kind, unit.form) not in self._counts.reports_with
            for unit in self._codec.units(text)
            if _words(unit.form)
        )

    @cached_property
    def _vocabulary(self) -> frozenset[Unit]:
        """The units that have an id to themselves."""
        return frozenset(self._codec.vocabulary())

    @cached_property
    def _known(self) -> list[tuple[str, Counter[str]]]:
        """Each phrase and word that the model knows, with its parts."""
        units, is_known = self._codec.vocabulary(), self._is_known
        if self._codec.tokenizer is None:
            # Its own words are few and in pieces: the phrases of `echo`, where it has read the
            # words, say more.
            echo = type(self._codec).load("echo", context_length=self._codec.context_length)
            units, is_known = echo.vocabulary(), self._has_read
        forms = dict.fromkeys(
            _bare(unit.form)
            for unit in units
            if len(unit.form) > 1 and _words(unit.form) and is_known(unit)
        )
        return [(form, _parts(form)) for form in forms]

    def _nearest(self, units: Sequence[Unit], told: Sequence[Unit]) -> tuple[str, ...]:
        """What is known and spelled most like the units that are told, or like a run of them."""
        wanted: list[Counter[str]] = []
        for is_told, run in groupby(units, key=lambda unit: unit in told):
            if is_told:
                forms = [_bare(unit.form) for unit in run]
                wanted += [_parts(form) for form in {" ".join(forms), *forms}]
        rated = [
            (max(_likeness(own, parts) for own in wanted), form) for form, parts in self._known
        ]
        rated.sort(key=lambda one: (-one[0], len(one[1]), one[1]))
        return tuple(form for likeness, form in rated[:_NUM_NEAREST] if likeness >= _MIN_LIKENESS)


def _key(kind: str, form: str) -> str:
    """What a unit is counted under."""
    return hashlib.blake2b(f"{kind}\0{form}".encode(), digest_size=8).hexdigest()


def _bare(form: str) -> str:
    """A unit without what closes it: `mitral regurgitation.` is no other word."""
    return form.rstrip(_CLOSERS) or form


def _words(text: str) -> list[str]:
    """The words of a text in small letters, numbers and slots left out."""
    folded = unicodedata.normalize("NFC", _SLOT.sub(" ", text)).lower()
    return [word for word in _WORD.findall(folded) if not word.isnumeric()]


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _parts(form: str) -> Counter[str]:
    """The runs of three letters in each word, its ends marked."""
    return Counter(f" {word} "[at : at + 3] for word in _words(form) for at in range(len(word)))


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """How much two texts share, 0 to 1."""
    shared = (one & other).total()
    return shared / max(one.total() + other.total() - shared, 1)
