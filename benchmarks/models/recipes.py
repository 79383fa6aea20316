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
(results/recipes_other_site.md); with `--to NAME` the page is another one, for a few more of them.

    python benchmarks/models/recipes.py [--seeds 1 2 3] [--recipes ...] [--site 1] [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.common import RESULTS, ROOT, facts, write_results
from benchmarks.models import phantom_steps as steps
from benchmarks.models.recipes_page import (
    CHAMBERS,
    DEVICES,
    Stage,
    draw,
    readme_figures,
    to_markdown,
)
from echoclip_r.data.shards import read_clips
from echoclip_r.embedding.embedder import embed_texts
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
DRAWN = {
    "ejection_fraction",
    "lv_systolic_dysfunction",
    "pericardial_effusion",
    *(f"{chamber}_dilation" for chamber in CHAMBERS),
    *DEVICES,
}
"""Findings that the phantom's pictures show, so that looking can tell."""
PHANTOM_TABLE = ROOT / "phrase_tables" / "phantom"
_PACKAGES = ["torch", "open_clip_torch", "numpy"]
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
    parser.add_argument("--to", metavar="NAME", help="a page of its own: results/NAME.md")
    parser.add_argument("--quick", action="store_true", help="tiny; checks that it runs")
    arguments = parser.parse_args()
    get = done_stage if arguments.page else run_stage
    stages: dict[str, dict[int, Stage]] = {}
    for seed in arguments.seeds:
        for name in arguments.recipes:
            print(f"== seed {seed}, {name}", flush=True)
            stage = get(arguments, seed, name)
            if stage is not None:
                stages.setdefault(name, {})[seed] = stage
    if not stages:
        print(f"{arguments.out} holds no stage of these that is done", file=sys.stderr)
        return 1
    stages = {name: stages[name] for name in arguments.recipes if name in stages}
    name = arguments.to or ("recipes" if arguments.site == 0 else "recipes_other_site")
    results = {
        "stages": stages,
        "facts": facts(_command(arguments), _PACKAGES, seeds=arguments.seeds),
        "picture": "recipes.svg" if name == "recipes" else "",
    }
    if arguments.quick:
        print(to_markdown(results))
        return 0
    figures = None if arguments.to else readme_figures(results)
    write_results(name, results, to_markdown(results), readme=figures)
    if results["picture"]:
        curves = {
            recipe: [steps.validation_curve(_folder(arguments, seed) / recipe) for seed in by_seed]
            for recipe, by_seed in stages.items()
        }
        draw(stages, curves, RESULTS / results["picture"])
    return 0


def run_stage(arguments: argparse.Namespace, seed: int, name: str) -> Stage:
    """One recipe on one seed's patients: its figures, from disk where the stage is done."""
    folder, data = _folder(arguments, seed), _data(arguments, seed)
    steps.make_shards(folder, data, workers=num_cpus())
    done = done_stage(arguments, seed, name)
    if done is not None:
        return done
    took = steps.train_model(_config(arguments, seed, name), folder / "shards", folder / name)
    stage = {
        "asked": _asked(arguments, seed, name),
        "training": took,
        **judge(folder / name, folder / "shards", num_test=data.num_test),
    }
    (folder / f"{name}.json").write_text(json.dumps(stage, indent=1) + "\n", encoding="utf-8")
    return stage


def done_stage(arguments: argparse.Namespace, seed: int, name: str) -> Stage | None:
    """The figures of a stage that is done; None where it is not, or was asked otherwise."""
    path = _folder(arguments, seed) / f"{name}.json"
    if not path.exists():
        return None
    stage: Stage = json.loads(path.read_text(encoding="utf-8"))
    return stage if stage["asked"] == _asked(arguments, seed, name) else None


def _folder(arguments: argparse.Namespace, seed: int) -> Path:
    folder: Path = arguments.out / f"site-{arguments.site}" / f"seed-{seed}"
    return folder


def _data(arguments: argparse.Namespace, seed: int) -> steps.Data:
    return steps.Data(
        seed=FIRST_SEED + seed,
        num_train=130 if arguments.quick else arguments.num_train,
        num_test=30 if arguments.quick else 500,
        num_validation=16 if arguments.quick else 200,
        site=arguments.site,
    )


def _config(arguments: argparse.Namespace, seed: int, name: str) -> TrainConfig:
    return replace(
        RECIPES[name](_folder(arguments, seed)),
        seed=seed,
        epochs=2 if arguments.quick else arguments.epochs,
        warmup_steps=2 if arguments.quick else 100,
    )


def _asked(arguments: argparse.Namespace, seed: int, name: str) -> dict[str, Any]:
    return {
        "config": steps.named(_config(arguments, seed, name)),
        "data": _data(arguments, seed).asked(),
    }


def _command(arguments: argparse.Namespace) -> str:
    """What repeats the run, wherever its stages were kept."""
    seeds = " ".join(map(str, arguments.seeds))
    some = f" --recipes {' '.join(arguments.recipes)}" if arguments.to else ""
    return (
        f"python benchmarks/models/recipes.py --seeds {seeds} --num-train {arguments.num_train} "
        f"--epochs {arguments.epochs}{some}"
        + (f" --site {arguments.site}" if arguments.site else "")
        + (f" --to {arguments.to}" if arguments.to else "")
    )


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


if __name__ == "__main__":
    sys.exit(main())
