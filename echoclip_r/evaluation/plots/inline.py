"""A drawing of matplotlib as SVG inside a page, in the page's colours, light or dark."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

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
_COLOUR = re.compile("|".join(_PAGE_COLOURS), re.IGNORECASE)
_ID = re.compile(r"#([\w-]+)")
# Versions of matplotlib say the family by itself, or in the shorthand.
_FAMILY = re.compile(r"font-family: [^;]+;? ?")
_FONT = re.compile(r"(font: [^;]*?px) [^;]+")
_DIGITS = re.compile(r"(\.\d\d)\d+")
_POINT_DIGITS = re.compile(r"(\.\d)\d+")


def inline_svg(svg: str, *, name: str, label: str) -> Markup:
    """The SVG element of a drawing, to stand inside a page that extends `base.html`.

    Args:
        svg: what matplotlib saved, with `svg.fonttype` none.
        name: what no other drawing of the page is called; ids begin with it.
        label: what the drawing shows, for those who cannot see it.

    Returns:
        The element: text as text and as it was, points of one kind with their style said once,
        coordinates to a hundredth of a point.
    """
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _bare(child.tag) in ("metadata", "style"):
                parent.remove(child)
    known = [element.get("id") for element in root.iter() if _bare(element.tag) != "g"]
    ids = {one: f"{name}-{number}" for number, one in enumerate(filter(None, known))}
    for element in root.iter():
        _adapt(element, ids)
    for group in root.iter("g"):
        styles = {child.get("style", "") for child in group}
        if all(child.tag == "use" for child in group) and len(styles) == 1:
            group.set("style", styles.pop())
            for child in group:
                child.attrib.pop("style", None)
    return Markup('<svg class="plot" role="img" aria-label="{}" viewBox="{}">{}</svg>').format(
        label,
        root.get("viewBox"),
        Markup("".join(ET.tostring(child, encoding="unicode") for child in root)),
    )


def _bare(tag: str) -> str:
    """The name of an element or attribute, without its namespace."""
    return tag.rpartition("}")[2]


def _adapt(element: ET.Element, ids: Mapping[str, str]) -> None:
    """Give an element the page's colours, font and ids; what is written in it stays."""
    element.tag = _bare(element.tag)
    digits = _POINT_DIGITS if element.tag == "use" else _DIGITS
    told = {_bare(key): value for key, value in element.attrib.items()}
    element.attrib.clear()
    for key, value in told.items():
        if key == "id":
            if value in ids:
                element.set(key, ids[value])
            continue
        value = _COLOUR.sub(lambda found: _PAGE_COLOURS[found[0].lower()], value)
        value = _ID.sub(lambda found: f"#{ids.get(found[1], found[1])}", value)
        value = _FONT.sub(r"\1 system-ui", _FAMILY.sub("", value))
        element.set(key, " ".join(digits.sub(r"\1", value).split()))
    if element.tag != "text":
        element.text = None
    element.tail = None
