"""Which part of a run this process does, as an array of jobs of a batch system numbers them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from echoclip_r.errors import OptionError

__all__ = ["Part", "part_from", "parts_of"]

UnitT = TypeVar("UnitT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of so many.

    Attributes:
        number: of the part, from 1.
        count: number of parts.

    Example:
        >>> Part(number=2, count=3).of("abcdefg")
        ['b', 'e']
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise OptionError(
                f"part {self.number} of {self.count}: parts are numbered from 1 to their count"
            )

    def __str__(self) -> str:
        return f"part {self.number} of {self.count}"

    def of(self, units: Sequence[UnitT]) -> list[UnitT]:
        """The units of work that are this part's: every one is in exactly one part."""
        return [*units[self.number - 1 :: self.count]]


def part_from(text: str, environment: Mapping[str, str] | None = None) -> Part:
    """The part that a text and the environment of a batch system say.

    Args:
        text: `17/400`; `/400`, with the number from the environment; or "", with both from there.
        environment: variables, by default those of this process.

    Raises:
        OptionError: it is no part, or the environment does not say what is left out.

    Example:
        >>> part_from("/400", {"JOB_COMPLETION_INDEX": "16"})
        Part(number=17, count=400)
    """
    found = re.fullmatch(r"(\d+)/(\d+)|/(\d+)|", text.strip(), re.ASCII)
    if found is None:
        raise OptionError(f"{text!r} is no part; write e.g. 17/400 for the 17th of 400")
    if found[1]:
        return Part(number=int(found[1]), count=int(found[2]))
    environment = os.environ if environment is None else environment
    for system in _SYSTEMS:
        index = _number(environment, system.index)
        if index is None or (index == 0 and system.zero_is_none):
            continue
        count = int(found[3]) if found[3] else system.count(environment)
        if count is None:
            raise OptionError(
                f"{system.name} does not say how many parts there are (or not all of an array that "
                f"begins at {system.first} are running); give their number, e.g. --part /400"
            )
        number = index + 1 - system.first
        if not 1 <= number <= count:
            raise OptionError(
                f"{system.index} is {index}, which is no part of {count}; let the array run from "
                f"{system.first} to {count - 1 + system.first}"
            )
        return Part(number=number, count=count)
    names = ", ".join(system.index for system in _SYSTEMS)
    raise OptionError(
        f"no batch system has numbered this process (none of {names} is set); give the part, e.g. "
        "--part 17/400"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """The variables of a batch system's arrays.

    Attributes:
        name: of the system.
        index: variable that holds the number of a job in its array.
        first: number of the array's first job.
        total: variable that holds the number of jobs, or "".
        last: variable that holds the largest number, or "".
        plain: values that other variables have where the array is 1, 2, 3, ... without a hole.
        zero_is_none: whether 0 says that a job is in no array.
    """

    name: str
    index: str
    first: int
    total: str = ""
    last: str = ""
    plain: Mapping[str, str]
    zero_is_none: bool = False

    def count(self, environment: Mapping[str, str]) -> int | None:
        """Number of parts; None where it is not said, or jobs of the array are left out."""
        if any(environment.get(name, value) != value for name, value in self.plain.items()):
            return None
        totals = [
            number
            for name in (self.total, self.last)
            if name and (number := _number(environment, name)) is not None
        ]
        return totals[0] if totals and len({*totals}) == 1 else None


# The manuals: sbatch (output environment variables); AWS Batch (job environment variables);
# Kubernetes (indexed jobs); bsub (-J "name[1-400]"); qsub of Grid Engine (-t); qsub of PBS (-J) and
# of Torque (-t).
_SYSTEMS = (
    _System(
        name="Slurm",
        index="SLURM_ARRAY_TASK_ID",
        first=1,
        total="SLURM_ARRAY_TASK_COUNT",
        last="SLURM_ARRAY_TASK_MAX",
        plain={"SLURM_ARRAY_TASK_MIN": "1"},
    ),
    _System(
        name="AWS Batch",
        index="AWS_BATCH_JOB_ARRAY_INDEX",
        first=0,
        total="AWS_BATCH_JOB_ARRAY_SIZE",
        plain={},
    ),
    _System(name="Kubernetes", index="JOB_COMPLETION_INDEX", first=0, plain={}),
    _System(
        name="LSF",
        index="LSB_JOBINDEX",
        first=1,
        last="LSB_JOBINDEX_END",
        plain={"LSB_JOBINDEX_STEP": "1"},
        zero_is_none=True,
    ),
    _System(name="PBS", index="PBS_ARRAY_INDEX", first=1, plain={}),
    _System(name="Torque", index="PBS_ARRAYID", first=1, plain={}),
    _System(
        name="Grid Engine",
        index="SGE_TASK_ID",
        first=1,
        last="SGE_TASK_LAST",
        plain={"SGE_TASK_FIRST": "1", "SGE_TASK_STEPSIZE": "1"},
    ),
)


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """A variable's number; None where it has none, as `undefined` of Grid Engine."""
    text = environment.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else None


def parts_of(numbers: Iterable[int], count: int) -> list[int]:
    """The parts, of `count`, that the units with these places belong to, in order.

    Example:
        >>> parts_of([0, 7, 401], 400)
        [1, 2, 8]
    """
    return sorted({number % count + 1 for number in numbers})
