"""The commands that make and look at data: manifest, prepare, summary, preview and phantom."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from echoclip_r.cli.options import (
    add_cluster,
    add_frames,
    add_keep_unsure,
    add_labels,
    add_manifest,
    add_out_folder,
    add_overwrite,
    add_parts,
    add_sectors,
    add_seed,
    add_size,
    add_status,
    add_table_form,
    add_workers,
    anywhere,
    at_least_zero,
    executor_of,
    go_on,
    here,
    nothing_kept,
    part_of,
    picture_or_page,
    print_status,
    table_form,
)
from echoclip_r.data.layouts import LAYOUTS, WITH_REPORTS, write_manifest
from echoclip_r.data.reasons import kinds_of
from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.places import is_remote
from echoclip_r.storage import json_text
from echotok.cli.options import add_json, whole_number

if TYPE_CHECKING:
    from echoclip_r.data.preparation import PrepareResult

__all__ = ["add_commands"]

_MAX_REASONS = 12
_MAX_NAMED_ROWS = 10
# Options of `prepare` that say nothing of embeddings.
_OF_CLIPS = (
    "size",
    "frames",
    "format",
    "workers",
    "clips_per_shard",
    "keep_unsure",
    "sector",
    "masked",
    "min_free_gb",
    "part",
    "finish",
    "cluster",
    "status",
)


def add_commands(commands: Any) -> None:
    """Add this module's commands to those of `echoclip-r` (argparse's sub-parsers action)."""
    _add_manifest(commands)
    _add_prepare(commands)
    _add_summary(commands)
    _add_preview(commands)
    _add_phantom(commands)


def _add_manifest(commands: Any) -> None:
    parser = commands.add_parser(
        "manifest",
        help="write the manifest of an archive from its folder",
        description="Write the manifest of an archive. `dicom` takes a folder of anything: ids, "
        "series, views and dates are from the headers of its DICOM files, and reports from a "
        "table, joined by accession number or Study Instance UID. The others are public archives "
        "as they were downloaded (docs/archives.md says how); where one has no reports, sentences "
        "that state the measurements stand in place of them: such an archive is for testing "
        "measurements, not retrieval.",
    )
    parser.add_argument(
        "layout",
        choices=LAYOUTS,
        metavar="LAYOUT",
        help=f"how the archive is laid out: {', '.join(LAYOUTS)}",
    )
    parser.add_argument("root", type=here, metavar="ROOT", help="the archive's folder")
    parser.add_argument(
        "--out", type=here, required=True, metavar="CSV", help="the manifest to write"
    )
    parser.add_argument(
        "--reports",
        type=here,
        metavar="TABLE",
        help="a CSV, TSV (also .gz) or Parquet file. For dicom: with the columns accession or "
        "study_uid, and report. For mimic-iv-echo: notes, with note_id or study_id, and text",
    )
    add_table_form(parser, "the table of reports")
    parser.set_defaults(run=_manifest, stopped=nothing_kept)


def _manifest(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.archives import Findings

    findings = Findings()
    options: dict[str, Any] = {"findings": findings}
    if arguments.layout in WITH_REPORTS:
        options |= {"reports": arguments.reports, "form": table_form(arguments)}
    elif arguments.reports is not None:
        raise OptionError(
            f"--reports is for {' and '.join(WITH_REPORTS)}; {arguments.layout} has texts of its "
            "own"
        )
    read = partial(LAYOUTS[arguments.layout], **options)
    num_rows = write_manifest(read, arguments.root, arguments.out)
    print(f"{num_rows:,} clips: {arguments.out}")
    for remark in findings.remarks:
        print(remark)
    if arguments.layout == "dicom" and arguments.reports is None:
        print(
            "The reports are blank: fill the column report, or give a table with --reports; "
            "`prepare` leaves clips without a report out"
        )


def _add_prepare(commands: Any) -> None:
    parser = commands.add_parser(
        "prepare",
        help="turn a manifest into shards for training",
        description="Mask every clip to its ultrasound sector, crop and resize some frames of it, "
        "and write them with the report as WebDataset shards. When a stopped command is run again, "
        "it continues where it was. OUT/rejects.csv names all rows that cannot be used.",
    )
    add_manifest(parser)
    add_out_folder(parser, "folder to write the shards to")
    add_size(parser, 224)
    add_frames(parser, 10)
    parser.add_argument(
        "--frames-from",
        type=here,
        metavar="PARQUET",
        help="put embeddings of another image encoder (columns id, study, vector) in place of "
        "frames, for models that were trained on such; videos need not be there",
    )
    parser.add_argument(
        "--format",
        default="jpeg",
        choices=("jpeg", "png"),
        help="format in which frames are kept; png loses nothing and is larger (default: jpeg)",
    )
    add_workers(parser)
    add_seed(parser, "splits, order and the choice of frames")
    parser.add_argument(
        "--clips-per-shard",
        type=whole_number(1),
        default=256,
        metavar="N",
        help="number of clips in one shard (default: 256)",
    )
    add_labels(parser)
    add_keep_unsure(parser)
    add_sectors(parser)
    parser.add_argument(
        "--hash-ids",
        type=here,
        metavar="SALT_FILE",
        help="put pseudonyms in place of study and patient ids and shift the dates of each "
        "patient; the file holds a secret (`openssl rand -hex 32 > SALT_FILE`), to be kept with "
        "the archive. The reports' text stays as it is",
    )
    parser.add_argument(
        "--min-free-gb",
        type=at_least_zero,
        default=1.0,
        metavar="GB",
        help="stop when the disk has less free space than this (default: 1.0)",
    )
    add_cluster(parser)
    add_status(parser)
    add_parts(parser, "settle doubtful clips and write the index")
    add_overwrite(parser, "shards that were made with other options")
    add_json(parser, "print the result as JSON")
    of_clips = {name: parser.get_default(name) for name in _OF_CLIPS}
    parser.set_defaults(run=_prepare, stopped=go_on, of_clips=of_clips)


def _prepare(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.preparation import prepare

    if arguments.frames_from is not None:
        _prepare_vectors(arguments)
        return
    if arguments.status is not None:
        _prepare_status(arguments)
        return
    part = part_of(arguments)
    if arguments.part is not None and arguments.overwrite:
        raise OptionError(
            "--overwrite would delete what other parts have made; empty DIR, or run --overwrite "
            "without --part"
        )
    if arguments.part is not None and arguments.cluster is not None:
        raise OptionError("--part is done by this machine, and --cluster does all of the work")
    with executor_of(arguments) as executor:
        result = prepare(
            arguments.manifest,
            arguments.out,
            size_px=arguments.size,
            frames_per_clip=arguments.frames,
            image_format=arguments.format,
            workers=arguments.workers,
            seed=arguments.seed,
            clips_per_shard=arguments.clips_per_shard,
            labels=_names(arguments.labels),
            keep_unsure=arguments.keep_unsure,
            sectors=arguments.sector,
            masked=arguments.masked,
            form=table_form(arguments),
            hash_salt=_salt(arguments.hash_ids),
            min_free_bytes=int(arguments.min_free_gb * 1e9),
            overwrite=arguments.overwrite,
            part=part,
            finish=arguments.finish is not None,
            executor=executor,
        )
    figures = {
        "out_dir": str(result.out_dir),
        "num_clips": result.num_clips,
        "num_frames": result.num_frames,
        "num_studies": result.num_studies,
        "num_shards": len(result.shards),
        "num_rejects": len(result.rejects),
        "num_remarks": len(result.remarks),
        "num_unsure": result.num_unsure,
        "num_given": result.num_given,
        "num_settled": result.num_settled,
        "unused_rows_of_sectors": list(result.unused_rules),
        "reasons": [
            {"column": kind.column, "reason": kind.reason, "num_rows": len(kind.rows)}
            for kind in kinds_of(result.rejects)
        ],
        "num_resumed": result.num_resumed,
    }
    if part is not None and arguments.part is not None:
        figures |= {"part": part.number, "num_parts": part.count}
    if arguments.json:
        print(json_text(figures))
        return
    if part is not None and arguments.part is not None:
        print(
            f"{part}: {result.num_clips:,} clips in {len(result.shards):,} shards, "
            f"{len(result.rejects):,} rows left out, {result.num_resumed:,} clips made before: "
            f"{result.out_dir}; after all parts, run the command with --finish {part.count}"
        )
        return
    print(
        f"{result.num_clips:,} clips ({result.num_frames:,} frames) of {result.num_studies:,} "
        f"studies in {len(result.shards):,} shards: {result.out_dir}"
    )
    if result.num_resumed:
        print(f"{result.num_resumed:,} of the clips were finished by an earlier run")
    if result.num_given:
        print(f"{result.num_given:,} clips were used as {arguments.sector} says")
    if result.num_settled:
        print(
            f"{result.num_settled:,} doubtful clips were settled by clips of their study or "
            "machine that look the same around the sector"
        )
    if result.num_unsure:
        print(f"{result.num_unsure:,} clips whose sector is not certain were kept")
    if result.remarks:
        num_files = len({remark.row for remark in result.remarks})
        path = result.out_dir / "remarks.csv"
        print(f"{num_files:,} clips were used with a remark; {path} has them")
    if result.unused_rules:
        named = ", ".join(map(str, result.unused_rules[:_MAX_NAMED_ROWS]))
        more = ", ..." if len(result.unused_rules) > _MAX_NAMED_ROWS else ""
        print(
            f"{len(result.unused_rules):,} rows of {arguments.sector} held for no clip, or stand "
            f"behind a row that did: {named}{more}"
        )
    if result.rejects:
        _print_reasons(result)
    print(
        "Lettering inside of a sector stays in its frames: a mask cannot remove it. Look at the "
        "clips with `echoclip-r preview`, and leave clips out by a manifest column `exclude` (yes)"
    )


def _prepare_status(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.preparation import prepare_status

    status, rejects = prepare_status(
        arguments.manifest,
        arguments.out,
        seed=arguments.seed,
        clips_per_shard=arguments.clips_per_shard,
        labels=_names(arguments.labels),
        form=table_form(arguments),
        num_parts=arguments.status,
    )
    kinds = kinds_of(rejects)
    reasons = [
        {"column": kind.column, "reason": kind.reason, "num_rows": len(kind.rows)} for kind in kinds
    ]
    print_status(arguments, status, {"reasons": reasons})
    if not arguments.json:
        for kind in kinds[:_MAX_REASONS]:
            print(f"{len(kind.rows):>7,} left out  {kind.reason} (e.g. row {kind.rows[0]})")


def _prepare_vectors(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.vectors import prepare_vectors

    for name, default in arguments.of_clips.items():
        if getattr(arguments, name) != default:
            raise OptionError(
                f"--{name.replace('_', '-')} is for clips; --frames-from takes embeddings as they "
                "are, so leave it out"
            )
    if is_remote(arguments.out):
        raise OptionError(f"{arguments.out}: --frames-from writes on this machine alone")
    made = prepare_vectors(
        arguments.frames_from,
        arguments.manifest,
        arguments.out,
        seed=arguments.seed,
        labels=_names(arguments.labels),
        form=table_form(arguments),
        hash_salt=_salt(arguments.hash_ids),
        overwrite=arguments.overwrite,
    )
    if arguments.json:
        print(json_text({**asdict(made), "folder": str(made.folder)}))
        return
    print(
        f"{made.num_clips:,} clips of {made.num_studies:,} studies with vectors of "
        f"{made.dimensions:,} columns: {made.folder}"
    )
    for sentence in made.remarks:
        print(sentence)


def _print_reasons(result: PrepareResult) -> None:
    path = result.out_dir / "rejects.csv"
    print(f"{len(result.rejects):,} rows were left out; {path} says why each was:")
    kinds = kinds_of(result.rejects)
    for kind in kinds[:_MAX_REASONS]:
        where = f"{kind.column}: " if kind.column else ""
        print(f"{len(kind.rows):>7,}  {where}{kind.reason} (e.g. row {kind.rows[0]})")
    if len(kinds) > _MAX_REASONS:
        rest = sum(len(kind.rows) for kind in kinds[_MAX_REASONS:])
        print(f"{rest:>7,}  for {len(kinds) - _MAX_REASONS} other reasons")
    if any(kind.is_doubt for kind in kinds):
        print(
            "Where the sector is not sure: look at the clips with `echoclip-r preview ... --out "
            "page.html`, decide there, and give the file that it saves with --sector"
        )


def _add_summary(commands: Any) -> None:
    parser = commands.add_parser(
        "summary",
        help="check a manifest and print one page about it",
        description="Check every row of a manifest and print one page: splits, report lengths, "
        "duplicates, dates, labels, rows left out. It quotes no report and no id.",
    )
    add_manifest(parser)
    parser.add_argument(
        "--tokenizer",
        default="echo",
        metavar="NAME",
        help="tokenizer that counts tokens: echo, echo-clip, open_clip (what the recipe echoclip "
        "reads), an artifact's path, a run's folder, or none (default: echo)",
    )
    add_labels(parser)
    add_seed(parser, "splits that the manifest does not give")
    parser.add_argument(
        "--rejects", action="store_true", help="list every row that is left out, on stderr"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown")
    form.add_argument("--html", action="store_true", help="print HTML")
    form.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=_summary, stopped=nothing_kept)


def _tokenizer_of(name: str) -> Any:
    """What counts tokens in a summary, or None."""
    import echotok

    if name == "none":
        return None
    try:
        if name == "open_clip" or Path(name).is_dir():
            return _counter(name)
        return echotok.load(name)
    except echotok.EchotokError as error:
        raise EchoclipError(f"{error} (`--tokenizer none` counts no tokens)") from error


def _counter(name: str) -> Any:
    """What counts the tokens of open_clip's tokenizer, or of that of a run."""
    from echoclip_r.model.checkpoint import load_codec
    from echoclip_r.model.description import find_checkpoint, read_description
    from echoclip_r.text.codec import TextCodec

    if name == "open_clip":
        codec = TextCodec(None)
    else:
        codec = load_codec(read_description(find_checkpoint(Path(name))))
    return codec.tokenizer or SimpleNamespace(
        name=codec.name,
        fingerprint=codec.fingerprint,
        encode=lambda text: SimpleNamespace(ids=range(codec.length(text))),
    )


def _summary(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.manifest import read_manifest
    from echoclip_r.data.summary import summarize

    tokenizer = _tokenizer_of(arguments.tokenizer)
    manifest = read_manifest(
        arguments.manifest,
        seed=arguments.seed,
        labels=_names(arguments.labels),
        form=table_form(arguments),
    )
    summary = summarize(manifest, tokenizer=tokenizer)
    if arguments.rejects:
        for reject in manifest.rejects:
            where = f"row {reject.row}" + (f", {reject.column}" if reject.column else "")
            print(f"{where}: {reject.reason}", file=sys.stderr)
    if arguments.json:
        print(json_text(summary.figures, indent=1))
    elif arguments.markdown:
        print(summary.as_markdown(), end="")
    elif arguments.html:
        print(summary.as_html(), end="")
    else:
        print(summary.as_text(), end="")


def _add_preview(commands: Any) -> None:
    parser = commands.add_parser(
        "preview",
        help="look at clips before and after masking, and decide on them",
        description="Show clips before and after masking, doubtful ones first: on a page with "
        "keys (.html), which saves a file of sectors for `echoclip-r prepare --sector`, or on a "
        "sheet (.png), with the sector's edge in green, or in orange where it is not certain.",
    )
    parser.add_argument(
        "paths", type=anywhere, nargs="+", metavar="PATH", help="a manifest, or clips themselves"
    )
    parser.add_argument(
        "--out",
        type=picture_or_page,
        required=True,
        metavar="FILE",
        help="the page (.html) or picture (.png, .jpg) to write",
    )
    parser.add_argument(
        "--num",
        type=whole_number(1),
        default=24,
        metavar="N",
        help="number of clips of a manifest to look at (default: 24)",
    )
    add_seed(parser, "the choice of clips from a manifest")
    add_table_form(parser, "the manifest")
    add_sectors(parser)
    parser.add_argument(
        "--machines",
        action="store_true",
        help="show one clip of each machine and picture size, to draw an outline for all of them",
    )
    parser.add_argument(
        "--show-outside",
        action="store_true",
        help="show what lies outside of the sectors as it is, which drawing needs; burned-in names "
        "can then be read, so keep the file with the archive",
    )
    parser.set_defaults(run=_preview, stopped=nothing_kept)


def _preview(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.preview import draw_sheet, look_over, write_page
    from echoclip_r.storage import write_text

    preview = look_over(
        arguments.paths,
        num_clips=arguments.num,
        seed=arguments.seed,
        sectors=arguments.sector,
        masked=arguments.masked,
        by_machine=arguments.machines,
        form=table_form(arguments),
    )
    if arguments.out.suffix.lower() == ".html":
        page = write_page(
            preview, show_outside=arguments.show_outside, by_machine=arguments.machines
        )
        write_text(arguments.out, page)
    else:
        draw_sheet(preview, show_outside=arguments.show_outside).save(arguments.out)
    print(f"{len(preview.clips)} clips, {preview.num_refused} of them unsure: {arguments.out}")
    for clip in preview.clips:
        if not clip.is_used:
            doubt = "unsure: " if clip.seen.doubt else ""
            print(f"{clip.label}: {doubt}{clip.seen.refusal}")
        for note in clip.seen.notes:
            print(
                f"{clip.label}: used with a remark: {note}"
                if clip.is_used
                else f"{clip.label}: {note}"
            )
    for line in preview.unread:
        print(line)


def _add_phantom(commands: Any) -> None:
    parser = commands.add_parser(
        "phantom",
        help="make an archive of simulated patients",
        description="Write simulated clips (AVI, MP4, DICOM), reports made from the same findings, "
        "and their manifest. They are for demonstrations and tests, and are not clinical evidence.",
    )
    parser.add_argument(
        "--patients",
        type=whole_number(1),
        required=True,
        metavar="N",
        help="number of patients; each has one to four studies",
    )
    add_out_folder(parser, "a new folder to write the archive to", kind=here)
    add_seed(parser, "patients, pictures and reports")
    add_size(parser, 112)
    add_frames(parser, 10)
    parser.add_argument(
        "--clips",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="number of clips of each study, each at another angle (default: 1)",
    )
    parser.add_argument(
        "--overlays",
        default="dicom",
        choices=("dicom", "all", "none"),
        help="which files show a screen with an invented name and an ECG trace (default: dicom)",
    )
    add_workers(parser, least=1)
    add_cluster(parser)
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_phantom, stopped=go_on)


def _phantom(arguments: argparse.Namespace) -> None:
    from echoclip_r.phantom.archive import write_archive

    with executor_of(arguments) as executor:
        result = write_archive(
            arguments.out,
            arguments.patients,
            seed=arguments.seed,
            workers=arguments.workers,
            size_px=arguments.size,
            num_frames=arguments.frames,
            clips_per_study=arguments.clips,
            overlays=arguments.overlays,
            executor=executor,
        )
    if arguments.json:
        figures = asdict(result) | {"manifest": str(result.manifest)}
        print(json_text(figures))
        return
    print(
        f"{result.num_patients:,} simulated patients, {result.num_studies:,} studies, "
        f"{result.num_clips:,} clips: {result.manifest}"
    )
    if result.num_resumed:
        print(f"{result.num_resumed:,} of the patients were finished by an earlier run")


def _names(cell: str | None) -> list[str] | None:
    return None if cell is None else [name.strip() for name in cell.split(",") if name.strip()]


def _salt(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EchoclipError(
            f"{path}: the salt cannot be read ({type(error).__name__}); make one with "
            f"`openssl rand -hex 32 > {path}` and keep it with the archive"
        ) from error
