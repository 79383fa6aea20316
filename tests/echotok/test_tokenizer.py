"""The tokenizer as an object: files, processes, growth, what importing costs, golden ids."""

from __future__ import annotations

import copy
import hashlib
import importlib
import inspect
import json
import multiprocessing
import pickle
import pkgutil
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import update_golden

import echotok
from echotok import ArtifactError, IdError, InputError, Tokenizer
from echotok.adapters.open_clip import OpenClipTokenizer
from echotok.building import build
from echotok.engine.decoder import Decoder
from echotok.table.fallback import Fallback

TEXTS = [text for text in update_golden.TEXTS if text] + [
    f"LVEF {number}%. {word} mitral regurgitation, jet {number}.{number} cm2, word{number}."
    for number in range(40)
    for word in ("Mild", "Severe")
]


def load(name: str) -> Tokenizer:
    """A shipped tokenizer, or a skip where CLIP's merges are not installed."""
    try:
        return echotok.load(name)
    except echotok.MergesError:
        pytest.skip("CLIP's merges are not installed")


def run(code: str, *arguments: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Layout (I5)


def test_layout(tok: Tokenizer) -> None:
    """Every encoding is BOS ... EOS, pad behind it; EOS is the highest id and pad its own."""
    ids = tok.encode("Mild MR.").ids
    assert (ids[0], ids[-1]) == (tok.bos_id, tok.eos_id)
    assert tok.eos_id == tok.vocab_size - 1 == max(ids)
    assert tok.vocab_size % 64 == 0
    assert len({tok.pad_id, tok.bos_id, tok.eos_id}) == 3
    assert [tok.id_to_token(number) for number in (tok.pad_id, tok.bos_id, tok.eos_id)] == [
        "<pad>",
        "<bos>",
        "<eos>",
    ]
    row = tok.encode_batch(["Mild MR.", "", "x" * 50]).ids[1].tolist()
    assert row[:2] == [tok.bos_id, tok.eos_id]
    assert set(row[2:]) == {tok.pad_id}


def test_layout_of_echo() -> None:
    """`echo` pads with 0."""
    assert echotok.load("echo").pad_id == 0


def test_layout_of_echo_clip() -> None:
    """`echo-clip` begins with CLIP's start of text, leaves 49407 unused and pads with a new id."""
    tok = load("echo-clip")
    assert tok.bos_id == 49406
    assert 49407 not in tok.assigned_ids
    assert 49407 < tok.pad_id < tok.eos_id
    assert all(49407 not in tok.encode(text).ids for text in TEXTS)


def test_every_row_of_the_table_has_its_place(tok: Tokenizer) -> None:
    """Ids of rows are the table's own, shifted by one number; spare rows remain."""
    of_text = {
        tok.id_to_token(number): number
        for number in tok.assigned_ids
        if tok.kind(number) == "phrase"
    }
    shifts = {of_text[phrase.text] - phrase.id for phrase in tok.table.live}
    assert len(shifts) == 1
    assert len(tok.assigned_ids) < tok.vocab_size


# Golden ids


@pytest.mark.parametrize("name", update_golden.NAMES)
def test_golden_ids(name: str) -> None:
    """Ids do not change unless `python tests/echotok/update_golden.py` is run and its diff read."""
    kept = json.loads(update_golden.path_of(name).read_text(encoding="utf-8"))
    assert [text for text, _ in kept["encodings"]] == update_golden.TEXTS, "run update_golden.py"
    tok = load(name)
    assert kept["table_version"] == tok.table.version, "run update_golden.py"
    for text, ids in kept["encodings"]:
        assert tok.encode(text).ids == ids
        assert tok.decode(ids) == tok.normalize(text)


# Copies, files, processes


def test_pickle_and_copy(tok: Tokenizer) -> None:
    """A copy encodes alike and names itself alike."""
    for other in (pickle.loads(pickle.dumps(tok)), copy.deepcopy(tok), copy.copy(tok)):
        assert other is not tok
        assert other.fingerprint == tok.fingerprint
        assert repr(other) == repr(tok)
        assert [other.encode(text).ids for text in TEXTS] == [tok.encode(t).ids for t in TEXTS]


def test_results_pickle(tok: Tokenizer) -> None:
    """Encodings and batches travel between processes."""
    encoding = pickle.loads(pickle.dumps(tok.encode(TEXTS[1])))
    assert encoding.ids == tok.encode(TEXTS[1]).ids
    assert encoding.offsets == tok.encode(TEXTS[1]).offsets
    batch = pickle.loads(pickle.dumps(tok.encode_batch(TEXTS)))
    assert (batch.ids == tok.encode_batch(TEXTS).ids).all()


def test_a_result_is_the_callers_own(tok: Tokenizer) -> None:
    """What a caller does to the lists of a result leaves the tokenizer as it was."""
    text = "Mild mitral regurgitation. LVEF is 55%."
    encoding = tok.encode(text)
    ids = list(encoding.ids)
    encoding.ids.clear()
    encoding = tok.encode(text)
    encoding.unit_ends.clear()
    encoding.tokens.clear()
    assert tok.encode(text).ids == ids
    assert len(tok.encode(text).tokens) == len(ids)


def test_properties_cannot_be_set(tok: Tokenizer) -> None:
    """What a model is built on cannot be changed under it."""
    for name in ("vocab_size", "pad_id", "bos_id", "eos_id", "fingerprint", "name", "table"):
        with pytest.raises(AttributeError):
            setattr(tok, name, 1)


def test_save_and_load(tok: Tokenizer, tmp_path: Path) -> None:
    """A saved tokenizer loads as the same, saves to the same bytes and leaves no other file."""
    path = tmp_path / "tokenizer.json"
    tok.save(path)
    other = echotok.load(path)
    assert other.fingerprint == tok.fingerprint
    assert (other.name, other.vocab_size, other.table) == (tok.name, tok.vocab_size, tok.table)
    assert [other.encode(text).ids for text in TEXTS] == [tok.encode(t).ids for t in TEXTS]
    again = tmp_path / "again.json"
    other.save(str(again))
    assert again.read_bytes() == path.read_bytes()
    assert sorted(tmp_path.iterdir()) == [again, path]
    other.save(path)
    assert again.read_bytes() == path.read_bytes(), "saving over a file"


def test_fingerprint_is_the_hash_of_the_content(tok: Tokenizer, tmp_path: Path) -> None:
    """Anyone can check the fingerprint with a JSON parser and sha256."""
    path = tmp_path / "tokenizer.json"
    tok.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content.pop("sha256") == tok.fingerprint
    body = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(body.encode()).hexdigest() == tok.fingerprint
    assert re.fullmatch("[0-9a-f]{64}", tok.fingerprint)


def test_fingerprint_and_ids_do_not_depend_on_the_process(tok: Tokenizer) -> None:
    """Another interpreter with another hash seed gives the same fingerprint and ids."""
    code = (
        "import sys, json, echotok; tok = echotok.load(sys.argv[1]);"
        "print(json.dumps([tok.fingerprint, [tok.encode(t).ids for t in json.loads(sys.argv[2])]]))"
    )
    texts = [text for text in TEXTS if "\x00" not in text][:30]
    expected = [tok.fingerprint, [tok.encode(text).ids for text in texts]]
    assert json.loads(run(code, tok.name, json.dumps(texts))) == expected


def test_the_two_tokenizers_have_fingerprints_of_their_own() -> None:
    """One table, two tokenizers, two names."""
    assert load("echo").fingerprint != load("echo-clip").fingerprint


def test_threads(tok: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads on one tokenizer give the ids of one, also while its memos overflow."""
    expected = [tok.encode(text).ids for text in TEXTS]
    monkeypatch.setattr("echotok.engine.encoder._MEMO_SIZE", 7)
    monkeypatch.setattr("echotok.bpe._MEMO_SIZE", 7)
    shared = pickle.loads(pickle.dumps(tok))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda text: shared.encode(text).ids, TEXTS * 8))
    finally:
        sys.setswitchinterval(interval)
    assert found == expected * 8


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_fork(tok: Tokenizer) -> None:
    """Forked children use the tokenizer that they inherit, warm memos and all."""
    context = multiprocessing.get_context("fork")
    expected = [tok.encode(text).ids for text in TEXTS]
    ends = []
    for _ in range(2):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(
            target=lambda sender=sender: sender.send([tok.encode(text).ids for text in TEXTS])
        )
        child.start()
        ends.append((child, receiver))
    for child, receiver in ends:
        assert receiver.poll(60)
        assert receiver.recv() == expected
        child.join(60)
        assert child.exitcode == 0


def test_spawn(tok: Tokenizer) -> None:
    """A spawned child gets the tokenizer by pickle, and encodes alike."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        (batch,) = pool.map(tok.encode_batch, [TEXTS])
    assert (batch.ids == tok.encode_batch(TEXTS).ids).all()


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_data_loader_workers(tok: Tokenizer) -> None:
    """A torch DataLoader with workers gives the batches of a loop without."""
    data = pytest.importorskip("torch.utils.data")
    tokenize = OpenClipTokenizer(tok, context_length=32)
    loader = data.DataLoader(TEXTS, batch_size=16, collate_fn=tokenize, num_workers=2)
    batches = list(loader)
    assert sum(len(batch) for batch in batches) == len(TEXTS)
    for number, batch in enumerate(batches):
        assert batch.equal(tokenize(TEXTS[16 * number : 16 * (number + 1)]))


# Growth (I5, I6)

TOML = """\
name = "small"
version = "{version}"
locale = "en"
licence = "Apache-2.0"
provenance = "written for this test"
units = ["mm"]
[capacity]
phrases = 16
values = 8
merges = 12
[slots]
kind = "a kind"
"""
PHRASES = [
    "0,the left ventricle is normal.,1.0.0,,",
    "1,{severity} mr,1.0.0,,",
    "2,{kind} plaque,1.0.0,,",
]
VALUES = ["0,kind,soft,,1.0.0,,", "1,kind,hard,,1.0.0,,"]


def make_table(
    folder: Path,
    *,
    version: str = "1.0.0",
    phrases: list[str] = PHRASES,
    values: list[str] = VALUES,
    toml: str = TOML,
) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "table.toml").write_text(toml.format(version=version))
    (folder / "lv.csv").write_text("\n".join(["id,phrase,since,retired,note", *phrases, ""]))
    head = "id,slot,value,rank,since,retired,note"
    (folder / "values.csv").write_text("\n".join([head, *values, ""]))
    return folder


def small(folder: Path, merges: tuple[str, ...] = ("t h", "th e</w>"), **options: Any) -> Tokenizer:
    """A tokenizer over a small table with merges that do not depend on it."""
    table = echotok.read_table(make_table(folder, **options))
    pairs = tuple((left, right) for left, right in map(str.split, merges))
    return Tokenizer.from_table(table, Fallback(kind="domain", merges=pairs), name="small")


NEW_PHRASES = [*PHRASES, "3,no thrombus,1.1.0,,", "7,no {kind} mass,1.1.0,,"]
NEW_VALUES = [*VALUES, "2,kind,mobile,,1.1.0,,"]


def test_growth_is_accepted_with_its_new_ids(tmp_path: Path) -> None:
    """A grown table gives the list of new ids, and keeps size, old ids and old encodings."""
    old = small(tmp_path / "old")
    new = small(tmp_path / "new", version="1.1.0", phrases=NEW_PHRASES, values=NEW_VALUES)
    added = new.added_since(old)
    assert [new.id_to_token(number) for number in added] == [
        "mobile",
        "no thrombus",
        "no {kind} mass",
    ]
    assert [new.kind(number) for number in added] == ["value", "phrase", "phrase"]
    assert new.vocab_size == old.vocab_size
    assert (new.pad_id, new.bos_id, new.eos_id) == (old.pad_id, old.bos_id, old.eos_id)
    assert new.fingerprint != old.fingerprint
    for text in ("The left ventricle is normal.", "Mild MR", "hard plaque", "zebra 5"):
        assert new.encode(text).ids == old.encode(text).ids
    ids = old.encode("No thrombus, no mobile mass.").ids
    assert new.decode(ids) == old.decode(ids), "what the old one wrote, the new one reads"


def test_nothing_added(tok: Tokenizer) -> None:
    """A tokenizer is its own growth by nothing."""
    assert tok.added_since(tok) == []


def test_retiring_is_growth(tmp_path: Path) -> None:
    """A tombstone adds no id, still decodes, and is not produced again."""
    old = small(tmp_path / "old")
    retired = [PHRASES[0], "1,{severity} mr,1.0.0,1.1.0,", PHRASES[2]]
    new = small(tmp_path / "new", version="1.1.0", phrases=retired)
    assert new.added_since(old) == []
    ids = old.encode("Mild MR").ids
    assert new.decode(ids) == "mild mr"
    assert "phrase" not in new.encode("Mild MR").kinds


@pytest.mark.parametrize(
    "changed",
    [
        {"phrases": [PHRASES[0], "1,{severity} ar,1.0.0,,", PHRASES[2]]},
        {"phrases": PHRASES[:2]},
        {"phrases": [PHRASES[0], PHRASES[1].replace("1,", "2,", 1), "1,{kind} plaque,1.0.0,,"]},
        {"values": [VALUES[0], "1,kind,firm,,1.0.0,,"]},
        {"values": VALUES[:1]},
        {"toml": TOML.replace('["mm"]', '["mm", "cm"]')},
        {"toml": TOML.replace("phrases = 16", "phrases = 800")},
        {"toml": TOML.replace("values = 8", "values = 9")},
        {"merges": ("t h", "th i")},
        {"merges": ("t h",)},
        {"merges": ("t h", "th e</w>", "a n")},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_anything_but_growth_is_refused(tmp_path: Path, changed: dict[str, Any]) -> None:
    """A changed, dropped or moved id, other units, another capacity, other merges: an error."""
    old, new = small(tmp_path / "old"), small(tmp_path / "new", **changed)
    with pytest.raises(ArtifactError) as caught:
        new.added_since(old)
    assert f"{new!r} is not an append-only growth of {old!r}" in str(caught.value)
    assert "use the tokenizer that the model was trained with, or train anew" in str(caught.value)


def test_shrinking_is_refused(tmp_path: Path) -> None:
    """The older tokenizer is no growth of the newer, nor `echo` of `echo-clip`."""
    old = small(tmp_path / "old")
    new = small(tmp_path / "new", version="1.1.0", phrases=NEW_PHRASES, values=NEW_VALUES)
    with pytest.raises(ArtifactError, match="not an append-only growth"):
        old.added_since(new)
    with pytest.raises(ArtifactError, match="not an append-only growth"):
        load("echo").added_since(load("echo-clip"))


@pytest.mark.parametrize("fallback", ["clip", "domain"])
def test_a_grown_table_builds_to_a_growth(tmp_path: Path, fallback: Any) -> None:
    """Adding a phrase to a folder and building again keeps every old id (I5)."""
    old_table = make_table(tmp_path / "old")
    new_table = make_table(
        tmp_path / "new", version="1.1.0", phrases=NEW_PHRASES, values=NEW_VALUES
    )
    if fallback == "clip":
        load("echo-clip")
    else:
        pytest.importorskip("tokenizers")
    old = build(old_table, fallback=fallback)
    new = build(new_table, base=old)
    assert len(new.added_since(old)) == 3


# Ways to make one


def test_a_file_makes_the_same_tokenizer(tok: Tokenizer, tmp_path: Path) -> None:
    """`from_file` reads what `save` wrote; a name is no file to it."""
    path = tmp_path / "saved.json"
    tok.save(path)
    for given in (path, str(path)):
        assert Tokenizer.from_file(given).fingerprint == tok.fingerprint
    with pytest.raises(ArtifactError, match="cannot read echo: No such file"):
        Tokenizer.from_file("echo")


@pytest.mark.parametrize("arguments", [(), ("echo",), ({"name": "echo"},)])
def test_the_class_is_not_called(arguments: tuple[Any, ...]) -> None:
    """Who calls the class is told the three ways to a tokenizer."""
    with pytest.raises(TypeError) as caught:
        Tokenizer(*arguments)
    for way in ("echotok.load('echo')", "Tokenizer.from_file(path)", "echotok.build(table_dir)"):
        assert way in str(caught.value)


def test_a_table_in_memory_makes_what_its_folder_builds(small_table: Path) -> None:
    """`from_table` and `echotok.build` agree."""
    built = echotok.build(small_table)
    made = Tokenizer.from_table(echotok.read_table(small_table), built.fallback)
    assert made.fingerprint == built.fingerprint


# Calling it


def test_one_text_as_a_model_takes_it(tok: Tokenizer) -> None:
    """One text gives lists, the ids of `encode` and a mask of ones; a long one is cut."""
    text = "Mild MR. The left ventricle is normal in size. LVEF 62-67%."
    encoding = tok.encode(text)
    assert tok(text) == {"input_ids": encoding.ids, "attention_mask": [1] * len(encoding)}
    cut = encoding.truncate(6)
    assert tok(text, context_length=6) == {
        "input_ids": cut.ids,
        "attention_mask": [1] * len(cut),
    }
    assert tok("", padding=True) == {
        "input_ids": [tok.bos_id, tok.eos_id],
        "attention_mask": [1, 1],
    }


def test_a_batch_as_a_model_takes_it(tok: Tokenizer) -> None:
    """A batch gives a list a row, or padded arrays where padding or a length is asked for."""
    texts = TEXTS[:20]
    ids = [tok.encode(text).ids for text in texts]
    plain = tok(texts)
    assert plain == {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}
    padded = tok(texts, padding=True)
    assert padded["input_ids"].dtype == padded["attention_mask"].dtype == np.int64
    assert padded["input_ids"].shape == padded["attention_mask"].shape
    assert padded["input_ids"].shape == (20, max(map(len, ids)))
    for row, (found, mask) in enumerate(zip(*padded.values(), strict=True)):
        assert found[mask == 1].tolist() == ids[row]
        assert set(found[mask == 0].tolist()) <= {tok.pad_id}
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)
    cut = tok(texts, context_length=9)
    batch = tok.encode_batch(texts, context_length=9)
    assert (cut["input_ids"] == batch.ids).all()
    assert (cut["attention_mask"].sum(1) == batch.lengths).all()
    assert tok([]) == {"input_ids": [], "attention_mask": []}


def test_batches_decode_row_by_row(tok: Tokenizer) -> None:
    """`decode_batch` takes arrays, lists of lists and what calling gives."""
    texts = TEXTS[:20]
    expected = [tok.normalize(text) for text in texts]
    for rows in (tok.encode_batch(texts).ids, tok(texts)["input_ids"]):
        assert tok.decode_batch(rows) == expected
    assert tok.decode_batch([]) == []


def test_what_was_decoded_before_changes_nothing(tok: Tokenizer) -> None:
    """Any ids, in any order: a decoder that remembers units gives what a new one gives."""
    engine, rng = tok._engine, random.Random(0)
    ids = tok.assigned_ids
    open_words = [
        number
        for number in ids
        if tok.kind(number) == "bpe" and not tok.id_to_token(number).endswith("</w>")
    ]
    for _ in range(300):
        some = [*rng.choices(ids, k=6), *rng.choices(open_words, k=3)]
        rows = [rng.choices(some, k=5) for _ in range(4)]
        for row in rows:
            new = Decoder(tok.table, engine.layout, engine.vocabulary)
            assert tok.decode(row) == new.decode(row)


def test_tokens_and_ids(tok: Tokenizer) -> None:
    """Each id's text leads to an id of that text; the lowest where several have it."""
    first: dict[str, int] = {}
    of_kind: dict[tuple[str, str], int] = {}
    for number in tok.assigned_ids:
        first.setdefault(tok.id_to_token(number), number)
        of_kind.setdefault((tok.id_to_token(number), tok.kind(number)), number)
    assert len(first) < len(of_kind) < len(tok.assigned_ids), "or some of this shows nothing"
    for token, number in first.items():
        assert tok.token_to_id(token) == number
    for (token, kind), number in of_kind.items():
        assert tok.token_to_id(token, kind=kind) == number
    assert tok.token_to_id("<eos>") == tok.eos_id
    assert tok.token_to_id("") is None
    assert tok.token_to_id("no such token") is None
    assert tok.token_to_id("<eos>", kind="bpe") is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "decode_batch takes rows of ids, not NoneType; pass a list of lists"),
        (5, "decode_batch takes rows of ids, not int; pass a list of lists"),
        ([[0], 5], "row 1: decode takes a sequence of ids, not int; pass a list of integers"),
        ([[0], [0, -1]], "row 1: id -1 at position 1 is out of range"),
        ([[0], [None]], "row 1: position 0 holds a NoneType, not an id; pass integers"),
    ],
)
def test_rows_that_are_no_ids(tok: Tokenizer, rows: Any, message: str) -> None:
    """The row is named, and what stands there."""
    with pytest.raises(IdError) as caught:
        tok.decode_batch(rows)
    assert str(caught.value).startswith(message)


# Ids and arguments that are refused (I14)


@pytest.mark.parametrize("number", [-1, 10**9])
def test_id_out_of_range(tok: echotok.Tokenizer, number: int) -> None:
    """An id beyond the vocabulary is named with its position and the range."""
    with pytest.raises(IdError) as caught:
        tok.decode([tok.bos_id, number])
    assert str(caught.value) == (
        f"id {number} at position 1 is out of range: {tok.name} has ids 0 to "
        f"{tok.vocab_size - 1}; were these ids made by another tokenizer?"
    )
    for look_up in (tok.id_to_token, tok.kind):
        with pytest.raises(IdError, match=f"id {number} is out of range"):
            look_up(number)


def test_the_first_id_past_the_end(tok: echotok.Tokenizer) -> None:
    """`vocab_size` itself is out of range."""
    with pytest.raises(IdError, match="out of range"):
        tok.decode([tok.vocab_size])


def test_spare_id(tok: echotok.Tokenizer) -> None:
    """A row without a meaning yet is refused, and CLIP's unused end of text is one of them."""
    spare = tok.vocab_size - 2
    with pytest.raises(IdError) as caught:
        tok.decode(np.array([tok.bos_id, spare]))
    assert str(caught.value) == (
        f"id {spare} at position 1 is a spare row of {tok.name} without a meaning yet; were these "
        "ids made by a later version of the table?"
    )
    with pytest.raises(IdError, match=f"id {spare} is a spare row"):
        tok.kind(spare)
    if tok.name == "echo-clip":
        with pytest.raises(IdError, match="id 49407 at position 0 is a spare row"):
            tok.decode([49407])


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ([1.0], "float"),
        (["1"], "str"),
        ("12", "str"),
        ([None], "NoneType"),
        (np.array([1.5]), "float64"),
        (np.zeros((2, 3), dtype=np.int64), "ndarray"),
        ([[1, 2]], "list"),
    ],
)
def test_what_is_not_an_id(tok: echotok.Tokenizer, ids: Any, kind: str) -> None:
    """What is no integer is named by its type; a batch is no sequence of ids either."""
    with pytest.raises(IdError) as caught:
        tok.decode(ids)
    assert str(caught.value) == f"position 0 holds a {kind}, not an id; pass integers"


@pytest.mark.parametrize(
    "literal", ["<eos>", "<bos>", "<pad>", "<join>", "<space>", "{number}", "{severity}"]
)
def test_refused_control_text(tok: echotok.Tokenizer, literal: str) -> None:
    """With `refuse_control` the literal spelling of a token is refused at its offset."""
    text = f"Mild MR {literal.upper()}."
    with pytest.raises(InputError) as caught:
        tok.encode(text, refuse_control=True)
    assert f"holds the literal {literal!r} at offset 8 and refuse_control is set" in str(
        caught.value
    )
    assert "remove it from the text, or encode it as ordinary text" in str(caught.value)
    assert "MR" not in str(caught.value).replace("refuse_control", "")


def test_only_control_text_is_refused(tok: echotok.Tokenizer) -> None:
    """Braces and brackets that spell no token are ordinary text under `refuse_control` too."""
    text = "<eof> {eos} <EO S> { number } E/e' < 8"
    assert tok.encode(text, refuse_control=True).ids == tok.encode(text).ids


def test_refused_slot_of_the_table(tok: echotok.Tokenizer) -> None:
    """The table's own slots are control text too."""
    for slot in tok.table.slots:
        with pytest.raises(InputError, match=f"the literal '{{{slot}}}' at offset 0"):
            tok.encode("{" + slot + "}", refuse_control=True)


def test_offset_of_control_text_is_of_the_original(tok: echotok.Tokenizer) -> None:
    """Characters that lower-casing makes longer do not move the offset."""
    text = "\u0130\u0130\u0130 <eos>"
    with pytest.raises(InputError, match="at offset 4 "):
        tok.encode(text, refuse_control=True)


@pytest.mark.parametrize("context_length", [2, 1, 0, -5])
def test_context_length_too_small(tok: echotok.Tokenizer, context_length: int) -> None:
    """BOS, one id and EOS need three columns, for a batch and for `truncate`."""
    message = f"context_length is {context_length}; BOS, one id and EOS need 3"
    with pytest.raises(ValueError, match=message):
        tok.encode_batch(["Mild MR."], context_length=context_length)
    with pytest.raises(ValueError, match=message):
        tok.encode("Mild MR.").truncate(context_length)


# What importing and loading cost

HEAVY = ("torch", "pandas", "open_clip", "numpy", "rich", "jinja2", "tokenizers", "transformers")
LOADED = f"import sys; print(*[name for name in {HEAVY} if name in sys.modules])"


def loaded_by(statement: str) -> list[str]:
    return run(f"{statement}\n{LOADED}").split()


@pytest.mark.parametrize("module", ["echotok", "echotok.adapters.open_clip"])
def test_import_is_light(module: str) -> None:
    """Importing echotok imports none of the heavy packages."""
    assert loaded_by(f"import {module}") == []


def test_the_check_of_imports_can_fail() -> None:
    """The check above sees a package that is imported."""
    assert loaded_by("import numpy; import echotok") == ["numpy"]
    assert loaded_by("import rich, tokenizers; import echotok") == ["rich", "tokenizers"]


def test_loading_and_encoding_are_light() -> None:
    """Encoding one report needs none of them either."""
    use = "import echotok; tok = echotok.load('echo'); tok.decode(tok.encode('Mild MR.').ids)"
    assert loaded_by(use) == []


# CPU time: all of this is computing, and a busy machine must not fail it.
TIMED = """
import time
{setup}
start = time.process_time()
{statement}
print(time.process_time() - start)
"""


def seconds(statement: str, setup: str = "", runs: int = 5) -> float:
    """The best of five fresh processes."""
    code = TIMED.format(statement=statement, setup=setup)
    return min(float(run(code)) for _ in range(runs))


def test_import_takes_less_than_0_3_seconds() -> None:
    """Importing echotok in a fresh process, best of five."""
    assert seconds("import echotok") < 0.3


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_starts_in_less_than_0_3_seconds(option: str) -> None:
    """From the process's start to the end of what is printed, best of five."""
    code = (
        "import time\n"
        "from echotok.cli.main import main\n"
        f"assert main([{option!r}]) == 0\n"
        "print(time.process_time())\n"
    )
    assert min(float(run(code).split()[-1]) for _ in range(5)) < 0.3


def test_the_check_of_time_can_fail() -> None:
    """The clock above sees what an import takes."""
    statement = "while time.process_time() < start + 0.3: pass\nimport echotok"
    assert seconds(statement, runs=1) > 0.3


def test_load_takes_less_than_half_a_second(tok: Tokenizer) -> None:
    """Loading in a fresh process and encoding a first report, best of five."""
    statement = f"echotok.load({tok.name!r}).encode('Mild MR.')"
    assert seconds(statement, setup="import echotok") < 0.5


# The public face

MODULES = ["echotok"] + [
    module.name
    for module in pkgutil.walk_packages(echotok.__path__, "echotok.")
    if not module.name.endswith("__main__")
]


def test_all_is_what_is_exported() -> None:
    """`__all__` holds the public names of the package, sorted, and nothing else."""
    public = {
        name
        for name in dir(echotok)
        if not name.startswith("_")
        and name not in ("TYPE_CHECKING", "Any")
        # A module is no public name, but for the package that is a function, too.
        and (callable(getattr(echotok, name)) or not isinstance(getattr(echotok, name), ModuleType))
    }
    assert set(echotok.__all__) == public
    assert list(echotok.__all__) == sorted(echotok.__all__)
    names: dict[str, Any] = {}
    exec("from echotok import *", names)
    assert set(echotok.__all__) == {name for name in names if not name.startswith("__")}


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """Names that are imported when asked for do not hide a slip of the pen."""
    with pytest.raises(AttributeError, match="module 'echotok' has no attribute 'laod'"):
        echotok.laod  # noqa: B018
    assert loaded_by("import echotok; assert 'build' in dir(echotok)") == []


@pytest.mark.parametrize("name", MODULES)
def test_public_things_have_docstrings(name: str) -> None:
    """Every module, and each public function, class, method and property in it, says what it is."""
    module = importlib.import_module(name)
    assert module.__doc__
    for exported in getattr(module, "__all__", ()):
        assert hasattr(module, exported), exported
    for thing_name, thing in vars(module).items():
        if thing_name.startswith("_") or getattr(thing, "__module__", None) != name:
            continue
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert thing.__doc__, thing_name
        if inspect.isclass(thing):
            for member_name, member in vars(thing).items():
                documented = inspect.isfunction(member) or isinstance(member, property)
                if documented and not member_name.startswith("_"):
                    assert member.__doc__, f"{thing_name}.{member_name}"
