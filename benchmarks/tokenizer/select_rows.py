"""Choose the rows of `phrase_tables/echo` among the candidates: `make echo-rows`.

A row is worth the tokens that it saves under leftmost-longest match, for both tokenizers together,
as a share of what CLIP needs on each source. The sources are those of echo text at hand, each of
the same weight whatever its length, and our own synthetic styles and houses at half of it. What a
source says is damped, and the source that says most counts least, so that a row which one source
alone uses is worth little. Rows are taken greedily, the gains of what they touch counted again.

Candidates stand without the full stop, comma or colon that may close them, since a row has an id
for each of these, and without grades in words: `mild mitral regurgitation.` and its like are all
`{severity} mitral regurgitation`. A row that no source of others uses needs two of ours.

`--leave-one-out` chooses without each source in turn, and counts that source with real tokenizers.
`--write` writes the rows into the table.
"""

from __future__ import annotations

import argparse
import csv
import heapq
import itertools
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.common import CORPUS, OWN, ROOT
from benchmarks.tokenizer.shapes import read_shapes
from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merges, count_clip_tokens
from echotok.corpora import read_reports
from echotok.engine.spacing import (
    AFTER_STOP,
    EXPECTS_SPACE,
    VALUE_LEFT,
    VALUE_RIGHT,
    left_edge,
    right_edge,
)
from echotok.table.phrases import BUILT_IN_SLOTS, Phrase, PhraseTable, parse_phrase
from echotok.table.reading import read_clip_fallback, read_fallback, read_table
from echotok.table.rows import PHRASE_COLUMNS, VALUE_COLUMNS
from echotok.table.values import SEVERITY, EnumValue
from echotok.text import is_number, make_normalizer, split_pieces, split_stops
from echotok.tokenizer import Tokenizer

TABLE = ROOT / "phrase_tables" / "echo"
ECHO_SOURCES = (
    "mtsamples_echo",
    "echo/mtsamples_sections_dev",
    "echo/va_reports_dev",
    "echo/e3c_english_dev",
    "echo/spring_cardio",
    "echo/iheartecho",
    "echo/explify",
    "echo/aci_bench",
    "echo/thoriqmacto_statements",
    "echo/wallinator_paediatric_echo",
)
OWN_WEIGHT = 0.5
# A gain is raised to this power, and the largest of a row's gains is multiplied by that.
DAMPING, LARGEST = 0.5, 0.25
# What a row with a typed slot saves counts as much as this: findings read its value.
TYPED = 3.0
_TYPED = re.compile(r"\{(?!number)\w+\}")
# A number alone, and a value of an enumeration alone: what is at least BARE is no row.
BARE = 1 << 60
BARE_ENUM = BARE + 1


def echo_sources() -> dict[str, list[str]]:
    """The echo text of others, source by source."""
    return {
        Path(name).name: [report.text for report in read_reports([CORPUS / f"{name}.jsonl"])]
        for name in ECHO_SOURCES
    }


def own_sources() -> dict[str, list[str]]:
    """Our own synthetic reports: a source a house, and a source a style."""
    texts = {
        house: [report.text for report in read_reports([OWN / house])]
        for house in ("house", "site_a", "site_b")
    }
    for path in sorted((OWN / "styles").glob("*.txt")):
        texts[f"style {path.stem}"] = path.read_text(encoding="utf-8").splitlines()
    return texts


# --- matching every candidate at every place ---


@dataclass(slots=True)
class _Node:
    following: dict[str, _Node] = field(default_factory=dict)
    slots: dict[tuple[str, bool | None], _Node] = field(default_factory=dict)
    end: int | None = None


class Candidates:
    """Candidate rows, and where they match (all of them, not the longest alone).

    Args:
        texts: the candidates.
        table: gives the units and the enumerations.
    """

    def __init__(self, texts: Sequence[str], table: PhraseTable) -> None:
        self.texts = texts
        self._split_number = table.split_number
        self._root = _Node()
        self.edges: list[tuple[int, int]] = []
        self.closings = frozenset(table.closings)
        slots = (*BUILT_IN_SLOTS, *table.slots)
        for number, text in enumerate(texts):
            items = parse_phrase(text, slots=slots, units=table.units)
            node = self._root
            for place, item in enumerate(items):
                if item.slot is not None:
                    key = (item.slot, item.spaced if place else None)
                    node = node.slots.setdefault(key, _Node())
                elif place:
                    piece = " " * item.spaced + item.text
                    node = node.following.setdefault(piece, _Node())
                else:
                    node = node.following.setdefault(item.text, _Node())
                    self._root.following[" " + item.text] = node
            node.end = number
            first, last = items[0], items[-1]
            left = VALUE_LEFT if first.slot else left_edge(first.text)
            right = VALUE_RIGHT if last.slot else right_edge(last.text, spaced=False)
            self.edges.append((left, right))
        self._values: dict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
        for value in (*table.severity_values, *table.live_values):
            self._values[value.slot][tuple(split_pieces(value.text))] = 1
        self._longest_value = max(
            len(pieces) for values in self._values.values() for pieces in values
        )
        self._value_starts = {pieces[0] for values in self._values.values() for pieces in values}

    def values_at(self, slot: str, pieces: Sequence[str], at: int) -> list[tuple[int, int]]:
        """`(end, tokens)` of every value of a type at a piece."""
        first = pieces[at].removeprefix(" ")
        if slot == "number":
            return [(at + 1, len(self._split_number(first)))] if is_number(pieces[at]) else []
        if first not in self._value_starts:
            return []
        known = self._values[slot]
        longest = min(self._longest_value, len(pieces) - at)
        return [
            (at + size, 1)
            for size in range(1, longest + 1)
            if (first, *pieces[at + 1 : at + size]) in known
        ]

    def at(self, pieces: Sequence[str], start: int) -> list[tuple[int, int, int, int]]:
        """`(end, slots, candidate, tokens)` of all that match at a piece, the winner first."""
        found: list[tuple[int, int, int, int]] = []
        stack = [(self._root, start, 0, 1)]
        while stack:
            node, at, slots, tokens = stack.pop()
            if node.end is not None:
                found.append((at, slots, node.end, tokens))
            if at == len(pieces):
                continue
            if (following := node.following.get(pieces[at])) is not None:
                stack.append((following, at + 1, slots, tokens))
            for (slot, spaced), child in node.slots.items():
                if spaced is None or spaced is (pieces[at][0] == " "):
                    stack += [
                        (child, end, slots + 1, tokens + more)
                        for end, more in self.values_at(slot, pieces, at)
                    ]
        bare = [
            (end, 1, BARE if slot == "number" else BARE_ENUM, tokens)
            for slot in ("number", *self._values)
            for end, tokens in self.values_at(slot, pieces, start)
        ]
        found += bare
        return sorted(found, key=lambda match: (-match[0], match[1], match[2], match[3]))


# --- counting tokens ---

CLOSED = right_edge(".", spaced=False)
_Unit = tuple[int, int, int, int]
"""The piece behind a BPE word, its tokens, its left and right edge."""


@dataclass(slots=True, kw_only=True)
class Stretch:
    """A stretch of text that encodes alike wherever it stands.

    Attributes:
        source: where it comes from.
        count: how often it stands there.
        spaced: of each piece, whether a space stands before it.
        closing: of each piece, and behind the last, whether it closes a unit before it.
        after_stop: whether a full stop stands before the stretch.
        matches: of each piece, what matches there, the winner first.
        words: of each piece and tokenizer, the BPE words that may stand there, shortest first.
    """

    source: str
    count: int
    spaced: list[bool]
    closing: list[bool]
    after_stop: bool
    matches: list[list[tuple[int, int, int, int]]]
    words: tuple[list[list[_Unit]], ...]


class Corpus:
    """Texts of several sources, with every match of every candidate.

    Args:
        sources: source -> texts.
        candidates: what may become a row.
        fallbacks: the BPE of each tokenizer that is counted.
        units: of the table.
    """

    def __init__(
        self,
        sources: Mapping[str, Iterable[str]],
        candidates: Candidates,
        fallbacks: Sequence[ByteBPE],
        units: tuple[str, ...],
    ) -> None:
        self.candidates = candidates
        self.num_tokenizers = len(fallbacks)
        self.stretches: list[Stretch] = []
        self.places: dict[int, list[int]] = defaultdict(list)
        self.clip: Counter[str] = Counter()
        clip = ByteBPE(clip_merges())
        normalize = make_normalizer(units)
        for source, texts in sources.items():
            counts: Counter[str] = Counter()
            for text in texts:
                self.clip[source] += count_clip_tokens(text, clip) - 2
                for number, stretch in enumerate(split_stops(normalize(text))):
                    counts[" " * (number > 0) + stretch] += 1
            for written, count in counts.items():
                if written.strip():
                    self._add(source, written, count, fallbacks)

    def _add(self, source: str, text: str, count: int, fallbacks: Sequence[ByteBPE]) -> None:
        pieces = split_pieces(text)
        matches = [self.candidates.at(pieces, at) for at in range(len(pieces))]
        for candidate in {match[2] for found in matches for match in found}:
            if candidate < BARE:
                self.places[candidate].append(len(self.stretches))
        self.stretches.append(
            Stretch(
                source=source,
                count=count,
                spaced=[piece[0] == " " for piece in pieces],
                closing=[*(piece in self.candidates.closings for piece in pieces), False],
                after_stop=text[0] == " ",
                matches=matches,
                words=tuple(
                    [_words(pieces, at, bpe) for at in range(len(pieces))] for bpe in fallbacks
                ),
            )
        )

    def tokens(self, stretch: Stretch, rows: Collection[int], more: int = -1) -> int:
        """Tokens of a stretch, summed over the tokenizers.

        Args:
            stretch: of this corpus.
            rows: the candidates that are rows.
            more: one candidate more.
        """
        edges, matches, spaced = self.candidates.edges, stretch.matches, stretch.spaced
        # What wins at each piece does not hang on the tokenizer.
        wins = [
            next((m for m in found if m[2] >= BARE or m[2] == more or m[2] in rows), None)
            for found in matches
        ]
        total, size = 0, len(spaced)
        for words in stretch.words:
            at = 0
            right = AFTER_STOP if stretch.after_stop else -1
            while at < size:
                win = wins[at]
                if win is None:
                    end, tokens, left, edge = words[at][0]
                    for other in reversed(words[at][1:]):
                        if not any(wins[at + 1 : other[0]]):
                            end, tokens, left, edge = other
                            break
                else:
                    end, tokens = win[0], win[3]
                    left, edge = (VALUE_LEFT, VALUE_RIGHT) if win[2] >= BARE else edges[win[2]]
                    if stretch.closing[end] and win[2] != BARE:
                        end, edge = end + 1, CLOSED
                if right >= 0 and EXPECTS_SPACE[right][left] is not spaced[at]:
                    total += 1
                total += tokens
                right, at = edge, end
        return total


def _words(pieces: Sequence[str], at: int, bpe: ByteBPE) -> list[_Unit]:
    """The BPE words that the encoder may put at a piece: the first part, then longer runs."""
    spaced = pieces[at][0] == " " or at == 0
    end = _part_end(pieces, at)
    word = "".join(pieces[at:end]).removeprefix(" ")
    tokens, right = len(bpe.encode_word(word)), right_edge(word, spaced=spaced)
    left = left_edge(word)
    found = [(end, tokens, left, right)]
    while end < len(pieces) and end - at < 8 and pieces[end][0] != " ":
        if is_number(pieces[end]):
            break
        start, end = end, _part_end(pieces, end)
        part = "".join(pieces[start:end])
        tokens += len(bpe.encode_word(part)) + EXPECTS_SPACE[right][left_edge(part)]
        right = right_edge(part, spaced=False)
        word += part
        whole = len(bpe.encode_word(word))
        if whole < tokens:
            found.append((end, whole, left, right_edge(word, spaced=spaced)))
    return found


def _part_end(pieces: Sequence[str], at: int) -> int:
    def is_word(piece: str) -> bool:
        return piece[0].isalnum() or (piece[0] == "'" and piece[1:2].isalpha())

    part = pieces[at].removeprefix(" ")
    at += 1
    if not is_word(part):
        while at < len(pieces) and pieces[at][0] != " " and not is_word(pieces[at]):
            at += 1
    return at


# --- choosing ---


def worth(gains: Mapping[str, float], favour: float = 1.0) -> float:
    """What a row is worth.

    Args:
        gains: the tokens that it saves a thousand of CLIP's, by source.
        favour: a factor of what it saves.
    """
    weighted = [
        (1.0 if source in NAMES else OWN_WEIGHT, gain) for source, gain in gains.items() if gain
    ]
    if _is_idle({source for source, gain in gains.items() if gain > 0}):
        return 0.0
    saved = sorted(
        (weight * float(gain**DAMPING) for weight, gain in weighted if gain > 0), reverse=True
    )
    if not saved:
        return 0.0
    lost = sum(weight * gain for weight, gain in weighted if gain < 0)
    return favour * (LARGEST * saved[0] + sum(saved[1:])) + lost


def _is_idle(sources: Collection[str | None]) -> bool:
    """Whether a row is used too little: by no source of others and fewer than two of ours."""
    return len(sources) < 2 and NAMES.isdisjoint(sources)


NAMES = frozenset(Path(name).name for name in ECHO_SOURCES)


def choose(
    corpus: Corpus,
    size: int,
    *,
    without: str | None = None,
    allowed: Callable[[int], bool] = lambda _: True,
) -> dict[int, float]:
    """Choose rows greedily.

    Args:
        corpus: the sources.
        size: how many rows at most.
        without: a source that has no say.
        allowed: whether a candidate may become a row.

    Returns:
        Candidate -> its worth when it was taken, in the order of taking.
    """
    rows: dict[int, float] = {}
    now = [corpus.tokens(stretch, rows) for stretch in corpus.stretches]
    changed = [0] * len(now)
    asked: dict[int, int] = {}

    def value(candidate: int) -> float:
        gains: Counter[str] = Counter()
        for place in corpus.places[candidate]:
            stretch = corpus.stretches[place]
            if stretch.source != without:
                saved = now[place] - corpus.tokens(stretch, rows, candidate)
                gains[stretch.source] += saved * stretch.count
        scale = 1000 / corpus.num_tokenizers
        shares = {s: scale * gain / corpus.clip[s] for s, gain in gains.items()}
        return worth(shares, TYPED if _TYPED.search(corpus.candidates.texts[candidate]) else 1.0)

    heap = []
    for candidate in sorted(corpus.places):
        if allowed(candidate) and (gain := value(candidate)) > 0:
            heap.append((-gain, candidate))
    heapq.heapify(heap)
    while heap and len(rows) < size:
        gain, candidate = heapq.heappop(heap)
        if any(changed[place] > asked.get(candidate, 0) for place in corpus.places[candidate]):
            asked[candidate] = len(rows)
            if (again := value(candidate)) > 0:
                heapq.heappush(heap, (-again, candidate))
            continue
        rows[candidate] = -gain
        for place in corpus.places[candidate]:
            tokens = corpus.tokens(corpus.stretches[place], rows)
            if tokens != now[place]:
                now[place], changed[place] = tokens, len(rows)
    return rows


# --- candidates ---

# What a composition of labels and units can bring about, and a cardiologist would not have.
_WRONG_UNIT = re.compile(
    r"(?:gradient|pressure)[^.,]* \{number\} (?:mm|cm|m/s|ml|ms)\b|"
    r"velocity[^.,]* \{number\} (?:mmhg|mm|cm|ml)\b(?!/)"
)
_TOKEN = re.compile(r"\{\w+\}|[a-z0-9]+|[^\sa-z0-9]")


def possible(texts: Iterable[str], sources: Iterable[str], table: PhraseTable) -> list[str]:
    """The candidates whose neighbouring words stand side by side in some text."""
    normalize = make_normalizer(table.units)
    slots = (*BUILT_IN_SLOTS, *table.slots)
    words: set[str] = set()
    pairs: set[tuple[str, str]] = set()
    for text in sources:
        found = _TOKEN.findall(normalize(text))
        words.update(found)
        pairs.update(itertools.pairwise(found))
    kept = []
    for text in texts:
        found = _TOKEN.findall(text)
        if _WRONG_UNIT.search(text):
            continue
        if not all(word in words or word[0] == "{" for word in found):
            continue
        if not all(
            pair in pairs or pair[0][0] == "{" or pair[1][0] == "{"
            for pair in itertools.pairwise(found)
        ):
            continue
        try:
            parse_phrase(text, slots=slots, units=table.units)
        except ValueError:
            continue  # a composition that no row may have, such as `{number} to {number}`
        kept.append(text)
    return kept


# Spellings of a grade that also mean something else: `no significant stenosis`.
_NO_GRADES = {"significant", "significantly", "borderline", "critical", "critically", "extreme"}
_GRADES = re.compile(
    r"\b(?<!-)(?:"
    + "|".join(
        sorted((re.escape(v.text) for v in SEVERITY if v.text[0].isalpha()), key=len, reverse=True)
    )
    + r")\b(?!-| sized| sedation)"
)


# Compositions that say nothing, or that a cardiologist struck when reading the table.
_CLUMSY = re.compile(
    r"\{severity\}(?: \w+){0,2} \{severity\}|\{severity\} to |^to \{severity\}"
    r"|\{severity\} (?:respiratory|procedure|patient|study|sedation)"
    r"|\{level\} (?!.*(?:function|fraction|contractility|systolic))|\{level\} .*size"
    r"|thickness is \{level\}|\{valve\} .*(?:trileaflet|bicuspid|tricuspid)"
    r"|^no (?:la|ra|lv|rv|septal|left|right|aortic|mitral)(?: valve| ventricular)?$"
    r"|\b(?:gradient as|at normal|with systolic|observed by|tamponade are present|normal in"
    r"|at coronary sinus|abnormal wall motion|of \{number\} and)$"
    r"|(?:regurgitation|valve) and (?:a|no)$|thrombus were|pressure from|^mass in$"
    r"|fraction of \{number\}$|^than \{number\}"
)


_SIZES = re.compile(
    r"\b(?:small|large|tiny|moderate sized)\b(?= (?:\w+[ -]){0,3}(?:effusion|shunt|defect|asd|vsd"
    r"|pfo|pda|avsd|thrombus|mass|vegetation|jet)\b)"
)


def typed(text: str) -> str:
    """A candidate with its grades as slots, and without what a row's closings say."""

    def slot(found: re.Match[str]) -> str:
        return found[0] if found[0] in _NO_GRADES else "{severity}"

    text = _SIZES.sub("{size}", text)
    text = _GRADES.sub(slot, text)
    text = text.removesuffix(".").removesuffix(",")
    return text.removesuffix(":") if "{" not in text else text


_BRITISH = (
    ("visualized", "visualised"),
    ("color", "colour"),
    ("hemodynamic", "haemodynamic"),
    ("(?<!o)esophageal", "oesophageal"),
    ("ischemi", "ischaemi"),
    ("edema", "oedema"),
    ("tumor", "tumour"),
    ("characterized", "characterised"),
    ("localized", "localised"),
    ("organized", "organised"),
    ("generalized", "generalised"),
    ("remodeling", "remodelling"),
    ("caliber", "calibre"),
    ("center", "centre"),
    ("fetal", "foetal"),
    ("anesthesia", "anaesthesia"),
    ("noncoronary", "non-coronary"),
)


def british(text: str) -> str:
    """A candidate in British spelling."""
    for american, spelling in _BRITISH:
        text = re.sub(american, spelling, text)
    return text


def is_term(text: str) -> str | None:
    """The enumeration that a candidate fits as a value: a finding, a structure or a quantity."""
    if not re.fullmatch(r"[a-z]+(?:[ -][a-z]+)*", text) or _NO_TERM.search(text):
        return None
    last = text.split()[-1]
    if _PROSTHESIS.search(text):
        return None  # these are an enumeration that we wrote
    if _OTHER_FINDINGS.search(text):
        return "finding"
    if text in ("lv mass", "left ventricular mass"):
        return "quantity"
    return next((slot for slot, words in _TERM_ENDS.items() if last in words), None)


_PROSTHESIS = re.compile(
    r"^(?:\w+ )?(?:mechanical|prosthetic|bioprosthetic|tissue|porcine) .*valves?$|"
    r"\b(?:prosthesis|bioprosthesis|homograft|lead|leads|wire|cannula|catheter|pacemaker|ring"
    r"|mitraclip|stent|conduit|occluder|device)$"
)
_OTHER_FINDINGS = re.compile(
    r"anterior motion$|paradoxical septal motion$|rocking motion$|^restrictive filling"
    r"|spontaneous echo contrast$|^low flow"
)
_NO_TERM = re.compile(
    r"\b(?:is|are|was|were|the|a|an|of|in|no|not|with|without|and|or|there|to|by|for|from|has|on|at"
    r"|normal|evidence|this|that|shows|showed|demonstrates|seen|noted|appears|appear|all|both"
    r"|trace|trivial|mild|moderate|severe|mildly|moderately|severely|status|post|dilated|enlarged"
    r"|akinetic|small|large|tiny|abnormal|impaired|reduced|negative|positive|calcified|thickened"
    r"|three|grade|d-shaped|flattened|thinned|hypertrophied|aneurysmal|seated|preserved"
    r"|borderline|significant|suggesting|hyperdynamic|decreased|depressed|poor|adequate|since"
    r"|technically|limited|difficult|previous|prior|good)\b"
)


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TERM_ENDS = {
    "finding": _words_of(
        "regurgitation stenosis insufficiency effusion hypertrophy enlargement dilatation "
        "dilation thrombus vegetation vegetations prolapse calcification sclerosis "
        "hypertension dysfunction tamponade hypokinesis hypokinesia akinesis dyskinesis "
        "aneurysm shunt defect obstruction leak endocarditis dissection coarctation "
        "fibrillation rhythm disease failure thickening abnormality abnormalities "
        "cardiomyopathy mass overload arteriosus ovale ischemia"
    ),
    "structure": _words_of(
        "valve valves leaflet leaflets cusps annulus ventricle ventricles atrium atria "
        "septum aorta artery arteries root arch cava vein veins wall walls apex appendage "
        "tract pericardium chamber chambers cavity sinus muscle "
        "muscles segments sinuses"
    ),
    "quantity": _words_of(
        "function fraction size pressure pressures gradient velocity area volume diameter "
        "dimension dimensions thickness motion flow ratio index strain relaxation filling "
        "doppler contrast echocardiogram echocardiography echo study quality windows "
        "views view"
    ),
}
SLOT_NAMES = {
    "finding": "lesion, disease or finding, as a noun",
    "structure": "structure of the heart or of the great vessels",
    "quantity": "quantity, function, technique or view",
}


def with_values(table: PhraseTable, terms: Iterable[str]) -> PhraseTable:
    """The table with terms as values of the enumerations that they fit."""
    added = []
    for number, text in enumerate(terms, len(table.values)):
        slot = is_term(text)
        assert slot is not None
        added.append(EnumValue(id=number, slot=slot, text=text))
    return replace(
        table, slots={**table.slots, **SLOT_NAMES}, values=(*table.values, *added), phrases=()
    )


def with_rows(table: PhraseTable, texts: Iterable[str]) -> PhraseTable:
    """The table with these rows and no others."""
    slots = (*BUILT_IN_SLOTS, *table.slots)
    phrases = tuple(
        Phrase(
            id=number,
            text=text,
            items=parse_phrase(text, slots=slots, units=table.units),
            section=section_of(text),
            since=table.version,
        )
        for number, text in enumerate(texts)
    )
    return replace(table, phrases=phrases)


_SECTIONS: tuple[tuple[str, str], ...] = (
    ("study", r"^[a-z][^.,]*:$|^[^a-z]*:|^\{number\}\. |[.,:)] \{number\}\."),
    ("prostheses_and_devices", r"prosthe|seated|mechanical|pacemak|\blead|wire|catheter|device|repl"
     r"ac|repair|annuloplasty|\bring\b|mitraclip|ta[v]|\bavr|\bmvr|homograft|pannus|\bicd|cannula"),
    ("mitral_valve", r"mitral|\bmv\b|\bmr\b|(?<!\} )\bms\b|\bmac\b|\bmva\b|chord|\bmvp\b"),
    ("aortic_valve", r"aortic (?:valve|regurg|sten|insuff|cusp|scler)|\bav\b|\bar\b|\bai\b|\bava\b"
     r"|\bcusps?\b|trileaflet|\bbicuspid"),
    ("tricuspid_valve", r"tricuspid|\btv\b|\btr\b|\bts\b"),
    ("pulmonic_valve", r"pulmon(?:ic|ary) (?:valve|regurg|sten|insuff|artery\b(?! (?:sys|pres|hyp))"
     r")|\bpv\b|\bpi\b|\bpr\b|\bps\b|branch pulm|pulmonary art(?!.*press)"),
    ("venae_cavae_and_pressures", r"cava|\bivc|\bsvc|rvsp|pasp|pressure|pulmonary hyper|collaps|"
     r"respirat|inspirat|\brap\b"),
    ("pericardium", r"pericard|effusion|tamponade|constrict"),
    ("masses_and_thrombus", r"thromb|mass|vegetation|clot|echo contrast|smoke|endocarditis"),
    ("shunts_and_congenital", r"shunt|defect|\basd|\bvsd|\bpfo|\bpda|foramen|ductus|saline|bubble|"
     r"situs|concordan|coarct|congen|great arter|av valve"),
    ("wall_motion", r"wall motion|kine|segment|\{wall\}|\{motion\}|\bapex\b|wall\b"),
    ("diastolic_function", r"diastolic (?:dys)?func|relaxation|e/|filling|e'|decel|grade|inflow"),
    ("aorta", r"aort|sinus(?:es)? of|sinotub"),
    ("right_ventricle", r"right ventric|\brv|tapse"),
    ("left_ventricle", r"left ventric|\blv|ejection|\bef\b|lvef|\bivs|interventricular|systolic fun"
     r"c|hypertrophy|contractil|ventricle"),
    ("atria_and_septum", r"atri|\bla\b|\bra\b|septum|septal|append"),
    ("measurements", r"\{number\}|gradient|velocity|area|volume|diameter|dimension"),
    ("study", r"echo|study|doppler|quality|window|view|compar|prior|previous|probe|patient|heart ra"
     r"te|rhythm|m-mode|2-?d|exam|exercise|stress|sedat|anesth|consent|pain|complic"),
)  # fmt: skip


def section_of(text: str) -> str:
    """The section that a row stands in: for the reader only."""
    for section, pattern in _SECTIONS:
        if re.search(pattern, text):
            return section
    return "clauses" if " " in text else "terms"


# --- the command ---


def choose_table(
    corpora: Callable[[PhraseTable], Corpus],
    table: PhraseTable,
    *,
    num_rows: int,
    num_values: int,
    without: str | None = None,
) -> tuple[PhraseTable, dict[str, float]]:
    """Choose the values, then the rows beside them.

    Returns:
        The table, and the worth of each row.
    """
    first = corpora(table)
    chosen = choose(first, num_rows + num_values, without=without)
    texts = first.candidates.texts
    terms = [texts[number] for number in chosen if is_term(texts[number])][:num_values]
    terms = sorted({*terms, *filter(is_term, map(british, terms))})
    grown = with_values(table, terms)
    second = corpora(grown)
    known = set(terms)
    rows = choose(
        second,
        num_rows * 12 // 11,
        without=without,
        allowed=lambda number: second.candidates.texts[number] not in known,
    )
    users = users_of(second, rows)
    worths = {
        second.candidates.texts[number]: gain
        for number, gain in rows.items()
        if not _is_idle(users[number] - {without})
    }
    # What stands in American spelling stands in British, too, in place of what is worth least.
    twins = {british(text) for text in worths} - worths.keys()
    worths = dict(list(worths.items())[: num_rows - len(twins)]) | dict.fromkeys(sorted(twins), 0.0)
    return with_rows(grown, sorted(worths, key=lambda text: (section_of(text), text))), worths


def ratio(tokenizer: Tokenizer, texts: Iterable[str]) -> float:
    """CLIP's tokens over the tokenizer's, start and end of text left out."""
    clip = ByteBPE(clip_merges())
    texts = list(texts)
    theirs = sum(count_clip_tokens(text, clip) - 2 for text in texts)
    return theirs / sum(len(tokenizer.encode(text).ids) - 2 for text in texts)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--values", type=int, default=420)
    parser.add_argument("--leave-one-out", action="store_true")
    parser.add_argument("--only", nargs="+", help="the sources to leave out, of --leave-one-out")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    table = replace(read_table(TABLE), phrases=())
    table = replace(
        table,
        values=tuple(v for v in table.values if v.slot not in SLOT_NAMES),
        slots={name: what for name, what in table.slots.items() if name not in SLOT_NAMES},
    )
    sources = echo_sources()
    texts = {**sources, **own_sources()}
    ideas: dict[str, str] = {}
    for text, idea in read_shapes().items():
        if (row := typed(text)) and not _CLUMSY.search(row):
            ideas.setdefault(row, idea)
            ideas.setdefault(british(row), idea)
    full = with_values(table, ())
    kept = possible(ideas, (text for each in texts.values() for text in each), full)
    fallback = read_fallback(TABLE)
    assert fallback is not None
    clip_fallback = read_clip_fallback(TABLE)
    bpes = [
        ByteBPE(fallback.merges, base=fallback.base),
        ByteBPE(clip_merges(), more=clip_fallback.merges, more_offset=1 << 20),
    ]
    print(f"{len(ideas):,} candidates, {len(kept):,} of words that stand together", flush=True)

    def corpora(of: PhraseTable) -> Corpus:
        usable = [text for text in kept if "{" not in text or _has_slots(text, of)]
        return Corpus(texts, Candidates(usable, of), bpes, of.units)

    first = corpora(table)

    def cached(of: PhraseTable) -> Corpus:
        return first if of.values == table.values else corpora(of)

    results: dict[str, Any] = {}
    options = {"num_rows": arguments.rows, "num_values": arguments.values}
    if arguments.leave_one_out:
        for source in arguments.only or sources:
            chosen, _ = choose_table(cached, table, without=source, **options)
            results[source] = {
                "num_texts": len(sources[source]),
                "echo": ratio(Tokenizer.from_table(chosen, fallback), sources[source]),
                "echo-clip": ratio(Tokenizer.from_table(chosen, clip_fallback), sources[source]),
            }
            print(source, results[source], flush=True)
        for name in ("echo", "echo-clip"):
            print(name, "mean", sum(r[name] for r in results.values()) / len(results), flush=True)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if arguments.write:
        chosen, worths = choose_table(cached, table, **options)
        write(chosen)
        rows = Corpus(texts, Candidates(list(worths), chosen), bpes, chosen.units)
        explain(rows, [ideas[text] for text in worths])


def explain(corpus: Corpus, ideas: Sequence[str]) -> None:
    """Say what the rows of each idea save, and how many sources use a row.

    Args:
        corpus: the sources, with the table's rows as candidates.
        ideas: the idea of each row.
    """
    everything = frozenset(range(len(ideas)))

    def tokens(rows: Collection[int]) -> dict[str, float]:
        total: Counter[str] = Counter()
        for stretch in corpus.stretches:
            total[stretch.source] += corpus.tokens(stretch, rows) * stretch.count
        return {name: total[name] / corpus.clip[name] / corpus.num_tokenizers for name in NAMES}

    now = tokens(everything)
    for idea, number in Counter(ideas).most_common():
        left = tokens({row for row in everything if ideas[row] != idea})
        share = 1000 * sum(left[name] - now[name] for name in NAMES) / len(NAMES)
        print(f"{idea}: {number} rows save {share:.0f} of a thousand of CLIP's tokens")
    numbers: Counter[str] = Counter()
    for sources in users_of(corpus, everything).values():
        others = len(sources & NAMES)
        numbers[f"{min(others, 2)} of others" if others else f"{min(len(sources), 2)} of ours"] += 1
    for kind, number in sorted(numbers.items()):
        print(f"rows that save tokens on {kind} (2: or more): {number}")


def users_of(corpus: Corpus, rows: Collection[int]) -> dict[int, frozenset[str]]:
    """The sources on which each row saves tokens beside all the others."""
    everything = frozenset(rows)
    now = [corpus.tokens(stretch, everything) for stretch in corpus.stretches]
    users: dict[int, frozenset[str]] = {}
    for row in rows:
        less = everything - {row}
        users[row] = frozenset(
            corpus.stretches[place].source
            for place in corpus.places[row]
            if corpus.tokens(corpus.stretches[place], less) > now[place]
        )
    return users


def _has_slots(text: str, table: PhraseTable) -> bool:
    return all(name in (*BUILT_IN_SLOTS, *table.slots) for name in re.findall(r"\{(\w+)\}", text))


def write(table: PhraseTable) -> None:
    """Write rows and new values into the table's folder."""
    for path in TABLE.glob("*.csv"):
        if path.name != "values.csv":
            path.unlink()
    sections: dict[str, list[Phrase]] = defaultdict(list)
    for phrase in table.phrases:
        sections[phrase.section].append(phrase)
    for section, phrases in sections.items():
        with (TABLE / f"{section}.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(PHRASE_COLUMNS)
            writer.writerows([p.id, p.text, p.since, "", ""] for p in phrases)
    path = TABLE / "values.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.reader(stream)][1:]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(VALUE_COLUMNS)
        writer.writerows(row for row in rows if row[1] not in SLOT_NAMES)
        writer.writerows(
            [v.id, v.slot, v.text, "", table.version, "", ""]
            for v in table.values
            if v.slot in SLOT_NAMES
        )


if __name__ == "__main__":
    main()
