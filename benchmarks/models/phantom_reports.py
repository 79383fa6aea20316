"""Phantom reports without their clips, as CSV: what `make phantom-table` mines a table from.

python benchmarks/models/phantom_reports.py --patients 3000 --seed 9000 > reports.csv
"""

from __future__ import annotations

import argparse
import csv
import sys

from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.report.reports import write_reports


def main() -> int:
    """Write one row a study: patient_id, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--patients", type=int, default=3000)
    # Apart from the seeds of the demo, the tests and the benchmarks: other patients.
    parser.add_argument("--seed", type=int, default=9000)
    arguments = parser.parse_args()
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["patient_id", "report"])
    for patient in range(arguments.patients):
        studies = sample_patient(patient, arguments.seed)
        for report in write_reports(studies, seed=arguments.seed):
            table.writerow([f"P{patient:06d}", report.text])
    return 0


if __name__ == "__main__":
    sys.exit(main())
