"""A monitor and its thresholds, or the false-alarm budget, changed under the same rules as what serves."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Final

import yaml

from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput
from backend.governance import errors
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked, Kind, Proposal, register
from backend.governance.kinds.objective import FIELDS, apply_objective, names_objective, wanted_objective
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.monitoring.budget_service import change_budget, check_budget, spec_digest
from backend.monitoring.columns import parse_spec
from backend.monitoring.monitor_tables import MonitorVersion
from backend.monitoring.monitors_service import (
    change_monitor,
    check_definition,
    create_monitor,
    delete_monitor,
    get_monitor,
    pause_monitor,
)
from backend.monitoring.spec_fields import Budget
from backend.registry.service import get_model
from backend.registry.tables import Model

STATES: Final = {"active": "is looked at again", "paused": "is paused", "deleted": "is deleted"}


def propose_monitor(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """A new monitor (`subject["definition"]`), another definition of one that there is (`subject["key"]`), or that it
    is paused, looked at again or deleted (`subject["state"]`); or another false-alarm budget (`subject["budget"]`), or
    an objective (`subject["objective"]`, or the `key` of one and `retire`)."""
    if not asked.model:
        raise BadInput("name the model of the monitor", field="model")
    about = FIELDS if names_objective(asked.subject) else {"definition", "key", "state", "budget"}
    extra = sorted(set(asked.subject) - about)
    if extra or asked.to_version is not None or asked.to_cutoff is not None:
        raise BadInput(
            f"a change of a monitor has no {', '.join(extra) or 'version or cut-off'}", field="subject"
        )
    model = get_model(session, viewer, asked.model)
    if names_objective(asked.subject):
        summary, now, wanted, texts = wanted_objective(
            session, viewer, model, asked.environment, dict(asked.subject)
        )
        return _proposal(asked, model, summary, now=now, wanted=wanted, texts=texts)
    if "budget" in asked.subject:
        return _propose_budget(model, asked)
    key, state = asked.subject.get("key"), asked.subject.get("state")
    row = get_monitor(session, viewer, key) if key else None
    if row is not None and (row.model, row.environment) != (model.name, asked.environment):
        raise BadInput(f"the monitor {key} is not one of {model.name} in {asked.environment}", field="key")
    before: dict[str, Any] = row.definition if row is not None else {}
    if state is not None:
        name, after, verb = _state_wanted(row, state, asked)
    else:
        monitor = check_definition(model, asked.subject.get("definition") or {})
        name, after, verb = monitor.name, monitor.to_json(), "changes" if row is not None else "is added"
        if before == after:
            raise errors.NothingToChange(f"the monitor {name!r} is defined so already")
    return _proposal(
        asked, model, f"the monitor {name!r} of {model.name} {verb} in {asked.environment}",
        now={"key": key, "number": row.number if row is not None else None, "is": before},
        wanted=after if state is None else {"state": state},
        texts={"before": _text(before), "after": _text(after) if state is None else f"it {verb}"},
    )  # fmt: skip


def _proposal(
    asked: Asked, model: Model, summary: str, *, now: dict[str, Any], wanted: dict[str, Any], texts: dict[str, str]
) -> Proposal:  # fmt: skip
    return Proposal(
        asked=asked, model=model, tier=model.tier, summary=summary,
        bound={
            "monitor": digest_of(now), "wanted": digest_of(wanted),
            "model": digest_of({"name": model.name, "tier": model.tier, "spec": model.spec}),
        },
        evidence={
            "schema": 2, "kind": "monitor", "model": {"name": model.name, "title": model.title, "tier": model.tier},
            "texts": texts, "cautions": [],
        },
    )  # fmt: skip


def _propose_budget(model: Model, asked: Asked) -> Proposal:
    """Another false-alarm budget, from which calibrated limits of all the model's environments follow."""
    if set(asked.subject) != {"budget"}:
        raise BadInput("a change of the false-alarm budget names `budget` alone", field="subject")
    before, after = asdict(parse_spec(model.spec).budget), asdict(_budget_of(asked.subject["budget"]))
    if before == after:
        raise errors.NothingToChange(f"the false-alarm budget of {model.name} is so already")
    return _proposal(
        asked, model, f"the false-alarm budget of {model.name} changes", now={"budget": before},
        wanted={"budget": after}, texts={"before": _text(before), "after": _text(after)},
    )  # fmt: skip


def _budget_of(wanted: Any) -> Budget:
    names = [one.name for one in fields(Budget)]
    if not isinstance(wanted, dict) or sorted(wanted) != sorted(names):
        raise BadInput(f"a false-alarm budget has {', '.join(names)}", field="subject")
    pages, rota, shift = (wanted[name] for name in ("pages_per_quarter", "rota", "rota_pages_per_shift"))
    if not isinstance(rota, str) or any(
        isinstance(n, bool) or not isinstance(n, (int, float)) for n in (pages, shift)
    ):
        raise BadInput("a false-alarm budget has two numbers, and the name of a rota", field="subject")
    return check_budget(float(pages), rota, float(shift))


def _state_wanted(row: MonitorVersion | None, state: str, asked: Asked) -> tuple[str, dict[str, Any], str]:
    if row is None or "definition" in asked.subject or state not in STATES:
        raise BadInput(
            f"the state of a monitor is {', '.join(STATES)}; name its key, and no definition beside it",
            field="subject",
        )
    if row.state == state:
        raise errors.NothingToChange(f"the monitor {row.name!r} is {state} already")
    if row.state == "deleted":
        raise BadInput(f"the monitor {row.name!r} is deleted; ask for a new one", field="key")
    return row.name, row.definition, STATES[state]


def apply_monitor(session: WriteSession, actor: Actor, change: Change) -> str:
    assert change.model is not None  # noqa: S101 - proposed with one
    if names_objective(change.subject):
        return apply_objective(session, actor, change, get_model(session, actor, change.model))
    key, state, why = change.subject.get("key"), change.subject.get("state"), f"CHG-{change.id}"
    if "budget" in change.subject:
        wanted = asdict(_budget_of(change.subject["budget"]))
        seen_digest = spec_digest(get_model(session, actor, change.model))
        change_budget(session, actor, model=change.model, seen_digest=seen_digest, why=why, **wanted)
        return f"the false-alarm budget of {change.model} holds from the next computation on"
    if key is None:
        made = create_monitor(
            session, actor, model=change.model, environment=change.environment,
            definition=change.subject["definition"], why=why,
        )  # fmt: skip
        return f"version {made.number} of the monitor {made.name!r} is looked at from the next computation on"
    seen = get_monitor(session, actor, key).number
    if state == "deleted":
        made = delete_monitor(session, actor, key, seen=seen, why=why)
    elif state is not None:
        made = pause_monitor(session, actor, key, paused=state == "paused", seen=seen, why=why)
    else:
        made = change_monitor(
            session, actor, key, definition=change.subject["definition"], seen=seen, why=why
        )
        return f"version {made.number} of the monitor {made.name!r} is looked at from the next computation on"
    return f"the monitor {made.name!r} {STATES[state]}"


def _text(definition: dict[str, Any]) -> str:
    return (
        yaml.safe_dump(definition, sort_keys=False, allow_unicode=True) if definition else "no such monitor"
    )


MONITOR = register(
    Kind("monitor", "Monitor", "Adds a monitor, changes its conditions, thresholds and level, pauses or deletes it; or "
         "changes the model's false-alarm budget or one of its objectives.",
         propose_monitor, rollout=False, apply=apply_monitor)
)  # fmt: skip
