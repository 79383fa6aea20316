"""The exceptions of echoclip_r. Each message says what is wrong, where, why, and what to do.

    EchoclipError
    +-- ManifestError    a manifest breaks a rule: a column, an id, a split
    +-- MediaError       a video, DICOM file or folder of images cannot be read as a clip
    +-- ShardError       shards cannot be written, resumed or read back
    +-- CheckpointError  a checkpoint cannot be read, written, or does not fit its tokenizer
    +-- TrainingError    a run cannot start, go on, or has gone wrong
    +-- EvaluationError  an evaluation cannot be run, or its figures would not be true
    +-- OptionError      an argument is outside of its range, or conflicts with another one
    +-- ExtraError       the packages of the extra `echoclip-r` are not installed

None of them ever quotes report text or burned-in pixels (I9): they name the file, row and column.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "CheckpointError",
    "EchoclipError",
    "EvaluationError",
    "ExtraError",
    "ManifestError",
    "MediaError",
    "OptionError",
    "ShardError",
    "TrainingError",
]


class EchoclipError(Exception):
    """Base class of every error that echoclip_r raises on purpose."""


class ManifestError(EchoclipError, ValueError):
    """A manifest cannot be used; the message names rows and columns, never report text."""


class MediaError(EchoclipError):
    """A file or folder cannot be read as a clip.

    Attributes:
        path: the file or folder.
        reason: why it cannot be read, in one sentence; also what a rejects file shows.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = Path(path) if isinstance(path, str) else path  # in a store it is no Path
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type[MediaError], tuple[Path, str]]:
        # The default would rebuild it from the joined message, and worker processes pickle errors.
        return (MediaError, (self.path, self.reason))


class ShardError(EchoclipError):
    """Shards cannot be written, resumed or read back."""


class CheckpointError(EchoclipError):
    """A checkpoint cannot be read or written, or was trained with another tokenizer."""


class TrainingError(EchoclipError):
    """A run cannot start or go on, or its loss has become infinite or NaN."""


class EvaluationError(EchoclipError):
    """An evaluation cannot be run, or its figures would not be true."""


class OptionError(EchoclipError, ValueError):
    """An argument has a value that it cannot have, or does not go together with another one."""


class ExtraError(EchoclipError, ImportError):
    """A package of the extra `echoclip-r` is not installed; the message says how to install it."""
