"""What the report's figures are: which section shows them, their names, and which way is better.

A figure that `echoclip_r.metrics` measures is shown once it has a line in `FIGURES` and stands in
a section's list; a new kind of task is a `SECTIONS` entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from echoclip_r.metrics.retrieval import RECALL_AT, WAYS
from echoclip_r.text.edits import EDITS

__all__ = [
    "FIGURES",
    "SECTIONS",
    "FigureFacts",
    "Section",
    "SectionFacts",
    "has_unit",
    "is_better_low",
    "label_of",
]

Section = Literal[
    "retrieval", "agreement", "edited", "regression", "binary", "identification", "change"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureFacts:
    """What a figure is.

    Attributes:
        label: its name for people.
        has_unit: whether it is in the unit of the numbers that are predicted.
        is_better_low: whether less of it is better, as of errors and ranks.
    """

    label: str
    has_unit: bool = False
    is_better_low: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionFacts:
    """A section of the report: one kind of task.

    Attributes:
        heading: its title.
        definition: how its figures come about.
        figures: what its table shows, in this order, where it was measured.
        main: what a task is judged by at a glance.
        compared: what two models are compared by.
    """

    heading: str
    definition: str
    figures: tuple[str, ...]
    main: tuple[str, ...]
    compared: tuple[str, ...]


SECTIONS: Mapping[Section, SectionFacts] = MappingProxyType(
    {
        "retrieval": SectionFacts(
            heading="Retrieval",
            definition=(
                "Every video is compared with every report by cosine. The rank is that of the "
                "best right answer: reports that differ in letter case or white space alone all "
                "count as right, and a wrong one that scores as high counts as ahead. MCMRR is "
                "the mean of the two mean ranks, R@k the share found among the first k."
            ),
            figures=(
                "mcmrr",
                *(f"mean_rank:{way}" for way in WAYS),
                *(f"median_rank:{way}" for way in WAYS),
                *(f"recall_at_{k}:{way}" for way in WAYS for k in RECALL_AT),
            ),
            main=("mcmrr",),
            compared=("mcmrr", *(f"recall_at_10:{way}" for way in WAYS)),
        ),
        "agreement": SectionFacts(
            heading="Clinical agreement",
            definition=(
                "What the report at rank 1 says, against what the true one says: findings that "
                "are at least mild, read from both by the same declared phrases. 'Same grade' is "
                "the share of findings in both whose grades agree, 'within tolerance' that of "
                "measurements. The guess is a random report."
            ),
            figures=("f1", "precision", "recall"),
            main=("f1",),
            compared=("f1",),
        ),
        "edited": SectionFacts(
            heading="One finding changed",
            definition=(
                "Each report is compared with itself after one finding was changed: another "
                "number (two tolerances off or more), another grade, the other side, or denied in "
                "place of said. Counted is how often the video is nearer to the true one; told "
                "apart is the mean of that and of how often a video of which the changed text is "
                "true is nearer to that, which knowing the likelier text leaves at one half."
            ),
            figures=(
                *("true_preferred", *(f"true_preferred:{kind}" for kind in EDITS)),
                *("told_apart", *(f"told_apart:{kind}" for kind in EDITS)),
            ),
            main=("true_preferred", "told_apart"),
            compared=("true_preferred", "told_apart"),
        ),
        "regression": SectionFacts(
            heading="Zero-shot measurements",
            definition=(
                "A prompt for every value is compared with every frame; the values of the best "
                "fifth give the prediction. The guess is to say the median of other patients of "
                "everyone; 'error saved' is the part of its mean absolute error that the model "
                "saves. Calibrated: a rising curve from prediction to number, fitted on the "
                "validation split, is applied to it; that is a use of labels."
            ),
            figures=(
                "mae",
                "gain",
                "rmse",
                "bias",
                "r2",
                "pearson",
                "mae:published_code",
                "pearson:published_code",
                "mae:calibrated",
                "pearson:calibrated",
            ),
            main=("mae",),
            compared=("mae", "pearson"),
        ),
        "binary": SectionFacts(
            heading="Zero-shot findings",
            definition=(
                "The score is the mean cosine of the frames with prompts that say that the "
                "finding is there. Sensitivity and specificity are at a threshold that was chosen"
                " on the validation split."
            ),
            figures=(
                "auc",
                "auc:contrast",
                "average_precision",
                "sensitivity",
                "specificity",
                "brier",
            ),
            main=("auc", "auc:contrast"),
            compared=("auc", "auc:contrast"),
        ),
        "identification": SectionFacts(
            heading="Patient identification",
            definition=(
                "Two studies of one patient should be more alike than those of two patients. The "
                "AUC is that of the cosine for telling such pairs apart."
            ),
            figures=("auc", "same_study", "same_patient", "different_patients"),
            main=("auc",),
            compared=("auc",),
        ),
        "change": SectionFacts(
            heading="Change over time",
            definition=(
                "Each study is compared with the patient's earliest one. If the heart has changed"
                " by an event, the cosine should be lower after it."
            ),
            figures=(
                "auc",
                "auc_before",
                "auc_no_event",
                "cosine:before",
                "cosine:after",
                "cosine:no event",
            ),
            main=("auc",),
            compared=("auc",),
        ),
    }
)

_WAY_LABELS = {way: way.replace("_", " ") for way in WAYS}

FIGURES: Mapping[str, FigureFacts] = MappingProxyType(
    {
        "mcmrr": FigureFacts(label="MCMRR", is_better_low=True),
        **{
            f"mean_rank:{way}": FigureFacts(label=f"Mean rank, {name}", is_better_low=True)
            for way, name in _WAY_LABELS.items()
        },
        **{
            f"median_rank:{way}": FigureFacts(label=f"Median rank, {name}", is_better_low=True)
            for way, name in _WAY_LABELS.items()
        },
        **{
            f"recall_at_{k}:{way}": FigureFacts(label=f"R@{k}, {name}")
            for way, name in _WAY_LABELS.items()
            for k in RECALL_AT
        },
        "f1": FigureFacts(label="F1"),
        "precision": FigureFacts(label="Precision"),
        "recall": FigureFacts(label="Recall"),
        "mae": FigureFacts(label="MAE", has_unit=True, is_better_low=True),
        "rmse": FigureFacts(label="RMSE", has_unit=True, is_better_low=True),
        "r2": FigureFacts(label="R\u00b2"),
        "pearson": FigureFacts(label="Pearson r"),
        "bias": FigureFacts(label="Bias", has_unit=True),
        "mae:published_code": FigureFacts(
            label="MAE, published code's rule", has_unit=True, is_better_low=True
        ),
        "pearson:published_code": FigureFacts(label="Pearson r, published code's rule"),
        "mae:calibrated": FigureFacts(label="MAE, calibrated", has_unit=True, is_better_low=True),
        "pearson:calibrated": FigureFacts(label="Pearson r, calibrated"),
        "gain": FigureFacts(label="Error saved"),
        "true_preferred": FigureFacts(label="True report preferred"),
        "told_apart": FigureFacts(label="Told apart"),
        **{
            f"{name}:{kind}": FigureFacts(label=f"{label}, {kind}")
            for name, label in (
                ("true_preferred", "True report preferred"),
                ("told_apart", "Told apart"),
            )
            for kind in EDITS
        },
        "auc": FigureFacts(label="AUC"),
        "auc:contrast": FigureFacts(label="AUC, contrast"),
        "average_precision": FigureFacts(label="Average precision"),
        "sensitivity": FigureFacts(label="Sensitivity"),
        "specificity": FigureFacts(label="Specificity"),
        "brier": FigureFacts(label="Brier score", is_better_low=True),
        "same_study": FigureFacts(label="Mean cosine, same study"),
        "same_patient": FigureFacts(label="Mean cosine, same patient"),
        "different_patients": FigureFacts(label="Mean cosine, different patients"),
        "auc_before": FigureFacts(label="AUC against before"),
        "auc_no_event": FigureFacts(label="AUC against no event"),
        "cosine:before": FigureFacts(label="Mean cosine before"),
        "cosine:after": FigureFacts(label="Mean cosine after"),
        "cosine:no event": FigureFacts(label="Mean cosine, no event"),
    }
)

# Figures of one family or one finding, whose names a task file gives.
_PARTS = {
    "precision": "Precision",
    "recall": "Recall",
    "grade": "Same grade",
    "within": "Within tolerance",
}


def label_of(figure: str) -> str:
    """A figure's name for people, also of one that ends in a family or a finding.

    Example:
        >>> label_of("auc"), label_of("within:ejection_fraction")
        ('AUC', 'Within tolerance: ejection fraction')
    """
    if figure in FIGURES:
        return FIGURES[figure].label
    part, _, of = figure.partition(":")
    return f"{_PARTS[part]}: {of.replace('_', ' ')}"


def is_better_low(figure: str) -> bool:
    """Whether less of a figure is better: errors and ranks."""
    return figure in FIGURES and FIGURES[figure].is_better_low


def has_unit(figure: str) -> bool:
    """Whether a figure is in the unit of what is predicted, as an error is."""
    return figure in FIGURES and FIGURES[figure].has_unit
