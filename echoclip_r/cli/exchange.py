"""The commands between this package and open_clip: export and import."""

from __future__ import annotations

import argparse
from typing import Any

from echoclip_r.cli.options import add_out_folder, here, nothing_kept
from echoclip_r.storage import json_text
from echotok.cli.options import add_json

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add this module's commands to those of `echoclip-r` (argparse's sub-parsers action)."""
    _add_export(commands)
    _add_import(commands)


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write a run as a folder that open_clip loads",
        description="Write weights (safetensors), configuration, tokenizer and a model card into a "
        'folder that `open_clip.create_model_and_transforms("local-dir:FOLDER")` and '
        '`open_clip.get_tokenizer("local-dir:FOLDER")` load. The other commands take the folder as '
        "a checkpoint, too.",
    )
    parser.add_argument(
        "source", type=here, metavar="RUN", help="folder of a run, or of one of its checkpoints"
    )
    add_out_folder(parser, "folder to write; it must not be there yet", kind=here)
    parser.add_argument(
        "--evaluation",
        type=here,
        metavar="DIR",
        help="folder of `echoclip-r evaluate`, whose figures go into the model card (default: one "
        "inside of RUN, where there is one)",
    )
    parser.set_defaults(run=_export, stopped=nothing_kept)


def _export(arguments: argparse.Namespace) -> None:
    from echoclip_r.model.build import register
    from echoclip_r.model.description import read_description
    from echoclip_r.model.export import export_run, needs_our_towers

    register()
    taken = export_run(arguments.source, arguments.out, evaluation=arguments.evaluation)
    print(f"{taken}: {arguments.out}")
    print(f'open_clip loads it: create_model_and_transforms("local-dir:{arguments.out}")')
    if needs_our_towers(read_description(taken).model_config):
        print(
            "Its image tower is this package's own: call echoclip_r.model.build.register() before "
            "open_clip loads it"
        )
    print(f"Read {arguments.out / 'README.md'} before you pass it on: it states data and limits")


def _add_import(commands: Any) -> None:
    parser = commands.add_parser(
        "import",
        help="make a run of the weights of others",
        description="Make a run of a checkpoint of open_clip, on which embed, retrieve, evaluate, "
        "explain and train --pretrained then work: weights in a file, a folder "
        "(local-dir:FOLDER), or on the Hub (hf-hub:OWNER/NAME).",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="a file of weights, local-dir:FOLDER, hf-hub:OWNER/NAME, or with --model a name that "
        "open_clip has for it, e.g. laion400m_s13b_b51k",
    )
    add_out_folder(parser, "the run's folder; it must not be there yet", kind=here)
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="model of open_clip that the weights are of (default: what open_clip_config.json "
        "beside them says, else the one whose tensors have these shapes)",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="NAME",
        help="tokenizer that the weights were trained with, where it is not CLIP's own: the path "
        "of an artifact, or published:FOLDER, your own copy of the template tokenizer of the "
        "published EchoCLIP-R",
    )
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_import, stopped=nothing_kept)


def _import(arguments: argparse.Namespace) -> None:
    from echoclip_r.model.imported import import_weights

    found = import_weights(
        arguments.source, arguments.out, towers=arguments.model, tokenizer=arguments.tokenizer
    )
    if arguments.json:
        print(
            json_text(
                {
                    "out": str(arguments.out),
                    "source": found.source,
                    "model": found.towers,
                    "tokenizer": found.tokenizer,
                    "num_weights": found.num_weights,
                }
            )
        )
        return
    print(
        f"{found.source}: {found.towers} ({found.num_weights / 1e6:.1f} M weights), tokenizer "
        f"{found.tokenizer}: {arguments.out}"
    )
    print(f"Now e.g.: echoclip-r evaluate {arguments.out} --manifest manifest.csv --out evaluation")
