"""GIF, single pictures and folders of pictures, through Pillow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence, UnidentifiedImageError

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import ClipInfo, check_indices, over_black

__all__ = ["looks_like", "probe", "read"]

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_SIGNATURES = (b"GIF8", b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")


def looks_like(head: bytes) -> bool:
    """Whether a file begins as a GIF, PNG, JPEG, BMP, TIFF or WebP does."""
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def probe(path: Path) -> ClipInfo:
    """Size and rate of a GIF, picture or folder; see `echoclip_r.media.reading.probe`."""
    if not path.is_dir():
        with _open(path, path) as image:
            return _info(path, image)
    files = _list_folder(path)
    info = _folder_info(path, files)
    for file in files:
        with _open(path, file) as image:
            _check_size(info, file, image)
    return info


def read(path: Path, indices: Sequence[int] | None) -> NDArray[np.uint8]:
    """All frames (``indices`` None) or some; see `echoclip_r.media.reading.read_frames`."""
    if path.is_dir():
        return _read_folder(path, indices)
    with _open(path, path) as image:
        info = _info(path, image)
        if indices is None:
            indices = range(info.num_frames)
        check_indices(info, indices)
        wanted = set(indices)
        frames = {
            index: _to_rgb(path, path, frame)
            for index, frame in enumerate(ImageSequence.Iterator(image))
            if index in wanted
        }
    return _stack(info, [frames[index] for index in indices])


def _read_folder(path: Path, indices: Sequence[int] | None) -> NDArray[np.uint8]:
    files = _list_folder(path)
    info = _folder_info(path, files)
    if indices is None:
        indices = range(info.num_frames)
    check_indices(info, indices)
    frames = []
    for index in indices:
        with _open(path, files[index]) as image:
            _check_size(info, files[index], image)
            frames.append(_to_rgb(path, files[index], image))
    return _stack(info, frames)


def _stack(info: ClipInfo, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if not frames:
        return np.empty((0, info.height_px, info.width_px, 3), np.uint8)
    return np.stack(frames)


@contextmanager
def _open(path: Path, file: Path) -> Iterator[Image.Image]:
    """Open one picture of the clip at ``path``; what Pillow raises becomes `MediaError`."""
    where = "it" if file == path else f"the picture {file.name}"
    try:
        with Image.open(file) as image:
            yield image
    except UnidentifiedImageError as error:
        raise MediaError(path, f"{where} is not a picture that Pillow can read") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MediaError(
            path, f"{where} is damaged or cut off; copy or export it again ({error})"
        ) from error


def _info(path: Path, image: Image.Image) -> ClipInfo:
    duration_ms = image.info.get("duration")
    return ClipInfo(
        path=path,
        num_frames=getattr(image, "n_frames", 1),
        height_px=image.height,
        width_px=image.width,
        fps_hz=1000.0 / duration_ms if duration_ms else None,
        codec=(image.format or "picture").lower(),
    )


def _list_folder(path: Path) -> list[Path]:
    """The pictures in a folder, frame 2 before frame 10; hidden files are not pictures."""
    files = [
        file
        for file in path.iterdir()
        if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]
    if not files:
        raise MediaError(
            path, f"the folder holds no pictures ({', '.join(sorted(_SUFFIXES))}), zero frames"
        )
    return sorted(files, key=_natural_key)


def _natural_key(file: Path) -> tuple[list[tuple[int, str]], str]:
    """Digits compare as numbers: ``f2.png`` sorts before ``f10.png``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", file.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], file.name


def _folder_info(path: Path, files: Sequence[Path]) -> ClipInfo:
    with _open(path, files[0]) as image:
        return ClipInfo(
            path=path,
            num_frames=len(files),
            height_px=image.height,
            width_px=image.width,
            fps_hz=None,
            codec=f"folder of {(image.format or 'picture').lower()}",
        )


def _check_size(info: ClipInfo, file: Path, image: Image.Image) -> None:
    if image.size != (info.width_px, info.height_px):
        raise MediaError(
            info.path,
            f"the picture {file.name} is {image.width} x {image.height}, the first one "
            f"{info.width_px} x {info.height_px}; a folder must hold one clip",
        )


def _to_rgb(path: Path, file: Path, image: Image.Image) -> NDArray[np.uint8]:
    """RGB bytes of a picture of any depth up to 16 bits."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255 instead of scaling.
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise MediaError(
            path,
            f"{'it' if file == path else f'the picture {file.name}'} has 32-bit values, whose "
            "range nothing states; export 8 or 16 bits",
        )
    if image.has_transparency_data:
        return over_black(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))
