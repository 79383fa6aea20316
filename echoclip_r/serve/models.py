"""A model whose weights are loaded when they are needed: what it is called is known at once.

Loading takes seconds, most of them torch's; filters, studies and pictures need no model, so a
server answers these meanwhile.
"""

from __future__ import annotations

import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import echotok
from echoclip_r.errors import CheckpointError
from echoclip_r.model.description import (
    find_checkpoint,
    fingerprint_of,
    name_of,
    read_description,
    tokenizer_of,
)

if TYPE_CHECKING:
    from echoclip_r.model.trained import TrainedModel

__all__ = ["LazyModel"]


class LazyModel:
    """A checkpoint's model.

    Args:
        path: a checkpoint, or a run's folder.
        device: where it computes; None for the best device there is.

    Attributes:
        name: short, for pages.
        fingerprint: see `TrainedModel`.

    Raises:
        CheckpointError: no checkpoint there, or a damaged one.
    """

    def __init__(self, path: Path, *, device: str | None = None) -> None:
        description = read_description(find_checkpoint(path))
        self._folder, self._device = description.folder, device
        self.name, self.fingerprint = name_of(description), fingerprint_of(description)
        self._model: TrainedModel | None = None
        self._loading = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether `get` gives the model at once."""
        return self._model is not None

    @cached_property
    def tokenizer(self) -> echotok.Tokenizer:
        """What colours a report: its own tokenizer, or `echo` where it reads open_clip's."""
        return echotok.load(tokenizer_of(self._folder) or "echo")

    def get(self) -> TrainedModel:
        """The model: loaded by the first who asks, while the others wait.

        Raises:
            CheckpointError: it cannot be loaded, or is another one than when this was made.
            ArtifactError: its tokenizer's file is damaged.
            OptionError: there is no such device here.
        """
        with self._loading:
            if self._model is None:
                from echoclip_r.model.checkpoint import load_checkpoint

                model = load_checkpoint(self._folder, device=self._device)
                if model.fingerprint != self.fingerprint:
                    raise CheckpointError(
                        f"{self._folder}: it was replaced while it was loaded; start again"
                    )
                self._model = model
            return self._model
