"""Making a tokenizer from a table's folder (`echotok build`).

The fallback `clip` needs no training. The fallback `domain` is a byte-level BPE trained with HF
tokenizers on the words of the table's phrases and on words of a corpus that occur in at least k of
its documents (I9); only words and their counts are used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from echotok import artifact
from echotok.bpe_training import train_merges
from echotok.table.checks import validate_table
from echotok.table.fallback import Fallback
from echotok.table.match import BARE_VALUE, Matcher
from echotok.table.phrases import PhraseTable
from echotok.table.reading import read_clip_fallback, read_fallback
from echotok.table.review import Review, apply_review, read_review
from echotok.text import make_normalizer, split_pieces
from echotok.tokenizer import Tokenizer

__all__ = ["build", "reviewed_table", "word_counts"]

MIN_DOCUMENTS = 5
# The corpus is wider than the table's domain: a word of a phrase counts as often as this many
# occurrences, so that the domain's own words stay whole where a phrase narrowly fails to match.
_PHRASE_WEIGHT = 30


def build(
    table_dir: Path | str,
    *,
    fallback: Literal["domain", "clip"] = "domain",
    corpus: Iterable[str] = (),
    min_documents: int = MIN_DOCUMENTS,
    name: str | None = None,
    clip_merges: Path | str | None = None,
    base: Tokenizer | None = None,
    review: Review | Path | str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Tokenizer:
    """Make a tokenizer from a table folder.

    Args:
        table_dir: folder of a phrase table, as `echotok.table.phrases` describes it.
        fallback: what encodes the text that no phrase covers.
        corpus: documents whose words train the domain fallback; not used where the folder carries
            its merges (`merges.txt`, which `echotok mine` writes).
        min_documents: a corpus word counts only when this many documents hold it.
        name: name of the tokenizer; by default the table's, with `-clip` for CLIP's fallback.
        clip_merges: path of CLIP's merges, as in `echotok.load`.
        base: an earlier tokenizer of this table. Its fallback and its name are kept, so that the
            result only adds ids to it, and its models can be trained further.
        review: decisions on the table's phrases, as `echotok review` gathers them, or their file;
            see `echotok.table.review.apply_review`. The folder stays as it is.
        tell: called with a sentence on what the review changed.

    Raises:
        TableError: the table breaks a rule, or the review holds decisions that cannot be followed.
        InputError: the review cannot be read.
        ArtifactError: the table changes or removes an id of `base`.
    """
    if review is None:
        table = validate_table(table_dir)
    else:
        table = reviewed_table(table_dir, review, base=base, tell=tell)
    if base is not None:
        grown = Tokenizer.from_table(
            table, base.fallback, name=name or base.name, clip_merges=clip_merges
        )
        grown.added_since(base)
        return grown
    # What joining parts saves is little, and no other library can do it; without slots, it is all
    # that would keep them from giving the same ids (`echotok.adapters.huggingface`).
    joins = any(phrase.num_slots for phrase in table.phrases)
    if fallback == "clip":
        return Tokenizer.from_table(
            table,
            replace(read_clip_fallback(table_dir), joins=joins),
            name=name or f"{table.name}-clip",
            clip_merges=clip_merges,
        )
    trained = read_fallback(table_dir)
    if trained is None:
        counts = word_counts(table, corpus, min_documents=min_documents)
        trained = Fallback(kind="domain", merges=tuple(train_merges(counts, table.num_merges)))
    return Tokenizer.from_table(table, replace(trained, joins=joins), name=name)


def reviewed_table(
    table_dir: Path | str,
    review: Review | Path | str,
    *,
    base: Tokenizer | None = None,
    tell: Callable[[str], None] | None = None,
) -> PhraseTable:
    """A table with the decisions of a review followed, as `build` takes it.

    Args:
        table_dir: folder of the table, which stays as it is; `echotok.table.writing.write_changed`
            writes another one.
        review: the decisions, or their file.
        base: an earlier tokenizer of this table, whose ids models know.
        tell: called with a sentence on what the review changed.

    Raises:
        TableError: the table breaks a rule, or the review holds decisions that cannot be followed.
        InputError: the review cannot be read.
    """
    table = validate_table(table_dir)
    return apply_review(
        table,
        review if isinstance(review, Review) else read_review(review),
        published=_shipped(table.name) if base is None else base.table,
        tell=tell,
    )


def _shipped(name: str) -> PhraseTable | None:
    """The table of this name that ships with echotok: its ids are for ever (I5)."""
    path = artifact.shipped().get(name)
    return None if path is None else artifact.unpack_table(artifact.read(path))


def word_counts(
    table: PhraseTable, corpus: Iterable[str], *, min_documents: int = MIN_DOCUMENTS
) -> Counter[str]:
    """Count the words that may train the fallback.

    Args:
        table: phrase table; the words of its phrases and values are counted too.
        corpus: documents, one text each.
        min_documents: number of documents that must hold a word of the corpus.

    Returns:
        The count of each word. Numbers are left out: they are values.
    """
    normalize = make_normalizer(table.units)
    matcher = Matcher((), ())
    counts: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for document in corpus:
        words = Counter(_words(split_pieces(normalize(document)), matcher))
        counts.update(words)
        documents.update(words.keys())
    kept = Counter({word: n for word, n in counts.items() if documents[word] >= min_documents})
    own = [item.text for phrase in table.live for item in phrase.items if item.text]
    own += [piece for value in table.values for piece in split_pieces(value.text)]
    for word in _words(own, matcher):
        kept[word] += _PHRASE_WEIGHT
    return kept


def _words(pieces: Iterable[str], numbers: Matcher) -> Iterable[str]:
    for piece in pieces:
        match = numbers.longest([piece], 0)
        if match is None or match.phrase != BARE_VALUE:
            yield piece.removeprefix(" ")
