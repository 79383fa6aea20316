"""What a report says, as rows: rules -> sentences -> marks -> mentions -> findings.

The package can be called: `echotok.findings(report, rules)` is `reading.findings`, so that the
word for what is read is also the verb that reads it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echotok.findings.reading import Finding
    from echotok.findings.rules import FindingsRules


class _Package(ModuleType):
    def __call__(self, report: str, rules: FindingsRules | None = None) -> tuple[Finding, ...]:
        from echotok.findings.reading import findings

        return findings(report, rules)


sys.modules[__name__].__class__ = _Package
