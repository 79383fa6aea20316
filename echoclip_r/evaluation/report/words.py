"""The words of the report: headings, names of figures, definitions, and verdicts."""

from __future__ import annotations

__all__ = ["DEFINITIONS", "HEADINGS", "LABELS", "label_of"]

HEADINGS = {
    "retrieval": "Retrieval",
    "agreement": "Clinical agreement",
    "regression": "Zero-shot measurements",
    "binary": "Zero-shot findings",
    "identification": "Patient identification",
    "change": "Change over time",
}

_WAYS = {"video_to_report": "video to report", "report_to_video": "report to video"}

LABELS = {
    "mcmrr": "MCMRR",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R\u00b2",
    "pearson": "Pearson r",
    "bias": "Bias",
    "mae:published_code": "MAE, published code's rule",
    "pearson:published_code": "Pearson r, published code's rule",
    "gain": "Error saved",
    "auc": "AUC",
    "auc:contrast": "AUC, contrast",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier score",
    "same_study": "Mean cosine, same study",
    "same_patient": "Mean cosine, same patient",
    "different_patients": "Mean cosine, different patients",
    "auc_before": "AUC against before",
    "auc_no_event": "AUC against no event",
    "cosine:before": "Mean cosine before",
    "cosine:after": "Mean cosine after",
    "cosine:no event": "Mean cosine, no event",
    **{f"mean_rank:{way}": f"Mean rank, {name}" for way, name in _WAYS.items()},
    **{f"median_rank:{way}": f"Median rank, {name}" for way, name in _WAYS.items()},
    **{
        f"recall_at_{k}:{way}": f"R@{k}, {name}"
        for way, name in _WAYS.items()
        for k in (1, 5, 10, 50)
    },
}

DEFINITIONS = {
    "retrieval": "Every video is compared with every report by cosine. The rank is that of the "
    "best right answer: reports that differ only in letter case or white space all count as "
    "right, and a wrong report that scores as high counts as ahead. MCMRR is the mean of the two "
    "mean ranks, R@k the share of queries whose right answer is among the first k.",
    "agreement": "The findings of the report at rank 1 are compared with those of the true report: "
    "findings that are at least mild, read from both by the same declared phrases. 'Same grade' is "
    "the share of findings in both reports whose grades agree, 'within tolerance' the share of "
    "measurements that agree. The guess is a random report.",
    "regression": "A prompt for every value is compared with every frame; the values of the best "
    "fifth give the prediction. The guess gives everyone the median of other patients; 'error "
    "saved' is the part of the guess's mean absolute error that the model saves.",
    "binary": "The score is the mean cosine of the frames with prompts that say that the finding "
    "is there. Sensitivity and specificity are at a threshold that was chosen on the validation "
    "split.",
    "identification": "Two studies of one patient should be more alike than studies of two "
    "patients. The AUC says how well the cosine tells such pairs apart.",
    "change": "Each study is compared with the patient's earliest one. If an event has changed "
    "the heart, the cosine should be lower after it.",
    "Intervals": "95 %, from draws of patients with replacement; the pool of candidates is kept. "
    "Studies of one patient are drawn together.",
    "Weak and strong": "An AUC below 0.70 is called weak, below 0.80 moderate, below 0.90 good, "
    "above that strong. A model that saves less than a tenth of the median guess's error is called "
    "weak. A figure whose interval reaches chance is called no better than chance, and fewer than "
    "ten positive or negative items are called too few to tell.",
    "Calibration": "A cosine is not a probability. A logistic curve from score to probability is "
    "fitted on the validation split, and judged on the test split by observed shares and by the "
    "Brier score (the mean squared error of the probability).",
    "Contrast": "The paper scores a finding by the mean cosine with prompts that say it is there. "
    "That also rises and falls with how much a frame is like any report at all. The contrast "
    "score subtracts the mean cosine with prompts that say that all is normal. It is given beside "
    "the paper's score, from which all other figures of findings come.",
    "Rules": "By the paper's rule (Christensen et al., Nature Medicine 2024) the median of the "
    "best fifth of values is taken in each frame and averaged over frames. The published code "
    "averages the ranked values over frames first. Both are given, and they are not the same.",
}


_PARTS = {
    "precision": "Precision",
    "recall": "Recall",
    "grade": "Same grade",
    "within": "Within tolerance",
}


def label_of(figure: str) -> str:
    """A figure's name for people, also for a figure that ends in a family or a finding.

    Example:
        >>> label_of("auc"), label_of("within:ejection_fraction")
        ('AUC', 'Within tolerance: ejection fraction')
    """
    if figure in LABELS:
        return LABELS[figure]
    part, _, of = figure.partition(":")
    return f"{_PARTS[part]}: {of.replace('_', ' ')}"
