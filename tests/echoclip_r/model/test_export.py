"""A run goes to open_clip and comes back, and nothing of it changes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from echoclip_r.cli.main import main
from echoclip_r.model.build import register
from echoclip_r.model.channels import shown
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.description import tasks_of

EXCHANGE = Path(__file__).parents[3] / "docs" / "exchange.md"
TEXTS = [
    "Mild mitral regurgitation.",
    "The left ventricular ejection fraction is 60-65%.\n\nNo pericardial effusion.",
    "LVEF > 15 %; a zebra drinks orange juice. " * 20,
]
FRAMES = np.random.default_rng(0).integers(0, 255, (3, 96, 128, 3)).astype(np.uint8)


@pytest.fixture(params=["echo", "echo-clip", None])
def run(request, tmp_path, helpers) -> Path:
    """A run with random weights, of each kind of tokenizer."""
    folder = tmp_path / "run"
    helpers.save_untrained(folder / "best", seed=3, tokenizer=request.param)
    return folder


def test_open_clip_embeds_as_we_do_and_the_run_comes_back_as_it_was(run, tmp_path, capsys):
    """The figures of the issue: embeddings before, in open_clip, and after, to 1e-6."""
    out, back = tmp_path / "exported", tmp_path / "back"
    assert main(["export", str(run), "--out", str(out)]) == 0
    assert "echoclip_r.model.build.register() before open_clip loads it" in capsys.readouterr().out
    register()
    # As docs/exchange.md says it.
    found = re.search(r"```python\n(import open_clip\n.*?)```", EXCHANGE.read_text(), re.S)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1].replace("FOLDER", str(out)), names)
    theirs, transform, tokenizer = names["model"].eval(), names["preprocess"], names["tokenizer"]
    images = torch.stack([transform(Image.fromarray(frame)) for frame in FRAMES])
    with torch.inference_mode():
        image = theirs.encode_image(images, normalize=True).numpy()
        text = theirs.encode_text(tokenizer(TEXTS), normalize=True).numpy()
    ours = load_checkpoint(run)
    np.testing.assert_allclose(ours.embed_frames(FRAMES), image, atol=1e-6)
    np.testing.assert_allclose(ours.embed_texts(TEXTS), text, atol=1e-6)
    assert main(["import", f"local-dir:{out}", "--out", str(back)]) == 0
    for folder in (back, out):
        again = load_checkpoint(folder)
        assert again.fingerprint == ours.fingerprint
        assert np.array_equal(again.embed_texts(TEXTS), ours.embed_texts(TEXTS))
        assert np.array_equal(again.embed_frames(FRAMES), ours.embed_frames(FRAMES))
    states = [load_file(folder / "open_clip_model.safetensors") for folder in (back / "best", out)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


DAMAGES = {
    "best/open_clip_model.safetensors": (
        (lambda content: content[: len(content) // 2], "the weights are damaged, or of another"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "the weights are damaged"),
        (lambda content: None, "the weights cannot be read (No such file"),
    ),
    "best/echoclip_r.json": (
        (lambda content: content[: len(content) // 2], "the checkpoint cannot be read"),
        (lambda content: changed(content, tokenizer=None), "the checkpoint cannot be read"),
        (lambda content: changed(content, training=[1]), "training is no dict"),
        (lambda content: changed(content, tasks=3), "tasks is no list"),
        (lambda content: changed(content, tasks=["../../x"]), "not in the checkpoint's folder"),
        (lambda content: changed(content, step="two"), "that the model card is made from is dam"),
        (lambda content: changed(content, best_validation={"mcmrr": 1}), "the model card is made"),
    ),
    "best/open_clip_config.json": (
        (lambda content: b'{"model_cfg": 3}', "the checkpoint cannot be read"),
    ),
    "metrics.json": (
        (lambda content: b'{"facts": 3}', "a file that the model card is made from is damaged"),
    ),
    "splits.json": (
        (lambda content: b'{"num_patients": 3}', None),  # of no shards that are still there
    ),
}


def changed(content: bytes, **facts: object) -> bytes:
    return json.dumps(json.loads(content) | facts).encode()


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_refused(name, tmp_path, helpers, capsys):
    """The file is named, and no folder is written; half of the weights would be passed on else."""
    helpers.save_untrained(tmp_path / "run" / "best", seed=0, tokenizer="echo")
    path = tmp_path / "run" / name
    whole = path.read_bytes() if path.exists() else b"{}"
    for damage, said in DAMAGES[name]:
        content = damage(whole)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        code = main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")])
        err = capsys.readouterr().err
        if said is None:
            assert code == 0
            continue
        assert code == 1 and said in err
        assert not (tmp_path / "out").exists()


def test_the_tokenizer_of_a_folder_works_without_this_package_being_imported(tmp_path, helpers):
    """In a process of its own, as a user of open_clip has it."""
    helpers.save_untrained(tmp_path / "run" / "best", seed=0, tokenizer="echo")
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    code = (
        "import open_clip, sys; tok = open_clip.get_tokenizer(sys.argv[1]); "
        "ids = tok(['No effusion.', 'x' * 500]); print(tuple(ids.shape), int(ids[0].max()))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, f"local-dir:{tmp_path / 'out'}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split("\n")[0] == "(2, 77) 41599"


def test_what_open_clip_mends_before_the_tokenizer_sees_it_is_said(tmp_path, helpers):
    """Plain reports get our ids; a text with signs of HTML does not, and the card says so."""
    import echotok

    helpers.save_untrained(tmp_path / "run" / "best", seed=0, tokenizer="echo")
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")
    ours = echotok.load("echo")

    def same(text: str) -> bool:
        ids = [number for number in tokenizer(text)[0].tolist() if number != ours.pad_id]
        return ids == list(ours.encode(text).ids)

    assert all(map(same, [*TEXTS[:2], "E/e\N{PRIME} is 10², 60–65 %", "“RIGHT” atrium"]))
    assert not same("A &amp; B")
    assert "(`&amp;`) in a text before any tokenizer" in (tmp_path / "out/README.md").read_text()


def test_a_model_of_cine_pictures_says_so_wherever_it_goes(tmp_path, helpers):
    """open_clip embeds our cine pictures as we do; the card tells how they are made."""
    run, out = tmp_path / "run", tmp_path / "out"
    helpers.save_untrained(run / "best", seed=3, tokenizer="echo")
    color = load_checkpoint(run)
    path = run / "best" / "echoclip_r.json"
    facts = json.loads(path.read_text())
    facts["model"]["channels"] = "cine"
    path.write_text(json.dumps(facts))
    assert main(["export", str(run), "--out", str(out)]) == 0
    register()
    theirs, _, transform = open_clip.create_model_and_transforms(f"local-dir:{out}")
    pictures = [Image.fromarray(one) for one in shown(FRAMES, "cine")]
    with torch.inference_mode():
        images = torch.stack([transform(one) for one in pictures])
        image = theirs.eval().encode_image(images, normalize=True).numpy()
    assert main(["import", f"local-dir:{out}", "--out", str(tmp_path / "back")]) == 0
    for folder in (run, out, tmp_path / "back"):
        ours = load_checkpoint(folder)
        assert ours.spec.channels == "cine"
        assert ours.fingerprint != color.fingerprint  # embeddings that are kept are not mixed up
        np.testing.assert_allclose(ours.embed_frames(FRAMES), image, atol=1e-6)
    assert np.abs(image - color.embed_frames(FRAMES)).max() > 1e-3
    assert "Its pictures are not single frames" in (out / "README.md").read_text()


def test_the_card_states_figures_data_and_limits(tmp_path, helpers, capsys):
    """Figures of this model alone, with chance and n; no path, and a phantom is called one."""
    from echoclip_r.model.description import find_checkpoint

    run = tmp_path / "run"
    helpers.save_untrained(run / "best", seed=0, tokenizer="echo")
    path = run / "best" / "echoclip_r.json"
    facts = json.loads(path.read_text())
    facts |= {
        "tasks": ["phantom"],
        "step": 40,
        "epoch": 2.0,
        "best_validation": {"mcmrr": 3.25, "recall_at_10": 0.5, "num_clips": 40},
    }
    facts["model"]["pretrained"] = str(tmp_path / "private" / "w.safetensors")
    path.write_text(json.dumps(facts))
    figure = {"value": 8.351, "low": 7.0, "high": 9.5, "chance": 12.0}
    metrics = {
        "facts": {
            "split": "test",
            "unit": "study",
            "num_draws": 1000,
            "models": {"m": {"fingerprint": load_checkpoint(find_checkpoint(run)).fingerprint}},
        },
        "outcomes": [
            {"model": one, "dataset": "internal", "title": "EF", "num_items": 25}
            | {"figures": {"mae": figure}}
            for one in ("m", "another")
        ],
    }
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "metrics.json").write_text(json.dumps(metrics))
    command = ["export", str(run), "--evaluation", str(tmp_path / "eval"), "--out"]
    assert main([*command, str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: open_clip\n")
    assert card.count("| internal | EF | mae | 8.35 (7 to 9.5) | 12 | 25 |") == 1
    assert "MCMRR 3.2 of 40 clips (chance about 20), R@10 50.0 %" in card
    assert "No figure here is clinical evidence" in card
    assert tasks_of(tmp_path / "out") == ("phantom",)
    for name in ("README.md", "echoclip_r.json", "open_clip_config.json"):
        assert str(tmp_path) not in (tmp_path / "out" / name).read_text()
    metrics["facts"]["models"] = {"m": {"fingerprint": "0" * 64}}
    (tmp_path / "eval" / "metrics.json").write_text(json.dumps(metrics))
    capsys.readouterr()
    assert main([*command, str(tmp_path / "other")]) == 1
    assert "its figures are of other models" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "out")]) == 1
    assert "something is there already" in capsys.readouterr().err
