"""The commands that use a trained model to search: embed and retrieve."""

from __future__ import annotations

import argparse
import shlex
import textwrap
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echoclip_r.cli.options import (
    add_batch_size,
    add_checkpoint,
    add_cluster,
    add_frames,
    add_keep_unsure,
    add_out_folder,
    add_overwrite,
    add_parts,
    add_split,
    add_status,
    anywhere,
    device_of,
    executor_of,
    go_on,
    here,
    nothing_kept,
    part_of,
    picture,
    print_status,
)
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.places import place
from echoclip_r.storage import json_text
from echotok.cli.console import tell
from echotok.cli.options import add_column, add_json, whole_number

if TYPE_CHECKING:
    from echoclip_r.data.clips import Frames
    from echoclip_r.embedding.embeddings import Embedded
    from echoclip_r.embedding.reports import EmbeddedReports
    from echoclip_r.model.trained import TrainedModel
    from echoclip_r.search.answers import Answer, Item
    from echotok.findings.rules import FindingsRules

__all__ = ["add_commands"]


_NUM_SHOWN = 32
"""Number of frames of the clip that a page shows."""


def add_commands(commands: Any) -> None:
    """Add this module's commands to those of `echoclip-r` (argparse's sub-parsers action)."""
    _add_embed(commands)
    _add_retrieve(commands)


def _add_model(parser: argparse.ArgumentParser) -> None:
    add_checkpoint(parser)
    parser.add_argument(
        "--tokenizer",
        type=anywhere,
        metavar="FILE",
        help="a grown version of the checkpoint's own tokenizer; any other is refused. "
        "published:FOLDER where a tokenizer program of others has moved there",
    )


def _loader(arguments: argparse.Namespace) -> Callable[[], TrainedModel]:
    """Say the device; what is returned loads the model there."""
    from echoclip_r.model.checkpoint import load_checkpoint

    device = device_of(arguments)
    return partial(
        load_checkpoint, arguments.checkpoint, device=device, tokenizer=arguments.tokenizer
    )


def _elsewhere(arguments: argparse.Namespace) -> Callable[[], TrainedModel]:
    """What loads the model in another process, which stands in another folder."""
    from echoclip_r.model.checkpoint import load_checkpoint

    grown = arguments.tokenizer
    return partial(
        load_checkpoint,
        arguments.checkpoint.absolute(),
        device=arguments.device,
        tokenizer=None if grown is None else grown.absolute(),
    )


def _add_embed(commands: Any) -> None:
    parser = commands.add_parser(
        "embed",
        help="embed the clips of a split, or a table of reports",
        description="With --shards, embed every frame of a split, one shard at a time: OUT then "
        "holds a file for each shard with embeddings of all frames, ids, labels and reports, and "
        "the clips' or studies' embeddings with their ids for other tools. With --reports, embed "
        "each different report of a table: OUT then holds the reports with their embeddings, for "
        "`retrieve --embeddings`, and the embeddings with their names for other tools. A stopped "
        "run continues when the command is run again; of a table that has grown, only what is new "
        "is embedded.",
    )
    _add_model(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--shards", type=anywhere, metavar="DIR", help="clips: shards from `prepare`"
    )
    source.add_argument("--reports", metavar="FILE", help=f"reports: {_REPORT_FILES}")
    add_column(parser)
    _add_id_column(parser)
    add_split(parser, ("train", "validation", "test"))
    add_out_folder(parser, "folder to write the embeddings to")
    parser.add_argument(
        "--level",
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
    add_parts(parser, "write the clips' or studies' embeddings for other tools")
    add_cluster(parser)
    add_status(parser)
    add_overwrite(parser, "embeddings of another model or of other data")
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_embed, stopped=go_on)


_REPORT_FILES = "a CSV, TSV, Parquet or JSON Lines file, a text file, or a folder of *.txt"


def _add_id_column(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--id-column",
        metavar="NAME",
        help="column or key that names a report, such as its study (default: study_id where there "
        "is one, else file and row)",
    )


def _embed(arguments: argparse.Namespace) -> None:
    if arguments.status is not None:
        from echoclip_r.embedding.embedder import embed_status

        if arguments.shards is None:
            raise OptionError("--status is for the clips of --shards")
        status = embed_status(
            arguments.shards,
            split=arguments.split,
            out=arguments.out,
            num_parts=arguments.status,
        )
        print_status(arguments, status, {})
        return
    figures = _embed_clips(arguments) if arguments.reports is None else _embed_reports(arguments)
    if arguments.json:
        print(json_text(figures))
        return
    if "part" in figures:
        print(
            f"part {figures['part']} of {figures['num_parts']}: {figures['num_clips']:,} clips in "
            f"{figures['num_shards']:,} shards; after all parts, run the command with --finish "
            f"{figures['num_parts']}"
        )
        return
    if arguments.reports is None:
        what = (
            f"{figures['num_clips']:,} clips ({figures['num_frames']:,} frames) of "
            f"{figures['num_studies']:,} studies"
        )
    else:
        what = f"{figures['num_reports']:,} reports ({figures['num_texts']:,} different texts)"
    print(f"{what}, {figures['dimensions']} dimensions: {' and '.join(figures['files'])}")
    query = "--video CLIP" if arguments.reports is not None else '--text "..."'
    print(
        f"search them: echoclip-r retrieve {shlex.quote(str(arguments.checkpoint))} {query} "
        f"--embeddings {shlex.quote(str(arguments.out))}"
    )


def _embed_clips(arguments: argparse.Namespace) -> dict[str, Any]:
    from echoclip_r.embedding.embedder import embed, embed_part
    from echoclip_r.embedding.embeddings import write_table
    from echoclip_r.jobs.parts import Part

    for option, value in (("--column", arguments.column), ("--id-column", arguments.id_column)):
        if value is not None:
            raise OptionError(f"{option} is for --reports; the shards hold the clips' own reports")
    if arguments.overwrite and (arguments.part is not None or arguments.finish is not None):
        raise OptionError("--overwrite would delete what other parts have made; empty DIR instead")
    part = part_of(arguments)
    if part is not None and arguments.part is not None:
        made = embed_part(
            _loader(arguments)(),
            arguments.shards,
            split=arguments.split,
            out=arguments.out,
            part=part,
            batch_size=arguments.batch_size,
        )
        return {
            "part": part.number,
            "num_parts": part.count,
            "num_shards": len(made),
            "num_clips": sum(made),
        }
    finish = None if arguments.finish is None else part or Part(number=1, count=1)
    if arguments.cluster is not None and (part is not None or finish is not None):
        raise OptionError("--part is done by this machine, and --cluster does all of the work")
    load = _loader(arguments)
    with executor_of(arguments, packages=("open_clip_torch", "torch")) as executor:
        embedded = embed(
            load(),
            arguments.shards,
            split=arguments.split,
            out=arguments.out,
            batch_size=arguments.batch_size,
            overwrite=arguments.overwrite,
            finish=finish,
            executor=executor,
            load=_elsewhere(arguments),
        )
    level = arguments.level or "clip"
    paths = write_table(embedded, arguments.out, level=level, form=arguments.format)
    return {
        "num_clips": len(embedded.clips),
        "num_frames": len(embedded.frames),
        "num_studies": int(embedded.clips["study_id"].nunique()),
        "dimensions": int(embedded.frames.shape[1]),
        "files": [str(path) for path in paths],
    }


def _embed_reports(arguments: argparse.Namespace) -> dict[str, Any]:
    from echoclip_r.data.report_table import read_report_table
    from echoclip_r.embedding.reports import embed_reports, write_report_table

    if arguments.level is not None:
        raise OptionError("--level is for the clips of --shards; a report has one embedding")
    if arguments.part is not None or arguments.finish is not None:
        raise OptionError("--part and --finish are for the clips of --shards")
    if arguments.cluster is not None:
        raise OptionError("--cluster is for the clips of --shards")
    load = _loader(arguments)
    table = read_report_table(
        arguments.reports, column=arguments.column, id_column=arguments.id_column
    )
    embedded = embed_reports(load(), table, out=arguments.out, overwrite=arguments.overwrite)
    paths = write_report_table(embedded, arguments.out, form=arguments.format)
    return {
        "num_reports": len(embedded),
        "num_texts": len(embedded.texts),
        "dimensions": int(embedded.texts.shape[1]),
        "files": [str(path) for path in paths],
    }


def _add_retrieve(commands: Any) -> None:
    parser = commands.add_parser(
        "retrieve",
        help="find the reports or clips that fit a clip or a text",
        description="Look for a clip (--video; it is masked to its sector as in `prepare`) or for "
        "a text (--text, --report) in reports (--reports, or --embeddings from `embed --reports`) "
        "or in clips (--shards, or --embeddings from `embed --shards`). What the query and each "
        "hit say is compared finding by finding; --full also shows the reports on the screen.",
    )
    _add_model(parser)
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--video", type=anywhere, metavar="FILE", help="a clip to look for")
    query.add_argument("--report", metavar="FILE", help="a text to look for; - is stdin")
    query.add_argument("--text", metavar="TEXT", help="the text itself, in quotes")
    parser.add_argument(
        "--own-report",
        metavar="FILE",
        help="with --video: the clip's own report, where it is known; what is found is compared "
        "with it, and its rank is told",
    )
    pool = parser.add_mutually_exclusive_group()
    pool.add_argument("--reports", metavar="FILE", help=f"reports to search: {_REPORT_FILES}")
    pool.add_argument(
        "--shards", type=anywhere, metavar="DIR", help="shards of the clips to search"
    )
    add_column(parser)
    _add_id_column(parser)
    add_split(parser, ("train", "validation", "test"))
    parser.add_argument(
        "--embeddings",
        type=anywhere,
        metavar="DIR",
        help="embeddings from `embed`, in place of --reports or --shards; together with one of "
        "them, the folder in which to keep its embeddings",
    )
    parser.add_argument(
        "--where",
        metavar="EXPRESSION",
        help='search only rows or clips whose columns fit, e.g. "view = A4C and date >= 2020"; '
        "there are =, !=, <, <=, >, >=, in (...), and, or, not and parentheses",
    )
    parser.add_argument(
        "-k",
        "--top",
        type=whole_number(1),
        default=5,
        metavar="N",
        help="number of reports or clips to show (default: 5)",
    )
    add_frames(parser, 10)
    add_keep_unsure(parser)
    parser.add_argument(
        "--full", action="store_true", help="also print the text of the query's and found reports"
    )
    parser.add_argument("--html", type=here, metavar="FILE", help="also write a page to this file")
    parser.add_argument(
        "--picture", type=picture, metavar="PNG", help="also write frames of the clip to this file"
    )
    parser.add_argument(
        "--sheet",
        type=picture,
        metavar="PNG",
        help="also draw the answer as one picture: the conclusions and a grid of the findings of "
        "the query and its best hits",
    )
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_retrieve, stopped=_stopped)


def _stopped(arguments: argparse.Namespace) -> str:
    """What to type after Ctrl-C."""
    if arguments.embeddings is None:
        return nothing_kept(arguments)
    return (
        f"what is embedded already in {arguments.embeddings} is kept; give the same command again "
        "to continue"
    )


def _retrieve(arguments: argparse.Namespace) -> None:
    _check(arguments)
    model, answer = _answer(arguments)
    rules = _rules(arguments.checkpoint)
    # Before anything is printed: a reader of the pipe may leave early.
    _write_files(arguments, model, answer, rules)
    if arguments.json:
        print(json_text(_as_json(answer, rules)))
        return
    from echoclip_r.search.terminal import show

    show(answer, rules, full=arguments.full)
    if not arguments.full and arguments.html is None:
        tell("the reports' text is left out: --full prints it, --html FILE writes a page with it")


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot work before anything is loaded."""
    from echoclip_r.search.answers import check_query

    if arguments.text is not None:
        check_query(arguments.text)
    if arguments.reports is None and arguments.shards is None and arguments.embeddings is None:
        if arguments.video is not None:
            needs = "--video needs --reports, or --shards"
        else:
            needs = f"--{'text' if arguments.report is None else 'report'} needs --shards"
        raise OptionError(f"{needs} or --embeddings: what is to be searched")
    if arguments.own_report is not None and arguments.video is None:
        raise OptionError("--own-report is for the clip of --video; a text is its own report")
    for name in ("column", "id_column"):
        if getattr(arguments, name) is not None and arguments.reports is None:
            if name == "column" and arguments.report is not None:
                continue
            raise OptionError(
                f"--{name.replace('_', '-')} is for --reports; embeddings hold their names already"
            )
    for path in (arguments.html, arguments.picture, arguments.sheet):
        if path is not None and not path.parent.is_dir():
            raise OptionError(f"{path}: there is no folder {path.parent}; make it first")


def _answer(arguments: argparse.Namespace) -> tuple[TrainedModel, Answer]:
    from echoclip_r.data.report_table import read_report_table
    from echoclip_r.embedding.embedder import embed
    from echoclip_r.embedding.embeddings import REPORTS, read_run
    from echoclip_r.embedding.reports import EmbeddedReports, embed_reports
    from echoclip_r.search.answers import Item, find_reports, find_videos

    load = _loader(arguments)
    # The query and the reports before the model: what is wrong with them is said at once.
    query = _query_text(arguments)
    table = None
    if arguments.reports is not None:
        if read_run(Path(arguments.reports), REPORTS) is not None:
            raise OptionError(
                f"--reports {arguments.reports}: this folder holds embeddings of reports; give it "
                f"as --embeddings {arguments.reports}, without --reports"
            )
        table = read_report_table(
            arguments.reports, column=arguments.column, id_column=arguments.id_column
        )
    model = load()
    if arguments.video is not None:
        own = None if query is None else query.report
        query = Item(
            name=arguments.video.name,
            report=own,
            frames=_frames(arguments, model, num=arguments.frames),
        )
    assert query is not None  # argparse asks for a clip, a file or a text
    if table is not None:
        reports = (
            table
            if arguments.embeddings is None
            else embed_reports(model, table, out=arguments.embeddings)
        )
        return model, find_reports(model, query, reports, k=arguments.top, where=arguments.where)
    if arguments.shards is not None:
        pool = embed(model, arguments.shards, split=arguments.split, out=arguments.embeddings)
        shards = arguments.shards
    else:
        kept, shards = _kept(arguments.embeddings, model)
        if isinstance(kept, EmbeddedReports):
            return model, find_reports(model, query, kept, k=arguments.top, where=arguments.where)
        pool = kept
    answer = find_videos(
        model, query, pool, k=arguments.top, where=arguments.where, shards_dir=shards
    )
    return model, answer


def _query_text(arguments: argparse.Namespace) -> Item | None:
    """The text that is looked for, or the own report of the clip; None where that is not known."""
    from echoclip_r.search.answers import Item
    from echotok.corpora import holds_text, read_reports

    if arguments.text is not None:
        name = textwrap.shorten(arguments.text, 80, placeholder=" ...")
        return Item(name=name, report=arguments.text)
    option = "--report" if arguments.video is None else "--own-report"
    file = arguments.report if arguments.video is None else arguments.own_report
    if file is None:
        return None
    column = arguments.column if arguments.reports is None else None
    found = [one for one in read_reports([file], column=column) if holds_text(one.text)]
    if len(found) != 1:
        what = f"{len(found):,} reports" if found else "no word in it"
        raise EchoclipError(f"{file}: {what}; {option} takes a file with one")
    return Item(name=found[0].source, report=found[0].text)


def _frames(arguments: argparse.Namespace, model: TrainedModel, *, num: int) -> Frames:
    from echoclip_r.data.clips import read_masked

    return read_masked(
        arguments.video,
        size_px=model.image_size_px,
        num_frames=num,
        keep_unsure=arguments.keep_unsure,
    ).frames


def _kept(folder: Path, model: TrainedModel) -> tuple[Embedded | EmbeddedReports, Path | None]:
    """The embeddings in a folder, and the shards of their clips where these are still there."""
    from echoclip_r.embedding.embeddings import REPORTS, load_embedded, read_run
    from echoclip_r.embedding.reports import load_reports

    kept: Embedded | EmbeddedReports
    if not (folder / "run.json").is_file():
        raise EchoclipError(
            f"{folder}: no embeddings there; make them with `echoclip-r embed CHECKPOINT --out "
            f"{folder}` and --reports FILE or --shards DIR"
        )
    if read_run(folder, REPORTS) is not None:
        kept, run = load_reports(folder)
    else:
        kept, run = load_embedded(folder, pooled=True)
    if run["fingerprint"] != model.fingerprint:
        raise EchoclipError(
            f"{folder}: made by another model ({run['model']}), so its cosines with this one's "
            "mean nothing; take that model, or run `echoclip-r embed`"
        )
    shards = place(run["shards"]) if "shards" in run else None
    return kept, shards if shards is not None and (shards / "index.json").is_file() else None


def _rules(checkpoint: Path) -> FindingsRules | None:
    """The findings of the task files that the run names, beside those that ship with echotok."""
    from echoclip_r.evaluation.labels import finding_rules
    from echoclip_r.evaluation.tasks import read_tasks
    from echoclip_r.model.description import tasks_of

    sources = tasks_of(checkpoint)
    return finding_rules(read_tasks(*sources).findings) if sources else None


def _as_json(answer: Answer, rules: FindingsRules | None) -> dict[str, Any]:
    from echoclip_r.search.comparison import make_grid

    grid = make_grid(answer, rules)
    hits = []
    for hit, compared in zip(answer.hits, grid.compared, strict=True):
        rows = () if compared is None else compared.rows
        hits.append(
            {
                "rank": hit.rank,
                "cosine": hit.cosine,
                "percentile": hit.percentile,
                "name": hit.item.name,
                "num_same": hit.num_same,
                "studies": list(hit.studies),
                "right": hit.right,
                "report": hit.item.report,
                "findings": [
                    {
                        "name": row.name,
                        "query": row.query,
                        "hit": row.hit,
                        "verdict": row.verdict if grid.known else None,
                    }
                    for row in rows
                ],
            }
        )
    return {
        "query": answer.query.name,
        "pool_size": answer.pool_size,
        "median_cosine": answer.median_cosine,
        "right_rank": answer.right_rank,
        "notes": list(answer.notes),
        "hits": hits,
    }


def _write_files(
    arguments: argparse.Namespace,
    model: TrainedModel,
    answer: Answer,
    rules: FindingsRules | None,
) -> None:
    from echoclip_r.search.page import to_page
    from echoclip_r.search.pictures import film_strip
    from echoclip_r.search.sheet import draw_answers
    from echoclip_r.storage import write_text

    if arguments.picture is not None:
        clip = answer.query if answer.query.frames is not None else answer.hits[0].item
        if clip.frames is None:
            raise EchoclipError(
                "there are no frames to draw: reports have none, and of clips only where the "
                "shards from which they were embedded are still in their place; name that folder "
                "with --shards"
            )
        film_strip(clip.frames, num=min(8, len(clip.frames))).save(arguments.picture)
    looked_for = "clips" if answer.of_clips else "reports"
    title = f"The {looked_for} that fit best"
    about = f"Model {model.name}, {answer.pool_size:,} {looked_for} looked through"
    if arguments.sheet is not None:
        draw_answers([answer], title=title, foot=about, rules=rules).save(arguments.sheet)
        tell(f"wrote {arguments.sheet}; it holds parts of reports: keep it as safe as the reports")
    if arguments.html is not None:
        if arguments.video is not None:
            # More than are embedded, so that the clip moves on the page as a heart does.
            num = max(_NUM_SHOWN, arguments.frames)
            frames = _frames(arguments, model, num=num)
            answer = replace(answer, query=replace(answer.query, frames=frames))
        page = to_page([answer], title=title, about=about, rules=rules)
        write_text(arguments.html, page)
        tell(f"wrote {arguments.html}; it holds reports: keep it as safe as the reports")
