"""Clips before and after masking, for a person who decides: a sheet, or a page with keys.

The page writes a file of sectors (`echoclip_r.data.outlines`), which `prepare` reads.
"""

from __future__ import annotations

import base64
import glob
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from echoclip_r.data.cells import AS_IT_IS, TableFormat
from echoclip_r.data.clips import Seen, mask_frames, read_unmasked
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.outlines import COLUMNS, Outlines, read_outlines
from echoclip_r.data.plan import make_plan
from echoclip_r.data.samples import SampleOptions
from echoclip_r.errors import EchoclipError, MediaError, OptionError
from echoclip_r.jobs.progress import Progress
from echoclip_r.sector.find import Sector
from echoclip_r.sector.sheet import preview_sheet
from echotok.view.templates import render

__all__ = ["Preview", "PreviewClip", "draw_sheet", "look_over", "write_page"]

_MANIFESTS = (".csv", ".tsv", ".tab", ".psv", ".parquet", ".pq", ".csv.gz", ".tsv.gz")
_MASKED_PX = 224
_NUM_BLOCKS = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreviewClip:
    """A clip to look at.

    Attributes:
        label: what it is called on a sheet that may leave the archive: no id, no file of a row.
        video: its file as the manifest or the command line writes it.
        study_id: its study, or "".
        frame: RGB, uint8 (height, width, 3), as it is in the file.
        masked: RGB, uint8 (size, size, 3), as it would be in the shards.
        seen: what was decided on it; its frames are dropped.
        num_alike: how many of the clips looked at are of its machine and size.
    """

    label: str
    video: str
    study_id: str
    frame: NDArray[np.uint8]
    masked: NDArray[np.uint8]
    seen: Seen
    num_alike: int = 1

    @property
    def is_used(self) -> bool:
        """Whether `prepare` would use it as it is."""
        return not self.seen.refusal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preview:
    """Clips to look at.

    Attributes:
        clips: those that can be read, doubtful ones first.
        unread: for each of the others a line with the reason.
        outlines: the file of sectors that was in force, or None.
    """

    clips: tuple[PreviewClip, ...]
    unread: tuple[str, ...]
    outlines: Outlines | None

    @property
    def num_refused(self) -> int:
        """Number of clips that `prepare` would leave out as they are."""
        return sum(not clip.is_used for clip in self.clips)


def look_over(
    paths: Sequence[Path],
    *,
    num_clips: int = 24,
    seed: int = 0,
    sectors: Path | None = None,
    masked: bool = False,
    by_machine: bool = False,
    form: TableFormat = AS_IT_IS,
) -> Preview:
    """Find the sectors of some clips, as `prepare` would before it asks their siblings.

    Args:
        paths: one manifest, of which clips are taken at random, or the clips themselves.
        num_clips: clips taken from a manifest.
        seed: seed of that choice.
        sectors: a file of sectors that is in force.
        masked: the clips were masked already; see `prepare`.
        by_machine: keep one clip of each machine and size.
        form: how the manifest is written.

    Raises:
        ManifestError: the manifest or the file of sectors cannot be used.
        EchoclipError: none of the clips can be read.
        OptionError: `num_clips` is not positive.
    """
    if num_clips < 1:
        raise OptionError(f"num is {num_clips}; it must be at least 1")
    outlines = None if sectors is None else read_outlines(sectors)
    found: list[PreviewClip] = []
    unread: list[str] = []
    chosen = list(_choose(paths, num_clips, seed, form))
    with Progress(len(chosen), unit="clips", what="preview") as bar:
        for label, video, path, study_id in chosen:
            rules = (
                ()
                if outlines is None
                else outlines.for_clip(video=video, path=str(path), study_id=study_id)
            )
            try:
                frame, seen = read_unmasked(path, rules=rules, video=video, masked=masked)
            except MediaError as error:
                unread.append(f"{label}: {error.reason}")
            else:
                found.append(
                    PreviewClip(
                        label=label,
                        video=video,
                        study_id=study_id,
                        frame=frame,
                        masked=mask_frames(seen, _MASKED_PX).frames[0],
                        seen=replace(seen, clip=replace(seen.clip, frames=frame[None][:0])),
                    )
                )
            bar.advance()
    if not found:
        raise EchoclipError(
            f"none of {len(unread)} clips can be read; the first: {unread[0]}"
            if unread
            else f"{paths[0]}: no row can be used; `echoclip-r summary` says why"
        )
    if by_machine:
        found = _one_of_each(found)
    found.sort(key=lambda clip: (clip.is_used, not clip.seen.notes))
    return Preview(clips=tuple(found), unread=tuple(unread), outlines=outlines)


def draw_sheet(preview: Preview, *, show_outside: bool = False) -> Image.Image:
    """One picture of all clips; what lies outside of sectors is coarse, or as it is."""
    return preview_sheet(
        [(clip.frame[None], _judged(clip)) for clip in preview.clips],
        labels=[f"{clip.label}  {clip.seen.refusal}" for clip in preview.clips],
        show_outside=show_outside,
    )


def write_page(preview: Preview, *, show_outside: bool = False, by_machine: bool = False) -> str:
    """One HTML page that needs no other file and no network.

    It names files and studies as the archive does: keep it with the archive.

    Args:
        preview: clips from `look_over`.
        show_outside: show what lies outside of the sectors as it is, burned-in names included;
            without it, nothing can be drawn on the page.
        by_machine: what is decided or drawn holds for all clips of the machine and size.
    """
    kept = [] if preview.outlines is None else [rule.cells for rule in preview.outlines.rules]
    data = {
        "columns": COLUMNS,
        "scope": "machine" if by_machine else "clip",
        "canDraw": show_outside,
        "kept": kept,
        "clips": [_facts(clip) for clip in preview.clips],
    }
    return render(
        "echoclip_r.data",
        "preview.html",
        clips=preview.clips,
        unread=preview.unread,
        num_refused=preview.num_refused,
        by_machine=by_machine,
        show_outside=show_outside,
        picture=lambda clip: _data_uri(
            clip.frame if show_outside else _coarse_outside(clip.frame, clip.seen.sector)
        ),
        masked=lambda clip: _data_uri(clip.masked),
        edges=_edges,
        machine=_machine_name,
        sentence=_sentence,
        # "<" could end the element, whatever it says in a file's name.
        data=Markup(json.dumps(data).replace("<", "\\u003c")),
        script=(files("echoclip_r.data") / "preview.js").read_text(encoding="utf-8"),
    )


def _judged(clip: PreviewClip) -> Sector:
    return replace(clip.seen.sector, sure=clip.is_used)


def _coarse_outside(frame: NDArray[np.uint8], sector: Sector) -> NDArray[np.uint8]:
    """A frame on which nobody's name can be read outside of the sector."""
    picture = Image.fromarray(frame)
    side = max(4, max(picture.size) // _NUM_BLOCKS)
    coarse = picture.reduce(side).resize(picture.size, Image.Resampling.NEAREST)
    return np.where(sector.mask[..., None], frame, np.asarray(coarse))


def _facts(clip: PreviewClip) -> dict[str, Any]:
    look = clip.seen.look
    machine = look.machine
    depth_mm = machine.depth_mm
    return {
        "video": glob.escape(clip.video.replace("\\", "/")),
        "study_id": clip.study_id,
        "width_px": str(look.width_px),
        "height_px": str(look.height_px),
        "manufacturer": machine.manufacturer,
        "model": machine.model,
        "depth_mm": "" if depth_mm is None else f"{depth_mm:g}",
    }


def _machine_name(clip: PreviewClip) -> str:
    look = clip.seen.look
    machine = look.machine
    depth = "" if machine.depth_mm is None else f"{machine.depth_mm:g} mm deep"
    names = (machine.manufacturer, machine.model, depth, f"{look.width_px} x {look.height_px}")
    return ", ".join(filter(None, names))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _edges(clip: PreviewClip) -> str:
    """The outline of a clip's mask as an SVG path of straight pieces along its pixels."""
    mask = np.pad(clip.seen.sector.mask, 1)
    pieces = []
    for across in (False, True):
        sides = mask if not across else mask.T
        rows, columns = np.nonzero(sides[:-1] != sides[1:])
        for row in np.unique(rows):
            places = columns[rows == row]
            for run in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):
                start, end = int(run[0]) - 1, int(run[-1])
                pieces.append(f"M{row} {start}V{end}" if across else f"M{start} {row}H{end}")
    return "".join(pieces)


def _one_of_each(clips: Sequence[PreviewClip]) -> list[PreviewClip]:
    """The first clip of each machine and size, those that are used before others."""
    groups: dict[str, list[PreviewClip]] = {}
    for clip in sorted(clips, key=lambda clip: not clip.is_used):
        groups.setdefault(_machine_name(clip), []).append(clip)
    return [replace(group[0], num_alike=len(group)) for group in groups.values()]


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="jpeg", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _choose(
    paths: Sequence[Path], num_clips: int, seed: int, form: TableFormat
) -> Iterator[tuple[str, str, Path, str]]:
    """Label, file as written, path and study of each clip."""
    if not paths[0].name.lower().endswith(_MANIFESTS):
        for path in paths:
            yield path.name, path.as_posix(), path, ""
        return
    manifest = read_manifest(paths[0], seed=seed, check_files=False, form=form)
    # The plan's order is at random, so a slice of it is a fair choice.
    plan = make_plan(manifest, SampleOptions(seed=seed), clips_per_shard=num_clips)
    rows = [row for shard in plan.shards for row in plan.rows(shard)]
    for row in rows[:num_clips]:
        yield f"row {row.row}", row.video, Path(row.path), row.study_id
