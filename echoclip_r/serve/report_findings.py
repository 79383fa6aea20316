"""What the different reports of an archive say, as one matrix of numbers.

    reports, or a table of `echotok findings` -> each report's answers -> float32 (T, F)

A grade or number stands as it is, 1 and 0 for what is there or not, a class as the place of its
word among `classes`; NaN is what is not said, or not for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from echoclip_r.errors import EchoclipError
from echotok.findings.reading import Finding
from echotok.findings.table import PRESENT, answer, answers, as_number, read_many

if TYPE_CHECKING:
    from collections.abc import Callable

    from echotok.findings.rules import FindingsRules

__all__ = ["FindingsColumns", "read_findings"]

_FILE = "findings.npy"
_SHORT = {
    "mitral_regurgitation": "MR",
    "aortic_stenosis": "AS",
    "aortic_regurgitation": "AR",
    "tricuspid_regurgitation": "TR",
    "pericardial_effusion": "effusion",
    "pacemaker_lead": "pacemaker",
}
_GRADE = {
    1.0: "mild",
    1.5: "mild to moderate",
    2.0: "moderate",
    2.5: "mod. to severe",
    3.0: "severe",
}
_MOST_SHORT = 4
_EVERY = 500


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FindingsColumns:
    """What reports say.

    Attributes:
        values: float32 (T, F), as at the head of this module.
        names: name of each finding (F).
        classes: words of each finding that has words.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]

    @classmethod
    def load(cls, folder: Path, record: Mapping[str, Any]) -> FindingsColumns:
        """What `save` wrote, memory-mapped."""
        return cls(
            values=np.load(folder / _FILE, mmap_mode="r"),
            names=tuple(record["names"]),
            classes={name: tuple(words) for name, words in record["classes"].items()},
        )

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the matrix; returns what `load` needs beside it."""
        np.save(folder / _FILE, self.values)
        return {"names": list(self.names), "classes": dict(self.classes)}

    def in_short(self, text: int) -> tuple[str, ...]:
        """A few findings of a report, as they stand on a timeline."""
        if text < 0:
            return ()
        said = dict(zip(self.names, self.values[text].tolist(), strict=True))
        found = []
        if not np.isnan(number := said.get("ejection_fraction", np.nan)):
            found.append(f"EF {number:g} %")
        for name, short in _SHORT.items():
            grade = said.get(name, np.nan)
            if grade >= PRESENT:
                word = "" if name == "pacemaker_lead" else _GRADE.get(grade, "")
                found.append(f"{word} {short}".strip())
        return tuple(found[:_MOST_SHORT])

    def column_names(self, labels: Sequence[str]) -> list[str]:
        """The findings as columns beside labels, which keep their own names."""
        return [name for name in self.names if name not in labels]

    def column(
        self, name: str, text_of: NDArray[np.int32], labels: Sequence[str] = ()
    ) -> pd.Series:
        """What the report of each clip says of a finding (N).

        Raises:
            KeyError: there is no such finding.
        """
        if name not in self.column_names(labels):
            raise KeyError(name)
        said = np.append(self.values[:, self.names.index(name)], np.float32(np.nan))[text_of]
        if name not in self.classes:
            return pd.Series(said)
        codes = np.where(np.isnan(said), -1, said).astype(np.int64)
        return pd.Series(pd.Categorical.from_codes(codes, pd.Index(self.classes[name])))


def read_findings(
    texts: Sequence[str],
    rules: FindingsRules,
    step: Callable[[str, int, int], None],
    *,
    file: Path | None = None,
    studies: Mapping[str, int] | None = None,
) -> FindingsColumns:
    """Read what reports say.

    Args:
        texts: the different reports (T).
        rules: findings to look for.
        step: told of the progress.
        file: a table of `echotok findings`, long or wide, to take the findings from.
        studies: number of the report of each study, by which that table names reports.

    Raises:
        EchoclipError: the table cannot be read, or names none of the studies.
    """
    values = np.full((len(texts), len(rules.findings)), np.nan, np.float32)
    classes: dict[str, dict[str, int]] = {
        name: {} for name, rule in rules.findings.items() if rule.kind == "class"
    }
    answered = _in_texts(texts, rules) if file is None else _in_file(file, rules, studies or {})
    step("reading findings", 0, len(texts))
    for done, (text, said) in enumerate(answered, 1):
        for column, name in enumerate(rules.findings):
            value = said.get(name)
            if isinstance(value, str):
                words = classes.setdefault(name, {})
                value = float(words.setdefault(value, len(words)))
            if value is not None:
                values[text, column] = value
        if done % _EVERY == 0:
            step("reading findings", done, len(texts))
    step("reading findings", len(texts), len(texts))
    return FindingsColumns(
        values=values,
        names=tuple(rules.findings),
        classes={name: tuple(words) for name, words in classes.items()},
    )


_Said = Mapping[str, float | str | None]


def _in_texts(texts: Sequence[str], rules: FindingsRules) -> Iterator[tuple[int, _Said]]:
    for number, read in enumerate(read_many(texts, rules)):
        yield (
            number,
            {
                name: one.value if isinstance(one.value, str) else as_number(one)
                for name, one in answers(read.rows, rules).items()
            },
        )


def _in_file(
    path: Path, rules: FindingsRules, studies: Mapping[str, int]
) -> Iterator[tuple[int, _Said]]:
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise EchoclipError(
            f"{path}: the table of findings cannot be read ({type(error).__name__}); make one with "
            "`echotok findings REPORTS --id-column study_id --out findings.parquet`"
        ) from error
    if "report" not in table.columns:
        raise EchoclipError(
            f"{path}: it has no column report; give a table that `echotok findings` wrote"
        )
    table["report"] = table["report"].astype(str)
    table = table[table["report"].isin(studies)]
    if table.empty:
        raise EchoclipError(
            f"{path}: its column report names none of the archive's studies; make it with "
            "`echotok findings REPORTS --id-column study_id`, with the ids that the shards have"
        )
    if "name" not in table.columns:
        names = [name for name in rules.findings if name in table.columns]
        for cells in table.to_dict("records"):
            yield studies[cells["report"]], {name: _cell(cells[name]) for name in names}
        return
    for study, rows in table.groupby("report", sort=False):
        by_name: dict[str, list[Finding]] = {}
        for cells in rows.to_dict("records"):
            by_name.setdefault(str(cells["name"]), []).append(_finding(cells))
        found = {name: answer(by_name.get(name, ()), rule) for name, rule in rules.findings.items()}
        yield (
            studies[str(study)],
            {
                name: one.value if isinstance(one.value, str) else as_number(one)
                for name, one in found.items()
            },
        )


def _cell(value: object) -> float | str | None:
    if isinstance(value, str):
        return value or None
    return float(value) if isinstance(value, float | int) else None


def _finding(cells: Mapping[Any, Any]) -> Finding:
    def number(name: str) -> float | None:
        return None if pd.isna(cells[name]) else float(cells[name])

    word = cells["class"]
    return Finding(
        cells["name"], word if isinstance(word, str) and word else number("value"), cells["unit"],
        number("low"), number("high"), cells["status"], cells["structure"], int(cells["start"]),
        int(cells["end"]), int(cells["sentence"]), cells["section"], cells["written"],
        bool(cells["plausible"]),
    )  # fmt: skip
