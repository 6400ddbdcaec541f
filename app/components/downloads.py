"""Taking away what a page shows: a link to the rows as CSV. Pictures are saved from the chart's own corner."""

from __future__ import annotations

from typing import Any

import streamlit as st
from markupsafe import Markup

from app.components.links import href


def csv_link(what: str, name: str, **query: Any) -> None:
    """A quiet link to `/export/<name>.csv` for these parameters; `what` says which rows it holds."""
    link = Markup('<a href="{}">{} as CSV</a>').format(href(f"export/{name}.csv", **query), what)
    st.html(f'<div class="w-detail w-take">{link}</div>')
