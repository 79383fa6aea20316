"""The commands that make and look at data: manifest, prepare, summary, preview and phantom."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from echoclip_r.cli.options import (
    add_frames,
    add_keep_unsure,
    add_labels,
    add_manifest,
    add_out_folder,
    add_overwrite,
    add_seed,
    add_size,
    add_workers,
    at_least_zero,
    go_on,
    nothing_kept,
    picture,
)
from echoclip_r.data.layouts import LAYOUTS, write_manifest
from echoclip_r.errors import EchoclipError
from echotok.cli.options import add_json, whole_number

__all__ = ["add_commands"]


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
        help="write the manifest of a public archive",
        description="Write the manifest of a public archive from its folder as it was "
        "downloaded. Where an archive has no reports (echonet-dynamic), one sentence that states "
        "the measurement stands in place of each: such an archive is for testing measurements, "
        "not retrieval.",
    )
    parser.add_argument(
        "layout", choices=LAYOUTS, metavar="LAYOUT", help=f"which archive: {', '.join(LAYOUTS)}"
    )
    parser.add_argument("root", type=Path, metavar="ROOT", help="the archive's folder")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="CSV", help="the manifest to write"
    )
    parser.set_defaults(run=_manifest, stopped=nothing_kept)


def _manifest(arguments: argparse.Namespace) -> None:
    num_rows = write_manifest(arguments.layout, arguments.root, arguments.out)
    print(f"{num_rows:,} clips: {arguments.out}")


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
    parser.add_argument(
        "--hash-ids",
        type=Path,
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
    add_overwrite(parser, "shards that were made with other options")
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_prepare, stopped=go_on)


def _prepare(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.preparation import prepare

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
        hash_salt=None if arguments.hash_ids is None else _salt(arguments.hash_ids),
        min_free_bytes=int(arguments.min_free_gb * 1e9),
        overwrite=arguments.overwrite,
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
        "num_resumed": result.num_resumed,
    }
    if arguments.json:
        print(json.dumps(figures))
        return
    print(
        f"{result.num_clips:,} clips ({result.num_frames:,} frames) of {result.num_studies:,} "
        f"studies in {len(result.shards):,} shards: {result.out_dir}"
    )
    if result.num_resumed:
        print(f"{result.num_resumed:,} of the clips were finished by an earlier run")
    if result.num_unsure:
        print(f"{result.num_unsure:,} clips whose sector is not certain were kept")
    if result.remarks:
        num_files = len({remark.row for remark in result.remarks})
        path = result.out_dir / "remarks.csv"
        print(f"{num_files:,} clips were used although their files have faults; {path} names them")
    if result.rejects:
        path = result.out_dir / "rejects.csv"
        print(f"{len(result.rejects):,} rows were left out; {path} says why")
    print(
        "Lettering inside of a sector stays in its frames: a mask cannot remove it. Look at the "
        "clips with `echoclip-r preview`, and leave clips out by a manifest column `exclude` (yes)"
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
        help="tokenizer that counts tokens: echo, echo-clip, the path of an artifact, or none "
        "(default: echo)",
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


def _summary(arguments: argparse.Namespace) -> None:
    import echotok
    from echoclip_r.data.manifest import read_manifest
    from echoclip_r.data.summary import summarize

    tokenizer = None
    if arguments.tokenizer != "none":
        try:
            tokenizer = echotok.load(arguments.tokenizer)
        except echotok.EchotokError as error:
            raise EchoclipError(f"{error} (`--tokenizer none` counts no tokens)") from error
    manifest = read_manifest(
        arguments.manifest, seed=arguments.seed, labels=_names(arguments.labels)
    )
    summary = summarize(manifest, tokenizer=tokenizer)
    if arguments.rejects:
        for reject in manifest.rejects:
            where = f"row {reject.row}" + (f", {reject.column}" if reject.column else "")
            print(f"{where}: {reject.reason}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(summary.figures, indent=1))
    elif arguments.markdown:
        print(summary.as_markdown(), end="")
    elif arguments.html:
        print(summary.as_html(), end="")
    else:
        print(summary.as_text(), end="")


def _add_preview(commands: Any) -> None:
    parser = commands.add_parser(
        "preview",
        help="draw clips before and after masking, to look at",
        description="Draw a sheet of clips before and after masking, unsure ones first, with the "
        "sector's edge in green, or in orange where it is not certain.",
    )
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="PATH", help="a manifest, or clips themselves"
    )
    parser.add_argument(
        "--out", type=picture, required=True, metavar="PNG", help="the picture to write"
    )
    parser.add_argument(
        "--num",
        type=whole_number(1),
        default=24,
        metavar="N",
        help="number of clips of a manifest to draw (default: 24)",
    )
    add_seed(parser, "the choice of clips from a manifest")
    parser.add_argument(
        "--show-outside",
        action="store_true",
        help="show burned-in text as it is (then keep the sheet with the archive)",
    )
    parser.set_defaults(run=_preview, stopped=nothing_kept)


def _preview(arguments: argparse.Namespace) -> None:
    from echoclip_r.data.preview import draw_preview

    sheet = draw_preview(
        arguments.paths,
        num_clips=arguments.num,
        seed=arguments.seed,
        show_outside=arguments.show_outside,
    )
    sheet.image.save(arguments.out)
    print(f"{sheet.num_clips} clips, {sheet.num_unsure} of them unsure: {arguments.out}")
    for line in sheet.notes:
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
    add_out_folder(parser, "a new folder to write the archive to")
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
    add_json(parser, "print the result as JSON")
    parser.set_defaults(run=_phantom, stopped=go_on)


def _phantom(arguments: argparse.Namespace) -> None:
    from echoclip_r.phantom.archive import write_archive

    result = write_archive(
        arguments.out,
        arguments.patients,
        seed=arguments.seed,
        workers=arguments.workers,
        size_px=arguments.size,
        num_frames=arguments.frames,
        clips_per_study=arguments.clips,
        overlays=arguments.overlays,
    )
    if arguments.json:
        figures = asdict(result) | {"manifest": str(result.manifest)}
        print(json.dumps(figures))
        return
    print(
        f"{result.num_patients:,} simulated patients, {result.num_studies:,} studies, "
        f"{result.num_clips:,} clips: {result.manifest}"
    )
    if result.num_resumed:
        print(f"{result.num_resumed:,} of the patients were finished by an earlier run")


def _names(cell: str | None) -> list[str] | None:
    return None if cell is None else [name.strip() for name in cell.split(",") if name.strip()]


def _salt(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EchoclipError(
            f"{path}: the salt cannot be read ({type(error).__name__}); make one with "
            f"`openssl rand -hex 32 > {path}` and keep it with the archive"
        ) from error
