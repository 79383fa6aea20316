"""The external test of the paper, from an EchoNet-Dynamic folder to the two-coloured scatter."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from echoclip_r.cli.main import main
from echoclip_r.data.manifest import read_manifest
from echoclip_r.data.shards import read_index, read_shard
from echoclip_r.evaluation.plots.style import DATASET_COLOURS

SPLITS = ("TRAIN", "VAL", "TEST")


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, helpers: SimpleNamespace
) -> tuple[Path, dict[str, float]]:
    """A folder as EchoNet-Dynamic is downloaded, of phantom clips; and its fractions."""
    folder = tmp_path_factory.mktemp("archive")
    options = ["--seed", "2", "--frames", "4", "--size", "112"]
    assert main(["phantom", "--patients", "5", *options, "--out", str(folder / "phantom")]) == 0
    manifest = str(folder / "phantom" / "manifest.csv")
    shards = ["--out", str(folder / "shards"), "--size", "112", "--frames", "4", "--workers", "0"]
    assert main(["prepare", manifest, *shards]) == 0  # the archive's videos are masked, 112 px
    index = read_index(folder / "shards")
    theirs = folder / "download" / "EchoNet-Dynamic"
    (theirs / "Videos").mkdir(parents=True)
    truth: dict[str, float] = {}
    with (theirs / "FileList.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["FileName", "EF", "ESV", "EDV", "FrameHeight", "FrameWidth", "FPS", "Split"]
        )
        for shard in (one for part in index.shards.values() for one in part):
            for clip in read_shard(shard):
                labels = clip.record["labels"]
                if np.isnan(labels.get("ef", np.nan)):
                    continue
                name = f"0X{len(truth):X}"
                frames = np.stack([clip.decode(at) for at in range(len(clip.frames_encoded))])
                helpers.write_video(theirs / "Videos" / f"{name}.avi", frames)
                truth[name] = round(labels["ef"], 2)
                split = SPLITS[len(truth) % 3]
                writer.writerow([name, truth[name], 40, 90, 112, 112, 50, split])
    return theirs, truth


def test_echonet_dynamic_is_the_external_set(
    archive: tuple[Path, dict[str, float]],
    training_shards: Path,
    untrained_folder: Path,
    tmp_path: Path,
) -> None:
    """Every clip of its three splits is tested, against its own fractions, in a second colour."""
    theirs, truth = archive
    manifest, out = tmp_path / "echonet.csv", tmp_path / "evaluated"
    assert main(["manifest", "echonet-dynamic", str(theirs), "--out", str(manifest)]) == 0
    assert set(read_manifest(manifest).frame["split"]) == {"train", "validation", "test"}
    external = tmp_path / "shards"  # masked by its makers, which is checked
    options = ["--masked", "--size", "112", "--workers", "0", "--out", str(external)]
    assert main(["prepare", str(manifest), *options]) == 0
    command = ["evaluate", str(untrained_folder), "--shards", str(training_shards)]
    command += ["--external", str(external), "--out", str(out), "--draws", "20", "--workers", "0"]
    assert main(command) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    with (external / "rejects.csv").open(
        newline=""
    ) as file:  # pictures that a phantom's ECG crosses
        left_out = {row["study_id"] for row in csv.DictReader(file)}
    truth = {name: fraction for name, fraction in truth.items() if name not in left_out}
    assert len(truth) > 5
    assert metrics["facts"]["datasets"]["external"]["num_items"] == len(truth)
    found = {
        one["dataset"]: one for one in metrics["outcomes"] if one["task"] == "ejection_fraction"
    }
    assert found.keys() == {"internal", "external"}
    (predictions,) = (out / "predictions").glob("external-*.csv")
    table = pd.read_csv(predictions).set_index("study_id")
    assert table["ejection_fraction.truth"].to_dict() == pytest.approx(truth)
    (scatter,) = (out / "plots").glob("ejection-fraction-scatter-*.svg")
    drawn = scatter.read_text()
    for name, colour in DATASET_COLOURS.items():
        assert f"{name}, n = {found[name]['num_items']}" in drawn
        assert colour.lower() in drawn.lower()
    assert scatter.with_suffix(".png").is_file()
    assert "external" in (out / "report.html").read_text()
