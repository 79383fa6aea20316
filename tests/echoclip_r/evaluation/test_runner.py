"""Evaluation end to end: honest on made-up models, refusing what would mislead, and on disk."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from echoclip_r.cli.main import main
from echoclip_r.embedding.embeddings import Embedded
from echoclip_r.errors import EvaluationError, ShardError
from echoclip_r.evaluation.config import EvaluateConfig
from echoclip_r.evaluation.datasets import Dataset, make_items
from echoclip_r.evaluation.outcomes import Evaluation, Outcome
from echoclip_r.evaluation.runner import evaluate, evaluate_model
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.metrics.bootstrap import Resampling
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.checkpoint import save_checkpoint
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.recipes import echoclip_r as whole_report
from echoclip_r.training.recipes import phantom_scale

TASKS = read_tasks("phantom")


def find(evaluation: Evaluation, task: str, model: str, dataset: str = "internal") -> Outcome:
    return next(
        one
        for one in evaluation.outcomes
        if (one.task, one.model, one.dataset) == (task, model, dataset)
    )


def run(
    helpers: SimpleNamespace,
    embedded: Embedded,
    validation: Embedded | None = None,
    *,
    executor: Executor | None = None,
) -> tuple[dict[str, Outcome], dict[str, str]]:
    """Outcomes and reasons for what was skipped, by task, of one data set."""
    dataset = Dataset(
        name="internal",
        test=make_items(embedded, "study", TASKS.findings),
        validation=None if validation is None else make_items(validation, "study", TASKS.findings),
    )
    outcomes, skipped = evaluate_model(
        "m",
        [dataset],
        helpers.text_embeddings,
        TASKS,
        resampling=Resampling(num_draws=10),
        executor=executor,
    )
    return {one.task: one for one in outcomes}, {one.task: one.reason for one in skipped}


def test_every_task_of_the_paper_is_run(evaluation: Evaluation) -> None:
    """Both data sets and models have every task, with n, interval and what guessing gives."""
    names = {task.name for task in (*TASKS.regressions, *TASKS.binaries, *TASKS.events)}
    names |= {"retrieval", "agreement", "edited", "identification"}
    for model in evaluation.facts["models"]:
        for dataset in ("internal", "external"):
            of = {o.task for o in evaluation.outcomes if (o.model, o.dataset) == (model, dataset)}
            missing = {one.task for one in evaluation.skipped if one.dataset == dataset}
            assert of | missing == names
            assert not of & missing
    for one in evaluation.outcomes:
        main_figure = {"retrieval": "mcmrr", "agreement": "f1", "regression": "mae"}
        main_figure["edited"] = "true_preferred"
        figure = one.scores.figures[main_figure.get(one.section, "auc")]
        assert figure.low <= figure.value <= figure.high
        assert figure.chance > 0
        assert one.scores.num_items >= one.scores.num_patients > 1


def test_the_better_model_is_found_to_be_better(evaluation: Evaluation) -> None:
    """Little noise retrieves better than much, and the paired difference says so."""
    good = find(evaluation, "retrieval", "good <model>").scores.figures["mcmrr"]
    bad = find(evaluation, "retrieval", "bad model").scores.figures["mcmrr"]
    assert good.value < 2 < bad.value < bad.chance / 3
    found = next(
        one for one in evaluation.comparisons if (one.figure, one.dataset) == ("mcmrr", "internal")
    )
    assert (found.first, found.second) == ("good <model>", "bad model")
    assert found.difference.value == pytest.approx(bad.value - good.value)
    assert 0 < found.difference.low <= found.difference.value <= found.difference.high


def test_figures_are_those_of_the_predictions(evaluation: Evaluation) -> None:
    """What is written for each item gives the figures back."""
    lead = find(evaluation, "pacemaker_lead", "good <model>")
    expected = roc_auc_score(lead.items["truth"], lead.items["score"])
    assert lead.scores.figures["auc"].value == pytest.approx(expected)
    contrast = roc_auc_score(lead.items["truth"], lead.items["score_contrast"])
    assert lead.scores.figures["auc:contrast"].value == pytest.approx(contrast)
    ef = find(evaluation, "ejection_fraction", "good <model>")
    for ending, column in (("", "predicted"), (":published_code", "predicted_published_code")):
        error = (ef.items[column] - ef.items["truth"]).abs().mean()
        assert ef.scores.figures[f"mae{ending}"].value == pytest.approx(error)


def test_threshold_and_median_guess_come_from_validation(evaluation: Evaluation) -> None:
    """The test split decides nothing, and the external data set takes over the internal ones."""
    for dataset in ("internal", "external"):
        lead = find(evaluation, "pacemaker_lead", "good <model>", dataset)
        assert lead.about["threshold_from"].startswith("validation")
    internal = find(evaluation, "pacemaker_lead", "good <model>").about["thresholds"]
    external = find(evaluation, "pacemaker_lead", "good <model>", "external").about["thresholds"]
    assert internal == external
    assert set(internal) == {"plain", "contrast"}
    assert find(evaluation, "ejection_fraction", "bad model").about["guess_from"] == "validation"


def test_without_validation_there_is_no_threshold(helpers: SimpleNamespace) -> None:
    """AUC needs none; sensitivity, specificity and Brier score are left out."""
    found, _ = run(helpers, helpers.phantom_embedded(30, seed=4, noise=0.2))
    figures = found["pacemaker_lead"].scores.figures
    assert "auc" in figures
    assert "sensitivity" not in figures
    assert found["pacemaker_lead"].about["threshold_from"] is None
    assert found["ejection_fraction"].about["guess_from"] == "these items themselves"


def unlabelled(embedded: Embedded, report: str | None = None) -> Embedded:
    clips = embedded.clips.drop(columns=embedded.labels)
    if report is not None:
        clips["report"] = report
    return Embedded(clips=clips, frames=embedded.frames, frame_clip=embedded.frame_clip)


def test_labels_are_read_from_reports_where_no_column_is_there(helpers: SimpleNamespace) -> None:
    """Phrases give the labels; events, which no report dates, are skipped with the reason."""
    found, skipped = run(helpers, unlabelled(helpers.phantom_embedded(40, seed=5, noise=0.2)))
    ef = found["ejection_fraction"]
    assert ef.about["labels"] == "phrases of 'ejection_fraction' in the reports"
    assert found["tavr"].about["num_positive"] > 0
    assert "no label column 'since_surgery', and no file of events" in skipped["mitral_surgery"]


def test_without_any_label_every_task_is_skipped_with_a_reason(helpers: SimpleNamespace) -> None:
    """Retrieval and identification still run; the others say what is missing."""
    bare = unlabelled(helpers.phantom_embedded(20, seed=6, noise=0.2), report="Nothing to say.")
    found, skipped = run(helpers, bare)
    assert set(found) == {"retrieval", "agreement", "identification"}
    assert set(skipped) == {
        "edited",
        *(task.name for task in (*TASKS.regressions, *TASKS.binaries, *TASKS.events)),
    }
    assert "no label column 'ef'" in skipped["ejection_fraction"]
    assert "no report has a phrase of the finding 'tavr'" in skipped["tavr"]
    # All reports are the same text, so whichever is found is right.
    assert found["retrieval"].scores.figures["mcmrr"].value == 1


def test_blank_column_and_one_class_are_skipped_with_a_reason(helpers: SimpleNamespace) -> None:
    """A column without a number is as good as none, and one class has no AUC."""
    embedded = helpers.phantom_embedded(20, seed=7, noise=0.2)
    embedded.clips["pacer"] = 0.0
    embedded.clips["ef"] = np.nan
    embedded.clips["report"] = "Nothing."
    found, skipped = run(helpers, embedded)
    assert "all" in skipped["pacemaker_lead"]
    assert "negative: with one class only there is no AUC" in skipped["pacemaker_lead"]
    assert "label column 'ef' is blank in all" in skipped["ejection_fraction"]
    assert "pulmonary_artery_pressure" in found


def test_other_columns_of_an_external_archive_are_understood(helpers: SimpleNamespace) -> None:
    """LVEF and PASP by another name are the same labels."""
    embedded = helpers.phantom_embedded(20, seed=8, noise=0.2)
    clips = embedded.clips.rename(columns={"ef": "lvef", "pap_mmhg": "pasp"})
    other = Embedded(clips=clips, frames=embedded.frames, frame_clip=embedded.frame_clip)
    found, _ = run(helpers, other)
    assert found["ejection_fraction"].about["labels"] == "label column 'lvef'"
    assert found["pulmonary_artery_pressure"].about["labels"] == "label column 'pasp'"


def test_nan_embeddings_are_refused(helpers: SimpleNamespace) -> None:
    """One NaN is enough to say nothing."""
    embedded = helpers.phantom_embedded(10, seed=9, noise=0.2)
    embedded.frames[17, 3] = np.nan
    with pytest.raises(EvaluationError, match=r"1 of .* embeddings of frames hold NaN"):
        run(helpers, embedded)


def test_short_clips_are_judged_by_what_they_have_and_counted(helpers: SimpleNamespace) -> None:
    """Three frames do, and the items say that they are short."""
    embedded = helpers.phantom_embedded(20, seed=10, noise=0.2, num_frames=3)
    items = make_items(embedded, "study", TASKS.findings)
    assert items.num_short == len(items.rows)
    assert (
        make_items(
            helpers.phantom_embedded(5, seed=10, noise=0.2), "clip", TASKS.findings
        ).num_short
        == 0
    )
    found, _ = run(helpers, embedded)
    assert "ejection_fraction" in found


def test_clips_of_a_study_are_judged_together_or_alone(helpers: SimpleNamespace) -> None:
    """Two clips of a study are one study or two clips, with one report in the pool."""
    embedded = helpers.phantom_embedded(15, seed=11, noise=0.05)
    pairs = Embedded(
        clips=embedded.clips.assign(study_id=[f"S{n // 2}" for n in range(len(embedded.clips))]),
        frames=embedded.frames,
        frame_clip=embedded.frame_clip,
    )
    pairs.clips["patient_id"] = pairs.clips["study_id"]
    pairs.clips["report"] = pairs.clips.groupby("study_id")["report"].transform("first")
    for unit in ("study", "clip"):
        items = make_items(pairs, unit, TASKS.findings)
        dataset = Dataset(name="internal", test=items, validation=None)
        outcomes, _ = evaluate_model(
            "m", [dataset], helpers.text_embeddings, TASKS, resampling=Resampling(num_draws=5)
        )
        about = next(one.about for one in outcomes if one.section == "retrieval")
        assert about["num_reports"] == pairs.clips["study_id"].nunique()
        assert about["num_videos"] == (len(pairs.clips) if unit == "clip" else about["num_reports"])
    with pytest.raises(ValueError, match="'study' or 'clip'"):
        make_items(pairs, "frame", TASKS.findings)


def test_reports_that_normalize_alike_are_right_answers(helpers: SimpleNamespace) -> None:
    """Four studies whose reports differ in case and white space alone: any of them is right."""
    embedded = helpers.phantom_embedded(20, seed=13, noise=0.6)
    clips, report = embedded.clips, str(embedded.clips["report"].iloc[0])
    spaced = report.replace(". ", ".\n\n").replace(" ", "  ")
    plain, _ = run(helpers, embedded)
    for place, text in enumerate((report, report.upper(), spaced, f"\t{report.lower()} ")):
        clips.loc[place, "report"] = text
    found, _ = run(helpers, embedded)
    about = [one["retrieval"].about["num_different_reports"] for one in (plain, found)]
    assert about[1] == about[0] - 3
    figures = found["retrieval"].scores.figures
    assert figures["mcmrr"].chance < plain["retrieval"].scores.figures["mcmrr"].chance


def test_events_from_a_file(helpers: SimpleNamespace) -> None:
    """Dates of a file stand in for the columns, and a file without an event is said."""
    embedded = helpers.phantom_embedded(60, seed=12, noise=0.1)
    dataset = Dataset(
        name="internal", test=make_items(embedded, "study", TASKS.findings), validation=None
    )
    studies = embedded.clips.groupby("patient_id")
    late = {str(patient): str(rows["date"].max()) for patient, rows in studies if len(rows) > 2}
    outcomes, skipped = evaluate_model(
        "m",
        [dataset],
        helpers.text_embeddings,
        TASKS,
        events={"mitral_surgery": late},
        resampling=Resampling(num_draws=5),
    )
    surgery = next(one for one in outcomes if one.task == "mitral_surgery")
    assert surgery.about["labels"] == "file of events"
    assert surgery.about["num_patients_with_event"] > 3
    assert [one.task for one in skipped] == ["transplant"]


def test_figures_of_an_executor_are_those_of_this_process(helpers: SimpleNamespace) -> None:
    """Whoever computes them; what cannot be judged is skipped with the same reason."""
    embedded = helpers.phantom_embedded(40, seed=5, noise=0.2)
    here, reasons = run(helpers, embedded)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        there, their_reasons = run(helpers, embedded, executor=executor)
    assert list(there) == list(here) and their_reasons == reasons
    for task, outcome in here.items():
        # Sums of other threads of a matrix library may differ in the last digit.
        for name, figure in outcome.scores.figures.items():
            expected = pytest.approx(dataclasses.astuple(figure), rel=1e-9, nan_ok=True)
            assert dataclasses.astuple(there[task].scores.figures[name]) == expected, name
        for name, draws in outcome.scores.draws.items():
            np.testing.assert_allclose(there[task].scores.draws[name], draws, rtol=1e-9)
        pd.testing.assert_frame_equal(there[task].items, outcome.items)


def test_an_executor_that_breaks_down_is_no_reason_to_skip(helpers: SimpleNamespace) -> None:
    """A task is skipped for what the data lack, never for what the machines do."""

    class Broken(ThreadPoolExecutor):
        def submit(self, *_args: Any, **_kwargs: Any) -> Any:
            raise ConnectionError("the scheduler of the cluster is gone")

    embedded = helpers.phantom_embedded(40, seed=5, noise=0.2)
    with Broken() as executor, pytest.raises(EvaluationError, match="broken down"):
        run(helpers, embedded, executor=executor)


# On disk


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained whole-report model."""
    config = phantom_scale(whole_report())
    codec = TextCodec.load(config.model.tokenizer, context_length=config.model.context_length)
    made = model_config(config.model, codec)
    torch.manual_seed(0)
    model = build_model(made, name=config.model.towers)
    folder = tmp_path_factory.mktemp("run") / "best"
    save_checkpoint(
        folder,
        model,
        spec=config.model,
        training=config.training_dict(),
        model_config=made,
        codec=codec,
        facts={},
    )
    return folder


@pytest.fixture(scope="module")
def written(
    checkpoint: Path, training_shards: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the command wrote for the model beside itself."""
    out = tmp_path_factory.mktemp("evaluated")
    data = ["--shards", str(training_shards), "--external", str(training_shards)]
    models = [str(checkpoint)] * 2
    options = ["--draws", "20", "--names", "one,two", "--out", str(out)]
    assert main(["evaluate", *models, *data, *options]) == 0
    return out


def test_command_writes_all(written: Path) -> None:
    """Figures for machines, predictions, two forms of each plot, one page."""
    metrics = json.loads((written / "metrics.json").read_text())
    assert metrics["facts"]["datasets"]["internal"]["num_items"] == 6
    assert metrics["facts"]["datasets"]["external"]["num_items"] == 60
    assert metrics["facts"]["datasets"]["internal"]["num_short"] == 6
    tasks = {one["task"] for one in metrics["outcomes"]}
    assert {"retrieval", "ejection_fraction", "pacemaker_lead"} <= tasks
    reasons = {one["task"]: one["reason"] for one in metrics["skipped"]}
    assert "no patient has two studies" in reasons["identification"]
    assert "no report has a phrase of the finding 'impella'" in reasons["impella"]
    plots = {path.stem for path in (written / "plots").glob("*.png")}
    assert plots == {path.stem for path in (written / "plots").glob("*.svg")} != set()
    assert "<title>Evaluation</title>" in (written / "report.html").read_text()


def test_a_model_does_not_differ_from_itself(written: Path) -> None:
    """The same checkpoint twice: every difference and its interval is nothing."""
    differences = json.loads((written / "metrics.json").read_text())["differences"]
    assert differences
    # None is where a figure is NaN, such as a precision of no findings.
    found = {value for one in differences for value in (one["value"], one["low"], one["high"])}
    assert found - {None} == {0}


def test_predictions_hold_no_report_text(written: Path) -> None:
    """Ids, truth, predictions, ranks: nothing that a report says (I9)."""
    table = pd.read_csv(next((written / "predictions").glob("internal-*.csv")))
    assert len(table) == 6
    assert {"study_id", "rank_of_report", "ejection_fraction.truth"} <= set(table.columns)
    for path in (written / "predictions").iterdir():
        assert "mild mitral" not in path.read_text()


def test_one_seed_gives_one_result(
    written: Path, checkpoint: Path, training_shards: Path, tmp_path: Path
) -> None:
    """Again, with embeddings made anew: the same figures and the same page (I13)."""
    config = EvaluateConfig(
        checkpoints=[checkpoint] * 2,
        data=training_shards,
        external=training_shards,
        out=tmp_path,
        names=["one", "two"],
        resampling=Resampling(num_draws=20),
    )
    evaluate(config)
    for name in ("metrics.json", "report.html"):
        assert (tmp_path / name).read_text() == (written / name).read_text()


def recording(checkpoint: Path, folder: Path, *tasks: str) -> Path:
    """A copy of a checkpoint whose run records task files."""
    shutil.copytree(checkpoint, folder)
    description = folder / "echoclip_r.json"
    facts = json.loads(description.read_text())
    description.write_text(json.dumps(facts | {"tasks": list(tasks)}))
    return folder


def test_tasks_are_those_that_the_run_records(
    checkpoint: Path, training_shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an option the model is asked in its own words, and that is said; an option counts."""
    run = recording(checkpoint, tmp_path / "run", "phantom")
    asked = ["evaluate", str(run), "--shards", str(training_shards), "--draws", "5", "--out"]
    assert main([*asked, str(tmp_path / "own")]) == 0
    assert "tasks: phantom, as the run records" in caplog.messages
    metrics = json.loads((tmp_path / "own" / "metrics.json").read_text())
    assert metrics["facts"]["tasks"] == ["default", "phantom"]
    assert main([*asked, str(tmp_path / "general"), "--tasks", "default"]) == 0
    metrics = json.loads((tmp_path / "general" / "metrics.json").read_text())
    assert metrics["facts"]["tasks"] == ["default"]


def test_runs_that_record_different_tasks_are_not_compared(
    checkpoint: Path, training_shards: Path, tmp_path: Path
) -> None:
    """The message says what each records, and how to choose."""
    run = recording(checkpoint, tmp_path / "run", "phantom")
    with pytest.raises(EvaluationError, match=r"phantom; .*: none.*--tasks"):
        evaluate(
            EvaluateConfig(
                checkpoints=[run, checkpoint], data=training_shards, out=tmp_path / "out"
            )
        )


def test_a_folder_of_shards_is_no_place_for_an_evaluation(
    checkpoint: Path, training_shards: Path, tmp_path: Path
) -> None:
    """Its files would be mixed with the shards; nothing is written."""
    shards = Path(shutil.copytree(training_shards, tmp_path / "shards"))
    before = sorted(shards.rglob("*"))
    with pytest.raises(EvaluationError, match="it holds shards"):
        evaluate(EvaluateConfig(checkpoints=[checkpoint], data=shards, out=shards))
    assert sorted(shards.rglob("*")) == before


def test_what_was_left_out_is_said_everywhere(
    checkpoint: Path, training_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of events that are about nobody stand in the terminal, the figures and the page."""
    events = tmp_path / "events.csv"
    events.write_text(
        "patient_id,event,date\nP57,transplant,2020-01-01\nQ1,transplant,2020-01-01\n"
    )
    said = "Table of events: 1 patients (1 rows, row 3) are in none of the data."
    data = ["--shards", str(training_shards), "--events", str(events)]
    out = tmp_path / "out"
    assert main(["evaluate", str(checkpoint), *data, "--draws", "5", "--out", str(out)]) == 0
    assert f"Note: {said}" in capsys.readouterr().out
    assert said in json.loads((out / "metrics.json").read_text())["facts"]["remarks"]
    assert said in (out / "report.html").read_text()


def test_a_planted_leak_is_refused(
    checkpoint: Path, training_shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A patient of the training split among the test clips stops everything (I10)."""
    shards = Path(shutil.copytree(training_shards, tmp_path / "shards"))
    (test_shard,) = shards.glob("test-*.tar")
    content = test_shard.read_bytes()
    assert b'"patient_id": "P57"' in content
    test_shard.write_bytes(content.replace(b'"patient_id": "P57"', b'"patient_id": "P17"'))
    with pytest.raises(ShardError, match="a split is by patient"):
        evaluate(EvaluateConfig(checkpoints=[checkpoint], data=shards, out=tmp_path / "out"))
    code = main(
        ["evaluate", str(checkpoint), "--shards", str(shards), "--out", str(tmp_path / "out")]
    )
    assert code == 1
    assert "P17" not in capsys.readouterr().err


def test_manifest_is_made_to_shards_first(checkpoint: Path, archive: Path, tmp_path: Path) -> None:
    """One command from an archive's files to a report; the test split is the manifest's."""
    config = EvaluateConfig(
        checkpoints=[checkpoint],
        data=archive / "manifest.csv",
        out=tmp_path,
        workers=0,
        resampling=Resampling(num_draws=5),
    )
    found = evaluate(config)
    assert found.facts["datasets"]["internal"]["num_clips"] == 4
    assert (tmp_path / "shards-internal" / "index.json").exists()
    assert (tmp_path / "report.html").exists()
