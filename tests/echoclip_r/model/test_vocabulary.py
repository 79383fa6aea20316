"""Token embeddings for another vocabulary."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import echotok
from echoclip_r.errors import CheckpointError
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.pretrained import load_pretrained
from echoclip_r.model.text_tower import encode_text
from echoclip_r.model.vocabulary import grow_embedding, transfer_from_clip
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.recipes import echoclip, phantom_scale
from echoclip_r.training.recipes import echoclip_r as whole_report

END_OF_TEXT, START_OF_TEXT = 49407, 49406


@pytest.fixture(scope="module")
def clip_embedding() -> torch.Tensor:
    return torch.randn(49408, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def clip_weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A model of the standard vocabulary as someone has it in a file, and itself."""
    torch.manual_seed(1)
    config = phantom_scale(echoclip())
    codec = TextCodec(None)
    model = build_model(model_config(config, codec), name=config.model)
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    save_file(model.state_dict(), path)
    return path, model


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
    (phrase,) = tokenizer.encode("LVEF is 55%").ids[1:2]
    assert tokenizer.id_to_token(phrase) == "lvef is {number}%"
    pieces = clip.whole("lvef is  %")[1:-1]
    torch.testing.assert_close(embedding[phrase], clip_embedding[pieces].mean(dim=0))
    mild = tokenizer.encode("mild mitral regurgitation").ids[2]
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
    _, report = transfer_from_clip(clip_embedding, echotok.load("echo"))
    report.save(tmp_path / "vocabulary.csv")
    with (tmp_path / "vocabulary.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8384
    assert rows[8383] == {
        "id": "8383",
        "kind": "special",
        "token": "<eos>",
        "how": "copied",
        "sources": "49407",
    }


def test_a_model_with_phrases_embeds_other_words_as_clip_does(
    clip_weights: tuple[Path, Any],
) -> None:
    """A text without phrase or value has CLIP's embedding after the transfer."""
    path, clip_model = clip_weights
    config = phantom_scale(whole_report(pretrained=str(path)))
    config = replace(config, context_length=77)
    codec = TextCodec.load(config.tokenizer, context_length=77)
    model = build_model(model_config(config, codec), name=config.model)
    report = load_pretrained(model, config, codec)
    assert report is not None
    text = "a zebra drinks orange juice"
    assert codec.tokenizer is not None
    assert set(codec.tokenizer.encode(text).kinds) == {"special", "bpe"}
    ours = encode_text(model, codec.encode([text]).ids)
    theirs = clip_model.encode_text(TextCodec(None).encode([text]).ids)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    image = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.encode_image(image), clip_model.encode_image(image))


def test_the_base_model_takes_weights_as_they_are(clip_weights: tuple[Path, Any]) -> None:
    """And a longer context gets open_clip's interpolated positions."""
    path, clip_model = clip_weights
    config = phantom_scale(echoclip(pretrained=str(path)))
    model = build_model(model_config(config, TextCodec(None)), name=config.model)
    assert load_pretrained(model, config, TextCodec(None)) is None
    assert torch.equal(model.token_embedding.weight, clip_model.token_embedding.weight)
    longer = TextCodec(None, context_length=154)
    model = build_model(model_config(config, longer), name=config.model)
    load_pretrained(model, config, longer)
    assert model.positional_embedding.shape[0] == 154


@pytest.mark.parametrize(
    ("pretrained", "message"),
    [
        (
            "laion5b",
            "neither a file nor a name that open_clip has for convnext_base",
        ),
        ("README", "cannot be read"),
        ("other", "do not fit model echoclip-tiny"),
        ("headless", "no token_embedding.weight"),
        ("ours", "49,408: which row means what is not known"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    pretrained: str, message: str, tmp_path: Path, clip_weights: tuple[Path, Any]
) -> None:
    """With what is there, and what to do."""
    config = phantom_scale(echoclip())
    tokenizer = None
    if pretrained == "laion5b":
        config = replace(config, model="echoclip")
    else:
        path = tmp_path / "weights.safetensors"
        state = dict(clip_weights[1].state_dict())
        if pretrained == "README":
            path.write_text("not weights")
        elif pretrained == "other":
            cut = state["token_embedding.weight"][:, :9].clone()
            save_file({"token_embedding.weight": cut}, path)
        elif pretrained == "headless":
            save_file({"visual": torch.zeros(3)}, path)
        else:
            tokenizer = echotok.load("echo")
            save_file(state | {"token_embedding.weight": torch.zeros(100, 128)}, path)
        pretrained = str(path)
    config = replace(config, pretrained=pretrained)
    codec = TextCodec(tokenizer, context_length=77)
    with pytest.raises(CheckpointError, match=message):
        load_pretrained(clip_weights[1], config, codec)


def test_a_grown_tokenizers_new_rows_start_from_their_pieces(grown_echo: Path) -> None:
    """And no other row changes."""
    old, new = echotok.load("echo"), echotok.load(grown_echo)
    embedding = torch.randn(old.vocab_size, 8, generator=torch.Generator().manual_seed(0))
    filled, report = grow_embedding(embedding, old=old, new=new)
    (added,) = [origin.id for origin in report.origins]
    assert new.id_to_token(added) == "wombat valve with {severity} stenosis"
    pieces = old.encode("wombat valve with stenosis").ids[1:-1]
    torch.testing.assert_close(filled[added], embedding[pieces].mean(dim=0))
    others = [number for number in range(old.vocab_size) if number != added]
    assert torch.equal(filled[others], embedding[others])


def test_another_tokenizer_is_no_growth(grown_echo: Path) -> None:
    """Nor is the old one a growth of the new one (I6)."""
    old, new = echotok.load("echo"), echotok.load(grown_echo)
    for other in (echotok.load("echo-clip"), old):
        with pytest.raises(echotok.ArtifactError, match="not an append-only growth"):
            grow_embedding(torch.zeros(new.vocab_size, 8), old=new, new=other)
