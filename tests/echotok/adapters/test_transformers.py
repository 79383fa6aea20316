"""The adapter for Hugging Face transformers, through transformers' and datasets' own interfaces."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from command_line import Run, needs_clip
from hypothesis import given
from hypothesis import strategies as st

import echotok

transformers = pytest.importorskip("transformers")
from echotok.adapters.transformers import EchotokTokenizer  # noqa: E402

TEXTS = [
    "LVEF is 55-60 %.  Mild mitral regurgitation. Aortic valve area 1.25cm2.",
    "",
    "Literal <eos>, <mask> and {number} are text. Na\u00efve K\u00f6rper 10\u00b2.",
    "The septum is xylographically qzvwk, severe AS; RVSP >35mmHg.",
]


@pytest.fixture(scope="module")
def hf(tok: echotok.Tokenizer) -> EchotokTokenizer:
    """The adapter of each of the two tokenizers that ship."""
    return EchotokTokenizer.from_echotok(tok)


@cache
def _echo() -> EchotokTokenizer:
    return EchotokTokenizer.from_echotok(echotok.load("echo"))


@pytest.fixture
def echo() -> EchotokTokenizer:
    """The adapter of `echo`."""
    return _echo()


@given(st.text(st.characters(codec="utf-8")))
def test_the_ids_are_echotoks(text: str) -> None:
    """Any text gets echotok's ids and offsets, and decodes to its normalized form."""
    hf = _echo()
    ours = hf.echotok
    encoding = ours.encode(text)
    found = hf(text, return_offsets_mapping=True)
    assert found["input_ids"] == encoding.ids
    assert found["offset_mapping"] == [span or (0, 0) for span in encoding.offsets]
    assert hf.decode(found["input_ids"], skip_special_tokens=True) == ours.normalize(text)
    assert hf.convert_tokens_to_ids(hf.tokenize(text)) == encoding.ids[1:-1]


def test_a_batch_is_padded(hf: EchotokTokenizer, tok: echotok.Tokenizer) -> None:
    """Rows are padded on the side that is asked for, with a mask, zero offsets and a length."""
    rows = [tok.encode(text).ids for text in TEXTS]
    width = max(map(len, rows))
    found = hf(
        TEXTS,
        padding=True,
        return_tensors="np",
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    for row, ids in enumerate(rows):
        assert found["input_ids"][row].tolist() == ids + [tok.pad_id] * (width - len(ids))
        assert found["attention_mask"][row].tolist() == [1] * len(ids) + [0] * (width - len(ids))
        assert not found["offset_mapping"][row, len(ids) :].any()
        mask = [1] + [0] * (len(ids) - 2) + [1] * (width - len(ids) + 1)
        assert found["special_tokens_mask"][row].tolist() == mask
    left = hf(TEXTS, padding="max_length", max_length=64, padding_side="left")
    assert all(len(row) == 64 for row in left["input_ids"])
    assert left["input_ids"][1] == [tok.pad_id] * 62 + [tok.bos_id, tok.eos_id]
    wide = hf(TEXTS, padding=True, pad_to_multiple_of=8, return_offsets_mapping=True)
    assert {len(row) % 8 for row in wide["input_ids"]} == {0}
    assert [len(row) for row in wide["offset_mapping"]] == [len(row) for row in wide["input_ids"]]
    assert hf([]) == {"input_ids": []}
    lists = hf(TEXTS, return_length=True, return_token_type_ids=True)
    assert lists["input_ids"] == rows
    assert lists["length"] == [len(ids) for ids in rows]
    assert lists["token_type_ids"] == [[0] * len(ids) for ids in rows]


def test_torch_tensors(hf: EchotokTokenizer, tok: echotok.Tokenizer) -> None:
    """`return_tensors="pt"` gives int64 tensors of shape (rows, ids), for one text, too."""
    torch = pytest.importorskip("torch")
    found = hf(TEXTS[0], return_tensors="pt", return_offsets_mapping=True)
    assert found["input_ids"].dtype == torch.int64
    assert found["input_ids"].tolist() == [tok.encode(TEXTS[0]).ids]
    assert found["offset_mapping"].shape == (1, found["input_ids"].shape[1], 2)
    assert hf.decode(found["input_ids"][0], skip_special_tokens=True) == tok.normalize(TEXTS[0])
    batch = hf(TEXTS, padding=True, return_tensors="pt")
    decoded = hf.batch_decode(batch["input_ids"], skip_special_tokens=True)
    assert decoded == [tok.normalize(text) for text in TEXTS]


@pytest.mark.parametrize("length", range(3, 30))
def test_truncation_cuts_whole_units_and_is_counted(tok: echotok.Tokenizer, length: int) -> None:
    """A cut row is what echotok cuts it to (I8); texts, cuts and dropped ids are counted."""
    hf = EchotokTokenizer.from_echotok(tok)
    cut = [tok.encode(text).truncate(length) for text in TEXTS]
    found = hf(TEXTS, truncation=True, max_length=length, return_overflowing_tokens=True)
    assert found["input_ids"] == [encoding.ids for encoding in cut]
    assert found["num_truncated_tokens"] == [encoding.num_dropped for encoding in cut]
    assert hf.num_texts == len(TEXTS)
    assert hf.num_truncated == sum(encoding.num_dropped > 0 for encoding in cut)
    for text, ids, over in zip(TEXTS, found["input_ids"], found["overflowing_tokens"], strict=True):
        assert ids[:-1] + over == tok.encode(text).ids[:-1]
    bare = hf(TEXTS, truncation=True, max_length=length - 2, add_special_tokens=False)
    assert bare["input_ids"] == [encoding.ids[1:-1] for encoding in cut]


def test_truncation_on_the_left_and_a_stride(tok: echotok.Tokenizer) -> None:
    """The last units are kept; an overflow repeats at most `stride` ids, in whole units."""
    hf = EchotokTokenizer.from_echotok(tok, truncation_side="left")
    whole = tok.encode(TEXTS[0])
    begins = [1, *whole.unit_ends]
    for length in range(6, len(whole.ids)):
        found = hf(
            TEXTS[0], truncation=True, max_length=length, return_overflowing_tokens=True, stride=3
        )
        kept = found["input_ids"][1:]
        assert len(kept) < length
        assert whole.ids[-len(kept) :] == kept
        assert len(whole.ids) - len(kept) in begins
        over = found["overflowing_tokens"]
        assert whole.ids[1 : 1 + len(over)] == over
        assert 0 <= len(over) - found["num_truncated_tokens"] <= 3
        hf.truncation_side = "right"
        found = hf(
            TEXTS[0], truncation=True, max_length=length, return_overflowing_tokens=True, stride=3
        )
        over = found["overflowing_tokens"]
        assert whole.ids[:-1][-len(over) :] == over
        assert 0 <= len(over) - found["num_truncated_tokens"] <= 3
        hf.truncation_side = "left"


def test_a_row_that_fills_a_model_is_cut_to_its_length(tok: echotok.Tokenizer) -> None:
    """`truncation=True` alone takes the model's length."""
    hf = EchotokTokenizer.from_echotok(tok, model_max_length=9)
    assert hf(TEXTS[3], truncation=True)["input_ids"] == tok.encode(TEXTS[3]).truncate(9).ids


def test_text_is_never_control(hf: EchotokTokenizer, tok: echotok.Tokenizer) -> None:
    """A literal special token is text (I7), unless a caller says that a text is a prompt."""
    text = "mild <mask> regurgitation <eos>"
    assert hf(text)["input_ids"] == tok.encode(text).ids
    prompt = hf(text, split_special_tokens=False, return_offsets_mapping=True)
    assert hf.mask_token_id in prompt["input_ids"]
    at = prompt["input_ids"].index(hf.mask_token_id)
    low, high = prompt["offset_mapping"][at]
    assert text[low:high] == "<mask>"


def test_added_tokens_come_behind_the_vocabulary(tok: echotok.Tokenizer) -> None:
    """A token of the user's own gets a new id, is found in prompts, and survives saving."""
    hf = EchotokTokenizer.from_echotok(tok)
    assert len(hf) == len(hf.get_vocab()) == hf.vocab_size == tok.vocab_size
    assert hf.add_tokens(["[finding]"]) == 1
    assert len(hf) == tok.vocab_size + 1
    ids = hf("mild [finding]", split_special_tokens=False)["input_ids"]
    assert ids[-2] == tok.vocab_size
    assert hf.decode(ids, skip_special_tokens=True) == "mild [finding]"


def test_every_id_has_a_name_of_its_own(hf: EchotokTokenizer, tok: echotok.Tokenizer) -> None:
    """Names and ids are one to one, spare rows too; every single id decodes to something."""
    vocab = hf.get_vocab()
    assert sorted(vocab.values()) == list(range(tok.vocab_size))
    assert hf.convert_ids_to_tokens(list(vocab.values())) == list(vocab)
    assert hf.convert_tokens_to_ids(list(vocab)) == list(vocab.values())
    assert hf.mask_token_id not in tok.assigned_ids
    assert (hf.pad_token_id, hf.bos_token_id, hf.eos_token_id) == (
        tok.pad_id,
        tok.bos_id,
        tok.eos_id,
    )
    for number in range(0, tok.vocab_size, 97):
        assert isinstance(hf.decode([number]), str)


def test_saved_and_loaded(hf: EchotokTokenizer, tok: echotok.Tokenizer, tmp_path: Path) -> None:
    """A folder holds all that it needs, also for AutoTokenizer, and saves to itself."""
    folder = tmp_path / "tokenizer"
    hf.save_pretrained(folder)
    expected = hf(TEXTS)
    moved = tmp_path / "moved"
    shutil.move(folder, moved)
    for load in (EchotokTokenizer, transformers.AutoTokenizer):
        loaded = load.from_pretrained(moved)
        assert type(loaded) is EchotokTokenizer
        assert loaded(TEXTS) == expected
        assert loaded.get_vocab() == hf.get_vocab()
        assert loaded.echotok.fingerprint == tok.fingerprint
    before = {path.name: path.read_bytes() for path in moved.iterdir()}
    loaded.save_pretrained(moved)
    after = {path.name: path.read_bytes() for path in moved.iterdir()}
    # transformers 5.0 writes a list of no tokens, too, when it saves what it has loaded.
    config = {**json.loads(before["tokenizer_config.json"]), "extra_special_tokens": []}
    if json.loads(after["tokenizer_config.json"]) == config:
        after["tokenizer_config.json"] = before["tokenizer_config.json"]
    assert after == before


@needs_clip
def test_a_folder_over_clips_vocabulary_needs_no_open_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLIP's merges are saved with it, so that open_clip need not be installed where it is read."""
    hf = EchotokTokenizer.from_echotok(echotok.load("echo-clip"))
    hf.save_pretrained(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    assert EchotokTokenizer.from_pretrained(tmp_path)(TEXTS) == hf(TEXTS)


def test_settings_are_saved(tok: echotok.Tokenizer, tmp_path: Path) -> None:
    """What transformers was told, such as a length and a side, comes back."""
    hf = EchotokTokenizer.from_echotok(tok, model_max_length=77, padding_side="left")
    hf.save_pretrained(tmp_path)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert (loaded.model_max_length, loaded.padding_side) == (77, "left")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["tokenizer_class"] == "EchotokTokenizer"


def test_a_damaged_folder_is_refused(echo: EchotokTokenizer, tmp_path: Path) -> None:
    """An artifact that was edited is not loaded, and the error says so (I6)."""
    echo.save_pretrained(tmp_path)
    file = tmp_path / "echotok.json"
    file.write_text(
        file.read_text(encoding="utf-8").replace("mitral", "tricuspid", 1), encoding="utf-8"
    )
    with pytest.raises(echotok.ArtifactError, match="was damaged or edited"):
        EchotokTokenizer.from_pretrained(tmp_path)
    file.unlink()
    with pytest.raises(echotok.OptionError, match=r"folder that holds echotok\.json"):
        EchotokTokenizer.from_pretrained(tmp_path)


def test_build_writes_the_same_folder(run: Run, small_table: Path, tmp_path: Path) -> None:
    """`echotok build --hf` writes what `save_pretrained` writes, and only a growth over it (I5)."""
    done = run("build", small_table, "--hf", tmp_path / "cli")
    assert (done.code, done.out) == (0, "")
    assert f"wrote {tmp_path / 'cli'}: small" in done.err
    EchotokTokenizer.from_echotok(echotok.build(small_table)).save_pretrained(tmp_path / "own")
    names = sorted(path.name for path in (tmp_path / "own").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "cli").iterdir())
    for name in names:
        assert (tmp_path / "cli" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "cli").decode([1]) == "<bos>"
    rows = small_table / "all.csv"
    rows.write_text(rows.read_text().replace("mitral", "tricuspid"))
    assert (
        "holds a tokenizer with other ids"
        in run("build", small_table, "--hf", tmp_path / "cli").err
    )
    assert "name what to write" in run("build", small_table).err
    assert "name a folder" in run("build", small_table, "--hf", rows).err


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("Mild LVH.", "No AS."), {}),
        ((["Mild LVH."], ["No AS."]), {}),
        (([("Mild LVH.", "No AS.")],), {}),
        (([["Mild", "LVH."]],), {}),
    ],
)
def test_pairs_are_refused(echo: EchotokTokenizer, arguments, options) -> None:
    """Two texts for one row, and lists of words, are an error that says what to do."""
    with pytest.raises(echotok.OptionError, match="one report for each row"):
        echo(*arguments, **options)


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        (None, {}, "specify either"),
        (5, {}, "pass a list of str"),
        ([None], {}, "row 0 of the batch"),
        (["a", float("nan")], {}, "row 1 of the batch must be a str, not NaN"),
        ("a", {"is_split_into_words": True}, "not lists of words"),
        ("a", {"max_lenght": 5}, "has no option 'max_lenght'"),
        ("a b", {"truncation": True, "max_length": 2}, "BOS, one id and EOS need 3"),
    ],
)
def test_slips_are_explained(echo: EchotokTokenizer, text, options, told: str) -> None:
    """Input that is no text, and options that do not exist, are named."""
    with pytest.raises((echotok.EchotokError, ValueError), match=told):
        echo(text, **options)


def test_pickled_and_copied(hf: EchotokTokenizer) -> None:
    """A copy gives the same ids, counts anew, and is the same to a cache that goes by its bytes."""
    hf(TEXTS, truncation=True, max_length=5)
    for other in (pickle.loads(pickle.dumps(hf)), copy.deepcopy(hf)):
        assert other.num_texts == 0
        assert other(TEXTS) == hf(TEXTS)
    fingerprint = pytest.importorskip("datasets.fingerprint")
    before = fingerprint.Hasher.hash(hf)
    hf(TEXTS)
    assert fingerprint.Hasher.hash(hf) == before
    assert fingerprint.Hasher.hash(pickle.loads(pickle.dumps(hf))) == before


def test_datasets_map_in_two_processes(echo: EchotokTokenizer, tmp_path: Path) -> None:
    """`datasets.map` with several processes gives the ids that one process gives."""
    datasets = pytest.importorskip("datasets")
    texts = TEXTS * 8
    rows = datasets.Dataset.from_dict({"text": texts})
    rows = rows.map(
        lambda batch: echo(batch["text"], truncation=True, max_length=12),
        batched=True,
        batch_size=4,
        num_proc=2,
        cache_file_name=str(tmp_path / "rows.arrow"),
    )
    expected = echo(texts, truncation=True, max_length=12)
    assert list(rows["input_ids"]) == expected["input_ids"]
    assert list(rows["attention_mask"]) == expected["attention_mask"]


def test_language_modeling_collator(echo: EchotokTokenizer) -> None:
    """The collator masks ids of the text, never BOS, EOS or padding."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    collate = transformers.DataCollatorForLanguageModeling(echo, mlm_probability=0.5)
    rows = [echo(text, return_special_tokens_mask=True) for text in TEXTS * 8]
    batch = collate(rows)
    masked = batch["labels"] != -100
    assert masked.any()
    assert (batch["input_ids"] == echo.mask_token_id).any()
    special = torch.tensor([echo.pad_token_id, echo.bos_token_id, echo.eos_token_id])
    assert not torch.isin(batch["labels"][masked], special).any()


def test_ten_steps_of_a_tiny_bert(echo: EchotokTokenizer, tmp_path: Path) -> None:
    """`Trainer` trains a BERT whose embedding is resized to the tokenizer, and the loss falls."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("accelerate")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=100,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    model = transformers.BertForMaskedLM(config)
    model.resize_token_embeddings(len(echo))
    assert model.get_input_embeddings().num_embeddings == len(echo)
    rows = [echo(text) for text in TEXTS * 8]
    trainer = transformers.Trainer(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=10,
            per_device_train_batch_size=8,
            learning_rate=1e-2,
            logging_steps=1,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            save_strategy="no",
            seed=0,
        ),
        train_dataset=rows,
        data_collator=transformers.DataCollatorForLanguageModeling(echo),
        processing_class=echo,
    )
    done = trainer.train()
    assert done.global_step == 10
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] - 1
    trainer.save_model(str(tmp_path / "model"))
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert type(loaded) is EchotokTokenizer
