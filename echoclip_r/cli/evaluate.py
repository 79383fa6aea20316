"""The commands that judge a model: evaluate, and explain."""

from __future__ import annotations

import argparse
from typing import Any

from echoclip_r.cli.options import (
    add_batch_size,
    add_checkpoint,
    add_cluster,
    add_frames,
    add_keep_unsure,
    add_seed,
    add_split,
    add_workers,
    anywhere,
    device_of,
    executor_of,
    go_on,
    here,
    nothing_kept,
)
from echoclip_r.errors import OptionError
from echoclip_r.storage import json_text
from echotok.cli.console import tell
from echotok.cli.options import add_json, whole_number

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add this module's commands to those of `echoclip-r` (argparse's sub-parsers action)."""
    _add_evaluate(commands)
    _add_explain(commands)


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="judge checkpoints on every task that there are labels for",
        description="Judge zero-shot measurements and findings, retrieval, clinical agreement, "
        "patient identification and change over time, with intervals and chance levels. It writes "
        "OUT/report.html, metrics.json, predictions and plots. Tasks that cannot be run are named "
        "with the reason. Several checkpoints are compared on the same items.",
    )
    add_checkpoint(parser, several=True)
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--manifest", type=anywhere, metavar="FILE", help="archive to make shards from"
    )
    data.add_argument("--shards", type=anywhere, metavar="DIR", help="shards from `prepare`")
    data.add_argument(
        "--marks",
        type=here,
        metavar="FILE",
        help="count readers' marks (marks.sqlite of `echoclip-r serve`) instead: how many of the "
        "first five hits they call relevant, with intervals; needs no checkpoint and no --out",
    )
    parser.add_argument(
        "--out",
        type=anywhere,
        metavar="DIR",
        help="folder to write the report, figures and embeddings to",
    )
    parser.add_argument(
        "--external",
        type=anywhere,
        metavar="FILE_OR_DIR",
        help="manifest or shards of another archive, all splits of which are tested",
    )
    parser.add_argument(
        "--tasks",
        action="append",
        default=[],
        metavar="FILE",
        help="tasks and prompts that are laid over the default ones: a TOML file, `phantom`, or "
        "`default` for those alone; may be given several times (default: those that the runs "
        "record)",
    )
    parser.add_argument(
        "--events",
        type=anywhere,
        metavar="CSV",
        help="dates of events (patient_id, event, date) in place of label columns",
    )
    parser.add_argument(
        "--unit",
        default="study",
        choices=("study", "clip"),
        help="whether one prediction is made for each study or for each clip (default: study)",
    )
    add_split(parser, ("test", "validation"))
    parser.add_argument(
        "--names", metavar="A,B", help="names of the models, in place of recipe and run"
    )
    parser.add_argument("--title", default="Evaluation", help="title of the report")
    parser.add_argument("--note", default="", help="a line to print below the title")
    add_batch_size(parser)
    add_workers(parser)
    add_cluster(parser)
    parser.add_argument(
        "--draws",
        type=whole_number(1),
        default=1000,
        metavar="N",
        help="number of draws of the bootstrap that gives the intervals (default: 1000)",
    )
    add_seed(parser, "splits, draws and random pairs")
    add_json(parser, "print metrics.json instead of a table")
    parser.set_defaults(run=_evaluate, stopped=go_on)


def _count_marks(arguments: argparse.Namespace) -> None:
    from echoclip_r.metrics.bootstrap import Resampling
    from echoclip_r.serve.marks import count_marks

    resampling = Resampling(num_draws=arguments.draws, seed=arguments.seed)
    counts = count_marks(arguments.marks, resampling)
    if arguments.json:
        print(json_text([one.to_dict() for one in counts]))
        return
    for one in counts:
        print(
            f"{one.model}, by {one.kind}: precision at 5 {one.precision}, of {one.num_questions:,} "
            f"questions marked to the end by {one.num_readers} readers ({one.num_marks:,} marks; "
            f"{one.num_partly:,} questions marked in part do not count)"
        )


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what argparse cannot: what is needed differs with --marks."""
    if arguments.marks is not None:
        if arguments.checkpoints or arguments.out is not None or arguments.cluster is not None:
            raise OptionError(
                "--marks takes no checkpoint, no --out and no --cluster: the marks name the models"
            )
        return
    needed = {
        "CHECKPOINT": arguments.checkpoints,
        "--manifest, --shards or --marks": arguments.manifest or arguments.shards,
        "--out": arguments.out,
    }
    if missing := [name for name, value in needed.items() if not value]:
        raise OptionError(f"the following arguments are required: {', '.join(missing)}")


def _evaluate(arguments: argparse.Namespace) -> None:
    _check(arguments)
    if arguments.marks is not None:
        _count_marks(arguments)
        return
    from echoclip_r.evaluation.config import EvaluateConfig
    from echoclip_r.evaluation.runner import evaluate
    from echoclip_r.metrics.bootstrap import Resampling

    config = EvaluateConfig(
        checkpoints=arguments.checkpoints,
        data=arguments.shards or arguments.manifest,
        out=arguments.out,
        external=arguments.external,
        tasks=arguments.tasks,
        events=arguments.events,
        unit=arguments.unit,
        split=arguments.split,
        names=None if arguments.names is None else arguments.names.split(","),
        title=arguments.title,
        note=arguments.note,
        device=device_of(arguments),
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        resampling=Resampling(num_draws=arguments.draws, seed=arguments.seed),
    )
    with executor_of(arguments, packages=("open_clip_torch", "torch")) as executor:
        evaluation = evaluate(config, executor=executor, device_there=arguments.device)
    if arguments.json:
        print((arguments.out / "metrics.json").read_text(encoding="utf-8"), end="")
        return
    from echoclip_r.evaluation.report.terminal import show

    show(evaluation)
    print(f"Report: {arguments.out / 'report.html'}")


def _add_explain(commands: Any) -> None:
    parser = commands.add_parser(
        "explain",
        help="show where in a clip a model looks for a prompt",
        description="Draw PromptCAM: the places in each frame that raise the cosine with a prompt. "
        "The heat covers the ultrasound sector alone; the prompt stands above, and a scale beside. "
        "It shows where, and does not prove why.",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--video", type=here, required=True, metavar="FILE", help="video, DICOM file or folder"
    )
    parser.add_argument(
        "--prompt",
        action="append",
        required=True,
        metavar="TEXT",
        help='what to look for, such as "A pacemaker lead is seen."; several are averaged',
    )
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="TEXT",
        help="prompt whose heat is subtracted; several are averaged",
    )
    parser.add_argument(
        "--out", type=here, required=True, metavar="FILE", help="file to write: .gif, .mp4 or .png"
    )
    parser.add_argument(
        "--method",
        default="gradcam",
        choices=("gradcam", "elementwise"),
        help="gradcam weights each map with the mean of its gradient; elementwise keeps the place "
        "of each gradient (default: gradcam)",
    )
    add_frames(parser, 20)
    add_keep_unsure(parser)
    parser.set_defaults(run=_explain, stopped=nothing_kept)


def _explain(arguments: argparse.Namespace) -> None:
    from echoclip_r.explain.drawing import draw_prompt_cam
    from echoclip_r.model.checkpoint import load_checkpoint
    from echoclip_r.text.word_counts import KnownWords

    model = load_checkpoint(arguments.checkpoint, device=device_of(arguments))
    known = KnownWords(model.text, model.word_counts)
    for text in dict.fromkeys([*arguments.prompt, *arguments.against]):
        if remark := known.look_up(text):
            tell(f"prompt {text!r}: {remark}")
    cosine = draw_prompt_cam(
        model,
        arguments.video,
        arguments.out,
        prompts=arguments.prompt,
        against=arguments.against,
        method=arguments.method,
        num_frames=arguments.frames,
        keep_unsure=arguments.keep_unsure,
    )
    print(f"mean cosine of the clip with the prompt: {cosine:.3f}; picture: {arguments.out}")
