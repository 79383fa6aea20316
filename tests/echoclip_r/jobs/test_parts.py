"""Which part a process does: said, or read from what a batch system sets."""

from __future__ import annotations

import pytest

from echoclip_r.errors import OptionError
from echoclip_r.jobs.parts import Part, part_from

SLURM = {
    "SLURM_ARRAY_TASK_ID": "17",
    "SLURM_ARRAY_TASK_COUNT": "400",
    "SLURM_ARRAY_TASK_MIN": "1",
    "SLURM_ARRAY_TASK_MAX": "400",
}
SGE = {"SGE_TASK_ID": "17", "SGE_TASK_FIRST": "1", "SGE_TASK_LAST": "400", "SGE_TASK_STEPSIZE": "1"}


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ("17/400", {}),
        ("17/400", SLURM | {"SLURM_ARRAY_TASK_ID": "3"}),  # what is said counts
        ("", SLURM),
        ("/400", {"SLURM_ARRAY_TASK_ID": "17", "SLURM_ARRAY_TASK_MIN": "17"}),  # this one again
        ("", {"AWS_BATCH_JOB_ARRAY_INDEX": "16", "AWS_BATCH_JOB_ARRAY_SIZE": "400"}),
        ("/400", {"JOB_COMPLETION_INDEX": "16"}),
        ("", {"LSB_JOBINDEX": "17", "LSB_JOBINDEX_END": "400", "LSB_JOBINDEX_STEP": "1"}),
        ("/400", {"LSB_JOBINDEX": "0", "PBS_ARRAY_INDEX": "17"}),
        ("/400", {"PBS_ARRAYID": "17"}),
        ("", SGE),
    ],
)
def test_the_part_of_each_system(text: str, environment: dict[str, str]) -> None:
    """Arrays begin at 1, but those of AWS Batch and of Kubernetes at 0."""
    assert part_from(text, environment) == Part(number=17, count=400)


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ("17", {}, "'17' is no part; write e.g. 17/400"),
        ("1/2/3", {}, "is no part"),
        ("0/400", {}, "part 0 of 400: parts are numbered from 1"),
        ("401/400", {}, "part 401 of 400"),
        ("", {}, r"none of SLURM_ARRAY_TASK_ID, .* is set\); give the part, e\.g\. --part 17/400"),
        ("", {"SGE_TASK_ID": "undefined"}, "no batch system has numbered this process"),
        ("", {"JOB_COMPLETION_INDEX": "16"}, "Kubernetes does not say how many .* --part /400"),
        # An array of some jobs alone, such as those that have failed, is not cut into as many.
        ("", SLURM | {"SLURM_ARRAY_TASK_COUNT": "2"}, "Slurm does not say how many parts"),
        ("", SLURM | {"SLURM_ARRAY_TASK_MIN": "17"}, "Slurm does not say how many parts"),
        ("", SGE | {"SGE_TASK_STEPSIZE": "2"}, "Grid Engine does not say how many parts"),
        ("/400", {"SLURM_ARRAY_TASK_ID": "0"}, "let the array run from 1 to 400"),
        ("/400", {"JOB_COMPLETION_INDEX": "400"}, "let the array run from 0 to 399"),
    ],
)
def test_what_is_no_part_is_refused(text: str, environment: dict[str, str], message: str) -> None:
    """With what to write."""
    with pytest.raises(OptionError, match=message):
        part_from(text, environment)


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_every_unit_is_in_one_part(count: int) -> None:
    """Also where there are more parts than units."""
    units = [*range(11)]
    parts = [Part(number=number, count=count).of(units) for number in range(1, count + 1)]
    assert sorted(unit for part in parts for unit in part) == units
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
