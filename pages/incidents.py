"""Every incident: the open ones first, the gravest on top; and what fires outside one."""

from __future__ import annotations

from app import data
from app.components.incident_lists import show_lists
from app.session import viewer

show_lists(data.scope_of(viewer()))
