"""Frames as files that a browser plays, and what is said where none can be written."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from echoclip_r.errors import MediaError
from echoclip_r.media.writing import write_animation, write_picture

FRAMES = np.full((2, 32, 32, 3), 100, np.uint8)


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_animation_plays_with_all_frames(tmp_path: Path, ending: str) -> None:
    """Both kinds of file hold as many frames as were given."""
    frames = np.random.default_rng(0).integers(0, 255, (5, 33, 64, 3)).astype(np.uint8)
    path = tmp_path / f"heat.{ending}"
    write_animation(path, frames)
    if ending == "gif":
        with Image.open(path) as image:
            assert image.n_frames == 5
    else:
        with av.open(path) as container:
            assert sum(1 for _ in container.decode(video=0)) == 5


def test_animation_errors(tmp_path: Path) -> None:
    """Another ending, or a folder that is not there, is said."""
    with pytest.raises(MediaError, match=r"\.gif or \.mp4"):
        write_animation(tmp_path / "heat.webm", FRAMES)
    with pytest.raises(MediaError, match="cannot be written"):
        write_animation(tmp_path / "none" / "heat.gif", FRAMES)


def test_a_picture_keeps_its_pixels(tmp_path: Path) -> None:
    """They come back from the PNG; a folder that is not there is said, and nothing is left."""
    frame = np.random.default_rng(0).integers(0, 255, (5, 7, 3)).astype(np.uint8)
    write_picture(tmp_path / "one.png", frame)
    with Image.open(tmp_path / "one.png") as image:
        assert (np.asarray(image) == frame).all()
    with pytest.raises(MediaError, match="cannot be written"):
        write_picture(tmp_path / "none" / "one.png", frame)
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]
