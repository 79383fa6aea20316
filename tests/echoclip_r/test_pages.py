"""The demo's figures on a page: text is text."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.models.phantom_pictures import figures_html

SCRIPT = "<script>alert(1)</script>"


def test_a_script_is_text_in_the_demos_table(tmp_path: Path) -> None:
    """In the head, a value, an interval and a note."""
    Image.new("RGB", (4, 4)).save(tmp_path / "curves.png")
    page = figures_html(
        ["", f"head {SCRIPT}"],
        [["model", f"value {SCRIPT}\ninterval {SCRIPT}"]],
        tmp_path / "curves.png",
        [f"note {SCRIPT}"],
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 4
    assert page.count("data:image/jpeg;base64,") == 1
