"""Addresses of our own pages, and moments in the viewer's zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

import streamlit as st
from markupsafe import Markup, escape
from streamlit.runtime.scriptrunner import get_script_run_ctx

from app.formats import UNKNOWN, format_age, format_when
from app.ranges import NAMES
from backend import clock

TIMED: Final = frozenset(
    {"drift", "explanations", "fairness", "performance", "quality", "slices", "slos", "timeline"}
)
"""Pages that show a range of time which one may choose, and take over the one of a page that leads to them. An
incident shows one, too, about itself, whatever range was looked at before."""
_CARRIED = "range:carried"


def viewer_zone() -> str | None:
    """The IANA name of the viewer's zone as their browser tells it; None when it does not (shown as UTC)."""
    name = st.context.timezone
    return name if isinstance(name, str) else None


def href(page: str, **query: Any) -> str:
    """`/model?model=flight-delay&window=2026-03-01`; a parameter that is None is left out, one
    that is a tuple or list is repeated. A page about a range of time takes over the one that is shown."""
    query = with_range(page, query)
    kept = {
        name: [str(one) for one in value] if isinstance(value, (tuple, list)) else str(value)
        for name, value in query.items()
        if value is not None
    }
    return f"/{quote(page.strip('/'))}" + (f"?{urlencode(kept, doseq=True)}" if kept else "")


def carry(chosen: Mapping[str, str] | None) -> None:
    """Have links to pages in `TIMED` that are drawn from now on in this run take these parameters along; None: none."""
    st.session_state[_CARRIED] = chosen


def with_range(page: str, query: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a link, with the range that was chosen where the page shows one and they name none."""
    if page.strip("/") not in TIMED or get_script_run_ctx() is None:
        return dict(query)
    if any(query.get(name) is not None for name in (*NAMES, "at")):
        return dict(query)
    return {**query, **(st.session_state.get(_CARRIED) or {})}


def when(moment: datetime | None, *, seconds: bool = False) -> Markup:
    """A moment in the viewer's zone as HTML: `Mon 2 Mar 2026, 09:05 CET`; on hovering UTC with seconds, as it is
    cited."""
    if moment is None:
        return Markup(UNKNOWN)  # noqa: S704 - a constant
    said = escape(format_when(moment, viewer_zone(), seconds=seconds))
    return Markup(  # noqa: S704 - escaped
        f'<time datetime="{clock.to_iso(moment)}" title="{clock.to_words(moment)}">{said}</time>'
    )


def when_html(moment: datetime | None) -> Markup:
    """A moment with its age: `Mon 2 Mar 2026, 09:05 CET (23 min ago)`."""
    return when(moment) if moment is None else Markup("{} ({} ago)").format(when(moment), format_age(moment))


def ago(moment: datetime | None) -> Markup:
    """How long a moment is ago, and on hovering the moment itself: in the viewer's zone, and in UTC as it is cited."""
    if moment is None:
        return Markup(UNKNOWN)  # noqa: S704 - a constant
    told = f"{format_when(moment, viewer_zone())} · {clock.to_words(moment)}"
    return Markup('<time class="w-nowrap" datetime="{}" title="{}">{}</time>').format(
        clock.to_iso(moment), told, format_age(moment)
    )
