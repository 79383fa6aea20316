"""Pages from jinja2 templates: all text is escaped, and control characters are shown."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from echotok.view.tree import visible

if TYPE_CHECKING:
    import jinja2

__all__ = ["render"]


def render(package: str, template: str, **content: Any) -> str:
    """Fill a template that lies in a package.

    Every text is escaped, so that a report that holds HTML is text on the page; only
    `markupsafe.Markup` is taken as it is.

    Args:
        package: dotted name of the package.
        template: name of the file in it.
        content: values of the names in the template; a name that is missing is an error.
    """
    return _environment(package).get_template(template).render(content)


@cache
def _environment(package: str) -> jinja2.Environment:
    # Here, so that only those who make a page pay for the import.
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    # Exactly str: Markup is a kind of it that is escaped and shown already.
    return visible(value) if type(value) is str else value
