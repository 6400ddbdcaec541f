"""The deep dive into one window: ask for Evidently's report of it, and open those that were written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data
from app.components.model_parts import show_reports
from app.plain_text import plain
from app.session import perform, viewer
from backend.identity.roles import Permission
from backend.monitoring.requests import request_report


def offer_report(model: str, size: str, window: Mapping[str, Any]) -> None:
    """The window's written reports, and a button that has one written."""
    actor, start = viewer(), window["start"].to_pydatetime()
    written = data.reports(data.scope_of(actor), model)
    show_reports([one for one in written if one["window_start"] == start])
    if not window["rows"]:
        return
    allowed = actor.may(Permission.WRITE_REPORT)
    asked = st.button(
        "Evidently report of this window",
        key=f"report:{model}:{size}:{start.isoformat()}",
        disabled=not allowed,
        help=plain(None if allowed else f"Your role lacks {Permission.WRITE_REPORT.value}."),
    )
    if asked and perform(
        lambda session, me: request_report(session, me, model=model, window_start=start, size=size),
        done="The report is queued; the Jobs page shows how far it is.",
    ):
        st.rerun()
