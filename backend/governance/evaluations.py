"""How often the gates of a change were evaluated, and what each time said: part of the evidence, so of what is signed.

A gate that measures time can pass at the tenth try. Whoever decides sees the nine before, also those of earlier changes
to the same version that were given up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.database.session import ReadSession
from backend.governance.machine import FINISHED
from backend.governance.tables import Change

EVALUATIONS: Final = "evaluations"
EARLIER_CHANGES: Final = 10


def with_evaluation(
    session: ReadSession, change: Change, results: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Every evaluation so far and this one, oldest first: change, revision, time, verdict of each gate."""
    known = change.evidence.get(EVALUATIONS)
    before = _of_earlier_changes(session, change) if known is None else known
    return [
        *before,
        {"change": change.id, "revision": change.revision, "at": clock.to_iso(clock.now()),
         "verdicts": {result["gate"]: result["verdict"] for result in results}},
    ]  # fmt: skip


def _of_earlier_changes(session: ReadSession, change: Change) -> list[dict[str, Any]]:
    """Of the last changes that asked for the same and came to their end without being executed."""
    if change.to_version is None:
        return []
    rows = session.execute(
        select(Change.id, Change.evidence)
        .where(
            Change.model == change.model, Change.environment == change.environment, Change.kind == change.kind,
            Change.to_version == change.to_version, Change.id < change.id,
            Change.state.in_([state for state in FINISHED if state != "executed"]),
        )
        .order_by(Change.id.desc())
        .limit(EARLIER_CHANGES)
    ).all()  # fmt: skip
    return [
        one
        for number, evidence in reversed(rows)
        for one in evidence.get(EVALUATIONS, ())
        if one["change"] == number
    ]


def evaluated_at_revision(change: Change) -> int:
    """The revision for which the gates were last asked: reports for it and for what followed from it are of now."""
    own = [one for one in change.evidence.get(EVALUATIONS, ()) if one["change"] == change.id]
    return change.revision if change.state == "checking" or not own else int(own[-1]["revision"])


def tries_of(evidence: Mapping[str, Any], gate: str) -> list[str]:
    """What a gate said each time, oldest first."""
    return [one["verdicts"][gate] for one in evidence.get(EVALUATIONS, ()) if gate in one["verdicts"]]
