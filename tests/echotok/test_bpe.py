"""The BPE of what no phrase covers: against itself and HF tokenizers; and how it is trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

import echotok
from echotok import PhraseTable, bpe_training
from echotok.bpe import ByteBPE, _merge, _merge_long, byte_alphabet
from echotok.bpe_training import train_merges
from echotok.building import build, word_counts
from echotok.clip_merges import clip_merges, count_clip_tokens
from echotok.text import split_pieces

END = "</w>"


def merges_of_clip() -> list[tuple[str, str]]:
    """CLIP's merges, or a skip."""
    try:
        return clip_merges()
    except echotok.MergesError:
        pytest.skip("CLIP's merges are not installed")


@pytest.fixture(scope="module", params=["clip", "domain"])
def merges(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    """CLIP's merges, and those that `echo` was trained to."""
    if request.param == "clip":
        return merges_of_clip()
    return list(echotok.load("echo").fallback.merges)


@pytest.fixture(scope="module")
def bpe(merges: list[tuple[str, str]]) -> ByteBPE:
    """The BPE of these merges."""
    return ByteBPE(merges)


@pytest.fixture(scope="module")
def ranks(merges: list[tuple[str, str]]) -> dict[str, int]:
    """The rank of each merge."""
    return ranks_of(merges)


@pytest.fixture(scope="module")
def corpus_words(corpus_files: list[Path]) -> list[str]:
    """The distinct words and signs of all corpora."""
    words: set[str] = set()
    for file in corpus_files:
        for line in file.read_text(encoding="utf-8").splitlines():
            text = " ".join(json.loads(line)["text"].lower().split())
            words.update(piece.removeprefix(" ") for piece in split_pieces(text))
    return sorted(words)


def symbols_of(word: str) -> list[str]:
    """The symbols that merging starts from."""
    symbols = [byte_alphabet()[byte] for byte in word.encode("utf-8", "surrogatepass")]
    symbols[-1] += END
    return symbols


def ranks_of(merges: list[tuple[str, str]]) -> dict[str, int]:
    return {f"{left} {right}": rank for rank, (left, right) in enumerate(merges)}


# Merging


@st.composite
def random_merges(draw: st.DrawFn) -> list[tuple[str, str]]:
    """Merges over a small alphabet, each of symbols that exist by then, in any order."""
    symbols = ["a", "b", "c", "a" + END, "b" + END]
    merges: dict[tuple[str, str], None] = {}
    for _ in range(draw(st.integers(0, 12))):
        left = draw(st.sampled_from([symbol for symbol in symbols if not symbol.endswith(END)]))
        right = draw(st.sampled_from(symbols))
        merges[left, right] = None
        symbols.append(left + right)
    return draw(st.permutations(list(merges)))


def merge_slowly(parts: list[str], ranks: dict[str, int]) -> list[str]:
    """What merging means: join the leftmost pair of the best rank, until none has one."""
    while True:
        pairs = [
            (ranks[pair], at)
            for at, pair in enumerate(map(" ".join, pairwise(parts)))
            if pair in ranks
        ]
        if not pairs:
            return parts
        _, at = min(pairs)
        parts = [*parts[:at], parts[at] + parts[at + 1], *parts[at + 2 :]]


@given(merges=random_merges(), word=st.text("abc", min_size=1, max_size=60))
@settings(max_examples=500)
def test_both_ways_of_merging_are_the_definition(merges: list[tuple[str, str]], word: str) -> None:
    """The loop for words and the heap for long ones do what merging means."""
    ranks = ranks_of(merges)
    expected = merge_slowly(symbols_of(word), ranks)
    assert _merge(symbols_of(word), ranks) == expected
    assert _merge_long(symbols_of(word), ranks) == expected


@given(word=st.text("aehnorstx\u00e9\u5fc3", min_size=100, max_size=300))
@settings(max_examples=40)
def test_long_words_merge_alike(bpe: ByteBPE, ranks: dict[str, int], word: str) -> None:
    """On both sides of the length where the heap takes over, real merges give the same."""
    expected = merge_slowly(symbols_of(word), ranks)
    assert _merge_long(symbols_of(word), ranks) == expected
    assert [bpe.tokens[number] for number in bpe.encode_word(word)] == expected


def test_corpus_words_merge_alike(ranks: dict[str, int], corpus_words: list[str]) -> None:
    """Loop and heap agree on the words of the corpora, every third of them."""
    for word in corpus_words[::3]:
        assert _merge(symbols_of(word), ranks) == _merge_long(symbols_of(word), ranks)


def test_a_word_that_is_a_token_is_that_token(bpe: ByteBPE, ranks: dict[str, int]) -> None:
    """Merging a whole-word token's bytes ends at that token; looking it up may thus replace it."""
    tokens = [token for token in bpe.tokens if token.endswith(END)]
    assert len(tokens) > 1000
    for token in tokens:
        symbols = list(token.removesuffix(END))
        symbols[-1] += END
        assert _merge(symbols, ranks) == [token]


def test_ids_count_from_the_offset() -> None:
    """Bytes, bytes that end a word, then merges: from the offset on."""
    bpe = ByteBPE([("t", "h"), ("th", "e</w>")], offset=1000)
    assert len(bpe.tokens) == 256 + 256 + 2
    assert bpe.encode_word("the") == (1513,)
    assert bpe.encode_word("th") == (1000 + bpe.tokens.index("t"), 1000 + bpe.tokens.index("h</w>"))
    assert bpe.encode_word("ther")[0] == 1512
    assert sorted(bpe.tokens[:256]) == sorted(byte_alphabet())


def test_hf_tokenizers_gives_the_same_ids(
    merges: list[tuple[str, str]], bpe: ByteBPE, corpus_words: list[str]
) -> None:
    """HF's BPE with the same merges encodes every word of the corpora to the same ids."""
    models = pytest.importorskip("tokenizers.models")
    vocab = {token: number for number, token in enumerate(bpe.tokens)}
    model = models.BPE(vocab=vocab, merges=merges, end_of_word_suffix=END)
    assert len(corpus_words) > 10_000
    for word in corpus_words:
        symbols = "".join(byte_alphabet()[byte] for byte in word.encode())
        assert bpe.encode_word(word) == tuple(token.id for token in model.tokenize(symbols)), word


# Any text


@given(word=st.text(st.characters(exclude_categories=["Zs", "Zl", "Zp", "Cc"]), min_size=1))
def test_any_word_comes_back(bpe: ByteBPE, word: str) -> None:
    """The bytes of the tokens are those of the word, lone surrogates included."""
    byte_of = {symbol: byte for byte, symbol in enumerate(byte_alphabet())}
    text = "".join(bpe.tokens[number] for number in bpe.encode_word(word))
    assert text.endswith(END)
    raw = bytes(byte_of[symbol] for symbol in text.removesuffix(END))
    assert raw.decode("utf-8", "surrogatepass") == word


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ud83d\ude00", "\U0001f600\ud800"])
def test_lone_surrogates_come_back(tok: echotok.Tokenizer, text: str) -> None:
    """A broken string from another program passes through as it was."""
    assert tok.decode(tok.encode(text).ids) == text


def test_a_surrogate_pair_is_not_its_character(tok: echotok.Tokenizer) -> None:
    """Two surrogates and the character they would make are different texts."""
    assert tok.encode("\ud83d\ude00").ids != tok.encode("\U0001f600").ids


def test_memos_do_not_change_ids(
    merges: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memo that overflows all the time gives what a fresh one gives."""
    words = ["hypokinesis", "qzvwk", "x" * 50, "the", "na\u00efve"] * 3
    expected = [ByteBPE(merges).encode_word(word) for word in words]
    monkeypatch.setattr("echotok.bpe._MEMO_SIZE", 2)
    bpe = ByteBPE(merges)
    assert [bpe.encode_word(word) for word in words] == expected


def test_clip_counts_of_known_texts() -> None:
    """Start, end, and CLIP's tokens in between; digits are counted one by one."""
    bpe = ByteBPE(merges_of_clip())
    assert count_clip_tokens("", bpe) == 2
    assert count_clip_tokens("A photo of a cat", bpe) == 7
    assert count_clip_tokens("LVEF  55%", bpe) == count_clip_tokens("lvef", bpe) + 3


# Training


@pytest.fixture(scope="module")
def table() -> PhraseTable:
    """The table that ships."""
    return echotok.read_table(ROOT / "phrase_tables" / "echo")


def test_training_is_deterministic(table: PhraseTable) -> None:
    """The same counts give the same merges, also where many pairs are equally good."""
    pytest.importorskip("tokenizers")
    counts = Counter(dict.fromkeys(word_counts(table, []), 7))
    merges = train_merges(counts, 300)
    assert len(merges) == len(set(merges)) == 300
    for _ in range(3):
        assert train_merges(counts, 300) == merges
    assert train_merges(Counter(dict(reversed(counts.items()))), 300) == merges


@pytest.mark.parametrize("threads", ["1", "3"])
def test_training_does_not_depend_on_the_process(table: PhraseTable, threads: str) -> None:
    """Nor does it depend on the hash seed or on the number of threads."""
    pytest.importorskip("tokenizers")
    code = (
        "import json, sys; from collections import Counter;"
        "from echotok.bpe_training import train_merges;"
        "counts = json.load(sys.stdin); print(json.dumps(train_merges(Counter(counts), 300)))"
    )
    counts = {word: 7 for word in word_counts(table, [])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(counts),
        env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = train_merges(Counter(counts), 300)
    assert [tuple(pair) for pair in json.loads(done.stdout)] == expected


def test_training_gives_fewer_merges_where_there_are_no_more() -> None:
    """Words without another pair end the training."""
    pytest.importorskip("tokenizers")
    assert train_merges(Counter({"ab": 3}), 100) == [("a", "b</w>")]


def documents(word: str, number: int) -> Iterator[str]:
    """So many documents that hold a word, three times each."""
    yield from (f"{word} {word}, {word.upper()}. Report {index}" for index in range(number))


def test_rare_words_do_not_count(table: PhraseTable) -> None:
    """A word in four documents has no count; in five it has all its occurrences (I9)."""
    assert "zanzibar" not in word_counts(table, documents("zanzibar", 4))
    assert word_counts(table, documents("zanzibar", 5))["zanzibar"] == 15
    assert word_counts(table, documents("zanzibar", 2), min_documents=2)["zanzibar"] == 6
    many_in_one = ["zanzibar " * 1000]
    assert "zanzibar" not in word_counts(table, many_in_one)


def test_rare_words_do_not_influence_merges(tmp_path: Path) -> None:
    """Which word four documents hold makes no difference to a tokenizer; with five it does."""
    pytest.importorskip("tokenizers")
    (tmp_path / "table.toml").write_text(
        'name = "small"\nversion = "1.0.0"\nlocale = "en"\nlicence = "none"\n'
        'provenance = "a test"\nunits = []\n[capacity]\nphrases = 4\nvalues = 0\nmerges = 60\n'
    )
    (tmp_path / "lv.csv").write_text(
        "id,phrase,since,retired,note\n0,the left ventricle is normal.,1.0.0,,\n"
    )
    background = [f"report of the heart {index}" for index in range(5)]

    def trained(word: str, number: int) -> echotok.Tokenizer:
        return build(tmp_path, corpus=[*background, *documents(word, number)])

    assert trained("zanzibar", 4).fingerprint == trained("quagmire", 4).fingerprint
    with_five = trained("zanzibar", 5)
    assert with_five.fingerprint != trained("quagmire", 5).fingerprint
    assert len(with_five.encode("zanzibar").ids) < len(trained("", 5).encode("zanzibar").ids)


def test_numbers_train_nothing(table: PhraseTable) -> None:
    """Numbers are values, so a date or a record number never becomes a merge (I9)."""
    reports = ["MRN 48213377, 12/05/2031, >15, 55-60%, 2.5"] * 9
    counts = word_counts(table, reports)
    assert "mrn" in counts
    own = word_counts(table, [])
    assert not [word for word in counts - own if any(sign.isdigit() for sign in word)]


def test_words_of_a_large_corpus_count_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times the counts, where so many are too many, give the same merges, and no long line."""
    pytest.importorskip("tokenizers")
    counts = {"mild": 40, "mildly": 30, "severe": 20, "severely": 20, "valve": 10, "valves": 1}
    merges = train_merges(counts, 12)
    monkeypatch.setattr(bpe_training, "_MOST_WORDS", sum(counts.values()))
    monkeypatch.setattr(bpe_training, "_WORDS_A_LINE", 7)
    tenfold = {word: 10 * count for word, count in counts.items()} | {"never": 0}
    assert bpe_training._in_proportion(tenfold) == counts
    assert bpe_training._in_proportion(counts) == counts
    assert train_merges(tenfold, 12) == merges
    lines = [*bpe_training._repeated("mild", 40)]
    assert [len(line.split()) for line in lines] == [7] * 5 + [5]
    assert [*bpe_training._repeated("never", 0)] == []
