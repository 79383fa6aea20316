"""The one way from a file to masked frames, and that everybody takes it."""

from __future__ import annotations

import ast
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import echoclip_r
from echoclip_r.data.clips import pick_frames, read_masked, read_unmasked
from echoclip_r.data.preparation import prepare
from echoclip_r.errors import MediaError
from echoclip_r.media.reading import read_clip
from echoclip_r.sector.find import apply_sector


def lettering(frames: NDArray[np.uint8], helpers: Any) -> int:
    """Pixels in the colour of the burned-in text."""
    return int((np.abs(frames.astype(int) - helpers.burned_in).max(axis=-1) < 90).sum())


def test_frames_are_spread_over_the_whole_clip() -> None:
    """One of each part, never two of the same, at random places within the parts."""
    firsts = set()
    for seed in range(200):
        chosen = pick_frames(57, 10, seed=str(seed))
        assert len(chosen) == 10
        assert all(
            part * 57 // 10 <= index < (part + 1) * 57 // 10 for part, index in enumerate(chosen)
        )
        firsts.add(chosen[0])
    assert firsts == set(range(5))


def test_frames_are_those_of_the_file_masked(archive: Path, helpers: Any) -> None:
    """At the size that was asked for; burned-in text is gone and the picture is there."""
    path = archive / "clip-07.avi"
    clip = read_masked(path, size_px=48, num_frames=4)
    assert clip.frames.shape == (4, 48, 48, 3)
    whole = read_clip(path)
    assert lettering(whole, helpers) > 0
    assert (clip.frames == apply_sector(whole[list(clip.indices)], clip.sector, 48)).all()
    assert lettering(clip.frames, helpers) == 0
    assert clip.frames.max() > 50


def test_neither_seed_nor_number_of_frames_moves_the_mask(archive: Path) -> None:
    """The sector is found in frames of its own, and is the same for whoever looks at it."""
    path = archive / "clip-07.avi"
    clips = [
        read_masked(path, size_px=48, num_frames=number, seed=seed)
        for number, seed in [(1, "a"), (1, "b"), (10, "a"), (99, None)]
    ]
    assert len({clip.indices for clip in clips}) == 4
    assert clips[3].indices == tuple(range(19))
    _, shown = read_unmasked(path)
    for clip in clips:
        assert (clip.sector.mask == shown.sector.mask).all()


def test_the_sheets_frame_is_the_files_own(archive: Path, helpers: Any) -> None:
    """People who check a sector have to see what lies outside of it."""
    frame, seen = read_unmasked(archive / "clip-07.avi")
    assert seen.sector.sure
    assert not seen.refusal
    assert frame.shape == (64, 64, 3)
    assert lettering(frame, helpers) > 0
    assert any((frame == one).all() for one in read_clip(archive / "clip-07.avi"))


def test_a_still_clip_is_refused_unless_kept(tmp_path: Path, helpers: Any) -> None:
    """Nothing tells its picture from burned-in text, and the message says what to do."""
    still = np.repeat(helpers.fan_frames(1), 12, axis=0)
    helpers.write_video(tmp_path / "still.avi", still)
    with pytest.raises(
        MediaError,
        match=r"the sector is not sure .* decide there \(--sector\) or keep all .*--keep-unsure",
    ):
        read_masked(tmp_path / "still.avi", size_px=64)
    kept = read_masked(tmp_path / "still.avi", size_px=64, keep_unsure=True)
    assert (len(kept.frames), kept.sector.sure) == (10, False)


def test_shards_hold_what_it_gives(archive: Path, tmp_path: Path) -> None:
    """`prepare` adds nothing to it and takes nothing away."""
    prepare(
        archive / "manifest.csv",
        tmp_path,
        size_px=32,
        frames_per_clip=3,
        image_format="png",
        workers=0,
        min_free_bytes=0,
    )
    with tarfile.open(tmp_path / "test-000000.tar") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    records = {name[:-5]: json.loads(files[name]) for name in files if name.endswith(".json")}
    assert len(records) == 4
    found = {
        key: np.stack(
            [np.asarray(Image.open(io.BytesIO(files[f"{key}.{n:03d}.png"]))) for n in range(3)]
        )
        for key in records
    }
    expected = [
        read_masked(
            archive / f"clip-{number:02d}.avi",
            size_px=32,
            num_frames=3,
            seed=f"0\0STUDY-{number // 2}\0clip-{number:02d}.avi",
        )
        for number in range(8, 12)
    ]
    for clip in expected:
        (key,) = [key for key, frames in found.items() if np.array_equal(frames, clip.frames)]
        assert records[key]["frames"] == list(clip.indices)


def test_nobody_goes_around_it() -> None:
    """Outside of media, sector and the phantom, only data/clips reads frames and finds sectors."""
    package = Path(echoclip_r.__file__).parent
    others = []
    for path in sorted(package.rglob("*.py")):
        room = path.relative_to(package).parts[0]
        if room in ("media", "sector", "phantom") or path == package / "data" / "clips.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in (
                "echoclip_r.media.reading",
                "echoclip_r.media.video",
                "echoclip_r.media.pictures",
                "echoclip_r.media.dicom",
                "echoclip_r.sector.find",
            ):
                others += [(path.name, name.name) for name in node.names if name.name != "Sector"]
    assert others == []
