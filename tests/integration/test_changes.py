"""Asking for, deciding on and voiding changes, through the services, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.service import champion, start_deployment
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed
from backend.governance import errors, execution
from backend.governance.asking import cancel_change, preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.reading import get_change, waiting_for
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.monitoring.tables import MetricPoint, WindowState
from backend.queue import JobRun
from backend.registry.tables import Version
from tests.worlds import SYSTEM, World, make_world

ROLLBACK = Asked("rollback", "production", "toy")


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def ask(actor: Actor) -> tuple[int, str]:
    """Ask for a rollback as the page does: preview, then post the digest that was seen."""
    with reading() as session:
        seen = preview_change(session, actor, ROLLBACK)
    with writing() as session:
        change = request_change(session, actor, ROLLBACK, reason="it degraded", seen_digest=seen.digest)
        return change.id, change.digest


def say(actor: Actor, change_id: int, digest: str, verdict: str = "approve", comment: str = "fine") -> str:
    with writing() as session:
        return decide(session, actor, change_id, verdict=verdict, comment=comment, seen_digest=digest).state


def test_a_rollback_goes_to_the_last_version_that_served_healthily(world: World) -> None:
    with reading() as session:
        preview = preview_change(session, world.on_call, ROLLBACK)
    assert (preview.proposal.from_version, preview.proposal.to_version) == (2, 1)
    assert {
        row["name"]: (row["before"], row["after"]) for row in preview.proposal.evidence["parameters"]
    } == {"depth": (2, 1)}
    assert "-Version 2." in preview.proposal.evidence["card_diff"]
    assert "+Version 1." in preview.proposal.evidence["card_diff"]


def test_a_version_that_was_paged_about_is_not_proposed(world: World) -> None:
    with writing() as session:
        fire(
            session,
            SYSTEM,
            Firing("toy", "production", 1, "realised", "page", "AUC fell", "auc", clock.now(), {}),
        )
    with reading() as session, pytest.raises(errors.NoHealthyVersion, match="paged about: AUC fell"):
        preview_change(session, world.on_call, ROLLBACK)


@pytest.mark.parametrize(
    "kind, level, details, why",
    [
        ("slo", "ticket", {}, "missed an objective: it is slow"),
        ("monitor", "page", {"kind": "realised"}, "paged about: it is slow"),
        ("monitor", "page", {"kind": "drift"}, None),
        ("realised", "ticket", {}, None),
    ],
)
def test_what_speaks_against_a_version_counts_while_its_last_windows_last(
    migrated_home: Path, tmp_path: Path, kind: str, level: str, details: dict[str, str], why: str | None
) -> None:
    world = make_world(tmp_path / "files")

    def proposed() -> int | str | None:
        with reading() as session:
            try:
                return preview_change(session, world.on_call, ROLLBACK).proposal.to_version
            except errors.NoHealthyVersion as error:
                return error.message

    firing = Firing("toy", "production", 1, kind, level, "it is slow", "p95", clock.now(), details)
    with writing() as session:
        alert = fire(session, SYSTEM, firing)
    found = proposed()
    assert found == 1 if why is None else why in str(found)
    with writing() as session:
        first = session.scalars(
            select(WindowState.start).where(WindowState.version == 1).order_by(WindowState.start)
        ).first()
        assert first is not None
        over = first - timedelta(days=1)
        session.execute(
            update(Alert)
            .where(Alert.id == alert.id)
            .values(state="resolved", fired_at=over, resolved_at=over)
        )
    assert proposed() == 1, "it was over before the windows that are looked at"


def test_a_version_about_which_nothing_is_known_is_not_proposed(world: World) -> None:
    with writing() as session:
        session.execute(update(MetricPoint).values(verdict="inconclusive", value=None))
    with reading() as session, pytest.raises(errors.NoHealthyVersion, match="could be judged"):
        preview_change(session, world.on_call, ROLLBACK)


def test_approval_by_another_person_queues_exactly_one_execution(world: World) -> None:
    change_id, digest = ask(world.on_call)
    assert say(world.lead, change_id, digest) == "approved"
    assert say(world.lead, change_id, digest) == "approved"
    with reading() as session:
        assert [run.id for run in session.scalars(select(JobRun))] == [f"change-{change_id}"]
        assert len(get_change(session, world.viewer, change_id).decisions) == 1
        actions = [entry.action for entry in session.scalars(select(AuditEntry).order_by(AuditEntry.seq))][
            -2:
        ]
    assert actions == ["governance:change:request", "governance:change:approve"]


def test_the_requester_cannot_decide_even_with_the_role_or_through_a_service_account(world: World) -> None:
    change_id, digest = ask(world.lead)
    with pytest.raises(errors.OwnRequest):
        say(world.lead, change_id, digest)
    service = replace(world.other_lead, kind="service", acting_for=world.lead.person_id)
    with pytest.raises(errors.OwnRequest):
        say(service, change_id, digest)
    assert say(world.other_lead, change_id, digest) == "approved"


def test_the_trainer_of_the_version_cannot_decide(world: World) -> None:
    change_id, digest = ask(world.on_call)
    with pytest.raises(errors.OwnVersion):
        say(replace(world.lead, person_id=world.engineer.person_id), change_id, digest)


@pytest.mark.parametrize("name", ["viewer", "on_call", "engineer", "compliance"])
def test_only_roles_the_policy_names_decide(world: World, name: str) -> None:
    change_id, digest = ask(world.lead)
    with pytest.raises(NotAllowed):
        say(getattr(world, name), change_id, digest)


def test_a_decision_on_another_digest_is_refused_and_changes_nothing(world: World) -> None:
    change_id, _ = ask(world.on_call)
    with pytest.raises(ChangedSinceSeen):
        say(world.lead, change_id, "sha256:other")
    with reading() as session:
        assert get_change(session, world.viewer, change_id).state == "waiting"


def test_a_request_on_an_outdated_preview_is_refused(world: World) -> None:
    with reading() as session:
        seen = preview_change(session, world.on_call, ROLLBACK)
    world.card(1).write_text("# Rewritten\n")
    with writing() as session, pytest.raises(ChangedSinceSeen):
        request_change(session, world.on_call, ROLLBACK, reason="x", seen_digest=seen.digest)  # fmt: skip


def test_rejecting_needs_a_comment_and_ends_the_change(world: World) -> None:
    change_id, digest = ask(world.on_call)
    with pytest.raises(BadInput, match="comment"):
        say(world.lead, change_id, digest, "reject", "  ")
    assert say(world.lead, change_id, digest, "reject", "not now") == "rejected"
    with pytest.raises(errors.ChangeNotWaiting):
        say(world.other_lead, change_id, digest)


def test_a_second_change_is_refused_while_one_is_open(world: World) -> None:
    change_id, _ = ask(world.on_call)
    with pytest.raises(errors.ChangeAlreadyOpen, match=f"CHG-{change_id}"):
        ask(world.engineer)
    with writing() as session:
        cancel_change(session, world.on_call, change_id, reason="mistake")
    ask(world.engineer)


def test_a_request_that_arrives_twice_is_one_change(world: World) -> None:
    first, _ = ask(world.on_call)
    assert ask(world.on_call)[0] == first
    with reading() as session:
        assert session.scalars(select(Change.id)).all() == [first]
        asked = AuditEntry.action == Action.CHANGE_REQUESTED.value
        assert len(session.scalars(select(AuditEntry.seq).where(asked)).all()) == 1


def test_the_inbox_shows_only_what_this_person_can_decide(world: World) -> None:
    change_id, _ = ask(world.lead)
    with reading() as session:
        assert waiting_for(session, world.lead) == []
        assert waiting_for(session, world.on_call) == []
        assert [change.id for change in waiting_for(session, world.other_lead)] == [change_id]


def begin(change_id: int) -> execution.Plan | None:
    with writing() as session:
        return execution.begin(session, SYSTEM, change_id, f"change-{change_id}")


@pytest.mark.parametrize("part", ["artefact", "reference", "card", "metrics", "target"])
def test_an_approval_is_void_when_a_bound_part_changes(world: World, part: str) -> None:
    change_id, digest = ask(world.on_call)
    say(world.lead, change_id, digest)
    if part == "artefact":
        (world.artefact(1) / "model.bin").write_bytes(b"another model")
    elif part == "reference":
        world.reference(1).write_bytes(b"other rows")
    elif part == "card":
        world.card(1).write_text("# Changed\n")
    elif part == "metrics":
        with writing() as session:
            session.execute(
                update(Version).where(Version.version == 1).values(metrics={"roc_auc": {"value": 0.99}})
            )
    else:
        with writing() as session:
            start_deployment(
                session,
                SYSTEM,
                model="toy",
                environment="production",
                version=1,
                change_id=None,
                reason="elsewhere",
            )
    assert begin(change_id) is None
    with reading() as session:
        change = get_change(session, world.viewer, change_id)
        assert change.state == "void"
        words = {
            "artefact": "files",
            "reference": "reference",
            "card": "card",
            "metrics": "metrics",
            "target": "serves",
        }
        assert words[part] in change.outcome


def test_an_approval_stands_while_nothing_changes_and_a_repeat_gives_the_same_plan(world: World) -> None:
    change_id, digest = ask(world.on_call)
    assert begin(change_id) is None, "not approved yet"
    say(world.lead, change_id, digest)
    first = begin(change_id)
    assert first is not None and first.to_version == 1
    assert begin(change_id) == first


def test_the_record_moves_once_and_is_restored_once(world: World) -> None:
    change_id, digest = ask(world.on_call)
    say(world.lead, change_id, digest)
    begin(change_id)
    with writing() as session:
        moved = execution.write_deployment(session, SYSTEM, change_id)
    with writing() as session:
        assert execution.write_deployment(session, SYSTEM, change_id) == moved
    with writing() as session:
        restored = execution.restore(session, SYSTEM, change_id, why="the gateway refused it")
    with writing() as session:
        assert execution.restore(session, SYSTEM, change_id, why="again") == restored
    with reading() as session:
        serving = champion(session, "toy", "production")
        assert serving is not None and (serving.id, serving.version) == (restored, 2)
        change = session.get_one(Change, change_id)
        assert change.state == "failed"
        assert change.outcome == "the gateway refused it; version 2 was restored"


def test_an_expired_change_takes_no_decision(world: World) -> None:
    change_id, digest = ask(world.on_call)
    with writing() as session:
        session.execute(update(Change).values(expires_at=clock.now()))
    with pytest.raises(errors.ChangeNotWaiting):
        say(world.lead, change_id, digest)


def test_a_version_that_people_went_back_from_is_not_proposed_again(world: World) -> None:
    change_id, digest = ask(world.on_call)
    say(world.lead, change_id, digest)
    begin(change_id)
    with writing() as session:
        moved = execution.write_deployment(session, SYSTEM, change_id)
    with writing() as session:
        execution.finish(session, SYSTEM, change_id, moved, outcome="it serves")
    with (
        reading() as session,
        pytest.raises(errors.NoHealthyVersion, match=f"went back from it with CHG-{change_id}"),
    ):
        preview_change(session, world.on_call, ROLLBACK)
