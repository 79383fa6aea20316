"""The server's pages from jinja2 templates: all text is escaped, control characters are shown.

A page holds neither scripts nor styles, which the server's policy forbids; both are files.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jinja2

from echotok.view.tree import visible

__all__ = ["render_page"]


def render_page(template: str, **content: Any) -> str:
    """Fill a template.

    Args:
        template: name of the file.
        content: values of the names in it; a name that is missing is an error.
    """
    return _environment().get_template(template).render(**content)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("echoclip_r.serve", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
