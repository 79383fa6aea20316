"""A small template tokenizer with the interface of the published one, and phrases of its own.

Ids: 0 pad, 1 and up the phrases, then ten digits, then BOS and EOS.
"""

from __future__ import annotations

from pathlib import Path

PHRASES = (
    "the ejection fraction is <#>%.",
    "no pericardial effusion.",
    "mild mitral regurgitation.",
    "<#> aortic stenosis.",
    "the left ventricle is small.",
)
GRADES = ("mild", "severe")
FIRST_VALUE = 1 + len(PHRASES)
BOS = FIRST_VALUE + 10 + len(GRADES)
EOS = BOS + 1

PROGRAM = r'''
"""Made up for tests."""
import os
import re
import time

from utils import CLIPS, resized

print("loaded")
PHRASES = open("phrases.txt").read().splitlines()
GRADES = ["mild", "severe"]
FIRST, BOS = 1 + len(PHRASES), 11 + len(PHRASES) + len(GRADES)
ORDER = sorted(range(len(PHRASES)), key=lambda at: -len(PHRASES[at]))


def pattern(phrase):
    parts = [re.escape(part) for part in phrase.split("<#>")]
    return re.compile(r"(\d+|mild|severe)".join(parts))


PATTERNS = {at: pattern(PHRASES[at]) for at in ORDER}


def template_tokenize(report):
    print(report)
    text = " ".join(report.lower().split())
    if "fail here" in text:
        raise KeyError(report)
    if "end here" in text:
        os._exit(3)
    if "hang here" in text:
        time.sleep(60)
    if "outside of the rows" in text:
        return [BOS, BOS + 7]
    found = []
    for at in ORDER:
        for match in PATTERNS[at].finditer(text):
            ids = [1 + at]
            for value in match.groups():
                if value in GRADES:
                    ids.append(FIRST + 10 + GRADES.index(value))
                else:
                    ids += [FIRST + int(digit) for digit in value]
            found.append((match.start(), ids))
    ids = [number for _, ids in sorted(found) for number in ids][:75]
    row = [BOS, *ids, BOS + 1]
    return row + [0] * (77 - len(row))


def template_detokenize(ids):
    words = ["[pad]", *(f"[{phrase} ]" for phrase in PHRASES)]
    words += [f"<{value}>" for value in [*range(10), *GRADES]]
    return [dict(enumerate([*words, "[bos]", "[eos]"]))[number] for number in ids]
'''

UTILS = """
import no_such_package_of_pictures as pictures
from no_such_package_of_pictures.shapes import Shape
from no_such_package_of_frames import resize

CLIPS = "clips"


class Square(Shape):
    pass


def resized(frame):
    return resize(frame, pictures.SIZE)
"""


def write_program(folder: Path) -> Path:
    """Write the program, and a picture beside it that is none of it."""
    folder.mkdir(parents=True)
    (folder / "template_tokenizer.py").write_text(PROGRAM)
    (folder / "utils.py").write_text(UTILS)
    (folder / "phrases.txt").write_text("\n".join(PHRASES) + "\n")
    (folder / "picture.png").write_bytes(b"picture")
    return folder


def row(*ids: int) -> list[int]:
    """A row of these ids."""
    return [BOS, *ids, EOS] + [0] * (75 - len(ids))


def digits(number: int) -> list[int]:
    """The ids of a number."""
    return [FIRST_VALUE + int(digit) for digit in str(number)]


def grade(name: str) -> int:
    """The id of a grade."""
    return FIRST_VALUE + 10 + GRADES.index(name)
