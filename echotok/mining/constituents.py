"""A second source of phrases, for vocabularies with more room than there are runs that save tokens.

A run that always stands inside of one longer run saves nothing on the reports that were mined, but
a new report may hold only a part of the longer one. A BPE over whole words first joins the words
that stand together most often, so its products are the parts into which expressions come apart.
"""

from __future__ import annotations

import json
from collections.abc import Collection

import numpy as np

from echotok.bpe_training import trainer_tools
from echotok.mining.runs import View
from echotok.mining.segments import Segments

__all__ = ["constituents"]

# Elements are written as characters of the two private planes.
_PLANES = ((0xF0000, 0xFFFE), (0x100000, 0xFFFE))
_MOST_REPEATS = 50


def constituents(segments: Segments, view: View, *, known: Collection[str], k: int) -> list[str]:
    """The products of a BPE over whole elements, most frequent first.

    Args:
        segments: the corpus.
        view: the corpus read as elements.
        known: the runs that k patients hold: nothing else comes back (I9).
        k: a pair is joined only when it occurs at least this often.

    Returns:
        The phrases, with slots written as `{name}`.
    """
    if 2 * len(view.texts) > sum(size for _, size in _PLANES):
        return []
    weights = segments.weights[np.searchsorted(segments.starts, view.nodes, side="right") - 1]
    lines: list[str] = []
    begin = 0
    for end in np.flatnonzero(view.elements < 0).tolist():
        if end - begin > 1:
            symbols = view.elements[begin:end] * 2 + view.spaced[begin:end]
            symbols[0] &= ~1
            word = "".join(map(_write, symbols.tolist()))
            lines.append(" ".join([word] * min(int(weights[begin]), _MOST_REPEATS)))
        begin = end + 1
    hf = trainer_tools()
    model = hf.Tokenizer(hf.models.BPE())
    model.pre_tokenizer = hf.pre_tokenizers.WhitespaceSplit()
    size = 2 * len(view.texts) + len(known)
    trainer = hf.trainers.BpeTrainer(
        vocab_size=size, min_frequency=k, show_progress=False, special_tokens=[]
    )
    model.train_from_iterator(lines, trainer)
    products = []
    for left, right in json.loads(model.to_str())["model"]["merges"]:
        numbers = [_read(symbol) for symbol in left + right]
        text = "".join(
            " " * bool(number % 2 and at) + view.texts[number // 2]
            for at, number in enumerate(numbers)
        )
        if text in known:
            products.append(text)
    return list(dict.fromkeys(products))


def _write(number: int) -> str:
    for first, size in _PLANES:
        if number < size:
            return chr(first + number)
        number -= size
    raise AssertionError("the caller has counted")


def _read(symbol: str) -> int:
    code = ord(symbol)
    (first, size), (second, _) = _PLANES
    return code - first if code < second else code - second + size
