"""The terms that the report explains at its foot."""

from __future__ import annotations

__all__ = ["DEFINITIONS"]

DEFINITIONS = {
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
