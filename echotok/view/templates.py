"""Pages from jinja2 templates: all text is escaped, and control characters are shown.

Every page extends `base.html`, which has the colours, the print style and the policy by which a
browser loads nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from echotok.view.tree import visible

if TYPE_CHECKING:
    import jinja2

__all__ = ["render"]


def render(package: str, template: str, *, script: str | None = None, **content: Any) -> str:
    """Fill a template that lies in a package.

    Every text is escaped, so that a report that holds HTML is text on the page; only
    `markupsafe.Markup` is taken as it is.

    Args:
        package: dotted name of the package.
        template: name of the file in it, which may extend `base.html`.
        script: the one script that the page's policy lets run, by its hash, or None.
        content: values of the names in the template; a name that is missing is an error.
    """
    from markupsafe import Markup

    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'; "
        "img-src data:"
    )
    if script is not None:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
        policy += f"; script-src 'sha256-{digest}'"
        content["script"] = Markup(script)
    # Markup, since the quotes of a hash stay as they are; nothing in it is from outside.
    return _environment(package).get_template(template).render(policy=Markup(policy), **content)


@cache
def _environment(package: str) -> jinja2.Environment:
    # Here, so that only those who make a page pay for the import.
    import jinja2

    return jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(name, ".") for name in (package, "echotok.view")]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(value: Any) -> Any:
    # Exactly str: Markup is a kind of it that is escaped and shown already.
    return visible(value) if type(value) is str else value
