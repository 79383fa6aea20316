"""A sheet of clips before and after masking, to look at before an archive is prepared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from echoclip_r.data.clips import Frames, read_unmasked
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.plan import make_plan
from echoclip_r.data.samples import SampleOptions
from echoclip_r.errors import EchoclipError, MediaError, OptionError
from echoclip_r.sector.find import Sector
from echoclip_r.sector.sheet import preview_sheet

__all__ = ["Preview", "draw_preview"]

_MANIFESTS = (".csv", ".tsv", ".parquet", ".pq")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A sheet of clips.

    Attributes:
        image: RGB picture, on which uncertain clips come first.
        num_clips: number of clips on the sheet.
        num_unsure: number of these clips whose sector is not certain.
        notes: for each uncertain clip and each that cannot be read a line with the reason.
    """

    image: Image.Image
    num_clips: int
    num_unsure: int
    notes: tuple[str, ...]


def draw_preview(
    paths: Sequence[Path], *, num_clips: int = 24, seed: int = 0, show_outside: bool = False
) -> Preview:
    """Find the sectors of some clips, as `prepare` would, and draw them.

    Args:
        paths: one manifest, of which clips are taken at random, or the clips themselves.
        num_clips: clips taken from a manifest.
        seed: seed of that choice.
        show_outside: show what lies outside of the sectors as it is, burned-in names included.

    Raises:
        ManifestError: the manifest cannot be used.
        EchoclipError: none of the clips can be read.
        OptionError: `num_clips` is not positive.
    """
    if num_clips < 1:
        raise OptionError(f"num is {num_clips}; it must be at least 1")
    found: list[tuple[Frames, Sector, str]] = []
    notes: list[str] = []
    for name, path in _choose(paths, num_clips, seed):
        try:
            middle, sector = read_unmasked(path)
        except MediaError as error:
            notes.append(f"{name}: {error.reason}")
            continue
        found.append((middle, sector, name))
        if not sector.sure:
            notes.append(f"{name}: unsure: {sector.reason}")
    if not found:
        raise EchoclipError(
            f"none of {len(notes)} clips can be read; the first: {notes[0]}"
            if notes
            else f"{paths[0]}: no row can be used; `echoclip-r summary` says why"
        )
    found.sort(key=lambda clip: clip[1].sure)
    image = preview_sheet(
        [(middle, sector) for middle, sector, _ in found],
        labels=[f"{name}  {'' if sector.sure else sector.reason}" for _, sector, name in found],
        show_outside=show_outside,
    )
    return Preview(
        image=image,
        num_clips=len(found),
        num_unsure=sum(not sector.sure for _, sector, _ in found),
        notes=tuple(notes),
    )


def _choose(paths: Sequence[Path], num_clips: int, seed: int) -> Iterator[tuple[str, Path]]:
    """What each clip is called on the sheet, and where it is. No id and no file name of a row."""
    if paths[0].suffix.lower() not in _MANIFESTS:
        for path in paths:
            yield path.name, path
        return
    manifest = read_manifest(paths[0], seed=seed, check_files=False)
    # The plan's order is at random, so a slice of it is a fair choice.
    plan = make_plan(manifest, SampleOptions(seed=seed), clips_per_shard=num_clips)
    for shard in plan.shards[:1]:
        for row in plan.rows(shard):
            yield f"row {row.row}", Path(row.path)
