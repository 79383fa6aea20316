"""A table folder -> a tokenizer artifact (`echotok build`).

The fallback `clip` needs no training. The fallback `domain` is a byte-level BPE trained with HF
tokenizers on the words of the table's phrases and on words of a corpus that occur in at least k of
its documents (I9); only words and their counts are used.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from echotok import artifact
from echotok.errors import EchotokError
from echotok.fallback import CLIP_MERGES_SHA256, END, byte_alphabet
from echotok.match import BARE_VALUE, Matcher
from echotok.table import PhraseTable
from echotok.table_files import read_fallback, validate_table
from echotok.text import make_normalizer, split_pieces
from echotok.tokenizer import Tokenizer

__all__ = ["build", "train_merges", "trainer_tools", "word_counts"]

MIN_DOCUMENTS = 5
# The corpus is wider than the table's domain: a word of a phrase counts as often as this many
# occurrences, so that the domain's own words stay whole where a phrase narrowly fails to match.
_PHRASE_WEIGHT = 30
_PRIVATE = 0xE000


def build(
    table_dir: Path | str,
    *,
    fallback: Literal["domain", "clip"] = "domain",
    corpus: Iterable[str] = (),
    min_documents: int = MIN_DOCUMENTS,
    name: str | None = None,
    clip_merges: Path | str | None = None,
    base: Tokenizer | None = None,
) -> Tokenizer:
    """Make a tokenizer from a table folder.

    Args:
        table_dir: a folder as in `echotok.table`.
        fallback: what encodes the text that no phrase covers.
        corpus: documents whose words train the domain fallback; not used where the folder carries
            its merges (`merges.txt`, which `echotok mine` writes).
        min_documents: a corpus word counts only when this many documents hold it.
        name: of the tokenizer; default the table's name, with `-clip` for that fallback.
        clip_merges: as in `echotok.load`.
        base: an earlier tokenizer of this table: its fallback and its name are kept, so that the
            result is an append-only growth of it, and models can go on.

    Raises:
        TableError: the table breaks a rule.
        ArtifactError: the table is not an append-only growth of `base`.
    """
    table = validate_table(table_dir)
    if base is not None:
        grown = Tokenizer(
            artifact.pack(name or base.name, table, base.fallback), clip_merges=clip_merges
        )
        grown.added_since(base)
        return grown
    content: dict[str, Any]
    if fallback == "clip":
        content = {"kind": "clip", "sha256": CLIP_MERGES_SHA256}
    elif (carried := read_fallback(table_dir)) is not None:
        content = carried
    else:
        counts = word_counts(table, corpus, min_documents=min_documents)
        merges = train_merges(counts, table.num_merges)
        content = {"kind": "domain", "merges": [" ".join(pair) for pair in merges]}
    name = name or table.name + ("-clip" if fallback == "clip" else "")
    return Tokenizer(artifact.pack(name, table, content), clip_merges=clip_merges)


def word_counts(
    table: PhraseTable, corpus: Iterable[str], *, min_documents: int = MIN_DOCUMENTS
) -> Counter[str]:
    """Count the words that may train the fallback.

    Args:
        table: its phrases and values give words too.
        corpus: documents.
        min_documents: how many documents must hold a word of the corpus.

    Returns:
        Word -> count. Numbers are left out: they are values.
    """
    normalize = make_normalizer(table.units)
    matcher = Matcher((), ())
    counts: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for document in corpus:
        words = Counter(_words(split_pieces(normalize(document)), matcher))
        counts.update(words)
        documents.update(words.keys())
    kept = Counter({word: n for word, n in counts.items() if documents[word] >= min_documents})
    own = [item.text for phrase in table.live for item in phrase.items if item.text]
    own += [piece for value in table.values for piece in split_pieces(value.text)]
    for word in _words(own, matcher):
        kept[word] += _PHRASE_WEIGHT
    return kept


def _words(pieces: Iterable[str], numbers: Matcher) -> Iterable[str]:
    for piece in pieces:
        match = numbers.longest([piece], 0)
        if match is None or match.phrase != BARE_VALUE:
            yield piece.removeprefix(" ")


def train_merges(
    counts: Mapping[str, int], num_merges: int, *, base: str | None = None
) -> list[tuple[str, str]]:
    """Train a byte-level BPE on weighted words with HF tokenizers.

    Args:
        counts: word -> count.
        num_merges: upper bound; fewer come back when the words hold no more pairs.
        base: the bytes of a compact base, as in `fallback.ByteBPE`; words with others are left out.

    Returns:
        The merges in the byte alphabet, best first. The same counts give the same merges.

    Raises:
        EchotokError: the `tokenizers` package is not installed.
    """
    hf = trainer_tools()
    # A byte that ends a word is given as a character of its own. Symbols that the trainer meets on
    # the way would get their numbers in an order that differs from run to run.
    alphabet = byte_alphabet()
    if base is None:
        ends = [chr(_PRIVATE + byte) for byte in range(256)]
        written = {
            **dict(zip(alphabet, alphabet, strict=True)),
            **{end: symbol + END for end, symbol in zip(ends, alphabet, strict=True)},
        }
    else:
        written = {**dict(zip(base, base, strict=True)), chr(_PRIVATE): END}

    def lines() -> Iterable[str]:
        for word, count in sorted(counts.items()):
            raw = word.encode("utf-8", "surrogatepass")
            symbols = "".join(alphabet[byte] for byte in raw)
            if base is None:
                symbols = symbols[:-1] + ends[raw[-1]]
            elif set(symbols) <= written.keys():
                symbols += chr(_PRIVATE)
            else:
                continue
            yield " ".join([symbols] * count)

    trainer = hf.trainers.BpeTrainer(
        vocab_size=len(written) + num_merges,
        initial_alphabet=list(written),
        show_progress=False,
        special_tokens=[],
    )
    model = hf.Tokenizer(hf.models.BPE())
    model.pre_tokenizer = hf.pre_tokenizers.WhitespaceSplit()
    model.train_from_iterator(lines(), trainer)
    merges = json.loads(model.to_str())["model"]["merges"]
    return [
        ("".join(map(written.__getitem__, left)), "".join(map(written.__getitem__, right)))
        for left, right in merges[:num_merges]
    ]


def trainer_tools() -> ModuleType:
    """The HF `tokenizers` package, imported when it is needed.

    Raises:
        EchotokError: it is not installed.
    """
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise EchotokError(
            "training the domain fallback needs HF tokenizers: pip install 'echotok[build]', or "
            "build with --fallback clip"
        ) from error
    return tokenizers
