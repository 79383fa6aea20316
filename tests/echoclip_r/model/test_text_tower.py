"""open_clip's text tower on rows that are as short as their texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.spec import ModelSpec
from echoclip_r.model.text_tower import encode_text, encode_texts
from echoclip_r.text.codec import TextCodec

REPORTS = [
    "The left ventricular ejection fraction is 55-60%. There is mild mitral regurgitation. "
    "No pericardial effusion. A strange sentence that no table holds, at all.",
    "Severe aortic stenosis.",
    "",
    *[
        f"The ejection fraction is {number}%. Trivial tricuspid regurgitation."
        for number in range(9)
    ],
]
TINY = ModelSpec(towers="echoclip-tiny")
TINY_R = ModelSpec(towers="echoclip-r-tiny", tokenizer="echo")


def make(spec: ModelSpec) -> tuple[Any, TextCodec]:
    torch.manual_seed(0)
    codec = TextCodec.load(spec.tokenizer, context_length=spec.context_length)
    return build_model(model_config(spec, codec), name=spec.towers), codec


@pytest.fixture(scope="module", params=["echo", "echo-clip"])
def phrases(request: pytest.FixtureRequest) -> tuple[Any, TextCodec]:
    return make(replace(TINY_R, tokenizer=request.param))


@pytest.mark.parametrize("rows", [3, len(REPORTS)])
def test_trimmed_rows_give_open_clips_embeddings(phrases: tuple[Any, TextCodec], rows: int) -> None:
    """Embeddings and gradients are those of `encode_text` at full length, to 1e-5."""
    model, codec = phrases
    ids = codec.encode(REPORTS[:rows]).ids
    assert ids.shape[1] < codec.context_length
    full = torch.full((rows, codec.context_length), codec.pad_id)
    full[:, : ids.shape[1]] = ids
    weights = torch.randn(rows, model.text_projection.shape[1])
    found = {}
    for name, embedded in (
        ("ours", encode_text(model, ids)),
        ("open_clip", model.encode_text(full)),
    ):
        model.zero_grad()
        (embedded * weights).sum().backward()
        gradients = {
            key: parameter.grad
            for key, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        found[name] = (embedded.detach(), gradients)
    torch.testing.assert_close(found["ours"][0], found["open_clip"][0], atol=1e-5, rtol=1e-5)
    ours, theirs = found["ours"][1], found["open_clip"][1]
    assert ours.keys() == theirs.keys()
    for key, gradient in ours.items():
        error = (gradient - theirs[key]).abs().max() / theirs[key].abs().max()
        assert error < 1e-5, key


def test_rows_of_full_length_go_to_open_clip_itself() -> None:
    """The base model's path is open_clip's, bit for bit: of any text, and of spans in training."""
    model, codec = make(TINY)
    spans = codec.encode([" ".join(REPORTS * 4)] * 9).ids
    assert torch.equal(encode_text(model, spans), model.encode_text(spans))
    model.eval()
    ids = codec.encode(REPORTS).ids
    assert torch.equal(encode_text(model, ids), model.encode_text(ids))


def test_one_long_row_does_not_make_the_others_long(
    phrases: tuple[Any, TextCodec], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a CPU trains, rows of the full context are grouped, too, with the same result."""
    model, codec = phrases
    long = " ".join(f"A strange word {number}." for number in range(200))
    ids = codec.encode([*REPORTS, long]).ids
    assert ids.shape[1] == codec.context_length
    expected = model.encode_text(ids)
    model.train()
    monkeypatch.setattr(model, "encode_text", None)
    try:
        torch.testing.assert_close(encode_text(model, ids), expected, atol=1e-5, rtol=1e-5)
    finally:
        model.eval()


def test_gradient_checkpointing_gives_the_same(phrases: tuple[Any, TextCodec]) -> None:
    """It trades memory for time and nothing else."""
    model, codec = phrases
    ids = codec.encode(REPORTS).ids
    plain = encode_text(model, ids)
    model.set_grad_checkpointing(True)
    try:
        again = encode_text(model, ids)
        again.sum().backward()
    finally:
        model.set_grad_checkpointing(False)
    torch.testing.assert_close(again, plain)


def test_several_texts_together_give_what_each_gives(phrases: tuple[Any, TextCodec]) -> None:
    """Embeddings and gradients, of texts of several lengths of which some occur in both."""
    model, codec = phrases
    texts = [codec.encode(REPORTS).ids, codec.encode(REPORTS[::-1][:4] * 3).ids]
    assert texts[0].shape[1] != texts[1].shape[1]
    weights = [torch.randn(12, model.text_projection.shape[1]) for _ in texts]
    found = []
    for embedded in ([encode_text(model, ids) for ids in texts], encode_texts(model, texts)):
        model.zero_grad()
        torch.stack(
            [(e * w).sum() for e, w in zip(embedded, weights, strict=True)]
        ).sum().backward()
        gradient = model.token_embedding.weight.grad.clone()
        found.append(([e.detach() for e in embedded], gradient))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    error = (found[0][1] - found[1][1]).abs().max() / found[0][1].abs().max()
    assert error < 1e-5
