"""One finding changed: who prefers the true report, counted against models that are made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.errors import EvaluationError
from echoclip_r.evaluation.datasets import Dataset, Items
from echoclip_r.evaluation.edited import judge_edited
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.evaluation.trial import EmbedTexts, Trial
from echoclip_r.metrics.bootstrap import Resampling
from echoclip_r.text.claims import default_claims

REPORTS = [
    f"The ejection fraction is {ef}%. There is mild mitral regurgitation. "
    f"The left atrium is {size} dilated. No pericardial effusion."
    for ef, size in ((25, "mildly"), (45, "severely"), (60, "moderately"), (70, "mildly"))
]
CLAIMS = default_claims()


def trial(embed: EmbedTexts, reports: Sequence[str] = REPORTS) -> Trial:
    """A study for each report, whose embedding is the embedding of its true report."""
    images = embed(list(reports))
    rows = pd.DataFrame(
        {"patient_id": [f"P{n}" for n in range(len(reports))], "report": list(reports)}
    )
    items = Items(
        rows=rows,
        embeddings=images,
        frames=images,
        frame_item=np.arange(len(reports)),
        said=np.zeros((len(reports), 0)),
        embedded=Embedded(clips=rows, frames=images, frame_clip=np.arange(len(reports))),
    )
    return Trial(
        dataset=Dataset(name="internal", test=items, validation=None),
        tasks=read_tasks("phantom"),
        prompts={},
        reports=images,
        embed_texts=embed,
        thresholds_from=None,
        events=None,
        resampling=Resampling(num_draws=20),
    )


def reads(*names: str) -> EmbedTexts:
    """A model that sees these findings, and is blind to others; unit rows."""
    columns = [CLAIMS.names.index(name) for name in names]

    def embed(texts: list[str]) -> NDArray[np.float32]:
        values = np.stack([np.nan_to_num(CLAIMS.read(text)[columns], nan=-9) for text in texts])
        angles = values / 100
        rows = np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(len(columns))
        return rows.astype(np.float32)

    return embed


def test_a_model_that_sees_everything_prefers_every_true_report() -> None:
    """Each kind of change is tried on each report, numbers far enough."""
    found = judge_edited(trial(reads(*CLAIMS.names)))
    values = {name: figure.value for name, figure in found.scores.figures.items()}
    kinds = ("number", "grade", "denied", "side")
    assert {"true_preferred", *(f"true_preferred:{kind}" for kind in kinds)} < set(values)
    assert {"told_apart", "told_apart:number", "told_apart:grade"} < set(values)
    assert set(values.values()) == {1.0}
    assert found.about["num_changes"] == {"number": 4, "grade": 4, "denied": 4, "side": 4}
    assert list(found.items.index) == [0, 1, 2, 3]
    assert set(found.items["finding_number"]) == {"ejection_fraction"}
    assert {figure.chance for figure in found.scores.figures.values()} == {0.5}


def test_a_model_that_is_blind_to_a_change_is_right_half_the_time() -> None:
    """It prefers neither, which is no success: of numbers alone it knows."""
    found = judge_edited(trial(reads("ejection_fraction")))
    values = {name: figure.value for name, figure in found.scores.figures.items()}
    assert values["true_preferred:number"] == 1.0
    assert values["true_preferred:side"] == 0.5
    assert values["true_preferred"] == pytest.approx(
        np.mean(
            [values[f"true_preferred:{kind}"] for kind in ("number", "grade", "denied", "side")]
        )
    )


def test_a_model_that_prefers_the_wrong_is_wrong() -> None:
    """Images that point away from their reports."""
    asked = trial(reads(*CLAIMS.names))
    asked.test.embeddings[:] *= -1
    assert judge_edited(asked).scores.figures["true_preferred"].value == 0


def test_a_model_that_knows_likely_texts_alone_tells_nothing_apart() -> None:
    """It prefers what was written, whatever the clip: right of its own, wrong of the other's."""
    written = set(REPORTS)

    def likely(texts: list[str]) -> NDArray[np.float32]:
        return np.array(
            [[1.0, 0.0] if text in written else [0.0, 1.0] for text in texts], np.float32
        )

    found = judge_edited(trial(likely)).scores.figures
    assert found["true_preferred"].value == 1.0
    assert found["told_apart"].value == 0.5


def test_the_same_seed_asks_the_same() -> None:
    """Two models are asked about the same texts."""
    asked: list[list[str]] = []

    def noting(texts: list[str]) -> NDArray[np.float32]:
        asked.append(texts)
        return reads("ejection_fraction")(texts)

    for _ in range(2):
        judge_edited(trial(noting))
    assert asked[1] == asked[3]


def test_reports_without_findings_are_said() -> None:
    """There is nothing to change."""
    with pytest.raises(EvaluationError, match="no report of the test split has a finding"):
        judge_edited(trial(reads("ejection_fraction"), ["Poor windows.", "Technically difficult."]))
