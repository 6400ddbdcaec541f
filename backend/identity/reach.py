"""Which models a viewer may see: one place, asked by every read service through `see`.

    see(session, viewer)                   the permission to read models, and from then on what this session finds
    allow(session, actor, permission)      the same for any permission: of whoever changes something

Most people see every model. Who is limited to some (an external auditor, or whoever has a role in a team alone) has
them in `Actor.models_with(permission)`; then every query of the session is narrowed to rows of these models, whatever
service asks it: tables with a `model` column by themselves, what hangs on a change, a window, a deployment or a
validation by its owner (`_HANGING`). A row without a model (of the whole house) is not theirs. A session only ever
narrows: nothing that a service does on somebody else's behalf widens it again. What such a session writes about another
model, or about the whole house, is refused, too: the model is not there for who acts.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, and_, cast, event, false, func, literal, or_, select
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria

from backend.database.many import FirstPart, among
from backend.database.session import ReadSession, WriteSession
from backend.errors import NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Permission

_REACH: Final = "reach"
# table -> (its column, the table that has the model, where need be with the column that is named): narrowed by the rows
# of that one that can be seen
_HANGING: Final = {
    "decisions": ("change_id", "changes"), "change_snapshots": ("change_id", "changes"),
    "change_looks": ("change_id", "changes"), "external_checks": ("change_id", "changes"),
    "reviews": ("change_id", "changes"), "conditions": ("change_id", "changes"),
    "retraining_steps": ("run_id", "retraining_runs"),
    "rollout_steps": ("change_id", "changes"), "rollout_commands": ("change_id", "changes"),
    "target_tellings": ("change_id", "changes"), "serving_tallies": ("deployment_id", "deployments"),
    "window_profiles": ("window_id", "windows"), "validation_conditions": ("validation_id", "validations"),
    "card_reviews": ("card_version_id", "card_versions"), "serious_clocks": ("incident_id", "incidents"),
    "serious_incidents": ("incident_id", "incidents"), "incident_entries": ("incident_id", "incidents"),
    "notices": ("incident_id", "incidents"), "told_incidents": ("incident_id", "incidents"),
    "begun_routes": ("incident_id", "incidents"),
    "sli_counts": ("objective", "slo_states.objective"),
}  # fmt: skip
# Of the whole house, and naming models in words: nothing of it is for who sees some models only.
_HOUSE: Final = frozenset({"backups", "restore_drills"})
# audit entries name objects by kind and id: kind -> table whose ids they are
_ENTRY_KINDS: Final = {
    "change": "changes", "incident": "incidents", "alert": "alerts", "deployment": "deployments",
    "validation": "validations", "finding": "findings", "exception": "policy_exceptions", "hold": "holds",
    "pack": "evidence_packs",
    "retraining": "retraining_runs",
    "report": "reports", "judgement": "control_judgements", "data_request": "data_requests",
    "silence": "silences", "maintenance": "slo_maintenance",
}  # fmt: skip

_NAMED_BY_MODEL: Final = ("version", "card")  # model/version, model/version/number


def see(session: ReadSession, viewer: Actor, permission: Permission = Permission.READ_MODELS) -> None:
    """Require the permission to read, and narrow what this session finds to what the viewer may see."""
    allow(session, viewer, permission)


def allow(session: ReadSession, actor: Actor, permission: Permission) -> None:
    """Require a permission for the house or a team, and narrow this session to the models for which it is held."""
    actor.require_some(permission)
    narrow(session, actor, permission)


def narrow(session: ReadSession, viewer: Actor, permission: Permission = Permission.READ_MODELS) -> None:
    """From now on this session finds only what the viewer may see, and what it could find before."""
    models = viewer.models_with(permission)
    if models is None:
        return
    known: frozenset[str] | None = session.info.get(_REACH)
    session.info[_REACH] = models if known is None else known & models


def in_reach(session: ReadSession, model: str) -> bool:
    """Whether this session finds the model, also one that it found before it was narrowed and still holds."""
    models: frozenset[str] | None = session.info.get(_REACH)
    return models is None or model in models


def require_house(session: ReadSession) -> None:
    """Refuse what concerns more than the models that this session was narrowed to."""
    if session.info.get(_REACH) is not None:
        raise NotAllowed("this concerns the whole house; it needs a role that is not limited to a team")


def entries_in_reach(session: ReadSession) -> list[ColumnElement[bool]]:
    """Conditions on audit entries, for whoever reads the log: those about objects that this session may find.

    Proofs need the hashes of every entry, so the log's own reading is not narrowed by itself.
    """
    models: frozenset[str] | None = session.info.get(_REACH)
    return [] if models is None else [entries_about(sorted(models))]


def entries_about(names: list[str]) -> ColumnElement[bool]:
    """A condition on audit entries: those about these models, their versions, changes, incidents and so on."""
    from backend.audit.tables import AuditEntry

    kinds: list[ColumnElement[bool]] = [
        and_(AuditEntry.object_kind == "model", among(AuditEntry.object_id, names)),
        and_(AuditEntry.object_kind.in_(_NAMED_BY_MODEL), among(FirstPart(AuditEntry.object_id), names)),
    ]
    classes = _classes()
    monitors, runs, objectives = classes["monitors"], classes["job_runs"], classes["slo_objectives"]
    for kind, ids in (
        ("monitor", select(monitors.key).where(among(monitors.model, names))),
        ("objective", select(objectives.key).where(among(objectives.model, names))),
        ("job_run", select(runs.id).where(_runs_about(names))),
    ):
        kinds.append(and_(AuditEntry.object_kind == kind, AuditEntry.object_id.in_(ids)))
    for kind, table in _ENTRY_KINDS.items():
        one = classes.get(table)
        if one is not None:
            ids = select(cast(one.id, Text)).where(among(one.model, names))
            kinds.append(and_(AuditEntry.object_kind == kind, AuditEntry.object_id.in_(ids)))
    return or_(*kinds) if names else false()


def _runs_about(names: list[str]) -> ColumnElement[bool]:
    """A condition on job runs: their subject is one of these models, something of it, or a change of it."""
    classes = _classes()
    subject, changes = classes["job_runs"].subject, classes["changes"].__table__
    of_changes = select(literal("CHG-") + cast(changes.c.id, Text)).where(among(changes.c.model, names))
    return or_(among(FirstPart(func.replace(subject, " ", "/")), names), subject.in_(of_changes))


@cache
def _classes() -> dict[str, Any]:
    from backend.database.tables import Base

    return {str(mapper.class_.__tablename__): mapper.class_ for mapper in Base.registry.mappers}


@lru_cache(maxsize=64)
def _criteria(models: frozenset[str]) -> tuple[Any, ...]:
    """An option for every table that says something of a model."""
    names, classes = sorted(models), _classes()
    options = []
    for table, one in classes.items():
        if table == "models":
            options.append(with_loader_criteria(one, among(one.name, names), include_aliases=True))
        elif hasattr(one, "model"):
            options.append(with_loader_criteria(one, among(one.model, names), include_aliases=True))
        elif table == "job_runs":
            options.append(with_loader_criteria(one, _runs_about(names), include_aliases=True))
        elif table in _HOUSE:
            options.append(with_loader_criteria(one, false(), include_aliases=True))
        elif table in _HANGING:
            column, owner = _HANGING[table]
            owner, _, key = owner.partition(".")
            theirs = classes[owner].__table__
            ids = select(theirs.c[key or "id"]).where(among(theirs.c.model, names))
            options.append(with_loader_criteria(one, getattr(one, column).in_(ids), include_aliases=True))
    return tuple(options)


@event.listens_for(ReadSession, "do_orm_execute")
def _narrowed(state: ORMExecuteState) -> None:
    models = state.session.info.get(_REACH)
    asks = state.is_select and not state.is_column_load
    if models is not None and (asks or state.is_update or state.is_delete):
        state.statement = state.statement.options(*_criteria(models))


@event.listens_for(WriteSession, "before_flush")
def _kept_within(session: WriteSession, context: object, instances: object) -> None:
    models = session.info.get(_REACH)
    if models is None:
        return
    for row in session.new:
        about = getattr(row, "model", ...)
        if (
            about is None or row.__tablename__ == "models"
        ):  # what a new model is called tells nothing of others
            require_house(session)
        elif about is not ... and about not in models:
            raise NotFound(f"there is no model named {about!r} that you may see", model=about)
    # What was found by a wider right, before the narrower one was asked, is in the session still.
    for row in (*session.dirty, *session.deleted):
        about = row.name if row.__tablename__ == "models" else getattr(row, "model", ...)
        if about is not ... and about not in models and (row in session.deleted or session.is_modified(row)):
            raise NotAllowed(
                f"this concerns {about or 'the whole house'}, where you do not have the right to do it"
            )
