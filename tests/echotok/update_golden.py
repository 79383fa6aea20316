"""Rewrite the golden ids: `python tests/echotok/update_golden.py`.

A changed id is a breaking change (I5): run this only when texts are added here, when the table grew
into one of them, or when a new table version says so in CHANGELOG.md; and read the diff.
"""

from __future__ import annotations

import json
from pathlib import Path

import echotok

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("echo", "echo-clip")
TEXTS = [
    "",
    "The left ventricle is normal in size.",
    "LVEF is 55-60%.",
    "Left ventricular ejection fraction is estimated to be 62 %.",
    "There is mild to moderate mitral regurgitation. No mitral stenosis.",
    "Severe aortic stenosis: Vmax 4.3m/s, mean PG 44mmHg, AVA 0.8 cm\u00b2 (0.45 cm2/m2).",
    "GLS \u221218.4%; TAPSE 1.9 cm; E/e\u2032 >15, E/A 0.85.",
    "RVSP 35-40 mmHg + RAP. IVC 2.1 cm, collapses < 50%.",
    "Mid inferoseptal and basal inferior hypokinesis; apex akinetic.",
    "NO THROMBUS IN THE LEFT ATRIAL APPENDAGE",
    "Status post 26 mm TAVR with trace paravalvular leak.",
    "1. Mild LVH.\n2. Trivial TR.\n\n3. No pericardial effusion .",
    "BP 120/80, HR 1,340 bpm?, 05/06",
    "The patient\u2019s \u201csmoke\u201d has resolved \u2013 compare 2D with 3D.",
    "Hochgradige Mitralklappeninsuffizienz, linker Vorhof vergr\u00f6\u00dfert.",
    "<eos> {number} </w>",
    "xylographically qzvwk-42b",
    "\u5fc3\u81d3 \U0001f600 na\u00efve Ko\u0308rper 10\u00b2",
    "a  b\tc\u00a0d,e ,f ( g ) .5 5. 5 .",
    "\ud800\x00\ufeff",
]


def encodings(name: str) -> list[list[object]]:
    """`[text, ids]` of each text."""
    tok = echotok.load(name)
    return [[text, tok.encode(text).ids] for text in TEXTS]


def path_of(name: str) -> Path:
    """Where the ids of a tokenizer are kept."""
    return GOLDEN / f"{name}.json"


def main() -> None:
    """Write the files, one text a line."""
    GOLDEN.mkdir(exist_ok=True)
    for name in NAMES:
        rows = ",\n".join("  " + json.dumps(row) for row in encodings(name))
        head = json.dumps(echotok.load(name).table.version)
        text = f'{{"table_version": {head},\n "encodings": [\n{rows}\n]}}\n'
        path_of(name).write_text(text, encoding="utf-8", newline="\n")
        print(path_of(name))


if __name__ == "__main__":
    main()
