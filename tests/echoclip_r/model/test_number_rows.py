"""Rows of numbers: smooth while a model trains, plain where it is saved."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
from safetensors.torch import load_file

import echotok
from echoclip_r.model.build import build_model, model_config
from echoclip_r.model.number_rows import NumberRows, magnitude, plain_weights, share_number_rows
from echoclip_r.model.spec import ModelSpec
from echoclip_r.text.codec import TextCodec
from echoclip_r.training.config import changed
from echoclip_r.training.recipes import echoclip_r_findings, phantom_scale
from echoclip_r.training.run import train

SPEC = ModelSpec(towers="echoclip-r-tiny", tokenizer="echo")


def model_and_tokenizer() -> tuple[torch.nn.Module, echotok.Tokenizer]:
    """A model of random weights."""
    codec = TextCodec.load("echo", context_length=77)
    torch.manual_seed(0)
    assert codec.tokenizer is not None
    return build_model(model_config(SPEC, codec), name=SPEC.towers), codec.tokenizer


def row_of(tokenizer: echotok.Tokenizer, word: str) -> int:
    """The id of a number in a sentence."""
    return tokenizer.encode(f"LVEF is {word}%.").ids[-2]


def test_numbers_of_like_size_begin_alike_and_other_rows_are_left() -> None:
    """55 is nearer to 60 than to 25 from the first step on; of other rows nothing changes."""
    model, tokenizer = model_and_tokenizer()
    before = model.token_embedding.weight.detach().clone()
    share_number_rows(model, tokenizer, fresh=True)
    rows = plain_weights(model)["token_embedding.weight"]
    numbers = [
        number
        for number in tokenizer.assigned_ids
        if tokenizer.kind(number) == "value"
        and magnitude(tokenizer.id_to_token(number)) is not None
    ]
    others = torch.ones(len(rows), dtype=torch.bool)
    others[numbers] = False
    assert torch.equal(rows[others], before[others])
    near, middle, far = (rows[row_of(tokenizer, word)] for word in ("60", "55", "25"))
    assert (near - middle).norm() < 0.7 * (far - middle).norm()
    assert 0.5 < rows[numbers].std() / before[numbers].std() < 2


def test_a_number_that_is_never_said_moves_with_its_neighbours() -> None:
    """The gradient of 55 moves 56, and nothing that is no number."""
    model, tokenizer = model_and_tokenizer()
    share_number_rows(model, tokenizer, fresh=True)
    rows = model.token_embedding
    assert isinstance(rows, NumberRows)
    before = rows.rows()
    rows(torch.tensor([row_of(tokenizer, "55")])).sum().backward()
    with torch.no_grad():
        for parameter in rows.parameters():
            assert parameter.grad is not None
            parameter -= 0.1 * parameter.grad
    moved = (rows.rows() - before).norm(dim=1)
    close, far = moved[row_of(tokenizer, "56")], moved[row_of(tokenizer, "5")]
    assert close > 10 * far
    assert moved[tokenizer.bos_id] == 0


def test_rows_that_were_learned_stay_as_they_are() -> None:
    """What they share begins at nothing."""
    model, tokenizer = model_and_tokenizer()
    before = model.token_embedding.weight.detach().clone()
    share_number_rows(model, tokenizer, fresh=False)
    assert torch.equal(plain_weights(model)["token_embedding.weight"], before)


def test_a_run_goes_on_bit_for_bit_and_plain_open_clip_loads_it(
    training_shards: Path, tmp_path: Path
) -> None:
    """The sums are saved as plain rows; the run's own state holds the parts (I13)."""
    config = changed(
        phantom_scale(echoclip_r_findings()),
        batch_size=8,
        epochs=2,
        warmup_steps=2,
        checkpoint_every_steps=4,
        smooth_numbers=True,
    )
    train(config, training_shards, tmp_path / "whole", device="cpu")
    train(config, training_shards, tmp_path / "broken", device="cpu")
    last = "checkpoints/step-00000010"
    for file in (tmp_path / "broken" / last).iterdir():
        file.unlink()
    (tmp_path / "broken" / last).rmdir()
    train(config, training_shards, tmp_path / "broken", device="cpu")
    name = "open_clip_model.safetensors"
    whole, again = (load_file(tmp_path / run / last / name) for run in ("whole", "broken"))
    assert whole.keys() == again.keys()
    assert "token_embedding.shared" not in whole
    for key, tensor in whole.items():
        assert torch.equal(tensor, again[key]), key
    states = [load_file(tmp_path / run / last / "state.safetensors") for run in ("whole", "broken")]
    for key in ("number_rows.weight", "number_rows.shared"):
        assert torch.equal(states[0][key], states[1][key])
    assert states[0]["number_rows.shared"].abs().max() > 0
    folder = tmp_path / "whole" / last
    plain = open_clip.create_model(f"local-dir:{folder}")
    torch.testing.assert_close(
        plain.token_embedding.weight.detach(), whole["token_embedding.weight"], atol=0, rtol=0
    )
