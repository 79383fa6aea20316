"""The demo's figures on a page: what was shown comes first, and text is text."""

from __future__ import annotations

from markupsafe import Markup

from benchmarks.models.phantom_pictures import figures_html

SCRIPT = "<script>alert(1)</script>"


def test_a_script_is_text_in_the_demos_table() -> None:
    """In the sentence, the head, a value, an interval and a note."""
    page = figures_html(
        ["", f"head {SCRIPT}"],
        [["model", f"value {SCRIPT}\ninterval {SCRIPT}"]],
        [Markup("<svg></svg>")],
        lead=f"lead {SCRIPT}",
        notes=[f"note {SCRIPT}"],
    )
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 5
    assert page.count("<svg>") == 1
    assert page.index("lead") < page.index("table") < page.index("<svg>")
    assert "moved sideways" in page
