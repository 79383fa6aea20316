"""GIF, single pictures and folders of pictures, through Pillow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import Clip, ClipInfo, check_indices, collect, over_black
from echoclip_r.media.display import Display, display_of_orientation

__all__ = ["looks_like", "probe", "read"]

_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_SIGNATURES = (b"GIF8", b"\x89PNG\r\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")

_DAMAGED = "damaged or cut off; copy or export it again"


class _DamagedPicture(MediaError):
    """One picture that cannot be decoded; in a folder of many it may be left out."""


def looks_like(head: bytes) -> bool:
    """Whether a file begins as a GIF, PNG, JPEG, BMP, TIFF or WebP does."""
    return head.startswith(_SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def probe(path: Path) -> tuple[ClipInfo, Display]:
    """Size and rate of a GIF, picture or folder; see `echoclip_r.media.reading.probe`."""
    if not path.is_dir():
        with _open(path, path) as image:
            return _info(path, image)
    files = _list_folder(path)
    info, display = _folder_info(path, files)
    for file in files:
        with _open(path, file) as image:
            _check_size(info, display, file, image)
    return info, display


def read(path: Path, indices: Sequence[int] | None) -> Clip:
    """All frames (``indices`` None) or some; see `echoclip_r.media.reading.read`."""
    if path.is_dir():
        return _read_folder(path, indices)
    with _open(path, path) as image:
        info, display = _info(path, image)
        indices = range(info.num_frames) if indices is None else indices
        check_indices(info, indices)
        wanted = set(indices)
        decoded = (
            (index, _to_rgb(path, path, frame))
            for index, frame in enumerate(ImageSequence.Iterator(image))
            if index in wanted
        )
        return collect(info, display, indices=indices, decoded=decoded, why=_DAMAGED)


def _read_folder(path: Path, indices: Sequence[int] | None) -> Clip:
    files = _list_folder(path)
    info, display = _folder_info(path, files)
    indices = range(info.num_frames) if indices is None else indices
    check_indices(info, indices)
    first_failure: list[MediaError] = []

    def decoded() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for index in sorted(set(indices)):
            try:
                with _open(path, files[index]) as image:
                    _check_size(info, display, files[index], image)
                    yield index, _to_rgb(path, files[index], image)
            except _DamagedPicture as error:
                first_failure.append(error)

    try:
        return collect(info, display, indices=indices, decoded=decoded(), why=_DAMAGED)
    except MediaError:
        if first_failure:
            raise first_failure[0] from None
        raise


@contextmanager
def _open(path: Path, file: Path) -> Iterator[Image.Image]:
    """Open one picture of the clip at ``path``; what Pillow raises becomes `MediaError`."""
    where = "it" if file == path else f"the picture {file.name}"
    try:
        with Image.open(file) as image:
            yield image
    except UnidentifiedImageError as error:
        raise _DamagedPicture(path, f"{where} is not a picture that Pillow can read") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise _DamagedPicture(path, f"{where} is {_DAMAGED} ({error})") from error


def _info(path: Path, image: Image.Image) -> tuple[ClipInfo, Display]:
    duration_ms = image.info.get("duration")
    info = ClipInfo(
        path=path,
        num_frames=getattr(image, "n_frames", 1),
        height_px=image.height,
        width_px=image.width,
        fps_hz=1000.0 / duration_ms if duration_ms else None,
        codec=(image.format or "picture").lower(),
    )
    return info, _display(image)


def _display(image: Image.Image) -> Display:
    """How a picture is to be shown: turned by its orientation tag, with square pixels."""
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    aspect = _pixel_aspect(image)
    if image.format == "TIFF":
        # Pillow turns these itself, and already gives the turned size.
        return Display(pixel_aspect=1.0 / aspect if orientation in (5, 6, 7, 8) else aspect)
    return display_of_orientation(orientation, pixel_aspect=aspect)


def _pixel_aspect(image: Image.Image) -> float:
    """Width of a pixel over its height, from how many there are to a length either way."""
    for name in ("aspect", "dpi", "jfif_density"):
        across, down = (float(density) for density in image.info.get(name, (0, 0)))
        if across > 0 and down > 0:
            return down / across
    return 1.0


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


def _folder_info(path: Path, files: Sequence[Path]) -> tuple[ClipInfo, Display]:
    with _open(path, files[0]) as image:
        info = ClipInfo(
            path=path,
            num_frames=len(files),
            height_px=image.height,
            width_px=image.width,
            fps_hz=None,
            codec=f"folder of {(image.format or 'picture').lower()}",
        )
        return info, _display(image)


def _check_size(info: ClipInfo, display: Display, file: Path, image: Image.Image) -> None:
    if image.size != (info.width_px, info.height_px):
        raise MediaError(
            info.path,
            f"the picture {file.name} is {image.width} x {image.height}, the first one "
            f"{info.width_px} x {info.height_px}; a folder must hold one clip",
        )
    if _display(image) != display:
        raise MediaError(
            info.path,
            f"the picture {file.name} states another orientation or shape of pixels than the "
            "first one; a folder must hold one clip",
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
