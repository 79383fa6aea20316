"""`make search`: phantoms, a model trained on them, and the search in a browser.

Each step that is done is skipped when this is run again, and one that was stopped goes on. On two
idle cores the first answer comes within some five minutes of set-up; the address is printed.

    python -m benchmarks.search_demo                  all of it; Ctrl-C ends the server
    python -m benchmarks.search_demo --only data      the archive and the model alone
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.models import phantom_steps as steps
from echoclip_r.cli.main import main as echoclip_r

SEED, EPOCHS = 7, 25


def main() -> int:
    """Make what is missing, and serve."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "search")
    parser.add_argument("--only", choices=("data",), help="do not serve")
    parser.add_argument("--port", default="8080")
    parser.add_argument("--quick", action="store_true", help="tiny, in a minute, for tests")
    arguments = parser.parse_args()
    data = steps.Data(
        seed=SEED,
        num_train=130 if arguments.quick else 1600,
        num_test=30 if arguments.quick else 300,
        num_validation=16 if arguments.quick else 100,
    )
    print("Simulated patients: this shows that the software works, and is no clinical evidence.")
    steps.make_shards(arguments.out, data, workers=min(2, os.cpu_count() or 1))
    config = steps.model_config(
        "echoclip-r", steps.default_tokenizer(), epochs=1 if arguments.quick else EPOCHS, seed=SEED
    )
    if arguments.quick:
        config = replace(config, warmup_steps=1)
    run = arguments.out / "echoclip-r"
    steps.train_model(config, arguments.out / "shards", run)
    if arguments.only == "data":
        return 0
    shards = str(arguments.out / "shards")
    return echoclip_r(["serve", str(run), "--shards", shards, "--port", arguments.port])


if __name__ == "__main__":
    raise SystemExit(main())
