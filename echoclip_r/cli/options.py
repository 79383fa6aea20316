"""Options that several sub-commands have, each declared once: name, default and help."""

from __future__ import annotations

import argparse
import codecs
import math
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echoclip_r.errors import OptionError
from echoclip_r.storage import json_text
from echotok.cli.console import tell
from echotok.cli.options import whole_number

if TYPE_CHECKING:
    from echoclip_r.data.cells import TableFormat
    from echoclip_r.jobs.parts import Part
    from echoclip_r.jobs.status import Status

__all__ = [
    "add_batch_size",
    "add_checkpoint",
    "add_cluster",
    "add_device",
    "add_frames",
    "add_keep_unsure",
    "add_labels",
    "add_manifest",
    "add_out_folder",
    "add_overwrite",
    "add_parts",
    "add_sectors",
    "add_seed",
    "add_size",
    "add_split",
    "add_status",
    "add_table_form",
    "add_workers",
    "anywhere",
    "at_least_zero",
    "device_of",
    "executor_of",
    "go_on",
    "here",
    "nothing_kept",
    "part_of",
    "picture",
    "picture_or_page",
    "print_status",
    "table_form",
]


def at_least_zero(text: str) -> float:
    """A type for argparse: a finite number that is not negative."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number


def anywhere(text: str) -> Path:
    """A type for argparse: a file or folder here or in a store, see `echoclip_r.places`."""
    from echoclip_r.places import place

    try:
        return place(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def here(text: str) -> Path:
    """A type for argparse: a file or folder of this machine; a name of a store is refused."""
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is in a store, and this is read or written on this machine alone; copy it, "
            "or name a folder of yours"
        )
    return Path(text)


def picture(text: str) -> Path:
    """A type for argparse: a file name with the ending of a picture that can be written."""
    path = here(text)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png or .jpg")
    return path


def picture_or_page(text: str) -> Path:
    """A type for argparse: a file name with the ending of a picture or of a page."""
    path = here(text)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg", ".html"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .html, .png or .jpg")
    return path


def _delimiter(text: str) -> str:
    named = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
    delimiter = named.get(text, text)
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise argparse.ArgumentTypeError(
            f"{text!r} is not one character; write e.g. ';' or tab, comma, semicolon, pipe"
        )
    return delimiter


def _encoding(text: str) -> str:
    try:
        name = codecs.lookup(text).name
        "".encode(name)  # some codecs are of bytes alone
    except LookupError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no encoding that Python knows; write e.g. utf-8, cp1252 or utf-16"
        ) from None
    return "utf-8-sig" if name == "utf-8" else name


def _columns(text: str) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in text.split(","):
        ours, found, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and found and theirs):
            raise argparse.ArgumentTypeError(
                f"{pair!r} is not OURS=THEIRS; write e.g. video=path,report=text"
            )
        if ours in columns or theirs in columns.values():
            raise argparse.ArgumentTypeError(f"{pair!r} names a column a second time")
        columns[ours] = theirs
    return columns


def go_on(arguments: argparse.Namespace) -> str:
    """What to type after Ctrl-C where finished parts are kept."""
    return f"finished parts in {arguments.out} are kept; give the same command again to continue"


def nothing_kept(arguments: argparse.Namespace) -> str:
    """What to type after Ctrl-C where nothing is kept."""
    return "nothing of this run is kept; give the same command again to start over"


def add_manifest(parser: ArgumentParser) -> None:
    """Add the manifest, as an argument without a name, and how it is written."""
    parser.add_argument(
        "manifest",
        type=anywhere,
        help="CSV, TSV (also .gz) or Parquet file with one row for each clip",
    )
    add_table_form(parser, "the manifest")


def add_table_form(parser: ArgumentParser, what: str) -> None:
    """Add `--columns`, `--delimiter` and `--encoding`.

    Args:
        parser: parser of the sub-command.
        what: the table that they are about.
    """
    parser.add_argument(
        "--columns",
        type=_columns,
        metavar="OURS=THEIRS,...",
        help=f"what columns of {what} are called there, e.g. video=path,report=text",
    )
    parser.add_argument(
        "--delimiter",
        type=_delimiter,
        metavar="CHAR",
        help=f"what stands between cells of {what}, also tab (default: told from its header)",
    )
    parser.add_argument(
        "--encoding",
        type=_encoding,
        metavar="NAME",
        help=f"encoding of {what}, e.g. cp1252 (default: UTF-8, or what its first bytes say)",
    )


def table_form(arguments: argparse.Namespace) -> TableFormat:
    """What `--columns`, `--delimiter` and `--encoding` say."""
    from echoclip_r.data.cells import TableFormat

    return TableFormat(
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
        columns=arguments.columns or {},
    )


def add_sectors(parser: ArgumentParser) -> None:
    """Add `--sector` and `--masked`."""
    parser.add_argument(
        "--sector",
        type=anywhere,
        metavar="CSV",
        help="a file of sectors: outlines that were drawn, and clips to keep or to refuse, as a "
        "page of `echoclip-r preview` writes it",
    )
    parser.add_argument(
        "--masked",
        action="store_true",
        help="the clips were masked already (black around the picture); each is checked for that "
        "instead of being guessed",
    )


def add_out_folder(
    parser: ArgumentParser, what: str, *, kind: Callable[[str], Path] = anywhere
) -> None:
    """Add `--out`.

    Args:
        parser: parser of the sub-command.
        what: help text, which says what the folder holds.
        kind: `here` where it cannot be in a store.
    """
    parser.add_argument("--out", type=kind, required=True, metavar="DIR", help=what)


def add_checkpoint(parser: ArgumentParser, *, several: bool = False) -> None:
    """Add the model or models, as an argument without a name, and `--device`.

    Of several there may be none, which the command must check.
    """
    what = "folder of a run, whose best checkpoint is taken, or folder of one checkpoint"
    if several:
        parser.add_argument(
            "checkpoints", type=anywhere, nargs="*", metavar="CHECKPOINT", help=what
        )
    else:
        parser.add_argument("checkpoint", type=anywhere, metavar="CHECKPOINT", help=what)
    add_device(parser)


def add_device(parser: ArgumentParser) -> None:
    """Add `--device`, the same for all commands."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        help="device on which the model computes: cpu, cuda, cuda:1, ... (default: the best there "
        "is, a GPU of CUDA where there is one)",
    )


def device_of(arguments: argparse.Namespace) -> str:
    """The device that `--device` means, said on stderr before anything is computed."""
    from echoclip_r.model.precision import device_name, pick_device

    device = pick_device(arguments.device)
    tell(f"computing on {device_name(device)}")
    return str(device)


def add_split(parser: ArgumentParser, choices: Sequence[str]) -> None:
    """Add `--split`, which is `test` unless another one is asked for."""
    parser.add_argument(
        "--split", default="test", choices=choices, help="split of the shards (default: test)"
    )


def add_seed(parser: ArgumentParser, what: str) -> None:
    """Add `--seed`.

    Args:
        parser: parser of the sub-command.
        what: things that are drawn with the seed.
    """
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, metavar="N", help=f"seed of {what} (default: 0)"
    )


def add_size(parser: ArgumentParser, default: int) -> None:
    """Add `--size`."""
    parser.add_argument(
        "--size",
        type=whole_number(1),
        default=default,
        metavar="PX",
        help=f"side of the square frames, in pixels (default: {default})",
    )


def add_frames(parser: ArgumentParser, default: int) -> None:
    """Add `--frames`."""
    parser.add_argument(
        "--frames",
        type=whole_number(1),
        default=default,
        metavar="N",
        help=f"number of frames of each clip, spread over its length (default: {default})",
    )


def add_workers(parser: ArgumentParser, *, least: int = 0) -> None:
    """Add `--workers`.

    Args:
        parser: parser of the sub-command.
        least: 0 where a command can also do all the work in its own process.
    """
    parser.add_argument(
        "--workers",
        type=whole_number(least),
        default=1,
        metavar="N",
        help="number of processes that do the work"
        f"{'' if least else ', or 0 for only this process'} (default: 1)",
    )


def add_parts(parser: ArgumentParser, what: str) -> None:
    """Add `--part` and `--finish`.

    Args:
        parser: parser of the sub-command.
        what: what `--finish` makes.
    """
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--part",
        nargs="?",
        const="",
        metavar="I/N",
        help="do the work of one part alone, e.g. 17/400, on any machine that sees DIR; /400 takes "
        "the number, and no value also the count, from the batch system (arrays of Slurm, LSF, "
        "PBS, Grid Engine, AWS Batch; indexed jobs of Kubernetes). See docs/scale.md",
    )
    group.add_argument(
        "--finish",
        nargs="?",
        const=0,
        type=whole_number(1),
        metavar="N",
        help=f"after the parts: {what}, or name what is missing, and in which of N parts it is",
    )


def add_status(parser: ArgumentParser) -> None:
    """Add `--status`."""
    parser.add_argument(
        "--status",
        nargs="?",
        const=1,
        type=whole_number(1),
        metavar="N",
        help="only say how far the run in DIR is that others make: shards, clips a second, time "
        "left, and which of N parts are not finished",
    )


def print_status(arguments: argparse.Namespace, status: Status, more: Mapping[str, Any]) -> None:
    """Print how far a run is, for people or as JSON.

    Args:
        arguments: of the command.
        status: how far the run is.
        more: further figures for JSON.
    """
    print(json_text({**status.to_dict(), **more}) if arguments.json else "\n".join(status.lines()))


def part_of(arguments: argparse.Namespace) -> Part | None:
    """What `--part` says; for `--finish N` any part of so many; None for neither."""
    from echoclip_r.jobs.parts import Part, part_from

    if arguments.part is not None:
        return part_from(arguments.part)
    return Part(number=1, count=arguments.finish) if arguments.finish else None


def add_cluster(parser: ArgumentParser) -> None:
    """Add `--cluster`."""
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="let the workers of a Dask cluster do the work, which see the same files under the "
        "same names; address of its scheduler, e.g. tcp://10.0.0.1:8786 (needs the extra cluster). "
        "See docs/scale.md",
    )


# One of another version would give other shards, which nobody would notice.
_DECIDING = ("echotok", "av", "numpy", "pillow", "pydicom", "scipy")


@contextmanager
def executor_of(
    arguments: argparse.Namespace, *, packages: Sequence[str] = ()
) -> Iterator[Executor | None]:
    """The cluster that `--cluster` means, or None.

    Args:
        arguments: of the command.
        packages: those whose versions decide the result, beside those that decide a shard's bytes.
    """
    if arguments.cluster is None:
        yield None
        return
    if getattr(arguments, "workers", 1) != 1:
        raise OptionError("--workers is for this machine; the workers of --cluster have begun")
    from echotok.cluster import connected

    with connected(arguments.cluster, packages=(*_DECIDING, *packages)) as executor:
        yield executor


def add_batch_size(parser: ArgumentParser) -> None:
    """Add `--batch-size`."""
    parser.add_argument(
        "--batch-size",
        type=whole_number(1),
        default=256,
        metavar="N",
        help="number of frames that are embedded at a time (default: 256)",
    )


def add_labels(parser: ArgumentParser) -> None:
    """Add `--labels`."""
    parser.add_argument(
        "--labels",
        metavar="A,B",
        help="the manifest's columns that are labels (default: all that hold only numbers)",
    )


def add_keep_unsure(parser: ArgumentParser) -> None:
    """Add `--keep-unsure`."""
    parser.add_argument(
        "--keep-unsure",
        action="store_true",
        help="also use clips whose ultrasound sector was not found with certainty; look at "
        "`echoclip-r preview` first",
    )


def add_overwrite(parser: ArgumentParser, what: str) -> None:
    """Add `--overwrite`.

    Args:
        parser: parser of the sub-command.
        what: things that are replaced.
    """
    parser.add_argument("--overwrite", action="store_true", help=f"replace {what} in DIR")
