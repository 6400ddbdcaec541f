"""The kinds of things that are searched, in the order in which they are shown. A kind is one row of `KINDS`.

Each asks the database for no more rows than are shown and one: exact ids first, then what begins with the text, then
what has every word. The session is narrowed to what the viewer may see before any of them is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import or_, select

from backend.alerting.tables import Incident
from backend.assurance.tables import Finding
from backend.database.session import ReadSession
from backend.deployment.tables import Deployment
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.registry.tables import Model, Version
from backend.search.hits import Hit
from backend.search.predictions import find_predictions
from backend.search.typed import Typed, begins, holds, rank, same
from backend.settings import settings

SHORTEST_DIGEST: Final = 8
"""From so many characters on a text may be the beginning of a digest."""

Ask = Callable[[ReadSession, Actor, Typed, int], list[Hit]]


@dataclass(frozen=True)
class Kind:
    """`ask` gives at most as many as it is told. `needs` is held for the whole house, or for a team where `in_team`."""

    name: str
    title: str
    ask: Ask
    needs: Permission = Permission.READ_MODELS
    in_team: bool = True

    def may(self, viewer: Actor) -> bool:
        return viewer.may(self.needs) if self.in_team else viewer.may_in_house(self.needs)


def find_models(session: ReadSession, _: Actor, typed: Typed, limit: int) -> list[Hit]:
    columns = (Model.name, Model.title, Model.description)
    rows = session.execute(
        select(Model.name, Model.title, Model.tier, Model.owner_id)
        .where(holds(columns, typed.words))
        .order_by(rank(Model.name, typed.text), Model.name)
        .limit(limit)
    ).all()
    serves = _served(session, [row.name for row in rows])
    owners = names_of(session, {row.owner_id for row in rows})
    return [
        Hit(
            "model", row.name, row.title, serves.get(row.name, "nothing serves"),
            ", ".join(
                one for one in (f"tier {row.tier}", f"owner {owners[row.owner_id]}" if row.owner_id else "") if one
            ),
            "model", {"model": row.name}, exact=row.name.lower() == typed.text.lower(),
        )
        for row in rows
    ]  # fmt: skip


def _served(session: ReadSession, models: Sequence[str]) -> dict[str, str]:
    """Which version of each serves as champion in this environment, in words."""
    if not models:
        return {}
    rows = session.execute(
        select(Deployment.model, Deployment.version).where(
            Deployment.model.in_(models), Deployment.environment == settings().environment,
            Deployment.role == "champion", Deployment.ended_at.is_(None),
        )
    )  # fmt: skip
    return {model: f"v{version} serves" for model, version in rows}


def find_versions(session: ReadSession, _: Actor, typed: Typed, limit: int) -> list[Hit]:
    """By model and number, run, or the digest of the artefact."""
    named, text = typed.version, typed.text
    wanted = or_(holds((Version.model,), typed.words), same(Version.run_id, text))
    digest = text.lower().removeprefix("sha256:")
    if len(digest) >= SHORTEST_DIGEST:
        wanted = wanted | begins(Version.artefact_digest, f"sha256:{digest}")
    if named is not None:
        wanted = wanted | (holds((Version.model,), (named[0],)) & (Version.version == named[1]))
    rows = session.execute(
        select(Version.model, Version.version, Version.run_id, Version.artefact_digest)
        .where(wanted)
        .order_by(rank(Version.model, named[0] if named else text), Version.model, Version.version.desc())
        .limit(limit)
    ).all()
    serves = _served(session, sorted({row.model for row in rows}))
    return [
        Hit(
            "version", f"{row.model} v{row.version}", f"run {row.run_id}" if row.run_id else "",
            "serves" if serves.get(row.model) == f"v{row.version} serves" else "does not serve",
            f"files {row.artefact_digest[:19]}…", "model", {"model": row.model, "version": str(row.version)},
            exact=_is_version(row.model, row.version, row.run_id, row.artefact_digest, typed),
        )
        for row in rows
    ]  # fmt: skip


def _is_version(model: str, version: int, run: str, digest: str, typed: Typed) -> bool:
    named = typed.version
    if named is not None and (model.lower(), version) == (named[0].lower(), named[1]):
        return True
    return typed.text.lower() in (run.lower(), digest.lower(), digest.lower().removeprefix("sha256:"))


def find_changes(session: ReadSession, _: Actor, typed: Typed, limit: int) -> list[Hit]:
    number = typed.number("CHG")
    wanted = holds((Change.summary, Change.model, Change.kind, Change.reason), typed.words)
    if number is not None:
        wanted = Change.id == number if typed.is_named("CHG") else wanted | (Change.id == number)
    rows = session.execute(
        select(Change.id, Change.summary, Change.kind, Change.model, Change.state, Change.environment)
        .where(wanted)
        .order_by((Change.id == (number or 0)).desc(), rank(Change.model, typed.text), Change.id.desc())
        .limit(limit)
    )
    return [
        Hit(
            "change", f"CHG-{row.id}", row.summary, row.state, f"{row.model or 'the whole house'}, {row.environment}",
            "change", {"id": str(row.id)}, exact=row.id == number,
        )
        for row in rows
    ]  # fmt: skip


def find_incidents(session: ReadSession, _: Actor, typed: Typed, limit: int) -> list[Hit]:
    number = typed.number("INC")
    wanted = holds((Incident.title, Incident.model), typed.words)
    if number is not None:
        wanted = Incident.id == number if typed.is_named("INC") else wanted | (Incident.id == number)
    rows = session.execute(
        select(Incident.id, Incident.title, Incident.model, Incident.state, Incident.phase, Incident.severity)
        .where(wanted)
        .order_by(
            (Incident.id == (number or 0)).desc(), Incident.state != "open", rank(Incident.model, typed.text),
            Incident.id.desc(),
        )
        .limit(limit)
    )  # fmt: skip
    return [
        Hit(
            "incident", f"INC-{row.id}", row.title,
            row.phase.replace("_", " ") if row.state == "open" else "closed",
            f"SEV-{row.severity}, {row.model or 'installation'}", "incident", {"id": str(row.id)},
            exact=row.id == number,
        )
        for row in rows
    ]  # fmt: skip


def find_findings(session: ReadSession, _: Actor, typed: Typed, limit: int) -> list[Hit]:
    number = typed.number("FND")
    wanted = holds((Finding.title, Finding.detail, Finding.model), typed.words)
    if number is not None:
        wanted = Finding.id == number if typed.is_named("FND") else wanted | (Finding.id == number)
    rows = session.execute(
        select(Finding.id, Finding.title, Finding.model, Finding.state, Finding.severity)
        .where(wanted)
        .order_by((Finding.id == (number or 0)).desc(), Finding.state == "closed", Finding.id.desc())
        .limit(limit)
    )
    return [
        Hit(
            "finding", f"FND-{row.id}", row.title, row.state, f"{row.severity}, {row.model or 'the whole house'}",
            "inventory_model" if row.model else "inventory", {"model": row.model} if row.model else {},
            exact=row.id == number,
        )
        for row in rows
    ]  # fmt: skip


def find_people(session: ReadSession, _: Actor, typed: Typed, limit: int) -> list[Hit]:
    """By user name and name, also whoever may not come in any more."""
    rows = session.scalars(
        select(Person)
        .where(holds((Person.username, Person.display_name), typed.words))
        .order_by(rank(Person.username, typed.text), Person.disabled_at.is_not(None), Person.display_name, Person.id)
        .limit(limit)
    )  # fmt: skip
    return [
        Hit(
            "person", row.username, row.display_name, "disabled" if row.disabled_at else "may come in",
            ", ".join(sorted(one.role.replace("_", " ") for one in row.roles)) or row.kind, "people",
            {"person": row.username}, exact=row.username.lower() == typed.text.lower(),
        )
        for row in rows
    ]  # fmt: skip


KINDS: Final = (
    Kind("model", "Models", find_models),
    Kind("incident", "Incidents", find_incidents),
    Kind("change", "Changes", find_changes),
    Kind("version", "Versions", find_versions),
    Kind("finding", "Findings", find_findings),
    Kind("prediction", "Predictions", find_predictions, Permission.EXPLAIN_PREDICTION),
    Kind("person", "People", find_people, Permission.MANAGE_PEOPLE, in_team=False),
)
