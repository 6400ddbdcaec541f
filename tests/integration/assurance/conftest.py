"""A world whose model `toy` is owned by its engineer, and ways to vouch for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from backend import clock
from backend.assurance.documents import add_document
from backend.assurance.findings import open_finding
from backend.assurance.tables import Finding, Validation
from backend.assurance.validations import NewCondition, record_validation
from backend.audit.reading import EntryView, search_entries
from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.registry.tables import Model
from tests.worlds import World, make_world

REPORT = b"# What was looked at\n\nEverything.\n"


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files")
    with writing() as session:
        session.get_one(Model, "toy").owner_id = found.engineer.person_id
    return found


def hand_in(who: Actor, data: bytes = REPORT, name: str = "report.md") -> str:
    with writing() as session:
        return add_document(session, who, name=name, data=data).digest


def validate(
    who: Actor,
    *,
    version: int | None = 2,
    outcome: str = "fit",
    conditions: Sequence[NewCondition] = (),
    **more: Any,
) -> Validation:
    report = hand_in(who)
    with writing() as session:
        return record_validation(
            session, who, model="toy", version=version, scope="all of it", outcome=outcome, summary="it does",
            report=report, conditions=conditions, **more,
        )  # fmt: skip


def find(
    who: Actor, owner: Actor, *, severity: str = "high", days: float = 10, model: str | None = "toy"
) -> Finding:
    with writing() as session:
        return open_finding(
            session, who, model=model, title="labels leak", detail="the target is a feature", severity=severity,
            owner_id=owner.person_id, due_at=clock.now() + timedelta(days=days),
        )  # fmt: skip


def entries(world: World, action: str) -> list[EntryView]:
    with reading() as session:
        return search_entries(session, world.compliance, action=action)
