"""The contact sheet of a phantom archive: some clips with their findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from echoclip_r.media.lettering import break_lines, font
from echoclip_r.media.reading import read_frames
from echoclip_r.phantom.patient_files import find_study
from echoclip_r.phantom.picture.ultrasound import sector_mask, set_up

__all__ = ["choose_clips", "describe_labels", "draw_sheet"]

_COLUMNS = 6
_TILE_PX = 180
_FONT_PX = 11
_LINE_PX = 14
_FOOT_PX = 24
_FOOT = "Simulated by echoclip_r. Not recordings of any person, and no clinical evidence."
_GRADES = ("", "mild", "mod", "sev")
_DEVICES = {"pacer": "pacer", "impella": "Impella", "tavr": "TAVR", "mitraclip": "MitraClip"}
_CHAMBERS = {"lv": "LV", "rv": "RV", "la": "LA", "ra": "RA"}


def choose_clips(rows: Sequence[Mapping[str, str]], *, number: int = 24) -> list[int]:
    """Choose clips that show each device, each large chamber, fluid, and the span of EF.

    Args:
        rows: cells of the manifest.
        number: largest number of clips.

    Returns:
        Indices of rows in order of ejection fraction, at most one for each patient.
    """
    wanted = [*_DEVICES, "effusion", *(f"{name}_dilation" for name in _CHAMBERS), "akinesia"]
    chosen: list[int] = []

    def take(candidates: Iterable[int]) -> None:
        patients = {rows[index]["patient_id"] for index in chosen}
        for index in candidates:
            if rows[index]["patient_id"] not in patients and len(chosen) < number:
                chosen.append(index)
                return

    for label in wanted:
        top = max((float(row[label]) for row in rows), default=0.0)
        if top > 0:
            take(index for index, row in enumerate(rows) if float(row[label]) == top)
    by_ef = sorted(range(len(rows)), key=lambda index: float(rows[index]["ef"]))
    for start in np.linspace(len(by_ef) - 1, 0, number - len(chosen)).astype(int):
        take([*by_ef[start:], *reversed(by_ef[:start])])
    return sorted(chosen, key=lambda index: float(rows[index]["ef"]))


def describe_labels(row: Mapping[str, str]) -> str:
    """What a clip shows, in a few words.

    Example:
        >>> from echoclip_r.phantom.latents import sample_patient
        >>> from echoclip_r.phantom.patient_files import label_cells
        >>> describe_labels(label_cells(sample_patient(0, seed=0)[0])).split(",")[0][:3]
        'EF '
    """
    words = [f"EF {float(row['ef']):.0f} %", f"PAP {row['pap_mmhg']}"]
    for name, short in _CHAMBERS.items():
        if grade := int(row[f"{name}_dilation"]):
            words.append(f"{_GRADES[grade]} {short}")
    if row["akinesia"] == "1":
        words.append("akinesia")
    if size := int(row["effusion"]):
        words.append(f"{('', 'small', 'mod', 'large')[size]} effusion")
    return ", ".join(words + [short for name, short in _DEVICES.items() if row[name] == "1"])


def draw_sheet(
    out_dir: Path, rows: Sequence[Mapping[str, str]], *, seed: int, site: int = 0
) -> Image.Image:
    """Draw the first frames of clips.

    Args:
        out_dir: the archive.
        rows: cells of the manifest and of the provenance for the clips to draw.
        seed: the archive's seed.
        site: the archive's site.

    Returns:
        The sheet. Each clip is cropped to its sector, so no burned-in lettering is on it.

    Raises:
        MediaError: a clip cannot be read.
    """
    face = font(_FONT_PX)
    captions = [break_lines(describe_labels(row), _TILE_PX - 8, face) for row in rows]
    # The longest caption decides, so that none is cut off.
    most_lines = max(map(len, captions), default=1)
    lines = -(-len(rows) // _COLUMNS)
    cell = _TILE_PX + (most_lines + 1) * _LINE_PX
    sheet = Image.new("RGB", (_COLUMNS * _TILE_PX, lines * cell + _FOOT_PX))
    draw = ImageDraw.Draw(sheet)
    for number, (row, caption) in enumerate(zip(rows, captions, strict=True)):
        left, top = number % _COLUMNS * _TILE_PX, number // _COLUMNS * cell
        screen = Image.fromarray(read_frames(out_dir / row["video"], [0])[0])
        x, y, size = (int(row[f"picture_{name}"]) for name in ("left", "top", "size"))
        picture = np.asarray(screen.crop((x, y, x + size, y + size)))
        # A screen's lettering reaches into the corners of the picture, where the crop cuts it.
        study = find_study(row["study_id"], seed, site=site)
        inside = sector_mask(set_up(study, size).sector, size)
        tile = Image.fromarray(np.where(inside[..., None], picture, np.uint8(0)))
        sheet.paste(tile.resize((_TILE_PX, _TILE_PX), Image.Resampling.BICUBIC), (left, top))
        for place, line in enumerate(caption):
            at = (left + 4, top + _TILE_PX + 2 + place * _LINE_PX)
            draw.text(at, line, fill="white", font=face)
    draw.text((4, lines * cell + 4), _FOOT, fill=(255, 210, 90), font=face)
    return sheet
