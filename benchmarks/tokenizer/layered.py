"""A hospital's own table alone, and on top of `echo`: `make bench-layered`.

Phantom reports stand for a hospital's. A table is mined from the first N reports: a table of its
own with a vocabulary of 2,000, and as many phrases as the reports give on top of `echo` (which has
room for 1,800); both also with rows of several sentences. They are counted on the same held-out
reports of other patients. The synthetic house is mined the same way: on two of every three of its
reports, counted on the third.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from benchmarks.common import OWN, ROOT, facts, write_results
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.report.reports import write_reports
from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merges, count_clip_tokens
from echotok.corpora import read_reports
from echotok.mining.assembly import Mined
from echotok.mining.growth import grow
from echotok.mining.joining import join_sentences
from echotok.mining.options import UNITS, Options
from echotok.mining.pipeline import mine
from echotok.mining.privacy import PrivateFinder
from echotok.mining.store import ReportStore
from echotok.table.reading import read_fallback, read_table
from echotok.tokenizer import Tokenizer, load

K = 5
SIZES = (100, 300, 1000, 3000, 10_000)
OWN_SIZE, ROOM = 2000, 1800
KINDS = ("own table", "own, joined", "on top of echo", "on top, joined")
NUM_HELD_OUT = 500
TRAIN_SEED, TEST_SEED = 9000, 9001


def phantom_reports(seed: int) -> Iterator[tuple[str, str]]:
    """`(patient, report)` without end."""
    patient = 0
    while True:
        for report in write_reports(sample_patient(patient, seed), seed=seed):
            yield f"P{patient}", report.text
        patient += 1


def mined(reports: Sequence[tuple[str, str]]) -> dict[str, Tokenizer]:
    """The tokenizers of a table mined alone, and of one on top of `echo`, by `KINDS`."""
    folder = ROOT / "phrase_tables" / "echo"
    fallback = read_fallback(folder)
    assert fallback is not None, "the folder carries its merges"
    base = Mined(table=read_table(folder), fallback=fallback, saved={}, num_tokens=0)
    stores = []
    for units in (UNITS, base.table.units):
        store = ReportStore(units=units, find_private=PrivateFinder())
        for patient, text in reports:
            store.add(text, patient=patient)
        stores.append(store)
    options = Options(vocab_size=OWN_SIZE, k=K)
    own = mine(stores[0], options)
    own_joined = join_sentences(own, stores[0], options)
    options = Options(vocab_size=base.vocab_size + ROOM, k=K, units=base.table.units)
    layered = grow(stores[1], options, base)
    first = len(base.table.phrases)
    joined = join_sentences(
        layered,
        stores[1],
        options,
        first_id=first,
        room=min(ROOM, base.table.phrase_capacity - first) - len(layered.table.phrases) + first,
    )
    return {
        kind: result.tokenizer()
        for kind, result in zip(KINDS, (own, own_joined, layered, joined), strict=True)
    }


def figures(tokenizer: Tokenizer, texts: Sequence[str]) -> dict[str, Any]:
    """Mean tokens, start and end included; the share that fits 77; reports that lose something."""
    encodings = [tokenizer.encode(text) for text in texts]
    lengths = [len(encoding.ids) for encoding in encodings]
    lossy = sum(
        tokenizer.decode(encoding.ids) != tokenizer.normalize(text)
        for encoding, text in zip(encodings, texts, strict=True)
    )
    return {
        "mean": statistics.fmean(lengths),
        "fit 77": sum(n <= 77 for n in lengths) / len(lengths),
        "lossy": lossy,
        "live phrases": len(tokenizer.table.live),
    }


def main() -> None:
    """Mine, count, and write the results after each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    clip = ByteBPE(clip_merges())
    held_out = [text for _, text in islice(phantom_reports(TEST_SEED), NUM_HELD_OUT)]
    house = [report.text for report in read_reports([OWN / "house"])]
    house_test = house[2::3]
    house_train = [(str(at), text) for at, text in enumerate(house) if at % 3 != 2]
    path = ROOT / "runs" / "results" / "layered.json"
    rows: dict[str, Any] = json.loads(path.read_text())["rows"] if path.exists() else {}
    todo: list[tuple[str, Sequence[tuple[str, str]], list[str]]] = [
        (f"house, {len(house_train)} reports", house_train, house_test)
    ]
    todo += [
        (f"phantoms, {n} reports", list(islice(phantom_reports(TRAIN_SEED), n)), held_out)
        for n in arguments.sizes
    ]
    for name, reports, test in todo:
        tokenizers = mined(reports)
        rows[name] = {
            "held out": len(test),
            "patients": len({patient for patient, _ in reports}),
            "CLIP": statistics.fmean(count_clip_tokens(text, clip) for text in test),
            "echo": figures(load("echo"), test),
            **{kind: figures(tokenizer, test) for kind, tokenizer in tokenizers.items()},
        }
        print(name, rows[name], flush=True)
        results = {
            **facts("make bench-layered", ["numpy", "tokenizers"], seed=TRAIN_SEED),
            "k": K,
            "rows": rows,
        }
        write_results("layered", results, _markdown(results), readme={"rows": rows})


def _markdown(results: dict[str, Any]) -> str:
    kinds = ("echo", *KINDS)
    lines = [
        "# A hospital's own table, alone and on top of `echo`",
        "",
        "Mean tokens a held-out report, start and end included, and the share that fits 77. Mined",
        f"with k = {results['k']}; `own table` has a vocabulary of {OWN_SIZE:,}, `on top of echo`",
        f"at most {ROOM:,} phrases more than `echo`; `joined`: rows may hold several sentences",
        "(`echotok mine --join-sentences`). The reports are synthetic: our own phantoms and our",
        "own house, which has 36 reports in all.",
        "",
        "| mined from | patients | held out | CLIP | " + " | ".join(kinds) + " | lossy |",
        "| --- " * (5 + len(kinds)) + "|",
    ]
    for name, row in results["rows"].items():
        cells = [f"{row[kind]['mean']:.1f} ({row[kind]['fit 77']:.0%})" for kind in kinds]
        lossy = sum(row[kind]["lossy"] for kind in kinds)
        lines.append(
            f"| {name} | {row['patients']} | {row['held out']} | {row['CLIP']:.1f} | "
            + " | ".join(cells)
            + f" | {lossy} |"
        )
    lines += ["", f"{results['machine']}. Made by `{results['command']}`.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
