"""Which models a viewer may see: one place, asked by every read service through `see`.

    see(session, viewer)      the permission to read models, and from then on what this session finds

Most people see every model. Who is limited to some (an external auditor) has them in `Actor.models`; then every query
of the session is narrowed to rows of these models, whatever service asks it: tables with a `model` column by
themselves, what hangs on a change, a window, a deployment or a validation by its owner (`_HANGING`). A row without a
model (of the whole house) is not theirs. A session only ever narrows: nothing that a service does on somebody else's
behalf widens it again.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Text, and_, cast, event, false, or_, select
from sqlalchemy.orm import ORMExecuteState, with_loader_criteria

from backend.database.session import ReadSession
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
    viewer.require(permission)
    narrow(session, viewer)


def narrow(session: ReadSession, viewer: Actor) -> None:
    """From now on this session finds only what the viewer may see, and what it could find before."""
    if viewer.models is None:
        return
    known: frozenset[str] | None = session.info.get(_REACH)
    session.info[_REACH] = viewer.models if known is None else known & viewer.models


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
        and_(AuditEntry.object_kind == "model", AuditEntry.object_id.in_(names)),
        *(
            and_(
                AuditEntry.object_kind.in_(_NAMED_BY_MODEL),
                AuditEntry.object_id.startswith(f"{name}/", autoescape=True),
            )
            for name in names
        ),
    ]
    classes = _classes()
    monitors, runs, objectives = classes["monitors"], classes["job_runs"], classes["slo_objectives"]
    for kind, ids in (
        ("monitor", select(monitors.key).where(monitors.model.in_(names))),
        ("objective", select(objectives.key).where(objectives.model.in_(names))),
        ("job_run", select(runs.id).where(runs.subject.in_(names))),
    ):
        kinds.append(and_(AuditEntry.object_kind == kind, AuditEntry.object_id.in_(ids)))
    for kind, table in _ENTRY_KINDS.items():
        one = classes.get(table)
        if one is not None:
            ids = select(cast(one.id, Text)).where(one.model.in_(names))
            kinds.append(and_(AuditEntry.object_kind == kind, AuditEntry.object_id.in_(ids)))
    return or_(*kinds) if names else false()


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
            options.append(with_loader_criteria(one, one.name.in_(names), include_aliases=True))
        elif hasattr(one, "model"):
            options.append(with_loader_criteria(one, one.model.in_(names), include_aliases=True))
        elif table == "job_runs":
            options.append(with_loader_criteria(one, one.subject.in_(names), include_aliases=True))
        elif table in _HOUSE:
            options.append(with_loader_criteria(one, false(), include_aliases=True))
        elif table in _HANGING:
            column, owner = _HANGING[table]
            owner, _, key = owner.partition(".")
            theirs = classes[owner].__table__
            ids = select(theirs.c[key or "id"]).where(theirs.c.model.in_(names))
            options.append(with_loader_criteria(one, getattr(one, column).in_(ids), include_aliases=True))
    return tuple(options)


@event.listens_for(ReadSession, "do_orm_execute")
def _narrowed(state: ORMExecuteState) -> None:
    models = state.session.info.get(_REACH)
    if models is not None and state.is_select and not state.is_column_load:
        state.statement = state.statement.options(*_criteria(models))
