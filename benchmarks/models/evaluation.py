"""Every task of the paper on held-out phantoms, three models side by side: `make bench-evaluation`.

Takes the models and patients of `make bench-phantom` (one seed; trains what is not there yet),
evaluates them on their held-out split and on an external archive of other patients with larger
frames, a burned-in screen and two clips a study, and asks where they look. The report goes to
runs/evaluation/report.html, the figures to results/evaluation.json and .md beside this file.

    python benchmarks/models/evaluation.py [--seed 1] [--models echoclip ...] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.common import ROOT, facts, write_results
from benchmarks.models import phantom_steps as steps
from benchmarks.models import phantom_training as training
from benchmarks.models.prompt_cam import draw_heat, measure_heat, render_leads
from echoclip_r.evaluation.config import EvaluateConfig
from echoclip_r.evaluation.figures import label_of
from echoclip_r.evaluation.outcomes import Evaluation, Outcome
from echoclip_r.evaluation.report.tables import count_text, main_figures
from echoclip_r.evaluation.runner import evaluate
from echoclip_r.evaluation.verdicts import verdict
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.phantom.archive import write_archive

EXTERNAL_SEED = 9001
NOTE = (
    "Everything here is simulated: patients, clips and reports. It compares recipes and shows that "
    "the software works; it is no clinical evidence. Prompts are in the wording of the phantom's "
    "one laboratory."
)


def main() -> int:
    """Train what is missing, evaluate, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=1, help="of bench-phantom")
    parser.add_argument("--models", nargs="+", default=list(training.EPOCHS))
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "bench-phantom")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "evaluation")
    parser.add_argument("--tokenizer", type=Path, help="of the phantom's reports; default ours")
    parser.add_argument("--quick", action="store_true", help="tiny; checks that it runs")
    arguments = parser.parse_args()
    folder = arguments.runs / f"seed-{arguments.seed}"
    tokenizer = arguments.tokenizer or steps.default_tokenizer()
    stage = argparse.Namespace(out=arguments.runs, quick=arguments.quick)
    for name in arguments.models:
        training.run_stage(stage, arguments.seed, name, tokenizer)  # skipped where it is done
    external = write_archive(
        arguments.out / "external-archive",
        12 if arguments.quick else 150,
        seed=EXTERNAL_SEED,
        workers=2,
        size_px=112,
        num_frames=10,
        clips_per_study=2,
        overlays="all",
    )
    config = EvaluateConfig(
        checkpoints=[folder / name for name in arguments.models],
        data=folder / "shards",
        out=arguments.out,
        external=external.manifest,
        tasks=["phantom"],
        names=arguments.models,
        title="Phantom evaluation",
        note=NOTE,
        workers=2,
    )
    evaluation = evaluate(config)
    results = {
        "metrics": _metrics(arguments.out),
        "prompt_cam": look(folder, arguments),
        "facts": facts(
            f"python benchmarks/models/evaluation.py --seed {arguments.seed}",
            ["torch", "open_clip_torch", "numpy", "scikit-learn"],
            seed=arguments.seed,
        ),
    }
    markdown = to_markdown(evaluation, results)
    if arguments.quick:
        print(markdown)
    else:
        write_results("evaluation", results, markdown)
    return 0


def _metrics(out: Path) -> dict[str, Any]:
    """What was written, without the paths of this machine."""
    text = (out / "metrics.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.replace(f"{ROOT}/", ""))
    return found


def look(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """PromptCAM of each model on the held-out patients who have a lead."""
    manifest = pd.read_csv(folder / "manifest.csv", dtype={"patient_id": str})
    patients = manifest.loc[manifest["split"] == "test", "patient_id"].unique().tolist()
    found: dict[str, Any] = {}
    clips = None
    for name in arguments.models:
        model = load_checkpoint(folder / name)
        if clips is None:
            clips = render_leads(
                patients,
                archive_seed=training.FIRST_SEED + arguments.seed,
                size_px=model.image_size_px,
                num_frames=6,
            )
        found[name] = measure_heat(model, clips, seed=arguments.seed)
        draw_heat(model, clips, arguments.out / f"prompt_cam-{name}.png")
    return found


def to_markdown(evaluation: Evaluation, results: Mapping[str, Any]) -> str:
    """A table of all tasks, the differences, and where the models look."""
    models = list(evaluation.facts["models"])
    data = evaluation.facts["datasets"]
    lines = ["# Every task, on phantoms", "", NOTE, ""]
    lines += [
        f"- {name}: {one['num_items']:,} studies of {one['num_patients']:,} patients, "
        f"{one['num_clips']:,} clips, {one['num_frames']:,} frames"
        for name, one in data.items()
    ]
    lines += [
        "",
        "Value (95 % interval, 1,000 draws of patients), and a word on it. MAE and MCMRR: less is "
        "better. *AUC* is the paper's score (mean cosine with prompts), *AUC, contrast* that minus "
        "the mean cosine with prompts of a normal study. Bold: no better than chance or than the "
        "median guess, weak, or too few to tell.",
    ]
    for dataset in data:
        lines += [
            "",
            f"## {dataset.capitalize()}",
            "",
            f"| task | figure | {' | '.join(models)} | guess | n |",
            "| --- | --- |" + " --- |" * (len(models) + 2),
        ]
        rows: dict[str, dict[str, Outcome]] = {}
        for one in evaluation.outcomes:
            if one.dataset == dataset:
                rows.setdefault(one.task, {})[one.model] = one
        for by_model in rows.values():
            first = next(iter(by_model.values()))
            for name in _figures(first):
                cells = [_cell(by_model[model], name) for model in models]
                guess = first.scores.figures[name].chance
                lines.append(
                    f"| {first.title} | {label_of(name)} | {' | '.join(cells)} | {guess:.3g} "
                    f"| {count_text(first)} |"
                )
    lines += [
        "",
        "## Differences (paired bootstrap)",
        "",
        "Only those whose interval leaves out 0, of "
        f"{len(evaluation.comparisons)} comparisons; one in twenty would by luck alone.",
        "",
        "| task | data | figure | models | difference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for compared in evaluation.comparisons:
        gap = compared.difference
        if gap.low > 0 or gap.high < 0:
            lines.append(
                f"| {compared.title} | {compared.dataset} | {label_of(compared.figure)} "
                f"| {compared.second} minus {compared.first} "
                f"| {gap.value:.3g} ({gap.low:.3g} to {gap.high:.3g}) |"
            )
    lines += _looks(results["prompt_cam"])
    about = results["facts"]
    lines += [
        "",
        f"{about['machine']}; Python {about['python']}; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + f". Patients and weights of seed {about['seed']}. `{about['command']}`",
        "",
    ]
    return "\n".join(lines)


def _figures(outcome: Outcome) -> list[str]:
    more = {
        "regression": ["pearson", "mae:published_code"],
        "retrieval": ["recall_at_10:video_to_report", "recall_at_10:report_to_video"],
    }
    return [*main_figures(outcome), *more.get(outcome.section, [])]


def _cell(outcome: Outcome, name: str) -> str:
    figure = outcome.scores.figures[name]
    text = f"{figure.value:.3g} ({figure.low:.3g} to {figure.high:.3g})"
    said = verdict(outcome, name) if name in main_figures(outcome) else None
    if said is None:
        return text
    return f"{text}, **{said.text}**" if said.kind == "weak" else f"{text}, {said.text}"


def _looks(found: Mapping[str, Any]) -> list[str]:
    num_clips = max(row["num_clips"] for rows in found.values() for row in rows)
    lines = [
        "",
        "## Where the models look for a pacemaker lead",
        "",
        f"PromptCAM on {num_clips} held-out clips with a lead, 6 frames each, rendered anew with "
        "the lead's place known: share of heat on the lead over its share of the sector's area (1 "
        "is chance), the share of clips where it is above 1, and two controls: the ratio of the "
        "heat for effusion prompts, and that on the place of another clip's lead.",
        "",
        "| model | heat | heat on lead / area | clips above 1 | other prompt | other place |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for model, rows in found.items():
        for row in rows:
            ratio = row["ratio"]
            lines.append(
                f"| {model} | {row['way']} | {ratio['value']:.2f} ({ratio['low']:.2f} to "
                f"{ratio['high']:.2f}) | {row['clips_above_area']:.0%} "
                f"| {row['other_prompt_ratio']:.2f} | {row['other_place_ratio']:.2f} |"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
