"""Embedding shards: what comes out, that a stopped run goes on, that models are not mixed up."""

from __future__ import annotations

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from echoclip_r.cli.main import main
from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_clips, read_index
from echoclip_r.embedding.embedder import embed, embed_part, embed_texts
from echoclip_r.embedding.embeddings import Embedded, load_embedded
from echoclip_r.errors import EvaluationError, ShardError
from echoclip_r.jobs.parts import Part
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.trained import TrainedModel


@pytest.fixture(scope="module")
def embedded(untrained: TrainedModel, training_shards: Path) -> Embedded:
    """The training split by a model with random weights."""
    return embed(untrained, training_shards, split="train", batch_size=8)


def test_every_clip_of_the_split_is_there_in_order(
    embedded: Embedded, training_shards: Path
) -> None:
    """Ids, report and labels of each, and its frames one after the other."""
    clips = list(read_clips(training_shards, split="train"))
    assert embedded.clips["key"].tolist() == [clip.key for clip in clips]
    assert embedded.clips["report"].tolist() == [clip.report for clip in clips]
    assert embedded.clips["ef"].tolist() == [clip.record["labels"]["ef"] for clip in clips]
    assert embedded.labels == ["ef"]
    assert set(embedded.clips["split"]) == {"train"}
    assert embedded.frame_clip.tolist() == np.repeat(np.arange(44), 2).tolist()
    assert embedded.frames.dtype == np.float32
    assert np.linalg.norm(embedded.frames, axis=1) == pytest.approx(1, abs=1e-5)


def test_frames_are_embedded_as_the_model_does_it(
    embedded: Embedded, untrained: TrainedModel, training_shards: Path
) -> None:
    """Whatever the batches were."""
    clips = list(read_clips(training_shards, split="train"))
    for place in (0, 17, 43):
        frames = np.stack([clips[place].decode(number) for number in range(2)])
        expected = untrained.embed_frames(frames)
        found = embedded.frames[embedded.frame_clip == place]
        assert found == pytest.approx(expected, abs=1e-5)


class Elsewhere(ThreadPoolExecutor):
    """Does work as another process gets it: by what pickle makes of it."""

    num_submitted = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        fn, args = pickle.loads(pickle.dumps((fn, args)))
        self.num_submitted += 1
        return super().submit(fn, *args, **kwargs)


def test_an_executor_gives_what_this_process_does(
    embedded: Embedded,
    untrained: TrainedModel,
    untrained_folder: Path,
    training_shards: Path,
    tmp_path: Path,
) -> None:
    """Each shard is a piece of work, and those that are there are not embedded again."""
    out, load = tmp_path / "out", partial(load_checkpoint, untrained_folder, device="cpu")
    with Elsewhere(2) as executor:
        for _ in range(2):
            found = embed(
                untrained, training_shards, split="train", out=out, executor=executor, load=load
            )
            assert found.clips.equals(embedded.clips)
            assert found.frames == pytest.approx(embedded.frames, abs=1e-6)
        num_shards = len(read_index(training_shards).shards["train"])
        assert executor.num_submitted == num_shards
        next(iter(sorted(out.glob("train-*.parquet")))).unlink()
        embed(untrained, training_shards, split="train", out=out, executor=executor, load=load)
        assert executor.num_submitted == num_shards + 1


def test_another_model_on_a_worker_is_refused(
    other_model: TrainedModel, untrained_folder: Path, training_shards: Path, tmp_path: Path
) -> None:
    load = partial(load_checkpoint, untrained_folder, device="cpu")
    with Elsewhere(1) as executor, pytest.raises(ShardError, match="is not that of the command"):
        embed(
            other_model,
            training_shards,
            split="train",
            out=tmp_path / "out",
            executor=executor,
            load=load,
        )


def test_a_clip_is_the_mean_of_its_frames_and_a_study_of_all_its_clips() -> None:
    """Unit frames, mean, unit again, also where a study's clips do not lie together."""
    generator = np.random.default_rng(0)
    frames = generator.standard_normal((9, 5)).astype(np.float32)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    clips = pd.DataFrame({"key": list("abcd"), "study_id": ["S1", "S2", "S1", "S3"]})
    of = np.array([0, 0, 1, 2, 2, 2, 3, 3, 3])
    one = Embedded(clips=clips, frames=frames, frame_clip=of)

    def mean_of(rows: list[int]) -> Any:
        mean = frames[rows].astype(float).mean(axis=0)
        return mean / np.linalg.norm(mean)

    expected = [mean_of([0, 1]), mean_of([2]), mean_of([3, 4, 5]), mean_of([6, 7, 8])]
    assert one.clip_embeddings() == pytest.approx(np.array(expected), abs=1e-6)
    rows, studies = one.studies()
    assert rows["key"].tolist() == ["a", "b", "d"]
    expected = [mean_of([0, 1, 3, 4, 5]), mean_of([2]), mean_of([6, 7, 8])]
    assert studies == pytest.approx(np.array(expected), abs=1e-6)
    moved, study = one.study_frames()
    assert study.tolist() == [0, 0, 0, 0, 0, 1, 2, 2, 2]
    assert (moved == frames[[0, 1, 3, 4, 5, 2, 6, 7, 8]]).all()


def test_equal_texts_get_equal_rows(untrained: TrainedModel) -> None:
    """In the order they were given, each different one embedded once."""
    rows = embed_texts(untrained, ["Mild.", "No effusion.", "Mild."])
    assert rows.shape == (3, untrained.embed_dim)
    assert (rows[0] == rows[2]).all()
    assert (rows[0] != rows[1]).any()


def test_a_stopped_run_does_only_what_is_left(
    untrained: TrainedModel, training_shards: Path, embedded: Embedded, tmp_path: Path
) -> None:
    """A shard that is missing or damaged is made again, the others are not touched."""
    out = tmp_path / "out"
    embed(untrained, training_shards, split="train", out=out)
    parts = sorted(out.glob("*.parquet"))
    assert len(parts) == 5
    before = {path: path.stat().st_mtime_ns for path in parts}
    parts[1].unlink()
    parts[3].write_bytes(parts[3].read_bytes()[:100])
    with pytest.raises(ShardError, match="2 of 5 shards are not embedded yet or damaged"):
        load_embedded(out)
    again = embed(untrained, training_shards, split="train", out=out)
    changed = [path for path in parts if path.stat().st_mtime_ns != before[path]]
    assert changed == [parts[1], parts[3]]
    assert again.frames == pytest.approx(embedded.frames, abs=1e-5)
    assert again.clips.equals(embedded.clips)
    loaded, run = load_embedded(out)
    assert (loaded.frames == again.frames).all()
    assert (run["fingerprint"], run["split"]) == (untrained.fingerprint, "train")


def test_models_are_not_mixed_up(
    untrained: TrainedModel, other_model: TrainedModel, training_shards: Path, tmp_path: Path
) -> None:
    """Another model's embeddings, or other files, are refused; overwriting has to be asked for."""
    out = tmp_path / "out"
    embed(untrained, training_shards, split="test", out=out)
    with pytest.raises(ShardError, match=r"of another run \(another model\); choose anoth"):
        embed(other_model, training_shards, split="test", out=out)
    with pytest.raises(ShardError, match=r"of another run \(another split\)"):
        embed(untrained, training_shards, split="validation", out=out)
    embed(other_model, training_shards, split="test", out=out, overwrite=True)
    assert load_embedded(out)[1]["fingerprint"] == other_model.fingerprint
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(
        ShardError,
        match=r"other files \(thesis\.txt\) and no embeddings of echoclip_r",
    ):
        embed(untrained, training_shards, split="test", out=tmp_path / "mine")
    with pytest.raises(ShardError, match="no embeddings there; make them with `echoclip-r embed"):
        load_embedded(tmp_path / "mine")


def test_a_split_without_clips_is_named(untrained: TrainedModel, training_shards: Path) -> None:
    """With what there is instead."""
    with pytest.raises(ShardError, match=r"no clip in split 'tset' \(clips: train 44, valid"):
        embed(untrained, training_shards, split="tset")


def test_a_clip_that_cannot_be_read_harms_no_other(
    untrained: TrainedModel, training_shards: Path, tmp_path: Path, caplog: Any
) -> None:
    """It is named and left out (I12)."""
    shards = Path(shutil.copytree(training_shards, tmp_path / "shards"))
    path = shards / "test-000000.tar"
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xd8\xff")
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    found = embed(untrained, shards, split="test")
    assert len(found.clips) == 5
    assert found.frame_clip.tolist() == np.repeat(np.arange(5), 2).tolist()
    assert "test-00000000 is left out: test-00000000: frame 0: it cannot be decoded" in caplog.text


def test_a_broken_model_is_refused(other_model: TrainedModel, training_shards: Path) -> None:
    """NaN weights give NaN embeddings, which nothing may be measured on."""
    with torch.no_grad():
        weight = next(iter(other_model.model.visual.parameters()))
        kept = weight.clone()
        weight.fill_(float("nan"))
    try:
        with pytest.raises(EvaluationError, match="embeddings of frames hold NaN"):
            embed(other_model, training_shards, split="test")
    finally:
        with torch.no_grad():
            weight.copy_(kept)


@pytest.mark.parametrize("level", ["clip", "study"])
def test_the_command_writes_parquet(
    untrained_folder: Path, training_shards: Path, tmp_path: Path, capsys: Any, level: str
) -> None:
    """Ids, labels and a list of numbers a row, and no report."""
    out = tmp_path / "out"
    command = ["embed", untrained_folder, "--shards", training_shards, "--out", out]
    assert main([str(word) for word in [*command, "--level", level, "--json"]]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["num_clips"], figures["num_frames"], figures["num_studies"]) == (6, 12, 6)
    table = pd.read_parquet(figures["files"][0])
    assert Path(figures["files"][0]).name == ("clips" if level == "clip" else "studies") + (
        ".parquet"
    )
    assert "report" not in table
    assert {"study_id", "patient_id", "date", "ef"} <= set(table)
    rows = np.stack(table["embedding"].tolist())
    loaded, _ = load_embedded(out)
    expected = loaded.clip_embeddings() if level == "clip" else loaded.studies()[1]
    assert (rows == expected).all()


def test_the_command_writes_npy_with_ids_beside_it(
    untrained_folder: Path, training_shards: Path, tmp_path: Path, capsys: Any
) -> None:
    """For whoever has no Parquet."""
    out = tmp_path / "out"
    command = ["embed", untrained_folder, "--shards", training_shards, "--out", out]
    assert main([str(word) for word in [*command, "--format", "npy"]]) == 0
    said = capsys.readouterr().out
    assert said.startswith("6 clips (12 frames) of 6 studies, 128 dimensions: ")
    array, table = np.load(out / "clips.npy"), pd.read_csv(out / "clips.csv")
    assert array.shape == (6, 128)
    assert len(table) == 6
    assert "ejection" not in (out / "clips.csv").read_text()


def test_of_an_archive_that_grew_only_new_clips_are_embedded(
    untrained: TrainedModel, tmp_path: Path, helpers: SimpleNamespace, monkeypatch: Any
) -> None:
    """Clips lie in other shards then, and a report has changed; the same frames are known."""
    rows = helpers.archive_rows(12)
    for number, row in enumerate(rows):
        row["split"] = "test"
        helpers.write_video(
            tmp_path / str(row["video"]), helpers.fan_frames(12 + number, seed=number)
        )
    options = {"size_px": 64, "frames_per_clip": 2, "clips_per_shard": 3, "workers": 0}
    shards, kept = tmp_path / "shards", tmp_path / "kept"

    def shards_of(num: int) -> None:
        manifest = helpers.write_manifest(tmp_path / "manifest.csv", rows[:num])
        prepare(manifest, shards, overwrite=True, **options)

    shards_of(8)
    before = embed(untrained, shards, split="test", out=kept)
    rows[0]["report"] = "Another report: severe mitral regurgitation."
    shards_of(12)
    read: list[int] = []
    compute = type(untrained).embed_pictures

    def count(model: TrainedModel, frames: Any, **options: Any) -> Any:
        read.append(len(frames))
        return compute(model, frames, **options)

    monkeypatch.setattr(type(untrained), "embed_pictures", count)
    after = embed(untrained, shards, split="test", out=kept)
    assert sum(read) == 4 * 2
    assert not list(kept.glob("old-*"))
    monkeypatch.undo()
    fresh = embed(untrained, shards, split="test")
    assert after.clips.equals(fresh.clips)
    assert np.allclose(after.frames, fresh.frames, atol=1e-5)
    assert len(before.clips) == 8
    assert (after.clips["report"] == rows[0]["report"]).any()


def test_parts_give_the_embeddings_of_one_run(
    untrained: TrainedModel, training_shards: Path, tmp_path: Path, embedded: Embedded
) -> None:
    """In any order, also where there are more parts than shards; what is missing is named."""
    for number in (7, 2, 3, 4, 5, 6):
        part = Part(number=number, count=7)
        made = embed_part(
            untrained, training_shards, split="train", out=tmp_path, part=part, batch_size=8
        )
        assert len(made) == (number <= 5)
    options: dict[str, Any] = {"split": "train", "out": tmp_path, "batch_size": 8}
    with pytest.raises(ShardError, match=r"1 of 5 shards are not embedded, .* Run part 1 of 7"):
        embed(untrained, training_shards, finish=Part(number=1, count=7), **options)
    embed_part(untrained, training_shards, part=Part(number=1, count=7), **options)
    whole = embed(untrained, training_shards, finish=Part(number=1, count=7), **options)
    assert whole.clips.equals(embedded.clips)
    assert whole.frames == pytest.approx(embedded.frames, abs=1e-6)
    assert load_embedded(tmp_path)[0].frame_clip.tolist() == embedded.frame_clip.tolist()
    pooled = load_embedded(tmp_path, pooled=True)[0]
    assert len(pooled.frames) == len(embedded.clips) < len(embedded.frames)
    assert pooled.clip_embeddings() == pytest.approx(embedded.clip_embeddings(), abs=1e-6)
    options["split"] = "test"
    with pytest.raises(ShardError, match="another split"):
        embed_part(untrained, training_shards, part=Part(number=1, count=7), **options)
