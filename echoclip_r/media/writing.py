"""Frames to GIF or MP4 files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.errors import EvaluationError

__all__ = ["write_animation"]


def write_animation(path: Path, frames: NDArray[np.uint8], *, fps_hz: int = 20) -> None:
    """Write frames as a GIF or MP4, by the path's ending, for a browser to play.

    Args:
        path: `.gif` or `.mp4`.
        frames: uint8 RGB (N, H, W, 3).
        fps_hz: frames a second.

    Raises:
        EvaluationError: another ending, or the file cannot be written.
    """
    try:
        if path.suffix.lower() == ".gif":
            images = [Image.fromarray(frame) for frame in frames]
            images[0].save(
                path, save_all=True, append_images=images[1:], duration=1000 // fps_hz, loop=0
            )
        elif path.suffix.lower() == ".mp4":
            _write_mp4(path, frames, fps_hz)
        else:
            raise EvaluationError(f"{path}: give a name that ends in .gif or .mp4")
    except OSError as error:
        raise EvaluationError(f"{path}: it cannot be written ({error})") from error


def _write_mp4(path: Path, frames: NDArray[np.uint8], fps_hz: int) -> None:
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps_hz)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = even.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in even:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
