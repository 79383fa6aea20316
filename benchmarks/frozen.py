"""What must not change while the code moves: ids, shards, losses, metrics, a mined table.

    python benchmarks/frozen.py --write     the truth of this commit, on this machine
    python benchmarks/frozen.py             the same again, and what differs (exit 1)

Everything goes through the two command lines, so that no module's place matters. The last bits of
a loss depend on the processor: the truth is written and compared on one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import OWN, ROOT

WORK = ROOT / "runs" / "frozen"
TRUTH = WORK / "truth.json"
_RECIPES = ("echoclip", "echoclip-r", "echoclip-r-span")


def main() -> int:
    """Measure, then write or compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--write", action="store_true", help="keep what is found as the truth")
    arguments = parser.parse_args()
    found = measure()
    if arguments.write:
        TRUTH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    truth = json.loads(TRUTH.read_text(encoding="utf-8"))
    differ = [name for name in truth if truth[name] != found.get(name)]
    for name in truth:
        print(f"{'DIFFERS' if name in differ else 'equal  '}  {name}  {_short(found.get(name))}")
    return 1 if differ else 0


def measure() -> dict[str, Any]:
    """Name -> what was found."""
    scratch = WORK / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    found: dict[str, Any] = {}
    reports = sorted(path for path in OWN.rglob("*") if path.is_file())
    for name in ("echo", "echo-clip"):
        golden = ROOT / "tests" / "golden" / f"{name}.json"
        found[f"golden ids, {name}"] = _sha256(golden.read_bytes())
        encoded = _run("echotok", "encode", "--json", "--tokenizer", name, *map(str, reports))
        found[f"ids, tokens, offsets of our reports, {name}"] = _sha256(encoded)
    archive, shards = scratch / "archive", scratch / "shards"
    _run("echoclip_r", "phantom", "--patients", "60", "--seed", "5", "--size", "64", "--frames",
         "4", "--workers", "2", "--out", str(archive))  # fmt: skip
    found["phantom archive"] = _folder(archive)
    manifest = archive / "manifest.csv"
    _run("echoclip_r", "prepare", str(manifest), "--out", str(shards), "--size", "64", "--frames",
         "4", "--workers", "2")  # fmt: skip
    found["shards"] = _folder(shards, "*.tar")
    _run("echotok", "mine", str(manifest), "--column", "report", "--patient-column",
         "patient_id", "--k", "3", "--vocab-size", "1000", "--name", "frozen", "--out",
         str(scratch / "table"))  # fmt: skip
    found["mined table"] = _folder(scratch / "table", "*.[ct][so][vm]*")
    runs = []
    for recipe in _RECIPES:
        out = scratch / recipe
        _run("echoclip_r", "train", "--recipe", recipe, "--scale", "phantom", "--shards",
             str(shards), "--out", str(out), "--device", "cpu", "--set", "batch_size=16", "--set",
             "epochs=13", "--set", "warmup_steps=5", "--set", "log_every_steps=1")  # fmt: skip
        lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        losses = [line["loss"] for line in lines if "loss" in line][:50]
        assert len(losses) == 50, len(losses)
        found[f"losses of 50 steps, {recipe}"] = losses
        runs.append(str(out))
    judged = scratch / "evaluation"
    _run("echoclip_r", "evaluate", *runs, "--shards", str(shards), "--out", str(judged), "--tasks",
         "phantom", "--draws", "100", "--names", ",".join(_RECIPES), "--split", "test")  # fmt: skip
    metrics = json.loads((judged / "metrics.json").read_text(encoding="utf-8"))
    found["metrics.json"] = _sha256(_plain(metrics).encode())
    return found


def _plain(content: Any) -> str:
    """JSON without what names a place, a time or a version."""
    text = json.dumps(content, sort_keys=True)
    return text.replace(str(ROOT), "")


def _run(module: str, *arguments: str) -> bytes:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} {arguments[0]} failed:\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def _folder(folder: Path, pattern: str = "*") -> str:
    """One hash over the names and bytes of a folder's files."""
    lines = [
        f"{path.relative_to(folder)} {_sha256(path.read_bytes())}"
        for path in sorted(folder.rglob(pattern))
        if path.is_file()
    ]
    assert lines, folder
    return _sha256("\n".join(lines).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _short(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} losses, the last {value[-1]:.6f}, sha256 " + _short(
            _sha256(json.dumps(value).encode())
        )
    return str(value)[:12]


if __name__ == "__main__":
    sys.exit(main())
