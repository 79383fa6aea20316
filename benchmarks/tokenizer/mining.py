"""Mined tables beside other ways to a vocabulary of the same size: `make bench-mining`.

For each corpus and seed, reports are split 2 : 1. Everything is trained on the first part, with
every choice made inside of it, and counted on the second. Peers read text that echotok has
normalized, and are given their best settings: pieces may cross white space, script and digits, up
to 300 characters, with byte fallback. What is trained is kept in runs/bench-mining, so that a
stopped run goes on; a figure is worked out once.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
from spellchecker import SpellChecker
from tokenizers import Tokenizer as HFTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

import echotok
from benchmarks.common import CORPUS, ROOT, facts, write_results
from echotok.bpe import ByteBPE
from echotok.clip_merges import clip_merges, count_clip_tokens
from echotok.corpora import read_reports
from echotok.coverage import measure
from echotok.errors import MergesError
from echotok.mining.options import UNITS, Options
from echotok.mining.pipeline import mine
from echotok.mining.privacy import PrivateFinder
from echotok.mining.store import ReportStore
from echotok.text import make_normalizer

WORK = ROOT / "runs" / "bench-mining"
SIZES = (1000, 2000, 4000)
K = 5
CORPORA = {
    "indiana_cxr": "chest X-ray reports",
    "ptbxl_ecg": "short ECG reports, mostly German",
    "mtsamples_other": "dictated reports and notes of some 40 specialties",
}
LANGUAGES = {
    "indiana_cxr": ("en",),
    "ptbxl_ecg": ("de", "en"),
    "mtsamples_other": ("en",),
}
COMMON_WORDS = 20_000
# Unigram training on long pieces takes a quarter of an hour a size there; one seed has to do.
SLOW = {("mtsamples_other", f"{kind}superword unigram"): (0,) for kind in ("", "split ")}
TARGETS = {
    "indiana_cxr": (0.82, 0.85, 0.95),
    "ptbxl_ecg": (0.70, 0.90, 1.05),
    "mtsamples_other": (0.95, 0.95, 0.95),
}
# Words that leave an entry open at its end, or that can hardly begin one.
_OPEN = """
the a an of and or is are was were with in on at to for from by no which that this there as der die
das und oder mit in im von zu bei nicht
"""
_CONTINUES = ", . ; : ) of and or is are was were which that than und oder"
OPEN, CONTINUES = frozenset(_OPEN.split()), frozenset(_CONTINUES.split())
normalize = make_normalizer(UNITS)


def main() -> None:
    """Work out what is missing, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", nargs="+", default=list(CORPORA))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sizes", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--report-only", action="store_true", help="write what there is")
    arguments = parser.parse_args()
    if not arguments.report_only:
        for seed in arguments.seeds:
            for corpus in arguments.corpora:
                for size in arguments.sizes:
                    for method in arguments.methods:
                        _once(corpus, seed, size, method)
        for corpus in arguments.corpora:
            for size in (1000, 4000):
                for method in arguments.methods:
                    _cross(corpus, size, method)
    results = _gather()
    write_results("mining", results, _markdown(results))


def split(corpus: str, seed: int) -> tuple[list[str], list[str]]:
    """Two thirds of the reports and the rest."""
    texts = [report.text for report in read_reports([CORPUS / f"{corpus}.jsonl"])]
    random.Random(seed).shuffle(texts)
    cut = len(texts) * 2 // 3
    return texts[:cut], texts[cut:]


# The ways to a vocabulary: each trains into a file and returns a count of tokens


def _mined(train: list[str], size: int, path: Path, words: tuple[str, ...] = ()) -> dict[str, Any]:
    store = ReportStore(units=UNITS, find_private=PrivateFinder())
    for text in train:
        store.add(text)
    mined = mine(store, Options(vocab_size=size, k=K, words=words))
    mined.tokenizer().save(path)
    sections = [phrase.section for phrase in mined.table.phrases]
    return {
        "vocabulary": mined.vocab_size,
        "phrases": {name: sections.count(name) for name in dict.fromkeys(sections)},
        "merges": mined.table.num_merges,
        "trials": mined.trials,
        "held_back": len(store.held_back(k=K)),
    }


def _mined_with_words(train: list[str], size: int, path: Path) -> dict[str, Any]:
    languages = LANGUAGES[path.name.partition("-")[0]]
    words = sorted(set().union(*map(_common_words, languages)))
    return _mined(train, size, path, tuple(words))


def _common_words(language: str) -> list[str]:
    """The most common words of a language, of two letters or more."""
    frequency = SpellChecker(language=language).word_frequency.dictionary
    ranked = sorted(frequency, key=lambda word: (-frequency[word], word))
    return [normalize(word) for word in ranked if len(word) > 1][:COMMON_WORDS]


def _sentencepiece(kind: str, **settings: Any) -> Callable[[list[str], int, Path], dict[str, Any]]:
    def train_peer(train: list[str], size: int, path: Path) -> dict[str, Any]:
        lines = path.with_suffix(".txt")
        lines.write_text("".join(normalize(text) + "\n" for text in train), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(lines),
            model_prefix=str(path.with_suffix("")),
            vocab_size=size,
            model_type=kind,
            split_by_whitespace=False,
            byte_fallback=True,
            max_sentencepiece_length=300,
            max_sentence_length=1_000_000,
            normalization_rule_name="nmt_nfkc_cf",
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=2,
            **settings,
        )
        lines.unlink()
        path.with_suffix(".model").replace(path)
        path.with_suffix(".vocab").unlink()
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
        return {"vocabulary": model.get_piece_size(), "rare_pieces": _rare_pieces(model, train)}

    return train_peer


def _rare_pieces(model: Any, train: list[str]) -> float:
    """Share of the pieces that fewer than k training reports use."""
    held: dict[int, int] = defaultdict(int)
    for text in train:
        for piece in set(model.encode(normalize(text))):
            held[piece] += 1
    pieces = [number for number in range(model.get_piece_size()) if not model.is_byte(number)]
    return sum(held[number] < K for number in pieces) / len(pieces)


def _domain_bpe(train: list[str], size: int, path: Path) -> dict[str, Any]:
    model = HFTokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    model.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        special_tokens=[],
    )
    model.train_from_iterator(map(normalize, train), trainer)
    model.save(str(path))
    return {"vocabulary": model.get_vocab_size()}


_UNSPLIT = {"split_by_unicode_script": False, "split_by_number": False}
METHODS: dict[str, Callable[[list[str], int, Path], dict[str, Any]]] = {
    "mined": _mined,
    "mined with words": _mined_with_words,
    "domain BPE": _domain_bpe,
    "split superword BPE": _sentencepiece("bpe"),
    "split superword unigram": _sentencepiece("unigram"),
    "superword BPE": _sentencepiece("bpe", **_UNSPLIT),
    "superword unigram": _sentencepiece("unigram", **_UNSPLIT),
}
SPLIT_PEERS = ("split superword BPE", "split superword unigram")
ALL_PEERS = ("superword BPE", "superword unigram", *SPLIT_PEERS)


def _count(method: str, path: Path, texts: list[str]) -> dict[str, Any]:
    """Tokens a report (no BOS, no EOS), reports that do not come back, and coverage."""
    if method.startswith("mined"):
        tokenizer = echotok.load(path)
        stats = measure(texts, tokenizer)
        shares = stats.shares()
        return {
            "tokens": statistics.fmean(stats.lengths) - 2,
            "lossy": stats.num_lossy,
            "covered": shares["phrase"] + shares["value"],
        }
    encode: Callable[[str], list[int]]
    decode: Callable[[list[int]], str]
    if method == "domain BPE":
        model = HFTokenizer.from_file(str(path))
        encode, decode = lambda text: model.encode(text).ids, model.decode
        covered = 1.0
    else:
        peer = sentencepiece.SentencePieceProcessor(model_file=str(path))
        encode, decode = peer.encode, peer.decode
    total = lossy = byte_tokens = 0
    for text in map(normalize, texts):
        ids = encode(text)
        total += len(ids)
        lossy += decode(ids) != text
        if method != "domain BPE":
            byte_tokens += sum(peer.is_byte(number) for number in ids)
    if method != "domain BPE":
        covered = 1 - byte_tokens / total
    return {"tokens": total / len(texts), "lossy": lossy, "covered": covered}


def _once(corpus: str, seed: int, size: int, method: str) -> None:
    if seed not in SLOW.get((corpus, method), (seed,)):
        return
    name = f"{corpus}-{seed}-{size}-{method.replace(' ', '_')}"
    figures_path = WORK / f"{name}.figures.json"
    if figures_path.exists():
        return
    WORK.mkdir(parents=True, exist_ok=True)
    train, test = split(corpus, seed)
    model = WORK / f"{name}.trained"
    begin, cpu = time.perf_counter(), time.process_time()
    figures = METHODS[method](train, size, model)
    figures |= {"seconds": time.perf_counter() - begin, "cpu_seconds": time.process_time() - cpu}
    figures |= _count(method, model, test)
    figures |= {"corpus": corpus, "seed": seed, "size": size, "method": method, "n": len(test)}
    figures_path.write_text(json.dumps(figures), encoding="utf-8")
    print(name, f"{figures['tokens']:.2f} tokens, {figures['seconds']:.0f} s", flush=True)


def _cross(corpus: str, size: int, method: str) -> None:
    """What was trained on a corpus (seed 0), counted on the held-out parts of the others."""
    name = f"{corpus}-0-{size}-{method.replace(' ', '_')}"
    model, path = WORK / f"{name}.trained", WORK / f"{name}.cross.json"
    if path.exists() or not model.exists():
        return
    cross = {
        other: _count(method, model, split(other, 0)[1]) for other in CORPORA if other != corpus
    }
    path.write_text(
        json.dumps({"corpus": corpus, "size": size, "method": method, "on": cross}),
        encoding="utf-8",
    )


# Results


def _gather() -> dict[str, Any]:
    runs = [json.loads(path.read_text()) for path in sorted(WORK.glob("*.figures.json"))]
    cross = [json.loads(path.read_text()) for path in sorted(WORK.glob("*.cross.json"))]
    clip: dict[str, float] = {}
    try:
        bpe = ByteBPE(clip_merges())
        for corpus in CORPORA:
            _, test = split(corpus, 0)
            clip[corpus] = statistics.fmean(count_clip_tokens(text, bpe) - 2 for text in test)
    except MergesError:
        pass
    readable = {}
    for corpus in CORPORA:
        for size in SIZES:
            model = WORK / f"{corpus}-0-{size}-mined.trained"
            if model.exists():
                readable[f"{corpus} {size}"] = _open_ends(echotok.load(model))
    return {
        **facts("make bench-mining", ["sentencepiece", "tokenizers", "numpy"], k=K),
        "clip": clip,
        "runs": runs,
        "cross": cross,
        "open_ends": readable,
    }


def _open_ends(tokenizer: echotok.Tokenizer) -> dict[str, float]:
    """Shares of the entries of several words that end or begin as no expression does.

    Phrases are in the order of what they save.
    """
    texts = [phrase.text for phrase in tokenizer.table.live if " " in phrase.text]

    def share(some: list[str], at: int, words: frozenset[str]) -> float:
        return sum(text.split()[at] in words for text in some) / max(1, len(some))

    return {
        "first 100 end open": share(texts[:100], -1, OPEN),
        "all end open": share(texts, -1, OPEN),
        "first 100 begin open": share(texts[:100], 0, CONTINUES),
        "all begin open": share(texts, 0, CONTINUES),
    }


def _markdown(results: dict[str, Any]) -> str:
    by: dict[tuple[str, int], dict[int, dict[str, dict[str, Any]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for run in results["runs"]:
        by[run["corpus"], run["size"]][run["seed"]][run["method"]] = run
    lines = [
        "# Mined tables",
        "",
        "Mean tokens a held-out report at one total vocabulary (specials, values, bytes and pieces",
        "counted, spare rows not), trained on the other two thirds of the reports; every choice",
        f"was made there. `mined`: `echotok mine`, at least {K} reports behind every phrase, value",
        f"and word. `with words`: the same with {COMMON_WORDS:,} common words of each language",
        "(`--words`). `superword`: SentencePiece, pieces across white space, BPE / unigram, on",
        "text that echotok has normalized; `split` where letters meet digits or punctuation",
        "(SentencePiece's default) and `unsplit`. `domain BPE`: HF byte-level BPE of words.",
        "Ratios are those of `mined` to the best superword peer, split or any, mean of the seeds",
        f"(range). `rare`: share of the best peer's pieces that fewer than {K} training reports",
        "use, which a mined table may not hold.",
        "",
        "| corpus | size | seeds | mined | with words | superword, split | superword, unsplit "
        "| domain BPE | CLIP BPE | to the best split | to the best of all | aim | covered "
        "| lossy: mined / superword | rare |",
        "|" + " --- |" * 15,
    ]
    for corpus in CORPORA:
        for rank, size in enumerate(SIZES):
            seeds = {s: m for s, m in by[corpus, size].items() if "mined" in m and len(m) > 2}
            if not seeds:
                continue
            lines.append(_row(corpus, size, seeds, TARGETS[corpus][rank], results["clip"]))
    lines += [
        "",
        "## Readable?",
        "",
        "Share of the entries of several words (the first 100 by tokens saved / all, seed 0) that",
        "end in an article, preposition, conjunction or form of to be, or begin in mid-phrase.",
        "",
        "| table | end open | begin open |",
        "| --- | --- | --- |",
    ]
    for name, shares in results["open_ends"].items():
        ends, all_ends, begins, all_begins = shares.values()
        lines.append(f"| {name} | {ends:.0%} / {all_ends:.0%} | {begins:.0%} / {all_begins:.0%} |")
    lines += ["", *_cross_lines(results["cross"])]
    lines += [
        "",
        f"{results['machine']}, shared with other work; Python {results['python']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + f". Made by `{results['command']}`; seeds 0, 1, 2 shuffle the reports.",
        "",
    ]
    return "\n".join(lines)


def _row(
    corpus: str,
    size: int,
    seeds: dict[int, dict[str, dict[str, Any]]],
    aim: float,
    clip: dict[str, float],
) -> str:
    def mean(*methods: str) -> str:
        cells = []
        for method in methods:
            found = [m[method]["tokens"] for m in seeds.values() if method in m]
            missing = f" (n = {len(found)})" if 0 < len(found) < len(seeds) else ""
            cells.append(f"{statistics.fmean(found):.1f}{missing}" if found else "-")
        return " / ".join(cells)

    def best(methods: dict[str, dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
        return min((methods[m] for m in names if m in methods), key=lambda peer: peer["tokens"])

    def ratio(names: Sequence[str]) -> str:
        found = [m["mined"]["tokens"] / best(m, names)["tokens"] for m in seeds.values()]
        return f"**{statistics.fmean(found):.2f}** ({min(found):.2f}-{max(found):.2f})"

    own = [methods["mined"] for methods in seeds.values()]
    peers = [best(methods, ALL_PEERS) for methods in seeds.values()]
    lossy = [sum(run["lossy"] for run in runs) for runs in (own, peers)]
    n = sum(run["n"] for run in own)
    return (
        f"| {corpus} | {size:,} | {len(seeds)} | **{mean('mined')}** | {mean('mined with words')} "
        f"| {mean(*SPLIT_PEERS)} | {mean(*ALL_PEERS[:2])} | {mean('domain BPE')} "
        f"| {clip.get(corpus, float('nan')):.1f} | {ratio(SPLIT_PEERS)} | {ratio(ALL_PEERS)} "
        f"| {aim:.2f} | {statistics.fmean(run['covered'] for run in own):.0%} "
        f"| {lossy[0]} / {lossy[1]} of {n:,} "
        f"| {statistics.fmean(run['rare_pieces'] for run in peers):.0%} |"
    )


def _cross_lines(cross: list[dict[str, Any]]) -> list[str]:
    table = {(c["corpus"], c["size"], c["method"]): c["on"] for c in cross}
    lines = [
        "## On other domains",
        "",
        "Trained on one corpus (seed 0), counted on the held-out part of another: tokens a report.",
        "",
        "| trained on | counted on | size | mined | domain BPE | superword BPE | unigram "
        "| mined / domain BPE | aim | lossy |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for corpus in CORPORA:
        for size, aim in ((1000, 1.4), (4000, 1.15)):
            own = table.get((corpus, size, "mined"))
            domain = table.get((corpus, size, "domain BPE"))
            if not own or not domain:
                continue
            for other, figures in own.items():
                cells = []
                for method in ("superword BPE", "superword unigram"):
                    peer = table.get((corpus, size, method))
                    cells.append(f"{peer[other]['tokens']:.1f}" if peer else "-")
                ratio = figures["tokens"] / domain[other]["tokens"]
                lines.append(
                    f"| {corpus} | {other} | {size:,} | {figures['tokens']:.1f} "
                    f"| {domain[other]['tokens']:.1f} | {cells[0]} | {cells[1]} "
                    f"| **{ratio:.2f}** | {aim} | {figures['lossy']} |"
                )
    return lines


if __name__ == "__main__":
    main()
