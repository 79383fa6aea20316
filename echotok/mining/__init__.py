"""From reports to a phrase table: `echotok mine`.

Reading order: `pipeline` names the steps; `privacy` finds what may name a person; `segments`,
`views`, `runs` and `candidates` find what could be a phrase, `words` what could train the fallback;
`selection` chooses, `sheet` shows.
"""

from echotok.mining.pipeline import Mined, Options, mine
from echotok.mining.segments import ReportStore
from echotok.mining.sheet import review_rows, write_sheet

__all__ = ["Mined", "Options", "ReportStore", "mine", "review_rows", "write_sheet"]
