"""Weights of the published EchoCLIP-R's form with a copy of its tokenizer, here a made-up one."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from made_up_program import BOS, EOS, digits, row, write_program
from safetensors.torch import load_file

from echoclip_r.cli.main import main
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.description import read_description

TEXTS = ["The ejection fraction is 55%. Bob.", "Mild mitral regurgitation.", "unknown"]
ROWS = [row(1, *digits(55)), row(3), row()]
CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {
        "timm_model_name": "convnext_atto",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 64,
    },
    "text_cfg": {"context_length": 77, "vocab_size": EOS + 1, "width": 64, "heads": 2, "layers": 2},
}


def write_weights(folder: Path, *, rows: int = EOS + 1, **text: Any) -> tuple[Path, Any]:
    """A folder as it lies on the Hub, and open_clip's model of it."""
    folder.mkdir(parents=True)
    config = CONFIG | {"text_cfg": CONFIG["text_cfg"] | {"vocab_size": rows}}
    torch.manual_seed(5)
    model = open_clip.CLIP(**config)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    content = {"model_cfg": config | {"text_cfg": config["text_cfg"] | text}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    return folder, model.eval()


def text_embeddings(model: Any) -> Any:
    with torch.inference_mode():
        return model.encode_text(torch.tensor(ROWS), normalize=True).numpy()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return write_program(tmp_path / "program")


@pytest.fixture
def imported(program: Path, tmp_path: Path) -> tuple[Path, Any]:
    """The run, and open_clip's model."""
    folder, model = write_weights(tmp_path / "weights")
    command = ["import", str(folder), "--tokenizer", f"published:{program}", "--out"]
    assert main([*command, str(tmp_path / "run")]) == 0
    return tmp_path / "run", model


def test_embeddings_are_those_of_the_programs_ids(imported):
    """To 1e-6 those of open_clip, given the rows of the program; the program stays where it is."""
    run, model = imported
    ours = load_checkpoint(run)
    assert ours.text.encode(TEXTS).ids.tolist() == ROWS
    np.testing.assert_allclose(ours.embed_texts(TEXTS), text_embeddings(model), atol=1e-6)
    names = {path.name for path in (run / "best").iterdir()}
    assert names == {"open_clip_model.safetensors", "open_clip_config.json", "echoclip_r.json"}
    kept = read_description(run / "best").facts["tokenizer"]
    assert set(kept["files"]) == {"template_tokenizer.py", "utils.py", "phrases.txt"}
    assert b"regurgitation" not in (run / "best" / "echoclip_r.json").read_bytes()


def test_every_command_works_and_says_what_is_dropped(
    imported, tmp_path, capsys, caplog, archive, training_shards
):
    """Embed, retrieve, evaluate, explain and summary; the log counts losses, and quotes nothing."""
    run, _ = imported
    data = ["--shards", str(training_shards)]
    assert main(["embed", str(run), *data, "--out", str(tmp_path / "embedded")]) == 0
    query = ["--text", "Zebra. Mild mitral regurgitation.", *data]
    assert main(["retrieve", str(run), *query]) == 0
    assert "keeps 82 % of the letters and digits of 1 text; 0 get no id" in caplog.text
    assert "zebra" not in caplog.text.lower()
    caplog.clear()
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(run), *data, "--out", str(out), "--draws", "20"]) == 0
    assert "get no id at all and all the same embedding" in caplog.text
    assert (out / "metrics.json").is_file()
    table = tmp_path / "reports.csv"
    table.write_text("id,report\n1,Mild mitral regurgitation.\n2,Zebra.\n")
    told = ["embed", str(run), "--reports", str(table), "--out", str(tmp_path / "reports")]
    assert main(told) == 0
    assert "2 different texts; 1 get no id" in caplog.text
    capsys.readouterr()
    manifest = str(archive / "manifest.csv")
    assert main(["summary", manifest, "--tokenizer", str(run), "--json"]) == 0
    assert '"published_tokens"' in capsys.readouterr().out
    explained = ["explain", str(run), "--video", str(archive / "clip-00.avi")]
    explained += ["--prompt", "Mild mitral regurgitation.", "--frames", "4", "--out"]
    assert main([*explained, str(tmp_path / "cam.png")]) == 0
    assert (tmp_path / "cam.png").is_file()


def test_a_program_that_is_gone_changed_or_moved_is_said(imported, program, tmp_path, capsys):
    """The run keeps the sha256 of its files; it goes on with the same files elsewhere."""
    run, model = imported
    table = tmp_path / "reports.csv"
    table.write_text("id,report\n1,Mild mitral regurgitation.\n")
    embed = ["embed", str(run), "--reports", str(table), "--out", str(tmp_path / "reports")]

    def refused(*more: str) -> str:
        capsys.readouterr()
        assert main([*embed, *more]) == 1
        return capsys.readouterr().err

    moved = tmp_path / "moved"
    shutil.move(program, moved)
    said = refused()
    assert "is kept where you have it and not in the run" in said
    assert f"{program}: there is no such folder" in said
    assert "--tokenizer) published:FOLDER" in said
    assert main([*embed, "--tokenizer", f"published:{moved}"]) == 0
    found = load_checkpoint(run, tokenizer=f"published:{moved}").embed_texts(TEXTS)
    np.testing.assert_allclose(found, text_embeddings(model), atol=1e-6)
    (moved / "phrases.txt").write_text("another\n")
    assert "phrases.txt is another" in refused("--tokenizer", f"published:{moved}")
    assert "does not grow" in refused_growth(run, moved)


def refused_growth(run: Path, program: Path) -> str:
    from echoclip_r.errors import CheckpointError

    write_program(program.parent / "program")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(run, tokenizer="echo")
    return str(caught.value)


def test_wrong_pairs_are_refused(program, theirs_clip, tmp_path, capsys):
    """The mistake that users make, told by names and by numbers of rows."""
    tokenizer = ["--tokenizer", f"published:{program}"]

    def refused(source: Any, *more: str) -> str:
        capsys.readouterr()
        assert main(["import", str(source), "--out", str(tmp_path / "run"), *more]) == 1
        assert not (tmp_path / "run").exists()
        return capsys.readouterr().err

    weights, _ = write_weights(tmp_path / "weights")
    said = refused(weights)
    assert f"has {EOS + 1} rows, and CLIP's own tokenizer has 49,408" in said
    assert "for the published EchoCLIP-R --tokenizer published:FOLDER" in said
    small, _ = write_weights(tmp_path / "small", rows=EOS)
    assert f"published:{program} gives ids below {EOS + 1}" in refused(small, *tokenizer)
    large, _ = write_weights(tmp_path / "large", rows=EOS + 2)
    assert "trained with another tokenizer" in refused(large, *tokenizer)
    named, _ = write_weights(tmp_path / "named", hf_tokenizer_name="some/bert")
    said = refused(named, *tokenizer)
    assert "'some/bert', which is not the published template tokenizer" in said
    for name in ("echo-clip-r", "models--mkaichristensen--echo-clip-r/snapshots/1"):
        folder = tmp_path / name
        shutil.copytree(theirs_clip, folder)
        assert "with a template tokenizer of its authors" in refused(folder)
        assert "with a template tokenizer" in refused(folder / "open_clip_pytorch_model.bin")
    shutil.copytree(theirs_clip, tmp_path / "echo-clip")
    assert "reads CLIP's own tokenizer; leave" in refused(tmp_path / "echo-clip", *tokenizer)
    said = refused("hf-hub:mkaichristensen/echo-clip", *tokenizer)
    assert "reads CLIP's own tokenizer; leave --tokenizer out" in said
    assert "there is no such folder" in refused(weights, "--tokenizer", "published:nowhere")


@pytest.fixture
def theirs_clip(tmp_path: Path) -> Path:
    """Weights with as many rows as CLIP's vocabulary."""
    return write_weights(tmp_path / "clip", rows=49408)[0]


def test_clips_number_of_rows_is_taken_with_a_warning(program, theirs_clip, tmp_path, caplog):
    """Since a tower may keep rows that its tokenizer never used, and the number tells nothing."""
    command = ["import", str(theirs_clip), "--tokenizer", f"published:{program}"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    assert "Their number does not tell which of the two" in caplog.text
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{theirs_clip}")
    found = load_checkpoint(tmp_path / "run").embed_texts(TEXTS)
    np.testing.assert_allclose(found, text_embeddings(model.eval()), atol=1e-6)


def test_such_a_run_is_not_exported_and_not_trained_on(
    imported, program, tmp_path, capsys, training_shards
):
    """The program may not be passed on, and drops what a model should learn."""
    run, _ = imported
    assert main(["export", str(run), "--out", str(tmp_path / "out")]) == 1
    assert "may not be passed on" in capsys.readouterr().err
    command = ["train", "--recipe", "echoclip-r", "--shards", str(training_shards), "--out"]
    command += [str(tmp_path / "trained"), "--tokenizer", f"published:{program}"]
    assert main(command) in (1, 2)
    assert "drops what it does not know" in capsys.readouterr().err


def test_training_starts_from_such_a_run(imported, tmp_path, capsys, training_shards):
    """A phrase's row is the mean of the rows that the program's ids of its words have."""
    run, model = imported
    out = tmp_path / "out"
    command = ["train", "--recipe", "echoclip-r", "--pretrained", str(run), "--model", str(run)]
    command += ["--shards", str(training_shards), "--out", str(out)]
    for setting in ("batch_size=22", "epochs=1", "warmup_steps=1", "lr=1e-30", "weight_decay=0"):
        command += ["--set", setting]
    assert main(command) == 0
    rows = load_file(out / "best" / "open_clip_model.safetensors")["token_embedding.weight"]
    before = model.token_embedding.weight.detach()
    with (out / "vocabulary.csv").open(newline="") as file:
        origins = list(csv.DictReader(file))
    assert {one["how"] for one in origins} == {"mean of pieces", "mean of all", "copied", "zeros"}
    copied = {one["sources"] for one in origins if one["how"] == "copied"}
    assert copied == {str(BOS), str(EOS)}
    known = {one["token"]: one for one in origins if one["how"] == "mean of pieces"}
    assert known["no pericardial effusion."]["sources"] == "2"
    for one in known.values():
        sources = list(map(int, one["sources"].split()))
        torch.testing.assert_close(rows[int(one["id"])], before[sources].mean(dim=0))
    said = capsys.readouterr().err
    assert "mean of pieces" in said
