"""The inventory is filtered, counted, ordered and cut in the database, and says what judging each model says."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from backend import clock
from backend.assurance.inventory import Entry, entry_of, every_model_kept, list_models_kept
from backend.assurance.inventory_query import LEVELS, SEVERITIES, TIERS
from backend.assurance.inventory_tables import ModelFacts, TierAnswers
from backend.assurance.tables import Document, Finding, Validation, ValidationCondition
from backend.database.engine import database as open_database
from backend.database.session import WriteSession, reading, writing
from backend.identity.actor import Actor
from backend.identity.people import person_by_id
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.tables import Team, TeamMember, TeamModel
from backend.registry.tables import ImportedModel, Model
from tests.worlds import SPEC, World, person

MODELS = 40
PLACES: dict[str, Callable[[Entry], Any]] = {
    "due": lambda one: (LEVELS.index(one.level), -len(one.due)),
    "name": lambda one: (),
    "tier": lambda one: TIERS.index(one.tier),
    "findings": lambda one: (-one.findings_overdue, [-one.findings[each] for each in SEVERITIES]),
    "validated": lambda one: (
        one.validation["recorded_at"] if one.validation else datetime.min.replace(tzinfo=UTC)
    ),
    "review": lambda one: one.next_review_at or datetime.max.replace(tzinfo=UTC),
}


def _facts(session: WriteSession, model: str, who: str, chance: random.Random) -> None:
    """What people may have said of a model: any of it may be missing, over, or to come."""
    now = clock.now()

    def some_day() -> datetime:
        return now + timedelta(days=chance.choice([-40, -3, 5, 60]), minutes=chance.randrange(600))

    if chance.random() < 0.7:
        session.add(
            ModelFacts(
                model=model, purpose=chance.choice(["", "prices of 100% sure things", "Loans"]),
                data=chance.choice(["", "claims"]), vendor=chance.choice(["", "Acme"]), contact="", owners=[],
                next_review_at=chance.choice([None, some_day()]), kept_by=who, kept_at=now,
            )
        )  # fmt: skip
    for _ in range(chance.choice([0, 0, 1, 2])):
        session.add(
            Validation(
                model=model, version=None, scope="all", summary="s", report="sha256:r", validator=who, barred={},
                outcome=chance.choice(["fit", "fit_with_conditions", "not_fit"]), recorded_at=some_day(),
                next_review_at=chance.choice([None, some_day()]),
                conditions=[ValidationCondition(text="c", due_at=some_day(), met_at=chance.choice([None, now]))],
            )
        )  # fmt: skip
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        session.add(
            Finding(
                model=model, title="t", detail="d", owner_id=who, owners=[], opened_at=now, due_at=some_day(),
                severity=chance.choice(SEVERITIES), state=chance.choice(["open", "answered", "closed"]),
            )
        )  # fmt: skip
    for _ in range(chance.choice([0, 1, 2])):
        session.add(
            TierAnswers(
                model=model, revision=1, digest="d", answers={}, levels={}, tier=chance.choice(TIERS), note="",
                answered_by=who, answered_at=now,
            )
        )  # fmt: skip


@pytest.fixture
def fleet(world: World) -> World:
    """`MODELS` models of which anything may be known or not, half of them of a team that `member` alone is in."""
    chance, who = random.Random(5), world.compliance.person_id
    with writing() as session:
        session.add(Document(digest="sha256:r", name="r", media_type="text/plain", bytes=1, added_by=who,
                             added_at=clock.now()))  # fmt: skip
        session.add(Team(id="team_1", name="Pricing", created_at=clock.now()))
        session.flush()
        for number in range(MODELS):
            name = f"m{number:02}"
            session.add(
                Model(
                    name=name, title=f"Model {number}", tier=chance.choice(TIERS), enforcement="observe",
                    spec=chance.choice([{}, SPEC]), description=chance.choice(["", "Claims"]),
                    owner_id=chance.choice([None, who]), created_at=clock.now(),
                )
            )  # fmt: skip
            session.flush()
            if chance.random() < 0.3:
                session.add(ImportedModel(model=name, read_from="x", tags={}, imported_at=clock.now()))
            if number % 2:
                session.add(TeamModel(team_id="team_1", model=name))
            _facts(session, name, who, chance)
        _facts(session, "toy", who, chance)
    return world


@pytest.fixture
def member(fleet: World) -> Actor:
    """Somebody with a role in the team alone."""
    with writing() as session:
        row = person(session, "member")
        session.add(
            TeamMember(team_id="team_1", person_id=row.person_id, role=Role.ML_LEAD.value, since=clock.now())
        )
        session.flush()
        return actor_of(person_by_id(session, row.person_id), session_id=None)


def read(viewer: Actor, **filters: Any) -> list[Entry]:
    """All that match, read seven at a time."""
    found: list[Entry] = []
    with reading() as session:
        while True:
            page = list_models_kept(
                session, viewer, environment="production", offset=len(found), limit=7, **filters
            )
            found += page.entries
            if len(found) >= page.total:
                assert len(found) == page.total
                return found


@pytest.mark.parametrize("descending", [False, True])
def test_pages_are_in_the_order_of_what_each_entry_says(fleet: World, *, descending: bool) -> None:
    for sort, place in PLACES.items():
        found = read(fleet.viewer, sort=sort, descending=descending)
        wanted = sorted(found, key=lambda one: (place(one), one.model), reverse=descending)
        assert [one.model for one in found] == [one.model for one in wanted], sort
        assert len({one.model for one in found}) == MODELS + 1


def test_filters_find_what_the_entries_say(fleet: World) -> None:
    every = read(fleet.viewer)
    levels = {one.level for one in every}
    assert {"page", "attention", "unknown"} <= levels
    for filters, holds in (
        ({"needing": True}, lambda one: one.level in ("page", "attention")),
        ({"tiers": ("low", "high")}, lambda one: one.tier in ("low", "high")),
        ({"kinds": ("vendor",)}, lambda one: one.kind == "vendor"),
        ({"kinds": ("imported",)}, lambda one: one.kind == "imported"),
        ({"owner": "Compliance"}, lambda one: one.owner == "Compliance"),
        ({"team": "Pricing"}, lambda one: one.team == "Pricing"),
        ({"text": "CLAIMS"}, lambda one: "claims" in one.purpose.lower()),
        ({"text": "acme"}, lambda one: one.vendor == "Acme"),
        ({"text": "100%"}, lambda one: "100%" in one.purpose),
        ({"text": "m_1"}, lambda one: False),
    ):
        expected = {one.model for one in every if holds(one)}
        assert {one.model for one in read(fleet.viewer, **filters)} == expected, filters
        assert expected or filters == {"text": "m_1"}
    with reading() as session:
        page = list_models_kept(session, fleet.viewer, environment="production", tiers=("low",), limit=1)
    assert page.needing == sum(one.level in ("page", "attention") for one in every)
    assert (page.known, page.total) == (MODELS + 1, sum(one.tier == "low" for one in every))


def test_one_entry_is_the_one_of_the_list_and_files_have_all_of_them(fleet: World) -> None:
    every = {one.model: one for one in read(fleet.viewer)}
    with reading() as session:
        for model in ("m07", "toy"):
            assert entry_of(session, fleet.viewer, model, environment="production") == every[model]
        filed = list(every_model_kept(session, fleet.viewer, environment="production", sort="name"))
    assert [one.model for one in filed] == sorted(every)


def test_a_member_of_a_team_reads_counts_and_finds_its_models_alone(fleet: World, member: Actor) -> None:
    theirs = [f"m{number:02}" for number in range(MODELS) if number % 2]
    assert [one.model for one in read(member, sort="name")] == theirs
    every = {one.model: one for one in read(fleet.viewer)}
    for one in read(member):
        assert (one.due, one.findings, one.kind) == (
            every[one.model].due,
            every[one.model].findings,
            every[one.model].kind,
        )
    with reading() as session:
        page = list_models_kept(session, member, environment="production", text="m00")
    assert (page.entries, page.total, page.known) == ([], 0, len(theirs))
    assert page.needing == sum(every[one].level in ("page", "attention") for one in theirs)


def test_a_page_costs_as_many_questions_as_any_other_and_reads_its_rows_alone(fleet: World) -> None:
    asked: list[str] = []
    engine = open_database().read_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    def questions(limit: int) -> int:
        asked.clear()
        event.listen(engine, "before_cursor_execute", note)
        with reading() as session:
            list_models_kept(session, fleet.viewer, environment="production", kinds=("vendor",), limit=limit)
        event.remove(engine, "before_cursor_execute", note)
        return len(asked)

    assert questions(1) == questions(5)
    cut = [one for one in asked if "LIMIT" in one and "kept" in one]
    assert len(cut) == 1
