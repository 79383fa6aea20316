"""Does a clip prefer its report to the same report with one finding changed?

A model that reads a report as a bag of phrases finds the right one among many and still cannot
tell `no effusion` from `an effusion`. So each report is set beside itself with one finding's
number, grade or side changed, or the finding denied (or a denial lifted), and the clip is asked
which is nearer. Guessing is right half the time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.outcomes import Judgement
from echoclip_r.evaluation.trial import Trial
from echoclip_r.metrics.bootstrap import Weights
from echoclip_r.metrics.scores import measure, ratio
from echoclip_r.text.claims import Claims, default_claims
from echoclip_r.text.edits import EDITS, Edit, edit

__all__ = ["judge_edited"]

Floats = NDArray[np.float64]

_MOST_ITEMS = 2_000  # each brings up to four texts to read and to embed
_LEAST_GAP = 2.0  # tolerances: a report is not wrong that says 56 for 55
_TRIES = 10


class _Changed(NamedTuple):
    item: int
    kind: str
    finding: str
    text: str


def judge_edited(trial: Trial) -> Judgement:
    """How often the clip is nearer to its true report than to a changed one, by kind of change.

    Raises:
        EvaluationError: no report has a finding that can be changed.
    """
    items, claims = trial.test, default_claims()
    reports = items.rows["report"].tolist()
    seed = trial.resampling.seed
    chosen = list(range(len(reports)))
    random.Random(f"edited:{seed}").shuffle(chosen)
    changed = [
        one
        for item in sorted(chosen[:_MOST_ITEMS])
        for one in _changes(item, reports[item], claims, random.Random(f"{seed}:{item}"))
    ]
    if not changed:
        raise EvaluationError("no report of the test split has a finding that could be changed")
    of = np.array([one.item for one in changed])
    texts = [reports[item] for item in of] + [one.text for one in changed]
    true, false = np.split(trial.embed_texts(texts), 2)
    images = items.embeddings[of]
    margin = ((true - false) * images).sum(axis=1, dtype=np.float64)
    # Both texts may give the same ids, or be cut before they differ: then nothing is preferred.
    right = (np.sign(margin) + 1) / 2
    kinds = np.array([one.kind for one in changed])
    patients = items.rows["patient_id"].to_numpy()[of]

    def share(of_kind: Floats) -> Callable[[Weights], Floats]:
        return lambda weights: ratio(weights @ (of_kind * right), weights @ of_kind)

    figures = {"true_preferred": share(np.ones(len(kinds)))}
    for kind in EDITS:
        if (kinds == kind).any():
            figures[f"true_preferred:{kind}"] = share((kinds == kind).astype(np.float64))
    table = pd.DataFrame(index=np.unique(of))
    for kind in EDITS:
        here = np.flatnonzero(kinds == kind)
        table.loc[of[here], f"finding_{kind}"] = [changed[place].finding for place in here]
        table.loc[of[here], f"margin_{kind}"] = margin[here]
    return Judgement(
        scores=measure(
            figures,
            patients,
            chance=dict.fromkeys(figures, 0.5),
            resampling=trial.resampling,
        ),
        items=table,
        about={"num_changes": {kind: int((kinds == kind).sum()) for kind in EDITS}},
    )


def _changes(item: int, report: str, claims: Claims, draw: random.Random) -> Iterator[_Changed]:
    """One change of each kind that the report allows, of a finding that is drawn."""
    columns = list(claims.of_report(report).by_finding)
    for kind in EDITS:
        for column in draw.sample(columns, len(columns)):
            found = _one(report, column, kind, claims, draw)
            if found is not None:
                yield _Changed(item, kind, claims.names[column], found.text)
                break


def _one(report: str, column: int, kind: str, claims: Claims, draw: random.Random) -> Edit | None:
    if kind != "number":
        return edit(report, column, kind, claims, draw)
    if claims.columns[column].rule.kind != "number":
        return None
    least = _LEAST_GAP * claims.columns[column].width
    before = claims.read(report)[column]
    for _ in range(_TRIES):
        found = edit(report, column, kind, claims, draw)
        if found is not None and abs(found.values[column] - before) >= least:
            return found
    return None
