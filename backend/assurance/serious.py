"""Marking an incident serious: clocks start, what is needed to understand it is held, and the state is kept.

The clocks are configuration (`serious_clocks.yaml`, replaced by revision). Just before any return to an earlier version
of the model is executed while such an incident is open, the state is kept again: the return would change it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import or_, select

from backend import clock
from backend.alerting.service import get_incident
from backend.alerting.tables import Alert, Incident
from backend.assurance.serious_tables import SeriousClock, SeriousIncident, SeriousRules, StateSnapshot
from backend.assurance.state import state_of_model
from backend.assurance.texts import written
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment
from backend.errors import BadInput, Conflict, NotFound
from backend.governance.yaml_text import read_yaml
from backend.holds.service import hold_for_incident
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission

BUILT_IN: Final = Path(__file__).with_name("serious_clocks.yaml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ClockRule(_Strict):
    """One time limit, counted from when the house became aware."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    days: Annotated[float, Field(gt=0, le=366)]
    source: Annotated[str, Field(max_length=200)] = ""


class ClockRules(_Strict):
    clocks: tuple[ClockRule, ...] = Field(min_length=1, max_length=20)


def read_rules(text: str) -> ClockRules:
    """Clocks from YAML; `BadInput` says what is wrong and where."""
    try:
        rules = ClockRules.model_validate(read_yaml(text))
    except yaml.YAMLError as error:
        raise BadInput(
            f"the clocks are not YAML: {' '.join(str(error).split())}", field="document"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInput(f"{place}: {first['msg']}", field="document") from error
    names = [one.id for one in rules.clocks]
    if len(set(names)) != len(names):
        raise BadInput("two clocks have the same id", field="document")
    return rules


@cache
def _built_in() -> ClockRules:
    return read_rules(BUILT_IN.read_text(encoding="utf-8"))


def rules_now(session: ReadSession) -> tuple[int, ClockRules]:
    """The revision in force, and its clocks; the built-in one is revision 1."""
    row = session.scalars(select(SeriousRules).order_by(SeriousRules.revision.desc()).limit(1)).first()
    return (1, _built_in()) if row is None else (row.revision, ClockRules.model_validate(row.document))


def replace_rules(session: WriteSession, actor: Actor, *, text: str, note: str) -> SeriousRules:
    """Put other clocks in force. Those that run keep what they were started with."""
    actor.require(Permission.SET_ASSURANCE_RULES)
    rules, (revision, _) = read_rules(text), rules_now(session)
    row = SeriousRules(
        revision=revision + 1, document=rules.model_dump(mode="json"), note=written(note, "note"),
        made_by=actor.person_id, made_at=clock.now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.SERIOUS_RULES_REPLACED, object_kind="serious_rules", object_id=row.revision,
        payload={"document": row.document}, why=row.note,
    )  # fmt: skip
    return row


def mark_serious(
    session: WriteSession,
    actor: Actor,
    incident_id: int,
    *,
    why: str,
    aware_at: datetime,
    clocks: Collection[str],
) -> SeriousIncident:
    """Say that an incident is serious: start these clocks from `aware_at`, hold what is needed, keep the state.

    Doing it again adds the clocks that do not run yet.
    """
    allow(session, actor, Permission.MARK_SERIOUS)
    incident = get_incident(session, actor, incident_id)
    if aware_at > clock.now():
        raise BadInput("nobody became aware in the future", field="aware_at")
    revision, rules = rules_now(session)
    known = {one.id: one for one in rules.clocks}
    if not clocks or set(clocks) - set(known):
        raise BadInput(f"name the clocks that start, of {', '.join(known)}", field="clocks")
    row = session.get(SeriousIncident, incident_id, with_for_update=True)
    is_new = row is None
    if row is None:
        row = SeriousIncident(
            incident_id=incident_id, why=written(why, "why"), aware_at=aware_at, marked_by=actor.person_id,
            marked_at=clock.now(),
        )  # fmt: skip
        session.add(row)
        session.flush()
    running = set(session.scalars(select(SeriousClock.rule).where(SeriousClock.incident_id == incident_id)))
    started = [known[name] for name in dict.fromkeys(clocks) if name not in running]
    for rule in started:
        session.add(
            SeriousClock(
                incident_id=incident_id, rule=rule.id, rules_revision=revision, title=rule.title, source=rule.source,
                days=rule.days, starts_at=aware_at, set_by=actor.person_id,
                due_at=aware_at + timedelta(days=rule.days),
            )
        )  # fmt: skip
    session.flush()
    if is_new or started:
        record(
            session, actor, Action.INCIDENT_SERIOUS, object_kind="incident", object_id=incident_id,
            payload={"aware_at": clock.to_iso(aware_at), "clocks": [one.id for one in started],
                     "rules": revision},
            why=written(why, "why"),
        )  # fmt: skip
    if is_new:
        _hold(session, actor, incident)
        _snapshot(session, actor, incident, change_id=None)
    return row


def set_clock(
    session: WriteSession, actor: Actor, clock_id: int, *, starts_at: datetime, why: str
) -> SeriousClock:
    """Set from when a clock runs; who did, and why, is on the record, and what it was set to before stays beside it.

    It begins no earlier than the house was aware. Moving a clock that was over does not hide that it was."""
    actor.require(Permission.SET_ASSURANCE_RULES)
    row = _clock(session, actor, clock_id)
    if row.met_at is not None:
        raise Conflict("this clock was met; it does not move any more")
    if starts_at > clock.now():
        raise BadInput("a clock runs from a moment that has been", field="starts_at")
    aware_at = session.get_one(SeriousIncident, row.incident_id).aware_at
    if starts_at < aware_at:
        raise BadInput(
            f"no clock runs before the house was aware ({aware_at:%Y-%m-%d %H:%M:%S} UTC)", field="starts_at"
        )
    said, now = written(why, "why"), clock.now()
    was_over = now >= row.due_at
    row.earlier = [
        *row.earlier,
        {"starts_at": clock.to_iso(row.starts_at), "due_at": clock.to_iso(row.due_at), "set_by": row.set_by,
         "until": clock.to_iso(now), "was_over": was_over, "why": said},
    ]  # fmt: skip
    before, row.starts_at = row.starts_at, starts_at
    row.due_at, row.set_by = starts_at + timedelta(days=row.days), actor.person_id
    session.flush()
    record(
        session, actor, Action.CLOCK_SET, object_kind="incident", object_id=row.incident_id, why=said,
        payload={"clock": row.rule, "was_over": was_over, "before": clock.to_iso(before),
                 "after": clock.to_iso(starts_at), "due_at": clock.to_iso(row.due_at)},
    )  # fmt: skip
    return row


def meet_clock(session: WriteSession, actor: Actor, clock_id: int, *, evidence: str) -> SeriousClock:
    """Say that what the clock asks for was done, and where that can be seen. Doing it again does nothing."""
    actor.require(Permission.SET_ASSURANCE_RULES)
    row = _clock(session, actor, clock_id)
    if row.met_at is not None:
        return row
    row.met_at, row.met_by, row.evidence = clock.now(), actor.person_id, written(evidence, "evidence")
    session.flush()
    record(
        session, actor, Action.CLOCK_MET, object_kind="incident", object_id=row.incident_id, why=row.evidence,
        payload={"clock": row.rule, "late": row.met_at > row.due_at},
    )  # fmt: skip
    return row


def keep_before_return(session: WriteSession, actor: Actor, *, model: str, change_id: int) -> None:
    """Keep the state of a model under a serious incident before a change leaves the version that serves: while the
    incident is open, and while a clock of it runs, also where the rule has closed it since nothing fires.

    Called in the transaction in which the change begins to be executed; once for each change and incident.
    """
    running = select(SeriousClock.incident_id).where(SeriousClock.met_at.is_(None))
    marked = session.scalars(
        select(Incident)
        .join(SeriousIncident, SeriousIncident.incident_id == Incident.id)
        .where(Incident.model == model, or_(Incident.state == "open", Incident.id.in_(running)))
    ).all()
    for incident in marked:
        known = select(StateSnapshot.id).where(
            StateSnapshot.incident_id == incident.id, StateSnapshot.change_id == change_id
        )
        if session.scalar(known) is None:
            _snapshot(session, actor, incident, change_id=change_id)


def clocks_of(session: ReadSession, viewer: Actor, incident_id: int) -> list[SeriousClock]:
    """The clocks of an incident, the first to end first; none where it is not serious."""
    get_incident(session, viewer, incident_id)
    return list(
        session.scalars(
            select(SeriousClock).where(SeriousClock.incident_id == incident_id).order_by(SeriousClock.due_at)
        )
    )


def snapshots_of(session: ReadSession, viewer: Actor, incident_id: int) -> list[StateSnapshot]:
    get_incident(session, viewer, incident_id)
    return list(
        session.scalars(
            select(StateSnapshot).where(StateSnapshot.incident_id == incident_id).order_by(StateSnapshot.id)
        )
    )


def clock_state(row: SeriousClock, now: datetime) -> str:
    """running, over, met, or met late."""
    if row.met_at is not None:
        return "met" if row.met_at <= row.due_at else "met late"
    return "over" if now >= row.due_at else "running"


def _hold(session: WriteSession, actor: Actor, incident: Incident) -> None:
    """Hold the artefacts of what served or was tried, and the model's predictions, windows and log."""
    versions = set(
        session.scalars(
            select(Deployment.version).where(
                Deployment.model == incident.model, Deployment.environment == incident.environment,
                (Deployment.ended_at.is_(None)) | (Deployment.ended_at >= incident.opened_at),
            )
        )
    ) | set(
        session.scalars(
            select(Alert.version).where(Alert.incident_id == incident.id, Alert.version.is_not(None))
        )
    )  # fmt: skip
    things = [("artefact", f"{incident.model}/{version}") for version in sorted(v for v in versions if v)]
    things += [(kind, incident.model) for kind in ("predictions", "windows", "log")]
    for kind, object_id in things:
        hold_for_incident(
            session, actor, kind=kind, object_id=object_id, model=incident.model, incident_id=incident.id,
            reason=f"INC-{incident.id} is serious",
        )  # fmt: skip


def _snapshot(session: WriteSession, actor: Actor, incident: Incident, *, change_id: int | None) -> None:
    from backend.governance.digests import digest_of

    document = state_of_model(session, incident.model, incident.environment)
    row = StateSnapshot(
        model=incident.model, incident_id=incident.id, change_id=change_id, digest=digest_of(document),
        document=document, taken_at=clock.now(),
    )  # fmt: skip
    session.add(row)
    session.flush()
    record(
        session, actor, Action.STATE_KEPT, object_kind="incident", object_id=incident.id,
        payload={"snapshot": row.id, "digest": row.digest, "change": change_id},
    )  # fmt: skip


def _clock(session: WriteSession, actor: Actor, clock_id: int) -> SeriousClock:
    row = session.get(SeriousClock, clock_id, with_for_update=True)
    if row is None:
        raise NotFound(f"there is no clock {clock_id} that you may see")
    get_incident(session, actor, row.incident_id)
    return row
