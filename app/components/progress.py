"""A background job as one row: its state in a word, how far it is, and why it failed."""

from __future__ import annotations

from datetime import datetime
from html import escape

import streamlit as st

from app.components.links import when_html
from app.components.status import badge_html
from app.formats import format_share

_LEVELS = {
    "succeeded": "settled",
    "failed": "page",
    "running": "unknown",
    "queued": "unknown",
    "cancelled": "unknown",
}


def job_progress(
    name: str,
    state: str,
    *,
    share: float | None = None,
    step: str = "",
    since: datetime | None = None,
    reason: str | None = None,
) -> None:
    """One job. `state` is queued, running, succeeded, failed or cancelled; `share` (0 to 1) and `step` say
    how far a running one is; `reason` is the last error, shown in full.
    """
    bar = ""
    if state == "running":
        done = min(max(share or 0.0, 0.0), 1.0)
        told = format_share(share) if share is not None else "started"
        bar = (
            f'<div class="w-bar" role="progressbar" aria-label="{escape(name)}" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{done * 100:.0f}">'
            f'<span style="width:{done * 100:.1f}%"></span></div>'
            f'<span class="w-detail">{escape(told)}{f", {escape(step)}" if step else ""}</span>'
        )
    moment = f'<span class="w-detail">{when_html(since)}</span>' if since else ""
    why = f'<div class="w-reason">{escape(reason)}</div>' if reason else ""
    badge = badge_html(state, _LEVELS.get(state, "unknown"))
    st.html(f'<div class="w-job"><strong>{escape(name)}</strong> {badge} {moment}{bar}{why}</div>')
