"""MB/s on one core beside peers, in fresh processes: `make bench-throughput`.

Every figure is a new process, pinned to one core, that reads documents once, so that no memo is
warm: 100,000 templated ones in their natural frequency (drawn with replacement), and distinct ones.
Time is the processor's, since the machine is shared; tokenizers take turns, and the median of the
rounds counts. "with offsets" asks for the offsets of each document, too, "with all" for its
offsets, units and sentences. Batches on one core and on two are measured by the clock.

Each run is kept at once, in runs/throughput: a benchmark that was stopped goes on where it was, and
`--again` begins anew. `--start echo echo-clip` measures only how long these take until they are
ready, and writes it into the page. Peers that are not installed are left out, and the page says so:
pip install instant-clip-tokenizer tiktoken kitoken gigatoken rs-bpe
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "runs" / "throughput"
ROUNDS = {"natural": 3, "templated": 5, "dictated": 5}
MEGABYTES = {"natural": 1000.0, "templated": 1.5, "dictated": 1.5}
OFFSETS, ALL, BATCH = ", with offsets", ", with all", ", batch of "
HF = "HF tokenizers, CLIP BPE"
START = "start"
"""A set of no documents."""
SETS = {
    "natural": ["house", "site_a", "site_b", "indiana_cxr"],
    "templated": ["house", "site_a", "site_b", "indiana_cxr"],
    "dictated": ["mtsamples_echo", "mtsamples_other"],
}
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# What has to be installed; echo needs nothing.
PACKAGES = {
    HF: "tokenizers",
    "HF tokenizers, CLIP BPE and our phrases": "tokenizers",
    "open_clip SimpleTokenizer": "open_clip",
    "instant-clip-tokenizer": "instant_clip_tokenizer",
    "kitoken, CLIP BPE": "kitoken",
    "tiktoken, CLIP's merges": "tiktoken",
    "gigatoken, CLIP's merges": "gigatoken",
    "rs-bpe, cl100k": "rs_bpe",
}
NAMES = (
    "echo",
    "echo" + OFFSETS,
    "echo" + ALL,
    "echo-clip",
    "echo-clip" + OFFSETS,
    HF,
    HF + OFFSETS,
    *list(PACKAGES)[1:],
)
BATCHES = tuple(f"{name}{BATCH}{n}" for name in ("echo", "echo-clip", HF) for n in (1, 2))


def _encoder(name: str) -> Callable[[str], Any]:
    """A function that encodes one text."""
    if name.endswith(OFFSETS):
        encode = _encoder(name.removesuffix(OFFSETS))
        return lambda text: encode(text).offsets
    if name.endswith(ALL):
        encode = _encoder(name.removesuffix(ALL))

        def encode_all(text: str) -> Any:
            encoding = encode(text)
            return encoding.offsets, encoding.units, encoding.sentences

        return encode_all
    if name in ("echo", "echo-clip"):
        import echotok

        return echotok.load(name).encode
    if name.startswith("HF"):
        from tokenizers import Tokenizer

        file = "clip_and_phrases.json" if name.endswith("phrases") else "clip.json"
        return Tokenizer.from_file(str(FOLDER / file)).encode
    if name == "open_clip SimpleTokenizer":
        import open_clip

        return open_clip.SimpleTokenizer().encode
    if name == "instant-clip-tokenizer":
        import instant_clip_tokenizer

        return instant_clip_tokenizer.Tokenizer().encode
    if name.startswith("kitoken"):
        import kitoken

        return kitoken.Kitoken.from_file(str(FOLDER / "clip.json")).encode
    if name.startswith("tiktoken"):
        import tiktoken

        lines = (FOLDER / "clip.tiktoken").read_bytes().splitlines()
        ranks = {base64.b64decode(a): int(b) for a, b in map(bytes.split, lines)}
        encoding = tiktoken.Encoding(
            "clip", pat_str=WORDS, mergeable_ranks=ranks, special_tokens={}
        )
        return lambda text: encoding.encode_ordinary(text.lower())
    if name.startswith("gigatoken"):
        import gigatoken

        tokenizer = gigatoken.Tokenizer(str(FOLDER / "merges.json"))
        return lambda text: tokenizer.encode(text.lower())
    from rs_bpe.bpe import openai

    return openai.cl100k_base().encode


def _batch_encoder(name: str, threads: int) -> Callable[[list[str]], Any]:
    if name == HF:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(FOLDER / "clip.json")).encode_batch
    import echotok

    tokenizer = echotok.load(name)
    return lambda texts: tokenizer.encode_batch(texts, pack=True, num_threads=threads)


def _write_files() -> None:
    """The files that peers are loaded from."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    import echotok
    from benchmarks.common import hf_clip
    from echotok.bpe import byte_alphabet
    from echotok.clip_merges import clip_merges

    FOLDER.mkdir(parents=True, exist_ok=True)
    hf_clip().save(str(FOLDER / "clip.json"))
    phrases = [phrase.text for phrase in echotok.load("echo").table.live if "{" not in phrase.text]
    hf_clip(phrases).save(str(FOLDER / "clip_and_phrases.json"))
    # tiktoken and gigatoken know no end of a word: the same merges without it, and so other ids.
    alphabet = byte_alphabet()
    byte_of = {symbol: byte for byte, symbol in enumerate(alphabet)}
    vocab = {symbol: byte for byte, symbol in enumerate(alphabet)}
    merges = []
    for left, right in clip_merges():
        left, right = left.removesuffix("</w>"), right.removesuffix("</w>")
        if left in vocab and right in vocab and left + right not in vocab:
            vocab[left + right] = len(vocab)
            merges.append((left, right))
    lines = (
        base64.b64encode(bytes(byte_of[one] for one in token)).decode() + f" {rank}\n"
        for token, rank in vocab.items()
    )
    (FOLDER / "clip.tiktoken").write_text("".join(lines), encoding="ascii")
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(FOLDER / "merges.json"))


def _texts(which: str, megabytes: float) -> list[str]:
    from benchmarks.common import corpora

    at_hand = corpora()
    texts = [t for name in SETS[which] if name in at_hand for t in at_hand[name][1]]
    if which == "natural":
        texts = random.Random(0).choices(texts, k=100_000)
    else:
        texts = list(dict.fromkeys(texts))
        random.Random(0).shuffle(texts)
    kept, size = [], 0
    for text in texts:
        kept.append(text)
        size += len(text.encode())
        if size > megabytes * 1e6:
            break
    return kept


def _peak_mb() -> float:
    """Peak memory of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says would begin with the parent's peak
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1e3
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _measure(name: str, which: str) -> None:
    """Child process: encode each document once, print what it took."""
    base, _, threads = name.partition(BATCH)
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: int(threads or 1)])
    bare, begin = _peak_mb(), time.process_time()
    encode = _batch_encoder(base, int(threads)) if threads else _encoder(name)
    ready_s, ready_mb = time.process_time() - begin, _peak_mb() - bare
    texts = [] if which == START else _texts(which, MEGABYTES[which])
    before = _peak_mb()
    start, clock = time.process_time(), time.perf_counter()
    if threads:
        for at in range(0, len(texts), 4096):
            encode(texts[at : at + 4096])  # type: ignore[arg-type]
    else:
        for text in texts:
            encode(text)
    figures = {
        "seconds": time.process_time() - start,
        "clock": time.perf_counter() - clock,
        "bytes": sum(len(text.encode()) for text in texts),
        "documents": len(texts),
        "ready_s": ready_s,
        "ready_mb": ready_mb,
        "more_mb": _peak_mb() - before,
    }
    print(json.dumps(figures))


def _run(name: str, which: str) -> dict[str, Any]:
    threads = name.partition(BATCH)[2] or "1"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "RAYON_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "true" if threads != "1" else "false",
    }
    command = [sys.executable, __file__, "--child", name, which]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    figures: dict[str, Any] = json.loads(output.stdout)
    return figures


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _write_start(names: list[str], rounds: int) -> None:
    """Measure again how long some tokenizers take until they are ready, by turns."""
    from benchmarks.common import readme_figures, write_results

    _write_files()
    runs = [{name: _run(name, START) for name in names} for _ in range(rounds)]
    results = readme_figures()["throughput"]
    for name in names:
        for key in ("ready_s", "ready_mb"):
            results["start"][name][key] = statistics.median(run[name][key] for run in runs)
    write_results("throughput", results, _markdown(results), readme=results)


def main() -> None:
    """Run the rounds and write the results."""
    from benchmarks.common import facts, write_results
    from echotok.engine.core import engine_in_use

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--again", action="store_true", help="measure anew what is measured")
    parser.add_argument("--rounds", type=int, help="at most so many rounds of each set")
    parser.add_argument("--start", nargs="*", metavar="NAME", help="only until they are ready")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _measure(*options.child)
        return
    if options.start:
        _write_start(options.start, options.rounds or 7)
        return
    _write_files()
    missing = sorted(
        {package for package in PACKAGES.values() if importlib.util.find_spec(package) is None}
    )
    names = [
        name
        for name in (*NAMES, *BATCHES)
        if PACKAGES.get(name.partition(BATCH)[0].removesuffix(OFFSETS)) not in missing
    ]
    kept = FOLDER / "runs.json"
    runs: dict[str, dict[str, Any]] = {}
    if kept.exists() and not options.again:
        runs = json.loads(kept.read_text(encoding="utf-8"))
    all_rounds = {which: min(n, options.rounds or n) for which, n in ROUNDS.items()}
    for which, rounds in all_rounds.items():
        for number in range(rounds):
            for name in names:
                key = f"{which} {number} {name}"
                if key not in runs and (BATCH not in name or which == "natural"):
                    print(f"{which}, round {number + 1} of {rounds}: {name}", file=sys.stderr)
                    runs[key] = _run(name, which)
                    kept.write_text(json.dumps(runs, indent=1), encoding="utf-8")
    packages = ["open_clip_torch", "tokenizers", "instant-clip-tokenizer", "kitoken", "tiktoken"]
    packages += ["gigatoken", "rs-bpe", "regex"]
    absent = {name.replace("_", "-") for name in missing}
    results: dict[str, Any] = {
        **facts(
            "make bench-throughput",
            [name for name in packages if name not in absent],
            seed=0,
            engine=engine_in_use(),
        ),
        "missing": missing,
        "sets": {},
        "batches": {},
        "start": {},
    }
    for which, rounds in all_rounds.items():
        of_name = {
            name: [runs[f"{which} {number} {name}"] for number in range(rounds)]
            for name in names
            if BATCH not in name
        }
        one = of_name["echo"][0]
        results["sets"][which] = {
            "documents": one["documents"],
            "megabytes": one["bytes"] / 1e6,
            "rounds": rounds,
            "megabytes_per_second": {
                name: _spread([run["bytes"] / run["seconds"] / 1e6 for run in all_runs])
                for name, all_runs in of_name.items()
            },
        }
    for name in names:
        all_runs = [runs[f"natural {number} {name}"] for number in range(all_rounds["natural"])]
        if BATCH in name:
            results["batches"][name] = {
                "clock": _spread([run["bytes"] / run["clock"] / 1e6 for run in all_runs]),
                "processor": _spread([run["bytes"] / run["seconds"] / 1e6 for run in all_runs]),
            }
        elif OFFSETS not in name and ALL not in name:
            results["start"][name] = {
                key: statistics.median(run[key] for run in all_runs)
                for key in ("ready_s", "ready_mb", "more_mb")
            }
    write_results("throughput", results, _markdown(results), readme=results)


def _markdown(results: dict[str, Any]) -> str:
    lines = [
        "# Throughput, one core",
        "",
        "Documents are read once in a fresh process (nothing is warm); they are distinct, but for",
        "the set natural, which is drawn with replacement. MB a second of the processor's time.",
        "tiktoken and gigatoken know no end of a word, so that CLIP's merges give other ids there;",
        "rs-bpe brings a vocabulary of its own. kitoken, instant-clip-tokenizer and open_clip give",
        "CLIP's ids. With all: offsets, units and sentences.",
        f"Ratios are against HF tokenizers in the same run. Engine of echo: {results['engine']}.",
        "",
        "| text | documents | MB | tokenizer | MB/s, median (min-max) | times HF |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    if results["missing"]:
        lines[-2:-2] = [f"Not installed, and left out: {', '.join(results['missing'])}.", ""]
    for which, entry in results["sets"].items():
        speeds = entry["megabytes_per_second"]
        base = speeds[HF]["median"]
        for name, speed in speeds.items():
            lines.append(
                f"| {which} | {entry['documents']} | {entry['megabytes']:.2f} | {name} "
                f"| {speed['median']:.2f} ({speed['min']:.2f}-{speed['max']:.2f}) "
                f"| {speed['median'] / base:.2f} |"
            )
    lines += [
        "",
        "Batches of 4,096 documents of the set natural, on one core and on two, by the clock.",
        "Sentences met before take echo no time, so that such a batch is done before two threads",
        "have begun and each has met them: [threads](threads.md) has larger ones and new text.",
        "",
        "| tokenizer, cores | MB/s by the clock | MB/s of the processor |",
        "| --- | --- | --- |",
    ]
    for name, one in results["batches"].items():
        clock, processor = one["clock"], one["processor"]
        lines.append(
            f"| {name.replace(BATCH, ', ')} "
            f"| {clock['median']:.2f} ({clock['min']:.2f}-{clock['max']:.2f}) "
            f"| {processor['median']:.2f} |"
        )
    lines += [
        "",
        "Until it is ready: seconds of the processor with its imports, and memory; and how much",
        "more memory the set natural took.",
        "",
        "| tokenizer | ready, s | ready, MB | then, MB |",
        "| --- | --- | --- | --- |",
    ]
    for name, one in results["start"].items():
        lines.append(
            f"| {name} | {one['ready_s']:.3f} | {one['ready_mb']:.0f} | {one['more_mb']:.0f} |"
        )
    rounds = ", ".join(f"{entry['rounds']} ({which})" for which, entry in results["sets"].items())
    lines += [
        "",
        f"Rounds: {rounds}. {results['machine']}; Python {results['python']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + f". Made by `{results['command']}`, seed 0 for the order of documents.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
