"""What `echotok build` does where a file lies already: ids are for ever (I5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Run

import echotok


@pytest.fixture
def built(run: Run, small_table: Path, tmp_path: Path) -> Path:
    """An artifact of the small table."""
    out = tmp_path / "small.json"
    assert run("build", small_table, "--out", out).code == 0
    return out


def _append(table: Path, row: str) -> None:
    with (table / "all.csv").open("a", encoding="utf-8") as stream:
        stream.write(row + "\n")


def test_the_same_tokenizer_may_be_written_again(run: Run, small_table: Path, built: Path) -> None:
    """Building twice is no news."""
    before = built.read_bytes()
    assert run("build", small_table, "--out", built).code == 0
    assert built.read_bytes() == before


def test_a_growth_may_be_written_over_its_old_self(
    run: Run, small_table: Path, built: Path
) -> None:
    """With `--base` the fallback stays, the old ids too, and the number of new ids is said."""
    old = echotok.load(built)
    _append(small_table, "5,no thrombus,1.1.0,,")
    done = run("build", small_table, "--base", built, "--out", built)
    assert done.code == 0
    assert f"{built} grows by 1 ids; all of its old ids keep their meaning" in done.err
    assert len(echotok.load(built).added_since(old)) == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            ("0,{severity} mitral regurgitation", "0,{severity} tricuspid regurgitation"),
            "'{severity} mitral regurgitation' became '{severity} tricuspid regurgitation'",
        ),
        (("4,blood pressure is {number}/{number},1.1.0,,\n", ""), "became a spare row"),
    ],
)
def test_other_ids_are_refused(
    run: Run, small_table: Path, built: Path, change: tuple[str, str], told: str
) -> None:
    """A changed or missing row is named, the file stays, and `--force` replaces it."""
    before = built.read_bytes()
    rows = small_table / "all.csv"
    rows.write_text(rows.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    # The fallback is trained on the phrases: keep it, so that the row alone differs.
    tokenizer = echotok.load(built)
    merges = "".join(f"{left} {right}\n" for left, right in tokenizer.fallback.merges)
    (small_table / "merges.txt").write_text(merges, encoding="utf-8")
    done = run("build", small_table, "--out", built)
    assert done.code == 1
    assert told in done.err
    assert "is left as it is" in done.err
    assert f"--base {built}" in done.err
    assert "--force" in done.err
    assert built.read_bytes() == before
    forced = run("build", small_table, "--out", built, "--force")
    assert forced.code == 0
    assert built.read_bytes() != before


def test_another_fallback_and_another_capacity_are_refused(
    run: Run, small_table: Path, built: Path
) -> None:
    """Rows may be appended and yet every id move; the advice to grow works when followed."""
    before = built.read_bytes()
    _append(small_table, "5,no thrombus is seen anywhere in the heart,1.1.0,,")
    done = run("build", small_table, "--out", built)
    assert done.code == 1
    assert "its fallback differs" in done.err
    assert built.read_bytes() == before
    assert run("build", small_table, "--base", built, "--out", built).code == 0
    toml = small_table / "table.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("phrases = 16", "phrases = 900"))
    (small_table / "merges.txt").write_text(
        "".join(f"{a} {b}\n" for a, b in echotok.load(built).fallback.merges), encoding="utf-8"
    )
    done = run("build", small_table, "--out", built)
    assert done.code == 1
    assert "were capacities changed in table.toml?" in done.err


@pytest.mark.parametrize("content", ["", "{}", "my notes", '{"format": "echotok-tokenizer"}'])
def test_a_file_that_is_no_tokenizer_is_not_replaced(
    run: Run, small_table: Path, tmp_path: Path, content: str
) -> None:
    """Nor is a damaged one, unless `--force` says so; a folder is told to be one."""
    out = tmp_path / "notes.json"
    out.write_text(content, encoding="utf-8")
    done = run("build", small_table, "--out", out)
    assert done.code == 1
    assert f"{out} is there already" in done.err
    assert out.read_text(encoding="utf-8") == content
    assert run("build", small_table, "--out", out, "--force").code == 0
    assert echotok.load(out).name == "small"
    done = run("build", small_table, "--out", tmp_path)
    assert done.code == 1
    assert "is a folder; name a file" in done.err
