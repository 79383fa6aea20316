"""A drawing of matplotlib as SVG inside a page, in the page's colours, light or dark."""

from __future__ import annotations

import re

from markupsafe import Markup

from echoclip_r.evaluation.plots.style import COLOURS

__all__ = ["inline_svg"]

# What a drawing for white paper is painted with, and what the page's base has for it.
_PAGE_COLOURS = {
    **{colour.lower(): f"var(--series-{place})" for place, colour in enumerate(COLOURS)},
    "#000000": "currentColor",
    "#ffffff": "var(--card)",
    "#e6e6e6": "var(--line)",
}
_ONLY_FOR_FILES = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>"
    r"|<style type=\"text/css\">.*?</style>| xmlns(:\w+)?=\"[^\"]*\"",
    re.DOTALL,
)
_SIZE = re.compile(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"')
_GROUP_ID = re.compile(r'<g id="[^"]*"')
# Versions of matplotlib say the family by itself, or in the shorthand.
_FAMILY = re.compile(r"font-family: [^;\"]+;? ?")
_FONT = re.compile(r"(font: [^;\"]*?px) [^;\"]+")
_DIGITS = re.compile(r"(\.\d\d)\d+")
_POINT = re.compile(r'(<use href="[^"]*" x="\d+\.\d)\d*(" y="\d+\.\d)\d*"')
_MARKERS = re.compile(
    r'<g( clip-path="[^"]*")?>\s*'
    r'(<use [^>]*?( style="[^"]*")/>\s*(?:<use [^>]*?\3/>\s*)*)</g>'
)


def inline_svg(svg: str, *, name: str, label: str) -> Markup:
    """The SVG element of a drawing, to stand inside a page that extends `base.html`.

    Args:
        svg: what matplotlib saved, with `svg.fonttype` none.
        name: what no other drawing of the page is called; ids begin with it.
        label: what the drawing shows, for those who cannot see it.

    Returns:
        The element: text as text, points of one kind with their style said once, coordinates to
        a hundredth of a point.
    """
    small = _GROUP_ID.sub("<g", _SIZE.sub(r"\1", _ONLY_FOR_FILES.sub("", svg)))
    small = small.replace("xlink:href", "href")
    for paper, page in _PAGE_COLOURS.items():
        small = re.sub(paper, page, small, flags=re.IGNORECASE)
    small = _DIGITS.sub(r"\1", _FONT.sub(r"\1 system-ui", _FAMILY.sub("", small)))
    small = _POINT.sub(r'\1\2"', small)
    small = _MARKERS.sub(_style_once, small)
    for number, known in enumerate(dict.fromkeys(re.findall(r'id="([^"]+)"', small))):
        small = re.sub(rf'(id="|#){re.escape(known)}\b', rf"\g<1>{name}-{number}", small)
    small = re.sub(r"\s*\n\s*", " ", small).replace("> <", "><").strip()
    start = Markup('<svg class="plot" role="img" aria-label="{}"').format(label)
    return Markup(small.replace("<svg", start, 1))


def _style_once(found: re.Match[str]) -> str:
    where, points, style = found.groups()
    return f"<g{where or ''}{style}>{points.replace(style, '')}</g>"
