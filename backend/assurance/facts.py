"""What people say of a model: purpose, data, owner, next review; and models that only a vendor serves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from backend import clock
from backend.assurance.hands import require_person
from backend.assurance.inventory_tables import ModelFacts
from backend.assurance.texts import day_ahead, written
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.observations.schema import check_model
from backend.registry.inventory import UNKNOWN_TIER
from backend.registry.service import get_model
from backend.registry.tables import Model


def register_vendor_model(
    session: WriteSession,
    actor: Actor,
    *,
    name: str,
    title: str,
    vendor: str,
    purpose: str,
    data: str,
    contact: str,
    owner_id: str,
    next_review_at: datetime | None = None,
) -> Model:
    """Enter a model that a vendor serves: it has an owner here and no artefact, no version and nothing measured.

    It is governed as the unknown are, as tier high, until a change of its tier says otherwise.
    """
    allow(session, actor, Permission.KEEP_INVENTORY)
    check_model(name)
    if session.get(Model, name) is not None:
        raise Conflict(f"there is a model {name} already; choose another name", model=name)
    owner = require_person(session, owner_id, "owner_id")
    model = Model(
        name=name, title=written(title, "title", longest=200), description="", tier=UNKNOWN_TIER, spec={},
        enforcement="enforce", owner_id=owner.id, created_at=clock.now(),
    )  # fmt: skip
    session.add(model)
    session.flush()
    facts = ModelFacts(
        model=name, purpose=written(purpose, "purpose"), data=written(data, "data"),
        vendor=written(vendor, "vendor", longest=200), contact=written(contact, "contact", longest=400),
        owners=[owner.id], kept_by=actor.person_id, kept_at=clock.now(),
        next_review_at=day_ahead(next_review_at, "next_review_at") if next_review_at else None,
    )  # fmt: skip
    session.add(facts)
    session.flush()
    record(
        session, actor, Action.VENDOR_MODEL_REGISTERED, object_kind="model", object_id=name,
        payload={"title": model.title, "tier": model.tier, **_said(model, facts)},
    )  # fmt: skip
    return model


def keep_facts(
    session: WriteSession,
    actor: Actor,
    *,
    model: str,
    why: str,
    purpose: str | None = None,
    data: str | None = None,
    vendor: str | None = None,
    contact: str | None = None,
    owner_id: str | None = None,
    next_review_at: datetime | None = None,
) -> ModelFacts:
    """Write what is known of a model; what is None stays. A vendor is named of vendor models only."""
    allow(session, actor, Permission.KEEP_INVENTORY)
    found = get_model(session, actor, model)
    facts = session.get(ModelFacts, model, with_for_update=True)
    if facts is None:
        facts = ModelFacts(
            model=model, purpose="", data="", vendor="", contact="", kept_by=actor.person_id, kept_at=clock.now(),
            owners=[found.owner_id] if found.owner_id else [],
        )  # fmt: skip
        session.add(facts)
    if vendor is not None and bool(vendor.strip()) != bool(facts.vendor):
        raise BadInput(
            f"{model} is {'a' if facts.vendor else 'no'} vendor's model; that does not change by hand",
            field="vendor",
        )
    before = _said(found, facts)
    if owner_id is not None and owner_id != found.owner_id:
        found.owner_id = require_person(session, owner_id, "owner_id").id
    facts.owners = list(dict.fromkeys([*facts.owners, *([found.owner_id] if found.owner_id else [])]))
    for name, value in (("purpose", purpose), ("data", data), ("vendor", vendor), ("contact", contact)):
        if value is not None:
            setattr(facts, name, written(value, name, required=name == "vendor"))
    if next_review_at is not None:
        facts.next_review_at = day_ahead(next_review_at, "next_review_at")
    after = _said(found, facts)
    if after == before:
        return facts
    facts.kept_by, facts.kept_at = actor.person_id, clock.now()
    session.flush()
    record(
        session, actor, Action.FACTS_KEPT, object_kind="model", object_id=model, why=written(why, "why"),
        payload={
            "before": {key: value for key, value in before.items() if after[key] != value},
            "after": {key: value for key, value in after.items() if before[key] != value},
        },
    )  # fmt: skip
    return facts


def _said(model: Model, facts: ModelFacts) -> dict[str, Any]:
    return {
        "owner": model.owner_id, "purpose": facts.purpose, "data": facts.data, "vendor": facts.vendor,
        "contact": facts.contact,
        "next_review_at": clock.to_iso(facts.next_review_at) if facts.next_review_at else None,
    }  # fmt: skip
