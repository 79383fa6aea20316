"""Does a model recognize a patient?

Compared are the cosines of two clips of one study, of two studies of one patient, and of two
patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.embedding.rows import blocks_of
from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.outcomes import Judgement
from echoclip_r.evaluation.trial import Trial
from echoclip_r.metrics.bootstrap import RESAMPLING, Resampling, area_under_roc, mean
from echoclip_r.metrics.scores import Scores, measure

__all__ = ["KINDS", "Pairs", "find_pairs", "identification_scores", "judge_identification"]

_MAX_PAIRS = 100_000
_MAX_OTHERS = 20

KINDS = ("same study", "same patient", "different patients")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pairs:
    """Cosines of pairs.

    Attributes:
        table: `kind` (one of `KINDS`), `cosine`, and `patient_id`, the patient of the first item.
        same_study: words that say what the two items of a pair of one study are.
    """

    table: pd.DataFrame
    same_study: str


def judge_identification(trial: Trial) -> Judgement:
    """Judge how far studies of one patient are alike, and those of two patients are not.

    Raises:
        EvaluationError: no patient has two studies, or there is only one patient.
    """
    pairs = find_pairs(trial.test.embedded, seed=trial.resampling.seed)
    counts = {kind: int((pairs.table["kind"] == kind).sum()) for kind in KINDS}
    for kind, why in ((KINDS[1], "no patient has two studies"), (KINDS[2], "there is one patient")):
        if not counts[kind]:
            raise EvaluationError(f"{why}, so there are no pairs of {kind!r}")
    return Judgement(
        scores=trial.compute(identification_scores, pairs, resampling=trial.resampling),
        items=pairs.table,
        about={"num_pairs": counts, "same_study": pairs.same_study},
    )


def find_pairs(embedded: Embedded, *, seed: int = 0) -> Pairs:
    """Cosines of all pairs of one study and of one patient, and of some of different patients.

    A pair of one patient consists of two studies. Each study is also paired with up to 20 random
    studies of other patients. Where no study has two clips, the even and the odd frames of its one
    clip are taken as two clips; these are more alike than real clips, and `same_study` says so.

    Args:
        embedded: the clips.
        seed: seed of the random pairs.
    """
    rng = np.random.default_rng(seed)
    rows, studies = embedded.studies()
    parts = [_within(rows, studies, "patient_id", "same patient", rng)]
    clips = embedded.clip_embeddings()
    same_study = "two clips of a study"
    own = _within(embedded.clips, clips, "study_id", "same study", rng)
    if not len(own):
        same_study = "even and odd frames of a study's only clip"
        own = _halves(embedded)
    parts += [own, _between(rows, studies, rng)]
    return Pairs(table=pd.concat(parts, ignore_index=True), same_study=same_study)


def identification_scores(pairs: Pairs, *, resampling: Resampling = RESAMPLING) -> Scores:
    """How well the cosine tells two studies of one patient from studies of two patients.

    Args:
        pairs: pairs from `find_pairs`, some of one patient and some of different patients.
        resampling: how the pairs' first patients are drawn.

    Returns:
        `auc`, and the mean cosine of each kind: `same_study`, `same_patient`,
        `different_patients`.
    """
    kind = pairs.table["kind"].to_numpy()
    cosine = pairs.table["cosine"].to_numpy(np.float64)
    judged = kind != KINDS[0]
    same = kind[judged] == KINDS[1]
    means = {
        name.replace(" ", "_"): (
            lambda weights, chosen=kind == name: mean(cosine[chosen], weights[:, chosen])
        )
        for name in KINDS
        if (kind == name).any()
    }
    return measure(
        {
            "auc": lambda weights: area_under_roc(same, cosine[judged], weights[:, judged]),
            **means,
        },
        pairs.table["patient_id"].to_numpy(),
        chance={"auc": 0.5},
        resampling=resampling,
    )


def _within(
    rows: pd.DataFrame,
    embeddings: NDArray[np.float32],
    column: str,
    kind: str,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """All pairs of rows that share a value; a random part of them where there are very many."""
    first, second = [], []
    for places in rows.groupby(column, sort=True).indices.values():
        i, j = np.triu_indices(len(places), 1)
        first.append(places[i])
        second.append(places[j])
    a = np.concatenate(first or [np.zeros(0, np.int64)])
    b = np.concatenate(second or [np.zeros(0, np.int64)])
    if len(a) > _MAX_PAIRS:
        chosen = np.sort(rng.choice(len(a), _MAX_PAIRS, replace=False))
        a, b = a[chosen], b[chosen]
    return _cosines(rows, embeddings, a, b, kind)


def _between(
    rows: pd.DataFrame, embeddings: NDArray[np.float32], rng: np.random.Generator
) -> pd.DataFrame:
    """Each study with some of other patients."""
    num_others = int(np.clip(_MAX_PAIRS // max(len(rows), 1), 1, _MAX_OTHERS))
    a = np.repeat(np.arange(len(rows)), num_others)
    b = rng.integers(0, len(rows), len(a))
    patients = pd.factorize(rows["patient_id"])[0]
    other = patients[a] != patients[b]
    return _cosines(rows, embeddings, a[other], b[other], KINDS[2])


def _halves(embedded: Embedded) -> pd.DataFrame:
    starts = np.searchsorted(embedded.frame_clip, np.arange(len(embedded.clips)))
    place = np.arange(len(embedded.frames)) - starts[embedded.frame_clip]
    sums = np.zeros((2, len(embedded.clips), embedded.frames.shape[1]))
    for rows in blocks_of(embedded.frames):
        np.add.at(sums, (place[rows] % 2, embedded.frame_clip[rows]), embedded.frames[rows])
    norms = np.linalg.norm(sums, axis=2)
    both = np.flatnonzero((norms > 0).all(axis=0))
    unit = sums[:, both] / norms[:, both, None]
    clips = embedded.clips.iloc[both]
    return pd.DataFrame(
        {
            "kind": KINDS[0],
            "cosine": np.einsum("nd,nd->n", unit[0], unit[1]),
            "patient_id": clips["patient_id"].to_numpy(),
        }
    )


def _cosines(
    rows: pd.DataFrame,
    embeddings: NDArray[np.float32],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    kind: str,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": pd.Series(kind, index=range(len(first)), dtype=object),
            "cosine": np.einsum(
                "nd,nd->n", embeddings[first].astype(np.float64), embeddings[second]
            ),
            "patient_id": rows["patient_id"].to_numpy()[first],
        }
    )
