"""CLIP's own merges, from the installed open_clip_torch or a file, and CLIP's count of a text."""

from __future__ import annotations

import hashlib
import importlib.util
import zlib
from pathlib import Path

import regex

from echotok.bpe import ByteBPE
from echotok.errors import MergesError

__all__ = [
    "CLIP_MERGES_NAME",
    "CLIP_MERGES_SHA256",
    "clip_merge_lines",
    "clip_merges",
    "clip_merges_path",
    "count_clip_tokens",
]


CLIP_MERGES_NAME = "bpe_simple_vocab_16e6.txt.gz"

CLIP_MERGES_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"


_CLIP_NUM_MERGES = 49152 - 256 - 2


_CLIP_PIECE = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


def clip_merges_path(path: Path | str | None = None) -> Path:
    """Where CLIP's merges lie.

    Args:
        path: `bpe_simple_vocab_16e6.txt.gz`; None finds the one inside open_clip_torch, without
            importing it.

    Raises:
        MergesError: no path is given, and open_clip_torch is not installed.
    """
    if path is None:
        spec = importlib.util.find_spec("open_clip")
        if spec is None or not spec.submodule_search_locations:
            raise MergesError(
                "CLIP's merges are not here: the echo-clip tokenizer and CLIP counts read them "
                "from open_clip_torch. Install it (pip install open_clip_torch), or pass "
                "clip_merges=PATH (--clip-merges PATH) to bpe_simple_vocab_16e6.txt.gz, or use "
                "the self-contained tokenizer 'echo'"
            )
        path = Path(spec.submodule_search_locations[0]) / CLIP_MERGES_NAME
    return Path(path)


def clip_merges(path: Path | str | None = None) -> list[tuple[str, str]]:
    """Read CLIP's merges, as pairs; see `clip_merge_lines`."""
    flat = " ".join(clip_merge_lines(path)).split(" ")
    return list(zip(flat[::2], flat[1::2], strict=True))


def clip_merge_lines(path: Path | str | None = None) -> list[str]:
    """Read CLIP's merges from the installed open_clip_torch, or from a file, as they stand there.

    Args:
        path: path of the file, as in `clip_merges_path`.

    Returns:
        A line `left right` for each merge.

    Raises:
        MergesError: the file is not there, or is not the published one.
    """
    path = clip_merges_path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise MergesError(
            f"cannot read CLIP's merges at {path} ({error.strerror}); pass the path to "
            "bpe_simple_vocab_16e6.txt.gz"
        ) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != CLIP_MERGES_SHA256:
        raise MergesError(
            f"{path} is not the published merges file: its sha256 is {found}, expected "
            f"{CLIP_MERGES_SHA256}; reinstall open_clip_torch or pass another path"
        )
    # The known file's first megabyte holds the merges; behind them are some that CLIP leaves out.
    head = zlib.decompressobj(wbits=31).decompress(raw, 1 << 20)
    lines = head[: head.rindex(b"\n")].decode("utf-8").split("\n", _CLIP_NUM_MERGES + 1)
    return lines[1 : _CLIP_NUM_MERGES + 1]


def count_clip_tokens(text: str, bpe: ByteBPE) -> int:
    """How many tokens CLIP's standard tokenizer gives a text, start and end included.

    Args:
        text: a report.
        bpe: `ByteBPE(clip_merges())`.
    """
    words = _CLIP_PIECE.findall(" ".join(text.split()).lower())
    return 2 + sum(map(len, map(bpe.encode_word, words)))
