"""The one way from a file to masked frames, which is where privacy is decided (I9).

    file -> some evenly spread frames -> the sector: given, checked (`--masked`) or found
         -> the chosen frames         -> masked to the sector, cropped, resized

Nothing that lies outside of the sector gets past `read_masked`, and a clip whose sector is not
sure is refused unless the caller, or a row about it in a file of sectors, says to keep it. Only
`read_unmasked` gives pixels as they are in the file, for people who check the sectors.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from echoclip_r.data.masked import lit_outline
from echoclip_r.data.outlines import Rule
from echoclip_r.data.regions import declared_bound, why_refused
from echoclip_r.data.siblings import Look, Sibling, cells_of, inside_cells
from echoclip_r.errors import MediaError
from echoclip_r.media.clip import Clip, ClipInfo
from echoclip_r.media.reading import probe, read
from echoclip_r.places import IN_A_STORE, is_remote, local_file, place
from echoclip_r.sector.find import Sector, apply_sector, find_sector

__all__ = [
    "Frames",
    "MaskedClip",
    "Seen",
    "look_at",
    "mask_frames",
    "pick_frames",
    "read_masked",
    "read_unmasked",
]

Frames = NDArray[np.uint8]

_NOT_SURE = (
    "the sector is not sure ({}), so burned-in text may be left in it; look at it with "
    "`echoclip-r preview`, and decide there (--sector) or keep all such clips (keep_unsure=True, "
    "--keep-unsure)"
)
# A sector is what moves, and in a few frames little does.
_NUM_SECTOR_FRAMES = 16
# How much of what moves may lie outside of a given outline: a trace is a remark and no reason to
# leave the clip out, unless the outline can't be that of this clip.
_MOST_OUTSIDE = 0.25
_MOST_OUTSIDE_SIBLINGS = 0.10
_MIN_CHANGE = 3.0
# A masked clip's lit pixels against the fan or rectangle that fits them.
_MIN_FAN = 0.8
_MAX_LIT_BEYOND = 0.01
_MAX_LETTERING = 0.005


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """A clip with its sector, before anything is masked.

    Attributes:
        clip: some of its frames as they are in the file.
        chosen: places of the chosen ones among them.
        sector: its sector.
        refusal: why it must not be used, or "".
        doubt: where that is a doubt about the sector, which `keep_unsure` or siblings settle, and
            not a fact about the clip, the first of what speaks against the sector; else "".
        notes: sentences on its file and on where its sector is from.
        look: how it looks from far away.
        rule: key of the row of the file of sectors that holds for it, or None.
    """

    clip: Clip
    chosen: list[int]
    sector: Sector
    refusal: str
    doubt: str
    notes: tuple[str, ...]
    look: Look
    rule: str | None

    @property
    def reason(self) -> str:
        """The refusal, with what to do where it is a doubt."""
        return _NOT_SURE.format(self.refusal) if self.doubt else self.refusal


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskedClip:
    """Frames of a clip that hold its sector alone.

    Attributes:
        frames: RGB, uint8 (T, size_px, size_px, 3).
        indices: where each of them is in the file, from 0, rising.
        sector: what they were masked with, and whether it was found for sure.
        notes: sentences on what is wrong with the file and how it was read in spite of that, and
            on where the sector is from if it was not found in this clip alone.
    """

    frames: Frames
    indices: tuple[int, ...]
    sector: Sector
    notes: tuple[str, ...] = ()

    def inside(self, size_px: int) -> NDArray[np.bool_]:
        """Where the sector is in a frame of another size, (size_px, size_px)."""
        white = np.full((1, *self.sector.mask.shape, 3), 255, np.uint8)
        return apply_sector(white, self.sector, size_px)[0, ..., 0] > 0


def read_masked(
    path: Path | str,
    *,
    size_px: int,
    num_frames: int = 10,
    seed: str | None = None,
    keep_unsure: bool = False,
) -> MaskedClip:
    """Read some frames of a clip, chosen over its length, masked to the sector and resized.

    Args:
        path: a video, a DICOM file, or a folder of pictures.
        size_px: side of the frames.
        num_frames: how many frames; a shorter clip gives all that it has.
        seed: of the choice of frames; made from the file's name where it is None.
        keep_unsure: use a clip whose sector was not found for sure, instead of refusing it.

    Raises:
        MediaError: the clip cannot be read, is no single picture, or its sector is not sure.
    """
    seen = look_at(path, num_frames=num_frames, seed=seed)
    if seen.refusal and not (seen.doubt and keep_unsure):
        raise MediaError(path, seen.reason)
    return mask_frames(seen, size_px)


def look_at(
    path: Path | str,
    *,
    num_frames: int,
    seed: str | None = None,
    rules: Sequence[Rule] = (),
    video: str = "",
    sibling: Sibling | None = None,
    masked: bool = False,
) -> Seen:
    """Read some frames of a clip and decide on its sector.

    Args:
        path: the clip.
        num_frames: how many frames are chosen over its length.
        seed: of that choice; made from the file's name where it is None.
        rules: rows of a file of sectors that may hold for the clip; the first that fits its file
            decides.
        video: the clip's name in the manifest, by which such a row names it.
        sibling: an outline to try where the clip's own sector is not sure.
        masked: the clip was masked already: check that, and take what is lit.

    Raises:
        MediaError: the clip cannot be read.
    """
    seed = f"0\0{place(path).name}" if seed is None else seed
    return _see(
        path,
        lambda total: pick_frames(total, num_frames, seed=seed),
        _Ask(rules=tuple(rules), video=video or str(path), sibling=sibling, masked=masked),
    )


def mask_frames(seen: Seen, size_px: int) -> MaskedClip:
    """The chosen frames, masked to the sector, cropped and resized."""
    return MaskedClip(
        frames=apply_sector(seen.clip.frames[seen.chosen], seen.sector, size_px),
        indices=tuple(seen.clip.indices[place] for place in seen.chosen),
        sector=seen.sector,
        notes=seen.notes,
    )


def read_unmasked(
    path: Path | str, *, rules: Sequence[Rule] = (), video: str = "", masked: bool = False
) -> tuple[NDArray[np.uint8], Seen]:
    """The frame in the middle of a clip as it is in the file, and what is decided on the clip.

    Whatever is burned into the picture is still there: this is for people who check sectors.

    Args:
        path: the clip.
        rules: see `look_at`.
        video: see `look_at`.
        masked: see `look_at`.

    Returns:
        RGB, uint8 (height, width, 3), and what `prepare` would decide without siblings.

    Raises:
        MediaError: the clip cannot be read.
    """
    seen = _see(
        path,
        lambda total: [_evenly(total)[_num_evenly(total) // 2]],
        _Ask(rules=tuple(rules), video=video or str(path), sibling=None, masked=masked),
    )
    return seen.clip.frames[seen.chosen[0]], seen


def pick_frames(num_frames: int, num_wanted: int, *, seed: str) -> list[int]:
    """One frame at random from each of equal parts of a clip, in order.

    Random, so that no phase of the heart cycle is always hit or missed; from parts, so that the
    whole clip is seen.

    Returns:
        `min(num_frames, num_wanted)` different indices.

    Example:
        >>> pick_frames(30, 3, seed="s")
        [4, 17, 27]
    """
    count = min(num_frames, num_wanted)
    # random.Random promises the same numbers in every version of Python; numpy's does not.
    generator = random.Random(seed)
    edges = [part * num_frames // count for part in range(count + 1)]
    return [low + int(generator.random() * (high - low)) for low, high in itertools.pairwise(edges)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ask:
    """What is known of a clip's sector before the clip is read; see `look_at`."""

    rules: tuple[Rule, ...]
    video: str
    sibling: Sibling | None
    masked: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Decision:
    """The sector of a clip, and whether the clip may be used; see `Seen`."""

    sector: Sector
    refusal: str = ""
    doubt: str = ""
    note: str = ""


@contextmanager
def _on_this_machine(path: Path | str) -> Iterator[Path | str]:
    """A clip where decoders can read it: one in a store is copied for as long as it is read."""
    if not is_remote(found := place(path)):
        yield path
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(local_file(found))
        except FileNotFoundError:
            raise MediaError(path, f"there is no such file{IN_A_STORE}") from None
        yield file


def _see(path: Path | str, choose: Callable[[int], list[int]], ask: _Ask) -> Seen:
    with _on_this_machine(path) as file:
        total = probe(file).num_frames
        chosen, evenly = choose(total), _evenly(total)
        clip = read(file, sorted({*chosen, *evenly}))
    # From the evenly spread ones alone: neither seed nor number of frames moves the mask.
    frames = clip.frames[_places(clip, evenly)]
    floor, peak = cells_of(frames)
    look = Look(
        width_px=clip.info.width_px,
        height_px=clip.info.height_px,
        machine=clip.info.machine,
        floor=floor,
        peak=peak,
        shape=None,
    )
    rule = next((rule for rule in ask.rules if rule.fits(clip.info)), None)
    if rule is not None:
        decision = _by_rule(frames, clip.info, look, rule, ask)
    else:
        decision = _by_itself(frames, clip.info, look, ask)
    is_sure = decision.sector.sure and not decision.refusal
    return Seen(
        clip=clip,
        chosen=_places(clip, chosen),
        sector=decision.sector,
        refusal=decision.refusal,
        doubt=decision.doubt,
        notes=clip.info.notes + ((decision.note,) if decision.note else ()),
        look=replace(look, shape=decision.sector.shape if is_sure else None),
        rule=None if rule is None else rule.key,
    )


def _found(frames: Frames, info: ClipInfo, sibling: Sibling | None) -> _Decision:
    """The clip's own sector, or where that is not sure the one that others say it has."""
    sector = find_sector(frames)
    if why := why_refused(info.regions, frames):
        return _Decision(sector=replace(sector, sure=False, reason=why), refusal=why)
    if sector.sure:
        return _Decision(sector=sector)
    if (bound := declared_bound(info.regions, frames)) is not None:
        bounded = find_sector(frames, bound=bound)
        # The box may be stale and cut the picture: what moves outside of it would show.
        if (
            bounded.sure
            and bounded.shape is not None
            and find_sector(frames, shape=bounded.shape).sure
        ):
            note = (
                "its sector is sure only within the region that its header declares; without it, "
                f"{sector.reason}"
            )
            return _Decision(sector=bounded, note=note)
    if sibling is not None:
        given = find_sector(frames, shape=sibling.shape)
        if not given.doubts and given.outside <= _MOST_OUTSIDE_SIBLINGS:
            note = (
                f"its own sector was not sure ({sector.reason}); it has that of "
                f"{sibling.num_clips} clips of its {sibling.of} that look the same around it"
            )
            reason = f"the outline of {sibling.num_clips} clips of the same {sibling.of}"
            return _Decision(sector=replace(given, sure=True, reason=reason), note=note)
    return _Decision(sector=sector, refusal=sector.reason, doubt=sector.doubts[0])


def _by_itself(frames: Frames, info: ClipInfo, look: Look, ask: _Ask) -> _Decision:
    """What a clip gets that no row of a file of sectors fits."""
    return _masked_already(frames, look) if ask.masked else _found(frames, info, ask.sibling)


def _by_rule(frames: Frames, info: ClipInfo, look: Look, rule: Rule, ask: _Ask) -> _Decision:
    """What a row of a file of sectors says; one that names the clip is by who looked at it."""
    by_name = rule.names(ask.video)
    where = "the file of sectors"
    because = f" ({rule.reason})" if rule.reason else ""
    if rule.decision == "refuse":
        sector = replace(find_sector(frames[:1]), sure=False, reason=f"{where} refuses it{because}")
        return _Decision(sector=sector, refusal=f"{where} refuses it{because}")
    if rule.shape is None:  # a verdict on what the clip would get without it
        found = _by_itself(frames, info, look, ask)
        if found.refusal and not by_name:
            return found
        doubt = f", although its sector is not sure: {found.refusal}" if found.refusal else ""
        own = f"; {found.note}" if found.note else ""
        return _Decision(sector=found.sector, note=f"{where} keeps it{because}{doubt}{own}")
    sector = find_sector(frames, shape=rule.shape)
    others = [sector.reason] if sector.doubts or sector.outside > _MOST_OUTSIDE else []
    if not by_name:
        inside, _ = inside_cells(rule.shape, width_px=info.width_px, height_px=info.height_px)
        if not inside.any() or look.change_within(inside) < _MIN_CHANGE:
            others.append("hardly anything in it moves, so nothing tells tissue from lettering")
        if why := why_refused(info.regions, frames):
            others.append(why)
    if others and not by_name:
        said = f"its outline in {where} does not hold for it: "
        refusal, first = said + "; ".join(others), (*sector.doubts, *others)[0]
        return _Decision(
            sector=replace(sector, sure=False, reason=refusal), refusal=refusal, doubt=said + first
        )
    said = "" if sector.sure else f"; {sector.reason}"
    return _Decision(
        sector=replace(sector, sure=True, reason=f"its outline was given by {where}"),
        note=f"its outline was given by {where}{because}{said}",
    )


def _masked_already(frames: Frames, look: Look) -> _Decision:
    """The sector of a clip that was masked, or what shows that it was not."""
    found = find_sector(frames)
    try:
        outline = lit_outline(frames)
        if look.change_within(look.peak > _MIN_CHANGE) < _MIN_CHANGE:
            raise ValueError("hardly anything in it moves, so nothing tells tissue from lettering")
        lit = outline.mask(*frames.shape[1:3])
        if found.sure and (lit & ~_near(found.mask)).mean() < _MAX_LIT_BEYOND:
            sector = found
        else:
            sector = _fan_of(frames, found, lit, find_sector(frames, shape=outline))
    except ValueError as error:
        refusal = f"it is not masked to an ultrasound picture: {error}"
        return _Decision(sector=replace(found, sure=False, reason=refusal), refusal=refusal)
    return _Decision(sector=replace(sector, reason="it was masked already"))


def _fan_of(frames: Frames, found: Sector, lit: NDArray[np.bool_], sector: Sector) -> Sector:
    """The sector that is all that is lit, where that is a fan and nothing else.

    Raises:
        ValueError: it is not.
    """
    if not sector.sure:
        raise ValueError(sector.reason)
    if found.shape is None:
        raise ValueError(found.reason)
    fan = found.shape.mask(*lit.shape)
    overlap = float((fan & lit).sum() / max((fan | lit).sum(), 1))
    if overlap < _MIN_FAN:
        raise ValueError(f"what is lit in it is no fan (overlap {overlap:.0%}): {found.reason}")
    lettering = ndimage.binary_erosion(lit, iterations=2) & ~_near(sector.mask, 1)
    if lettering.sum() > _MAX_LETTERING * lit.sum():
        raise ValueError(f"lettering or graphics lie in it ({lettering.sum()} pixels)")
    return sector


def _near(mask: NDArray[np.bool_], num_px: int = 0) -> NDArray[np.bool_]:
    grown: NDArray[np.bool_] = ndimage.binary_dilation(
        mask, iterations=num_px or max(2, round(0.015 * max(mask.shape)))
    )
    return grown


def _places(clip: Clip, wanted: Sequence[int]) -> list[int]:
    """Where the wanted frames are in what was read; for a damaged one, the nearest that was."""
    read_ones = np.asarray(clip.indices)
    return sorted({int(np.abs(read_ones - index).argmin()) for index in wanted})


def _evenly(num_frames: int) -> list[int]:
    """The frames that a clip's sector is found in: some evenly spread ones."""
    count = _num_evenly(num_frames)
    return [(2 * place + 1) * num_frames // (2 * count) for place in range(count)]


def _num_evenly(num_frames: int) -> int:
    return min(num_frames, _NUM_SECTOR_FRAMES)
