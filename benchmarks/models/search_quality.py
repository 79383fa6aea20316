"""Does the browser's search find what it should? Precision at 5 on held-out phantoms.

    python -m benchmarks.models.search_quality [--data runs/search]      after `make search`

Whether a hit has a finding says the phantom's latent truth, not its report. Beside each figure
stand chance (the share of the pool that has it) and BM25, which looks for the same words in the
reports and so sees none of the pictures. Simulated patients: no clinical evidence.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.common import ROOT, facts, write_results
from echoclip_r.errors import OptionError
from echoclip_r.metrics.bootstrap import Resampling, estimate, mean
from echoclip_r.serve.engine import Engine, Question
from echoclip_r.serve.server import ServeConfig, make_service

K = 5
HELD_OUT = "split = test"
# Name, truth, texts to look for, filter.
FINDINGS: dict[str, tuple[Callable[[pd.DataFrame], pd.Series], tuple[str, ...], str]] = {
    "pacemaker lead": (
        lambda t: t["pacer"] > 0,
        ("A pacemaker lead is seen.", "Pacemaker lead in the right ventricle."),
        "pacemaker lead",
    ),
    "Impella": (
        lambda t: t["impella"] > 0,
        ("An Impella is seen.", "Impella catheter across the aortic valve."),
        "impella",
    ),
    "MitraClip": (
        lambda t: t["mitraclip"] > 0,
        ("A MitraClip is seen.", "Status post MitraClip."),
        "mitraclip",
    ),
    "TAVR": (
        lambda t: t["tavr"] > 0,
        ("A transcatheter aortic valve is seen.", "Status post TAVR."),
        "tavr = yes",
    ),
    "severe left atrial dilation": (
        lambda t: t["la_dilation"] >= 3,
        ("The left atrium is severely dilated.", "Severe left atrial enlargement."),
        "left atrium dilation >= severe",
    ),
    "pericardial effusion, moderate or more": (
        lambda t: t["effusion"] >= 2,
        ("There is a large pericardial effusion.", "Moderate pericardial effusion."),
        "pericardial effusion >= moderate",
    ),
    "EF below 35 %": (
        lambda t: t["ef"] < 35,
        ("The LVEF is 25%.", "Severely reduced left ventricular systolic function, EF 20-25%."),
        "EF < 35",
    ),
}


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "search")
    arguments = parser.parse_args()
    config = ServeConfig(
        checkpoints=[arguments.data / "echoclip-r"], shards=arguments.data / "shards"
    )
    service = make_service(config)
    if not service.open():
        service.build()
    engine = service.engines[0]
    pool = _pool(engine)
    # A label that is called like a finding is the truth itself: filters must read the reports.
    engine.index.labels = ()
    engine.index._cells.clear()
    words = bm25s.BM25()
    words.index(bm25s.tokenize(list(pool["report"]), show_progress=False), show_progress=False)
    rows = [_row(name, engine, pool, words) for name in FINDINGS]
    _write(rows, pool, arguments.data)


def _pool(engine: Engine) -> pd.DataFrame:
    """The held-out studies: one row for each clip, with the truth."""
    index = engine.index
    names = ["key", "study_id", "patient_id", "split", *index.labels]
    table = pd.DataFrame({name: np.asarray(index[name]) for name in names})
    table["report"] = [index.report(int(text)) for text in index.text_of]
    return table[table["split"] == "test"].reset_index(drop=True)


def _row(name: str, engine: Engine, pool: pd.DataFrame, words: Any) -> dict[str, Any]:
    truth, texts, where = FINDINGS[name]
    has = truth(pool).to_numpy(bool)
    of_key = dict(zip(pool["key"], has, strict=True))
    queries = pool[has]
    by_clip, by_report = [], []
    chances = []
    for row in queries.itertuples():
        others = (pool["patient_id"] != row.patient_id).to_numpy()
        question = Question(kind="study", key=str(row.key), where=HELD_OUT)
        by_clip.append(_precision(engine, question, of_key))
        by_report.append(_by_words(words, str(row.report), pool, has, others))
        chances.append(has[others].mean())
    everyone = np.ones(len(pool), bool)
    by_text = [
        _precision(engine, Question(kind="text", text=text, where=HELD_OUT), of_key)
        for text in texts
    ]
    words_text = [_by_words(words, text, pool, has, everyone) for text in texts]
    both = f"{where}; {HELD_OUT}"
    try:
        filtered = _precision(engine, Question(kind="filter", where=both), of_key)
    except OptionError:
        filtered = float("nan")
    return {
        "finding": name,
        "num_with": int(has.sum()),
        "chance": float(has.mean()),
        "by_clip": _with_interval(by_clip, list(queries["patient_id"])),
        "report_words": _with_interval(by_report, list(queries["patient_id"])),
        "chance_by_clip": float(np.mean(chances)),
        "by_text": float(np.mean(by_text)),
        "text_words": float(np.mean(words_text)),
        "by_filter": filtered,
    }


def _precision(engine: Engine, question: Question, of_key: dict[str, bool]) -> float:
    hits = engine.ask(question, k=K).hits
    return float(np.mean([of_key[hit.study.key] for hit in hits]))


def _by_words(
    words: Any, text: str, pool: pd.DataFrame, has: NDArray[np.bool_], others: NDArray[np.bool_]
) -> float:
    tokens = bm25s.tokenize([text], show_progress=False)
    found, _ = words.retrieve(tokens, k=len(pool), show_progress=False)
    places = [int(place) for place in found[0] if others[place]]
    return float(has[places[:K]].mean())


def _with_interval(values: Sequence[float], patients: Sequence[str]) -> dict[str, float]:
    held = np.array(values)
    found = estimate(lambda weights: mean(held, weights), patients, Resampling())
    return {"value": found.value, "low": found.low, "high": found.high}


def _write(rows: list[dict[str, Any]], pool: pd.DataFrame, data: Path) -> None:
    lines = [
        "# Does the browser's search find what it should?",
        "",
        f"Precision at 5 on {len(pool)} held-out studies of {pool['patient_id'].nunique()} "
        "simulated patients (no clinical evidence), echoclip-r trained on phantoms, one seed. By "
        "clip: each study that has the finding asks for others like it, its patient's left out; "
        "95 % interval from 1,000 resamples of patients. Its report: BM25 (bm25s) looks for the "
        "words of that study's report in the others', which a clip alone does not have. By text: "
        "the mean of two sentences, among clips; words: BM25 with the same sentences in the "
        "reports. By filter: the five newest of those that the filter leaves. Truth is the "
        "phantom's latent finding, of which some reports say nothing.",
        "",
        "| finding | studies with it | chance | by clip | its report (BM25) | by text | words "
        "(BM25) | by filter |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        cells = [row["finding"], str(row["num_with"]), f"{row['chance']:.2f}"]
        for name in ("by_clip", "report_words"):
            one = row[name]
            cells.append(f"{one['value']:.2f} ({one['low']:.2f}-{one['high']:.2f})")
        cells += [f"{row[name]:.2f}" for name in ("by_text", "text_words", "by_filter")]
        lines.append(f"| {' | '.join(cells)} |")
    command = f"python -m benchmarks.models.search_quality --data {data.name}"
    content = {**facts(command, ["torch", "bm25s"]), "rows": rows}
    write_results("search_quality", content, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
