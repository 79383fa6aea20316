"""Is the sector right when it is sure: `make bench-sector`.

Real clips against outlines drawn by hand (where the clips are at hand), phantom clips in the looks
of many machines against their true masks, kinds that must be refused, the same clip changed in
ways that must change nothing, and the time, each beside the finder as it was before.

Right is an overlap of at least 0.9 with the true picture as deep as it ever shows anything. A run
that was stopped goes on where it was (its verdicts are kept in `runs/`, for this very code).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.data import get_testdata_file

from benchmarks.common import ROOT, facts, write_results
from echoclip_r.media.reading import probe, read_frames
from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.picture.looks import LOOKS, REFUSED, render_look
from echoclip_r.phantom.picture.screen import draw_screen, invent_identity, lay_out_screen
from echoclip_r.phantom.picture.ultrasound import render_clip, sector_layout, set_up
from echoclip_r.sector.find import find_sector

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]

CLIPS = Path(os.environ.get("ECHOTOK_CORPUS", ROOT.parent / "shared" / "data")) / "clips"
OUTLINES = ROOT / "benchmarks" / "data" / "outlines.json"
RIGHT = 0.90
SAME = 0.95
# The last commit with the finder that looked for motion alone.
BEFORE = "57e70a6"
SEED = 100_000
PICTURE = "echoclip_r/phantom/picture"


def overlap(first: Mask, second: Mask) -> float:
    """Intersection over union."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def finder_before(folder: Path) -> Callable[[Frames], Any] | None:
    """`find_sector` as it was, out of this repository's history; None where that is not there."""
    package = folder / "sector_before"
    package.mkdir()
    for name in ("__init__", "find", "motion", "shape"):
        path = f"{BEFORE}:echoclip_r/sector/{name}.py"
        done = subprocess.run(
            ["git", "show", path], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return None
        text = done.stdout.replace("echoclip_r.sector", "sector_before")
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    found: Callable[[Frames], Any] = importlib.import_module("sector_before.find").find_sector
    return found


# -- real clips ------------------------------------------------------------------------------


def evenly(num_frames: int) -> list[int]:
    """The frames that `prepare` looks for a sector in."""
    count = min(num_frames, 16)
    return [(2 * place + 1) * num_frames // (2 * count) for place in range(count)]


def read_some(path: Path) -> Frames:
    """Some evenly spread frames of a clip."""
    if path.suffix == ".gif":
        with Image.open(path) as image:
            num = getattr(image, "n_frames", 1)
            frames = []
            for number in evenly(num):
                image.seek(number)
                frames.append(np.asarray(image.convert("RGB")))
        return np.stack(frames)
    return read_frames(path, evenly(probe(path).num_frames))


def real_clips() -> Iterable[tuple[dict[str, Any], Frames]]:
    """Each clip that has an outline and is at hand unchanged, with its entry."""
    for entry in json.loads(OUTLINES.read_text(encoding="utf-8"))["clips"]:
        if entry["source"] == "pydicom":
            path = Path(str(get_testdata_file(entry["file"], download=False)))
        else:
            path = CLIPS / entry["file"]
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]:
            yield entry, read_some(path)


def draw_outline(entry: dict[str, Any], height: int, width: int) -> Mask:
    """The mask of a polygon."""
    image = Image.new("1", (width, height))
    ImageDraw.Draw(image).polygon([tuple(point) for point in entry["outline"]], fill=1)
    return np.asarray(image)


def measure_real(before: Callable[[Frames], Any] | None) -> dict[str, Any]:
    """Overlap and verdict of each real clip, now and before."""
    rows = []
    for entry, frames in real_clips():
        row = {"file": entry["file"], "kind": entry["kind"]}
        truth = draw_outline(entry, *frames.shape[1:3]) if entry["outline"] else None
        for name, finder in (("now", find_sector), ("before", before)):
            if finder is None:
                continue
            sector = finder(frames)
            row[name] = {
                "overlap": None if truth is None else overlap(sector.mask, truth),
                "sure": bool(sector.sure),
                "reason": sector.reason,
            }
        rows.append(row)
    return {"clips": rows, **{name: _summary(rows, name) for name in ("now", "before")}}


def _summary(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    cines = [row[name] for row in rows if name in row and row["kind"] == "echo cine"]
    other = [row[name] for row in rows if name in row and row["kind"] != "echo cine"]
    found = [one["overlap"] for one in cines]
    return {
        "echo_cines": len(cines),
        "right_and_sure": sum(one["sure"] and one["overlap"] >= RIGHT for one in cines),
        "refused": sum(not one["sure"] for one in cines),
        "wrong_and_sure": sum(one["sure"] and one["overlap"] < RIGHT for one in cines),
        "overlap_median": float(np.median(found)) if found else None,
        "overlap_tenth": float(np.quantile(found, 0.1)) if found else None,
        "others": len(other),
        "others_right_and_sure": sum(
            one["sure"] and (one["overlap"] or 0) >= RIGHT for one in other
        ),
        "others_refused": sum(not one["sure"] for one in other),
        "others_wrong_and_sure": sum(
            one["sure"] and (one["overlap"] or 0) < RIGHT for one in other
        ),
    }


# -- phantoms --------------------------------------------------------------------------------


def judge_look(task: tuple[int, int]) -> dict[str, Any]:
    """One phantom clip in a look: verdict, overlap and lettering left."""
    number, seed = task
    clip = render_look(LOOKS[number], SEED + seed)
    sector = find_sector(clip.frames)
    return {
        "look": LOOKS[number].name,
        "held_out": LOOKS[number].held_out,
        "seed": SEED + seed,
        "sure": bool(sector.sure),
        "overlap": overlap(sector.mask, clip.truth),
        "lettering": int(clip.lettering.sum()),
        "left": int((clip.lettering & sector.mask).sum()) if sector.sure else 0,
        "reason": sector.reason,
    }


def judge_refused(task: tuple[str, int]) -> dict[str, Any]:
    """One clip that must be refused, with the word of its kind."""
    kind, seed = task
    sector = find_sector(REFUSED[kind](SEED + seed))
    return {
        "kind": kind,
        "seed": SEED + seed,
        "refused": not sector.sure,
        "named": kind in sector.reason,
        "reason": sector.reason,
    }


def judge_today(number: int) -> dict[str, Any]:
    """One clip as the archive has them, with a screen around every other one."""
    latents = sample_patient(number, seed=3)[0]
    clip = render_clip(latents, num_frames=10, size_px=112, seed=0)
    sector_drawn = set_up(latents, 112).sector
    radius_px, top_px = sector_layout(sector_drawn, 112)
    y, x = np.mgrid[:112, :112].astype(float)
    x, y = x - 55.5, y - top_px
    truth = (np.hypot(x, y) < radius_px) & (np.abs(np.arctan2(x, y)) < sector_drawn.half_angle_rad)
    frames = np.repeat(clip[..., None], 3, axis=-1)
    if number % 2:
        layout = lay_out_screen(112)
        frames = draw_screen(clip, latents, invent_identity(latents, seed=3), phase=0.3)
        whole = np.zeros(frames.shape[1:3], bool)
        whole[layout.top : layout.top + 112, layout.left : layout.left + 112] = truth
        truth = whole
    sector = find_sector(frames)
    return {
        "sure": bool(sector.sure),
        "overlap": overlap(sector.mask, truth),
        "reason": sector.reason,
    }


def judge(task: tuple[str, Any]) -> tuple[tuple[str, Any], Any]:
    """One clip of any sort, with its task."""
    return task, JUDGES[task[0]](task[1])


def judge_all(tasks: list[tuple[str, Any]], workers: int) -> list[Any]:
    """The verdicts on clips, in order; those of a stopped run with the same code are taken over."""
    digest = hashlib.sha256()
    for path in sorted([*ROOT.glob("echoclip_r/sector/*.py"), *ROOT.glob(f"{PICTURE}/*.py")]):
        digest.update(path.read_bytes())
    kept = ROOT / "runs" / f"sector-{digest.hexdigest()[:12]}.jsonl"
    kept.parent.mkdir(exist_ok=True)
    found = {}
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            task, verdict = json.loads(line)
            found[json.dumps(task)] = verdict
    left = [task for task in tasks if json.dumps(task) not in found]
    with (
        kept.open("a", encoding="utf-8") as file,
        multiprocessing.get_context("fork").Pool(workers) as pool,
    ):
        for task, verdict in pool.imap_unordered(judge, left, chunksize=2):
            # Through JSON, so that a run that was stopped gives what one that was not gives.
            found[json.dumps(task)] = json.loads(json.dumps(verdict))
            print(json.dumps([task, verdict]), file=file, flush=True)
    return [found[json.dumps(task)] for task in tasks]


def measure_phantoms(num: int, workers: int) -> dict[str, Any]:
    """All looks, all kinds to refuse, and the archive's own clips."""
    looks = [("look", (number % len(LOOKS), number // len(LOOKS))) for number in range(num)]
    each = max(1, min(100, num // 20))
    refused = [("refused", (kind, seed)) for seed in range(each) for kind in REFUSED]
    today_tasks = [("today", number) for number in range(min(200, max(20, num // 4)))]
    verdicts = judge_all([*looks, *refused, *today_tasks], workers)
    rows, no = verdicts[: len(looks)], verdicts[len(looks) : len(looks) + len(refused)]
    today = verdicts[len(looks) + len(refused) :]
    per_look = {
        look.name: _look_summary([row for row in rows if row["look"] == look.name])
        for look in LOOKS
    }
    kinds: dict[str, dict[str, int]] = {}
    for kind in REFUSED:
        own = [row for row in no if row["kind"] == kind]
        kinds[kind] = {
            "clips": len(own),
            "refused": sum(row["refused"] for row in own),
            "named": sum(row["named"] for row in own),
        }
    return {
        "looks": per_look,
        "tuned": _look_summary([row for row in rows if not row["held_out"]]),
        "held_out": _look_summary([row for row in rows if row["held_out"]]),
        "refused_kinds": kinds,
        "today": {
            "clips": len(today),
            "refused": sum(not row["sure"] for row in today),
            "wrong_and_sure": sum(row["sure"] and row["overlap"] < RIGHT for row in today),
        },
        "misses": [row for row in rows if not row["sure"] or row["overlap"] < RIGHT or row["left"]],
        "not_refused": [row for row in no if not row["refused"] or not row["named"]],
        "today_misses": [row for row in today if not row["sure"] or row["overlap"] < RIGHT],
    }


def _look_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "clips": len(rows),
        "right_and_sure": sum(row["sure"] and row["overlap"] >= RIGHT for row in rows),
        "refused": sum(not row["sure"] for row in rows),
        "wrong_and_sure": sum(row["sure"] and row["overlap"] < RIGHT for row in rows),
        "overlap_median": float(np.median([row["overlap"] for row in rows])) if rows else None,
        "lettering_pixels": sum(row["lettering"] for row in rows),
        "lettering_left": sum(row["left"] for row in rows),
    }


# -- the same clip, changed ------------------------------------------------------------------


def recode(frames: Frames, codec: str, **options: str) -> Frames:
    """Write a clip with losses and read it back."""
    height, width = (side // 2 * 2 for side in frames.shape[1:3])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=30, options=options)
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"  # type: ignore[attr-defined]
            for frame in frames[:, :height, :width]:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                container.mux(stream.encode(picture))  # type: ignore[attr-defined]
            container.mux(stream.encode())  # type: ignore[attr-defined]
        with av.open(str(path)) as container:
            decoded = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
    out = frames.copy()
    out[:, :height, :width] = np.stack(decoded)
    return out


def resize(frames: Frames, share: float) -> Frames:
    """Frames at another size."""
    height, width = (round(share * side) for side in frames.shape[1:3])
    return np.stack([np.asarray(Image.fromarray(one).resize((width, height))) for one in frames])


def brighten(frames: Frames) -> Frames:
    """Brighter, black staying black."""
    return np.clip(1.5 * frames.astype(np.float32), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Frames], Frames]] = {
    "rescaled to 0.6": lambda frames: resize(frames, 0.6),
    "rescaled to 1.4": lambda frames: resize(frames, 1.4),
    "H.264, crf 36": lambda frames: recode(frames, "libx264", crf="36", preset="veryfast"),
    "VP9, crf 50": lambda frames: recode(
        frames, "libvpx-vp9", crf="50", b="0", deadline="realtime", **{"cpu-used": "8"}
    ),
    "brightened by half": brighten,
    "8 frames": lambda frames: frames[np.linspace(0, len(frames) - 1, 8).round().astype(int)],
    "mirrored": lambda frames: np.ascontiguousarray(frames[:, :, ::-1]),
}


def judge_changes(frames: Frames) -> dict[str, str]:
    """For each change: the same region, a doubt, or another region and sure."""
    base = find_sector(frames)
    if not base.sure:
        return {}
    verdicts = {}
    for name, change in CHANGES.items():
        sector = find_sector(change(frames))
        mask = sector.mask[:, ::-1] if name == "mirrored" else sector.mask
        if mask.shape != base.mask.shape:
            size = (base.mask.shape[1], base.mask.shape[0])
            mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
        same = overlap(mask, base.mask) >= SAME
        verdicts[name] = "same" if same and sector.sure else "doubt" if not sector.sure else "other"
    return verdicts


def judge_changed_look(task: tuple[int, int]) -> dict[str, str]:
    """One phantom clip, changed in each way."""
    return judge_changes(render_look(LOOKS[task[0]], SEED + task[1]).frames)


JUDGES: dict[str, Callable[[Any], Any]] = {
    "look": judge_look,
    "refused": judge_refused,
    "today": judge_today,
    "changed": judge_changed_look,
}


def measure_changes(num: int, workers: int) -> dict[str, Any]:
    """Counts of the verdicts, on real clips and on phantoms."""
    tasks = [("changed", (number % len(LOOKS), number // len(LOOKS))) for number in range(num)]
    phantoms = judge_all(tasks, workers)
    found = {"phantoms": phantoms, "real": [judge_changes(frames) for _, frames in real_clips()]}
    counts: dict[str, Any] = {}
    for name, verdicts in found.items():
        table: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for one in verdicts:
            for change, verdict in one.items():
                table[change][verdict] += 1
        counts[name] = table
    return counts


# -- time ------------------------------------------------------------------------------------


def measure_time(before: Callable[[Frames], Any] | None) -> dict[str, Any]:
    """Milliseconds a clip, now and before, on the same clips in turns: the median of three."""
    clips = [frames for _, frames in real_clips() if len(frames) > 3][:24]
    clips += [render_look(look, SEED).frames for look in LOOKS]
    took: dict[str, list[float]] = {"now": [], "before": []}
    for frames in clips:
        for name, finder in (("now", find_sector), ("before", before)):
            if finder is None:
                continue
            runs = []
            for _ in range(3):
                # Of the processor, not of the clock: others may be at work on the machine.
                start = time.process_time()
                finder(frames)
                runs.append(time.process_time() - start)
            took[name].append(1000 * float(np.median(runs)))
    out = {name: float(np.mean(times)) for name, times in took.items() if times}
    return {"clips": len(clips), **out}


def main() -> None:
    """Measure all of it and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=2000, help="phantom clips over all looks")
    parser.add_argument("--changed", type=int, default=60, help="phantom clips that are changed")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = finder_before(Path(folder))
        results = {
            **facts(_command(options), ["numpy", "scipy", "av"], seed=SEED),
            "num": options.num,
            "time_ms": measure_time(before),
            "real": measure_real(before),
            "phantoms": measure_phantoms(options.num, options.workers),
            "changed": measure_changes(options.changed, options.workers),
        }
    kept_aside = results["phantoms"]["held_out"]
    readme = {
        "num": kept_aside["clips"],
        "right": kept_aside["right_and_sure"] / max(kept_aside["clips"], 1),
        "wrong": kept_aside["wrong_and_sure"],
    }
    write_results("sector", results, _markdown(results), readme=readme)


def _command(options: argparse.Namespace) -> str:
    if (options.num, options.changed) == (2000, 60):
        return "make bench-sector"
    return f"python benchmarks/data/sector.py --num {options.num} --changed {options.changed}"


def _markdown(results: dict[str, Any]) -> str:
    real, phantoms = results["real"], results["phantoms"]
    lines = [
        "# The sector: right when it is sure",
        "",
        "## Real clips against outlines drawn by hand",
        "",
        "| | before | now |",
        "| --- | --- | --- |",
    ]
    for key, value in real["now"].items():
        old = real["before"].get(key)
        cells = (f"{one:.3f}" if isinstance(one, float) else str(one) for one in (old, value))
        lines.append(f"| {key.replace('_', ' ')} | {' | '.join(cells)} |")
    lines += ["", "| clip | kind | before | now |", "| --- | --- | --- | --- |"]
    for row in real["clips"]:
        cells = (_cell(row.get(name)) for name in ("before", "now"))
        lines.append(f"| {row['file']} | {row['kind']} | {' | '.join(cells)} |")
    lines += [
        "",
        f"## Phantoms in the looks of many machines, {results['num']} clips",
        "",
        "Right is an overlap of at least 0.9 with the true mask. Simulated clips.",
        "",
        "| look | clips | right and sure | refused | wrong and sure | median overlap | "
        "lettering left |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = {
        **phantoms["looks"],
        "**looks that rules were fitted to**": phantoms["tuned"],
        "**looks kept for testing**": phantoms["held_out"],
    }
    for name, one in rows.items():
        if one["clips"]:
            lines.append(
                f"| {name} | {one['clips']} | {one['right_and_sure'] / one['clips']:.1%} | "
                f"{one['refused']} | {one['wrong_and_sure']} | {one['overlap_median']:.3f} | "
                f"{one['lettering_left']} of {one['lettering_pixels']:,} |"
            )
    today = phantoms["today"]
    lines += [
        "",
        f"The archive's own phantoms: {today['refused']} of {today['clips']} refused, "
        f"{today['wrong_and_sure']} wrong and sure.",
        "",
        "## What must be refused",
        "",
        "| kind | clips | refused | with that word |",
        "| --- | --- | --- | --- |",
        *(
            f"| {kind} | {one['clips']} | {one['refused']} | {one['named']} |"
            for kind, one in phantoms["refused_kinds"].items()
        ),
        "",
        "## The same clip, changed",
        "",
        "Of the clips that are sure: the same region (overlap at least 0.95) and sure, a doubt, or "
        "another region and sure.",
        "",
        "| change | real: same / doubt / other | phantoms: same / doubt / other |",
        "| --- | --- | --- |",
    ]
    for change in CHANGES:
        cells = (
            " / ".join(
                str(results["changed"][name].get(change, {}).get(verdict, 0))
                for verdict in ("same", "doubt", "other")
            )
            for name in ("real", "phantoms")
        )
        lines.append(f"| {change} | {' | '.join(cells)} |")
    took = results["time_ms"]
    if "before" in took:
        lines += [
            "",
            f"Time a clip: {took['now']:.0f} ms, before {took['before']:.0f} ms "
            f"({took['now'] / took['before']:.2f} times; {took['clips']} clips, one process).",
        ]
    lines += [
        "",
        f"{results['machine']}; Python {results['python']}. Made by `{results['command']}`, "
        f"phantom seeds from {results['seed']}.",
        "",
    ]
    return "\n".join(lines)


def _cell(one: dict[str, Any] | None) -> str:
    if one is None:
        return ""
    share = "" if one["overlap"] is None else f"{one['overlap']:.3f}, "
    return f"{share}{'sure' if one['sure'] else 'refused: ' + one['reason'].replace('|', '/')}"


if __name__ == "__main__":
    main()
