"""Plain HTML pages of our own routes: sign-in, set-up, errors. They need no JavaScript and no other
request.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.components.status import prose
from app.theme import stylesheet


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = lambda text: Markup(prose(text))  # noqa: S704 - prose escapes
    environment.globals["stylesheet"] = stylesheet("plain")
    return environment


def render(name: str, **context: Any) -> str:
    """The page `name` ("signin.html") with its context; every value is escaped.

    signin.html      csrf, next_path, error, passwords, providers (rows of name, url), accounts (rows of name,
                     password, role; only in demo mode, else empty)
    again.html       csrf, next_path, error, who, minutes, has_password, sign_on (name, url; None without)
    setup.html       csrf, token, error
    signed_out.html  provider, url
    error.html       status, title, message, back_path, back_label
    api.html         version, description, groups (rows of name, routes: method, path, summary)

    A value that the page needs and did not get raises `jinja2.UndefinedError`.
    """
    return _environment().get_template(name).render(**context)
