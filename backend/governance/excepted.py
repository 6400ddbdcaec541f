"""Exceptions from gates as a change rests on them: part of the gate results, and so of what is signed.

An exception of a model counts for a change where its signed gate results name it, for as long as it stands, and never
where somebody granted it whom the rule of this change excludes from deciding. So whoever approves signs the exception
as well, with the quorum of the rule.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from backend import clock
from backend.assurance.exceptions import excepted_gates, why_not_granted
from backend.assurance.tables import PolicyException
from backend.database.session import ReadSession
from backend.governance.authority import excluded_people
from backend.governance.tables import Change
from backend.identity.tables import Person


def exceptions_for(session: ReadSession, change: Change) -> dict[str, PolicyException]:
    """Gate -> the exception from it that stands now, where its granter may: a person whom the rule does not exclude."""
    standing = excepted_gates(session, change.model)
    if not standing:
        return {}
    barred = excluded_people(session, change)
    rows = session.execute(
        select(PolicyException, Person)
        .join(Person, Person.id == PolicyException.decided_by)
        .where(PolicyException.id.in_(standing.values()))
    )
    return {
        row.gate: row
        for row, granter in rows
        if granter.kind == "person" and granter.id not in barred and (granter.owner_id or "") not in barred
    }


def with_exceptions(
    session: ReadSession, change: Change, results: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The results; each required one that has not passed with the exception that lets the change past it."""
    found = exceptions_for(session, change)
    told = []
    for result in results:
        plain = {key: value for key, value in result.items() if key != "exception"}
        row = found.get(plain["gate"]) if plain["required"] and plain["verdict"] != "pass" else None
        told.append(plain if row is None else {**plain, "exception": _told(row)})
    return told


def _told(row: PolicyException) -> dict[str, Any]:
    return {
        "id": row.id, "ref": f"EXC-{row.id}", "reason": row.reason, "asked_by": row.asked_by, "comment": row.comment,
        "decided_by": row.decided_by, "expires_at": clock.to_iso(row.expires_at),
    }  # fmt: skip


def bound_exceptions(session: ReadSession, change: Change) -> dict[str, int]:
    """Gates that do not stand in the way of this change: what its results name, and what stands at this moment."""
    named = {one["gate"]: one["exception"]["id"] for one in change.gates if one.get("exception")}
    standing = excepted_gates(session, change.model) if named else {}
    return {gate: number for gate, number in named.items() if standing.get(gate) == number}


def why_not_here(session: ReadSession, change: Change, gate: str) -> str | None:
    """Why an exception that was granted does not count for this change; None where it does, or where none is needed."""
    result = next((one for one in change.gates if one["gate"] == gate), None)
    if result is None or result["verdict"] == "pass" or not result["required"]:
        return None
    if gate in bound_exceptions(session, change):
        return None
    otherwise = why_not_granted(session, change.model).get(gate)
    if otherwise is not None:
        return otherwise
    if gate not in exceptions_for(session, change):
        return "it does not count here: the rule of this change excludes who granted it"
    return "it counts here once the gates are evaluated again: it was granted after somebody had decided"
