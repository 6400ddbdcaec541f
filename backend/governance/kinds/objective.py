"""An objective defined, revised or retired under the rules of a change; proposed as a change of kind `monitor`."""

from __future__ import annotations

from typing import Any, Final

from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.governance import errors
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.registry.tables import Model
from backend.slo.objectives import Objective
from backend.slo.objectives_service import (
    define_objective,
    get_objective,
    objective_of,
    retire_objective,
    revise_objective,
)
from backend.slo.openslo import parse_openslo
from backend.slo.openslo_writing import write_openslo
from backend.slo.tables import ObjectiveRevision

FIELDS: Final = frozenset({"objective", "key", "retire"})


def names_objective(subject: dict[str, Any]) -> bool:
    """Whether the subject of a change is an objective rather than a monitor."""
    return "objective" in subject or "retire" in subject


def wanted_objective(
    session: ReadSession, viewer: Actor, model: Model, environment: str, subject: dict[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, str]]:
    """What a subject asks for: (summary, what is now, what is wanted, both as texts). Raises `BadInput`."""
    row = _row(session, viewer, model, environment, subject)
    before = row.document if row is not None else ""
    if subject.get("retire"):
        if row is None or "objective" in subject or row.state == "retired":
            raise BadInput(
                "to retire an objective, name the key of one that holds, and no text", field="subject"
            )
        summary = f"the objective {row.name!r} of {model.name} is retired in {environment}"
        wanted: dict[str, Any] = {"retire": True}
        after = "it is retired"
    else:
        objective = _read(model, environment, subject)
        after = write_openslo([objective])
        if row is not None and row.state == "active" and objective_of(row) == objective:
            raise errors.NothingToChange(f"the objective {objective.name!r} is defined so already")
        verb = "is revised" if row is not None else "is defined"
        summary = f"the objective {objective.name!r} of {model.name} {verb} in {environment}"
        wanted = {"document": after}
    now = {"key": subject.get("key"), "number": row.number if row is not None else None, "is": before}
    return summary, now, wanted, {"before": before or "no such objective", "after": after}


def apply_objective(session: WriteSession, actor: Actor, change: Change, model: Model) -> str:
    """Carry out an approved change of an objective."""
    subject, why = change.subject, f"CHG-{change.id}"
    row = _row(session, actor, model, change.environment, subject)
    if subject.get("retire"):
        assert row is not None  # noqa: S101 - proposed with one
        retire_objective(session, actor, row.key, seen=row.number, why=why)
        return f"the objective {row.name!r} is retired"
    objective = _read(model, change.environment, subject)
    if row is None:
        made = define_objective(session, actor, objective=objective, why=why)
    else:
        made = revise_objective(session, actor, row.key, objective=objective, seen=row.number, why=why)
    return f"revision {made.number} of the objective {made.name!r} is judged from the next minute on"


def _row(
    session: ReadSession, viewer: Actor, model: Model, environment: str, subject: dict[str, Any]
) -> ObjectiveRevision | None:
    key = subject.get("key")
    row = get_objective(session, viewer, str(key)) if key else None
    if row is not None and (row.model, row.environment) != (model.name, environment):
        raise BadInput(f"the objective {key} is not one of {model.name} in {environment}", field="key")
    return row


def _read(model: Model, environment: str, subject: dict[str, Any]) -> Objective:
    found = parse_openslo(str(subject.get("objective") or ""), file="objective")
    if len(found) != 1:
        raise BadInput(f"a change is about one objective; this text has {len(found)}", field="objective")
    [objective] = found
    if (objective.model, objective.environment) != (model.name, environment):
        raise BadInput(
            f"the text is about {objective.model} in {objective.environment}, the change about {model.name} in "
            f"{environment}",
            field="objective",
        )
    return objective
