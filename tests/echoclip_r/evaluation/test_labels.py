"""Findings read from reports: slots are values, negation holds, what is unsaid stays unknown."""

from __future__ import annotations

import math

import numpy as np
import pytest

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.labels import Finding, read_findings
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.patient_files import label_cells
from echoclip_r.phantom.report.reports import write_reports

FINDINGS = {finding.name: finding for finding in read_tasks().findings}


@pytest.mark.parametrize(
    ("finding", "report", "expected"),
    [
        ("ejection_fraction", "LVEF is 55-60%.", 57.5),
        ("ejection_fraction", "The ejection fraction is 35 %", 35),
        ("ejection_fraction", "EF >70%", 70),
        ("ejection_fraction", "Ejection fraction of 40 to 45 percent", 42.5),
        ("pulmonary_artery_pressure", "RVSP is 45mmHg", 45),
        ("mitral_regurgitation", "There is mild-to-moderate mitral regurgitation.", 1.5),
        ("mitral_regurgitation", "Severe MR.", 3),
        ("mitral_regurgitation", "There is no significant mitral regurgitation.", 0),
        ("mitral_regurgitation", "No moderate or severe mitral regurgitation.", 0),
        ("mitral_regurgitation", "Severe tricuspid regurgitation.", math.nan),
        ("mitral_regurgitation", "Severe MRI artefacts", math.nan),
        ("mitral_regurgitation", "No aortic stenosis, moderate mitral regurgitation.", 2),
        ("mitral_regurgitation", "Mild MR. Later: severe MR.", 3),
        ("mitral_regurgitation", "Severe MR.\n\nConclusion: Mild MR. Possible AS.", 1),
        ("aortic_stenosis", "Possible aortic stenosis.", math.nan),
        ("mitral_regurgitation", "Mitral regurgitation is present.", 1),
        ("pericardial_effusion", "A large pericardial effusion is seen.", 3),
        ("pericardial_effusion", "There is no pericardial effusion.", 0),
        ("lv_dilation", "The left ventricle is severely dilated.", 3),
        ("lv_dilation", "The right ventricle is severely dilated.", math.nan),
        ("tavr", "Normal study.", 0),
        ("tavr", "A TAVR prosthesis is well seated.", 1),
        ("tavr", "No TAVR is seen", 0),
    ],
)
def test_value_of_a_phrase(finding: str, report: str, expected: float) -> None:
    """Each report says what a reader would take from it."""
    value = read_findings([report], [FINDINGS[finding]])[0, 0]
    assert value == pytest.approx(expected, nan_ok=True)


def test_columns_are_findings_and_rows_reports() -> None:
    """Repeated sentences and reports are read alike wherever they stand."""
    findings = [FINDINGS["mitral_regurgitation"], FINDINGS["aortic_stenosis"]]
    reports = ["Mild MR. Severe aortic stenosis.", "Severe aortic stenosis. Mild MR.", ""]
    values = read_findings(reports, findings)
    assert values[:2].tolist() == [[1, 3], [1, 3]]
    assert np.isnan(values[2]).all()


def test_phantom_reports_give_the_truth_back() -> None:
    """What house phrases read agrees with the latents but for the readers' own noise."""
    reports, labels = [], []
    for number in range(60):
        studies = sample_patient(number, seed=7)
        reports += [report.text for report in write_reports(studies, seed=7)]
        labels += [label_cells(study) for study in studies]
    tasks = read_tasks("phantom")
    values = read_findings(reports, tasks.findings)
    for name, column, within in (
        ("ejection_fraction", "ef", 6),
        ("pulmonary_artery_pressure", "pap_mmhg", 9),
        ("pericardial_effusion", "effusion", 1),
        ("mitral_regurgitation", "mr_grade", 1.5),
    ):
        place = [finding.name for finding in tasks.findings].index(name)
        truth = np.array([float(label[column]) for label in labels])
        said = ~np.isnan(values[:, place])
        assert said.mean() > 0.6
        assert np.abs(values[said, place] - truth[said]).max() <= within


def test_phrase_that_is_none_is_refused_with_its_name() -> None:
    """The error says which finding and phrase, and how the phrase is written."""
    finding = Finding(name="mr", title="", family="", phrases={"Mitral  Regurgitation": 1.0})
    with pytest.raises(
        EvaluationError, match=r"'mr'.*'Mitral  ?Regurgitation'.*write it as 'mitral regurgitation'"
    ):
        read_findings(["a"], [finding])
