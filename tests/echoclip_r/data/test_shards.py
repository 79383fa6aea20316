"""Reading shards without their frames."""

from __future__ import annotations

from pathlib import Path

from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_clips, read_index, read_reports


def test_a_study_has_one_report(archive: Path, tmp_path: Path) -> None:
    """However many clips it has, and in whatever shard; each with its patient."""
    prepare(
        archive / "manifest.csv",
        tmp_path,
        size_px=32,
        frames_per_clip=1,
        clips_per_shard=3,
        workers=0,
    )
    index = read_index(tmp_path)
    for split in ("train", "validation", "test"):
        clips = list(read_clips(tmp_path, split=split))
        studies = {clip.record["study_id"]: clip for clip in clips}
        found = list(read_reports(index, split))
        assert found == [(one.record["patient_id"], one.report) for one in studies.values()]
    assert len(list(read_reports(index, "train"))) * 2 == index.num_clips("train") > 0
