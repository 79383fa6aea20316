"""What a DICOM file says of its pixels, held against the pixels themselves.

Headers of real archives are wrong in the number of frames and in the form of their colours, and
the length of what follows proves it. Only what is needed to show the pixels is kept: no other tag,
and no error quotes a tag's value, which may be a patient's name (I9).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.uid import UID

from echoclip_r.errors import MediaError
from echoclip_r.media.clip import ClipInfo, Machine, Region
from echoclip_r.media.display import Display

__all__ = [
    "UNREAD_CODING",
    "Fragment",
    "Header",
    "form_note",
    "is_video",
    "proven_form",
    "read_header",
]

Fragment = tuple[int, int]  # where it begins in the file, and its length in bytes

UNREAD_CODING = (
    "its pixels are coded as {}, which cannot be read; export it again uncompressed, or as JPEG"
)
_CUT_OFF = "the file was cut off; copy or export it again"
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
_FORMS = (*_COLOURS, "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"
# A compressed frame begins with one of these; a further fragment of it cannot.
_FRAME_MARKS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\xff\x0a", b"\0\0\0\x0cJXL ")
_LAYOUTS = {1: "2d", 2: "m-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
_DATA_TYPES = {
    0x1: "tissue",
    0x2: "colour flow",
    0x3: "pw doppler",
    0x4: "cw doppler",
    0x5: "doppler mean trace",
    0x6: "doppler mode trace",
    0x7: "doppler max trace",
    0x8: "volume trace",
    0xA: "ecg",
    0xB: "pulse",
    0xC: "phonocardiogram",
    0xD: "grey bar",
    0xE: "colour bar",
    0xF: "integrated backscatter",
    0x10: "area trace",
    0x11: "area change trace",
}
_CENTIMETRES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A DICOM file before its pixels are decoded.

    Attributes:
        info: size, frames and rate, and what is wrong with the header.
        display: how the frames are to be shown.
        dataset: every tag before the pixels.
        syntax: how the pixels are coded.
        options: what pydicom's decoders have to be told instead of what the header says.
        frames: of compressed pixels, the fragments of each frame.
        is_unreadable_count: whether the file's NumberOfFrames is no number; `dataset` has none
            then.
    """

    info: ClipInfo
    display: Display
    dataset: pydicom.Dataset
    syntax: UID
    options: Mapping[str, Any]
    frames: tuple[tuple[Fragment, ...], ...] = ()
    is_unreadable_count: bool = False

    @property
    def photometric(self) -> str:
        """The form of the colours, as the pixels have it."""
        return str(self.options.get("photometric_interpretation", _photometric(self.dataset)))

    @property
    def samples(self) -> int:
        """Values a pixel, 1 or 3."""
        return int(self.options.get("samples_per_pixel", self.dataset.get("SamplesPerPixel", 1)))


def is_video(syntax: UID) -> bool:
    """Whether the pixels are a stream of MPEG-2, MPEG-4 or HEVC instead of single frames."""
    return any(syntax.startswith(f"1.2.840.10008.1.2.4.{number}") for number in range(100, 109))


def read_header(path: Path) -> Header:
    """Read everything before the pixels, and find out how many frames there are.

    Raises:
        MediaError: there are no pixels, they are of a kind that is no clip, or the file was cut
            off.
    """
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if syntax is None:
            raise MediaError(path, "it states no transfer syntax, so its pixels cannot be decoded")
        if not syntax.is_transfer_syntax:
            raise MediaError(path, UNREAD_CODING.format("a private transfer syntax"))
        if syntax.is_deflated:
            dataset = pydicom.dcmread(path)
            tag, length = _deflated_pixels(dataset)
        else:
            tag, length = _find_pixels(file, syntax)
        _check_kind(path, dataset, syntax, tag)
        stated = _stated_frames(dataset)
        is_unreadable = stated is None and "NumberOfFrames" in dataset
        if is_unreadable:  # pydicom would stumble over it again
            del dataset.NumberOfFrames
        if syntax.is_encapsulated:
            frames, num_frames = _compressed_frames(file, path, syntax, stated)
            options: dict[str, Any] = {}
            notes: list[str] = []
        else:
            frames = ()
            pixels = dataset.PixelData if syntax.is_deflated else b""
            start = file.tell()

            def peek(count: int) -> bytes:
                if pixels:
                    return bytes(pixels[:count])
                file.seek(start)
                return file.read(count)

            if not pixels and length > (left := path.stat().st_size - start):
                raise MediaError(path, f"it holds {left} of {length} bytes of pixels: {_CUT_OFF}")
            options, num_frames, notes = _layout(path, dataset, length, stated, peek)
    if stated == 0:
        raise MediaError(
            path, "it holds zero frames, says its header; if it shows some, export it again"
        )
    if not is_video(syntax):
        notes += _frame_notes(stated, num_frames)
    info = ClipInfo(
        path=path,
        num_frames=num_frames,
        height_px=int(dataset.Rows),
        width_px=int(dataset.Columns),
        fps_hz=_fps_hz(dataset),
        codec=str(syntax.name),
        regions=_regions(dataset),
        machine=_machine(dataset),
        notes=tuple(notes),
    )
    return Header(
        info=info,
        display=Display(pixel_aspect=_pixel_aspect(dataset)),
        dataset=dataset,
        syntax=syntax,
        options=options | {"number_of_frames": num_frames},
        frames=frames,
        is_unreadable_count=is_unreadable,
    )


def _find_pixels(file: BinaryIO, syntax: UID) -> tuple[int, int]:
    """Tag and length in bytes of the pixel data, where the file stands; tag 0 for none."""
    order: Literal["little", "big"] = "little" if syntax.is_little_endian else "big"
    head = file.read(8)
    if len(head) < 8:
        return 0, 0
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
    explicit = head[4:6].isalpha()
    return tag, int.from_bytes(file.read(4) if explicit else head[4:], order)


def _deflated_pixels(dataset: pydicom.Dataset) -> tuple[int, int]:
    for tag in (0x7FE00010, 0x7FE00008, 0x7FE00009):
        if tag in dataset:
            return tag, len(dataset[tag].value) if tag == 0x7FE00010 else 0
    return 0, 0


def _check_kind(path: Path, dataset: pydicom.Dataset, syntax: UID, tag: int) -> None:
    """Refuse what is no clip, with the word for what it is."""
    if "Rows" not in dataset or not tag:
        raise MediaError(path, "it holds no pixel data (a report, waveform or header alone)")
    if tag != 0x7FE00010:
        raise MediaError(
            path,
            "its pixels are floating-point numbers, and nothing says which of them are black and "
            "white; export it with pixels of 8 or 16 bits",
        )
    if dataset.get("SOPClassUID") == _ENHANCED_US_VOLUME:
        raise MediaError(
            path,
            "it is a volume (Enhanced US Volume): its frames are slices through space and not a "
            "film; export a cine loop of one plane",
        )
    if is_video(syntax):
        return
    if dataset.get("SamplesPerPixel", 1) not in (1, 3):
        raise MediaError(path, "its pixels have neither one nor three values each")
    if _photometric(dataset) not in _FORMS:
        raise MediaError(
            path,
            "its header does not say how colours are stored, or names a form that is not read; "
            f"export it as one of {', '.join(_FORMS)}",
        )


def _photometric(dataset: pydicom.Dataset) -> str:
    return str(dataset.get("PhotometricInterpretation", "")).strip()


def _stated_frames(dataset: pydicom.Dataset) -> int | None:
    """NumberOfFrames, or None where it is missing, blank, no number or below zero."""
    try:
        value = dataset.get("NumberOfFrames")
        return None if value is None or int(value) < 0 else int(value)
    except (TypeError, ValueError):
        return None


def _frame_notes(stated: int | None, held: int) -> list[str]:
    used = "it is" if held == 1 else f"all {held} are"
    if stated is None and held > 1:
        return [f"its header states no number of frames, and it holds {held}; {used} used"]
    if stated is not None and stated != held:
        return [f"its header states {stated} frames, and it holds {held}; {used} used"]
    return []


def _compressed_frames(
    file: BinaryIO, path: Path, syntax: UID, stated: int | None
) -> tuple[tuple[tuple[Fragment, ...], ...], int]:
    """The fragments of each frame, and the number of frames. The pixels are not read."""
    try:
        table = parse_basic_offsets(file)
        first = file.tell()
        _, starts = parse_fragments(file)
    except (EOFError, ValueError):
        raise MediaError(path, f"its last frame breaks off: {_CUT_OFF}") from None
    fragments, marks = [], []
    for start in starts:
        file.seek(start + 4)
        length = int.from_bytes(file.read(4), "little")
        fragments.append((start + 8, length))
        marks.append(_begins_frame(file.read(12)))
    end = fragments[-1][0] + fragments[-1][1] if fragments else first
    if end > path.stat().st_size:
        raise MediaError(path, f"its last frame breaks off: {_CUT_OFF}")
    if is_video(syntax):
        return (tuple(fragments),), 1 if stated is None else stated
    frames = _group(fragments, marks, [first + offset + 8 for offset in table], stated or 1)
    file.seek(end)
    if not file.read(4) and stated is not None and len(frames) < stated:
        # Without the mark of the end, frames are missing because the rest of the file is.
        raise MediaError(path, f"it holds {len(frames)} of {stated} frames: {_CUT_OFF}")
    # A file that says it has none is believed: what it then holds is a remnant.
    return frames, 0 if stated == 0 else len(frames)


def _begins_frame(head: bytes) -> bool:
    segments, offset = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:8], "little")
    run_length = 1 <= segments <= 15 and offset == 64
    return head.startswith(_FRAME_MARKS) or run_length


def _group(
    fragments: Sequence[Fragment], marks: Sequence[bool], table: Sequence[int], stated: int
) -> tuple[tuple[Fragment, ...], ...]:
    """Put together the fragments of each frame, by what they begin with or by the offset table."""
    num_marks = sum(marks)
    in_table = [start in set(table) for start, _ in fragments]
    if len(fragments) == stated and (not num_marks or num_marks > 0.9 * stated):
        begins = [True] * len(fragments)
    elif sum(in_table) == stated and num_marks <= stated:
        begins = in_table
    elif num_marks:
        begins = list(marks)
    elif any(in_table):
        begins = in_table
    else:
        begins = [stated > 1] * len(fragments)
    groups: list[list[Fragment]] = []
    for fragment, begin in zip(fragments, begins, strict=True):
        if begin or not groups:
            groups.append([])
        groups[-1].append(fragment)
    return tuple(map(tuple, groups))


def _layout(
    path: Path,
    dataset: pydicom.Dataset,
    length: int,
    stated: int | None,
    peek: Callable[[int], bytes],
) -> tuple[dict[str, Any], int, list[str]]:
    """How uncompressed pixels are laid out: corrections of the header, frames, and remarks.

    The header is believed where its number of frames fits the length. Where only another form of
    colours fits, that one is taken.
    """
    photometric, samples = _photometric(dataset), int(dataset.get("SamplesPerPixel", 1))
    pixels = int(dataset.Rows) * int(dataset.Columns)
    bits = int(dataset.BitsAllocated)
    if stated is not None and stated < 1:
        return {}, stated, []
    options: dict[str, Any] = {}
    notes: list[str] = []
    if samples == 3 and "PlanarConfiguration" not in dataset:
        options["planar_configuration"] = 0

    def frame_bytes(values: int) -> float:
        return pixels * values * bits / 8

    def fits(values: int, frames: int) -> bool:
        return 0 <= length - math.ceil(frame_bytes(values) * frames) <= 1

    own = 2 if photometric == "YBR_FULL_422" else samples
    if own == 3 and bits == 8 and length >= frame_bytes(3):
        found = proven_form(_first_frame(peek, dataset), photometric)
        if found != photometric:
            options["photometric_interpretation"] = found
            notes = [form_note(photometric, found)]
    if fits(own, stated or 1):
        return options, stated or 1, notes
    if bits == 8 and photometric in _COLOURS:
        choices = {
            values: frames
            for values in (2, 3)
            if (frames := int(length // frame_bytes(values))) and fits(values, frames)
        }
        if len(choices) == 2:
            # Both forms of colour fit some number of frames; rows of the wrong one do not match.
            head = np.frombuffer(peek(3 * pixels), np.uint8)
            rough = {values: _roughness(head, dataset, values) for values in choices}
            choices = {min(rough, key=lambda values: (rough[values], values != own)): 0}
        if choices and own not in choices:
            (values,) = choices
            frames = int(length // frame_bytes(values))
            options["samples_per_pixel"] = 3
            options.setdefault("planar_configuration", int(dataset.get("PlanarConfiguration", 0)))
            found = "YBR_FULL_422"
            if values == 3:
                as_rgb, as_ybr = _colour(_first_frame(peek, dataset))
                found = "RGB" if as_rgb <= as_ybr else "YBR_FULL"
            options["photometric_interpretation"] = found
            said = f"its header says {photometric}, but the length of its pixels is that of {found}"
            return options, frames, [f"{said}; they were read as that"]
    elif fits(1, stated or 1):
        return {"samples_per_pixel": 1}, stated or 1, []
    frames = int(length // frame_bytes(own))
    if not frames:
        whole = math.ceil(frame_bytes(own) * (stated or 1))
        raise MediaError(path, f"it holds {length} of {whole} bytes of pixels: {_CUT_OFF}")
    return options, frames, notes


def _roughness(head: NDArray[np.uint8], dataset: pydicom.Dataset, values: int) -> float:
    """Mean step from row to row of a frame's brightness when it is laid out in this way."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frame = head[: rows * columns * values]
    if values == 2:
        grey = frame.reshape(rows, -1, 4)[..., :2].reshape(rows, -1)
    elif dataset.get("PlanarConfiguration", 0) == 1:
        grey = frame.reshape(3, rows, columns)[0]
    else:
        grey = frame.reshape(rows, columns, 3)[..., 0]
    return float(np.abs(np.diff(grey.astype(np.int16), axis=0)).mean())


def _first_frame(peek: Callable[[int], bytes], dataset: pydicom.Dataset) -> NDArray[np.uint8]:
    """Pixels of the first uncompressed frame of full colour, (N, 3)."""
    head = np.frombuffer(peek(3 * int(dataset.Rows) * int(dataset.Columns)), np.uint8)
    planar = dataset.get("PlanarConfiguration", 0) == 1
    return head.reshape(3, -1).T if planar else head.reshape(-1, 3)


def proven_form(pixels: NDArray[np.integer], said: str) -> str:
    """The form of colours that 8-bit pixels themselves prove, else the one that is said.

    Black of RGB is no colour at all in YCbCr, and the black and grey of YCbCr are a teal in RGB
    that fills no screen. Nothing else is proof.

    Args:
        pixels: values as they are stored, (..., 3).
        said: RGB, YBR_FULL or YBR_FULL_422.
    """
    as_rgb, as_ybr = _colour(pixels)
    if said.startswith("YBR_FULL"):
        impossible = (pixels[..., 1:] < 16).all(axis=-1).mean()
        return "RGB" if impossible > 0.1 and as_rgb < as_ybr else said
    return "YBR_FULL" if said == "RGB" and as_ybr < 16 and as_rgb > 64 else said


def form_note(said: str, found: str) -> str:
    """What to say where the header and the pixels differ in their form of colours."""
    return f"its header says {said}, but its pixels are {found}; they were read as that"


def _colour(pixels: NDArray[np.integer]) -> tuple[float, float]:
    """How far from grey pixels are on average, taken as RGB and as YCbCr."""
    first, second, third = (pixels[..., place].astype(np.int16) for place in range(3))
    as_rgb = np.abs(second - first).mean() + np.abs(third - first).mean()
    as_ybr = np.abs(second - 128).mean() + np.abs(third - 128).mean()
    return float(as_rgb), float(as_ybr)


def _fps_hz(dataset: pydicom.Dataset) -> float | None:
    """Frames a second, from the first of the attributes that say so."""
    frame_time_ms = dataset.get("FrameTime")
    if frame_time_ms:
        return 1000.0 / float(frame_time_ms)
    steps = dataset.get("FrameTimeVector")
    if steps and np.ndim(steps) and len(steps) > 1 and sum(steps[1:]) > 0:
        return 1000.0 * (len(steps) - 1) / float(sum(steps[1:]))
    for keyword in ("CineRate", "RecommendedDisplayFrameRate"):
        rate = dataset.get(keyword)
        if rate:
            return float(rate)
    return None


def _pixel_aspect(dataset: pydicom.Dataset) -> float:
    """Width of a pixel over its height, from the first attribute that says they are unequal."""
    pairs = [_pair(dataset, name) for name in ("PixelAspectRatio", "PixelSpacing")]
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in list(dataset.get(groups) or [])[:1]:
            pairs += [
                _pair(item, "PixelSpacing") for item in group.get("PixelMeasuresSequence", [])
            ]
    pairs += [_pair(dataset, "NominalScannedPixelSpacing"), _region_deltas(dataset)]
    for down, across in filter(None, pairs):
        if abs(across / down - 1.0) > 0.01:
            return across / down
    return 1.0


def _pair(dataset: pydicom.Dataset, keyword: str) -> tuple[float, float] | None:
    """Height and width of a pixel."""
    values = dataset.get(keyword)
    if not values or not np.ndim(values) or len(values) != 2:
        return None
    down, across = float(values[0]), float(values[1])
    return (down, across) if down > 0 and across > 0 else None


def _region_deltas(dataset: pydicom.Dataset) -> tuple[float, float] | None:
    """Height and width of a pixel of the largest 2D region that is measured in centimetres."""
    largest: tuple[int, tuple[float, float] | None] = (0, None)
    for item in dataset.get("SequenceOfUltrasoundRegions") or []:
        box = _box(item)
        units = item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection")
        if box is None or item.get("RegionSpatialFormat") != 1 or set(units) != {_CENTIMETRES}:
            continue
        down = abs(float(item.get("PhysicalDeltaY") or 0))
        across = abs(float(item.get("PhysicalDeltaX") or 0))
        area = (box[2] - box[0]) * (box[3] - box[1])
        if down > 0 and across > 0 and area > largest[0]:
            largest = (area, (down, across))
    return largest[1]


def _machine(dataset: pydicom.Dataset) -> Machine:
    try:
        depth_mm = float(dataset.get("DepthOfScanField") or 0)
    except (TypeError, ValueError):
        depth_mm = 0.0
    return Machine(
        manufacturer=" ".join(str(dataset.get("Manufacturer") or "").split()),
        model=" ".join(str(dataset.get("ManufacturerModelName") or "").split()),
        depth_mm=depth_mm if 0 < depth_mm < math.inf else None,
    )


def _regions(dataset: pydicom.Dataset) -> tuple[Region, ...]:
    """The boxes of SequenceOfUltrasoundRegions that lie in the picture, cut to it."""
    height, width = int(dataset.Rows), int(dataset.Columns)
    regions = []
    for item in dataset.get("SequenceOfUltrasoundRegions") or []:
        box = _box(item)
        if box is None:
            continue
        left, top = max(box[0], 0), max(box[1], 0)
        right, bottom = min(box[2], width), min(box[3], height)
        if left < right and top < bottom:
            regions.append(
                Region(
                    box=(left, top, right, bottom),
                    layout=_LAYOUTS.get(item.get("RegionSpatialFormat"), "none"),
                    data_type=_DATA_TYPES.get(item.get("RegionDataType"), "none"),
                )
            )
    return tuple(regions)


def _box(item: pydicom.Dataset) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom; DICOM's last column and row belong to the region."""
    names = ("MinX0", "MinY0", "MaxX1", "MaxY1")
    values = [item.get(f"RegionLocation{name}") for name in names]
    if None in values:
        return None
    left, top, right, bottom = map(int, values)
    return left, top, right + 1, bottom + 1
