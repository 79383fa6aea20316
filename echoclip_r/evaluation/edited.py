"""Does a clip prefer its report to the same report with one finding changed?

A model that reads a report as a bag of phrases finds the right one among many and still cannot
tell `no effusion` from `an effusion`. So each report is set beside itself with one finding's
number, grade or side changed, or the finding denied (or a denial lifted), and the clip is asked
which is nearer. Guessing is right half the time.

A changed text may also read unlikely, and a model that knows which text is likelier prefers the
true one without looking. So another clip is asked, too, whose own report says what the changed text
says: it should prefer that one. Told apart is the mean of both; who does not look gets one half.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.outcomes import Judgement
from echoclip_r.evaluation.trial import Trial
from echoclip_r.metrics.bootstrap import RESAMPLING, Resampling, Weights
from echoclip_r.metrics.scores import Scores, measure, ratio
from echoclip_r.text.claims import Claims, default_claims
from echoclip_r.text.edits import EDITS, Edit, edit
from echoclip_r.text.truth import log_odds

__all__ = ["edited_scores", "judge_edited"]

Floats = NDArray[np.float64]

_MOST_ITEMS = 2_000  # each brings up to four texts to read and to embed
_LEAST_GAP = 2.0  # tolerances: a report is not wrong that says 56 for 55
_TRIES = 10
_LEAST_ODDS = 2.0  # log odds at which another clip's own report says what the changed text says


class _Changed(NamedTuple):
    item: int
    kind: str
    finding: str
    text: str
    other: int | None
    """Another item, of which the changed text is true rather than the report."""


def judge_edited(trial: Trial) -> Judgement:
    """How often the clip is nearer to its true report than to a changed one, by kind of change.

    `true_preferred` is the share of changes in which it is, `told_apart` the mean of that and of
    how often a clip of which the changed text is true prefers that one, where there is such a clip.

    Raises:
        EvaluationError: no report has a finding that can be changed.
    """
    items, claims = trial.test, default_claims()
    reports = items.rows["report"].tolist()
    said = np.stack([claims.of_report(report).values for report in reports])
    seed = trial.resampling.seed
    chosen = list(range(len(reports)))
    random.Random(f"edited:{seed}").shuffle(chosen)
    changed = [
        one
        for item in sorted(chosen[:_MOST_ITEMS])
        for one in _changes(item, reports[item], said, claims, random.Random(f"{seed}:{item}"))
    ]
    if not changed:
        raise EvaluationError("no report of the test split has a finding that could be changed")
    of = np.array([one.item for one in changed])
    texts = [reports[item] for item in of] + [one.text for one in changed]
    true, false = np.split(trial.embed_texts(texts), 2)
    asked = np.array([one.other is not None for one in changed])
    others = np.array([0 if one.other is None else one.other for one in changed])
    margin, margin_other = (
        ((true - false) * items.embeddings[rows]).sum(axis=1, dtype=np.float64)
        for rows in (of, others)
    )
    # Both texts may give the same ids, or be cut before they differ: then nothing is preferred.
    right, right_other = (np.sign(margin) + 1) / 2, (1 - np.sign(margin_other)) / 2
    kinds = np.array([one.kind for one in changed])
    patients = items.rows["patient_id"].to_numpy()[of]

    table = pd.DataFrame(index=np.unique(of))
    for kind in EDITS:
        here = np.flatnonzero(kinds == kind)
        table.loc[of[here], f"finding_{kind}"] = [changed[place].finding for place in here]
        table.loc[of[here], f"margin_{kind}"] = margin[here]
        table.loc[of[here], f"margin_of_other_{kind}"] = np.where(
            asked[here], margin_other[here], np.nan
        )
    return Judgement(
        scores=trial.compute(
            edited_scores,
            kinds,
            right,
            right_other,
            asked,
            patients,
            resampling=trial.resampling,
        ),
        items=table,
        about={"num_changes": {kind: int((kinds == kind).sum()) for kind in EDITS}},
    )


def edited_scores(
    kinds: NDArray[np.str_],
    right: Floats,
    right_other: Floats,
    asked: NDArray[np.bool_],
    patients: NDArray[np.object_],
    *,
    resampling: Resampling = RESAMPLING,
) -> Scores:
    """How often the true text is preferred, over all changes and by kind of change.

    Args:
        kinds: the kind of each change, one of `EDITS` (N,).
        right: 1 where the clip prefers its report, 0.5 where it prefers neither, else 0 (N,).
        right_other: the same of the other clip and the changed text (N,).
        asked: whether there is such another clip (N,).
        patients: the patient of each clip (N,).
        resampling: how patients are drawn.
    """
    both = np.where(asked, (right + right_other) / 2, 0.0)

    def share(hits: Floats, counted: NDArray[np.bool_]) -> Callable[[Weights], Floats]:
        weight = counted.astype(np.float64)
        return lambda weights: ratio(weights @ (weight * hits), weights @ weight)

    everything = np.ones(len(kinds), bool)
    groups = {"": everything} | {f":{kind}": kinds == kind for kind in EDITS}
    groups = {ending: group for ending, group in groups.items() if group.any()}
    figures = {f"true_preferred{ending}": share(right, group) for ending, group in groups.items()}
    figures |= {
        f"told_apart{ending}": share(both, group & asked)
        for ending, group in groups.items()
        if (group & asked).any()
    }
    return measure(figures, patients, chance=dict.fromkeys(figures, 0.5), resampling=resampling)


def _changes(
    item: int, report: str, said: NDArray[np.float32], claims: Claims, draw: random.Random
) -> Iterator[_Changed]:
    """One change of each kind that the report allows, of a finding that is drawn."""
    columns = list(claims.of_report(report).by_finding)
    for kind in EDITS:
        for column in draw.sample(columns, len(columns)):
            found = _one(report, column, kind, claims, draw)
            if found is not None:
                texts = (found.values[None], claims.read(report)[None])
                odds, known = log_odds(*map(torch.from_numpy, (said, *texts, claims.widths)))
                others = torch.where(known & (odds >= _LEAST_ODDS))[0].tolist()
                other = draw.choice(others) if others else None
                yield _Changed(item, kind, claims.names[column], found.text, other)
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
