"""Echotok as a component of a spaCy pipeline: phrases, their values and findings as spans.

    import echotok.adapters.spacy  # registers the component
    nlp.add_pipe("echotok")

The component sets `doc.spans["echotok"]`: a span for each phrase, and for each value outside of
phrases. What it holds is plain lists and dicts, so that a document can be saved and sent to other
processes (`nlp.pipe(..., n_process=2)`).
"""

from __future__ import annotations

from typing import Any

from spacy.language import Language
from spacy.tokens import Doc, Span

from echotok.findings.reading import findings
from echotok.tokenizer import Tokenizer, load

__all__ = ["KEY", "EchotokComponent"]

KEY = "echotok"
"""The name of the component, and of its group of spans."""


class EchotokComponent:
    """Finds phrases, values and findings in a document.

    A span's label is the phrase with its `{slots}`, or the slot type of a value that stands
    alone. A span of spaCy ends where its tokens end, which may be a little outside of the phrase.
    The extensions are

    - `span._.phrase`: the phrase, or None for a value that stands alone;
    - `span._.slot_values`: a dict for each value, with `slot`, `value`, and the characters `start`
      and `end` in the document's text;
    - `span._.findings`: the findings (see `echotok.findings`) in the span, as dicts;
    - `doc._.findings`: all findings of the document.

    Args:
        tokenizer: tokenizer from `echotok.load`.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        for kind, name in (
            (Span, "phrase"),
            (Span, "slot_values"),
            (Span, "findings"),
            (Doc, "findings"),
        ):
            if not kind.has_extension(name):
                kind.set_extension(name, default=None)

    def __call__(self, doc: Doc) -> Doc:
        """Set the spans and extensions of a document."""
        text = doc.text
        encoding = self.tokenizer.encode(text)
        rows = [finding._asdict() for finding in findings(text)]
        for row in rows:
            del row["words"]  # which only those who ask for them get
        values: list[dict[str, Any]] = [
            {"slot": found.slot, "value": found.value, "start": found.span[0], "end": found.span[1]}
            for found in encoding.slots()
        ]
        doc._.findings = rows
        group = []
        at = 1
        for (low, high), behind in zip(encoding.unit_offsets, encoding.unit_ends, strict=True):
            at += encoding.roles[at] in ("join", "space")
            phrase = encoding.tokens[at] if encoding.kinds[at] == "phrase" else None
            inside = [value for value in values if low <= value["start"] < high]
            at = behind
            if phrase is None and not inside:
                continue
            span = doc.char_span(
                low, high, label=phrase or inside[0]["slot"], alignment_mode="expand"
            )
            span._.phrase = phrase
            span._.slot_values = inside
            span._.findings = [row for row in rows if row["start"] < high and low < row["end"]]
            group.append(span)
        doc.spans[KEY] = group
        return doc


def _make(nlp: Any, name: str, tokenizer: str, clip_merges: str | None) -> EchotokComponent:
    """Make the component from a pipeline's configuration: a tokenizer's name or path."""
    return EchotokComponent(load(tokenizer, clip_merges=clip_merges))


Language.factory(KEY, default_config={"tokenizer": "echo", "clip_merges": None}, func=_make)
