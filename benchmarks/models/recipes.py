"""Every recipe on the same phantoms, judged on every task: `make bench-recipes`.

Two by two, what is read of a report and by which tokenizer:

    snippet-clip     77 ids of CLIP's vocabulary, from anywhere: the published base model
    snippet-echotok  about the same text in phrases
    whole-clip       the whole report in CLIP's vocabulary, 640 ids
    echoclip-r       the whole report in phrases: the published retrieval model

beside a BPE of 1,000 trained on such reports, in which numbers have rows of their own
(whole-bpe1000), and our recipes, each also with what the other one brings taken away:
`echoclip-r-cine` has the cine pictures of `echoclip-r-findings` and none of its losses,
`findings-color` the losses and single frames. In `findings-smooth` a number's row is a function
of its size.

All have the same clips, towers and passes over the data. Each (seed, recipe) is a stage under
runs/bench-recipes: one that is done is skipped, one that was stopped goes on. Writes
results/recipes.md; with `--page` of the stages that are done, and trains nothing. With `--site 1`
everything is done on the phantoms of a second laboratory, on which no choice was made
(results/recipes_other_site.md).

    python benchmarks/models/recipes.py [--seeds 1 2 3] [--recipes ...] [--site 1] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Drawing

from benchmarks.common import RESULTS, ROOT, facts, write_results
from benchmarks.models import phantom_steps as steps
from echoclip_r.data.shards import read_clips
from echoclip_r.embedding.embedder import embed_texts
from echoclip_r.evaluation.plots.style import COLOURS, GREY, MARKERS, RC
from echoclip_r.evaluation.runner import evaluate_model
from echoclip_r.evaluation.tasks import read_tasks
from echoclip_r.metrics.bootstrap import Resampling
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.phantom.study import SITES
from echoclip_r.text.edits import EDITS
from echoclip_r.training.config import TrainConfig, changed
from echotok.bpe_training import train_merges
from echotok.building import build
from echotok.cpus import num_cpus
from echotok.text import split_pieces

FIRST_SEED = 1000  # the patients of bench-phantom
NUM_TRAIN, EPOCHS = 8000, 25
DEVICES = ("pacemaker_lead", "impella", "tavr", "mitraclip")
CHAMBERS = ("lv", "rv", "la", "ra")
DRAWN = {
    "ejection_fraction",
    "lv_systolic_dysfunction",
    "pericardial_effusion",
    *(f"{chamber}_dilation" for chamber in CHAMBERS),
    *DEVICES,
}
"""Findings that the phantom's pictures show, so that looking can tell."""
PHANTOM_TABLE = ROOT / "phrase_tables" / "phantom"
_WHOLE_CLIP, _WHOLE_BPE = 640, 512
_SNIPPET = 12  # ids of phrases that hold about as much as 77 of CLIP's vocabulary


def main() -> int:
    """Run the stages that are not done, then write the results of those that are."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench-recipes")
    parser.add_argument("--num-train", type=int, default=NUM_TRAIN)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--site", type=int, default=0, choices=SITES, help="of the phantoms")
    parser.add_argument("--page", action="store_true", help="train nothing; of what is done")
    parser.add_argument("--quick", action="store_true", help="tiny; checks that it runs")
    arguments = parser.parse_args()
    stages: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in arguments.recipes}
    for seed in arguments.seeds:
        for name in arguments.recipes:
            print(f"== seed {seed}, {name}", flush=True)
            stage = run_stage(arguments, seed, name)
            if stage is not None:
                stages[name][seed] = stage
    stages = {name: by_seed for name, by_seed in stages.items() if by_seed}
    if not stages:
        print(f"{arguments.out} holds no stage of these that is done", file=sys.stderr)
        return 1
    results = {
        "stages": stages,
        "facts": facts(
            "python benchmarks/models/recipes.py " + " ".join(sys.argv[1:]),
            ["torch", "open_clip_torch", "numpy"],
            seeds=arguments.seeds,
        ),
    }
    if arguments.quick:
        print(to_markdown(results))
        return 0
    name = "recipes" if arguments.site == 0 else "recipes_other_site"
    write_results(name, results, to_markdown(results), readme=readme_figures(results))
    if arguments.site == 0:
        curves = {
            recipe: [steps.validation_curve(_folder(arguments, seed) / recipe) for seed in by_seed]
            for recipe, by_seed in stages.items()
        }
        draw(stages, curves).savefig(RESULTS / "recipes.svg", metadata={"Date": None})
    return 0


def run_stage(arguments: argparse.Namespace, seed: int, name: str) -> dict[str, Any] | None:
    """One recipe on one seed's patients: its figures, from disk where the stage is done.

    None where it is not, and only what is done is asked for.
    """
    folder = _folder(arguments, seed)
    data = steps.Data(
        seed=FIRST_SEED + seed,
        num_train=130 if arguments.quick else arguments.num_train,
        num_test=30 if arguments.quick else 500,
        num_validation=16 if arguments.quick else 200,
        site=arguments.site,
    )
    if arguments.page and not (folder / f"{name}.json").exists():
        return None
    if not arguments.page:
        steps.make_shards(folder, data, workers=num_cpus())
    config = replace(
        RECIPES[name](folder),
        seed=seed,
        epochs=2 if arguments.quick else arguments.epochs,
        warmup_steps=2 if arguments.quick else 100,
    )
    path = folder / f"{name}.json"
    asked = {"config": steps.named(config), "data": data.asked()}
    if path.exists():
        stage: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if stage["asked"] == asked:
            return stage
    if arguments.page:
        return None
    took = steps.train_model(config, folder / "shards", folder / name)
    stage = {
        "asked": asked,
        "training": took,
        **judge(folder / name, folder / "shards", num_test=data.num_test),
    }
    path.write_text(json.dumps(stage, indent=1) + "\n", encoding="utf-8")
    return stage


def _folder(arguments: argparse.Namespace, seed: int) -> Path:
    folder: Path = arguments.out / f"site-{arguments.site}" / f"seed-{seed}"
    return folder


def judge(run: Path, shards: Path, *, num_test: int) -> dict[str, Any]:
    """All figures of all tasks on the held-out studies."""
    model = load_checkpoint(run)
    tasks = read_tasks("phantom")
    dataset = steps.held_out(model, run, shards, tasks, num_test=num_test)
    resampling = Resampling(seed=0)
    outcomes, _ = evaluate_model(
        model.name, [dataset], partial(embed_texts, model), tasks, resampling=resampling
    )
    figures = {
        one.task: {name: asdict(figure) for name, figure in one.scores.figures.items()}
        for one in outcomes
    }
    (edited,) = (one for one in outcomes if one.task == "edited")
    figures["edited_drawn"] = _of_what_is_drawn(edited.items)
    lengths = steps.token_counts(model, dataset.test.rows["report"].tolist())
    truncated = float((lengths > model.context_length).mean())
    if truncated > 0.5:  # of a snippet model, what it makes of all windows of a report
        averaged = steps.judge_windows(model, dataset, tasks, resampling)
        found = averaged.scores.figures.items()
        figures["windows"] = {name: asdict(figure) for name, figure in found}
    return {
        "figures": figures,
        "tokens_a_report": float(lengths.mean()),
        "truncated": truncated,
        "num_studies": num_test,
    }


def _of_what_is_drawn(items: pd.DataFrame) -> dict[str, dict[str, float]]:
    """As the evaluator counts changes, where the changed finding is in the picture."""
    margins = np.array(
        [
            (row[f"margin_{kind}"], row[f"margin_of_other_{kind}"])
            for kind in EDITS
            for _, row in items.iterrows()
            if row.get(f"finding_{kind}") in DRAWN
        ]
    )
    right, other = (np.sign(margins * [1, -1]).T + 1) / 2
    both = ((right + other) / 2)[~np.isnan(other)]
    return {
        name: {"value": float(np.mean(found)), "num": len(found)}
        for name, found in (("true_preferred", right), ("told_apart", both))
    }


# The recipes


def _phrases(recipe: str, folder: Path, **settings: Any) -> TrainConfig:
    config = steps.model_config(recipe, steps.default_tokenizer(), epochs=EPOCHS, seed=0)
    return changed(config, **settings)


def _snippet_phrases(folder: Path) -> TrainConfig:
    config = steps.model_config("echoclip", Path(), epochs=EPOCHS, seed=0)
    phrases = _phrases("echoclip-r", folder).model
    return replace(config, model=replace(phrases, context_length=_SNIPPET))


def _whole_clip(folder: Path) -> TrainConfig:
    """Without leaving sentences out: CLIP's tokenizer does not know where they end."""
    config = _phrases("echoclip-r", folder, drop_sentences=0.0)
    base = steps.model_config("echoclip", Path(), epochs=EPOCHS, seed=0).model
    return replace(config, model=replace(base, context_length=_WHOLE_CLIP))


def _whole_bpe(folder: Path) -> TrainConfig:
    model = replace(
        _phrases("echoclip-r", folder).model,
        tokenizer=str(_domain_bpe(folder)),
        context_length=_WHOLE_BPE,
    )
    return replace(_phrases("echoclip-r", folder), model=model)


def _domain_bpe(folder: Path, *, size: int = 1000) -> Path:
    """A BPE of 1,000 entries without phrases, trained on the reports of the training split."""
    path = folder / "bpe1000.json"
    if not path.exists():
        counts: Counter[str] = Counter()
        for clip in read_clips(folder / "shards", split="train"):
            counts.update(piece.strip() for piece in split_pieces(clip.report.lower()))
        del counts[""]
        table = folder / "bpe1000"
        table.mkdir(exist_ok=True)
        settings = tomllib.loads((PHANTOM_TABLE / "table.toml").read_text(encoding="utf-8"))
        base = settings["fallback"]["base"]
        merges = train_merges(counts, size - len(base) - 1, base=base)
        (table / "table.toml").write_text(
            'name = "bpe1000"\nversion = "1.0.0"\nlocale = "en"\nlicence = "Apache-2.0"\n'
            'provenance = "A BPE of phantom reports, without phrases."\nunits = []\n'
            f"[capacity]\nphrases = 1\nvalues = 0\nmerges = {len(merges)}\n"
            f"[fallback]\nbase = {json.dumps(base)}\n",
            encoding="utf-8",
        )
        # A table has at least one phrase; no report has this one.
        row = "0,this table has no phrases,1.0.0,,"
        (table / "terms.csv").write_text(f"id,phrase,since,retired,note\n{row}\n", encoding="utf-8")
        (table / "merges.txt").write_text(
            "".join(f"{left} {right}\n" for left, right in merges), encoding="utf-8"
        )
        build(table).save(path)
    return path


RECIPES: Mapping[str, Callable[[Path], TrainConfig]] = {
    "snippet-clip": lambda folder: steps.model_config("echoclip", Path(), epochs=EPOCHS, seed=0),
    "snippet-echotok": _snippet_phrases,
    "whole-clip": _whole_clip,
    "whole-bpe1000": _whole_bpe,
    "echoclip-r": lambda folder: _phrases("echoclip-r", folder),
    "echoclip-r-span": lambda folder: _phrases("echoclip-r-span", folder),
    "echoclip-r-findings": lambda folder: _phrases("echoclip-r-findings", folder),
    "echoclip-r-cine": lambda folder: _phrases("echoclip-r", folder, channels="cine"),
    "findings-color": lambda folder: _phrases("echoclip-r-findings", folder, channels="color"),
    "findings-smooth": lambda folder: _phrases("echoclip-r-findings", folder, smooth_numbers=True),
}


# The page

Stages = Mapping[str, Mapping[int, Mapping[str, Any]]]


def readme_figures(results: Mapping[str, Any]) -> dict[str, Any]:
    """The README's table: means over the seeds, a row for each recipe."""
    stages: Stages = results["stages"]
    first = next(iter(next(iter(stages.values())).values()))
    return {
        "num_studies": first["num_studies"],
        "num_train": first["asked"]["data"]["num_train"],
        "epochs": first["asked"]["config"]["epochs"],
        "seeds": results["facts"]["seeds"],
        "guess": dict(zip(_NUMBERS, _guesses(stages), strict=True)),
        "rows": [
            {
                "recipe": name,
                "seeds": len(by_seed),
                **{
                    column: float(np.mean([measure(one) for one in by_seed.values()]))
                    for column, measure in _README_COLUMNS.items()
                },
            }
            for name, by_seed in stages.items()
        ],
    }


def to_markdown(results: Mapping[str, Any]) -> str:
    """Means over the seeds with the range, then every figure of every seed with its interval."""
    stages: Stages = results["stages"]
    about = results["facts"]
    first = next(iter(next(iter(stages.values())).values()))
    asked = first["asked"]
    ef, pap = _guesses(stages)
    lines = [
        "# Recipes on phantoms",
        "",
        "Simulated patients throughout: this compares recipes, and is no clinical evidence.",
        *(
            [
                "",
                "A second laboratory, on which no choice was made: another scanner, other readers, "
                "fewer of the sick.",
            ]
            if asked["data"].get("site")
            else []
        ),
        "",
        f"{first['num_studies']} held-out studies a seed, about {asked['data']['num_train']:,} to "
        f"train on, {asked['config']['epochs']} passes, seeds "
        f"{', '.join(map(str, about['seeds']))} (patients, splits, weights, order). Means over the "
        "seeds, range in brackets. Numbers by the paper's rule; the guess says the median of "
        f"other patients of everyone: MAE {ef:.1f} for EF, {pap:.1f} for pulmonary pressure. "
        "'Devices' and 'dilation' are the lowest AUC of four devices, and of at least moderate "
        "dilation of four chambers, by the paper's score. 'True preferred': how often a clip is "
        "nearer to its report than to the same with one finding changed; 'told apart': the mean "
        "of that and of how often a clip of which the changed text is true is nearer to that; "
        "'drawn': where the picture shows the finding.",
        "",
        "| recipe | seeds | tokens | cut, % | MCMRR | EF r | EF MAE | calibrated | PAP MAE "
        "| devices | dilation | effusion | true preferred | told apart | drawn | minutes |",
        "|" + " --- |" * 16,
    ]
    for name, by_seed in stages.items():
        found = list(by_seed.values())
        cells = [
            str(len(found)),
            f"{np.mean([one['tokens_a_report'] for one in found]):.0f}",
            f"{100 * np.mean([one['truncated'] for one in found]):.0f}",
            steps.spread([_mcmrr(one) for one in found], ".1f"),
            steps.spread([_value(one, "ejection_fraction", "pearson") for one in found], ".2f"),
            steps.spread([_value(one, "ejection_fraction", "mae") for one in found], ".1f"),
            steps.spread(
                [_value(one, "ejection_fraction", "mae:calibrated") for one in found], ".1f"
            ),
            steps.spread([_value(one, "pulmonary_artery_pressure", "mae") for one in found], ".1f"),
            steps.spread(
                [min(_value(one, task, "auc") for task in DEVICES) for one in found], ".3f"
            ),
            steps.spread([min(_dilation(one).values()) for one in found], ".3f"),
            steps.spread([_value(one, "pericardial_effusion", "auc") for one in found], ".3f"),
            steps.spread([_value(one, "edited", "true_preferred") for one in found], ".2f"),
            steps.spread([_value(one, "edited", "told_apart") for one in found], ".2f"),
            steps.spread([_value(one, "edited_drawn", "told_apart") for one in found], ".2f"),
            f"{np.mean([one['training']['seconds'] for one in found]) / 60:.1f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if not asked["data"].get("site"):
        lines += ["", "![Both skills of each recipe, and retrieval by passes](recipes.svg)"]
    lines += ["", "Each seed, with 95 % intervals from 1,000 resamples of the patients:", ""]
    shown = (
        *(("retrieval", name) for name in ("mcmrr",)),
        *((task, name) for task in _NUMBERS for name in ("pearson", "mae")),
        *((task, "auc") for task in DEVICES),
        *((f"{chamber}_dilation_moderate", "auc") for chamber in CHAMBERS),
        *(
            ("edited", f"{name}:{kind}")
            for name in ("true_preferred", "told_apart")
            for kind in ("number", "grade", "denied", "side")
        ),
    )
    columns = [(name, seed) for name, by_seed in stages.items() for seed in by_seed]
    lines += [
        "| task | figure | " + " | ".join(f"{name}, {seed}" for name, seed in columns) + " |",
        "| --- |" * 1 + " --- |" * (len(columns) + 1),
    ]
    for task, figure in shown:
        cells = [_estimate(stages[name][seed], task, figure) for name, seed in columns]
        lines.append(f"| {task} | {figure} | {' | '.join(cells)} |")
    lines += [
        "",
        f"{about['machine']}; Python {about['python']}; "
        + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        + ". Where more than half of the reports are cut, MCMRR is that of the mean of all "
        "windows, if it is better. Minutes are those of training, on a machine that may have been "
        f"shared. `{about['command']}`",
        "",
    ]
    return "\n".join(lines)


def _guesses(stages: Stages) -> list[float]:
    """The median guess's MAE for each number, a mean over the seeds."""
    of_seed = {seed: one for by_seed in stages.values() for seed, one in by_seed.items()}
    return [
        float(np.mean([one["figures"][name]["mae"]["chance"] for one in of_seed.values()]))
        for name in _NUMBERS
    ]


def draw(
    stages: Stages, curves: Mapping[str, Sequence[tuple[Sequence[int], Sequence[float]]]]
) -> Drawing:
    """Both skills of each recipe beside each other, a mark a seed, and retrieval while training.

    Args:
        stages: by recipe and seed.
        curves: steps and validation MCMRR of each recipe's runs.
    """
    first = next(iter(next(iter(stages.values())).values()))
    with mpl.rc_context(RC):
        drawing = Drawing(figsize=(13, 4.6), layout="constrained")
        axes = drawing.subplots(1, 3)
        for number, (name, by_seed) in enumerate(stages.items()):
            # Ours in black; of the other colours each comes twice, with other marks and dashes.
            ours = name == "echoclip-r-findings"
            colour = "black" if ours else _OTHERS[number % len(_OTHERS)]
            again = not ours and number >= len(_OTHERS)
            found = list(by_seed.values())
            ranks = [_mcmrr(one) for one in found]
            for ax, measure in zip(axes, (_share_of_guess, _ef_r), strict=False):
                ax.plot(
                    ranks,
                    [measure(one) for one in found],
                    color=colour,
                    marker="*" if ours else MARKERS[number % len(MARKERS)],
                    markersize=9 if ours else 6,
                    fillstyle="none" if again else "full",
                    linestyle="none",
                    label=name,
                )
            steps_made = np.array([run[0] for run in curves[name]])
            passes = steps_made[0] / steps_made[0][-1] * first["asked"]["config"]["epochs"]
            validation = np.mean([run[1] for run in curves[name]], axis=0)
            axes[2].plot(passes, validation, color=colour, linestyle="--" if again else "-")
        axes[0].axhline(1, color=GREY, linestyle=":", label="the median guess")
        of = f"MCMRR of {first['num_studies']}"
        axes[0].set(
            title="Ejection fraction: error by the guess's",
            xlabel=of,
            ylabel="MAE / MAE of the median guess",
        )
        axes[1].set(title="Ejection fraction: correlation", xlabel=of, ylabel="Pearson's r")
        axes[2].set(title="Retrieval of validation studies", xlabel="passes", ylabel="MCMRR")
        axes[2].set_yscale("log")
        axes[2].yaxis.set_major_formatter("{x:.0f}")
        axes[2].yaxis.set_minor_formatter("{x:.0f}")  # the usual one writes formulas
        drawing.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False
        )
        drawing.suptitle("Recipes on phantoms: simulated data, no clinical evidence", fontsize=10)
    return drawing


_OTHERS = tuple(colour for colour in COLOURS if colour != GREY)


def _share_of_guess(stage: Mapping[str, Any]) -> float:
    mae: Mapping[str, float] = stage["figures"]["ejection_fraction"]["mae"]
    return mae["value"] / mae["chance"]


def _ef_r(stage: Mapping[str, Any]) -> float:
    return _value(stage, "ejection_fraction", "pearson")


_NUMBERS = ("ejection_fraction", "pulmonary_artery_pressure")


def _value(stage: Mapping[str, Any], task: str, figure: str) -> float:
    found = stage["figures"].get(task, {}).get(figure)
    return float("nan") if found is None else float(found["value"])


def _mcmrr(stage: Mapping[str, Any]) -> float:
    return min(
        _value(stage, task, "mcmrr")
        for task in ("retrieval", "windows")
        if task in stage["figures"]
    )


def _dilation(stage: Mapping[str, Any]) -> dict[str, float]:
    return {name: _value(stage, f"{name}_dilation_moderate", "auc") for name in CHAMBERS}


_README_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "mcmrr": _mcmrr,
    "ef_r": _ef_r,
    "ef_mae": lambda one: _value(one, "ejection_fraction", "mae"),
    "pap_mae": lambda one: _value(one, "pulmonary_artery_pressure", "mae"),
    "devices": lambda one: min(_value(one, task, "auc") for task in DEVICES),
    "dilation": lambda one: min(_dilation(one).values()),
    "drawn": lambda one: _value(one, "edited_drawn", "told_apart"),
}


def _estimate(stage: Mapping[str, Any], task: str, figure: str) -> str:
    found = stage["figures"].get(task, {}).get(figure)
    if found is None:
        return ""
    form = ".1f" if figure in ("mcmrr", "mae") else ".2f"
    value, low, high = (format(found[name], form) for name in ("value", "low", "high"))
    return f"{value} ({low}, {high})"


if __name__ == "__main__":
    sys.exit(main())
