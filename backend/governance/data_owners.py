"""Who owns the data that a version was trained on, as people declare it: a rule can exclude them from deciding.

A declaration is of one version, needs a reason, and is an entry of the log. What waits for decisions on that version
was signed with other people in view: it is void, and asked for again.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession
from backend.errors import BadInput, NotAllowed, NotFound
from backend.governance.asking import checked_text, void_change
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.identity.tables import Person
from backend.registry.recorded import refuse_other_people
from backend.registry.service import get_model
from backend.registry.tables import Version

DECLARED: Final = "who owns the data of the version was declared anew"
_SIGNED: Final = ("checking", "waiting", "approved")


def declare_data_owner(
    session: WriteSession, actor: Actor, model: str, number: int, *, username: str, why: str
) -> Version:
    """Say whose the training data of a version are, by user name; empty: nobody's here. The same again does nothing.

    Who owns them by the record does not take themselves off it: they would let themselves decide.
    """
    allow(session, actor, Permission.REGISTER_VERSIONS)
    get_model(session, actor, model)
    version = session.scalars(
        select(Version).where(Version.model == model, Version.version == number).with_for_update()
    ).one_or_none()
    if version is None:
        raise NotFound(f"{model} has no version {number}", model=model, version=number)
    refuse_other_people(session, version)
    owner = _owner(session, username) if username.strip() else None
    before, after = version.data_owner, owner.id if owner is not None else None
    if before == after:
        return version
    if before in actor.people:
        raise NotAllowed(
            f"you own the data of version {number} of {model} by the record; somebody else has to say that you do not"
        )
    why = checked_text(why, "why", required=True)
    version.data_owner = after
    session.flush()
    record(
        session, actor, Action.DATA_OWNER_DECLARED, object_kind="version", object_id=f"{model}/{number}",
        payload={"data_owner": after, "before": before}, why=why,
    )  # fmt: skip
    for change in _signed_otherwise(session, model, number):
        void_change(session, change, [DECLARED])
    return version


def _owner(session: WriteSession, username: str) -> Person:
    """A person; an account that acts for one owns nothing."""
    wanted = username.strip().lower()
    found = session.scalars(
        select(Person).where(Person.username == wanted, Person.kind == "person", Person.disabled_at.is_(None))
    ).one_or_none()
    if found is None:
        raise BadInput(f"{username!r} is nobody here; give the user name of a person", field="username")
    return found


def _signed_otherwise(session: WriteSession, model: str, number: int) -> list[Change]:
    """Changes to this version that people decide on. What goes ahead without decisions excludes nobody."""
    rows = session.scalars(
        select(Change)
        .where(
            Change.model == model, Change.to_version == number, Change.state.in_(_SIGNED),
            Change.break_glass.is_(False), Change.way_back_id.is_(None),
        )
        .order_by(Change.id)
        .with_for_update()
    )  # fmt: skip
    return list(rows)
