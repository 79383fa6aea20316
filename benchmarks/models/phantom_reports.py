"""Phantom reports without their clips, as CSV: for `make phantom-table` and `make sample`.

python benchmarks/models/phantom_reports.py --patients 3000 --seed 9000 > reports.csv
"""

from __future__ import annotations

import argparse
import csv
import sys

from echoclip_r.phantom.latents import sample_patient
from echoclip_r.phantom.report.reports import write_reports


def main() -> int:
    """Write one row a study: study_id, patient_id, date, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--patients", type=int, default=3000)
    # Apart from the seeds of the demo, the tests and the benchmarks: other patients.
    parser.add_argument("--seed", type=int, default=9000)
    arguments = parser.parse_args()
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["study_id", "patient_id", "date", "report"])
    for patient in range(arguments.patients):
        studies = sample_patient(patient, arguments.seed)
        reports = write_reports(studies, seed=arguments.seed)
        for study, report in zip(studies, reports, strict=True):
            name = f"P{patient:06d}"
            day = study.date.isoformat()
            table.writerow([f"{name}-S{study.study_index}", name, day, report.text])
    return 0


if __name__ == "__main__":
    sys.exit(main())
