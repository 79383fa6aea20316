"""Work on many machines, acted on one: the same bytes whoever does it, and whoever is killed.

An archive of phantoms is prepared by one process, by four workers of Dask, by seven parts of an
array, and by four workers of which one is killed again and again; then with the driver, the
scheduler, and the disk gone in the middle, and with a shard that was written by half. All shards,
the index and the sums are compared by sha256, and every clip is counted. A tiny model with random
weights embeds the clips in the same three ways; the largest difference is told. The times of one
process, of one worker and of two tell what the cluster costs, as ratios: machines are shared.

Run: .venv/bin/python benchmarks/data/cluster_runs.py
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.common import facts, write_results
from benchmarks.data.prepare_long_run import multiply
from echoclip_r.phantom.archive import write_archive

PACKAGES = ["av", "distributed", "numpy", "pillow", "pydicom", "torch"]
NUM_PATIENTS, SIZE_PX, NUM_FRAMES = 60, 64, 6
NUM_PARTS = 7
# Dask has its workers give freed memory back at once, and pictures ask for it again at once.
KEPT_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
NAMES = {
    "dask": "four workers of Dask",
    "parts": f"{NUM_PARTS} parts of an array, two at a time",
    "killed": "four workers, one killed every {period:g} s ({kills} kills)",
    "driver": "driver killed (SIGKILL) at half, given again",
    "scheduler": "scheduler killed (SIGKILL) at half, given again with another",
    "half": "a shard cut to half its bytes, given again",
    "disk": "a full disk (tmpfs), given again with room",
}


def main() -> None:
    """Make the runs and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=2_000)
    parser.add_argument("--shards", type=int, default=40, help="about so many")
    parser.add_argument("--period", type=float, default=10.0, help="seconds between two kills")
    parser.add_argument("--kills", type=int, default=20, help="at most so many")
    parser.add_argument(
        "--only",
        action="append",
        choices=("bytes", "times", "embeddings"),
        help="leave the other measurements out; may be given several times",
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start, load = time.time(), round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = write_archive(
            folder / "base",
            min(NUM_PATIENTS, arguments.clips),
            size_px=SIZE_PX,
            num_frames=NUM_FRAMES,
            seed=arguments.seed,
        ).manifest
        manifest = multiply(base, folder / "archive", arguments.clips)
        trial = Trial(folder, manifest, arguments.clips, arguments.shards, arguments.seed)
        only = arguments.only or ("bytes", "embeddings", "times")
        period, kills = arguments.period, arguments.kills
        runs: list[dict[str, Any]] = []
        found: dict[str, Any] = {"runs": runs, "times": {}, "embeddings": []}

        def write() -> None:
            """The page, of what there is by now: a run of an hour may be stopped."""
            results = facts(
                ".venv/bin/python benchmarks/data/cluster_runs.py"
                f" --clips {arguments.clips} --shards {arguments.shards}"
                f" --period {arguments.period:g} --kills {arguments.kills}"
                + "".join(f" --only {name}" for name in arguments.only or ()),
                PACKAGES,
                seed=arguments.seed,
                load_average=[load, round(os.getloadavg()[0], 1)],
                seconds=round(time.time() - start),
                num_clips=arguments.clips,
                num_shards=trial.num_shards,
                **found,
            )
            write_results("cluster", results, markdown(results))

        if "bytes" in only:
            for run in trial.prepare_runs(period, kills):
                runs.append(run)
                write()
        if "embeddings" in only:
            found["embeddings"] = [*trial.embed_runs()]
            write()
        if "times" in only:
            found["times"] = trial.times()
            write()
    if any(run["num_different"] or run["num_lost"] or run["num_doubled"] for run in runs):
        sys.exit("bytes differ, or clips were lost or doubled")


class Trial:
    """An archive, what one process makes of it, and the same by others."""

    def __init__(self, folder: Path, manifest: Path, num_clips: int, shards: int, seed: int):
        self.folder, self.manifest = folder, manifest
        self.options = ["--size", str(SIZE_PX), "--frames", "4", "--keep-unsure"]
        self.options += ["--clips-per-shard", str(max(1, num_clips // shards))]
        self.options += ["--min-free-gb", "0", "--seed", str(seed)]
        self.one = folder / "one"
        began = time.perf_counter()
        self.run([*self.command(self.one)])
        self.one_s = time.perf_counter() - began
        self.sums = sums(self.one)
        self.num_shards = len(list(self.one.glob("*.tar")))

    def command(self, out: Path) -> list[str]:
        """`prepare` of the archive into a folder."""
        return ["prepare", str(self.manifest), "--out", str(out), *self.options]

    def run(self, command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
        """A command as a user gives it, to its end."""
        print(*command[:1], *command[3:], file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-m", "echoclip_r", *command],
            capture_output=True,
            text=True,
            check=False,
            **more,
        )
        if done.returncode:
            print(last_line(done.stderr, self.folder), file=sys.stderr)
        return done

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """A command that is killed later."""
        return subprocess.Popen(
            [sys.executable, "-m", "echoclip_r", *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def compared(self, key: str, out: Path, said: str = "", **more: Any) -> dict[str, Any]:
        """What a folder holds beside that of one process, and what the user saw in between."""
        found = sums(out)
        different = sum(found.get(name) != value for name, value in self.sums.items())
        ours, theirs = clips_of(self.one), clips_of(out)
        return {
            "what": NAMES[key],
            "num_different": different + len(found.keys() - self.sums.keys()),
            "num_lost": len(ours - theirs),
            "num_doubled": sum((theirs - ours).values()),
            "said": last_line(said, self.folder),
            **more,
        }

    def prepare_runs(self, period_s: float, most_kills: int) -> Iterator[dict[str, Any]]:
        """Every way to the same shards."""
        with cluster(4) as (address, scheduler):
            out = self.folder / "dask"
            self.run([*self.command(out), "--cluster", address])
            yield self.compared("dask", out)
            yield self.killed_workers(address, period_s, most_kills)
            yield self.killed_driver(address)
            out = self.folder / "scheduler"
            process = self.start([*self.command(out), "--cluster", address])
            self.wait_for_half(out, process)
            scheduler.send_signal(signal.SIGKILL)
            said = process.communicate()[1]
        with cluster(1) as (address, _):
            self.run([*self.command(out), "--cluster", address])
        yield self.compared("scheduler", out, said)
        yield self.parts()
        yield self.half_a_shard()
        yield from self.full_disk()

    def killed_workers(self, address: str, period_s: float, most: int) -> dict[str, Any]:
        """Four workers, of which a nanny starts another one for each that is killed."""
        from distributed import Client

        out, kills = self.folder / "killed", 0
        process = self.start([*self.command(out), "--cluster", address])
        with Client(address, set_as_default=False) as client:
            while process.poll() is None and kills < most:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(period_s)
                    break
                pids = [*client.run(os.getpid, on_error="ignore").values()]
                if pids:
                    os.kill(pids[kills % len(pids)], signal.SIGKILL)
                    kills += 1
        said = process.communicate()[1]
        if process.returncode:
            self.run([*self.command(out), "--cluster", address])
        found = self.compared("killed", out, said, num_kills=kills)
        return found | {"what": found["what"].format(period=period_s, kills=kills)}

    def killed_driver(self, address: str) -> dict[str, Any]:
        """The command itself is killed; its workers drop what it asked for."""
        out = self.folder / "driver"
        process = self.start([*self.command(out), "--cluster", address])
        self.wait_for_half(out, process)
        process.kill()
        process.communicate()
        said = self.run([*self.command(out), "--cluster", address]).stdout
        said = "\n".join(line for line in said.splitlines() if "earlier run" in line)
        return self.compared("driver", out, said)

    def parts(self) -> dict[str, Any]:
        """The parts of an array, in no order, two at a time; the fourth is given too late."""
        out = self.folder / "parts"
        for pair in ((7, 2), (1, 5), (6, 3)):
            both = [
                self.start([*self.command(out), "--part", f"{number}/{NUM_PARTS}"])
                for number in pair
            ]
            for process in both:
                process.communicate()
        said = self.run([*self.command(out), "--finish", str(NUM_PARTS)]).stderr
        self.run([*self.command(out), "--part", f"4/{NUM_PARTS}"])
        self.run([*self.command(out), "--finish", str(NUM_PARTS)])
        return self.compared("parts", out, said)

    def half_a_shard(self) -> dict[str, Any]:
        """As a copy that broke off leaves it."""
        out = self.folder / "parts"
        shard = sorted(out.glob("*.tar"))[0]
        os.truncate(shard, shard.stat().st_size // 2)
        self.run(self.command(out))
        return self.compared("half", out)

    def full_disk(self) -> Iterator[dict[str, Any]]:
        """A file system that is full at half of the shards; none where it cannot be mounted."""
        disk = self.folder / "disk"
        disk.mkdir()
        num_bytes = sum(path.stat().st_size for path in self.one.rglob("*") if path.is_file())
        mount = ["mount", "-t", "tmpfs", "-o"]
        if subprocess.run(
            [*mount, f"size={num_bytes // 2}", "tmpfs", str(disk)], capture_output=True, check=False
        ).returncode:
            return
        try:
            out = disk / "out"
            said = self.run(self.command(out)).stderr
            size = f"remount,size={num_bytes * 3}"
            subprocess.run([*mount, size, "tmpfs", str(disk)], check=True)
            self.run(self.command(out))
            yield self.compared("disk", out, said)
        finally:
            subprocess.run(["umount", str(disk)], check=True)

    def wait_for_half(self, out: Path, process: subprocess.Popen[str]) -> None:
        """Wait until half of the shards are there, or the command has ended."""
        while process.poll() is None and len(list(out.glob("*.tar"))) < self.num_shards / 2:
            time.sleep(0.05)

    def times(self) -> dict[str, float]:
        """Seconds of one process, before and after, and of one and two workers of Dask."""
        found = {"one process, before": self.one_s}
        ways = {
            "1 of Dask, as it sets memory": (1, {}),
            "1 of Dask": (1, KEPT_MEMORY),
            "2 of Dask": (2, KEPT_MEMORY),
        }
        for at, (name, (number, environment)) in enumerate(ways.items()):
            with cluster(number, environment) as (address, _):
                began = time.perf_counter()
                self.run([*self.command(self.folder / f"timed-{at}"), "--cluster", address])
                found[name] = time.perf_counter() - began
        began = time.perf_counter()
        self.run(self.command(self.folder / "timed-one"))
        found["one process, after"] = time.perf_counter() - began
        return found

    def embed_runs(self) -> Iterator[dict[str, Any]]:
        """The training split by an untrained model: one process, the cluster, parts."""
        import numpy as np

        from echoclip_r.embedding.embeddings import load_embedded

        model = untrained(self.folder / "model" / "best")
        command = ["embed", str(model), "--shards", str(self.one), "--split", "train"]
        command += ["--device", "cpu", "--out"]
        folders = {name: self.folder / f"embeddings-{name}" for name in ("one", "dask", "parts")}
        self.run([*command, str(folders["one"])])
        with cluster(2) as (address, _):
            self.run([*command, str(folders["dask"]), "--cluster", address])
        for number in (3, 1, 2):
            self.run([*command, str(folders["parts"]), "--part", f"{number}/3"])
        self.run([*command, str(folders["parts"]), "--finish", "3"])
        one = load_embedded(folders["one"])[0]
        for name in ("dask", "parts"):
            other = load_embedded(folders[name])[0]
            yield {
                "what": {"dask": "two workers of Dask", "parts": "3 parts"}[name],
                "num_clips": len(other.clips),
                "same_rows": bool(one.clips.equals(other.clips)),
                "largest": float(np.abs(one.frames - other.frames).max()),
            }


@contextmanager
def cluster(
    num_workers: int, environment: Mapping[str, str] = KEPT_MEMORY
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A scheduler and workers on loopback: its address and process."""
    dask = [sys.executable, "-m", "dask"]
    scheduler = subprocess.Popen(
        [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert scheduler.stderr is not None
    found = next(filter(None, (re.search(r"tcp://\S+:\d+", line) for line in scheduler.stderr)))
    drain = subprocess.Popen(["cat"], stdin=scheduler.stderr, stdout=subprocess.DEVNULL)
    options = ["--nthreads", "1", "--nworkers", str(num_workers), "--no-dashboard"]
    workers = subprocess.Popen(
        [*dask, "worker", found[0], *options, "--death-timeout", "60"],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield found[0], scheduler
    finally:
        for process in (workers, scheduler, drain):
            process.terminate()
        for process in (workers, scheduler, drain):
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


def untrained(folder: Path) -> Path:
    """A checkpoint of the tiny model with random weights."""
    import torch

    from echoclip_r.model.build import build_model, model_config
    from echoclip_r.model.checkpoint import save_checkpoint
    from echoclip_r.text.codec import TextCodec
    from echoclip_r.training.recipes import echoclip_r, phantom_scale

    config = phantom_scale(echoclip_r())
    codec = TextCodec.load("echo", context_length=config.model.context_length)
    described = model_config(config.model, codec)
    torch.manual_seed(0)
    save_checkpoint(
        folder,
        build_model(described, name=config.model.towers),
        spec=config.model,
        training=config.training_dict(),
        model_config=described,
        codec=codec,
        facts={},
    )
    return folder


def sums(folder: Path) -> dict[str, str]:
    """The sha256 of every file right in a folder: shards, index, sums, rejects."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*"))
        if path.is_file() and path.name[0] != "."
    }


def clips_of(folder: Path) -> Counter[str]:
    """How often each clip is in a folder's shards."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            found.update(name for name in tar.getnames() if name.endswith(".json"))
    return found


def last_line(said: str, folder: Path) -> str:
    """What a user saw last, without the names of this machine's folders."""
    lines = [line for line in said.splitlines() if line.strip()]
    return re.sub(r"tcp://\S+", "tcp://...", lines[-1].replace(f"{folder}/", "")) if lines else ""


def markdown(results: dict[str, Any]) -> str:
    """The page."""
    before, after = results["load_average"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    rows = [
        f"| {run['what']} | {run['num_different']} | {run['num_lost']} | {run['num_doubled']} |"
        for run in results["runs"]
    ]
    saw = [f"- {run['what']}: `{run['said']}`" for run in results["runs"] if run["said"]]
    embedded = [
        f"| {run['what']} | {run['num_clips']:,} | {'yes' if run['same_rows'] else 'NO'} | "
        f"{run['largest']:.1e} |"
        for run in results["embeddings"]
    ]
    page = [
        "# Work on many machines, acted on one",
        "",
        f"{results['machine']}, load average {before} before and {after} after; Python "
        f"{results['python']}; {versions}. Seed {results['seed']}. Made by "
        f"`{results['command']}` in {results['seconds']} s. {results['num_clips']:,} phantom "
        f"clips of {SIZE_PX} px in {results['num_shards']} shards.",
        "",
    ]
    if rows:
        page += [
            "## The same shards",
            "",
            "Files (shards, index, sums, rejects) whose sha256 is not that of one process, and "
            "clips that are lost or doubled.",
            "",
            "| prepared by | files that differ | clips lost | clips doubled |",
            "| --- | ---: | ---: | ---: |",
            *rows,
            "",
            "What the user saw last before the command was given again:",
            "",
            *saw,
            "",
        ]
    if times := results["times"]:
        one = (times["one process, before"] + times["one process, after"]) / 2
        page += [
            "## Time",
            "",
            "One run each, start-up of the command with it; on a machine that others use. Without",
            "another word, workers have `MALLOC_TRIM_THRESHOLD_=134217728` (docs/scale.md).",
            "",
            "| | seconds | of one process |",
            "| --- | ---: | ---: |",
            *(f"| {name} | {value:.1f} | {value / one:.2f} |" for name, value in times.items()),
            "",
        ]
    if embedded:
        page += [
            "## The same embeddings",
            "",
            "| embedded by | clips | same rows | largest difference |",
            "| --- | ---: | --- | ---: |",
            *embedded,
            "",
        ]
    return "\n".join(page)


if __name__ == "__main__":
    main()
