"""Frames to picture and animation files, for people to look at."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.errors import MediaError
from echoclip_r.storage import whole_file

__all__ = ["write_animation", "write_picture"]


def write_picture(path: Path, frame: NDArray[np.uint8]) -> None:
    """Write one frame as a PNG file.

    Args:
        path: the file.
        frame: uint8 RGB (H, W, 3).

    Raises:
        MediaError: the file cannot be written.
    """
    try:
        with whole_file(path) as partial:
            Image.fromarray(frame).save(partial, "PNG")
    except OSError as error:
        raise MediaError(path, f"it cannot be written ({error.strerror or error})") from error


def write_animation(path: Path, frames: NDArray[np.uint8], *, fps_hz: int = 20) -> None:
    """Write frames as a GIF or MP4, by the path's ending, for a browser to play.

    Args:
        path: `.gif` or `.mp4`.
        frames: uint8 RGB (N, H, W, 3).
        fps_hz: frames a second.

    Raises:
        MediaError: the path has another ending, or the file cannot be written.
    """
    write = {".gif": _write_gif, ".mp4": _write_mp4}.get(path.suffix.lower())
    if write is None:
        raise MediaError(path, "frames are written as GIF or MP4; end the name in .gif or .mp4")
    try:
        with whole_file(path) as partial:
            write(partial, frames, fps_hz)
    except OSError as error:
        raise MediaError(path, f"it cannot be written ({error.strerror or error})") from error


def _write_gif(path: Path, frames: NDArray[np.uint8], fps_hz: int) -> None:
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(path, "GIF", save_all=True, append_images=others, duration=1000 // fps_hz, loop=0)


def _write_mp4(path: Path, frames: NDArray[np.uint8], fps_hz: int) -> None:
    even = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps_hz)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = even.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in even:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
