"""A world whose model `toy` is owned by its engineer, and ways to ask one query of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend import clock
from backend.controls.assessment import assess
from backend.controls.evidence import Evidence, Question
from backend.controls.judgements import sign_judgement
from backend.controls.queries.registry import queries
from backend.controls.tables import ControlJudgement
from backend.database.session import reading, writing
from backend.identity.actor import Actor
from backend.identity.confirmation import confirm_account
from backend.identity.tables import Person
from backend.registry.tables import Model
from tests.worlds import World, make_world


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    found = make_world(tmp_path / "files")
    with writing() as session:
        session.get_one(Model, "toy").owner_id = found.engineer.person_id
    return found


def ask(
    world: World, name: str, *, at: datetime | None = None, later: timedelta = timedelta(0), version: int | None = 2,
    by: Actor | None = None, **parameters: Any,
) -> Evidence:  # fmt: skip
    """What one query says now; `at` of a moment that is over, `later` as if nothing had happened for so long."""
    found = queries()[name]
    with reading() as session:
        model = session.get(Model, "toy") if found.about in ("model", "either") else None
        asked = Question(
            session,
            by or world.compliance,
            model,
            version,
            "production",
            at or clock.now() + later,
            at is None,
        )
        evidence: Evidence = found.look(asked, **parameters)
        return evidence


def username_of(actor: Actor) -> str:
    with reading() as session:
        return session.get_one(Person, actor.person_id).username


def seen(by: Actor, control: str, *, catalogue: str = "eu-ai-act-annex-iv", model: str | None = "toy") -> str:
    """The digest of the evidence as somebody sees it now."""
    with reading() as session:
        return assess(session, by, catalogue=catalogue, model=model, only=control).controls[0].digest


def judge(
    by: Actor, control: str = "annex-iv.7", *, catalogue: str = "eu-ai-act-annex-iv", model: str | None = "toy",
    days: float = 90, **more: Any,
) -> ControlJudgement:  # fmt: skip
    """A signed judgement on what is seen now."""
    digest = more.pop("seen_digest", None) or seen(by, control, catalogue=catalogue, model=model)
    confirmed = more.pop("confirmed", None) or confirm_account(by, username=username_of(by))
    given = {"outcome": "met", "text": "the list is attached", **more}
    with writing() as session:
        return sign_judgement(
            session, by, catalogue=catalogue, control=control, model=model, seen_digest=digest,
            valid_until=clock.now() + timedelta(days=days), confirmed=confirmed, **given,
        )  # fmt: skip
