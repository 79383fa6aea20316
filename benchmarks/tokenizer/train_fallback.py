"""Train the merges that `phrase_tables/echo` carries: `make fallback`.

`merges.txt` is the fallback of `echo`. `clip_merges.txt` goes on where CLIP's merges end, for
`echo-clip`: the clinical words and runs that CLIP splits become single tokens.

Four kinds of words, with counts only: runs of up to three pieces without a space (`stenosis.`,
`end-diastolic`) that at least five documents of the corpus hold; the words of our own shapes; and
the words of many languages: the commonest of nine from pyspellchecker's lists, the stop words of
some thirty from stopwordsiso (both under the MIT licence), and echo terms that we wrote down
(`phrase_tables/candidates/languages.tsv`). The echo sources that the table is measured on are not
among the corpus.
"""

from __future__ import annotations

import argparse
import gzip
import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import spellchecker
import stopwordsiso

from benchmarks.common import CORPUS, ROOT
from benchmarks.tokenizer.shapes import SHAPES, read_shapes
from echotok.bpe import ByteBPE
from echotok.bpe_training import train_merges
from echotok.clip_merges import clip_merges
from echotok.corpora import read_reports
from echotok.table.reading import read_table
from echotok.text import is_number, make_normalizer, split_pieces

TABLE = ROOT / "phrase_tables" / "echo"
CORPORA = ("mtsamples_other", "indiana_cxr", "ptbxl_ecg")
MIN_DOCUMENTS = 5
LONGEST_RUN = 3
# Weights: (words taken, sum of their counts). A count is damped, so that common words leave room.
CORPUS_TOTAL, CORPUS_POWER = 1_500_000, 0.6
LANGUAGES = {
    "en": (25_000, 300_000),
    "de": (15_000, 80_000),
    "fr": (15_000, 80_000),
    "es": (15_000, 80_000),
    "pt": (15_000, 80_000),
    "it": (15_000, 80_000),
    "nl": (8_000, 40_000),
    "ru": (6_000, 40_000),
    "ar": (6_000, 30_000),
}
STOP_WORDS = (
    *("af", "bg", "br", "ca", "cs", "da", "el", "et", "eu", "fa", "fi", "ga", "gl", "he", "hr"),
    *("hu", "hy", "id", "ko", "lt", "lv", "no", "pl", "ro", "sk", "sl", "sv", "tr", "uk", "vi"),
)
STOP_WORD_COUNT, TERM_COUNT = 8, 8
LANGUAGE_POWER = 0.5
OWN_COUNT, OWN_CLOSED_COUNT = 60, 20
NUM_CLIP_MERGES = 8000


def runs(normalized: str) -> Iterator[str]:
    """The words of a text, and the runs of pieces without a space that begin with them."""
    pieces = split_pieces(normalized)
    for start, piece in enumerate(pieces):
        if is_number(piece):
            continue
        run = piece.removeprefix(" ")
        yield run
        for following in pieces[start + 1 : start + LONGEST_RUN]:
            if following[0] == " " or is_number(following):
                break
            run += following
            if any(map(str.isalpha, run)):
                yield run


def corpus_counts(units: tuple[str, ...]) -> Counter[str]:
    """Runs that MIN_DOCUMENTS documents hold, with damped counts."""
    normalize = make_normalizer(units)
    counts: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for report in read_reports([CORPUS / f"{name}.jsonl" for name in CORPORA]):
        found = Counter(runs(normalize(report.text)))
        counts.update(found)
        documents.update(found.keys())
    kept = {run: n**CORPUS_POWER for run, n in counts.items() if documents[run] >= MIN_DOCUMENTS}
    return _scaled(kept, CORPUS_TOTAL)


def language_counts(code: str, units: tuple[str, ...]) -> Counter[str]:
    """The commonest words of a language, with damped counts."""
    top, total = LANGUAGES[code]
    path = Path(spellchecker.__file__).parent / "resources" / f"{code}.json.gz"
    words: dict[str, int] = json.loads(gzip.decompress(path.read_bytes()))
    normalize = make_normalizer(units)
    counts: Counter[str] = Counter()
    for word, n in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:top]:
        for piece in split_pieces(normalize(word)):
            if not is_number(piece):
                counts[piece.removeprefix(" ")] += n**LANGUAGE_POWER  # type: ignore[assignment]
    return _scaled(counts, total)


def stop_word_counts(units: tuple[str, ...]) -> Counter[str]:
    """Stop words of the languages that have no list of common words, and echo terms in them."""
    normalize = make_normalizer(units)
    counts: Counter[str] = Counter()
    for code in STOP_WORDS:
        for word in stopwordsiso.stopwords(code):
            for piece in split_pieces(normalize(word)):
                counts[piece.removeprefix(" ")] += STOP_WORD_COUNT
    for line in (SHAPES / "languages.tsv").read_text(encoding="utf-8").splitlines():
        for piece in split_pieces(normalize(line.partition("\t")[2])):
            counts[piece.removeprefix(" ")] += TERM_COUNT
    return counts


def own_counts() -> Counter[str]:
    """The words of our own shapes, alone and with what closes them."""
    words = {
        word
        for text in read_shapes()
        for word in text.split()
        if "{" not in word and not any(map(str.isdigit, word))
    }
    counts = Counter(dict.fromkeys(words, OWN_COUNT))
    for word in words:
        if word.isalpha():
            counts.update({word + closing: OWN_CLOSED_COUNT for closing in ".,:"})
    return counts


def _scaled(counts: dict[str, float] | Counter[str], total: int) -> Counter[str]:
    whole = sum(counts.values())
    return Counter({word: max(1, round(n * total / whole)) for word, n in counts.items()})


def all_counts() -> Counter[str]:
    """What trains the fallback."""
    units = read_table(TABLE).units
    counts = corpus_counts(units) + own_counts() + stop_word_counts(units)
    for code in LANGUAGES:
        counts += language_counts(code, units)
    return counts


def clip_counts() -> Counter[str]:
    """What trains the merges beyond CLIP's: words of clinical and common English."""
    units = read_table(TABLE).units
    return corpus_counts(units) + own_counts() + language_counts("en", units)


def further_merges(
    first: Sequence[tuple[str, str]], counts: Mapping[str, int], num_merges: int
) -> list[tuple[str, str]]:
    """The merges that come after those of a byte-level BPE, best first.

    Args:
        first: the merges that are there already.
        counts: word -> count.
        num_merges: how many more.
    """
    bpe = ByteBPE(first)
    known = set(bpe.tokens)
    words = sorted(counts)
    parts = [[bpe.tokens[number] for number in bpe.encode_word(word)] for word in words]
    numbers: Counter[tuple[str, str]] = Counter()
    places: dict[tuple[str, str], set[int]] = defaultdict(set)
    for at, word in enumerate(words):
        for pair in pairwise(parts[at]):
            numbers[pair] += counts[word]
            places[pair].add(at)
    heap = [(-number, pair) for pair, number in numbers.items()]
    heapq.heapify(heap)
    merges: list[tuple[str, str]] = []
    while heap and len(merges) < num_merges:
        number, pair = heapq.heappop(heap)
        if numbers[pair] != -number:
            continue
        joined = "".join(pair)
        if number == 0 or joined in known:
            continue  # an id stands for one way to make its text
        known.add(joined)
        merges.append(pair)
        touched: set[tuple[str, str]] = set()
        for at in places.pop(pair):
            old = parts[at]
            new = _joined(old, pair)
            count = counts[words[at]]
            for each in pairwise(old):
                numbers[each] -= count
                touched.add(each)
            for each in pairwise(new):
                numbers[each] += count
                places[each].add(at)
                touched.add(each)
            parts[at] = new
        for each in sorted(touched):
            if numbers[each] > 0:
                heapq.heappush(heap, (-numbers[each], each))
    return merges


def _joined(parts: Sequence[str], pair: tuple[str, str]) -> list[str]:
    new: list[str] = []
    at = 0
    while at < len(parts):
        if tuple(parts[at : at + 2]) == pair:
            new.append("".join(pair))
            at += 2
        else:
            new.append(parts[at])
            at += 1
    return new


def write_merges(merges: Sequence[tuple[str, str]], path: Path) -> None:
    """Write merges one a line, and say how many they are."""
    lines = "".join(f"{left} {right}\n" for left, right in merges)
    path.write_text(lines, encoding="utf-8")
    size = len(gzip.compress(lines.encode(), mtime=0))
    print(f"{path}: {len(merges):,} merges, {size:,} bytes compressed")


def main() -> None:
    """Train and write `merges.txt` and `clip_merges.txt`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--merges", type=int, default=read_table(TABLE).num_merges)
    parser.add_argument("--clip-merges", type=int, default=NUM_CLIP_MERGES)
    parser.add_argument("--out", type=Path, default=TABLE, help="the folder to write to")
    arguments = parser.parse_args()
    merges = train_merges(all_counts(), arguments.merges)
    write_merges(merges, arguments.out / "merges.txt")
    further = further_merges(clip_merges(), clip_counts(), arguments.clip_merges)
    write_merges(further, arguments.out / "clip_merges.txt")


if __name__ == "__main__":
    main()
