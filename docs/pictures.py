"""The pictures at the top of README: a coloured report, and an answer of a search on phantoms.

    make demo && make pictures

Needs playwright and a Chromium; the report and the clips are of simulated patients.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import echotok

ROOT = Path(__file__).parents[1]
_SAMPLE = 1  # the report: one of a style with templates
_COLOURS = 64


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--demo", type=Path, default=ROOT / "runs" / "demo", metavar="FOLDER")
    demo: Path = parser.parse_args().demo.resolve()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with (work / "report.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["report"], [echotok.sample_reports()[_SAMPLE]]])
        run("echotok", "show", "report.csv", "--column", "report", "--html", "show.html", cwd=work)
        clip = sorted((demo / "archive" / "clips").rglob("*.mp4"))[0]
        run(
            "echoclip_r", "retrieve", demo / "echoclip-r-findings", "--video", clip,
            "--reports", demo / "manifest.csv", "--column", "report", "-k", "2",
            "--html", "answer.html", cwd=work,
        )  # fmt: skip
        photograph(work / "show.html", ROOT / "docs" / "report.png", width=960, height=560)
        photograph(work / "answer.html", ROOT / "docs" / "answer.png", width=1100, height=640)


def run(program: str, *words: object, cwd: Path) -> None:
    """Run one of the two command lines."""
    subprocess.run([sys.executable, "-m", program, *map(str, words)], cwd=cwd, check=True)


def photograph(page: Path, out: Path, *, width: int, height: int) -> None:
    """The upper part of a page, in few colours, so that the repository stays small."""
    with sync_playwright() as playing:
        browser = playing.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        view = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="light",
            device_scale_factor=1.5,
        )
        view.goto(page.as_uri())
        view.wait_for_timeout(500)
        view.screenshot(path=out)
        browser.close()
    with Image.open(out) as picture:
        small = picture.convert("RGB").quantize(_COLOURS)
    small.save(out, optimize=True)


if __name__ == "__main__":
    main()
