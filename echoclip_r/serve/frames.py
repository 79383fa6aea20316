"""One clip of a large archive, read at its place, and as a picture that a browser plays."""

from __future__ import annotations

import io
import tarfile
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.data.shards import FRAME_ENDINGS, decode_frame
from echoclip_r.errors import ShardError
from echoclip_r.search.pictures import animated
from echoclip_r.serve.index import Place

if TYPE_CHECKING:
    from echoclip_r.data.clips import Frames

__all__ = ["PictureCache", "loop", "read_frames", "still"]

_SHOWN_PX = 336
_LARGEST = 1 << 28


def read_frames(place: Place, *, first: bool = False) -> Frames:
    """The frames of a clip, uint8 RGB (T, S, S, 3), or its first one alone.

    Raises:
        ShardError: the shard has changed, or a frame cannot be decoded.
    """
    if not 0 < place.size <= _LARGEST:
        raise ShardError(f"{place.shard}: a clip in it has {place.size:,} bytes")
    frames = []
    try:
        with place.shard.open("rb") as file:
            file.seek(place.offset)
            block = file.read(place.size)
        with tarfile.open(fileobj=io.BytesIO(block), mode="r:") as tar:
            members = [one for one in tar if one.name.rpartition(".")[2] in FRAME_ENDINGS]
            for member in sorted(members, key=lambda one: one.name):
                content = tar.extractfile(member)
                assert content is not None  # it is a file
                frames.append(np.asarray(decode_frame(content.read())))
                if first:
                    break
    except (OSError, ValueError, tarfile.TarError) as error:
        raise ShardError(
            f"{place.shard}: a clip in it cannot be read ({type(error).__name__}); was it replaced "
            "while the server ran?"
        ) from error
    if not frames:
        raise ShardError(f"{place.shard}: a clip in it has no frame")
    return np.stack(frames)


def still(frame: NDArray[np.uint8]) -> bytes:
    """A frame as a small WebP picture."""
    picture = Image.fromarray(frame)
    share = _SHOWN_PX / max(picture.size)
    size = (max(1, round(picture.width * share)), max(1, round(picture.height * share)))
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(buffer, format="WEBP", quality=60, method=2)
    return buffer.getvalue()


def loop(frames: Frames) -> bytes:
    """The clip as an animated WebP picture."""
    return animated(frames, side_px=_SHOWN_PX, method=1)


class PictureCache:
    """Encoded pictures by name, the least recently used ones dropped.

    Args:
        max_bytes: how many bytes are kept.
    """

    def __init__(self, max_bytes: int = 128 << 20) -> None:
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._num_bytes = 0
        self._lock = threading.Lock()

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The picture of a name, made where it is not kept."""
        with self._lock:
            if name in self._held:
                self._held.move_to_end(name)
                return self._held[name]
        made = make()
        with self._lock:
            if name not in self._held:
                self._held[name] = made
                self._num_bytes += len(made)
            while self._num_bytes > self._max_bytes and len(self._held) > 1:
                self._num_bytes -= len(self._held.popitem(last=False)[1])
        return made
