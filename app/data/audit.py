"""The audit log: entries, one with its proof, and its heads."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

import streamlit as st

from app.data.rows import MOST_READ
from app.data.scope import SHORT, Scope
from backend import clock
from backend.assurance.as_of import HouseThen, house_as_of
from backend.audit import heads
from backend.audit import reading as audit
from backend.audit.finding_hands import count_findings, list_findings
from backend.audit.key_periods import KeysInUse, keys_in_use
from backend.audit.population import Population, parse_period, population_of
from backend.audit.receipts import ReceiptLine, receipts_of_change
from backend.audit.reconciliation import last_compared
from backend.audit.saved_searches import saved_searches
from backend.audit.signers import verifier_keys
from backend.audit.state import LogState, log_state
from backend.audit.streaming import StreamState, stream_states
from backend.audit.tables import AuditFinding
from backend.database.session import reading
from backend.identity.people import names_of
from backend.identity.roles import Permission


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_entries(scope: Scope, **wanted: Any) -> list[audit.EntryView]:
    with reading() as session:
        return audit.search_entries(session, scope.actor(), **wanted)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def kept_searches(scope: Scope) -> dict[str, dict[str, Any]]:
    """The viewer's own searches by name."""
    with reading() as session:
        return {one.name: one.search for one in saved_searches(session, scope.actor(), limit=MOST_READ)}


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def log_findings(
    scope: Scope,
) -> tuple[list[AuditFinding], list[AuditFinding], dict[str, str], tuple[int, int]]:
    """The first open and closed findings about the log, the names of their owners and of those they are about, and how
    many there are of each."""
    with reading() as session:
        viewer = scope.actor()
        found, closed = list_findings(session, viewer), list_findings(session, viewer, closed=True)
        ids = {one.owner for one in (*found, *closed)} | {
            one.details.get("actor") for one in (*found, *closed)
        }
        counts = count_findings(session, viewer), count_findings(session, viewer, closed=True)
        return found, closed, names_of(session, ids), counts


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def log_compared(scope: Scope) -> datetime | None:
    """When the log was last compared with what happened; None where it never was."""
    scope.actor().require_some(Permission.READ_AUDIT)
    with reading() as session:
        return last_compared(session)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def log_streams(scope: Scope) -> list[StreamState]:
    """How far the systems that follow the log are."""
    viewer = scope.actor()
    viewer.require_some(Permission.READ_AUDIT)
    with reading() as session:
        return [] if viewer.models_with(Permission.READ_AUDIT) is not None else stream_states(session)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def population(scope: Scope, period: str, as_of: datetime | None) -> Population:
    with reading() as session:
        return population_of(session, scope.actor(), parse_period(period), as_of=as_of)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=20)
def house_then(scope: Scope, as_of: datetime | None) -> tuple[HouseThen, dict[str, str]]:
    """The house at the end of a day (None: now), and the names of everybody in it."""
    with reading() as session:
        then = house_as_of(session, scope.actor(), as_of or clock.now())
        owners = {one.owner for one in then.models} | {one.owner for one in then.findings}
        return then, names_of(session, owners | {one.person_id for one in then.people or ()})


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_entry(scope: Scope, seq: int) -> dict[str, Any]:
    with reading() as session:
        detail = audit.entry_detail(session, scope.actor(), seq)
        return {
            "view": detail.view, "leaf": detail.leaf, "salt": detail.salt,
            "proof": asdict(detail.proof) if detail.proof else None, "proof_problem": detail.proof_problem,
        }  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def audit_state(scope: Scope) -> tuple[LogState, dict[str, Any], list[str]]:
    """How far the log is signed and kept elsewhere, the head that this machine published outside of the database, and
    the public keys that verify it."""
    scope.actor().require_some(Permission.READ_AUDIT)
    published = (
        _published()
    )  # before the database: an entry that comes in between is not one that was cut off
    with reading() as session:
        state = log_state(session)
    try:
        keys = [key.statement for key in verifier_keys()]
    except (ValueError, OSError) as error:
        keys = [f"the file of verifier keys cannot be read: {error}"]
    return state, published, keys


def _published() -> dict[str, Any]:
    """How many entries this machine published outside of the database; `problem`: why that cannot be read."""
    try:
        found = heads.read_head()
    except ValueError as error:
        return {"published_size": None, "problem": str(error)}
    return {"published_size": found.size if found else None, "problem": ""}


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def keys_of_log(scope: Scope) -> KeysInUse | None:
    """Which keys there are, since when and until when; None where the file of verifier keys cannot be read."""
    try:
        published = verifier_keys()
    except (ValueError, OSError):
        return None
    with reading() as session:
        return keys_in_use(session, scope.actor(), published)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def change_receipts(scope: Scope, change_id: int) -> tuple[list[ReceiptLine], dict[str, str]]:
    """Decisions and executions of a change in the log, and the names of who acted; nothing for those who may not read
    it."""
    viewer = scope.actor()
    if not viewer.may(Permission.READ_AUDIT):
        return [], {}
    with reading() as session:
        found = receipts_of_change(session, viewer, change_id)
        return found, names_of(session, {line.actor for line in found})


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
