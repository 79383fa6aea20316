"""Invented reports of an invented house, for the tests of mining. No person in them exists."""

from __future__ import annotations

import csv
import random
from pathlib import Path

_FRAMES = [
    "The left ventricle is {grade} dilated, with an end-diastolic diameter of {cm} cm.",
    "Left ventricular ejection fraction is {ef}%.",
    "There is {grade} mitral regurgitation by color Doppler.",
    "Ejection fraction by Simpson's biplane method is {ef}%.",
    "The right ventricle is normal in size and function.",
    "No pericardial effusion is seen.",
    "Peak gradient by the modified Bernoulli equation is {mm} mmHg.",
    "McConnell's sign is absent.",
    "An Impella device is seen across the aortic valve.",
    "The Carpentier-Edwards prosthesis is well seated.",
    "Technically difficult study; 4 views were obtained.",
    "The aortic root measures {cm} cm.",
]
_GRADES = ["mildly", "moderately", "severely"]
_NOUN_GRADES = ["mild", "moderate", "severe", "mild to moderate"]

# (layout, what of it must never come out). {n} makes it another patient's.
FREQUENT = [
    ("Electronically signed by: Ottilie Brackwater, MD, FACC", ["ottilie", "brackwater"]),
    ("Referring physician: OKONJO, CHIDERA", ["okonjo", "chidera"]),
    ("Discussed with Dr. Zbigniew Tarnowiecki by phone.", ["zbigniew", "tarnowiecki"]),
    ("Findings were called to Mrs. Quenby at the desk.", ["quenby"]),
    ("Questions: call (555) 867-5309 or echo.lab@stmarvin.example.", ["867", "5309", "stmarvin"]),
    ("Heart Center, 1420 Larkspur Avenue, 62704 Shelbyfield", ["larkspur", "62704", "1420"]),
    ("Accession number: US-2291-7740", ["2291", "7740"]),
    ("Template revised on 03/14/2019 and again March 5, 2021.", ["2019", "march", "2021"]),
    ("gez. Dr. med. Hildrun Vossbeck", ["hildrun", "vossbeck"]),
]
RARE = [
    ("Patient name: Wrenna Poldark{n}, MRN: 48{n}31", ["wrenna", "poldark"]),
    ("DOB 4/11/1951. SSN 219-09-9{n}.", ["1951", "219"]),
]


def write_reports(path: Path, *, num_patients: int = 120, private: bool = True) -> Path:
    """A CSV of reports with `patient` and `report`: two reports a patient."""
    rng = random.Random(7)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "report"])
        for patient in range(num_patients):
            for visit in range(2):
                lines = [_fill(frame, rng) for frame in rng.sample(_FRAMES, 7)]
                if private:
                    lines += [layout for layout, _ in rng.sample(FREQUENT, 4)]
                    lines += [layout.replace("{n}", f"{patient:03}") for layout, _ in RARE]
                    # The signature as it often is: a bare name, nothing around it.
                    lines.append("Ottilie Brackwater")
                text = "\n".join(lines)
                if patient % 3 == 0:
                    text = text.upper()
                writer.writerow([f"p{patient}", text + f"\nVisit note {visit}."])
    return path


def _fill(frame: str, rng: random.Random) -> str:
    grade = rng.choice(_NOUN_GRADES if "regurgitation" in frame else _GRADES)
    low = rng.randrange(20, 70, 5)
    return frame.format(
        grade=grade,
        cm=f"{rng.uniform(2, 7):.1f}",
        ef=rng.choice([f"{low}-{low + 5}", str(low)]),
        mm=rng.randrange(5, 90),
    )
