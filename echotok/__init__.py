"""echotok: whole clinical reports in about fifty tokens, nothing lost.

>>> import echotok
>>> tok = echotok.load("echo")
>>> enc = tok.encode("LVEF is 55-60%.")
>>> tok.decode(enc.ids)
'lvef is 55-60%.'
"""

from typing import TYPE_CHECKING, Any

from echotok.engine.batch import Batch, PackedBatch
from echotok.engine.encoding import Encoding
from echotok.errors import (
    ArtifactError,
    EchotokError,
    IdError,
    InputError,
    InputTypeError,
    MergesError,
    OptionError,
    Problem,
    TableError,
)
from echotok.table.checks import validate_table
from echotok.table.phrases import Phrase, PhraseTable
from echotok.table.reading import read_table
from echotok.tokenizer import Tokenizer, load

if TYPE_CHECKING:
    from echotok.building import build
    from echotok.findings.reading import findings
    from echotok.findings.rule_files import read_findings_rules
    from echotok.findings.table import findings_table
    from echotok.mining.session import mine_reports as mine
    from echotok.sample import sample_reports

__all__ = [
    "ArtifactError",
    "Batch",
    "EchotokError",
    "Encoding",
    "IdError",
    "InputError",
    "InputTypeError",
    "MergesError",
    "OptionError",
    "PackedBatch",
    "Phrase",
    "PhraseTable",
    "Problem",
    "TableError",
    "Tokenizer",
    "build",
    "findings",
    "findings_table",
    "load",
    "mine",
    "read_findings_rules",
    "read_table",
    "sample_reports",
    "validate_table",
]

__version__ = "0.1.0"

# Imported when they are first asked for: building and mining need what encoding does not.
_LAZY = {
    "build": ("echotok.building", "build"),
    "findings_table": ("echotok.findings.table", "findings_table"),
    "read_findings_rules": ("echotok.findings.rule_files", "read_findings_rules"),
    "mine": ("echotok.mining.session", "mine_reports"),
    "sample_reports": ("echotok.sample", "sample_reports"),
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "findings":  # the package, which can be called
        return import_module("echotok.findings")
    if name not in _LAZY:
        raise AttributeError(f"module 'echotok' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    found = globals()[name] = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "findings"})
