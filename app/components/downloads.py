"""Taking away what a page shows: a link to the rows as CSV. Pictures are saved from the chart's own corner."""

from __future__ import annotations

from typing import Any

import streamlit as st
from markupsafe import Markup

from app.components.links import href


def csv_link(what: str, name: str, **query: Any) -> None:
    """A quiet link to `/export/<name>.csv` for these parameters; `what` says which rows it holds."""
    _take(what, name, "csv", query)


def json_link(what: str, name: str, **query: Any) -> None:
    """The same to `/export/<name>.json`."""
    _take(what, name, "json", query)


def _take(what: str, name: str, form: str, query: dict[str, Any]) -> None:
    address = href(f"export/{name}.{form}", **query)
    link = Markup('<a href="{}">{} as {}</a>').format(address, what, form.upper())
    st.html(f'<div class="w-detail w-take">{link}</div>')
