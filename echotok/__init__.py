"""echotok: whole clinical reports in about fifty tokens, nothing lost.

>>> import echotok
>>> tok = echotok.load("echo")
>>> enc = tok.encode("LVEF is 55-60%.")
>>> tok.decode(enc.ids)
'lvef is 55-60%.'
"""

from echotok.engine.batch import Batch
from echotok.engine.encoding import Encoding
from echotok.errors import (
    ArtifactError,
    EchotokError,
    IdError,
    InputError,
    MergesError,
    Problem,
    TableError,
)
from echotok.table.checks import validate_table
from echotok.table.phrases import Phrase, PhraseTable
from echotok.table.reading import read_table
from echotok.tokenizer import Tokenizer, load

__all__ = [
    "ArtifactError",
    "Batch",
    "EchotokError",
    "Encoding",
    "IdError",
    "InputError",
    "MergesError",
    "Phrase",
    "PhraseTable",
    "Problem",
    "TableError",
    "Tokenizer",
    "load",
    "read_table",
    "validate_table",
]

__version__ = "0.1.0"
