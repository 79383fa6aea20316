"""How well the report that is found agrees with the true one, finding by finding.

An exact rank asks whether the true report itself was found. A clinician asks whether the report
that was found says the same: the same valve, the same grade, about the same ejection fraction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.evaluation.labels import Finding
from echoclip_r.evaluation.outcomes import Judgement
from echoclip_r.evaluation.retrieval import top_reports
from echoclip_r.evaluation.trial import Trial
from echoclip_r.metrics.bootstrap import RESAMPLING, Resampling, Weights
from echoclip_r.metrics.scores import Scores, measure, ratio
from echotok.findings.table import PRESENT

__all__ = ["agreement_scores", "families", "is_number", "judge_agreement"]

Floats = NDArray[np.float64]


def judge_agreement(trial: Trial) -> Judgement:
    """Judge what the report at rank 1 says against what the true one says."""
    items, pool = trial.test, trial.test.pool
    top = pool[top_reports(items.embeddings, trial.reports)]
    scores = trial.compute(
        agreement_scores,
        items.said,
        items.said[top],
        trial.tasks.findings,
        items.rows["patient_id"].to_numpy(),
        pool_values=items.said[pool],
        resampling=trial.resampling,
    )
    return Judgement(
        scores=scores,
        items=pd.DataFrame(index=range(len(items.rows))),
        about={"labels": "phrases in the reports"},
    )


def is_number(finding: Finding) -> bool:
    """Whether a finding is a measurement, and not something that is present or absent."""
    return finding.kind == "number"


def families(findings: Sequence[Finding]) -> dict[str, list[int]]:
    """For each family, in the order of the file, the columns of its present-or-absent findings."""
    found: dict[str, list[int]] = {}
    for column, finding in enumerate(findings):
        if not is_number(finding):
            found.setdefault(finding.family, []).append(column)
    return found


def agreement_scores(
    true_values: Floats,
    found_values: Floats,
    findings: Sequence[Finding],
    patients: Sequence[object] | NDArray[np.generic],
    *,
    pool_values: Floats,
    resampling: Resampling = RESAMPLING,
) -> Scores:
    """Agreement of found reports with true ones.

    A finding counts as present from "mild" on; a finding that a report does not mention counts as
    absent. Measurements are compared where both reports give one.

    Args:
        true_values: values of the true reports (N, F), from `read_findings`.
        found_values: values of the reports at rank 1 (N, F).
        findings: the findings that the columns are values of.
        patients: each query's patient.
        pool_values: values of all candidates (M, F); a random candidate gives the chance level.
        resampling: how patients are drawn.

    Returns:
        `precision`, `recall` and `f1` over all findings; `precision:FAMILY` and `recall:FAMILY`;
        `grade:FAMILY`, the share of the findings present in both reports whose values agree;
        `within:NAME`, the share of measurements that agree within the finding's tolerance. A figure
        is NaN where there is nothing to count.
    """
    present, said, pool = (
        np.nan_to_num(values) >= PRESENT for values in (true_values, found_values, pool_values)
    )
    tolerance = np.array([finding.tolerance for finding in findings])
    close = np.abs(true_values - found_values) <= tolerance
    figures: dict[str, Callable[[Weights], Floats]] = {}
    chance: dict[str, float] = {}

    def add(name: str, hits: NDArray[np.bool_], of: NDArray[np.bool_], guess: float) -> None:
        hit, total = hits.sum(axis=1, dtype=np.float64), of.sum(axis=1, dtype=np.float64)
        figures[name] = lambda weights: ratio(weights @ hit, weights @ total)
        chance[name] = guess

    everything = [column for columns in families(findings).values() for column in columns]
    groups = {"": everything, **families(findings)}
    for family, columns in groups.items():
        ending = f":{family}" if family else ""
        truth, found = present[:, columns], said[:, columns]
        both, rate = truth & found, pool[:, columns].mean(axis=0)
        share = truth.mean(axis=0)
        # A random report: found at the pool's rate, right at the queries' rate.
        right = float((rate * share).sum())
        add(f"precision{ending}", both, found, _divide(right, float(rate.sum())))
        add(f"recall{ending}", both, truth, _divide(right, float(share.sum())))
        if family:
            add(f"grade{ending}", both & close[:, columns], both, float("nan"))
    hit = (present & said)[:, everything].sum(axis=1, dtype=np.float64)
    parts = (present.astype(np.float64) + said)[:, everything].sum(axis=1)
    figures["f1"] = lambda weights: ratio(weights @ (2 * hit), weights @ parts)
    low, high = chance["precision"], chance["recall"]
    chance["f1"] = _divide(2 * low * high, low + high)
    for column, finding in enumerate(findings):
        if is_number(finding):
            both = ~(np.isnan(true_values) | np.isnan(found_values))[:, column]
            add(
                f"within:{finding.name}",
                (both & close[:, column])[:, None],
                both[:, None],
                _random_within(true_values[:, column], pool_values[:, column], finding.tolerance),
            )
    return measure(figures, patients, chance=chance, resampling=resampling)


def _random_within(truth: Floats, pool: Floats, tolerance: float) -> float:
    """Share of all pairs of a true and a pool value that agree, unknown ones left out."""
    truth, pool = truth[~np.isnan(truth)], np.sort(pool[~np.isnan(pool)])
    if not (len(truth) and len(pool)):
        return float("nan")
    # Values are typed, so that 60 and 55 are 5 apart and not 5.000001.
    above = np.searchsorted(pool, truth + tolerance + 1e-9, side="right")
    below = np.searchsorted(pool, truth - tolerance - 1e-9, side="left")
    return float((above - below).mean() / len(pool))


def _divide(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")
