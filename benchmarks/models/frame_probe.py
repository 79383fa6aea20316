"""How much of a measurement does one picture of a phantom's clip hold?

Teaches the image tower of the phantom models, from random weights, to give the ejection fraction
and the pulmonary pressure (PAP) from single frames in colour, and from cine pictures, and tests it
on the held-out studies of the same patients as `make bench-recipes`. What a tower cannot be taught
so no prompt can find. Writes results/frame_probe.md.

    python benchmarks/models/frame_probe.py [--seed 1] [--num-train 4000] [--epochs 20]
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn import functional

from benchmarks.common import ROOT, facts, write_results
from benchmarks.models import phantom_steps as steps
from echoclip_r.data.shards import read_clips
from echoclip_r.metrics.scores import regression_scores
from echoclip_r.model.build import build_model, model_config, normalize_frames
from echoclip_r.model.channels import CHANNELS, shown
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.augment import Augmentation
from echotok.cpus import num_cpus

FIRST_SEED = 1000  # the patients of bench-recipes
LABELS = {"ef": "ejection fraction, %", "pap_mmhg": "PAP, mmHg"}
BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clips:
    """A split.

    Attributes:
        pictures: uint8 RGB, all pictures of each clip.
        labels: float32 (N, 2), by `LABELS`.
        patients: of each clip.
    """

    pictures: Sequence[Sequence[NDArray[np.uint8]]]
    labels: NDArray[np.float32]
    patients: Sequence[str]


def main() -> int:
    """Teach both, and write what they say of the held-out studies."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--num-train", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-recipes")
    arguments = parser.parse_args()
    folder = arguments.out / "site-0" / f"seed-{arguments.seed}"
    data = steps.Data(seed=FIRST_SEED + arguments.seed, num_train=arguments.num_train)
    steps.make_shards(folder, data, workers=num_cpus())
    found: dict[str, Any] = {}
    for channels in CHANNELS:
        began = time.perf_counter()
        train, test = (read(folder / "shards", split, channels) for split in ("train", "test"))
        guess = np.median(train.labels, axis=0)
        predicted = teach(train, test, seed=arguments.seed, epochs=arguments.epochs)
        found[channels] = {
            "seconds": time.perf_counter() - began,
            **{
                name: {
                    figure: asdict(value)
                    for figure, value in regression_scores(
                        test.labels[:, k].astype(np.float64),
                        predicted[:, k].astype(np.float64),
                        test.patients,
                        guess=float(guess[k]),
                    ).figures.items()
                }
                for k, name in enumerate(LABELS)
            },
        }
        print(channels, {name: found[channels][name]["pearson"]["value"] for name in LABELS})
    results = {
        "found": found,
        "facts": facts(
            f"python benchmarks/models/frame_probe.py --seed {arguments.seed} "
            f"--num-train {arguments.num_train} --epochs {arguments.epochs}",
            ["torch", "open_clip_torch"],
            num_train=len(train.labels),
            num_test=len(test.labels),
            epochs=arguments.epochs,
        ),
    }
    write_results("frame_probe", results, to_markdown(results))
    return 0


def read(shards: Path, split: str, channels: str) -> Clips:
    """The clips of a split whose labels are known."""
    pictures, labels, patients = [], [], []
    for clip in read_clips(shards, split=split):
        known = [clip.record["labels"].get(name) for name in LABELS]
        if None not in known:
            frames = [clip.decode(number) for number in range(len(clip.frames_encoded))]
            pictures.append(shown(frames, channels))
            labels.append(known)
            patients.append(clip.record["patient_id"])
    return Clips(pictures=pictures, labels=np.array(labels, np.float32), patients=patients)


def teach(train: Clips, test: Clips, *, seed: int, epochs: int) -> NDArray[np.float32]:
    """The mean over a clip's pictures of what the tower says (N, 2), once it has been taught."""
    torch.manual_seed(seed)
    config = steps.model_config("echoclip-r", steps.default_tokenizer(), epochs=epochs, seed=seed)
    codec = TextCodec.load(config.model.tokenizer, context_length=config.model.context_length)
    model = build_model(model_config(config.model, codec), name=config.model.towers)
    head = nn.Linear(model.text_projection.shape[1], len(LABELS))
    middle, spread = train.labels.mean(axis=0), train.labels.std(axis=0)
    wanted = torch.from_numpy((train.labels - middle) / spread)
    parameters = [*model.visual.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    per_epoch = len(wanted) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.lr, total_steps=epochs * per_epoch, pct_start=0.1
    )
    draw = random.Random(seed)

    def said(frames: NDArray[np.uint8], gains: torch.Tensor | None = None) -> torch.Tensor:
        image = normalize_frames(torch.from_numpy(frames), model, gains_B=gains)
        answer: torch.Tensor = head(model.encode_image(image))
        return answer

    model.train()
    for _ in range(epochs):
        order = draw.sample(range(len(wanted)), len(wanted))
        for first in range(0, per_epoch * BATCH, BATCH):
            rows = order[first : first + BATCH]
            changed = [
                _changed(draw.choice(train.pictures[row]), config.augmentation, draw)
                for row in rows
            ]
            frames = np.stack([frame for frame, _ in changed])
            gains = torch.tensor([gain for _, gain in changed])
            optimizer.zero_grad()
            functional.mse_loss(said(frames, gains), wanted[rows]).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.inference_mode():
        means = [said(np.stack(pictures)).mean(dim=0) for pictures in test.pictures]
    found: NDArray[np.float32] = torch.stack(means).numpy() * spread + middle
    return found


def _changed(
    picture: NDArray[np.uint8], augmentation: Augmentation, draw: random.Random
) -> tuple[NDArray[np.uint8], float]:
    """As the recipes change a frame in training."""
    size_px = picture.shape[0]
    changed = augmentation.apply(Image.fromarray(picture), draw, size_px=size_px)
    return changed.frame, changed.gain


def to_markdown(results: Mapping[str, Any]) -> str:
    """The page."""
    about, found = results["facts"], results["found"]
    lines = [
        "# What one picture of a phantom holds",
        "",
        "Simulated patients. The image tower of the phantom models, taught to give numbers from "
        f"single pictures of {about['num_train']:,} clips for {about['epochs']} passes, on "
        f"{about['num_test']} held-out clips: the mean over a clip's pictures, with 95 % intervals "
        "from 1,000 resamples of the patients. The guess says the training clips' median.",
        "",
        "| picture | " + " | ".join(f"{name}: r | MAE (guess)" for name in LABELS.values()) + " |",
        "| --- |" + " --- |" * 2 * len(LABELS),
    ]
    for channels, by_label in found.items():
        cells = []
        for name in LABELS:
            r, mae = (by_label[name][figure] for figure in ("pearson", "mae"))
            cells.append(f"{r['value']:.2f} ({r['low']:.2f}, {r['high']:.2f})")
            cells.append(
                f"{mae['value']:.1f} ({mae['low']:.1f}, {mae['high']:.1f}) ({mae['chance']:.1f})"
            )
        lines.append(f"| {channels} | {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines += [
        "",
        f"{about['machine']}; Python {about['python']}; {versions}. `{about['command']}`",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
