"""Does the full-size model train, and does plain open_clip load what comes out?

Makes a small phantom archive of 224-px frames, starts `echoclip-r` (ConvNeXt-Base, 12-layer text
tower) from a file of `convnext_base` weights whose vocabulary is transferred to `echo-clip`, takes
real training steps, and loads the checkpoint with open_clip alone, by folder and by name. Writes
results/full_size_step.json and .md.

Run: .venv/bin/python benchmarks/models/full_size_step.py
On a GPU: .venv/bin/python benchmarks/models/full_size_step.py --batch-size 128 --patients 700
The weights are random ones in open_clip's form unless --pretrained names others.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

from benchmarks.common import facts, write_results
from echoclip_r.data.preparation import prepare
from echoclip_r.data.shards import read_clips
from echoclip_r.model.build import register
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.trained import TrainedModel
from echoclip_r.phantom.archive import write_archive
from echoclip_r.training.config import with_settings
from echoclip_r.training.log import read_log
from echoclip_r.training.recipes import echoclip_r
from echoclip_r.training.run import train

PACKAGES = ["echotok", "torch", "open_clip_torch", "timm", "numpy"]
WEIGHTS = "open_clip_model.safetensors"


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--patients", type=int, default=36, help="of the phantom archive")
    parser.add_argument("--pretrained", help="an open_clip name or a file (default: random)")
    parser.add_argument("--device", help="default: a GPU if any")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(arguments, Path(folder))
    write_results("full_size_step", results, to_markdown(results))


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Train some steps, and compare what three ways of loading give."""
    archive = write_archive(
        folder / "phantom",
        arguments.patients,
        seed=arguments.seed,
        size_px=224,
        num_frames=4,
        overlays="none",
    )
    shards = prepare(
        archive.manifest, folder / "shards", size_px=224, frames_per_clip=2, workers=0
    ).out_dir
    pretrained = arguments.pretrained or random_weights(folder / "clip.safetensors", arguments.seed)
    settings = [
        f"batch_size={arguments.batch_size}",
        f"accumulate={arguments.accumulate}",
        f"seed={arguments.seed}",
        "epochs=1",
        "warmup_steps=2",
        "log_every_steps=1",
    ]
    config = with_settings(echoclip_r(pretrained=str(pretrained)), settings)
    before_mb = peak_memory_mb()
    run = train(config, shards, folder / "run", device=arguments.device)
    lines = [line for line in read_log(run.out) if "loss" in line]
    ends = [0.0, *(line["seconds"] for line in lines)]
    seconds = [end - start for start, end in itertools.pairwise(ends)]
    on_gpu = torch.cuda.is_available() and arguments.device != "cpu"
    model = load_checkpoint(run.out)
    return {
        "facts": facts(
            f".venv/bin/python benchmarks/models/full_size_step.py "
            f"--batch-size {arguments.batch_size} "
            f"--accumulate {arguments.accumulate} --patients {arguments.patients}",
            PACKAGES,
            seed=arguments.seed,
        ),
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "num_threads": torch.get_num_threads(),
        "precision": "bf16" if on_gpu else "fp32",
        "pretrained": arguments.pretrained or "random weights in the form of convnext_base",
        "num_weights": sum(parameter.numel() for parameter in model.model.parameters()),
        "vocab_size": model.text.vocab_size,
        "batch_size": arguments.batch_size,
        "accumulate": arguments.accumulate,
        "num_steps": run.num_steps,
        "losses": [line["loss"] for line in lines],
        "step_seconds": {"first": seconds[0], "median_of_others": float(np.median(seconds[1:]))},
        "peak_memory_mb": peak_memory_mb(),
        "memory_before_training_mb": before_mb,
        "peak_gpu_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else None,
        "checkpoint_mb": sum(f.stat().st_size for f in (run.out / "best").iterdir()) / 2**20,
        "num_compared": len(list(read_clips(shards, split="validation"))),
        "largest_difference": compare(model, run.out / "best", shards),
        "load_average_at_end": round(os.getloadavg()[0], 1),
    }


def random_weights(path: Path, seed: int) -> Path:
    """A file as a hub gives it: open_clip's `convnext_base`, the standard vocabulary."""
    torch.manual_seed(seed)
    save_file(open_clip.create_model("convnext_base").state_dict(), path)
    return path


def compare(model: TrainedModel, folder: Path, shards: Path) -> dict[str, float]:
    """The largest difference of a coordinate between our embeddings and plain open_clip's."""
    register()  # for the second way, which knows the model by its name
    ways = {
        f"create_model('local-dir:{folder.name}')": open_clip.create_model_and_transforms(
            f"local-dir:{folder}"
        ),
        f"create_model('echoclip-r', pretrained='{WEIGHTS}')": (
            open_clip.create_model_and_transforms("echoclip-r", pretrained=str(folder / WEIGHTS))
        ),
    }
    clips = list(read_clips(shards, split="validation"))
    frames = [clip.decode(0) for clip in clips]
    # Whole ones fill the context; a first sentence takes the trimmed way through the text tower.
    whole = [clip.report for clip in clips]
    first = [report.partition(". ")[0] for report in whole]
    texts = [(_full(model, part), model.embed_texts(part)) for part in (whole, first)]
    image = model.embed_frames(frames)
    found = {}
    for name, (plain, _, transform) in ways.items():
        plain.eval()
        images = torch.stack([transform(Image.fromarray(frame)) for frame in frames])
        with torch.inference_mode():
            pairs = [(plain.encode_image(images, normalize=True).numpy(), image)]
            for ids, ours in texts:
                pairs.append((plain.encode_text(ids, normalize=True).numpy(), ours))
        found[name] = float(max(np.abs(theirs - ours).max() for theirs, ours in pairs))
    return found


def _full(model: TrainedModel, texts: list[str]) -> torch.Tensor:
    """Ids as open_clip wants them: as wide as the context."""
    rows = model.text.encode(texts).ids
    ids = torch.full((len(texts), model.context_length), model.text.pad_id)
    ids[:, : rows.shape[1]] = rows
    return ids


def peak_memory_mb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def to_markdown(result: dict[str, Any]) -> str:
    """The figures as a page."""
    step = result["step_seconds"]
    gpu = result["peak_gpu_memory_mb"]
    lines = [
        "# A full-size `echoclip-r` takes training steps",
        "",
        f"ConvNeXt-Base at 224 px and a text tower of 12 layers, {result['num_weights'] / 1e6:.0f} "
        f"million weights, vocabulary {result['vocab_size']:,} (`echo-clip`), started from "
        f"{result['pretrained']}. Phantom frames and reports: what is shown is that it runs, and "
        "at what price, not that it learns medicine.",
        "",
        "| | |",
        "|---|---|",
        f"| device | {result['device']}, {result['precision']}, {result['num_threads']} threads |",
        f"| batch | {result['batch_size']}, in {result['accumulate']} part(s) |",
        f"| steps | {result['num_steps']}, loss {result['losses'][0]:.3f} to "
        f"{result['losses'][-1]:.3f} |",
        f"| seconds a step | {step['median_of_others']:.1f} (median; the first "
        f"{step['first']:.1f}) |",
        f"| peak memory | {result['peak_memory_mb'] / 1024:.1f} GB of the process "
        f"({result['memory_before_training_mb'] / 1024:.1f} GB before training)"
        + (f", {gpu / 1024:.1f} GB on the GPU" if gpu else "")
        + " |",
        f"| weights of a checkpoint | {result['checkpoint_mb']:.0f} MB |",
        "",
        "The checkpoint in plain open_clip, largest difference of an embedding's coordinate from "
        f"ours (frames, whole reports and first sentences of {result['num_compared']} clips):",
        "",
        *[f"- `{name}`: {value:.1e}" for name, value in result["largest_difference"].items()],
        "",
        f"`{result['facts']['command']}`, seed {result['facts']['seed']}; "
        f"{result['facts']['machine']}; load average at the end "
        f"{result['load_average_at_end']}; Python {result['facts']['python']}, "
        + ", ".join(f"{name} {version}" for name, version in result["facts"]["versions"].items())
        + ".",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
