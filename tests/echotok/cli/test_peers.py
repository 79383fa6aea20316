"""`echotok stats --tokenizer` with tokenizers of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Run, shell

import echotok

TEXTS = echotok.sample_reports()[:20]


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    path = tmp_path / "reports.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS), encoding="utf-8")
    return path


def byte_level(path: Path) -> Any:
    """A lossless BPE whose file asks for truncation and padding."""
    tokenizers = pytest.importorskip("tokenizers")
    before = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = before
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=before.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    lengths = [len(tokenizer.encode(text).ids) for text in TEXTS]
    tokenizer.enable_truncation(16)
    tokenizer.enable_padding(length=16)
    path.parent.mkdir(exist_ok=True)
    tokenizer.save(str(path))
    return lengths


def word_pieces(path: Path) -> None:
    """A WordPiece tokenizer, which knows few words and gives back neither case nor all spaces."""
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[PAD]"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS[:1], trainer)
    path.parent.mkdir(exist_ok=True)
    tokenizer.save(str(path))


@pytest.mark.parametrize("given", ["folder", "file"])
def test_a_hugging_face_tokenizer(run: Run, tmp_path: Path, reports: Path, given: str) -> None:
    """A folder or its file: whole lengths, though the file asks for 16; no coverage is claimed."""
    path = tmp_path / "my-bpe" / "tokenizer.json"
    lengths = byte_level(path)
    done = run(
        "stats", "--json", "--tokenizer", path.parent if given == "folder" else path, reports
    )
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert figures["tokenizer"] == {"name": "my-bpe", "vocab_size": 600}
    assert figures["tokens"]["total"] == sum(lengths) > 20 * 16
    assert figures["num_lossy"] == 0
    assert figures["num_exact"] == 20
    assert figures["character_shares"] is None
    assert figures["stretches"] == []
    told = run("stats", "--tokenizer", path, reports).out
    assert "nothing: 20 of 20 come back, 20 to the letter" in told
    assert "uncovered" not in told and "phrases" not in told


def test_a_lossy_tokenizer_is_called_lossy(run: Run, tmp_path: Path, reports: Path) -> None:
    """A failed round trip is said and counted; it is no error of the command."""
    word_pieces(tmp_path / "words.json")
    done = run("stats", "--tokenizer", tmp_path / "words.json", reports)
    assert done.code == 0
    assert "words (200 ids)" in done.out
    assert "20 of 20 reports do not come back" in done.out


def test_workers_measure_a_tokenizer_of_others(tmp_path: Path, reports: Path) -> None:
    """In another process, too, and with the same figures."""
    path = tmp_path / "my-bpe" / "tokenizer.json"
    byte_level(path)
    many = tmp_path / "many.jsonl"
    many.write_text(reports.read_text(encoding="utf-8") * 20, encoding="utf-8")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    import echotok.coverage as c\n"
        "    c._ALONE, c.num_cpus = 0.0, lambda: 2\n"
        "    from echotok.cli.main import main\n"
        "    sys.exit(main(sys.argv[1:]))\n",
        encoding="utf-8",
    )
    one = shell("stats", "--json", "--tokenizer", path, many)
    two = subprocess.run(
        [sys.executable, program, "stats", "--json", "--workers", "2", "--tokenizer", path, many],
        capture_output=True,
        text=True,
    )
    assert two.returncode == one.code == 0, two.stderr
    assert two.stdout == one.out


def test_older_files_are_read_by_transformers(run: Run, tmp_path: Path, reports: Path) -> None:
    """A folder with vocab.txt and no tokenizer.json; a cut at its greatest length is not made."""
    pytest.importorskip("transformers", reason="no transformers: it is no dependency")
    folder = tmp_path / "old"
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "left", "ventricle", "."]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "model_max_length": 16}', encoding="utf-8"
    )
    done = run("stats", "--json", "--tokenizer", folder, reports)
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert figures["tokens"]["mean"] > 50
    assert figures["num_lossy"] == 20


def test_a_package_that_is_not_there_is_named(
    run: Run, tmp_path: Path, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without tokenizers, transformers or tiktoken, one line says what to install."""
    word_pieces(tmp_path / "words" / "tokenizer.json")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "vocab.txt").write_text("[UNK]\n", encoding="utf-8")
    for given, package in (
        (tmp_path / "words", "tokenizers"),
        (tmp_path / "old", "transformers"),
        ("tiktoken:cl100k_base", "tiktoken"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            done = run("stats", "--tokenizer", given, reports)
        assert done.code == 1
        assert f"pip install {package}" in done.err
        assert len(done.err.splitlines()) == 1


def test_what_is_no_tokenizer_is_refused(run: Run, tmp_path: Path, reports: Path) -> None:
    """An empty folder, a table's folder, a broken file: one line."""
    pytest.importorskip("tokenizers")
    (tmp_path / "empty").mkdir()
    table = Path(__file__).parents[3] / "phrase_tables" / "echo"
    (tmp_path / "broken.json").write_text('{"model": {"type": "XYZ"}}', encoding="utf-8")
    for given, told in (
        (tmp_path / "empty", "holds no tokenizer"),
        (table, "is a phrase table"),
        (tmp_path / "broken.json", "is not a tokenizer that the package tokenizers can read"),
    ):
        done = run("stats", "--tokenizer", given, reports)
        assert done.code == 1
        assert told in done.err
        assert len(done.err.splitlines()) == 1


# tiktoken: no encoding of its own is at hand without a network, so one is made as it makes them.


@pytest.fixture
def with_tiktoken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    from tiktoken import registry

    def bytes_only() -> dict[str, Any]:
        return {
            "name": "bytes_only",
            "pat_str": r"\S+|\s+",
            "mergeable_ranks": {bytes([number]): number for number in range(256)},
            "special_tokens": {"<|endoftext|>": 256},
        }

    tiktoken.list_encoding_names()  # finds the constructors
    monkeypatch.setitem(registry.ENCODING_CONSTRUCTORS, "bytes_only", bytes_only)
    # Nothing is cached here, and nobody answers there.
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.usefixtures("with_tiktoken")
def test_an_encoding_of_tiktoken(run: Run, reports: Path, tmp_path: Path) -> None:
    """Its ids are counted, a literal special token is text, and all comes back to the letter."""
    done = run("stats", "--json", "--tokenizer", "tiktoken:bytes_only", reports)
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert figures["tokens"]["total"] == sum(len(text.encode()) for text in TEXTS)
    assert figures["num_exact"] == 20
    path = tmp_path / "control.txt"
    path.write_text("Mild MR. <|endoftext|>", encoding="utf-8")
    done = run("stats", "--json", "--tokenizer", "tiktoken:bytes_only", path)
    assert json.loads(done.out)["tokens"]["total"] == 22


@pytest.mark.usefixtures("with_tiktoken")
def test_a_file_of_tiktoken_that_cannot_be_had(run: Run, reports: Path) -> None:
    """Without network and cache, one line says where the file could come from; so for a model."""
    for name in ("cl100k_base", "gpt-4"):
        done = run("stats", "--tokenizer", f"tiktoken:{name}", reports)
        assert done.code == 1
        assert "tiktoken's file for cl100k_base cannot be had" in done.err
        assert "TIKTOKEN_CACHE_DIR" in done.err
        assert len(done.err.splitlines()) == 1


@pytest.mark.usefixtures("with_tiktoken")
def test_a_misspelt_encoding_of_tiktoken(run: Run, reports: Path) -> None:
    """The names that there are stand in the message, and the nearest."""
    done = run("stats", "--tokenizer", "tiktoken:cl10k_base", reports)
    assert done.code == 1
    assert "did you mean 'cl100k_base'?" in done.err


def test_a_lone_surrogate_does_not_come_back(run: Run, tmp_path: Path) -> None:
    """Libraries in Rust do not take one: the report is measured, and counted as lost."""
    byte_level(tmp_path / "tokenizer.json")
    reports = tmp_path / "reports.jsonl"
    reports.write_text('{"text": "Mild MR \\ud800"}\n{"text": "Mild MR"}\n', encoding="utf-8")
    done = run("stats", "--json", "--tokenizer", tmp_path / "tokenizer.json", reports)
    assert done.code == 0, done.err
    assert json.loads(done.out)["num_lossy"] == 1


@pytest.mark.parametrize("name", ["echotok.json", "tokenizer.json"])
def test_a_folder_with_a_tokenizer_of_ours(
    run: Run, tmp_path: Path, reports: Path, name: str
) -> None:
    """As `build --hf` and the folder of a model hold one: the error names the file to give."""
    path = tmp_path / "model" / name
    path.parent.mkdir()
    echotok.load("echo").save(path)
    done = run("stats", "--tokenizer", path.parent, reports)
    assert done.code == 1
    assert f"--tokenizer {path} reads it" in done.err
    assert run("stats", "--tokenizer", path, reports).code == 0


def test_a_folder_by_the_name_of_ours(
    run: Run, tmp_path: Path, reports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder `echo` that lies beside the reports is not taken for the tokenizer `echo`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "echo").mkdir()
    done = run("stats", reports)
    assert done.code == 0, done.err
    assert done.out.startswith("echo (table echo")
