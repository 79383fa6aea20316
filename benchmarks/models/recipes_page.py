"""What `make bench-recipes` says of its stages: the page, its picture and the README's figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Drawing

from benchmarks.models import phantom_steps as steps
from echoclip_r.evaluation.plots.style import COLOURS, GREY, MARKERS, RC

__all__ = ["CHAMBERS", "DEVICES", "Stage", "draw", "readme_figures", "to_markdown"]

DEVICES = ("pacemaker_lead", "impella", "tavr", "mitraclip")
CHAMBERS = ("lv", "rv", "la", "ra")

Stage = Mapping[str, Any]

Stages = Mapping[str, Mapping[int, Stage]]


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
    if picture := results["picture"]:
        lines += ["", f"![Both skills of each recipe, and retrieval by passes]({picture})"]
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
    stages: Stages,
    curves: Mapping[str, Sequence[tuple[Sequence[int], Sequence[float]]]],
    path: Path,
) -> None:
    """Both skills of each recipe beside each other, a mark a seed, and retrieval while training.

    Args:
        stages: by recipe and seed.
        curves: steps and validation MCMRR of each recipe's runs.
        path: the SVG file; the same figures give the same bytes.
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
            line = {"color": colour, "linestyle": "--" if again else "-"}
            mark: dict[str, Any] = {
                "marker": "*" if ours else MARKERS[number % len(MARKERS)],
                "markersize": 9 if ours else 6,
                "fillstyle": "none" if again else "full",
            }
            for ax, measure in zip(axes, (_share_of_guess, _ef_r), strict=False):
                values = [measure(one) for one in found]
                ax.plot(ranks, values, color=colour, linestyle="none", **mark)
            axes[0].plot([], [], label=name, **line, **mark)  # for the legend of all three
            steps_made = np.array([run[0] for run in curves[name]])
            passes = steps_made[0] / steps_made[0][-1] * first["asked"]["config"]["epochs"]
            validation = np.mean([run[1] for run in curves[name]], axis=0)
            axes[2].plot(passes, validation, **line)
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
            *axes[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=5,
            frameon=False,
            handlelength=3,
        )
        drawing.suptitle("Recipes on phantoms: simulated data, no clinical evidence", fontsize=10)
        drawing.savefig(path, metadata={"Date": None})


_OTHERS = tuple(colour for colour in COLOURS if colour != GREY)


def _share_of_guess(stage: Stage) -> float:
    mae: Mapping[str, float] = stage["figures"]["ejection_fraction"]["mae"]
    return mae["value"] / mae["chance"]


def _ef_r(stage: Stage) -> float:
    return _value(stage, "ejection_fraction", "pearson")


_NUMBERS = ("ejection_fraction", "pulmonary_artery_pressure")


def _value(stage: Mapping[str, Any], task: str, figure: str) -> float:
    found = stage["figures"].get(task, {}).get(figure)
    return float("nan") if found is None else float(found["value"])


def _mcmrr(stage: Stage) -> float:
    return min(
        _value(stage, task, "mcmrr")
        for task in ("retrieval", "windows")
        if task in stage["figures"]
    )


def _dilation(stage: Stage) -> dict[str, float]:
    return {name: _value(stage, f"{name}_dilation_moderate", "auc") for name in CHAMBERS}


_README_COLUMNS: Mapping[str, Callable[[Stage], float]] = {
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
