"""`make demo`: the tokenizer on one report, then phantoms, two models, figures and pictures.

Everything lies under runs/demo. Each step that is done is skipped when the demo is run again, and
one that was stopped goes on. On two CPU cores it takes less than ten minutes after set-up.

    python benchmarks/demo.py                          all of it
    python benchmarks/demo.py --only tokenizer         the tokenizer on our own reports: no torch
    python benchmarks/demo.py REPORTS --column NAME    the tokenizer on your own reports: no torch
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import echotok
from echotok.corpora import read_reports
from echotok.cpus import num_cpus

ROOT = Path(__file__).parents[1]
OWN = ROOT / "benchmarks" / "reports" / "house"
SEED, NUM_TRAIN, NUM_TEST, NUM_VALIDATION = 7, 3000, 500, 200
# On two cores a good minute the first and five the second; a process makes the batches.
EPOCHS = {"echoclip": 7, "echoclip-r-findings": 18}
# Long texts cost a CPU more than these small pictures.
SETTINGS: dict[str, dict[str, Any]] = {"echoclip": {}, "echoclip-r-findings": {"longest_twin": 8}}
# Cores that PyTorch's threads leave alone: batches of statements keep a process busy, and threads
# that wait for a core do so without sleeping (205 frames a second, and 173 with a thread more).
SPARE = {"echoclip": 0, "echoclip-r-findings": 1}
REAL_CLIP = "examples_ybr_color.dcm"
NOTES = (
    "Simulated patients: this shows that the software works, and is no clinical evidence.",
    "Below each figure, its 95 % interval from 1,000 resamples of the query patients. R@1 and "
    "R@10: reports found for a video. Equal reports count as right, ties against us.",
)


def main() -> int:
    """Run the demo, or the tokenizer's part of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("reports", nargs="?", help="file or folder of reports: tokenizer only")
    parser.add_argument("--column", help="column or key of the report text")
    parser.add_argument("--only", choices=("tokenizer", "models"), help="one half alone")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "demo", help="folder to fill")
    parser.add_argument("--tokenizer", type=Path, help="of the phantom's reports; default ours")
    parser.add_argument("--quick", action="store_true", help="tiny, in a minute, for tests")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    only = "tokenizer" if arguments.reports is not None else arguments.only
    if only != "models":
        try:
            status = show_tokenizer(arguments)
        except subprocess.CalledProcessError as error:  # it has said what is wrong
            return error.returncode
        if status:
            return status
    if only != "tokenizer":
        show_models(arguments)
    return 0


def show_tokenizer(arguments: argparse.Namespace) -> int:
    """A report coloured by token, losslessness, figures beside CLIP's BPE, and a page."""
    own = arguments.reports is None
    source = [str(OWN) if own else arguments.reports]
    column = ["--column", arguments.column] if arguments.column else []
    shown = (
        [str(OWN / f"{style}-03.txt") for style in ("templated", "sectioned", "abbreviated")]
        if own
        else source
    )
    _heading("A report, coloured by token")
    _echotok("show", *shown[:1], *column, "--limit", "1")
    tokenizer = echotok.load("echo")
    report = next(read_reports(shown[:1], column=arguments.column), None)
    if report is None:
        print("There is no report in it.", file=sys.stderr)
        return 1
    first = report.text
    encoding = tokenizer.encode(first)
    same = tokenizer.decode(encoding.ids) == tokenizer.normalize(first)
    verdict = "the same text" if same else "NOT the same text (this is a bug)"
    print(f"{len(first):,} characters -> {len(encoding)} ids -> decoded: {verdict}")

    _heading("Beside CLIP's BPE")
    least = ["--min-reports", "2"] if own else []
    for name in ("echo", "echo-clip"):
        _echotok("stats", *source, *column, "--tokenizer", name, "--top", "3", *least)
    page = arguments.out / "tokens.html"
    _echotok("show", *shown, *column, "--limit", "20", "--html", str(page))
    if own:
        print("The reports are synthetic, our own text. Now yours:")
        print("  make demo REPORTS=my_reports.csv COLUMN=report")
    return 0 if same else 1


def show_models(arguments: argparse.Namespace) -> None:
    """Phantom archive, shards, two models, and what they can do on held-out studies."""
    import torch
    from pydicom.data import get_testdata_file

    from benchmarks.models import phantom_pictures as pictures
    from benchmarks.models import phantom_steps as steps
    from echoclip_r.search.sheet import draw_answers
    from echoclip_r.search.terminal import show
    from echoclip_r.storage import json_text
    from echoclip_r.training.config import changed

    out: Path = arguments.out
    tokenizer = arguments.tokenizer or steps.default_tokenizer()
    data = steps.Data(
        seed=SEED,
        num_train=130 if arguments.quick else NUM_TRAIN,
        num_test=30 if arguments.quick else NUM_TEST,
        num_validation=16 if arguments.quick else NUM_VALIDATION,
    )
    _heading("Phantom patients: clips, reports, and shards for training")
    print(f"{data.num_train:,} studies to train on, {data.num_test} held out, split by patient")
    steps.make_shards(out, data, workers=min(2, num_cpus()))
    judged: dict[str, Any] = {}
    runs: dict[str, Path] = {}
    for recipe, epochs in EPOCHS.items():
        _heading(f"Training {recipe}")
        config = steps.model_config(
            recipe, tokenizer, epochs=3 if arguments.quick else epochs, seed=SEED
        )
        config = changed(config, workers=1, **SETTINGS[recipe])
        if arguments.quick:
            config = replace(config, warmup_steps=2)
        torch.set_num_threads(max(1, num_cpus() - SPARE[recipe]))
        runs[recipe] = out / recipe
        took = steps.train_model(config, out / "shards", runs[recipe])
        print(f"{took['num_steps']:,} steps in {took['seconds'] / 60:.1f} minutes")
        judged[recipe] = steps.judge(runs[recipe], out / "shards", num_test=data.num_test)

    figures = {name: one.figures for name, one in judged.items()}
    text = json_text(figures, indent=1)
    (out / "results.json").write_text(text + "\n", encoding="utf-8")
    best = judged["echoclip-r-findings"]
    pictures.draw_curves(judged, runs).savefig(out / "curves.png", dpi=110)
    answers = pictures.example_answers(best, out / "shards")
    sheet = draw_answers(
        answers,
        title="Reports found for held-out clips: chosen by rank, not by looks",
        foot=f"{NOTES[0]} Green: a finding of which the clip's own report says the same; orange: "
        "it says it otherwise.",
    )
    sheet.save(out / "retrieval.png")

    _heading("A real cardiac clip (DICOM, from the pydicom package) through the same path")
    clip = Path(str(get_testdata_file(REAL_CLIP, download=False)))
    real = pictures.film_answer(
        best, clip, f"{REAL_CLIP}, a real clip: the phantom reports nearest"
    )
    show(_first(real), full=True)

    header, rows = pictures.tables(figures)
    about = (
        f"{data.num_test} held-out studies of {best.figures['num_patients']} simulated patients, "
        f"{data.num_train:,} to train on, seed {SEED}; "
        f"{' and '.join(map(str, EPOCHS.values()))} passes over them."
    )
    pictures.write_page(
        out / "index.html",
        [*answers, real],
        before=pictures.figures_html(
            header,
            rows,
            pictures.page_curves(judged, runs),
            lead=pictures.lead_sentence(judged, num_train=data.num_train),
            notes=(about, *NOTES),
        ),
    )
    _heading(f"{data.num_test} held-out phantom studies")
    _print_table(header, rows)
    for note in NOTES:
        print(note)
    print("\nTo look at:")
    for name in ("index.html", "retrieval.png", "curves.png", "tokens.html"):
        print(f"  {_short(str(out / name))}")


def _first(answer: Any) -> Any:
    """The answer with its best hit alone: the page has the others."""
    return replace(answer, hits=answer.hits[:1])


def _print_table(header: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 1, 0))
    for number, name in enumerate(header):
        table.add_column(name, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = 140
    console.print(table)


_BEGAN = time.perf_counter()


def _heading(text: str) -> None:
    minutes, seconds = divmod(int(time.perf_counter() - _BEGAN), 60)
    print(f"\n== {minutes}:{seconds:02d}  {text} ==\n", flush=True)


def _echotok(*arguments: str) -> None:
    print("$ echotok " + " ".join(_short(argument) for argument in arguments), flush=True)
    subprocess.run([sys.executable, "-m", "echotok", *arguments], check=True)


def _short(argument: str) -> str:
    return str(Path(argument).relative_to(ROOT)) if argument.startswith(str(ROOT)) else argument


if __name__ == "__main__":
    sys.exit(main())
