"""The task files of a run: what its models are asked unless an evaluation is told otherwise.

Prompts are written in the words of the reports that a model has read, so they belong to it: a
checkpoint names its task files, and holds a copy of each that is not one of this package's own.
What they say `echoclip_r.evaluation.tasks.read_tasks` reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from echoclip_r.errors import CheckpointError
from echoclip_r.places import place

__all__ = ["TaskFiles", "read_task_files"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFiles:
    """Task files by name.

    Attributes:
        names: in the order in which they are laid over each other: `phantom`, or another file of
            this package; `tasks-1.toml`, or another file in `texts`.
        texts: the text of each file that is not of this package.
    """

    names: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> tuple[str, ...]:
        """Write the files of `texts` into a folder, and give the sources that `read_tasks` takes.

        Raises:
            OSError: a file cannot be written.
        """
        for name, text in self.texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        return self.sources(folder)

    def sources(self, folder: Path) -> tuple[str, ...]:
        """The sources that `read_tasks` takes, the files of `texts` as paths in a folder."""
        return tuple(str(folder / name) if name in self.texts else name for name in self.names)


def read_task_files(sources: Sequence[str]) -> TaskFiles:
    """Read task files to keep them with a model.

    Args:
        sources: paths, or names of those in this package.

    Raises:
        CheckpointError: a file cannot be read.
    """
    names: list[str] = []
    texts: dict[str, str] = {}
    for number, source in enumerate(sources, 1):
        path = place(source)
        if path.suffix or len(path.parts) > 1:
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise CheckpointError(
                    f"{path}: the task file cannot be read ({error}); give a TOML file, or the "
                    "name of one of this package, such as phantom"
                ) from error
            names.append(f"tasks-{number}.toml")
            texts[names[-1]] = text
        else:
            names.append(source)
    return TaskFiles(names=tuple(names), texts=texts)
