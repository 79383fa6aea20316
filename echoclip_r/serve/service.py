"""What a server holds while it runs: models and their archives, questions, pictures, the audit.

The questions are kept in memory, the latest ones alone, each under a name that nobody can guess; a
server that starts again has none.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from echoclip_r.errors import EchoclipError, OptionError
from echoclip_r.serve.audit import Audit
from echoclip_r.serve.engine import Engine, Found, Question
from echoclip_r.serve.frames import PictureCache, loop, still
from echoclip_r.serve.index import ArchiveIndex, build_index, open_index
from echoclip_r.serve.marks import Marks
from echoclip_r.serve.models import LazyModel
from echoclip_r.serve.uploads import SHOWN_PX, UploadReader

if TYPE_CHECKING:
    from echoclip_r.data.clips import Frames
    from echotok.findings.rules import FindingsRules

__all__ = ["Asked", "Brought", "ModelSource", "Progress", "Service"]

_log = logging.getLogger(__name__)

_MOST_QUESTIONS, _MOST_CLIPS = 300, 20
_MOST_SHOWN = 200_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelSource:
    """A model, the findings that it is asked for, and the folder of its index."""

    model: LazyModel
    rules: FindingsRules
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the server is: what it does, how many are finished, of how many, and since when."""

    what: str
    done: int
    total: int
    since: float

    def seconds_left(self) -> float | None:
        """How long the rest will take, as it goes now; None where nothing can be said."""
        took = time.monotonic() - self.since
        if not self.done or took < 1:
            return None
        return took / self.done * (self.total - self.done)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """A question with its answers.

    Attributes:
        name: its name in addresses.
        question: the question.
        answers: what each model found, by the model's number.
        before: of a clip that was brought, a frame as it is in the file (WebP).
        after: the clip as it was looked for (WebP).
        notes: sentences on the clip's file.
    """

    name: str
    question: Question
    answers: Mapping[int, Found]
    before: bytes = b""
    after: bytes = b""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Brought:
    """A clip that was brought: what to show of it, and its frames unless it is refused."""

    before: bytes
    after: bytes
    frames: Mapping[int, Frames] = field(default_factory=dict)
    refusal: str = ""
    notes: tuple[str, ...] = ()


class Service:
    """Everything but HTTP.

    Args:
        sources: one model, or two that are compared.
        shards_dir: the archive.
        audit: who is told of each question.
        marks: readers' marks.
        findings: a table of `echotok findings`, or None.
    """

    def __init__(
        self,
        sources: Sequence[ModelSource],
        shards_dir: Path,
        *,
        audit: Audit,
        marks: Marks,
        findings: Path | None = None,
    ) -> None:
        self._sources, self._shards_dir, self._findings = sources, shards_dir, findings
        self.audit, self.marks = audit, marks
        self.engines: list[Engine] = []
        self.progress: Progress | None = Progress(
            what="loading the model", done=0, total=1, since=time.monotonic()
        )
        self.failure = ""
        self.reader = UploadReader()
        self._pictures = PictureCache()
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self._shown: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    # The models and the archive

    @property
    def is_loaded(self) -> bool:
        """Whether all models are loaded; until then what needs one has to wait."""
        return all(source.model.is_loaded for source in self._sources)

    def load_models(self) -> str:
        """Load the models, and start what reads clips that are brought.

        Returns:
            The device on which they compute, in words.

        Raises:
            EchoclipError: one cannot be loaded.
        """
        from echoclip_r.model.precision import device_name

        models = [source.model.get() for source in self._sources]
        self.reader.warm()
        return device_name(models[0].device)

    def open(self) -> bool:
        """Open what is embedded already; whether that is all."""
        engines = []
        for source in self._sources:
            index = self._open(source)
            if index is None:
                return False
            engines.append(Engine(source.model, index, source.rules))
        self.engines, self.progress = engines, None
        return True

    def build(self) -> None:
        """Embed what is missing; a failure is kept for the page, and logged."""
        try:
            for source in self._sources:
                if self._open(source) is None:
                    build_index(
                        source.folder,
                        source.model.get(),
                        self._shards_dir,
                        source.rules,
                        findings=self._findings,
                        step=self._step,
                    )
            if not self.open():
                self.failure = "the archive has changed meanwhile; start the server again"
        except EchoclipError as error:
            self.failure = str(error)
            _log.error("%s", error)
        except Exception as error:
            self.failure = f"the archive cannot be embedded ({type(error).__name__})"
            _log.exception("the archive cannot be embedded")

    def _open(self, source: ModelSource) -> ArchiveIndex | None:
        return open_index(
            source.folder, source.model.fingerprint, self._shards_dir, source.rules, self._findings
        )

    def _step(self, what: str, done: int, total: int) -> None:
        now = self.progress
        since = now.since if now is not None and now.what == what else time.monotonic()
        self.progress = Progress(what=what, done=done, total=total, since=since)

    # Questions

    def ask(
        self,
        question: Question,
        *,
        user: str,
        models: Sequence[int],
        k: int,
        brought: Brought | None = None,
    ) -> Asked:
        """Answer a question and keep it; what is shown is noted in the audit first.

        Raises:
            EchoclipError: the question cannot be answered, or the audit not be written.
        """
        answers = {number: self.engines[number].ask(question, k=k) for number in models}
        for found in answers.values():
            self._note(
                user,
                question.kind,
                [hit.study.study_id for hit in found.hits],
                keys=[key for hit in found.hits for key in hit.study.keys],
                model=found.model,
            )
        if question.kind == "study":
            self._show([question.key])
        # A few seconds of one clip are megabytes: what a model has read is not needed again.
        shown = {size: held for size, held in question.frames.items() if size == SHOWN_PX}
        asked = Asked(
            name=secrets.token_urlsafe(16),
            question=replace(question, frames=shown),
            answers=answers,
            before=b"" if brought is None else brought.before,
            after=b"" if brought is None else brought.after,
            notes=() if brought is None else brought.notes,
        )
        with self._lock:
            self._asked[asked.name] = asked
            clips = [name for name, one in self._asked.items() if one.question.kind == "clip"]
            for name in clips[: max(0, len(clips) - _MOST_CLIPS)]:
                del self._asked[name]
            while len(self._asked) > _MOST_QUESTIONS:
                self._asked.popitem(last=False)
        return asked

    def asked(self, name: str) -> Asked | None:
        """A question that is kept."""
        with self._lock:
            return self._asked.get(name)

    def bring(self, name: str, content: bytes) -> Brought:
        """Read and mask a clip that a reader brings.

        Raises:
            OptionError: the models read no frames.
            EchoclipError: it cannot be read.
        """
        models = [engine.model.get() for engine in self.engines]
        if any(model.reads_vectors is not None for model in models):
            raise OptionError(
                "this model reads the embeddings of another image encoder and no clip; ask by text"
            )
        sizes = sorted({model.image_size_px for model in models})
        found = self.reader.read(name, content, sizes=sizes)
        return Brought(
            before=still(found.before),
            after=loop(found.frames[SHOWN_PX]) if found.frames else b"",
            frames=found.frames,
            refusal=found.refusal,
            notes=found.notes,
        )

    # What is shown

    def show_study(self, key: str, *, user: str) -> None:
        """Note that a study is shown.

        Raises:
            EchoclipError: there is none, or the audit cannot be written.
        """
        study = self.engines[0].study(key)
        self._note(user, "show", [study.study_id], keys=study.keys)

    def note_export(self, asked: Asked, number: int, *, user: str, action: str) -> None:
        """Note that an answer is taken away as a file.

        Raises:
            EchoclipError: the audit cannot be written.
        """
        found = asked.answers[number]
        studies = [hit.study.study_id for hit in found.hits]
        self._note(user, action, studies, keys=(), model=found.model)

    def _note(
        self,
        user: str,
        action: str,
        studies: Sequence[str],
        *,
        keys: Sequence[str],
        model: str = "",
    ) -> None:
        self.audit.note(user=user, action=action, studies=studies, model=model)
        self._show(keys)

    def _show(self, keys: Sequence[str]) -> None:
        with self._lock:
            for key in keys:
                self._shown[key] = None
                self._shown.move_to_end(key)
            while len(self._shown) > _MOST_SHOWN:
                self._shown.popitem(last=False)

    def is_shown(self, key: str) -> bool:
        """Whether a clip is on a page that was noted: only then its picture is given out."""
        with self._lock:
            return key in self._shown

    def still(self, key: str) -> bytes:
        """The first frame of a clip."""
        return self._pictures.get(
            f"still {key}", lambda: still(self.engines[0].frames(key, first=True)[0])
        )

    def loop(self, key: str) -> bytes:
        """A clip that plays."""
        return self._pictures.get(f"loop {key}", lambda: loop(self.engines[0].frames(key)))

    def heat(self, asked: Asked, number: int, key: str, *, user: str) -> bytes:
        """A clip with what a model saw in it; see `Engine.heat`."""
        engine = self.engines[number]
        self._note(user, "heatmap", [engine.study(key).study_id], keys=(), model=engine.model.name)
        text = asked.question.text
        return self._pictures.get(
            f"heat {asked.name} {number} {key}", lambda: loop(engine.heat(key, text))
        )
