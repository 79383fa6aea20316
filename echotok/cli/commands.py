"""What each sub-command of `echotok.cli.main` does, given its parsed arguments."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from echotok.cli.console import tell, write_styled
from echotok.errors import ArtifactError, EchotokError, IdError, InputError, TableError

if TYPE_CHECKING:
    from echotok.corpora import Report
    from echotok.engine.encoding import Encoding
    from echotok.tokenizer import Tokenizer
    from echotok.view.tree import View

__all__ = ["build", "decode", "encode", "export", "sample", "show", "stats", "validate"]

# The commands


def encode(arguments: Namespace) -> int:
    """`echotok encode`: print ids, or JSON, to stdout."""
    tokenizer = _load(arguments)
    for report, encoding in _encodings(arguments, tokenizer):
        if arguments.json:
            record = {
                "source": report.source,
                "ids": encoding.ids,
                "tokens": encoding.tokens,
                "offsets": encoding.offsets,
                "kinds": encoding.kinds,
                "num_dropped": encoding.num_dropped,
            }
            print(json.dumps(record))
        else:
            print(" ".join(map(str, encoding.ids)))
    return 0


def decode(arguments: Namespace) -> int:
    """`echotok decode`: print one line of normalized text to stdout for each line of ids."""
    from echotok.text_files import open_lines

    tokenizer = _load(arguments)
    for name in _inputs(arguments):
        if name == "-":
            _decode_lines(sys.stdin.buffer, "stdin", tokenizer)
        else:
            with open_lines(Path(name)) as stream:
                _decode_lines(stream, name, tokenizer)
    return 0


def show(arguments: Namespace) -> int:
    """`echotok show`: print marked text to stdout, or write a page to a file."""
    from echotok.view.page import to_html
    from echotok.view.terminal import legend, to_terminal

    tokenizer = _load(arguments)
    views = _views(arguments, tokenizer)
    if arguments.html is None:
        # One report at a time: the first is on the screen while the rest are read.
        write_styled([legend()])
        for view in views:
            write_styled([to_terminal(view)])
        return 0
    page = to_html(views, tokenizer)
    if arguments.html == "-":
        sys.stdout.write(page)
    else:
        Path(arguments.html).write_text(page, encoding="utf-8")
        tell(f"wrote {arguments.html}; it holds the reports' text: keep it as safe as the reports")
    return 0


def stats(arguments: Namespace) -> int:
    """`echotok stats`: print the figures of a corpus to stdout."""
    from echotok import artifact
    from echotok.cli.stats import run
    from echotok.peers import find_peer

    name = arguments.tokenizer
    # The name of one of ours is no folder that lies here by chance.
    peer = None if name in artifact.shipped() else find_peer(name)
    return run(
        _reports(arguments),
        peer or _load(arguments),
        as_json=arguments.json,
        min_reports=arguments.min_reports,
        top=arguments.top,
        workers=arguments.workers,
        merges_path=arguments.clip_merges,
    )


def build(arguments: Namespace) -> int:
    """`echotok build`: make an artifact from a table folder."""
    from echotok.building import build, reviewed_table
    from echotok.cli.console import progress
    from echotok.corpora import read_reports
    from echotok.table.review import read_review
    from echotok.table.writing import write_changed
    from echotok.tokenizer import load

    if arguments.write_table is not None and arguments.review is None:
        arguments.parser.error("--write-table writes the table that a review changed; add --review")
    if arguments.fallback == "clip" and arguments.corpus:
        arguments.parser.error("--corpus trains the domain fallback; CLIP's fallback needs none")
    if arguments.base is not None and (arguments.corpus or arguments.fallback == "clip"):
        arguments.parser.error("--base keeps that artifact's fallback; leave out the other option")
    if arguments.out is None and arguments.hf is None:
        arguments.parser.error("name what to write: --out ARTIFACT, or --hf FOLDER, or both")
    if arguments.review is None:  # a table whatever its name is
        _check_column(arguments, arguments.corpus)
    _check_paths(arguments.corpus)
    review = None
    if arguments.review is not None:
        review = read_review(
            arguments.review, encoding=arguments.encoding, delimiter=arguments.delimiter
        )
    outs = [] if arguments.out is None else [Path(arguments.out)]
    if arguments.hf is not None:
        from echotok.adapters.transformers import ARTIFACT, EchotokTokenizer

        if Path(arguments.hf).is_file():
            raise InputError(f"{arguments.hf} is a file; name a folder, which is made if need be")
        outs.append(Path(arguments.hf) / ARTIFACT)
    olds = [] if arguments.force else [(_old_artifact(arguments, out), out) for out in outs]
    with progress() as told:

        def corpus() -> Iterator[str]:
            for report in read_reports(
                arguments.corpus,
                column=arguments.column,
                delimiter=arguments.delimiter,
                encoding=arguments.encoding,
                warn=lambda text: tell(f"echotok: {text}"),
            ):
                told("reading the corpus", count=1)
                yield report.text

        base = None
        if arguments.base is not None:
            base = load(arguments.base, clip_merges=arguments.clip_merges)
        tokenizer = build(
            arguments.table_dir,
            fallback=arguments.fallback,
            corpus=corpus(),
            min_documents=arguments.min_documents,
            name=arguments.name,
            clip_merges=arguments.clip_merges,
            base=base,
            review=review,
            tell=lambda text: tell(f"echotok: {text}"),
        )
    for old, out in olds:
        if old is not None:
            _check_growth(tokenizer, old, out)
    if review is not None and arguments.write_table is not None:
        table = reviewed_table(arguments.table_dir, review, base=base)  # with its notes
        write_changed(table, arguments.table_dir, arguments.write_table)
        tell(f"wrote {arguments.write_table}: the reviewed table, from which it can grow")
    elif review is not None:
        tell(
            f"echotok: {arguments.table_dir} is as it was; with --write-table NEW_DIR the reviewed "
            "table is kept, too, from which it can grow"
        )
    if arguments.out is not None:
        tokenizer.save(arguments.out)
    if arguments.hf is not None:
        EchotokTokenizer.from_echotok(tokenizer).save_pretrained(arguments.hf)
    written = " and ".join(filter(None, (arguments.out, arguments.hf)))
    tell(
        f"wrote {written}: {tokenizer.name}, {len(tokenizer.table.live):,} phrases, "
        f"{tokenizer.vocab_size:,} ids, fingerprint {tokenizer.fingerprint[:12]}"
    )
    return 0


def export(arguments: Namespace) -> int:
    """`echotok export`: write a tokenizer in another library's format, and say what differs."""
    from echotok.adapters.huggingface import (
        compare,
        inexact_parts,
        synthetic_reports,
        to_tokenizer_json,
    )
    from echotok.corpora import read_reports
    from echotok.text_files import write_whole

    _check_column(arguments, arguments.measure)
    _check_paths(arguments.measure)
    tokenizer = _load(arguments)
    exported = to_tokenizer_json(tokenizer)
    if arguments.measure:
        measured = "the given reports"
        texts = [
            report.text
            for report in read_reports(
                arguments.measure,
                column=arguments.column,
                delimiter=arguments.delimiter,
                encoding=arguments.encoding,
                warn=lambda text: tell(f"echotok: {text}"),
            )
        ]
        if not texts:
            raise InputError("the inputs hold no report: there is nothing to measure")
    else:
        measured = "texts made from the table's own phrases (seed 0)"
        texts = synthetic_reports(tokenizer, count=200, seed=0)
    found = compare(tokenizer, exported, texts)
    write_whole(arguments.out, json.dumps(exported, ensure_ascii=False))
    tell(f"wrote {arguments.out}: {tokenizer.name}, {tokenizer.vocab_size:,} ids")
    for part in inexact_parts(tokenizer):
        tell(f"echotok: not exact: {part}")
    print(
        f"{found.num_other_ids:,} of {found.num_texts:,} texts get other ids "
        f"({found.num_other_ids / max(found.num_texts, 1):.1%}); {found.num_exported_ids:,} ids "
        f"in place of {found.num_ids:,}; measured on {measured}"
    )
    return 0


def _old_artifact(arguments: Namespace, out: Path) -> Tokenizer | None:
    """The tokenizer that lies where the new one is to be written; None where nothing lies there."""
    from echotok.tokenizer import Tokenizer

    if not out.exists():
        return None
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file, such as {out / 'tokenizer.json'}")
    try:
        return Tokenizer.from_file(out, clip_merges=arguments.clip_merges)
    except ArtifactError as error:
        raise ArtifactError(
            f"{out} is there already, and whether the new tokenizer is a growth of it cannot be "
            f"told ({error}). Name another file with --out, or give --force to replace this one"
        ) from error


def _check_growth(tokenizer: Tokenizer, old: Tokenizer, out: Path) -> None:
    """Refuse to replace a tokenizer by one with other ids, and say how much a growth added."""
    try:
        added = tokenizer.added_since(old)
    except ArtifactError as error:
        raise ArtifactError(
            f"{out} holds a tokenizer with other ids, and is left as it is: "
            f"{error}. Write the new one to another file; or grow the old one: put its rows back "
            f"and give --base {out} (a review then retires what it drops); or, when no model was "
            "trained with it, replace it with --force"
        ) from error
    if tokenizer.fingerprint != old.fingerprint:
        tell(f"echotok: {out} grows by {len(added):,} ids; all of its old ids keep their meaning")


def validate(arguments: Namespace) -> int:
    """`echotok validate`: print the broken rules of a table, or one line of figures, to stdout."""
    from echotok.table.checks import validate_table

    try:
        table = validate_table(arguments.table_dir)
    except TableError as error:
        for problem in error.problems:
            print(problem)
        tell(f"echotok: {len(error.problems)} problem(s) in {arguments.table_dir}")
        return 1
    values = [value for value in table.values if not value.retired]
    retired = len(table.phrases) - len(table.live)
    print(
        f"{arguments.table_dir}: {len(table.live):,} live phrases, {retired:,} retired, "
        f"{len(values):,} values, version {table.version}"
    )
    return 0


def sample(arguments: Namespace) -> int:
    """`echotok sample`: write the sample of reports to a file, or to stdout."""
    from echotok.sample import sample_csv

    if arguments.out in (None, "-"):
        sys.stdout.write(sample_csv())
        return 0
    out = Path(arguments.out)
    if out.exists() and not arguments.force:
        raise InputError(f"{out} is there already; name another file, or replace it with --force")
    out.write_text(sample_csv(), encoding="utf-8", newline="\n")
    tell(f"wrote {out}: reports of simulated patients; next: echotok stats {out}")
    return 0


# Inputs


def _load(arguments: Namespace) -> Tokenizer:
    from echotok.tokenizer import load

    return load(arguments.tokenizer, clip_merges=arguments.clip_merges)


def _inputs(arguments: Namespace) -> list[str]:
    inputs: list[str] = arguments.inputs or ["-"]
    _check_paths(inputs)
    if "-" in inputs and sys.stdin.isatty():
        end = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        tell(f"echotok: reading from the terminal; end with {end}")
    return inputs


def _check_paths(paths: list[str]) -> None:
    """Refuse what is not a path before anything is read; a report given by mistake is not shown."""
    for number, path in enumerate(paths, 1):
        try:
            found = path == "-" or Path(path).exists()
        except (OSError, ValueError):
            found = False
        if not found:
            told = f"input {number}" if len(path) > 255 or any(map(str.isspace, path)) else path
            raise InputError(
                f"no such file or folder: {told}; to encode a text itself, pipe it to stdin"
            )


def _check_column(arguments: Namespace, paths: list[str]) -> None:
    from echotok.corpora import has_columns
    from echotok.text_files import open_lines

    for name, value in (("--column", arguments.column), ("--delimiter", arguments.delimiter)):
        if value is not None and not any(map(has_columns, paths)):
            for path in map(Path, paths):
                if path.is_file():
                    with open_lines(path):
                        pass  # a workbook or an archive is told so
            arguments.parser.error(
                f"{name} is for tables (.csv, .tsv, .jsonl, .ndjson, .parquet, also with .gz), and "
                "no input is such a file (stdin is plain text)"
            )


def _reports(arguments: Namespace, *, keep_blank: bool = False) -> Iterator[Report]:
    from echotok.corpora import read_reports

    _check_column(arguments, arguments.inputs)
    return read_reports(
        _inputs(arguments),
        column=arguments.column,
        lines=arguments.lines,
        keep_blank=keep_blank,
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
        warn=lambda text: tell(f"echotok: {text}"),
    )


def _encodings(arguments: Namespace, tokenizer: Tokenizer) -> Iterator[tuple[Report, Encoding]]:
    """Encode the inputs, and say at the end what was cut (I8)."""
    num_reports = num_cut = num_dropped = num_inside = 0
    for report in _reports(arguments, keep_blank=True):
        try:
            encoding = tokenizer.encode(
                report.text, refuse_control=getattr(arguments, "refuse_control", False)
            )
        except InputError as error:
            raise InputError(f"{report.source}: {error}") from error
        if arguments.context_length is not None:
            encoding = encoding.truncate(arguments.context_length)
        num_reports += 1
        num_cut += encoding.num_dropped > 0
        num_dropped += encoding.num_dropped
        num_inside += encoding.cut_inside_unit
        yield report, encoding
    if num_cut:
        inside = f", {num_inside:,} inside a unit" if num_inside else ""
        tell(
            f"echotok: {num_cut:,} of {num_reports:,} reports were cut to "
            f"{arguments.context_length} ids{inside}; {num_dropped:,} ids were dropped"
        )


def _views(arguments: Namespace, tokenizer: Tokenizer) -> Iterator[View]:
    from echotok.bpe import ByteBPE
    from echotok.clip_merges import clip_merges, count_clip_tokens
    from echotok.errors import MergesError
    from echotok.view.tree import View

    try:
        clip = ByteBPE(clip_merges(arguments.clip_merges))
    except MergesError:
        if arguments.clip_merges is not None:
            raise
        clip = None
    encodings = _encodings(arguments, tokenizer)
    for report, encoding in islice(encodings, arguments.limit):
        yield View(
            source=report.source,
            text=report.text,
            encoding=encoding,
            num_clip_tokens=None if clip is None else count_clip_tokens(report.text, clip),
        )


def _decode_lines(stream: Iterable[str | bytes], name: str, tokenizer: Tokenizer) -> None:
    for number, line in enumerate(stream, 1):
        try:
            print(tokenizer.decode(_parse_ids(line)))
        except EchotokError as error:
            raise type(error)(f"{name}: line {number}: {error}") from error


def _parse_ids(line: str | bytes) -> list[int]:
    """The ids of a line: whole numbers, a JSON list of them, or a JSON object with `ids`."""
    try:
        if line.lstrip()[:1] not in ("{", "[", b"{", b"["):
            return [int(word) for word in line.split()]
        record = json.loads(line)
    except (ValueError, RecursionError):  # a line that is not UTF-8 gives a ValueError, too
        raise InputError("the line is neither ids nor JSON; see echotok decode --help") from None
    ids = record.get("ids") if isinstance(record, dict) else record
    if not isinstance(ids, list):
        raise InputError("the JSON object has no list 'ids'")
    for position, item in enumerate(ids):
        if type(item) is not int:
            raise IdError(f"position {position} holds a {type(item).__name__}, not an id")
    return ids
