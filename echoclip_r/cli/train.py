"""`echoclip-r train`: from shards, or a manifest, to a model."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echoclip_r.cli.options import add_device, add_out_folder, add_seed, anywhere, here
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.places import is_remote
from echoclip_r.storage import json_text
from echotok.cli.console import tell
from echotok.cli.options import add_json
from echotok.cpus import num_cpus

if TYPE_CHECKING:
    from echoclip_r.training.config import TrainConfig

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add `train` to the sub-parsers."""
    parser = commands.add_parser(
        "train",
        help="train EchoCLIP or EchoCLIP-R",
        description="Train a model on shards: one random frame of each clip and its report. On "
        "several GPUs: `torchrun --nproc-per-node 4 -m echoclip_r train ...`. A run that is "
        "stopped by Ctrl-C or TERM writes a checkpoint; a run that was stopped or killed continues "
        "when the same command is given again. OUT/best holds the weights with the best retrieval "
        "on the validation split, OUT/log.jsonl the figures, OUT/config.toml the settings.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--config",
        type=anywhere,
        metavar="FILE",
        help="settings in TOML: OUT/config.toml of another run, or your own; the other options "
        "change them",
    )
    what.add_argument(
        "--recipe",
        choices=("echoclip", "echoclip-r", "echoclip-r-span", "echoclip-r-findings"),
        help="echoclip: random 77-token spans through CLIP's tokenizer; echoclip-r: whole reports "
        "through a phrase tokenizer; echoclip-r-span: whole reports and runs of their sentences; "
        "echoclip-r-findings: three frames as one picture, whole reports, single findings, and "
        "texts that differ in one",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--shards", type=anywhere, metavar="DIR", help="folder of shards from `echoclip-r prepare`"
    )
    source.add_argument(
        "--manifest",
        type=anywhere,
        metavar="FILE",
        help="manifest, whose shards go into OUT/shards",
    )
    parser.add_argument(
        "--frames-from",
        type=here,
        metavar="PARQUET",
        help="embeddings of another image encoder in place of frames (columns id, study, vector): "
        "only the text tower is trained. --manifest gives the studies' reports; its videos need "
        "not be there",
    )
    add_out_folder(parser, "the run's folder")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="with --manifest: replace shards of another manifest or other options in DIR/shards",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="echo, echo-clip, or the path of an artifact (default: echo, or echo-clip with "
        "--pretrained)",
    )
    parser.add_argument(
        "--model", metavar="NAME", help="model of open_clip (default: the recipe's model)"
    )
    parser.add_argument(
        "--pretrained",
        metavar="NAME",
        help="start from these weights: an open_clip name, e.g. laion400m_s13b_b51k, a file, or "
        "the folder of a run or checkpoint",
    )
    parser.add_argument(
        "--scale",
        choices=("paper", "phantom"),
        help="paper: the published model and settings; phantom: a tiny model and settings for "
        "frames of 64 pixels and two CPU cores (default: paper)",
    )
    add_seed(parser, "weights, order, frames and crops")
    parser.add_argument(
        "--resume",
        nargs="?",
        metavar="CHECKPOINT",
        help="continue from this checkpoint of OUT, such as step-00001000, and set later ones "
        "aside; without a name, and without the option, continue from the last",
    )
    parser.add_argument(
        "--tasks",
        action="append",
        default=[],
        metavar="NAME",
        help="task file that evaluations of the model take by default: phantom, or a TOML file, "
        "which is kept with the model; may be given several times",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="settings",
        help="any other setting, such as batch_size=256, lr=1e-4, epochs=10, accumulate=8, "
        "workers=8, context_length=128 (a wrong name lists them all)",
    )
    add_device(parser)
    parser.add_argument("--tensorboard", action="store_true", help="also write OUT/tensorboard")
    parser.add_argument(
        "--wandb",
        action="store_true",
        help="also write OUT/wandb for Weights & Biases; nothing is sent (`wandb sync` does that)",
    )
    add_json(parser, "print the result as JSON")
    # None: not given, so that it does not change what the file of --config says.
    parser.set_defaults(run=_train, stopped=_stopped, seed=None)


def _train(arguments: argparse.Namespace) -> None:
    from echoclip_r.evaluation.tasks import read_tasks
    from echoclip_r.model.description import last_checkpoint
    from echoclip_r.training.run import train

    config, shards, tasks = _settings(arguments)
    read_tasks(*tasks)  # what is wrong with them is said before a run of days, not after
    if arguments.manifest is not None:
        shards = arguments.out / "shards"
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise EchoclipError(
                "--manifest is for one process; with torchrun run `echoclip-r prepare` first, and "
                "give --shards"
            )
        if arguments.overwrite and last_checkpoint(arguments.out) is not None:
            raise OptionError(
                f"{arguments.out}: --overwrite would delete the shards that the run in it was "
                f"trained on; begin a new run in another --out (--pretrained {arguments.out} "
                "starts it from these weights)"
            )
        if arguments.frames_from is not None and is_remote(arguments.out):
            raise OptionError(f"{arguments.out}: --frames-from writes on this machine alone")
        if arguments.frames_from is None:
            _prepare(arguments, shards, config)
        else:
            config = _on_vectors(arguments, config, shards)
    result = train(
        config,
        shards,
        arguments.out,
        checkpoint=arguments.resume,
        tasks=tasks,
        device=arguments.device,
        boards=[name for name in ("tensorboard", "wandb") if getattr(arguments, name)],
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
            "truncated": round(result.truncated, 4),
            "seconds": round(result.seconds, 1),
        }
        print(json_text(figures))
        return
    print(
        f"{result.num_steps:,} steps in {result.seconds / 60:.1f} minutes, last loss "
        f"{result.loss:.3f}: {result.out}"
    )
    if best is not None:
        print(
            f"best validation: MCMRR (the mean rank of the right answer, both ways) "
            f"{best.mcmrr:.1f} of {best.num_clips:,} (chance about "
            f"{(best.num_clips + 1) / 2:.0f}), R@10 {100 * best.recall_at_10:.1f} %"
        )
    if result.truncated:
        print(
            f"{100 * result.truncated:.0f} % of the reports did not fit into the model's context: "
            "what stands behind it was not read. `echoclip-r summary --tokenizer` shows their "
            "lengths, a tokenizer of your own (`echotok mine`) or --set context_length=N fits more"
        )
    if result.num_bad:
        print(f"{result.num_bad:,} clips could not be used; {result.out / 'rejects.csv'} says why")


def _settings(arguments: argparse.Namespace) -> tuple[TrainConfig, Path, Sequence[str]]:
    """The run's configuration, shards and task files: from a file or a recipe, then the options."""
    from echoclip_r.training.config import with_settings
    from echoclip_r.training.recipes import RECIPES, phantom_scale
    from echoclip_r.training.run_file import read_run_file

    shards, tasks, settings = arguments.shards, arguments.tasks, []
    if arguments.config is not None:
        if arguments.scale is not None:
            raise OptionError('write scale = "phantom" into the file of --config, not --scale')
        found = read_run_file(arguments.config)
        config, shards, tasks = found.config, shards or found.shards, tasks or found.tasks
        named = ("pretrained", "tokenizer")
        settings = [f"{name}={value}" for name in named if (value := getattr(arguments, name))]
    else:
        options = {"pretrained": arguments.pretrained}
        if arguments.recipe != "echoclip":
            options["tokenizer"] = arguments.tokenizer
        elif arguments.tokenizer is not None:
            raise OptionError(
                "recipe echoclip reads open_clip's own tokenizer; leave --tokenizer out"
            )
        config = RECIPES[arguments.recipe](**options)
        if arguments.scale == "phantom":
            config = phantom_scale(config)
    if arguments.frames_from is not None:
        if arguments.manifest is None:
            raise OptionError("--frames-from needs --manifest, which has the studies' reports")
        if arguments.model is not None:
            raise OptionError(
                "--model and --frames-from do not go together: the image tower is that of the "
                "embeddings, and the text tower that of the recipe"
            )
    if arguments.overwrite and arguments.manifest is None:
        raise OptionError("--overwrite goes with --manifest, whose shards it replaces")
    if shards is None and arguments.manifest is None:
        raise OptionError("one of --shards and --manifest is needed: what is the model to learn?")
    for name in ("model", "seed"):
        if getattr(arguments, name) is not None:
            settings.append(f"{name}={getattr(arguments, name)}")
    return with_settings(config, [*settings, *arguments.settings]), shards, tasks


def _on_vectors(arguments: argparse.Namespace, config: TrainConfig, shards: Path) -> TrainConfig:
    """Make shards of another encoder's embeddings; the run's image tower hands them on."""
    from dataclasses import replace

    from echoclip_r.data.vectors import prepare_vectors
    from echoclip_r.training.augment import Augmentation

    made = prepare_vectors(
        arguments.frames_from,
        arguments.manifest,
        shards,
        seed=config.seed,
        overwrite=arguments.overwrite,
    )
    tell(
        f"{made.num_clips:,} clips of {made.num_studies:,} studies with vectors of "
        f"{made.dimensions:,} columns"
    )
    for sentence in made.remarks:
        tell(sentence)
    tiny = "-tiny" if arguments.scale == "phantom" else ""
    towers = f"vectors-{made.dimensions}{tiny}"
    model = replace(config.model, towers=towers, freeze_image=True, channels="color")
    return replace(config, model=model, augmentation=Augmentation.none())


def _prepare(arguments: argparse.Namespace, shards: Path, config: TrainConfig) -> None:
    """Make shards of the size that the model reads; finished ones are kept as they are."""
    from echoclip_r.data.preparation import prepare
    from echoclip_r.model.build import frame_size_px

    prepare(
        arguments.manifest,
        shards,
        size_px=frame_size_px(config.model.towers),
        workers=num_cpus(),
        seed=config.seed,
        overwrite=arguments.overwrite,
    )


def _stopped(arguments: argparse.Namespace) -> str:
    from echoclip_r.model.description import last_checkpoint

    last = last_checkpoint(arguments.out)
    if last is not None:
        return f"{last} is kept; give the same command again to continue from it"
    kept = f"; the shards in {arguments.out / 'shards'} are kept" if arguments.manifest else ""
    return (
        f"{arguments.out} holds no checkpoint yet{kept}; give the same command again to start over"
    )
