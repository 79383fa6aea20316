"""EchoCLIP, EchoCLIP-R and our span recipe on phantoms, several seeds: `make bench-phantom`.

Data and training both change with the seed. Each (seed, model) is a stage of its own under
runs/bench-phantom: one that is done is skipped, one that was stopped goes on. Writes
results/phantom_training.json and .md beside itself, with the bars that were set beforehand.

    python benchmarks/models/phantom_training.py [--seeds 1 2 3] [--models echoclip ...] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, facts, write_results
from benchmarks.models import phantom_steps as steps

# Six to eight core-minutes a model: three to four minutes of a two-core machine that trains two at
# once, a thread each; one alone on two threads takes four to seven. An epoch of 77-token spans
# through CLIP's vocabulary takes twice as long as one of whole reports in some sixty tokens.
EPOCHS = {"echoclip": 13, "echoclip-r": 25, "echoclip-r-span": 18}
NUM_TRAIN = 8000
# Keeps these patients apart from those of the demo, of the tests, and of the phrase table.
FIRST_SEED = 1000


def main() -> int:
    """Run the stages that are not done, then write the results of those that are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--models", nargs="+", default=list(EPOCHS), choices=list(EPOCHS))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-phantom")
    parser.add_argument("--tokenizer", type=Path, help="of the phantom's reports; default ours")
    parser.add_argument("--quick", action="store_true", help="tiny; checks that it runs")
    arguments = parser.parse_args()
    tokenizer = arguments.tokenizer or steps.default_tokenizer()
    stages: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in arguments.models}
    for seed in arguments.seeds:
        for name in arguments.models:
            print(f"== seed {seed}, {name}", flush=True)
            stages[name][seed] = run_stage(arguments, seed, name, tokenizer)
    results = {
        "stages": stages,
        "bars": [{"bar": bar.__doc__, **bar(stages)} for bar in BARS]
        if {"echoclip", "echoclip-r"} <= set(stages)
        else [],
        "facts": facts(
            "python benchmarks/models/phantom_training.py --seeds "
            + " ".join(map(str, arguments.seeds)),
            ["torch", "open_clip_torch", "numpy"],
            seeds=arguments.seeds,
        ),
    }
    if arguments.quick:
        print(to_markdown(results))
    else:
        write_results(
            "phantom_training", results, to_markdown(results), readme=readme_figures(results)
        )
    return 0


def run_stage(
    arguments: argparse.Namespace, seed: int, name: str, tokenizer: Path
) -> dict[str, Any]:
    """One model on one seed's patients: its figures, from disk where the stage is done."""
    folder = arguments.out / f"seed-{seed}"
    data = steps.Data(
        seed=FIRST_SEED + seed,
        num_train=130 if arguments.quick else NUM_TRAIN,
        num_test=30 if arguments.quick else 500,
        num_validation=16 if arguments.quick else 200,
    )
    config = steps.model_config(name, tokenizer, epochs=EPOCHS[name], seed=seed)
    if arguments.quick:
        config = replace(config, epochs=2, warmup_steps=2)
    path = folder / f"{name}.json"
    asked = {"config": steps.named(config), "num_train": data.num_train}
    if path.exists():
        stage: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stage["asked"] == asked:
            return stage
    steps.make_shards(folder, data, workers=min(2, os.cpu_count() or 1))
    took = steps.train_model(config, folder / "shards", folder / name)
    judged = steps.judge(folder / name, folder / "shards", num_test=data.num_test)
    stage = {"asked": asked, "training": took, **judged.figures}
    path.write_text(json.dumps(stage, indent=1) + "\n", encoding="utf-8")
    return stage


# The bars, set before the first run

Stages = Mapping[str, Mapping[int, Mapping[str, Any]]]


def _mcmrr(stage: Mapping[str, Any], how: str) -> float:
    return float(stage["retrieval"][how]["mcmrr"]["value"])


def _recall(stage: Mapping[str, Any], how: str, k: int) -> float:
    found = stage["retrieval"][how]
    ways = ("video_to_report", "report_to_video")
    return float(np.mean([found[way][f"recall_at_{k}"]["value"] for way in ways]))


def _judged(values: Sequence[float], met: Callable[[float], bool]) -> dict[str, Any]:
    return {"by_seed": list(values), "met": all(met(value) for value in values)}


def bar_mcmrr(stages: Stages) -> dict[str, Any]:
    """echoclip-r: MCMRR of 500 at most 15."""
    values = [_mcmrr(stage, steps.WHOLE) for stage in stages["echoclip-r"].values()]
    return _judged(values, lambda value: value <= 15)


def bar_recall(stages: Stages) -> dict[str, Any]:
    """echoclip-r: R@10 at least 65 %."""
    values = [100 * _recall(stage, steps.WHOLE, 10) for stage in stages["echoclip-r"].values()]
    return _judged(values, lambda value: value >= 65)


def bar_ratio(stages: Stages) -> dict[str, Any]:
    """echoclip-r: MCMRR at least 3 times lower than the base model's, windows averaged or not."""
    values = []
    for seed, stage in stages["echoclip-r"].items():
        base = stages["echoclip"][seed]
        best = min(_mcmrr(base, how) for how in (steps.ONE_WINDOW, steps.EVERY_WINDOW))
        values.append(best / _mcmrr(stage, steps.WHOLE))
    return _judged(values, lambda value: value >= 3)


def bar_pacer(stages: Stages) -> dict[str, Any]:
    """Both published recipes: pacemaker lead AUC at least .95."""
    names = ("echoclip", "echoclip-r")
    values = [one["pacemaker_lead"]["value"] for name in names for one in stages[name].values()]
    return _judged(values, lambda value: value >= 0.95)


def bar_effusion(stages: Stages) -> dict[str, Any]:
    """echoclip-r: effusion AUC at least .90."""
    values = [one["pericardial_effusion"]["value"] for one in stages["echoclip-r"].values()]
    return _judged(values, lambda value: value >= 0.90)


def bar_ef(stages: Stages) -> dict[str, Any]:
    """echoclip-r: EF r at least .45."""
    values = [one["ef"]["r"]["value"] for one in stages["echoclip-r"].values()]
    return _judged(values, lambda value: value >= 0.45)


BARS = (bar_mcmrr, bar_recall, bar_ratio, bar_pacer, bar_effusion, bar_ef)


def readme_figures(results: Mapping[str, Any]) -> dict[str, Any]:
    """The README's table: means over the seeds, a row for each way of reading reports."""
    rows = []
    for name, by_seed in results["stages"].items():
        found = list(by_seed.values())
        for how in found[0]["retrieval"]:
            rows.append(
                {
                    "recipe": name,
                    "reads": how,
                    "mcmrr": float(np.mean([_mcmrr(one, how) for one in found])),
                    "recall_at_10": float(np.mean([_recall(one, how, 10) for one in found])),
                    **{
                        f"ef_{figure}": float(
                            np.mean([one["ef"][figure]["value"] for one in found])
                        )
                        for figure in ("mae", "r")
                    },
                    "ef_mae_guess": float(np.mean([one["ef"]["mae"]["chance"] for one in found])),
                    "pacemaker_lead": float(
                        np.mean([one["pacemaker_lead"]["value"] for one in found])
                    ),
                    "pericardial_effusion": float(
                        np.mean([one["pericardial_effusion"]["value"] for one in found])
                    ),
                }
            )
    return {
        "rows": rows,
        "seeds": results["facts"]["seeds"],
        "num_studies": found[0]["num_studies"],
    }


# The page


def to_markdown(results: Mapping[str, Any]) -> str:
    """Tables: means over seeds with the range, the bars, every stage with its interval."""
    stages: Stages = results["stages"]
    about = results["facts"]
    first = next(iter(next(iter(stages.values())).values()))
    lines = [
        "# Training on phantoms",
        "",
        "Simulated patients throughout: this compares recipes and shows that the software works, "
        "and is no clinical evidence.",
        "",
        f"{first['num_studies']} held-out studies a seed, about {first['asked']['num_train']:,} to "
        f"train on, seeds {', '.join(map(str, about['seeds']))} (patients, splits, weights, "
        "order). Means over the seeds, range in brackets; R@k and MCMRR are means of both "
        "directions. EF by the paper's rule; the last row's MAE is that of always guessing the "
        "median of the validation split.",
        "",
        "| model | reports read as | MCMRR | R@1, % | R@10, % | EF MAE | EF r | pacemaker lead AUC "
        "| effusion AUC | tokens a report | minutes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, by_seed in stages.items():
        found = list(by_seed.values())
        for how in found[0]["retrieval"]:
            cells = [
                steps.spread([_mcmrr(one, how) for one in found], ".1f"),
                steps.spread([100 * _recall(one, how, 1) for one in found], ".1f"),
                steps.spread([100 * _recall(one, how, 10) for one in found], ".1f"),
                steps.spread([one["ef"]["mae"]["value"] for one in found], ".1f"),
                steps.spread([one["ef"]["r"]["value"] for one in found], ".2f"),
                steps.spread([one["pacemaker_lead"]["value"] for one in found], ".3f"),
                steps.spread([one["pericardial_effusion"]["value"] for one in found], ".3f"),
                f"{np.mean([one['tokens_a_report'] for one in found]):.0f}",
                f"{np.mean([one['training']['seconds'] for one in found]) / 60:.1f}",
            ]
            lines.append(f"| {name} | {how} | {' | '.join(cells)} |")
    chance = first["retrieval"][next(iter(first["retrieval"]))]
    lines.append(
        f"| chance | | {chance['mcmrr']['chance']:.1f} "
        f"| {100 * chance['video_to_report']['recall_at_1']['chance']:.1f} "
        f"| {100 * chance['video_to_report']['recall_at_10']['chance']:.1f} "
        f"| {first['ef']['mae']['chance']:.1f} | 0 | 0.5 | 0.5 | | |"
    )
    if results["bars"]:
        lines += [
            "",
            "| bar, set beforehand | by seed | met by every seed |",
            "| --- | --- | --- |",
        ]
        lines += [
            f"| {bar['bar']} | {', '.join(f'{value:.3g}' for value in bar['by_seed'])} "
            f"| {'yes' if bar['met'] else '**no**'} |"
            for bar in results["bars"]
        ]
    lines += [
        "",
        "Every stage, with its 95 % interval from 1,000 resamples of the query patients:",
        "",
        "| seed | model | reports read as | MCMRR | R@10 video to report, % | EF r "
        "| pacemaker lead AUC | effusion AUC |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, by_seed in stages.items():
        for seed, one in by_seed.items():
            for how, found_one in one["retrieval"].items():
                cells = [
                    _estimate(found_one["mcmrr"], ".1f"),
                    _estimate(found_one["video_to_report"]["recall_at_10"], ".1f", scale=100),
                    _estimate(one["ef"]["r"], ".2f"),
                    _estimate(one["pacemaker_lead"], ".3f"),
                    _estimate(one["pericardial_effusion"], ".3f"),
                ]
                lines.append(f"| {seed} | {name} | {how} | {' | '.join(cells)} |")
    lines += [
        "",
        f"{about['machine']}; Python {about['python']}; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + f". Minutes are those of training, on a machine that may have been shared. "
        f"`{about['command']}`",
        "",
    ]
    return "\n".join(lines)


def _estimate(figure: Mapping[str, float], form: str, scale: float = 1) -> str:
    value, low, high = (format(scale * figure[name], form) for name in ("value", "low", "high"))
    return f"{value} ({low}, {high})"


if __name__ == "__main__":
    sys.exit(main())
