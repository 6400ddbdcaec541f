"""Whose hands an account is: the person and every service account of theirs count as one."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select

from backend.assurance.inventory_tables import ModelFacts
from backend.audit.actions import Action
from backend.audit.entries_about import entries_about
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.identity.people import is_auditor, person_by_id
from backend.identity.tables import Person
from backend.registry.tables import Model, Version


def owner_of(session: ReadSession, person_id: str) -> str:
    """The person behind an account: itself, or the owner of a service account."""
    return session.scalar(select(Person.owner_id).where(Person.id == person_id)) or person_id


def same_hands(session: ReadSession, actor: Actor, people: Iterable[str | None]) -> bool:
    """Whether this actor is one of `people`, by any account of either."""
    mine = {owner_of(session, one) for one in actor.people}
    return not mine.isdisjoint(owner_of(session, one) for one in people if one)


def builders_and_owners(session: ReadSession, model: Model, version: int | None) -> dict[str, str]:
    """Person -> why they cannot vouch for the model: they own it, trained a version of it, or own its data.

    `version` None: of any version, since the model as a whole is vouched for.
    """
    found: dict[str, list[str]] = {}

    def bar(person: str | None, why: str) -> None:
        for one in {person, owner_of(session, person)} if person is not None else ():
            found.setdefault(one, []).append(why)

    bar(model.owner_id, f"owns {model.name}")
    facts = session.get(ModelFacts, model.name)
    told = entries_about(session, "model", [model.name], (Action.MODEL_REGISTERED,)).get(model.name, [])
    registered = [
        one
        for entry in told
        for said in (entry.payload or {},)
        for one in (said.get("owner"), (said.get("before") or {}).get("owner"))
    ]
    for former in dict.fromkeys([*(facts.owners if facts is not None else ()), *registered]):
        if former != model.owner_id:
            bar(former, f"owned {model.name}")
    query = select(Version.version, Version.trained_by, Version.data_owner).where(Version.model == model.name)
    if version is not None:
        query = query.where(Version.version == version)
    for number, trained_by, data_owner in session.execute(query.order_by(Version.version)):
        bar(trained_by, f"trained version {number}")
        bar(data_owner, f"owns the data of version {number}")
    return {one: " and ".join(reasons) for one, reasons in found.items()}


def require_person(session: ReadSession, person_id: str, field: str) -> Person:
    """An open account of a person, who can be asked to do something."""
    from backend.errors import BadInput

    found = person_by_id(session, person_id)
    if found.kind != "person" or found.disabled_at is not None or is_auditor(found):
        raise BadInput(
            f"{found.display_name} cannot take this on: name a person whose account is open", field=field
        )
    return found
