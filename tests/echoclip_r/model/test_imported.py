"""The weights of others become a run: whatever file they are in, and only with their tokenizer."""

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
from PIL import Image
from safetensors.torch import load_file, save_file

import echotok
from echoclip_r.cli.main import main
from echoclip_r.model.checkpoint import load_checkpoint
from echoclip_r.model.description import read_description
from echoclip_r.model.vocabulary import transfer_from_clip
from echoclip_r.model.wording import rank_own_wording
from echotok.adapters.open_clip import text_config
from echotok.building import build

TEXTS = ["Severe aortic stenosis.", "a zebra drinks orange juice"]
FRAMES = np.random.default_rng(0).integers(0, 255, (2, 96, 128, 3)).astype(np.uint8)
CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {
        "timm_model_name": "convnext_atto",
        "timm_model_pretrained": False,
        "timm_pool": "",
        "timm_proj": "linear",
        "image_size": 64,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "interpolation": "bilinear"}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A folder as it lies on the Hub, and what open_clip makes of it."""
    folder = tmp_path_factory.mktemp("theirs") / "echo-clip"
    folder.mkdir()
    torch.manual_seed(5)
    model = open_clip.CLIP(**CONFIG)
    content = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return folder, model.eval(), transform


def embeddings(model: Any, transform: Any) -> tuple[Any, Any]:
    images = torch.stack([transform(Image.fromarray(frame)) for frame in FRAMES])
    with torch.inference_mode():
        image = model.encode_image(images, normalize=True).numpy()
        text = model.encode_text(open_clip.tokenize(TEXTS), normalize=True).numpy()
    return image, text


FORMS = {
    "as it is": lambda state: state,
    "module": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "compiled": lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
    "both": lambda state: {f"module._orig_mod.{name}": one for name, one in state.items()},
    "of a trainer": lambda state: {
        "epoch": 3,
        "name": "r",
        "optimizer": {"state": {}},
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
    },
    "text tower apart": lambda state: {
        name if name.startswith("visual") or name.startswith("logit") else f"text.{name}": tensor
        for name, tensor in state.items()
    },
    "scale with a dimension": lambda state: state | {"logit_scale": state["logit_scale"][None]},
}


CASES = [(form, "open_clip_pytorch_model.bin") for form in FORMS]
CASES += [("module", "m.safetensors"), ("as it is", "m.safetensors"), ("of a trainer", "e_32.pt")]


@pytest.mark.parametrize(("form", "name"), CASES)
def test_every_form_of_a_file_gives_the_same_embeddings(form, name, theirs, tmp_path):
    """To 1e-6 those of open_clip, with the folder's own preprocessing."""
    folder, model, transform = theirs
    state = FORMS[form](dict(model.state_dict()))
    path = tmp_path / "weights" / name
    path.parent.mkdir()
    (path.parent / "open_clip_config.json").write_bytes(
        (folder / "open_clip_config.json").read_bytes()
    )
    if name.endswith(".safetensors"):
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        torch.save(state, path)
    assert main(["import", str(path), "--out", str(tmp_path / "run")]) == 0
    ours = load_checkpoint(tmp_path / "run")
    image, text = embeddings(model, transform)
    np.testing.assert_allclose(ours.embed_frames(FRAMES), image, atol=1e-6)
    np.testing.assert_allclose(ours.embed_texts(TEXTS), text, atol=1e-6)


@pytest.mark.parametrize("before", ["local-dir:", ""])
def test_a_folder_is_a_run_and_goes_back_to_open_clip(before, theirs, tmp_path, capsys):
    """Import, export, and open_clip again: still the same, preprocessing included."""
    folder, model, transform = theirs
    assert main(["import", f"{before}{folder}", "--out", str(tmp_path / "run")]) == 0
    assert "echo-clip: echo-clip (" in capsys.readouterr().out
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 0
    again, _, transform_again = open_clip.create_model_and_transforms(
        f"local-dir:{tmp_path / 'out'}"
    )
    image, text = embeddings(model, transform)
    image_again, text_again = embeddings(again.eval(), transform_again)
    np.testing.assert_allclose(image_again, image, atol=1e-6)
    np.testing.assert_allclose(text_again, text, atol=1e-6)
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path / 'out'}")
    assert torch.equal(tokenizer(TEXTS), open_clip.tokenize(TEXTS))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "those of `echo-clip`, and no training of ours is in them" in card


def test_a_bare_file_of_the_published_form_is_recognized(tmp_path, capsys):
    """ConvNeXt-Base CLIP in open_clip_pytorch_model.bin, without a configuration beside it."""
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms("convnext_base")
    path = tmp_path / "open_clip_pytorch_model.bin"
    torch.save({"module." + name: one for name, one in model.state_dict().items()}, path)
    assert main(["import", str(path), "--out", str(tmp_path / "run")]) == 0
    out = capsys.readouterr().out
    assert "convnext_base (" in out and "tokenizer open_clip" in out
    image, text = embeddings(model.eval(), transform)
    ours = load_checkpoint(tmp_path / "run")
    np.testing.assert_allclose(ours.embed_frames(FRAMES), image, atol=1e-6)
    np.testing.assert_allclose(ours.embed_texts(TEXTS), text, atol=1e-6)
    assert read_description(tmp_path / "run" / "best").facts["imported"]["source"] == path.name


def test_what_cannot_be_imported_is_refused_with_what_to_do(theirs, tmp_path, capsys, monkeypatch):
    """The slips of users: another tokenizer, another architecture, half a file, pickled code."""
    folder, model, _ = theirs
    state = dict(model.state_dict())

    def refused(source: Any, *more: str) -> str:
        capsys.readouterr()
        assert main(["import", str(source), "--out", str(tmp_path / "run"), *more]) in (1, 2)
        assert not (tmp_path / "run").exists()
        return capsys.readouterr().err

    def written(name: str, content: Any, config: Any = None) -> Path:
        path = tmp_path / name / "open_clip_pytorch_model.bin"
        path.parent.mkdir()
        torch.save(content, path)
        if config is not None:
            (path.parent / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
        return path

    small = state | {"token_embedding.weight": torch.zeros(992, 64)}
    said = refused(written("r", small, CONFIG))
    assert "its token embedding has 992 rows, and CLIP's own tokenizer has 49,408" in said
    assert "trained with another tokenizer" in said and "--tokenizer echo, echo-clip" in said
    said = refused(folder, "--tokenizer", "echo")
    assert "has 49,408 rows, and tokenizer echo gives ids below 41,600" in said
    text = CONFIG["text_cfg"] | {"hf_tokenizer_name": "some/bert"}
    assert "names the tokenizer 'some/bert'" in refused(
        written("bert", state, CONFIG | {"text_cfg": text})
    )
    assert "no model of open_clip has tensors of these names" in refused(written("bare", state))
    bare = tmp_path / "bare" / "open_clip_pytorch_model.bin"
    said = refused(bare, "--model", "ViT-S-32")
    assert "the weights are not of model ViT-S-32: " in said and ", and " in said
    assert "open_clip has no model 'ViT-X'" in refused(bare, "--model", "ViT-X")
    for name, more in (("little", {}), ("little-quickgelu", {"quick_gelu": True})):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, name, CONFIG | more)
    said = refused(bare)
    assert "fit several models of open_clip" in said and ": little, little-quickgelu." in said
    half = tmp_path / "half.bin"
    half.write_bytes((folder / "open_clip_pytorch_model.bin").read_bytes()[:5000])
    assert "the weights cannot be read" in refused(half)
    assert "could run code" in refused(written("code", {"state_dict": state, "args": Path("x")}))
    broken = state | {"positional_embedding": torch.full((77, 64), float("nan"))}
    assert "hold NaN or infinity, the first positional_embedding" in refused(
        written("nan", broken, CONFIG)
    )
    assert "there is no such file or folder" in refused(tmp_path / "nowhere.bin")
    assert "there is no such folder" in refused(f"local-dir:{tmp_path / 'nowhere'}")
    (tmp_path / "empty").mkdir()
    assert "it holds no weights" in refused(tmp_path / "empty")
    assert "no token_embedding.weight" in refused(written("head", {"visual": torch.zeros(3)}))


CONFIGS = {
    "text": ({"text_cfg": "x"}, None, "it does not describe a model of open_clip"),
    "vision": ({"vision_cfg": None}, None, "it does not describe a model of open_clip"),
    "layers": ({"text_cfg": {"layers": "two"}}, None, "open_clip cannot build the model"),
    "heads": ({"text_cfg": {"heads": 7}}, None, "open_clip cannot build the model"),
    "setting": ({"text_cfg": {"more": 1}}, None, "open_clip cannot build the model"),
    "part": ({"more": 1}, None, "open_clip cannot build the model"),
    "columns": ({"embed_dim": -3}, None, "open_clip cannot build the model"),
    "tower": ({"vision_cfg": {"timm_model_name": "none"}}, None, "open_clip cannot build the"),
    "size": ({"vision_cfg": {"image_size": "big"}}, None, "open_clip cannot build the model"),
    "list": ({}, [1], "open_clip cannot build the model"),
    "mean": ({}, {"mean": "grey"}, "open_clip cannot build the model"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_damaged_configuration_is_refused(case, theirs, tmp_path, capsys):
    """The file is named and what is wrong in it, and no run is left."""
    folder, _, _ = theirs
    changes, preprocess, said = CONFIGS[case]
    shutil.copytree(folder, tmp_path / "theirs")
    path = tmp_path / "theirs" / "open_clip_config.json"
    content = json.loads(path.read_text())
    for name, value in changes.items():
        before = content["model_cfg"].get(name)
        both = isinstance(value, dict) and isinstance(before, dict)
        content["model_cfg"][name] = before | value if both else value
    if preprocess is not None:
        content["preprocess_cfg"] = preprocess
    path.write_text(json.dumps(content))
    assert main(["import", str(tmp_path / "theirs"), "--out", str(tmp_path / "run")]) == 1
    err = capsys.readouterr().err
    assert said in err and "open_clip_config.json" in err
    assert not (tmp_path / "run").exists()


def test_tensors_of_other_forms_are_refused(theirs, tmp_path, capsys):
    """A number or a list in place of a table, and several numbers in place of one."""
    folder, model, _ = theirs
    state = dict(model.state_dict())
    shutil.copytree(folder, tmp_path / "theirs")
    for name, tensor, said in (
        ("token_embedding.weight", torch.tensor(1.0), "it has no token_embedding.weight"),
        ("positional_embedding", torch.zeros(77), "it has no token_embedding.weight"),
        ("logit_scale", torch.zeros(3), "logit_scale is (3,) and not ()"),
    ):
        torch.save(state | {name: tensor}, tmp_path / "theirs" / "open_clip_pytorch_model.bin")
        assert main(["import", str(tmp_path / "theirs"), "--out", str(tmp_path / "run")]) == 1
        assert said in capsys.readouterr().err
    assert main(["import", "", "--out", str(tmp_path / "run")]) == 1
    assert "the source is empty" in capsys.readouterr().err


def test_the_hub_without_a_network_says_what_to_do(tmp_path, capsys, monkeypatch):
    """No traceback, and the way around."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["import", "hf-hub:no-one/no-such", "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "hf-hub:no-one/no-such: it cannot be downloaded" in said
    assert "give local-dir:FOLDER" in said


def test_the_published_retrieval_model_is_not_read_with_the_wrong_tokenizer(tmp_path, capsys):
    """The mistake that users make: its figures would be those of noise."""
    source = "hf-hub:mkaichristensen/echo-clip-r"
    assert main(["import", source, "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert "was trained with a template tokenizer of its authors, and not with CLIP's" in said
    assert "is hf-hub:mkaichristensen/echo-clip" in said


def test_every_command_works_on_an_imported_run(theirs, tmp_path, capsys, archive, training_shards):
    """Embed, retrieve, evaluate and explain, each through the command."""
    folder, _, _ = theirs
    run = tmp_path / "run"
    assert main(["import", str(folder), "--out", str(run)]) == 0
    data = ["--shards", str(training_shards)]
    assert main(["embed", str(run), *data, "--out", str(tmp_path / "embedded")]) == 0
    found = ["retrieve", str(run), "--text", "The ejection fraction is 50%.", *data]
    assert main(found) == 0
    out = tmp_path / "evaluation"
    assert main(["evaluate", str(run), *data, "--out", str(out), "--draws", "20"]) == 0
    assert (out / "metrics.json").is_file()
    picture = tmp_path / "cam.png"
    video = str(archive / "clip-00.avi")
    explained = ["explain", str(run), "--video", video, "--prompt", "A lead.", "--out"]
    assert main([*explained, str(picture), "--frames", "4"]) == 0
    assert picture.is_file()
    capsys.readouterr()
    card = ["export", str(run), "--evaluation", str(out), "--out", str(tmp_path / "exported")]
    assert main(card) == 0
    assert "| internal |" in (tmp_path / "exported" / "README.md").read_text()


def own_table(folder: Path) -> Path:
    """A hospital's own table over CLIP's pieces, as `echotok build --fallback clip` makes it."""
    table = Path(__file__).parents[3] / "phrase_tables" / "phantom"
    build(table, fallback="clip").save(folder / "own.json")
    return folder / "own.json"


@pytest.mark.parametrize("kind", ["echo-clip", "own"])
def test_training_starts_from_imported_weights(kind, theirs, tmp_path, capsys, training_shards):
    """Shared rows bit for bit, phrases from their pieces' mean, and a report of every row."""
    folder, model, _ = theirs
    run, out = tmp_path / "run", tmp_path / "out"
    assert main(["import", str(folder), "--out", str(run)]) == 0
    name = kind if kind == "echo-clip" else str(own_table(tmp_path))
    capsys.readouterr()
    command = ["train", "--recipe", "echoclip-r", "--pretrained", str(run), "--model", str(run)]
    command += ["--tokenizer", name, "--shards", str(training_shards), "--out", str(out)]
    for setting in ("batch_size=22", "epochs=1", "warmup_steps=1", "lr=1e-30", "weight_decay=0"):
        command += ["--set", setting]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "before any training " in said and "rank their own words first among" in said
    tokenizer = echotok.load(name)
    rows = load_file(out / "best" / "open_clip_model.safetensors")["token_embedding.weight"]
    before = model.token_embedding.weight.detach()
    assert torch.equal(rows[:49406], before[:49406])  # the step changed nothing, and nor did we
    assert torch.equal(rows[tokenizer.bos_id], before[49406])
    assert torch.equal(rows[tokenizer.eos_id], before[49407])
    with (out / "vocabulary.csv").open(newline="") as file:
        origins = list(csv.DictReader(file))
    assert len(origins) == tokenizer.vocab_size
    phrases = [one for one in origins if one["kind"] == "phrase"]
    assert phrases and {one["how"] for one in phrases} <= {"mean of pieces", "mean of all"}
    for one in phrases[:50]:
        sources = list(map(int, one["sources"].split()))
        torch.testing.assert_close(rows[int(one["id"])], before[sources].mean(dim=0))
    loaded = load_checkpoint(out)
    assert read_description(out / "best").preprocess["mean"] == [0.5, 0.5, 0.5]
    assert loaded.embed_texts(TEXTS).shape == (2, 64)


def test_phrases_rank_their_own_words_above_chance(theirs, tmp_path):
    """Even in a tower with random weights, since a row is the mean of the words' rows."""
    _, model, _ = theirs
    tokenizer = echotok.load("echo-clip")
    other = open_clip.CLIP(**CONFIG | {"text_cfg": CONFIG["text_cfg"] | text_config(tokenizer)})
    embedding, _ = transfer_from_clip(model.token_embedding.weight.detach(), tokenizer)
    state = dict(model.state_dict())
    other.load_state_dict(state | {"token_embedding.weight": embedding})
    found = rank_own_wording(other.eval(), tokenizer)
    assert found is not None
    assert found.num_phrases > 1000
    assert found.num_first / found.num_phrases > 20 / found.num_wordings
    assert rank_own_wording(other, echotok.load("echo")) is None
