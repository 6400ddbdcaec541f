"""Building blocks of pages. Each draws one thing the same way everywhere; none decides anything."""

from __future__ import annotations

from app.components.actions import Field, Submission, action_form
from app.components.facts import diff_table, key_values
from app.components.links import href, viewer_zone
from app.components.progress import job_progress
from app.components.status import banner, empty_state, headline, title, use_style

__all__ = [
    "Field",
    "Submission",
    "action_form",
    "banner",
    "diff_table",
    "empty_state",
    "headline",
    "href",
    "job_progress",
    "key_values",
    "title",
    "use_style",
    "viewer_zone",
]
