"""`echoclip-r train`: from shards, or a manifest, to a model."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from echoclip_r.cli.options import add_device, add_json, add_out_folder, add_seed
from echoclip_r.errors import EchoclipError, OptionError

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add `train` to the sub-parsers."""
    parser = commands.add_parser(
        "train",
        help="train EchoCLIP or EchoCLIP-R",
        description="Train a model on shards: one random frame of each clip and its report. On "
        "several GPUs: `torchrun --nproc-per-node 4 -m echoclip_r train ...`. Stopped, it goes on "
        "with --resume. OUT/best holds the weights with the best retrieval on the validation "
        "split, OUT/log.jsonl the figures.",
    )
    parser.add_argument(
        "--recipe",
        required=True,
        choices=("echoclip", "echoclip-r", "echoclip-r-span"),
        help="echoclip: random 77-token spans through CLIP's tokenizer; echoclip-r: whole reports "
        "through a phrase tokenizer; echoclip-r-span: whole reports and runs of their sentences",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards", type=Path, metavar="DIR", help="from `echoclip-r prepare`")
    source.add_argument(
        "--manifest", type=Path, metavar="FILE", help="prepared into OUT/shards first"
    )
    add_out_folder(parser, "the run's folder")
    parser.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="echo, echo-clip, or the path of an artifact (default: echo, or echo-clip with "
        "--pretrained)",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="model of open_clip (default: the recipe's)"
    )
    parser.add_argument(
        "--pretrained",
        metavar="NAME",
        help="start from these weights: an open_clip name, e.g. laion400m_s13b_b51k, or a file",
    )
    parser.add_argument(
        "--scale",
        default="paper",
        choices=("paper", "phantom"),
        help="paper: the published model and settings; phantom: a tiny model and settings for "
        "frames of 64 pixels and two CPU cores (default: paper)",
    )
    add_seed(parser, "weights, order, frames and crops")
    parser.add_argument("--resume", action="store_true", help="go on with the run in OUT")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="any other setting, such as batch_size=256, lr=1e-4, epochs=10, accumulate=8, "
        "workers=8, context_length=128 (a wrong name lists them all)",
    )
    add_device(parser, default=None)
    parser.add_argument("--tensorboard", action="store_true", help="write OUT/tensorboard, too")
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_train, stopped=_stopped)


def _train(arguments: argparse.Namespace) -> None:
    from echoclip_r.training.config import with_settings
    from echoclip_r.training.recipes import RECIPES, phantom_scale
    from echoclip_r.training.run import train

    options = {"pretrained": arguments.pretrained}
    if arguments.recipe != "echoclip":
        options["tokenizer"] = arguments.tokenizer
    elif arguments.tokenizer is not None:
        raise OptionError("recipe echoclip reads open_clip's own tokenizer; leave --tokenizer out")
    config = RECIPES[arguments.recipe](**options)
    if arguments.scale == "phantom":
        config = phantom_scale(config)
    settings = [f"seed={arguments.seed}", *arguments.settings]
    if arguments.model is not None:
        settings.insert(0, f"model={arguments.model}")
    config = with_settings(config, settings)
    shards = arguments.shards
    if shards is None:
        shards = arguments.out / "shards"
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise EchoclipError(
                "--manifest is for one process; with torchrun run `echoclip-r prepare` first, and "
                "give --shards"
            )
        _prepare(arguments.manifest, shards, config.model.towers, seed=arguments.seed)
    result = train(
        config,
        shards,
        arguments.out,
        resume=arguments.resume,
        device=arguments.device,
        tensorboard=arguments.tensorboard,
    )
    if int(os.environ.get("RANK", "0")):
        return
    best = result.best
    if arguments.json:
        figures = {
            "out": str(result.out),
            "num_steps": result.num_steps,
            "loss": result.loss,
            "validation": None if best is None else best.to_dict(),
            "num_bad": result.num_bad,
            "seconds": round(result.seconds, 1),
        }
        print(json.dumps(figures))
        return
    print(
        f"{result.num_steps:,} steps in {result.seconds / 60:.1f} minutes, last loss "
        f"{result.loss:.3f}: {result.out}"
    )
    if best is not None:
        print(
            f"best validation: MCMRR {best.mcmrr:.1f} of {best.num_clips:,} (chance about "
            f"{(best.num_clips + 1) / 2:.0f}), R@10 {100 * best.recall_at_10:.1f} %"
        )
    if result.num_bad:
        print(f"{result.num_bad:,} clips could not be used; {result.out / 'rejects.csv'} says why")


def _prepare(manifest: Path, shards: Path, towers: str, *, seed: int) -> None:
    """Make shards of the size that the model reads; finished ones are kept as they are."""
    from echoclip_r.data.preparation import prepare
    from echoclip_r.model.build import frame_size_px

    prepare(
        manifest,
        shards,
        size_px=frame_size_px(towers),
        workers=os.cpu_count() or 1,
        seed=seed,
    )


def _stopped(arguments: argparse.Namespace) -> str:
    from echoclip_r.model.checkpoint import last_checkpoint

    last = last_checkpoint(arguments.out)
    if last is not None:
        return f"{last} is kept; give the same command with --resume to go on from it"
    kept = f"; the shards in {arguments.out / 'shards'} are kept" if arguments.manifest else ""
    return (
        f"{arguments.out} holds no checkpoint yet, so there is nothing to resume{kept}; give the "
        "same command again to begin anew"
    )
