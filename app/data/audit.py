"""The audit log: entries, one with its proof, and its heads."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import streamlit as st

from app.data.scope import SHORT, Scope
from backend.audit import heads
from backend.audit import reading as audit
from backend.audit.tables import AuditHead
from backend.database.session import reading
from backend.identity.roles import Permission


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_entries(scope: Scope, **wanted: Any) -> list[audit.EntryView]:
    with reading() as session:
        return audit.search_entries(session, scope.actor(), **wanted)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_entry(scope: Scope, seq: int) -> dict[str, Any]:
    with reading() as session:
        detail = audit.entry_detail(session, scope.actor(), seq)
        return {
            "view": detail.view, "leaf": detail.leaf, "salt": detail.salt,
            "proof": asdict(detail.proof) if detail.proof else None, "proof_problem": detail.proof_problem,
        }  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_head(scope: Scope) -> dict[str, Any]:
    """Size and root in the database, and the head that this machine published outside of it."""
    scope.actor().require(Permission.READ_AUDIT)
    with reading() as session:
        head = session.get(AuditHead, 1)
    try:
        published = heads.read_head()
        problem = ""
    except ValueError as error:
        published, problem = None, str(error)
    return {
        "size": head.size if head else 0, "root": head.root if head else "",
        "published_size": published.size if published else None,
        "published_root": published.root if published else None, "problem": problem,
    }  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def fault_switches(scope: Scope, model: str, since: datetime, until: datetime) -> list[audit.EntryView]:
    """When somebody injected a fault of the demo into this model's workload, or took it away; nothing for those who
    may not read the log."""
    viewer = scope.actor()
    if not viewer.may(Permission.READ_AUDIT):
        return []
    with reading() as session:
        return audit.search_entries(
            session, viewer, action="demo:fault", object_id=model, since=since, until=until, limit=20
        )
