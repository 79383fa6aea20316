"""From reports to a phrase table: `echotok mine`.

Reading order: `pipeline` names the steps; `privacy` finds what may name a person; `store` takes the
reports and gives `segments`; `views`, `runs` and `candidates` find what could be a phrase, `words`
what could train the fallback; `preparation` holds both, and `endings` tells which phrases break off
in the middle; `selection` chooses the phrases, `assembly` makes the table, `sheet` shows it.
"""

from echotok.mining.assembly import Mined
from echotok.mining.growth import grow
from echotok.mining.options import UNITS, Options
from echotok.mining.pipeline import mine
from echotok.mining.privacy import PrivateFinder
from echotok.mining.sheet import review_rows, write_held_back, write_sheet
from echotok.mining.store import ReportStore

__all__ = [
    "UNITS",
    "Mined",
    "Options",
    "PrivateFinder",
    "ReportStore",
    "grow",
    "mine",
    "review_rows",
    "write_held_back",
    "write_sheet",
]
