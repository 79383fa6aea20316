"""Does the pipeline keep a GPU busy? Loader, step, accumulation, search: `make bench-training`.

On phantom shards, raw clips, and vectors made here, in runs/training_speed. Each part is a process
of its own, and its figures are kept at once, so that a benchmark that was stopped goes on where it
was (`--again` begins anew, `--only` measures some parts). Peers that are not installed are left
out, and the page says so: pip install faiss-cpu

A loader's rate is by the clock; since the machine is shared, ours and the plain one take turns in
one process, and the ratio is the median of the rounds'. The plain pipeline is a WebDataset with
open_clip's transforms and tokenizer, on the same clips: `open_clip_train.data` of open_clip_torch
3.3 does not read with webdataset 1.0 and later.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, facts, write_results

FOLDER = ROOT / "runs" / "training_speed"
PATIENTS, SIZE_PX, FRAMES = 90, 224, 4
STEP_BATCH, STEP_PX = 8, 112
ACCUMULATE_BATCH = 1024
ROUNDS, SECONDS, AHEAD = 7, 4.0, 6
"""Turns of each loader, seconds of a turn, and batches that may wait from the turn before."""
ROWS, WIDTH, QUERIES = 1_000_000, 512, 100


def _cpu() -> float:
    """Seconds of the processor that this process and its finished children took."""
    own, others = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _peak_mb() -> float:
    return _memory_mb("VmHWM")


def _memory_mb(what: str) -> float:
    """Memory of this process: `VmRSS` is what it holds, `VmHWM` the most that it held."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(what + ":"):
            return float(line.split()[1]) / 1e3
    raise SystemExit("this needs Linux, for the memory of a process")


def _shards() -> Path:
    """Shards of phantom clips, made once; the archive's raw clips stay beside them."""
    from echoclip_r.data.preparation import prepare
    from echoclip_r.phantom.archive import write_archive

    done = FOLDER / "shards" / "done"
    if not done.exists():
        archive = write_archive(
            FOLDER / "phantom", PATIENTS, seed=0, size_px=SIZE_PX, num_frames=FRAMES
        )
        prepare(
            archive.manifest,
            FOLDER / "shards",
            size_px=SIZE_PX,
            frames_per_clip=FRAMES,
            workers=0,
        )
        done.touch()
    return FOLDER / "shards"


def _ours(workers: int) -> Iterator[int]:
    import echotok
    from echoclip_r.data.shards import read_index
    from echoclip_r.text.codec import TextCodec
    from echoclip_r.training.batches import TrainData
    from echoclip_r.training.config import with_settings
    from echoclip_r.training.recipes import echoclip_r

    settings = ["batch_size=64", "epochs=1000", f"workers={workers}", "cache_mb=0"]
    config = with_settings(echoclip_r(), settings)
    codec = TextCodec(echotok.load("echo-clip"), context_length=config.model.context_length)
    data = TrainData(read_index(_shards()), config=config, codec=codec, size_px=SIZE_PX)
    for batch in data.batches(0):
        yield len(batch.frames)


def _plain(workers: int) -> Iterator[int]:
    """open_clip's transforms and tokenizer in a plain WebDataset: a clip's frame and its report."""
    import open_clip
    import webdataset

    folder = FOLDER / "plain"
    if not (folder / "done").exists():
        _copy_plain(folder)
    transform = open_clip.image_transform(SIZE_PX, is_train=True)
    tokenize = open_clip.get_tokenizer("ViT-B-32")
    data = (
        webdataset.WebDataset(sorted(map(str, folder.glob("*.tar"))), resampled=True)
        .shuffle(1000)
        .decode("pilrgb")
        .to_tuple("jpg", "txt")
        .map_tuple(transform, lambda text: tokenize(text)[0])
        .batched(64)
    )
    for images, _ in webdataset.WebLoader(data, batch_size=None, num_workers=workers):
        yield len(images)


def _copy_plain(folder: Path) -> None:
    """The same clips with one frame each, which is what open_clip's pipeline reads."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in sorted(_shards().rglob("*train*.tar")):
        with tarfile.open(shard) as source, tarfile.open(folder / shard.name, "w") as target:
            seen: set[str] = set()
            for member in source:
                key, _, ending = member.name.partition(".")
                wanted = ending == "txt" or ending.endswith("jpg")
                if not wanted or (ending != "txt" and key in seen):
                    continue
                if ending != "txt":
                    seen.add(key)
                    member.name = f"{key}.jpg"
                target.addfile(member, source.extractfile(member))
    (folder / "done").touch()


def _rate(batches: Iterator[int], seconds: float) -> float:
    """Frames a second, without the batches that were made ahead."""
    for _ in range(AHEAD):
        next(batches)
    begin, frames = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        frames += next(batches)
    return frames / (time.perf_counter() - begin)


def loaders(workers: int) -> dict[str, Any]:
    """Our batches and those of a plain WebDataset, by turns."""
    ours, plain = _ours(workers), _plain(workers)
    rates = [(_rate(ours, SECONDS), _rate(plain, SECONDS)) for _ in range(ROUNDS)]
    return {"ours": [one for one, _ in rates], "plain": [other for _, other in rates]}


def loader_alone() -> dict[str, Any]:
    """Our batches without a worker."""
    batches = _ours(0)
    return {"ours": [_rate(batches, SECONDS) for _ in range(ROUNDS)]}


def where_time_goes() -> dict[str, Any]:
    """The processor's time of each part of an item."""
    import echotok
    from echoclip_r.data.shards import decode_frame, frame_names, read_index, read_samples
    from echoclip_r.text.codec import TextCodec
    from echoclip_r.training.recipes import echoclip_r

    config = echoclip_r()
    shards = read_index(_shards()).shards["train"]
    ms: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begin = time.process_time()
        made = work()
        ms[name] = 1000 * (time.process_time() - begin) / len(made)
        return made

    def samples() -> list[Any]:
        found = itertools.chain.from_iterable(map(read_samples, shards))
        return list(itertools.islice(found, 512))

    found = timed("read from the shard", samples)
    pictures = timed(
        "decode JPEG", lambda: [decode_frame(one[frame_names(one)[0]]) for one in found]
    )
    draw = random.Random(0)
    timed(
        "crop and resize",
        lambda: [config.augmentation.apply(one, draw, size_px=SIZE_PX) for one in pictures],
    )
    reports = [one["txt"].decode() for one in found]
    for name in ("echo-clip", "CLIP BPE"):
        tokenizer = echotok.load("echo-clip") if name == "echo-clip" else None
        codec = TextCodec(tokenizer, context_length=config.model.context_length)
        codec.encode(["warm"])
        timed(f"tokenise, {name}", lambda codec=codec: codec.encode(reports).ids)
    return {"n": len(found), "ms": ms}


def raw_clips() -> dict[str, Any]:
    """One random frame of a raw clip, found, masked and resized, as `prepare` would."""
    import pandas as pd

    from echoclip_r.data.clips import read_masked

    _shards()
    table = pd.read_csv(FOLDER / "phantom" / "manifest.csv")
    rows: dict[str, Any] = {}
    column = next(
        name for name in table if str(table[name].iloc[0]).endswith((".avi", ".mp4", ".dcm"))
    )
    paths = [FOLDER / "phantom" / name for name in table[column]]
    for ending in sorted({path.suffix for path in paths}):
        chosen = [path for path in paths if path.suffix == ending][:60]
        begin, cpu, frames = time.perf_counter(), time.process_time(), 0
        for path in chosen:
            frames += len(read_masked(path, size_px=SIZE_PX, num_frames=1, keep_unsure=True).frames)
        rows[ending] = {
            "n": len(chosen),
            "frames_s": frames / (time.perf_counter() - begin),
            "cpu_ms": 1000 * (time.process_time() - cpu) / frames,
        }
    return rows


def step(text: str) -> dict[str, Any]:
    """A step of a small ConvNeXt and the full text tower: forward, backward, AdamW."""
    import open_clip
    import torch
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    import echotok
    from echoclip_r.model.text_tower import encode_text
    from echoclip_r.phantom.latents import sample_patient
    from echoclip_r.phantom.report.reports import write_reports
    from echoclip_r.text.codec import TextCodec
    from echotok.building import build

    torch.manual_seed(0)
    reports = [
        report.text
        for patient in range(40)
        for report in write_reports(sample_patient(patient, 5), seed=5)
    ][: 4 * STEP_BATCH]
    tokenizer = None
    if text == "echotok, 77":
        tokenizer = build(ROOT / "phrase_tables" / "phantom")
    assert isinstance(tokenizer, echotok.Tokenizer | None)
    length = 640 if text == "CLIP BPE, 640" else 77
    codec = TextCodec(tokenizer, context_length=length)
    if text == "CLIP BPE, random 77":
        draw = random.Random(0)
        reports = [
            " ".join(words[(at := draw.randrange(max(1, len(words) - 40))) : at + 60])
            for words in map(str.split, reports)
        ]
    encoded = codec.encode(reports)
    vocab_size = 49408 if tokenizer is None else tokenizer.vocab_size
    model = open_clip.CLIP(
        512,
        CLIPVisionCfg(
            timm_model_name="convnext_femto",
            timm_pool="avg",
            timm_proj="linear",
            image_size=STEP_PX,
        ),
        CLIPTextCfg(context_length=length, vocab_size=vocab_size, width=512, heads=8, layers=12),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loss = open_clip.ClipLoss()
    images = torch.rand(STEP_BATCH, 3, STEP_PX, STEP_PX)
    before = _peak_mb()
    seconds = []
    for number in range(4):
        ids = encoded.ids[number * STEP_BATCH : (number + 1) * STEP_BATCH]
        if tokenizer is not None:
            ids = ids[:, : int(ids.argmax(dim=-1).max()) + 1]
        begin = time.process_time()
        optimizer.zero_grad()
        features = [model.encode_image(images), encode_text(model, ids)]
        features = [torch.nn.functional.normalize(one, dim=-1) for one in features]
        loss(*features, model.logit_scale.exp()).backward()
        optimizer.step()
        seconds.append(time.process_time() - begin)
    return {
        "cpu_s": sorted(seconds[1:])[1],
        "peak_mb": _peak_mb() - before,
        "num_truncated": encoded.num_truncated,
        "reports": len(reports),
        "mean_length": float((encoded.ids.argmax(dim=-1) + 1).float().mean()),
    }


def accumulate(how: str) -> dict[str, Any]:
    """The gradients of one step of the tiny model at a batch of 1,024."""
    import torch

    import echotok
    from echoclip_r.model.build import build_model, image_size_px, model_config
    from echoclip_r.text.codec import TextCodec
    from echoclip_r.training.batches import Batch
    from echoclip_r.training.loss import Answers, TotalLoss
    from echoclip_r.training.recipes import echoclip_r, phantom_scale
    from echoclip_r.training.step import Towers, backward

    torch.manual_seed(0)
    config = phantom_scale(echoclip_r(tokenizer="echo"))
    codec = TextCodec(echotok.load("echo"), context_length=config.model.context_length)
    model = build_model(model_config(config.model, codec), name=config.model.towers)
    towers = Towers(model)
    size = image_size_px(model)
    draw = np.random.default_rng(0)
    frames = torch.from_numpy(
        draw.integers(0, 255, (ACCUMULATE_BATCH, size, size, 3), dtype=np.uint8)
    )
    ids = codec.encode([f"LVEF is {number % 80}%. Mild MR." for number in range(len(frames))]).ids

    def batch(rows: slice) -> Batch:
        some, num_texts = frames[rows], len(config.texts)
        nothing = torch.empty(len(some), 0)
        own = torch.arange(len(frames))[rows]
        return Batch(
            frames=some,
            gains=torch.ones(len(some)),
            texts=(ids[rows],) * num_texts,
            answers=Answers((own,) * num_texts, (nothing,) * num_texts, nothing),
            num_truncated=0,
            bad=(),
        )

    loss = TotalLoss(config.losses)
    before, seconds = _peak_mb(), []
    for _ in range(2):
        model.zero_grad()
        begin = time.process_time()
        if how == "a loop over 16 small batches, each with a loss of its own":
            for at in range(0, len(frames), len(frames) // 16):
                backward(towers, batch(slice(at, at + len(frames) // 16)), loss, precision="fp32")
        else:
            parts = 16 if how == "accumulate=16" else 1
            backward(towers, batch(slice(None)), loss, precision="fp32", accumulate=parts)
        seconds.append(time.process_time() - begin)
    return {"cpu_s": min(seconds), "peak_mb": _peak_mb() - before}


def _vectors(dtype: str) -> Path:
    """Unit vectors around 20,000 centres, as studies of like findings lie together."""
    path = FOLDER / f"vectors_{dtype}.npy"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        draw = np.random.default_rng(0)
        centres = draw.standard_normal((20_000, WIDTH), dtype=np.float32)
        partial = path.with_suffix(".partial.npy")
        out = np.lib.format.open_memmap(partial, "w+", dtype, (ROWS, WIDTH))
        for at in range(0, ROWS, 50_000):
            part = centres[draw.integers(0, len(centres), 50_000)]
            part += 0.7 * draw.standard_normal(part.shape, dtype=np.float32)
            out[at : at + 50_000] = part / np.linalg.norm(part, axis=1, keepdims=True)
        out.flush()
        partial.replace(path)
    return path


def _queries() -> Any:
    rows = np.load(_vectors("float32"), mmap_mode="r")
    draw = np.random.default_rng(1)
    found = np.asarray(rows[np.sort(draw.choice(ROWS, QUERIES, replace=False))])
    found = found + 0.02 * draw.standard_normal(found.shape, dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _exact(rows: Any, queries: Any, k: int = 10) -> Any:
    """The k best rows of each query, a block of rows at a time."""
    best = np.full((len(queries), k), -np.inf, dtype=np.float32)
    places = np.zeros((len(queries), k), dtype=np.int64)
    for at in range(0, len(rows), 65_536):
        cosines = queries @ np.asarray(rows[at : at + 65_536], dtype=np.float32).T
        top = np.argpartition(-cosines, k, axis=1)[:, :k]
        both = np.hstack([best, np.take_along_axis(cosines, top, axis=1)])
        where = np.hstack([places, top + at])
        order = np.argsort(-both, axis=1)[:, :k]
        best, places = np.take_along_axis(both, order, 1), np.take_along_axis(where, order, 1)
    return places


def _truth() -> Any:
    path = FOLDER / "truth.npy"
    if not path.exists():
        np.save(path, _exact(np.load(_vectors("float32"), mmap_mode="r"), _queries()))
    return np.load(path)


def search(how: str) -> dict[str, Any]:
    """The ten nearest of a million: one query, and a hundred at once."""
    queries, truth = _queries(), _truth()
    before = _memory_mb("VmRSS")
    build_s = 0.0
    if how.startswith("exact"):
        rows = np.load(_vectors(how.split()[-1]), mmap_mode="r")

        def find(some: Any) -> Any:
            return _exact(rows, some)

    else:
        if importlib.util.find_spec("faiss") is None:
            return {"missing": "faiss"}
        import faiss

        begin = time.process_time()
        vectors = np.load(_vectors("float32"), mmap_mode="r")
        index = faiss.index_factory(WIDTH, "IVF1024,SQfp16", faiss.METRIC_INNER_PRODUCT)
        index.train(np.asarray(vectors[::25]))
        for at in range(0, ROWS, 50_000):
            index.add(np.asarray(vectors[at : at + 50_000]))
        index.nprobe = int(how.rpartition(" ")[2])
        build_s = time.process_time() - begin

        def find(some: Any) -> Any:
            return index.search(some, 10)[1]

    find(queries[:1])
    one_ms = []
    for number in range(5):
        begin = time.perf_counter()
        find(queries[number : number + 1])
        one_ms.append(1000 * (time.perf_counter() - begin))
    begin = time.perf_counter()
    found = find(queries)
    hundred_ms = 1000 * (time.perf_counter() - begin)
    hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
    return {
        "recall": float(np.mean(hits)) / 10,
        "one_ms": float(np.median(one_ms)),
        "hundred_ms": hundred_ms,
        "peak_mb": _memory_mb("VmRSS") - before,
        "build_cpu_s": build_s,
    }


TEXTS = ("echotok, 77", "CLIP BPE, 640", "CLIP BPE, random 77")
WAYS = ("whole", "accumulate=16", "a loop over 16 small batches, each with a loss of its own")
SEARCHES = ("exact float32", "exact float16", "faiss IVF1024,SQfp16, nprobe 16")
PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "loader, 0 workers": loader_alone,
    **{f"loader, {n} workers": (lambda n=n: loaders(n)) for n in (1, 2)},
    "where time goes": where_time_goes,
    "raw clips": raw_clips,
    **{f"step: {text}": (lambda text=text: step(text)) for text in TEXTS},
    **{f"accumulate: {how}": (lambda how=how: accumulate(how)) for how in WAYS},
    **{f"search: {how}": (lambda how=how: search(how)) for how in SEARCHES},
}


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", help="parts whose names hold this")
    parser.add_argument("--again", action="store_true", help="measure anew what is measured")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        import torch

        torch.set_num_threads(1)  # threads that wait for a busy core burn its time
        print(json.dumps({**PARTS[options.part](), "load": os.getloadavg()[0]}))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = FOLDER / "figures.json"
    figures: dict[str, Any] = {}
    failed: list[str] = []
    if kept.exists():
        figures = json.loads(kept.read_text(encoding="utf-8"))
    for name in PARTS:
        wanted = options.only is None or options.only in name
        if not wanted or (name in figures and not options.again):
            continue
        print(f"{name} ...", file=sys.stderr)
        command = [sys.executable, "-m", "benchmarks.models.training_speed", "--part", name]
        child = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
        if child.returncode:
            failed.append(name)
            continue
        figures[name] = json.loads(child.stdout.splitlines()[-1])
        kept.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    packages = ["torch", "open_clip_torch", "webdataset", "av", "numpy"]
    packages += ["faiss-cpu"] * (importlib.util.find_spec("faiss") is not None)
    results = {**facts("make bench-training", packages, seed=0), "parts": figures}
    write_results("training_speed", results, _markdown(results))
    if failed:
        sys.exit(f"these failed, and the page has no new figures of them: {', '.join(failed)}")


def _spread(values: list[float]) -> str:
    digits = 0 if min(values) >= 10 else 2
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _table(head: str, rows: list[str]) -> list[str]:
    return [head, "|" + " --- |" * (head.count("|") - 1), *rows, ""] if rows else []


def _markdown(results: dict[str, Any]) -> str:
    parts = {name: one for name, one in results["parts"].items() if "missing" not in one}
    missing = sorted({one["missing"] for one in results["parts"].values() if "missing" in one})
    lines = [
        "# Speed of the training and search pipeline",
        "",
        "Phantom clips and reports, made here; a shared machine, whose load stands beside.",
        *([f"Not installed, and left out: {', '.join(missing)}."] if missing else []),
        "",
        "## Frames through the loader",
        "",
        f"One frame of {SIZE_PX} px and its report an item, batches of 64, frames a second by the",
        f"clock, {ROUNDS} turns of {SECONDS:.0f} seconds: ours, WebDataset, ours, ...",
        "Median (least to most). Ours draws a frame of each clip; the plain one finds a single",
        "frame a clip in its shards.",
        "",
    ]
    rows = []
    for name, one in parts.items():
        if not name.startswith("loader, "):
            continue
        ours, plain = one["ours"], one.get("plain", [])
        ratios = [a / b for a, b in zip(ours, plain, strict=False)]
        cells = [_spread(some) if some else "" for some in (ours, plain, ratios)]
        rows.append(f"| {name.split()[1]} | {' | '.join(cells)} | {one['load']:.1f} |")
    lines += _table("| workers | ours | WebDataset and open_clip | times as fast | load |", rows)
    if "where time goes" in parts:
        one = parts["where time goes"]
        total = sum(ms for name, ms in one["ms"].items() if "CLIP BPE" not in name)
        lines += [f"The processor's time of an item, n = {one['n']}, nothing remembered:", ""]
        lines += _table(
            "| part | ms |", [f"| {name} | {ms:.3f} |" for name, ms in one["ms"].items()]
        )
        lines += [
            f"With echo-clip that is {total:.2f} ms an item: one core gives "
            f"{1000 / total:,.0f} frames/s, and {2500 * total / 1000:.1f} cores the 2,500 frames/s "
            "that a large GPU takes of ConvNeXt-Base at 224 px in bf16.",
            "",
        ]
    if "raw clips" in parts:
        lines += ["One frame of a raw clip, its sector found, masked and resized:", ""]
        rows = [
            f"| {ending} | {one['frames_s']:.0f} | {one['cpu_ms']:.1f} | {one['n']} |"
            for ending, one in parts["raw clips"].items()
            if isinstance(one, dict)
        ]
        lines += _table("| clips | frames/s | processor, ms a frame | n |", rows)
    rows = [
        f"| {name.partition(': ')[2]} | {one['cpu_s']:.2f} | {one['peak_mb']:.0f} "
        f"| {one['mean_length']:.0f} | {one['num_truncated']} of {one['reports']} |"
        for name, one in parts.items()
        if name.startswith("step")
    ]
    if rows:
        lines += [
            "## A step by the length of its text",
            "",
            f"ConvNeXt-Femto at {STEP_PX} px, the text tower of CLIP (12 layers, width 512), batch",
            f"{STEP_BATCH}, float32 on one core: forward, backward, AdamW; median of 3. echotok",
            "has the phantom's own table, and rows are trimmed to the longest.",
            "",
            *_table("| text | processor, s | more memory, MB | mean ids | cut |", rows),
        ]
    rows = [
        f"| {name.partition(': ')[2]} | {one['cpu_s']:.1f} | {one['peak_mb']:.0f} |"
        for name, one in parts.items()
        if name.startswith("accumulate")
    ]
    if rows:
        lines += [
            f"## Gradients of a batch of {ACCUMULATE_BATCH:,}",
            "",
            "The tiny model. `accumulate` gives the gradients of the whole batch; a plain loop",
            "compares each item with those of its small batch alone.",
            "",
            *_table("| way | processor, s | more memory, MB |", rows),
        ]
    rows = [
        f"| {name.partition(': ')[2]} | {one['recall']:.3f} | {one['one_ms']:.0f} "
        f"| {one['hundred_ms']:.0f} | {one['peak_mb']:.0f} | {one['build_cpu_s']:.0f} "
        f"| {one['load']:.1f} |"
        for name, one in parts.items()
        if name.startswith("search")
    ]
    if rows:
        lines += [
            f"## The ten nearest of {ROWS:,} x {WIDTH}",
            "",
            f"Vectors around 20,000 centres; recall of the exact ten, {QUERIES} queries. Exact",
            "search reads a memory-mapped file in blocks; pages of the file count as memory.",
            "",
            *_table(
                "| way | recall | one query, ms | a hundred at once, ms | memory, MB | build, "
                "processor s | load |",
                rows,
            ),
        ]
    lines += [
        f"{results['machine']}; Python {results['python']}; "
        + ", ".join(f"{name} {version}" for name, version in results["versions"].items())
        + f"; seed {results['seed']}. Made by `{results['command']}`.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
