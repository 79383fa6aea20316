"""What the tokenizer does to a report, in one minute: `make demo`.

Shows three of our own reports coloured by token, decodes them, compares a whole folder with CLIP's
BPE, and writes an HTML page. `make demo REPORTS=my.csv COLUMN=report` does it to your own file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import echotok
from echotok.corpora import read_reports

ROOT = Path(__file__).parents[1]
OWN = ROOT / "benchmarks" / "reports" / "house"
PAGE = ROOT / "runs" / "demo.html"


def main() -> int:
    """Run the demo on our own reports, or on the user's file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("reports", nargs="?", help="file or folder of reports; default our own")
    parser.add_argument("--column", help="column or key of the report text")
    arguments = parser.parse_args()
    own = arguments.reports is None
    source = [str(OWN) if own else arguments.reports]
    column = ["--column", arguments.column] if arguments.column else []
    shown = (
        [str(OWN / f"{style}-03.txt") for style in ("templated", "sectioned", "abbreviated")]
        if own
        else source
    )

    _heading("1. A report, coloured by token")
    _echotok("show", *shown[:1], *column, "--limit", "1")

    _heading("2. Nothing is lost: ids decode to the normalized text")
    tokenizer = echotok.load("echo")
    first = next(read_reports(shown[:1], column=arguments.column)).text
    encoding = tokenizer.encode(first)
    same = tokenizer.decode(encoding.ids) == tokenizer.normalize(first)
    print(f"{len(first):,} characters -> {len(encoding)} ids -> decoded: {_verdict(same)}")
    print(f"the first ids: {encoding.ids[:12]} ...")

    _heading("3. Beside CLIP's BPE")
    least = ["--min-reports", "2"] if own else []
    for name in ("echo", "echo-clip"):
        _echotok("stats", *source, *column, "--tokenizer", name, "--top", "5", *least)

    _heading("4. A page to look at")
    PAGE.parent.mkdir(exist_ok=True)
    _echotok("show", *shown, *column, "--limit", "20", "--html", str(PAGE))
    print(f"Open {PAGE.relative_to(ROOT)} in a browser.")
    if own:
        print("The reports are synthetic, our own text. Now yours:")
        print("  make demo REPORTS=my_reports.csv COLUMN=report")
    return 0 if same else 1


def _heading(text: str) -> None:
    print(f"\n== {text} ==\n", flush=True)


def _verdict(same: bool) -> str:
    return "the same text" if same else "NOT the same text (this is a bug)"


def _echotok(*arguments: str) -> None:
    print("$ echotok " + " ".join(_short(argument) for argument in arguments), flush=True)
    subprocess.run([sys.executable, "-m", "echotok", *arguments], check=True)


def _short(argument: str) -> str:
    return str(Path(argument).relative_to(ROOT)) if argument.startswith(str(ROOT)) else argument


if __name__ == "__main__":
    sys.exit(main())
