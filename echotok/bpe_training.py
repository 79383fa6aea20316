"""Training a byte-level BPE on weighted words, with HF tokenizers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import ModuleType

from echotok.bpe import END, byte_alphabet
from echotok.errors import EchotokError

__all__ = ["train_merges", "trainer_tools"]


_PRIVATE = 0xE000
# The trainer is given each word as often as it counts.
_MOST_WORDS = 10_000_000
_WORDS_A_LINE = 1_000


def train_merges(
    counts: Mapping[str, int], num_merges: int, *, base: str | None = None
) -> list[tuple[str, str]]:
    """Train a byte-level BPE on weighted words with HF tokenizers.

    Of more than ten million words in all, each counts in proportion, and at least once.

    Args:
        counts: word -> count.
        num_merges: largest number of merges; fewer come back when the words hold no more pairs.
        base: the bytes of a compact base, as in `echotok.bpe.ByteBPE`; words with other bytes are
            left out.

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

    def lines() -> Iterator[str]:
        for word, count in sorted(_in_proportion(counts).items()):
            raw = word.encode("utf-8", "surrogatepass")
            symbols = "".join(alphabet[byte] for byte in raw)
            if base is None:
                symbols = symbols[:-1] + ends[raw[-1]]
            elif set(symbols) <= written.keys():
                symbols += chr(_PRIVATE)
            else:
                continue
            yield from _repeated(symbols, count)

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


def _in_proportion(counts: Mapping[str, int]) -> Mapping[str, int]:
    total = sum(counts.values())
    if total <= _MOST_WORDS:
        return counts
    return {word: max(1, count * _MOST_WORDS // total) for word, count in counts.items() if count}


def _repeated(word: str, count: int) -> Iterator[str]:
    """A word as often as it counts, in lines: a long one takes gigabytes while it is split."""
    for at in range(0, count, _WORDS_A_LINE):
        yield " ".join([word] * min(_WORDS_A_LINE, count - at))


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
