"""Are the phantom's labels in its pixels, and only there?

Renders a phantom archive, trains a small convolutional network on four fifths of its patients and
tests it on the others; then asks how much of each label could be told without looking: from the
mean brightness alone, from the file size as JPEG, from the place in the archive. Writes
results/phantom_labels.json and .md beside itself.

    python benchmarks/models/phantom_labels.py [--patients 3000] [--epochs 8] [--seed 0]
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import nn

from benchmarks.common import facts, write_results
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.picture.ultrasound import render_clip
from echoclip_r.phantom.study import Latents

SIZE_PX, NUM_FRAMES = 64, 6
DEVICES = ("pacer_lead", "impella", "tavr", "mitraclip")
CHAMBERS = ("lv", "rv", "la", "ra")
BINARY: dict[str, Callable[[Latents], bool]] = {
    "pacer_lead": lambda study: study.pacer_lead,
    "effusion": lambda study: study.effusion > 0,
    "impella": lambda study: study.impella,
    "tavr": lambda study: study.tavr,
    "mitraclip": lambda study: study.mitraclip,
    "lv_dilation": lambda study: study.lv_dilation >= 2,
    "rv_dilation": lambda study: study.rv_dilation >= 2,
    "la_dilation": lambda study: study.la_dilation >= 2,
    "ra_dilation": lambda study: study.ra_dilation >= 2,
}
AIMS = {name: 0.95 if name in ("pacer_lead", "effusion") else 0.80 for name in BINARY}
LEAKS = ("mean_intensity", "jpeg_bytes", "place_in_archive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """S studies in the order in which the archive has them."""

    clips: npt.NDArray[np.uint8]
    """(S, T, H, W)"""
    patient: npt.NDArray[np.int64]
    """(S,)"""
    ef_percent: npt.NDArray[np.float64]
    """(S,)"""
    labels: npt.NDArray[np.float64]
    """(S, len(BINARY))"""
    jpeg_bytes: npt.NDArray[np.float64]
    """(S,) all frames of a clip together."""


Row = tuple[npt.NDArray[np.uint8], int, float, list[bool], int]


def render_patient(patient_index: int, seed: int) -> list[Row]:
    """All of one patient's studies, one clip each."""
    rows: list[Row] = []
    for study in sample_patient(patient_index, seed):
        clip = render_clip(study, num_frames=NUM_FRAMES, size_px=SIZE_PX, seed=0)
        size = 0
        for frame in clip:
            buffer = io.BytesIO()
            Image.fromarray(frame).save(buffer, "JPEG", quality=90)
            size += buffer.tell()
        labels = [bool(has(study)) for has in BINARY.values()]
        rows.append((clip, patient_index, study.ef_percent, labels, size))
    return rows


def render_chunk(span: tuple[int, int, int]) -> list[Row]:
    """Patients `first` to `last`, not included, of the archive of `seed`."""
    first, last, seed = span
    return [row for index in range(first, last) for row in render_patient(index, seed)]


def render_archive(num_patients: int, seed: int, workers: int) -> Archive:
    """Render one clip of every study."""
    spans = [(i, min(i + 25, num_patients), seed) for i in range(0, num_patients, 25)]
    with ProcessPoolExecutor(workers) as pool:
        rows = [row for chunk in pool.map(render_chunk, spans) for row in chunk]
    clips, patient, ef_percent, labels, size = zip(*rows, strict=True)
    return Archive(
        clips=np.stack(clips),
        patient=np.array(patient),
        ef_percent=np.array(ef_percent),
        labels=np.array(labels, float),
        jpeg_bytes=np.array(size, float),
    )


def build_network() -> nn.Module:
    """Clips (B, T, H, W), 0 to 1, to one EF (standardised) and one logit a binary label."""

    def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
        conv = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]

    return nn.Sequential(
        *block(NUM_FRAMES, 24, 2),
        *block(24, 24, 1),
        *block(24, 48, 2),
        *block(48, 48, 1),
        *block(48, 96, 2),
        *block(96, 128, 1),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128 * 16, 128),
        nn.ReLU(),
        nn.Linear(128, 1 + len(BINARY)),
    )


def augment(clips_BTHW: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Another first frame, a shift of a few pixels, another brightness."""
    turn = int(torch.randint(NUM_FRAMES, (1,), generator=generator))
    shift = torch.randint(-3, 4, (2,), generator=generator).tolist()
    clips_BTHW = clips_BTHW.roll(turn, dims=1).roll(shift, dims=(2, 3))
    gain = 1 + 0.15 * torch.randn(len(clips_BTHW), 1, 1, 1, generator=generator)
    return clips_BTHW * gain


def train_and_predict(
    archive: Archive, training: npt.NDArray[np.bool_], *, epochs: int, seed: int
) -> npt.NDArray[np.float64]:
    """Train on some studies; predict EF (%) and logits of the others, (S_test, 1 + labels)."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    mean, spread = archive.ef_percent[training].mean(), archive.ef_percent[training].std()
    target = np.column_stack([(archive.ef_percent - mean) / spread, archive.labels])
    clips = torch.from_numpy(archive.clips[training])
    targets = torch.from_numpy(target[training]).float()
    network = build_network().to(memory_format=torch.channels_last)
    batch = 64
    steps = epochs * (len(clips) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(epochs):
        order = torch.randperm(len(clips), generator=generator)
        for step in range(len(clips) // batch):
            chosen = order[step * batch : (step + 1) * batch]
            inputs = augment(clips[chosen].float() / 255, generator)
            outputs = network(inputs.contiguous(memory_format=torch.channels_last))
            loss = nn.functional.smooth_l1_loss(outputs[:, 0], targets[chosen, 0])
            # The mean over nine labels would count for too little beside the one of EF.
            loss = loss + 4 * nn.functional.binary_cross_entropy_with_logits(
                outputs[:, 1:], targets[chosen, 1:]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.inference_mode():
        held_out = torch.from_numpy(archive.clips[~training]).split(256)
        outputs = torch.cat([network(part.float() / 255) for part in held_out])
    predicted = outputs.double().numpy()
    predicted[:, 0] = predicted[:, 0] * spread + mean
    return predicted


def auc_either_way(label: npt.NDArray[np.float64], score: npt.NDArray[np.float64]) -> float:
    """AUC of a single number, whichever direction tells more: 0.5 is nothing."""
    auc = float(roc_auc_score(label, score))
    return max(auc, 1 - auc)


def measure_leaks(archive: Archive) -> dict[str, Any]:
    """How much of each label one number tells that is no picture."""
    clips = archive.clips.astype(np.float64)
    numbers = {
        "mean_intensity": clips.mean(axis=(1, 2, 3)),
        "jpeg_bytes": archive.jpeg_bytes,
        "place_in_archive": np.arange(len(clips), dtype=float),
    }
    return {
        name: {
            "ef_r": abs(float(np.corrcoef(number, archive.ef_percent)[0, 1])),
            "auc": {
                label: auc_either_way(archive.labels[:, k], number)
                for k, label in enumerate(BINARY)
            },
        }
        for name, number in numbers.items()
    }


def bootstrap(
    measure: Callable[[npt.NDArray[np.intp]], float], patient: npt.NDArray[np.int64], seed: int
) -> tuple[float, float]:
    """95 % interval of a figure over 1,000 draws of the test patients."""
    rng = np.random.default_rng(seed)
    _, starts = np.unique(patient, return_index=True)
    groups = np.split(np.arange(len(patient)), starts[1:])
    draws = [
        measure(np.concatenate([groups[k] for k in rng.integers(0, len(groups), len(groups))]))
        for _ in range(1000)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def to_markdown(result: dict[str, Any]) -> str:
    """The figures as tables."""
    leaks = result["leaks"]
    ef = result["ef"]
    lines = [
        "# Are the phantom's labels in its pixels?",
        "",
        f"{result['studies']} studies of {result['patients']} phantom patients, one clip each "
        f"({NUM_FRAMES} frames, {SIZE_PX} px); a network of {result['parameters']} parameters, "
        f"tested on {result['test_studies']} studies of {result['test_patients']} patients that "
        "it never saw. 95 % intervals: 1,000 draws of test patients. Simulated data: this says "
        "nothing of any clinical use.",
        "",
        "| label | common in | held-out patients | aim | "
        + " | ".join(f"{name.replace('_', ' ')} alone" for name in LEAKS)
        + " |",
        "|---|---|---|---|" + "---|" * len(LEAKS),
        f"| EF, r | | {ef['r']:.3f} ({ef['r_95'][0]:.3f}-{ef['r_95'][1]:.3f}) | 0.75 | "
        + " | ".join(f"{leaks[name]['ef_r']:.2f}" for name in LEAKS)
        + " |",
        f"| EF, mean absolute error (points) | | {ef['mae']:.2f} "
        f"({ef['mae_95'][0]:.2f}-{ef['mae_95'][1]:.2f}); chance {ef['mae_chance']:.2f} | |"
        + " |"
        * len(LEAKS),
    ]
    for name, row in result["auc"].items():
        grade = " (moderate or severe), AUC" if name.endswith("dilation") else ", AUC"
        lines.append(
            f"| {name.replace('_', ' ')}{grade} | {100 * row['common_in']:.0f} % | "
            f"{row['auc']:.3f} ({row['auc_95'][0]:.3f}-{row['auc_95'][1]:.3f}) | {row['aim']:.2f} "
            "| " + " | ".join(f"{leaks[leak]['auc'][name]:.2f}" for leak in LEAKS) + " |"
        )
    lines += [
        "",
        f"Rendering: {result['render_ms_per_frame']:.1f} ms a frame and worker, "
        f"{result['clips_per_minute']:.0f} clips a minute with {result['workers']} workers. "
        f"Training: {result['train_s']:.0f} s.",
        "",
        f"`{result['facts']['command']}`, seed {result['facts']['seed']}; "
        f"{result['facts']['machine']}; Python {result['facts']['python']}, "
        + ", ".join(f"{name} {version}" for name, version in result["facts"]["versions"].items())
        + ".",
        "",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    torch.set_num_threads(args.workers)

    started = time.perf_counter()
    archive = render_archive(args.patients, args.seed, args.workers)
    render_s = time.perf_counter() - started
    training = archive.patient % 5 != 0
    test = ~training
    started = time.perf_counter()
    predicted = train_and_predict(archive, training, epochs=args.epochs, seed=args.seed)
    train_s = time.perf_counter() - started

    truth, guess, who = archive.ef_percent[test], predicted[:, 0], archive.patient[test]
    middle = float(np.median(archive.ef_percent[training]))

    def correlation(chosen: npt.NDArray[np.intp]) -> float:
        return float(np.corrcoef(truth[chosen], guess[chosen])[0, 1])

    def error(chosen: npt.NDArray[np.intp]) -> float:
        return float(np.abs(truth[chosen] - guess[chosen]).mean())

    everyone = np.arange(len(truth))
    auc: dict[str, Any] = {}
    for k, name in enumerate(BINARY):
        label, score = archive.labels[test, k], predicted[:, 1 + k]

        def area(
            chosen: npt.NDArray[np.intp],
            label: npt.NDArray[np.float64] = label,
            score: npt.NDArray[np.float64] = score,
        ) -> float:
            return float(roc_auc_score(label[chosen], score[chosen]))

        auc[name] = {
            "auc": area(everyone),
            "auc_95": bootstrap(area, who, args.seed),
            "aim": AIMS[name],
            "common_in": float(archive.labels[:, k].mean()),
        }
    result = {
        "patients": args.patients,
        "studies": len(archive.patient),
        "test_patients": len(np.unique(who)),
        "test_studies": int(test.sum()),
        "parameters": sum(p.numel() for p in build_network().parameters()),
        "ef": {
            "r": correlation(everyone),
            "r_95": bootstrap(correlation, who, args.seed),
            "mae": error(everyone),
            "mae_95": bootstrap(error, who, args.seed),
            "mae_chance": float(np.abs(truth - middle).mean()),
        },
        "auc": auc,
        "leaks": measure_leaks(archive),
        "render_ms_per_frame": 1000 * render_s * args.workers / archive.clips[:, :, 0, 0].size,
        "clips_per_minute": 60 * len(archive.patient) / render_s,
        "workers": args.workers,
        "train_s": train_s,
        "facts": facts(
            f"python benchmarks/models/phantom_labels.py --patients {args.patients} "
            f"--epochs {args.epochs}",
            ["numpy", "scipy", "torch"],
            seed=args.seed,
        ),
    }
    write_results("phantom_labels", result, to_markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
