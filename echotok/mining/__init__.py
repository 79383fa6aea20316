"""From reports to a phrase table: `echotok mine`.

Reading order: `pipeline` names the steps; `privacy` finds what may name a person; `segments`,
`views`, `runs` and `candidates` find what could be a phrase, `words` what could train the fallback;
`selection` chooses, `sheet` shows.
"""

from echotok.mining.growth import grow
from echotok.mining.pipeline import UNITS, Mined, Options, mine
from echotok.mining.privacy import PrivateFinder
from echotok.mining.segments import ReportStore
from echotok.mining.sheet import review_rows, write_held_back, write_sheet

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
