"""A run whose folder is in a store: it works in one of this machine, and uploads what is whole.

A store appends to no file and renames no folder, and a run does both. So its checkpoints, its log
and its settings are made here, and copied whenever a checkpoint is written: its files first, and
the one by which it counts as a checkpoint last. A run that ends in between finds the one before.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from echoclip_r.errors import CheckpointError, EchoclipError, TrainingError
from echoclip_r.model.description import DESCRIPTION
from echoclip_r.places import download, tree, upload
from echoclip_r.storage import writing

__all__ = ["mirrored"]

_State = tuple[int, int, int]
_NOT_OURS = ("shards/", "checkpoints/set-aside/")  # what no run goes on from
_GO_ON = "The same command goes on from the last checkpoint there"


@contextmanager
def mirrored(
    home: Path, *, checkpoint: str | None = None, is_first: bool = True
) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder of this machine with what a run in a store has made, and what uploads the rest.

    Args:
        home: the run's folder in the store.
        checkpoint: the one that the run goes on from; None for the last.
        is_first: whether this process writes the run; another one only needs the checkpoint.

    Raises:
        TrainingError: there are other files and no run.
        CheckpointError: the store does not answer.
        EchoclipError: as the block raises it, with the name of the store in place of the folder's.
    """
    with tempfile.TemporaryDirectory(prefix="echoclip-r-") as scratch:
        folder = Path(scratch) / home.name
        folder.mkdir()
        mirror = _Mirror(home, folder)
        with writing(home, "the run's folder", error=CheckpointError, go_on=_GO_ON):
            mirror.fetch(checkpoint, is_first=is_first)
        try:
            yield folder, mirror.push
        except EchoclipError as error:
            if scratch not in str(error):
                raise
            raise type(error)(str(error).replace(str(folder), str(home))) from error


class _Mirror:
    def __init__(self, home: Path, folder: Path) -> None:
        self._home = home
        self._folder = folder
        self._known: dict[str, _State] = {}  # files that are in the store as they are here

    def fetch(self, checkpoint: str | None, *, is_first: bool) -> None:
        names = tree(self._home)
        if names and "config.json" not in names:
            others = [name for name in names if not name.startswith(_NOT_OURS)]
            if others:
                raise TrainingError(
                    f"{self._home}: it holds other files ({min(others)}) and no run of ours; "
                    "choose an empty or a new folder"
                )
        whole = sorted(
            name.removesuffix(DESCRIPTION)
            for name in names
            if name.startswith("checkpoints/step-") and name.endswith(f"/{DESCRIPTION}")
        )
        wanted = whole if is_first else [name for name in whole if name[12:-1] == checkpoint]
        wanted = wanted or whole[-1:]
        for name in names:
            if name.startswith(_NOT_OURS):
                continue
            if name.startswith("checkpoints/") and not name.startswith(tuple(wanted or "-")):
                continue
            copy = self._folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            download(self._home / name, copy)
            self._known[name] = _state(copy)

    def push(self) -> None:
        """Upload what is new and delete what is gone; a checkpoint is whole at any moment."""
        with writing(self._home, "the checkpoint", error=CheckpointError, go_on=_GO_ON):
            now = {
                path.relative_to(self._folder).as_posix(): _state(path)
                for path in sorted(self._folder.rglob("*"))
                if path.is_file() and not path.name.startswith(".")
            }
            changed = [name for name, state in now.items() if self._known.get(name) != state]
            gone = [name for name in self._known if name not in now]
            # A folder that loses or changes files is no checkpoint until its last one is there.
            for name in sorted({*changed, *gone} & self._known.keys(), key=_is_last, reverse=True):
                if _is_last(name) or name in gone:
                    (self._home / name).unlink(missing_ok=True)
                    del self._known[name]
            for name in sorted(changed, key=_is_last):
                upload(self._folder / name, self._home / name)
                self._known[name] = now[name]


def _is_last(name: str) -> bool:
    return name.rpartition("/")[2] == DESCRIPTION


def _state(path: Path) -> _State:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
