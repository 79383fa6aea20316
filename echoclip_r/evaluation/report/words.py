"""The terms that the report explains at its foot."""

from __future__ import annotations

__all__ = ["DEFINITIONS"]

DEFINITIONS = {
    "Intervals": "95 %, from draws of patients with replacement; the pool of candidates is kept. "
    "Studies of one patient are drawn together.",
    "Weak and strong": "An AUC below 0.70 is called weak, below 0.80 moderate, below 0.90 good, "
    "above that strong. An error that saves less than a tenth of the median guess's is called "
    "weak. Whatever has an interval that reaches chance is called no better than chance, and "
    "fewer than ten positive or negative ones too few to tell.",
    "Calibration": "A cosine is no probability. A logistic curve from score to probability is "
    "fitted on the validation split, and judged on the test split by observed shares and by the "
    "Brier score (the mean squared error of the probability).",
    "Contrast": "The paper scores a finding by the mean cosine with prompts that say it is there. "
    "That also rises and falls with how much a frame is like any report at all. The contrast "
    "score subtracts the mean cosine with prompts that say that all is normal. It is given beside "
    "the paper's, which all else on findings is by.",
    "Rules": "By the paper's rule (Christensen et al., Nature Medicine 2024) the median of the "
    "best fifth of values is taken in each frame and averaged over frames. The published code "
    "averages the ranked values over frames first. Both are given, and they are not the same.",
}
