"""The commands that use a trained model to search: embed and retrieve."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echoclip_r.cli.options import (
    add_batch_size,
    add_checkpoint,
    add_frames,
    add_keep_unsure,
    add_out_folder,
    add_overwrite,
    add_split,
    device_of,
    go_on,
    nothing_kept,
    picture,
)
from echoclip_r.errors import EchoclipError, OptionError
from echotok.cli.console import tell
from echotok.cli.options import add_column, add_json, whole_number

if TYPE_CHECKING:
    from echoclip_r.model.trained import TrainedModel
    from echoclip_r.search.answers import Answer

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add this module's commands to those of `echoclip-r` (argparse's sub-parsers action)."""
    _add_embed(commands)
    _add_retrieve(commands)


def _add_model(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="a grown version of the checkpoint's own tokenizer; any other is refused",
    )


def _load(arguments: argparse.Namespace) -> TrainedModel:
    from echoclip_r.model.checkpoint import load_checkpoint

    return load_checkpoint(
        arguments.checkpoint, device=device_of(arguments), tokenizer=arguments.tokenizer
    )


def _add_embed(commands: Any) -> None:
    parser = commands.add_parser(
        "embed",
        help="embed the clips of a split",
        description="Embed every frame of a split, one shard at a time; a stopped run continues "
        "when the command is run again. OUT then holds a file for each shard with embeddings of "
        "all frames, ids, labels and reports, and the clips' or studies' embeddings with their ids "
        "for other tools.",
    )
    _add_model(parser)
    parser.add_argument("--shards", type=Path, required=True, metavar="DIR", help="from `prepare`")
    add_split(parser, ("train", "validation", "test"))
    add_out_folder(parser, "folder to write the embeddings to")
    parser.add_argument(
        "--level",
        default="clip",
        choices=("clip", "study"),
        help="one embedding for each clip or for each study: the mean of the unit embeddings of "
        "its frames (default: clip)",
    )
    parser.add_argument(
        "--format",
        default="parquet",
        choices=("parquet", "npy"),
        help="format of the embeddings' file; npy puts the ids into a CSV file beside it (default: "
        "parquet)",
    )
    add_batch_size(parser)
    add_overwrite(parser, "embeddings of another model")
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_embed, stopped=go_on)


def _embed(arguments: argparse.Namespace) -> None:
    from echoclip_r.embedding.embedder import embed
    from echoclip_r.embedding.embeddings import write_table

    embedded = embed(
        _load(arguments),
        arguments.shards,
        split=arguments.split,
        out=arguments.out,
        batch_size=arguments.batch_size,
        overwrite=arguments.overwrite,
    )
    paths = write_table(embedded, arguments.out, level=arguments.level, form=arguments.format)
    figures = {
        "num_clips": len(embedded.clips),
        "num_frames": len(embedded.frames),
        "num_studies": int(embedded.clips["study_id"].nunique()),
        "dimensions": int(embedded.frames.shape[1]),
        "files": [str(path) for path in paths],
    }
    if arguments.json:
        print(json.dumps(figures))
        return
    print(
        f"{figures['num_clips']:,} clips ({figures['num_frames']:,} frames) of "
        f"{figures['num_studies']:,} studies, {figures['dimensions']} dimensions: "
        + " and ".join(map(str, paths))
    )


def _add_retrieve(commands: Any) -> None:
    parser = commands.add_parser(
        "retrieve",
        help="find the reports that fit a clip, or the clips that fit a report",
        description="With --video and --reports, find the reports that fit a clip best; the clip "
        "is masked to its sector as in `prepare`. With --report and --shards (or --embeddings), "
        "find the clips that fit a report. The reports are shown on the screen.",
    )
    _add_model(parser)
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--video", type=Path, metavar="FILE", help="a clip to find reports for")
    query.add_argument("--report", metavar="FILE", help="a text to find clips for; - is stdin")
    parser.add_argument(
        "--reports",
        metavar="FILE",
        help="reports to search: a CSV, TSV, Parquet or JSON Lines file, a text file, or a folder "
        "of *.txt",
    )
    add_column(parser)
    parser.add_argument("--shards", type=Path, metavar="DIR", help="shards of the clips to search")
    add_split(parser, ("train", "validation", "test"))
    parser.add_argument(
        "--embeddings",
        type=Path,
        metavar="DIR",
        help="embeddings from `embed`, in place of --shards; together with --shards, the folder in "
        "which to keep them",
    )
    parser.add_argument(
        "-k",
        type=whole_number(1),
        default=5,
        metavar="N",
        help="number of reports or clips to show (default: 5)",
    )
    add_frames(parser, 10)
    add_keep_unsure(parser)
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a page to this file")
    parser.add_argument(
        "--picture", type=picture, metavar="PNG", help="also write frames of the clip to this file"
    )
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_retrieve, stopped=nothing_kept)


def _retrieve(arguments: argparse.Namespace) -> None:
    if arguments.video is not None:
        if arguments.reports is None:
            raise OptionError("--video needs --reports, the reports to search")
        model, answer = _reports_for_video(arguments)
    else:
        if arguments.shards is None and arguments.embeddings is None:
            raise OptionError("--report needs --shards or --embeddings, the clips to search")
        model, answer = _videos_for_report(arguments)
    if arguments.json:
        print(json.dumps(_as_json(answer)))
    else:
        from echoclip_r.search.terminal import show

        show(answer, model.text.tokenizer)
    _write_files(arguments, model, answer)


def _reports_for_video(arguments: argparse.Namespace) -> tuple[TrainedModel, Answer]:
    from echoclip_r.data.clips import read_masked
    from echoclip_r.search.answers import Item, find_reports

    reports = _read_reports(arguments.reports, arguments.column)
    model = _load(arguments)
    clip = read_masked(
        arguments.video,
        size_px=model.image_size_px,
        num_frames=arguments.frames,
        keep_unsure=arguments.keep_unsure,
    )
    query = Item(name=arguments.video.name, frames=clip.frames)
    return model, find_reports(model, query, reports, k=arguments.k)


def _videos_for_report(arguments: argparse.Namespace) -> tuple[TrainedModel, Answer]:
    from echoclip_r.embedding.embedder import embed
    from echoclip_r.embedding.embeddings import load_embedded
    from echoclip_r.search.answers import Item, find_videos

    found = _read_reports(arguments.report, arguments.column)
    if len(found) != 1:
        raise EchoclipError(
            f"{arguments.report}: {len(found):,} reports; --report takes a file with one"
        )
    name, text = found[0]
    model = _load(arguments)
    shards = arguments.shards
    if shards is not None:
        pool = embed(model, shards, split=arguments.split, out=arguments.embeddings)
    else:
        pool, run = load_embedded(arguments.embeddings)
        if run["fingerprint"] != model.fingerprint:
            raise EchoclipError(
                f"{arguments.embeddings}: made by another model ({run['model']}), so its cosines "
                f"with this one's texts mean nothing; take that model, or run `echoclip-r embed`"
            )
        # The pictures lie in the shards, if those are still where they were.
        shards = Path(run["shards"]) if (Path(run["shards"]) / "index.json").is_file() else None
    query = Item(name=name, report=text)
    return model, find_videos(model, query, pool, k=arguments.k, shards_dir=shards)


def _read_reports(source: str, column: str | None) -> list[tuple[str, str]]:
    from echotok.corpora import read_reports

    return [(one.source, one.text) for one in read_reports([source], column=column)]


def _as_json(answer: Answer) -> dict[str, Any]:
    return {
        "query": answer.query.name,
        "pool_size": answer.pool_size,
        "hits": [
            {
                "rank": hit.rank,
                "cosine": hit.cosine,
                "name": hit.item.name,
                "num_same": hit.num_same,
                "report": hit.item.report,
            }
            for hit in answer.hits
        ],
    }


def _write_files(arguments: argparse.Namespace, model: TrainedModel, answer: Answer) -> None:
    from echoclip_r.search.page import to_page
    from echoclip_r.search.pictures import film_strip

    if arguments.picture is not None:
        clip = answer.query if answer.query.frames is not None else answer.hits[0].item
        if clip.frames is None:
            raise EchoclipError(
                "there are no frames to draw: the shards from which the embeddings were made are "
                "no longer in their place; name their folder with --shards"
            )
        film_strip(clip.frames, num=min(8, len(clip.frames))).save(arguments.picture)
    if arguments.html is not None:
        looked_for = "reports" if arguments.video is not None else "clips"
        page = to_page(
            [answer],
            title=f"The {looked_for} that fit best",
            about=f"Model {model.name}, {answer.pool_size:,} {looked_for} looked through",
            tokenizer=model.text.tokenizer,
        )
        arguments.html.write_text(page, encoding="utf-8")
        tell(f"wrote {arguments.html}; it holds reports: keep it as safe as the reports")
