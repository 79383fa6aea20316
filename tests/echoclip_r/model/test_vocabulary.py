"""Token embeddings for another vocabulary."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

import echotok
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.vocabulary import grow_embedding, transfer_from_clip
from echoclip_r.text.codec import TextCodec

TINY = ModelSpec(towers="echoclip-tiny")
END_OF_TEXT, START_OF_TEXT = 49407, 49406


@pytest.fixture(scope="module")
def clip_embedding() -> torch.Tensor:
    return torch.randn(49408, 8, generator=torch.Generator().manual_seed(0))


def test_shared_rows_are_copied_and_phrases_start_from_their_pieces(
    clip_embedding: torch.Tensor,
) -> None:
    """CLIP's ids keep their rows; a phrase has the mean of its pieces', without its slots."""
    tokenizer = echotok.load("echo-clip")
    embedding, report = transfer_from_clip(clip_embedding, tokenizer)
    clip = TextCodec(None)
    assert embedding.shape == (tokenizer.vocab_size, 8)
    assert torch.equal(embedding[:START_OF_TEXT], clip_embedding[:START_OF_TEXT])
    assert torch.equal(embedding[tokenizer.bos_id], clip_embedding[START_OF_TEXT])
    assert torch.equal(embedding[tokenizer.eos_id], clip_embedding[END_OF_TEXT])
    assert not embedding[tokenizer.pad_id].any()
    (phrase,) = tokenizer.encode("LVEF 55%").ids[1:2]
    assert tokenizer.id_to_token(phrase) == "lvef {number}%"
    pieces = clip.whole("lvef  %")[1:-1]
    torch.testing.assert_close(embedding[phrase], clip_embedding[pieces].mean(dim=0))
    mild = tokenizer.encode("mild mitral regurgitation").ids[1]
    assert tokenizer.id_to_token(mild) == "mild"
    torch.testing.assert_close(embedding[mild], clip_embedding[clip.whole("mild")[1]])
    assert torch.isfinite(embedding).all()
    assert report.counts()["bpe: copied"] == 49406
    assert sum(report.counts().values()) == tokenizer.vocab_size


def test_a_vocabulary_of_its_own_starts_from_the_texts_of_its_tokens(
    clip_embedding: torch.Tensor,
) -> None:
    """`echo` shares no id with CLIP, but its words are words."""
    tokenizer = echotok.load("echo")
    embedding, _ = transfer_from_clip(clip_embedding, tokenizer)
    clip = TextCodec(None)
    number = tokenizer.token_to_id("prescribed</w>")
    assert number is not None, "echo has lost a word"
    expected = clip_embedding[clip.whole("prescribed")[1:-1]].mean(dim=0)
    torch.testing.assert_close(embedding[number], expected)


def test_the_report_names_every_row(clip_embedding: torch.Tensor, tmp_path: Path) -> None:
    """As a CSV file to look into."""
    tokenizer = echotok.load("echo")
    _, report = transfer_from_clip(clip_embedding, tokenizer)
    report.save(tmp_path / "vocabulary.csv")
    with (tmp_path / "vocabulary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == tokenizer.vocab_size
    assert rows[-1] == {
        "id": str(tokenizer.eos_id),
        "kind": "special",
        "token": "<eos>",
        "how": "copied",
        "sources": "49407",
    }


def test_a_grown_tokenizers_new_rows_start_from_their_pieces(grown_echo: Path) -> None:
    """And no other row changes."""
    old, new = echotok.load("echo"), echotok.load(grown_echo)
    embedding = torch.randn(old.vocab_size, 8, generator=torch.Generator().manual_seed(0))
    filled, report = grow_embedding(embedding, old=old, new=new)
    added = [origin.id for origin in report.origins]
    for number, closing in zip(added, ("", *old.table.closings), strict=True):
        assert new.id_to_token(number) == "wombat valve with {severity} stenosis" + closing
        pieces = old.encode("wombat valve with stenosis" + closing).ids[1:-1]
        torch.testing.assert_close(filled[number], embedding[pieces].mean(dim=0))
    others = [number for number in range(old.vocab_size) if number not in added]
    assert torch.equal(filled[others], embedding[others])


def test_another_tokenizer_is_no_growth(grown_echo: Path) -> None:
    """Nor is the old one a growth of the new one (I6)."""
    old, new = echotok.load("echo"), echotok.load(grown_echo)
    for other in (echotok.load("echo-clip"), old):
        with pytest.raises(echotok.ArtifactError, match="not an append-only growth"):
            grow_embedding(torch.zeros(new.vocab_size, 8), old=new, new=other)
