"""An answer as a file: a table of ids for a spreadsheet, or everything for a program."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echoclip_r.serve.engine import Found

__all__ = ["to_csv", "to_json"]


def to_csv(found: Found) -> str:
    """The ids of what was found, with its place, as CSV; no report is in it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(
        ["rank", "study_id", "patient_id", "key", "view", "date", "cosine", "percentile",
         "num_same_report"]
    )  # fmt: skip
    for hit in found.hits:
        study = hit.study
        ids = [study.study_id, study.patient_id, study.key, study.view, study.date]
        figures = [
            "" if hit.cosine is None else f"{hit.cosine:.6f}",
            "" if hit.percentile is None else f"{hit.percentile:.4f}",
        ]
        writer.writerow([hit.rank, *map(_cell, ids), *figures, hit.num_same])
    return buffer.getvalue()


def to_json(found: Found) -> dict[str, Any]:
    """All that was found, reports included, ready for JSON."""
    return {
        "model": found.model,
        "num_compared": found.num_compared,
        "conditions": list(found.conditions),
        "notes": list(found.notes),
        "hits": [
            {
                "rank": hit.rank,
                "cosine": hit.cosine,
                "percentile": hit.percentile,
                "study_id": hit.study.study_id,
                "patient_id": hit.study.patient_id,
                "key": hit.study.key,
                "view": hit.study.view,
                "date": hit.study.date,
                "report": hit.study.report,
                "num_same": hit.num_same,
                "findings": [
                    {"name": row.name, "query": row.query, "hit": row.hit, "verdict": row.verdict}
                    for row in (() if hit.compared is None else hit.compared.rows)
                ],
            }
            for hit in found.hits
        ],
    }


def _cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
