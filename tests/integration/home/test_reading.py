"""The rows of the blocks of the first page, on both databases, and that they stay within what one may see."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from backend import clock
from backend.access.tables import AccessReview
from backend.assurance.inventory_tables import ModelFacts
from backend.assurance.tables import Finding
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from backend.governance.tables import Change, RolloutStep
from backend.home import reading as home
from backend.home.reading import Row, Rows
from backend.identity.actor import Actor, TeamRole
from backend.identity.roles import Role
from backend.queue import JobRun
from tests.worlds import World, add_model, make_world

HERE = "production"


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    """`toy` serves v2 of two; `credit` serves v1 of two, so that v2 is a candidate."""
    made = make_world(tmp_path / "files")
    add_model(made, "credit", serving=1)
    return made


def first(found: Rows) -> list[tuple[str, str | None]]:
    return [(one.id, one.model) for one in found.rows]


def of_toy(who: Actor) -> Actor:
    roles = (TeamRole("ours", Role.ML_LEAD, frozenset({"toy"})),)
    return replace(who, roles=frozenset(), team_roles=roles)


def test_a_newer_version_that_never_served_is_a_candidate_until_it_is_asked_for(world: World) -> None:
    with reading() as session:
        found = home.candidates(session, world.lead, HERE)
    assert first(found) == [("credit/2", "credit")]
    assert found.rows[0].text == "v2, v1 serves"
    with reading() as session:
        assert home.candidates(session, of_toy(world.lead), HERE) == Rows((), 0)
    asked = Asked("promote", HERE, "credit", 2)
    with writing() as session:
        seen = preview_change(session, world.on_call, asked)
        request_change(session, world.on_call, asked, reason="better", seen_digest=seen.digest)
    with reading() as session:
        assert home.candidates(session, world.lead, HERE).total == 0


def test_a_rollout_says_its_stage_and_whether_it_waits_for_a_person(world: World) -> None:
    asked, until = Asked("promote", HERE, "credit", 2), clock.now() + timedelta(hours=3)
    with writing() as session:
        seen = preview_change(session, world.on_call, asked)
        change = request_change(session, world.on_call, asked, reason="better", seen_digest=seen.digest)
        change.state = "executing"
        step = RolloutStep(
            change_id=change.id, number=1, role="canary", share=0.2, bake_until=until, analysis={}
        )
        session.add(step)
        number = change.id
    with reading() as session:
        found = home.running_rollouts(session, world.lead, HERE)
        assert home.running_rollouts(session, world.lead, "staging").total == 0
    assert found == Rows((Row(str(number), "credit", "v2: canary, 20% of requests", until, False),), 1)
    with writing() as session:
        session.get_one(RolloutStep, (number, 1)).verdict = "inconclusive"
    with reading() as session:
        assert home.running_rollouts(session, world.lead, HERE).rows[0].needs_somebody
    with reading() as session:
        assert home.running_rollouts(session, of_toy(world.lead), HERE) == Rows((), 0)


def test_changes_of_the_last_day_are_those_that_were_executed_or_failed(world: World) -> None:
    asked = Asked("promote", HERE, "credit", 2)
    with writing() as session:
        seen = preview_change(session, world.on_call, asked)
        number = request_change(session, world.on_call, asked, reason="better", seen_digest=seen.digest).id
    for state, ago, shown in (("executed", 1, 1), ("failed", 2, 1), ("executed", 30, 0), ("cancelled", 1, 0)):
        with writing() as session:
            change = session.get_one(Change, number)
            change.state, change.finished_at = state, clock.now() - timedelta(hours=ago)
        with reading() as session:
            found = home.recent_changes(session, world.on_call, HERE)
        assert found.total == shown, (state, ago)
        assert all(one.needs_somebody == (state == "failed") for one in found.rows)


def test_findings_and_reviews_are_listed_by_their_day_and_say_which_are_over(world: World) -> None:
    now = clock.now()
    with writing() as session:
        for at, model in enumerate(("toy", "credit")):
            session.add(
                Finding(
                    model=model, title=f"{model} leaks", detail="so", severity="high", owners=[],
                    due_at=now + timedelta(days=1 - 2 * at), owner_id=world.lead.person_id, opened_at=now,
                )
            )  # fmt: skip
            session.add(
                ModelFacts(
                    model=model, owners=[], next_review_at=now + timedelta(days=1 - 2 * at), kept_at=now,
                    kept_by=world.lead.person_id,
                )
            )  # fmt: skip
        session.add(
            AccessReview(
                title="Q3",
                started_by=world.compliance.person_id,
                started_at=now,
                due_at=now - timedelta(days=1),
            )
        )
    with reading() as session:
        found = home.overdue_findings(session, world.compliance)
        assert [(one.model, one.needs_somebody) for one in found.rows] == [("credit", True), ("toy", False)]
        assert [one.model for one in home.overdue_model_reviews(session, world.compliance).rows] == ["credit"]
        assert [one.text for one in home.overdue_access_reviews(session, world.compliance).rows] == ["Q3"]
        with pytest.raises(NotAllowed):
            home.overdue_access_reviews(session, world.lead)
    with reading() as session:
        member = of_toy(world.lead)
        assert [one.model for one in home.overdue_findings(session, member).rows] == ["toy"]
        assert home.overdue_model_reviews(session, member).total == 0


def test_no_more_rows_are_read_than_are_shown_and_all_are_counted(world: World) -> None:
    now = clock.now()
    with writing() as session:
        session.add_all(
            JobRun(
                id=f"run{at}", name="prune", queue="metrics", subject="", state="failed", requested_at=now,
                arguments={}, finished_at=now - timedelta(hours=at),
            )
            for at in range(30)
        )  # fmt: skip
    with reading() as session:
        found = home.failed_jobs(session, world.viewer)
    assert [one.id for one in found.rows] == [f"run{at}" for at in range(5)]
    assert found.total == 24
