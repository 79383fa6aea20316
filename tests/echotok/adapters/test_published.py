"""The published template tokenizer, run from a copy: here a made-up program of its interface."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from guides import ROOT, blocks
from made_up_program import BOS, EOS, digits, grade, row, write_program

import echotok
from echotok.adapters import published
from echotok.adapters.published import PublishedTokenizer
from echotok.sample import sample_reports

TEXTS = {
    "": row(),
    "Nothing that it knows.": row(),
    "No pericardial effusion.": row(2),
    "The ejection fraction is 55%. Mild mitral  regurgitation.": row(1, *digits(55), 3),
    "SEVERE aortic stenosis. No pericardial effusion.": row(4, grade("severe"), 2),
    "No pericardial effusion. " * 90: row(*[2] * 75),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_program(tmp_path / "copy")


@pytest.fixture
def tokenizer(folder: Path) -> Iterator[PublishedTokenizer]:
    tokenizer = PublishedTokenizer(folder)
    yield tokenizer
    tokenizer.close()


def test_ids_are_those_of_the_program(tokenizer: PublishedTokenizer, folder: Path) -> None:
    """Id for id, from a program that opens its files by relative names and prints reports."""
    here = Path.cwd()
    assert tokenizer.encode_batch(list(TEXTS)) == list(TEXTS.values())
    assert [tokenizer.encode(text) for text in TEXTS] == list(TEXTS.values())
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (BOS, EOS, 0)
    assert (tokenizer.context_length, tokenizer.vocab_size) == (77, EOS + 1)
    assert Path.cwd() == here
    names = {"template_tokenizer.py", "utils.py", "phrases.txt"}
    assert set(tokenizer.files) == names
    assert {path.name for path in folder.iterdir()} == names | {"picture.png"}  # nothing is written
    assert tokenizer.missing == ("no_such_package_of_pictures", "no_such_package_of_frames")


def test_ids_come_back_as_words(tokenizer: PublishedTokenizer) -> None:
    """Without BOS, EOS and padding; an id that is not there is refused."""
    ids = tokenizer.encode("Severe aortic stenosis. No pericardial effusion.")
    assert tokenizer.decode(ids) == [
        "[<#> aortic stenosis. ]",
        "<severe>",
        "[no pericardial effusion. ]",
    ]
    assert tokenizer.decode(tokenizer.encode("")) == []
    with pytest.raises(echotok.IdError, match="cannot say what these ids are"):
        tokenizer.decode([EOS + 9])


LOSSES = {
    "Nothing, that it knows": ["Nothing, that it knows"],
    "No pericardial effusion.": [],
    "I say: no  pericardial effusion. Mild mitral regurgitation. See 3D.": [
        "I say",
        "See 3D",
    ],
    "The ejection fraction is 55%. The ejection fraction is 60.5%.": [
        "The ejection fraction is 60.5"
    ],
    "Severe aortic stenosis. Moderate aortic stenosis.": ["Moderate aortic stenosis"],
    "": [],
}


@pytest.mark.parametrize("text", LOSSES)
def test_what_is_dropped_is_told_by_place(text: str, tokenizer: PublishedTokenizer) -> None:
    """Runs of words that no id stands for; letters and digits are counted."""
    losses = tokenizer.losses(text)
    assert [text[start:end] for start, end in losses.dropped] == LOSSES[text]
    lost = sum(map(str.isalnum, "".join(LOSSES[text])))
    assert losses.num_characters == sum(map(str.isalnum, text))
    assert losses.num_characters - losses.num_kept == lost
    assert losses.num_unplaced == 0 and not losses.is_full


def test_a_cut_text_and_another_value_are_losses(
    tokenizer: PublishedTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only 75 of 90 sentences fit; a value of other digits than the text's is not kept."""
    losses = tokenizer.losses("No pericardial effusion. " * 90)
    assert losses.is_full and losses.num_ids == 75
    assert losses.dropped == ((75 * 25, 90 * 25 - 2),)
    text = "The ejection fraction is 55%."
    monkeypatch.setattr(
        tokenizer, "decode", lambda ids: ["[the ejection fraction is <#>%. ]", "<5>"]
    )
    losses = tokenizer.losses(text)
    assert [text[start:end] for start, end in losses.dropped] == ["55"]
    monkeypatch.setattr(tokenizer, "decode", lambda ids: ["[words of nobody]", "[]"])
    losses = tokenizer.losses(text)
    assert losses.num_unplaced == 2 and losses.num_kept == 0


def test_threads_forks_and_other_processes_get_their_own_answers(
    tokenizer: PublishedTokenizer,
) -> None:
    """Each row is that of its own text, wherever it is asked for."""
    texts = list(TEXTS) * 5
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tokenizer.encode, texts)) == list(TEXTS.values()) * 5
    if hasattr(os, "fork"):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.map(tokenizer.encode, texts) == list(TEXTS.values()) * 5
    assert tokenizer.encode_batch(list(TEXTS)) == list(TEXTS.values())
    other = pickle.loads(pickle.dumps(tokenizer))
    assert other.encode_batch(list(TEXTS)) == list(TEXTS.values())
    other.close()
    assert other.encode("No pericardial effusion.") == row(2)  # it starts again
    other.close()


def test_texts_that_the_program_fails_on_are_named_by_number(
    tokenizer: PublishedTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never by their words, and the next text goes through."""
    secret = "Bob Bobson, fail here"
    with pytest.raises(echotok.InputError, match="text 1: ") as caught:
        tokenizer.encode_batch(["", secret])
    assert "KeyError at template_tokenizer.py:" in str(caught.value)
    assert "bob" not in str(caught.value).lower()
    with pytest.raises(echotok.InputError, match=r"texts 0 to 0: .* has ended"):
        tokenizer.encode("end here")
    assert tokenizer.encode("No pericardial effusion.") == row(2)
    with pytest.raises(echotok.InputError, match=r"text 0: .* a row that is not BOS, ids"):
        tokenizer.encode("outside of the rows")
    monkeypatch.setattr(published, "_SECONDS_A_TEXT", 0.2)
    with pytest.raises(echotok.InputError, match="has not answered"):
        tokenizer.encode("hang here")
    monkeypatch.undo()
    assert tokenizer.encode("No pericardial effusion.") == row(2)


def test_another_copy_is_refused(tokenizer: PublishedTokenizer, folder: Path) -> None:
    """By the files that were in use; what lies beside them may change."""
    (folder / "picture.png").unlink()
    (folder / "new.txt").write_text("new")
    assert PublishedTokenizer(folder, files=tokenizer.files).fingerprint == tokenizer.fingerprint
    (folder / "phrases.txt").write_text("another\n")
    (folder / "utils.py").unlink()
    with pytest.raises(echotok.ArtifactError) as caught:
        PublishedTokenizer(folder, files=tokenizer.files)
    assert "phrases.txt is another" in str(caught.value)
    assert "utils.py is gone" in str(caught.value)


def _no_function(folder: Path) -> None:
    (folder / "template_tokenizer.py").write_text("x = 1\n")


def _other_rows(folder: Path) -> None:
    (folder / "template_tokenizer.py").write_text(
        "template_tokenize = lambda text: [5, 3, 0, 0]\ntemplate_detokenize = print\n"
    )


def _calls(folder: Path) -> None:
    with (folder / "utils.py").open("a") as file:
        file.write("SIZE = pictures.size_of(CLIPS)\n")


def _syntax(folder: Path) -> None:
    (folder / "template_tokenizer.py").write_text("def template_tokenize(:\n")


def _no_words(folder: Path) -> None:
    (folder / "phrases.txt").unlink()


def _ends(folder: Path) -> None:
    (folder / "utils.py").write_text("import os\nos._exit(0)\n")


DAMAGES = {
    "no function": (_no_function, "it has no function template_tokenize"),
    "other rows": (_other_rows, "does not give BOS, EOS and padding"),
    "calls": (_calls, "needs the Python package no_such_package_of_pictures"),
    "syntax": (_syntax, "it cannot be loaded .SyntaxError"),
    "no words": (_no_words, "it cannot be loaded .FileNotFoundError at template_tokenizer.py:"),
    "ends": (_ends, "it ends, or hangs, while it is loaded"),
    "gone": (shutil.rmtree, "there is no such folder; give the folder of your own copy"),
    "empty": (lambda folder: (folder / "template_tokenizer.py").unlink(), "holds no template_tok"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_folder_that_is_not_whole_is_refused(name: str, folder: Path) -> None:
    """With what is wrong, and what to do."""
    damage, said = DAMAGES[name]
    damage(folder)
    with pytest.raises(echotok.ArtifactError, match=said):
        PublishedTokenizer(folder)


def test_the_guides_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/exchange.md, in a folder where the copy lies."""
    write_program(tmp_path / "echo_CLIP")
    monkeypatch.chdir(tmp_path)
    (code,) = [
        block.text
        for block in blocks(ROOT / "docs" / "exchange.md")
        if block.language == "python" and "PublishedTokenizer" in block.text
    ]
    names: dict[str, object] = {"report": "No pericardial effusion. Zebra."}
    exec(compile(code, "exchange.md", "exec"), names)
    assert names["ids"] == row(2)
    assert capsys.readouterr().out == "Zebra\n"


@pytest.fixture
def copy() -> Iterator[PublishedTokenizer]:
    """The published program, where somebody has a copy of it."""
    folder = os.environ.get("ECHOTOK_PUBLISHED_TOKENIZER")
    if not folder:
        pytest.skip("no published tokenizer: ECHOTOK_PUBLISHED_TOKENIZER names no copy of it")
    tokenizer = PublishedTokenizer(folder)
    yield tokenizer
    tokenizer.close()


def test_the_published_program_itself(copy: PublishedTokenizer) -> None:
    """Rows that a text tower can read, the same again, and losses that stay inside of the text."""
    texts = sample_reports()
    rows = copy.encode_batch(texts)
    assert rows == [copy.encode(text) for text in texts]
    assert copy.context_length == 77
    assert any(row[1] != copy.eos_id for row in rows)
    for text in texts:
        losses = copy.losses(text)
        assert 0 <= losses.num_kept <= losses.num_characters
        assert losses.num_unplaced == 0
        assert all(text[start:end].strip() for start, end in losses.dropped)
