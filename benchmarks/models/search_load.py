"""The search in a browser under load: eight readers who do not pause, on this machine alone.

    python -m benchmarks.models.search_load [--seconds 300]      after `make search`

Each asks by text, filter or study, opens the answer, and loads its pictures. Written down are the
times of questions and the server's own memory, as it grows or not.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.common import ROOT, facts, write_results

READERS = 8
TEXTS = (
    "Severe mitral regurgitation.", "The LVEF is 25%.", "There is a large pericardial effusion.",
    "A pacemaker lead is seen.", "The left atrium is severely dilated.", "Normal study.",
)  # fmt: skip
FILTERS = ("", "EF 30-40 %", "mitral regurgitation >= moderate", "date >= 2015")


def main() -> None:
    """Start a server, ask, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=ROOT / "runs" / "search")
    parser.add_argument("--seconds", type=float, default=300)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "echoclip_r", "serve", str(arguments.data / "echoclip-r")]
    command += ["--shards", str(arguments.data / "shards"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = _address(server)
            found = _load(url, server.pid, arguments.seconds)
        finally:
            server.terminate()
    _write(found, arguments.seconds)


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    for line in server.stderr:
        if match := re.search(r"http://[\d.:]+", line):
            threading.Thread(target=server.stderr.read, daemon=True).start()
            return match[0]
    raise SystemExit("the server ended before it listened")


def _load(url: str, process: int, seconds: float) -> dict[str, Any]:
    with httpx.Client(base_url=url, trust_env=False) as client:
        while not client.get("/progress").json()["ready"]:
            time.sleep(0.5)
    end = time.monotonic() + seconds
    times: list[float] = []
    wrong: list[int] = []
    threads = [
        threading.Thread(target=_read, args=(url, seed, end, times, wrong))
        for seed in range(READERS)
    ]
    for thread in threads:
        thread.start()
    sizes = []
    while any(thread.is_alive() for thread in threads):
        sizes.append(_own_mb(process))
        time.sleep(min(5.0, seconds / 20))
    quarter = max(1, len(sizes) // 4)
    return {
        "num_questions": len(times),
        "num_wrong": len(wrong),
        "p50_s": float(np.median(times)),
        "p95_s": float(np.quantile(times, 0.95)),
        "mb_second_quarter": float(np.mean(sizes[quarter : 2 * quarter])),
        "mb_last_quarter": float(np.mean(sizes[-quarter:])),
        "mb": sizes,
    }


def _read(url: str, seed: int, end: float, times: list[float], wrong: list[int]) -> None:
    choose = random.Random(seed)
    keys: list[str] = []
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        while time.monotonic() < end:
            fields = {"where": choose.choice(FILTERS), "top": "10"}
            if keys and choose.random() < 0.3:
                fields["study"] = choose.choice(keys)
            else:
                fields["text"] = choose.choice(TEXTS)
            began = time.monotonic()
            answer = client.post("/search", data=fields, follow_redirects=True)
            times.append(time.monotonic() - began)
            if answer.status_code != 200:
                wrong.append(answer.status_code)
                continue
            keys = re.findall(r'data-key="([^"]+)"', answer.text)
            for key in keys[:4]:
                if client.get(f"/clip/{key}/loop.webp").status_code != 200:
                    wrong.append(0)


def _own_mb(process: int) -> float:
    """Memory of its own, in MB: without the files that are mapped."""
    text = Path(f"/proc/{process}/status").read_text()
    match = re.search(r"RssAnon:\s+(\d+)", text)
    assert match is not None
    return int(match[1]) / 1024


def _write(found: dict[str, Any], seconds: float) -> None:
    load = os.getloadavg()[0]
    lines = [
        "# The browser's search under load",
        "",
        f"{READERS} readers without a pause for {seconds:.0f} s, on the same machine "
        f"({os.cpu_count()} cores, load {load:.1f}, shared with others), some 2,000 phantom clips: "
        f"{found['num_questions']:,} questions with their pages, {found['num_wrong']} of them or "
        "of their pictures not answered.",
        "",
        f"A question with its page: p50 {found['p50_s']:.2f} s, p95 {found['p95_s']:.2f} s. The "
        f"server's own memory: {found['mb_second_quarter']:,.0f} MB in the second quarter of the "
        f"time, {found['mb_last_quarter']:,.0f} MB in the last.",
    ]
    command = f"python -m benchmarks.models.search_load --seconds {seconds:.0f}"
    content = {**facts(command, ["starlette", "uvicorn", "torch"], load=load), **found}
    write_results("search_load", content, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
