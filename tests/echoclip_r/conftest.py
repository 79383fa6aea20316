"""Small clips that look like echo enough for the sector to be found, and archives of them."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import av
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import echotok
from echoclip_r.data.preparation import prepare
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.patient_files import label_cells
from echoclip_r.phantom.report.reports import write_reports
from echotok.building import build

if TYPE_CHECKING:
    from echoclip_r.embedding.embeddings import Embedded
    from echoclip_r.evaluation.outcomes import Evaluation
    from echoclip_r.model.trained import TrainedModel

BURNED_IN = (255, 0, 255)
"""Colour of the burned-in text: no speckle has it."""


def fan_frames(num_frames: int, *, size_px: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """Moving speckle in a fan, and a still block of "text" in the corner; (T, size, size, 3)."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:size_px, :size_px] / size_px
    radius, angle = np.hypot(x - 0.5, y - 0.05), np.arctan2(x - 0.5, y - 0.05)
    fan = (radius > 0.06) & (radius < 0.9) & (np.abs(angle) < 0.7)
    frames = np.zeros((num_frames, size_px, size_px, 3), np.uint8)
    for number, frame in enumerate(frames):
        speckle = ndimage.gaussian_filter(generator.random((size_px, size_px)), 1.0)
        wall = 0.4 + 0.3 * np.sin(9 * radius + number)
        frame[fan] = np.clip(255 * (3 * (speckle - 0.5) + wall), 20, 235)[fan, None]
        frame[2 : size_px // 10, 2 : size_px // 3] = BURNED_IN
    return frames


def write_video(
    path: Path, frames: NDArray[np.uint8], *, codec: str = "mjpeg", fps_hz: int = 30
) -> None:
    """Write frames (T, H, W, 3) as a video of nearly the same pixels."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=fps_hz)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuvj444p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.qmin = stream.codec_context.qmax = 2
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())


def write_manifest(path: Path, rows: Sequence[dict[str, object]]) -> Path:
    """Write rows as CSV; the first row names the columns."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def archive_rows(num_clips: int) -> list[dict[str, object]]:
    """Rows of an archive of `clip-NN.avi`: two clips a study, two studies a patient."""
    return [
        {
            "study_id": f"STUDY-{number // 2}",
            "patient_id": f"PATIENT-{number // 4}",
            "video": f"clip-{number:02d}.avi",
            "report": f"The ejection fraction is {50 + number // 2}%.",
            "split": ("train", "train", "test")[number // 4 % 3],
            "view": "A4C",
            "date": f"2020-0{1 + number // 2 % 4}-15",
            "ef": 50 + number // 2 if number % 2 else "",
            "reader": "Dr. Hidden",
        }
        for number in range(num_clips)
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many bytes, or gives it another size, where this machine lets us.

    Where it does not, the test is skipped.
    """
    disk = tmp_path / "disk"
    mounted = False

    def resize(num_bytes: int) -> Path:
        nonlocal mounted
        disk.mkdir(exist_ok=True)
        options = f"remount,size={num_bytes}" if mounted else f"size={num_bytes}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("this process may not mount a tmpfs")
        mounted = True
        return disk

    yield resize
    if mounted:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve good clips with `manifest.csv`; not to be written to."""
    folder = tmp_path_factory.mktemp("archive")
    rows = archive_rows(12)
    for number, row in enumerate(rows):
        write_video(folder / str(row["video"]), fan_frames(12 + number, seed=number))
    write_manifest(folder / "manifest.csv", rows)
    return folder


_SENTENCES = (
    "The left ventricular ejection fraction is {}%.",
    "There is mild mitral regurgitation.",
    "No pericardial effusion.",
    "A pacemaker lead is seen in the right ventricle.",
    "The left atrium is severely dilated.",
)


@pytest.fixture(scope="session")
def training_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 44 training, 10 validation and 6 test clips, a patient each; not to be written to.

    64 px, two frames a clip, seven shards; some reports are the same word for word.
    """
    folder = tmp_path_factory.mktemp("training")
    rows: list[dict[str, object]] = []
    for number in range(60):
        report = " ".join(_SENTENCES[(number + k) % 5].format(30 + number // 9) for k in range(3))
        row: dict[str, object] = {
            "study_id": f"S{number}",
            "patient_id": f"P{number}",
            "video": f"clip-{number:02d}.avi",
            "report": report,
            "split": "train" if number < 44 else "validation" if number < 54 else "test",
            "ef": 30 + number // 9,
        }
        rows.append(row)
        write_video(folder / str(row["video"]), fan_frames(8, seed=number))
    manifest = write_manifest(folder / "manifest.csv", rows)
    shards = folder / "shards"
    prepare(manifest, shards, size_px=64, frames_per_clip=2, clips_per_shard=10, workers=0)
    return shards


@pytest.fixture(scope="session")
def grown_echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of an append-only growth of `echo`: one phrase more."""
    folder = tmp_path_factory.mktemp("grown") / "echo"
    shutil.copytree(Path(__file__).parents[2] / "phrase_tables" / "echo", folder)
    last = 0
    for path in folder.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if "phrase" in (reader.fieldnames or ()):
                last = max(last, *(int(row["id"]) for row in reader))
    with (folder / "mitral_valve.csv").open("a", encoding="utf-8") as file:
        file.write(f"{last + 1},wombat valve with {{severity}} stenosis,1.0.0,,\n")
    artifact = folder.parent / "echo.json"
    build(folder, base=echotok.load("echo")).save(artifact)
    return artifact


@pytest.fixture(scope="session")
def helpers() -> SimpleNamespace:
    """The functions above, for tests that write clips and manifests of their own."""
    return SimpleNamespace(
        burned_in=BURNED_IN,
        fan_frames=fan_frames,
        write_video=write_video,
        write_manifest=write_manifest,
        archive_rows=archive_rows,
        phantom_embedded=phantom_embedded,
        text_embeddings=text_embeddings,
        save_untrained=save_untrained,
    )


def text_embeddings(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit embeddings (N, 64) in which texts that share words are alike; no model needed."""
    from sklearn.feature_extraction.text import HashingVectorizer

    words = HashingVectorizer(n_features=1024, alternate_sign=False, token_pattern=r"[\w%]+")
    mixed = words.transform(texts) @ np.random.default_rng(0).normal(size=(1024, 64))
    return np.asarray(mixed / np.linalg.norm(mixed, axis=1, keepdims=True), np.float32)


def phantom_embedded(
    num_patients: int, *, seed: int, noise: float, num_frames: int = 10
) -> Embedded:
    """Phantom studies, a clip each, whose frames are their report's embedding and noise."""
    from echoclip_r.embedding.embeddings import Embedded

    rows: list[dict[str, object]] = []
    for number in range(num_patients):
        studies = sample_patient(number, seed=seed)
        for study, report in zip(studies, write_reports(studies, seed=seed), strict=True):
            ids = {"study_id": f"S{len(rows)}", "patient_id": f"P{seed}-{number}"}
            labels = {name: float(cell) for name, cell in label_cells(study).items()}
            facts = {"key": f"k{len(rows)}", "split": "test", "view": "A4C"}
            rows.append(
                {**facts, **ids, "date": study.date.isoformat(), "report": report.text, **labels}
            )
    clips = pd.DataFrame(rows)
    frames = np.repeat(text_embeddings(list(clips["report"])), num_frames, axis=0)
    frames = frames + noise * np.random.default_rng(seed).normal(size=frames.shape)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    return Embedded(
        clips=clips,
        frames=frames.astype(np.float32),
        frame_clip=np.repeat(np.arange(len(rows)), num_frames),
    )


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """Two made-up models on phantom data, internal and external, one better than the other."""
    # Only tests of evaluation need torch and all this.
    from echoclip_r.evaluation.datasets import Dataset, describe, make_items
    from echoclip_r.evaluation.outcomes import Evaluation
    from echoclip_r.evaluation.runner import compare, evaluate_model
    from echoclip_r.evaluation.tasks import read_tasks
    from echoclip_r.metrics.bootstrap import Resampling

    tasks = read_tasks("phantom")
    outcomes, skipped = [], []
    described = {}
    for name, noise in (("good <model>", 0.05), ("bad model", 0.6)):
        parts = [
            make_items(phantom_embedded(size, seed=seed, noise=noise), "study", tasks.findings)
            for size, seed in ((60, 1), (60, 2), (25, 3))
        ]
        datasets = [
            Dataset(name="internal", test=parts[0], validation=parts[1]),
            Dataset(name="external", test=parts[2], validation=None),
        ]
        described = {one.name: {"source": "phantom", **describe(one)} for one in datasets}
        found, missed = evaluate_model(
            name, datasets, text_embeddings, tasks, resampling=Resampling(num_draws=60)
        )
        outcomes += found
        skipped = missed
    return Evaluation(
        outcomes=tuple(outcomes),
        skipped=tuple(skipped),
        comparisons=tuple(compare(outcomes)),
        facts={
            "title": "Made-up <models>",
            "note": "Simulated & small.",
            "models": {
                name: {"checkpoint": "none", "fingerprint": "0" * 64}
                for name in ("good <model>", "bad model")
            },
            "datasets": described,
            "tasks": list(tasks.sources),
            "unit": "study",
            "split": "test",
            "num_draws": 60,
            "seed": 0,
        },
    )


def save_untrained(folder: Path, *, seed: int, tokenizer: str | None) -> Path:
    """A checkpoint with random weights: whole reports by a phrase tokenizer, or the base model."""
    # Here, since most tests of the data half need no torch.
    import torch

    from echoclip_r.model.build import build_model, model_config
    from echoclip_r.model.checkpoint import save_checkpoint
    from echoclip_r.text.codec import TextCodec
    from echoclip_r.training.recipes import echoclip, echoclip_r, phantom_scale

    recipe = echoclip() if tokenizer is None else echoclip_r(tokenizer=tokenizer)
    config = phantom_scale(recipe)
    codec = TextCodec.load(tokenizer, context_length=config.model.context_length)
    described = model_config(config.model, codec)
    torch.manual_seed(seed)
    save_checkpoint(
        folder,
        build_model(described, name=config.model.towers),
        spec=config.model,
        training=config.training_dict(),
        model_config=described,
        codec=codec,
        facts={},
    )
    return folder


@pytest.fixture(scope="session")
def untrained_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the tiny echoclip-r with random weights."""
    return save_untrained(
        tmp_path_factory.mktemp("untrained") / "run" / "best", seed=0, tokenizer="echo"
    )


@pytest.fixture(scope="session")
def untrained(untrained_folder: Path) -> TrainedModel:
    """The tiny echoclip-r with random weights."""
    from echoclip_r.model.checkpoint import load_checkpoint

    return load_checkpoint(untrained_folder)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """The tiny echoclip, with CLIP's own tokenizer and random weights."""
    from echoclip_r.model.checkpoint import load_checkpoint

    folder = tmp_path_factory.mktemp("other") / "run" / "best"
    return load_checkpoint(save_untrained(folder, seed=1, tokenizer=None))
