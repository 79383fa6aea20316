"""I4: what a clinician would be angry about never shares ids; what is only typography does."""

from __future__ import annotations

import itertools

import pytest

from echotok import Tokenizer

# (one wording, the other, sentences that hold either at {}). The empty wording takes its space
# along.
DIFFERENT: list[tuple[str, str, tuple[str, ...]]] = [
    # Negation and certainty
    ("no", "", ("There is {} pericardial effusion.", "{} thrombus is seen in the LV apex.")),
    ("no", "", ("{} significant valve disease.", "{} MR, {} TR", "{} LV thrombus")),
    ("not", "", ("The left ventricle is {} dilated.", "Diastolic function is {} normal.")),
    ("not", "", ("{} a normal study.", "The aortic valve is {} well seen.")),
    ("without", "with", ("The pericardium is normal {} effusion.", "Thick leaflets {} prolapse.")),
    ("is no", "is", ("There {} evidence of a shunt.", "There {} aortic stenosis.")),
    ("no", "an", ("There is {} atrial septal defect.", "There was {} LV aneurysm.")),
    ("absent", "present", ("A patent foramen ovale is {}.", "Respiratory variation: {}")),
    ("cannot be excluded", "is excluded", ("Endocarditis {}.", "A small thrombus {}.")),
    ("possible", "definite", ("There is a {} vegetation.", "{} thrombus in the appendage.")),
    ("positive", "negative", ("The bubble study is {}.", "Stress echo {} for ischemia.")),
    ("never", "ever", ("The septum was {} dyskinetic.",)),
    ("neither", "either", ("On {} side a shunt was seen.",)),
    ("normal", "abnormal", ("Wall motion is {}.", "The mitral valve is {}.", "{} study.")),
    ("possible", "impossible", ("Measurement was {}.",)),
    ("adequate", "inadequate", ("Image quality is {}.", "Views were {} for wall motion.")),
    ("sufficient", "insufficient", ("There is {} data to grade diastolic function.",)),
    ("competent", "incompetent", ("The mitral valve is {}.",)),
    ("unremarkable", "remarkable", ("The aortic arch is {}.",)),
    ("typical", "atypical", ("The motion of the septum is {}.",)),
    ("reversible", "irreversible", ("The ischemia is {}.",)),
    ("complete", "incomplete", ("Closure of the defect is {}.",)),
    ("stable", "unstable", ("The prosthesis is {}.",)),
    # Severity
    ("mild", "moderate", ("There is {} mitral regurgitation.", "{} LVH.", "{} TR is seen.")),
    ("moderate", "severe", ("{} aortic stenosis.", "There is {} tricuspid regurgitation.")),
    ("trace", "mild", ("There is {} pulmonic regurgitation.", "{} AR.")),
    ("mild to moderate", "moderate", ("There is {} mitral regurgitation.", "{} AS.")),
    ("mild to moderate", "mild", ("There is {} mitral regurgitation.", "{} AS.")),
    ("mild-to-moderate", "moderate", ("There is {} aortic regurgitation.", "{} TR")),
    ("moderate to severe", "severe", ("There is {} mitral regurgitation.", "{} MS.")),
    ("moderate to severe", "moderate", ("There is {} mitral regurgitation.", "{} MS.")),
    ("mild to moderate", "moderate to severe", ("There is {} aortic stenosis.", "{} PR.")),
    ("mildly", "severely", ("The left atrium is {} dilated.", "LVEF is {} reduced.")),
    ("mildly", "moderately", ("The right ventricle is {} dilated.", "RV {} enlarged")),
    ("moderate", "moderately severe", ("There is {} mitral regurgitation.",)),
    ("severe", "very severe", ("There is {} aortic stenosis.",)),
    ("1+", "3+", ("There is {} mitral regurgitation.", "MR {}.")),
    ("borderline", "severe", ("{} pulmonary hypertension.", "There is {} LVH.")),
    ("significant", "insignificant", ("There is {} regurgitation.", "The gradient is {}.")),
    ("small", "large", ("There is a {} pericardial effusion.", "A {} VSD is seen.")),
    ("trivial", "massive", ("There is a {} pleural effusion.",)),
    ("hypokinetic", "akinetic", ("The apex is {}.", "The basal inferior segment is {}.")),
    ("hypokinetic", "hyperkinetic", ("The septum is {}.", "All segments are {}.")),
    ("akinetic", "dyskinetic", ("The apical cap is {}.", "The mid anterior wall is {}.")),
    # Side and place
    ("left", "right", ("The {} ventricle is dilated.", "A {} pleural effusion is seen.")),
    ("left", "right", ("The {} atrium is normal in size.", "Shunt to the {}")),
    ("left to right", "right to left", ("There is a {} shunt.", "Flow is {}.")),
    ("anterior", "inferior", ("The {} wall is akinetic.", "The basal {} segment is thin.")),
    ("anterior", "posterior", ("Prolapse of the {} leaflet.", "The {} wall is hypokinetic.")),
    ("inferior", "superior", ("The {} vena cava is dilated.",)),
    ("inferolateral", "inferoseptal", ("The basal {} wall is hypokinetic.",)),
    ("anteroseptal", "anterolateral", ("The mid {} segment is akinetic.",)),
    ("basal", "apical", ("The {} inferior wall is hypokinetic.", "{} hypertrophy.")),
    ("medial", "lateral", ("The {} commissure is fused.", "{} e' 6 cm/s")),
    ("septal", "lateral", ("E/e' {} is 12.", "The {} wall is thinned.")),
    ("proximal", "distal", ("The {} aortic arch is dilated.",)),
    ("ascending", "descending", ("The {} aorta is dilated.", "{} aorta 4.1 cm")),
    ("mitral", "tricuspid", ("There is mild {} regurgitation.", "The {} valve is normal.")),
    ("aortic", "pulmonic", ("There is no {} stenosis.", "{} valve: normal")),
    ("atrial", "ventricular", ("There is a small {} septal defect.", "{} pacing.")),
    ("ASD", "VSD", ("There is no {}.", "A {} of 5 mm.")),
    ("MS", "MR", ("Moderate {}.", "No {}.")),
    ("AS", "AR", ("There is severe {}.", "{} is mild.")),
    ("segment A2", "segment P2", ("Flail of {}.", "Prolapse at {}")),
    ("A1", "A3", ("The jet arises at {}.",)),
    ("RV", "LV", ("{} function is reduced.", "A lead is seen in the {}.")),
    ("TR", "MR", ("Peak {} velocity is 2.5 m/s.", "Eccentric {} jet.")),
    # Lesion, phase, direction
    ("stenosis", "regurgitation", ("There is mild aortic {}.", "No mitral {} is seen.")),
    ("stenosis", "sclerosis", ("There is aortic {}.", "Mild aortic valve {}.")),
    ("systolic", "diastolic", ("Mild {} dysfunction.", "LV {} function is normal.")),
    ("systolic", "diastolic", ("The {} pressure is 40 mmHg.", "LVID {} 4.5 cm")),
    ("systolic", "holosystolic", ("There is {} reversal of flow.",)),
    ("increased", "decreased", ("LV wall thickness is {}.", "The gradient has {}.")),
    ("improved", "worsened", ("LVEF has {} since the last study.", "MR has {}.")),
    ("larger", "smaller", ("The effusion is {} than before.",)),
    ("elevated", "normal", ("Filling pressures are {}.", "RVSP is {}.")),
    ("concentric", "eccentric", ("There is {} hypertrophy.", "{} jet of MR.")),
    ("bicuspid", "tricuspid", ("The aortic valve is {}.",)),
    ("bioprosthetic", "mechanical", ("A {} aortic valve is in place.", "{} MVR.")),
    ("paravalvular", "valvular", ("There is mild {} regurgitation.",)),
    ("peak", "mean", ("The {} gradient is 20 mmHg.", "{} PG 12")),
    ("inspiration", "expiration", ("The IVC collapses on {}.",)),
    ("hyperdynamic", "hypodynamic", ("The left ventricle is {}.",)),
    ("hypertrophy", "atrophy", ("There is septal {}.",)),
    ("E/e'", "E/A", ("{} is 1.5.", "The average {} ratio is 8.", "{} 12")),
    ("e'", "a'", ("Septal {} is 6 cm/s.", "{} 7")),
    ("e'", "E", ("Lateral {} 12 cm/s.", "{} is 0.8.")),
    ("S'", "S", ("RV {} is 12 cm/s.",)),
    ("before", "after", ("{} balloon dilation.", "The gradient {} exercise is 30 mmHg.")),
    ("rest", "stress", ("Wall motion at {} is normal.", "LVEF at {} 55%.")),
    ("pre", "post", ("{}-procedure gradient 5 mmHg.", "{} TAVR.")),
    ("I", "II", ("Grade {} diastolic dysfunction.", "Type {} diabetes.")),
    ("II", "III", ("Grade {} diastolic dysfunction.", "NYHA {}.", "class {} heart failure")),
    ("III", "IV", ("NYHA class {}.",)),
    # Numbers
    ("3", "30", ("The mean gradient is {} mmHg.", "LVEF is {}%.", "PG {}")),
    ("2.5", "25", ("The effusion measures {} mm.", "Vmax {} m/s.", "LVOT {}")),
    ("1.5", "15", ("E/A is {}.", "The valve area is {} cm2.")),
    ("55", "5 5", ("LVEF is {}%.", "Grade {}", "LVEF {}, normal")),
    ("105", "10 5", ("The heart rate is {} bpm.", "LVEDV {} ml")),
    ("105", "15", ("The heart rate is {} bpm.", "LVEDV {} ml")),
    ("55", "56", ("LVEF is {}%.", "The ejection fraction is estimated to be {}%.")),
    ("0.5", "5", ("The septal velocity is {} m/s.", "IVS {} cm")),
    (".5", "5", ("The vena contracta is {} cm.", "EROA {} cm2")),
    ("0.5", "0.05", ("EROA is {} cm2.",)),
    ("1.0", "1", ("The valve area is {} cm2.", "AVA {}")),
    ("1,000", "1000", ("A volume of {} ml.",)),
    ("1,5", "1.5", ("E/A {}", "The root is {} cm.")),
    ("1,234.05", "1,234.5", ("The jet area is {}.",)),
    ("05", "5", ("Series {} was used.",)),
    (">15", "<15", ("E/e' is {}.", "The ratio is {}, which is high.", "E/e' {}")),
    (">15", "15", ("E/e' is {}.", "The ratio is {}.", "E/e' {}")),
    ("> 15", "< 15", ("E/e' is {}.", "E/e' {}")),
    (">=50", ">50", ("LVEF {}%.", "collapses {}%")),
    ("≥50", "≤50", ("LVEF {}%.", "The IVC collapses {}%.")),
    ("~55", "55", ("LVEF is {}%.",)),
    ("-18", "18", ("GLS is {}%.", "Global longitudinal strain is {}%.", "GLS {}")),
    ("-18.4", "-1.84", ("GLS is {}%.",)),
    ("±3", "3", ("LVEF 55 {}%.",)),
    ("60-65", "60 65", ("LVEF is {}%.", "EF {}")),
    ("60-65", "60", ("LVEF is {}%.", "LVEF is estimated to be {}%.")),
    ("60-65", "60.65", ("LVEF is {}%.",)),
    ("60-65", "65-60", ("LVEF is {}%.",)),
    ("60-65", "60-66", ("LVEF is {}%.", "EF {}%")),
    ("60 to 65", "60 65", ("LVEF is {}%.",)),
    ("50 to 55", "50-55", ("LVEF is {}%.",)),
    ("120/80", "120 80", ("Blood pressure {} mmHg.",)),
    ("120/80", "12/080", ("Blood pressure {} mmHg.",)),
    ("10²", "102", ("A count of {} was found.", "{} bubbles.")),
    ("½", "1/2", ("The pressure {} time.", "{} of the annulus.")),
    ("250", "2 50", ("The pressure half-time is {} ms.",)),
    ("1340", "134 0", ("dP/dt is {} mmHg/s.",)),
    ("2", "2+", ("MR {}.", "{} regurgitation")),
    ("two", "three", ("The aortic valve has {} cusps.", "{} leads are seen.")),
    ("first", "second", ("This is the {} study.",)),
    # Units
    ("mm", "cm", ("The aortic root measures 3.5 {}.", "The effusion is 8 {}.", "IVC 18{}")),
    ("cm", "cm2", ("The aortic valve area is 1.2 {}.", "RA 15 {}")),
    ("cm", "cm²", ("The aortic valve area is 1.2 {}.", "RA 15 {}")),
    ("cm2", "cm²", ("The mitral valve area is 1.2 {}.",)),
    ("ml", "ml/m2", ("The left atrial volume is 34 {}.", "LAVI 34 {}")),
    ("g", "g/m2", ("The LV mass is 95 {}.",)),
    ("m/s", "cm/s", ("The peak velocity is 2.5 {}.", "Vmax 4 {}")),
    ("%", "", ("LVEF is 55 {}.", "FAC 35{}")),
    ("%", "mm", ("A stenosis of 50 {}.",)),
    ("ms", "s", ("Deceleration time 200 {}.",)),
    ("mmHg", "cmH2O", ("RVSP is 35 {}.", "RAP 8 {}")),
    ("mmHg", "mm", ("The mean gradient is 12 {}.",)),
    ("ml", "dl", ("A volume of 60 {}.",)),
    ("l/min", "l/min/m2", ("Cardiac output 4.5 {}.",)),
    # Terms that hold digits or signs
    ("2D", "3D", ("{} imaging was performed.", "LVEF by {} is 55%.")),
    ("4-chamber", "2-chamber", ("Apical {} view.", "LVEF from the {} view.")),
    ("A-fib", "A-flutter", ("The rhythm is {}.",)),
    ("?", ".", ("Thrombus in the appendage{}", "There is an ASD{}")),
    ("(mild)", "mild", ("There is {} MR.",)),
]  # fmt: skip

# Texts that mean and look the same to a reader.
SAME: list[tuple[str, str]] = [
    ("Mild MR.", "mild mr."),
    ("MILD MITRAL REGURGITATION.", "Mild mitral regurgitation."),
    ("LVEF is 55 %.", "LVEF is 55%."),
    ("LVEF  is\t55%.", "LVEF is 55%."),
    ("Mild MR.\nNo TR.", "Mild MR. No TR."),
    ("Mild MR.\r\n\r\nNo TR.", "Mild MR. No TR."),
    ("  Mild MR.  ", "Mild MR."),
    ("Mild\u00a0MR.", "Mild MR."),
    ("55\u202f%", "55%"),
    ("LVEF 55\u201360%", "LVEF 55-60%"),
    ("LVEF 55\u201460%", "LVEF 55-60%"),
    ("LVEF 55\u201060%", "LVEF 55-60%"),
    ("LVEF 55\u201160%", "LVEF 55-60%"),
    ("GLS \u221218.4%", "GLS -18.4%"),
    ("E/e\u2032 is 12.", "E/e' is 12."),
    ("E/e\u2019 is 12.", "E/e' is 12."),
    ("E/e\u2018 is 12.", "E/e' is 12."),
    ("E/e\u00b4 is 12.", "E/e' is 12."),
    ("a \u201csmoke\u201d sign", 'a "smoke" sign'),
    ("RVSP 55mmHg", "RVSP 55 mmHg"),
    ("Vmax 2.5m/s.", "Vmax 2.5 m/s."),
    ("AVA 1.2cm2", "AVA 1.2 cm2"),
    ("AVA 1.2cm²", "AVA 1.2 cm²"),
    ("LAVI 34ml/m2.", "LAVI 34 ml/m2."),
    ("Mild MR .", "Mild MR."),
    ("Mild MR , no TR", "Mild MR, no TR"),
    ("Normal ; no TR", "Normal; no TR"),
    ("AV : normal", "AV: normal"),
    ("(mild )", "(mild)"),
    ("na\u00efve", "nai\u0308ve"),
    ("Chiari\u0302", "Chiar\u00ee"),
    ("Lambl\u00e9", "Lamble\u0301"),
]

# A pair must stay apart wherever its sentence stands.
SETTINGS = ("{}", "The study is limited. {}", "FINDINGS:\n{}\nNo prior study.", "1. {} 2. Normal.")


def write(frame: str, wording: str) -> str:
    text = frame.replace("{}", wording)
    # A space stays behind where the empty wording was: let no pair differ by that alone.
    return " ".join(text.split()) if not wording else text


def sentences(one: str, other: str, frames: tuple[str, ...]) -> list[tuple[str, str]]:
    return [
        (setting.replace("{}", write(frame, one)), setting.replace("{}", write(frame, other)))
        for setting in SETTINGS
        for frame in frames
    ]


def name(value: object) -> str | None:
    return value if isinstance(value, str) else None


def test_there_are_enough_pairs() -> None:
    """The list is long, holds no pair twice in one frame, and every pair's texts do differ."""
    assert len(DIFFERENT) >= 80
    keys = [(*sorted((one, other)), frame) for one, other, frames in DIFFERENT for frame in frames]
    assert len(set(keys)) == len(keys)
    for one, other, frames in DIFFERENT:
        assert all("{}" in frame for frame in frames)
        for left, right in sentences(one, other, frames):
            assert left.casefold() != right.casefold()


@pytest.mark.parametrize(("one", "other", "frames"), DIFFERENT, ids=name)
def test_different_meaning_never_shares_ids(
    tok: Tokenizer, one: str, other: str, frames: tuple[str, ...]
) -> None:
    """Two sentences that differ in what they say differ in ids and in what these decode to."""
    for left, right in sentences(one, other, frames):
        for change in (str, str.upper, str.lower):
            ids_left, ids_right = tok.encode(change(left)).ids, tok.encode(change(right)).ids
            assert ids_left != ids_right, (change(left), change(right))
            assert tok.decode(ids_left) != tok.decode(ids_right)


@pytest.mark.parametrize("setting", SETTINGS)
def test_different_meaning_never_shares_a_row(tok: Tokenizer, setting: str) -> None:
    """All sentences of all pairs, as one batch, have rows of their own."""
    texts = {
        tok.normalize(setting.replace("{}", write(frame, wording)))
        for one, other, frames in DIFFERENT
        for frame in frames
        for wording in (one, other)
    }
    batch = tok.encode_batch(sorted(texts))
    assert batch.num_truncated == 0
    assert len({row.tobytes() for row in batch.ids}) == len(texts)


@pytest.mark.parametrize(("one", "other"), SAME, ids=name)
def test_typography_shares_ids(tok: Tokenizer, one: str, other: str) -> None:
    """Case, spacing, dashes, quotes, the space before a unit and composition do not change ids."""
    for setting in SETTINGS:
        left, right = setting.replace("{}", one), setting.replace("{}", other)
        assert tok.encode(left).ids == tok.encode(right).ids, (left, right)


@pytest.mark.parametrize("swap", [str.upper, str.lower, str.title])
def test_case_never_matters(tok: Tokenizer, swap) -> None:
    """The ids of every sentence above are those of its other spellings."""
    for one, other, frames in DIFFERENT:
        for text in itertools.chain.from_iterable(sentences(one, other, frames)):
            if swap(text).lower() == text.lower():
                assert tok.encode(swap(text)).ids == tok.encode(text).ids
