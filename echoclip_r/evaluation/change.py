"""Has a heart changed since an event, such as surgery or a transplant?

The cosine of each study with the patient's earliest study tells, before the event and after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.outcomes import Judgement
from echoclip_r.evaluation.tasks import Event
from echoclip_r.evaluation.trial import Trial
from echoclip_r.metrics.bootstrap import RESAMPLING, Resampling, Weights, area_under_roc, mean
from echoclip_r.metrics.scores import Scores, measure

__all__ = ["WHEN", "change_scores", "follow", "judge_change"]

WHEN = ("before", "after", "no event")

Floats = NDArray[np.float64]


def judge_change(trial: Trial, event: Event) -> Judgement:
    """Judge whether a fall of the cosine shows that an event has happened.

    Raises:
        EvaluationError: nothing dates the event, or there is nothing to compare.
    """
    studies, embeddings = trial.test.embedded.studies()
    dates = None if trial.events is None else trial.events.get(event.name, {})
    columns = [name for name in event.columns if name in studies]
    if dates is None and not columns:
        raise EvaluationError(
            f"no label column {' or '.join(map(repr, event.columns))}, and no file of events"
        )
    others = [name for other in trial.tasks.events if other != event for name in other.columns]
    if dates is not None and trial.events is not None:
        elsewhere = {patient for found in trial.events.values() for patient in found} - set(dates)
        kept = ~studies["patient_id"].isin(elsewhere).to_numpy()  # they had another event
        studies, embeddings = studies[kept].reset_index(drop=True), embeddings[kept]
    table = follow(studies, embeddings, since=event.columns, dates=dates, others=others)
    when = table["when"]
    remarks = _flag_remarks(studies, columns) if dates is None else _event_remarks(studies, dates)
    if dates is not None and not dates:
        remarks.append("the file of events has no row of this event")
    return Judgement(
        scores=trial.compute(change_scores, table, resampling=trial.resampling),
        items=table,
        about={
            "labels": "file of events" if dates is not None else f"label column {columns[0]!r}",
            "remarks": remarks,
            "num_comparisons": {
                str(name): int(count) for name, count in when.value_counts().sort_index().items()
            },
            "num_patients_with_event": int(table.loc[when == "after", "patient_id"].nunique()),
        },
    )


def _event_remarks(studies: pd.DataFrame, dates: Mapping[str, str]) -> list[str]:
    """Of how many patients with an event the studies cannot show it."""
    dated = studies[studies["date"] != ""].groupby("patient_id")["date"]
    first, last = dated.min().to_dict(), dated.max().to_dict()
    known = set(studies["patient_id"])
    here = [patient for patient in dates if patient in known]
    found = {
        "have no dated study": sum(patient not in first for patient in here),
        "had it before or on the day of their first study, and are left out": sum(
            patient in first and dates[patient] <= first[patient] for patient in here
        ),
        "had it after their last study": sum(
            patient in last and dates[patient] > last[patient] for patient in here
        ),
    }
    return [
        f"{num:,} of {len(here):,} patients with the event {what}"
        for what, num in found.items()
        if num
    ]


def _flag_remarks(studies: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """How many values of label columns are neither yes nor no."""
    remarks = []
    for name in columns:
        values = studies[name].dropna()
        odd = values[~values.isin((0, 1))]
        if len(odd):
            remarks.append(
                f"label column {name!r}: {len(odd):,} of {len(values):,} values are neither 0 nor "
                f"1 (such as {odd.iloc[0]:g}), and count as not known"
            )
    return remarks


def follow(
    studies: pd.DataFrame,
    embeddings: NDArray[np.float32],
    *,
    since: Sequence[str] = (),
    dates: Mapping[str, str] | None = None,
    others: Sequence[str] = (),
    window_days: int = 1826,
) -> pd.DataFrame:
    """Compare each later study of a patient with the earliest one.

    The event is the patient's first one. For a patient with an event, studies from `window_days`
    before it to `window_days` after it are used: the earliest of them is compared with each of the
    others. Patients without an event show how alike studies stay over time.

    Args:
        studies: a table with `patient_id`, `date` (ISO; undated studies are left out), and those of
            the columns in `since` and `others` that exist.
        embeddings: unit rows (N, D).
        since: columns that are 1 on a patient's first study after the event; the event is taken to
            lie halfway between that study and the one before it.
        dates: ISO dates of events by patient id, in place of `since`.
        others: such columns of other events; a patient with one of these events does not count as a
            patient without an event.
        window_days: largest distance in days from the event, or from the first study.

    Returns:
        One row for each comparison: `patient_id`, `when` (one of `WHEN`), `days` since the event
        (or, for `no event`, since the first study), `cosine`.
    """
    rows = []
    dated = studies[studies["date"] != ""]
    days = pd.to_datetime(dated["date"]).to_numpy("datetime64[D]").astype(np.int64)
    flags, other_flags = _flags(dated, since), _flags(dated, others)
    places = np.flatnonzero((studies["date"] != "").to_numpy())
    for patient, indices in dated.groupby("patient_id", sort=True).indices.items():
        of_patient = np.asarray(indices)
        order = of_patient[np.argsort(days[of_patient], kind="stable")]
        day = days[order].astype(np.float64)
        event = _event_day(str(patient), day, flags[order], dates)
        if event is None:
            if other_flags[order].any():
                continue
            first = 0
            origin, near = day[0], day - day[0] <= window_days
        elif event <= day[0]:
            continue  # there is no study before the event
        else:
            origin, near = event, np.abs(day - event) <= window_days
            if not near[day < event].any():
                continue
            first = int(np.argmax(near))
        reference = embeddings[places[order[first]]]
        for number in range(first + 1, len(order)):
            if near[number]:
                when = "no event" if event is None else WHEN[int(day[number] >= event)]
                cosine = float(embeddings[places[order[number]]] @ reference)
                rows.append((patient, when, day[number] - origin, cosine))
    return pd.DataFrame(rows, columns=["patient_id", "when", "days", "cosine"])


def _flags(studies: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.bool_]:
    """Whether any of the columns that there are is 1 (N,)."""
    present = [name for name in columns if name in studies]
    return np.asarray(studies[present].eq(1).any(axis=1), bool)


def _event_day(
    patient: str, day: Floats, flags: NDArray[np.bool_], dates: Mapping[str, str] | None
) -> float | None:
    if dates is not None:
        if patient not in dates:
            return None
        return float(np.datetime64(dates[patient], "D").astype(np.int64))
    if not flags.any():
        return None
    after = int(np.argmax(flags))
    return float(day[0]) if after == 0 else float(day[after - 1] + day[after]) / 2


def change_scores(comparisons: pd.DataFrame, *, resampling: Resampling = RESAMPLING) -> Scores:
    """How well a fall of the cosine shows that the event has happened.

    Args:
        comparisons: the table that `follow` gave, with some rows after the event and some not.
        resampling: how patients are drawn.

    Returns:
        `auc`, which tells studies after the event from all others; `auc_before`, from studies of
        the same patients before the event, and `auc_no_event`, from studies of patients without an
        event, where there are any; and the mean cosine of each group, as `cosine:before` and so on.

    Raises:
        EvaluationError: there is no study after the event, or no other study to compare with.
    """
    when = comparisons["when"].to_numpy()
    cosine = comparisons["cosine"].to_numpy(np.float64)
    after = when == "after"
    if not after.any() or after.all():
        raise EvaluationError(
            f"{int(after.sum())} studies after the event and {int((~after).sum())} others have an "
            "earlier one to be compared with; both kinds are needed"
        )
    figures: dict[str, Callable[[Weights], Floats]] = {
        "auc": _auc(after, cosine, np.ones_like(after))
    }
    for other in ("before", "no event"):
        if (when == other).any():
            name = f"auc_{other.replace(' ', '_')}"
            figures[name] = _auc(after, cosine, after | (when == other))
    chance = dict.fromkeys(figures, 0.5)
    for one in WHEN:
        if (when == one).any():
            figures[f"cosine:{one}"] = _mean(cosine, when == one)
    return measure(
        figures,
        comparisons["patient_id"].to_numpy(),
        chance=chance,
        resampling=resampling,
    )


def _auc(
    after: NDArray[np.bool_], cosine: Floats, chosen: NDArray[np.bool_]
) -> Callable[[Weights], Floats]:
    return lambda weights: area_under_roc(after[chosen], -cosine[chosen], weights[:, chosen])


def _mean(cosine: Floats, chosen: NDArray[np.bool_]) -> Callable[[Weights], Floats]:
    return lambda weights: mean(cosine[chosen], weights[:, chosen])
