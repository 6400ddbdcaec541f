"""What pages read, kept for a few seconds. The only home of `st.cache_data`.

A cached answer is shared between people, so who looks (`Scope`) is an argument of every function, and the
services filter by it.
"""

from __future__ import annotations

from app.data.alerting import alerts_about, firing, incident, marks, open_incidents
from app.data.analyses import analysed, analysis, analysis_runs, happened, parts_between
from app.data.audit import audit_entries, audit_entry, audit_head, fault_switches
from app.data.governance import change, changes, inbox, preview
from app.data.identity import people, sessions, tokens
from app.data.monitoring import (
    column_facts,
    comparison,
    grounds,
    health_of,
    indicators,
    kpis,
    overview,
    points,
    segment_comparisons,
    segments,
    statistics,
    track,
    window_points,
    windows,
    worst_points,
)
from app.data.operations import injected_fault, jobs, run, runs_about
from app.data.registry import card, explanation, model, models, noticed_models, reports
from app.data.scope import Scope, environment, scope_of

__all__ = [
    "Scope",
    "alerts_about",
    "analysed",
    "analysis",
    "analysis_runs",
    "audit_entries",
    "audit_entry",
    "audit_head",
    "card",
    "change",
    "changes",
    "column_facts",
    "comparison",
    "environment",
    "explanation",
    "fault_switches",
    "firing",
    "grounds",
    "happened",
    "health_of",
    "inbox",
    "incident",
    "indicators",
    "injected_fault",
    "jobs",
    "kpis",
    "marks",
    "model",
    "models",
    "noticed_models",
    "open_incidents",
    "overview",
    "parts_between",
    "people",
    "points",
    "preview",
    "reports",
    "run",
    "runs_about",
    "scope_of",
    "segment_comparisons",
    "segments",
    "sessions",
    "statistics",
    "tokens",
    "track",
    "window_points",
    "windows",
    "worst_points",
]
