"""A serious incident: clocks run from when people knew, what is needed is held, the state is kept before it changes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from backend import clock
from backend.alerting.handling import merge, open_incident
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Incident
from backend.assurance.report_draft import BLANK, report_draft
from backend.assurance.serious import (
    clocks_of,
    mark_serious,
    meet_clock,
    replace_rules,
    set_clock,
    snapshots_of,
)
from backend.assurance.serious_tables import SeriousClock, StateSnapshot
from backend.assurance.serious_views import serious_view
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked
from backend.holds.service import Held, list_holds, release_hold, require_free
from tests.integration.assurance.conftest import entries
from tests.integration.governance.conftest import ask, carry_out, put_in_force, say
from tests.worlds import SYSTEM, World


def incident(world: World, title: str = "AUC fell") -> int:
    with writing() as session:
        firing = Firing("toy", "production", 2, "realised", "page", title, "roc_auc", clock.now(), {})
        found = fire(session, SYSTEM, firing).incident_id
        assert found is not None
        return found


def mark(world: World, number: int, *clocks: str, hours: float = 5) -> None:
    with writing() as session:
        mark_serious(
            session, world.on_call, number, why="somebody was hurt", clocks=clocks,
            aware_at=clock.now() - timedelta(hours=hours),
        )  # fmt: skip


def test_its_clocks_run_from_when_people_knew(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious", "death", "widespread")
    with reading() as session:
        clocks = clocks_of(session, world.viewer, number)
    assert [(one.rule, (one.due_at - one.starts_at).days) for one in clocks] == [
        ("widespread", 2), ("death", 10), ("serious", 15),
    ]  # fmt: skip
    assert all(clock.now() - one.starts_at > timedelta(hours=4) for one in clocks)
    assert {one.set_by for one in clocks} == {world.on_call.person_id}


def test_what_is_needed_is_held_and_the_state_is_kept(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious")
    with reading() as session:
        for kind, name in (("artefact", "toy/2"), ("predictions", "toy"), ("windows", "toy"), ("log", "toy")):
            with pytest.raises(Held, match=f"INC-{number} is serious"):
                require_free(session, kind, name)
        require_free(session, "artefact", "toy/1")
        (kept,) = snapshots_of(session, world.viewer, number)
    assert digest_of(kept.document) == kept.digest
    assert [one["version"] for one in kept.document["deployments"]] == [2]
    assert kept.document["alerts"][0]["title"] == "AUC fell"
    logged = entries(world, "assurance:state:keep")
    assert [one.payload["digest"] for one in logged if one.payload] == [kept.digest]


def test_its_holds_stay_until_every_limit_is_met_and_it_is_closed(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious")
    with reading() as session:
        (hold_id, *_) = [one.id for one in list_holds(session, world.compliance, model="toy")]
        (running,) = clocks_of(session, world.compliance, number)
    with writing() as session, pytest.raises(Conflict, match="time limit runs"):
        release_hold(session, world.compliance, hold_id, why="no longer needed")
    with writing() as session:
        meet_clock(session, world.compliance, running.id, evidence="report 7")
    with writing() as session, pytest.raises(Conflict, match=f"INC-{number} is open"):
        release_hold(session, world.compliance, hold_id, why="no longer needed")
    with writing() as session:
        session.get_one(Incident, number).state = "closed"
    with writing() as session:
        assert release_hold(session, world.compliance, hold_id, why="settled").released_at is not None


@pytest.mark.parametrize("state", ["open", "closed"])
def test_the_state_is_kept_again_before_a_return_and_only_then(world: World, state: str) -> None:
    """Also where the incident was closed because nothing fires: its clock runs."""
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all}]")
    number = incident(world)
    mark(world, number, "serious")
    with writing() as session:
        session.get_one(Incident, number).state = state
    change = carry_out(
        say(world.lead, ask(world.engineer, Asked("rollback", "production", "toy", to_version=1)))
    )
    with reading() as session:
        kept = session.query(StateSnapshot).order_by(StateSnapshot.id).all()
    assert [one.change_id for one in kept] == [None, change.id]
    assert [one["version"] for one in kept[1].document["deployments"]] == [2]


def test_a_serious_incident_is_not_lost_in_one_that_is_none(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious")
    with writing() as session:
        other = open_incident(session, world.on_call, model="toy", environment="production", title="odd").id
    with writing() as session, pytest.raises(Conflict, match="was marked serious"):
        merge(session, world.on_call, number, into=other)
    with writing() as session:
        assert merge(session, world.on_call, other, into=number).id == number


def test_without_a_serious_incident_no_state_is_kept(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all}]")
    incident(world)
    carry_out(say(world.lead, ask(world.engineer, Asked("rollback", "production", "toy", to_version=1))))
    with reading() as session:
        assert session.query(StateSnapshot).count() == 0


def test_marking_again_adds_clocks_and_doubles_nothing(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious")
    with reading() as session:
        before = session.query(AuditEntry).count()
    mark(world, number, "serious")
    with reading() as session:
        assert session.query(AuditEntry).count() == before
    mark(world, number, "serious", "death")
    with reading() as session:
        shown = serious_view(session, world.viewer, number)
    assert [one["rule"] for one in shown["clocks"]] == ["death", "serious"]
    assert (len(shown["snapshots"]), len(shown["holds"])) == (1, 4)


def test_from_when_a_clock_runs_is_set_by_somebody_with_a_reason(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious", hours=24 * 14 + 1)
    with reading() as session:
        (row,) = clocks_of(session, world.viewer, number)
    earlier = clock.now() - timedelta(days=14)
    with pytest.raises(NotAllowed), writing() as session:
        set_clock(session, world.on_call, row.id, starts_at=earlier, why="so")
    with writing() as session:
        moved = set_clock(session, world.compliance, row.id, starts_at=earlier, why="the hospital wrote then")
    assert (moved.due_at - clock.now()).days == 0
    (entry,) = entries(world, "assurance:clock:set")
    assert (entry.why, entry.actor_name) == ("the hospital wrote then", "Compliance")


def test_a_clock_that_is_over_says_so_and_stays_late(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious")
    with writing() as session:
        session.execute(update(SeriousClock).values(due_at=clock.now() - timedelta(hours=1)))
    with reading() as session:
        (shown,) = serious_view(session, world.viewer, number)["clocks"]
    assert shown["state"] == "over"
    with writing() as session:
        meet_clock(session, world.compliance, shown["id"], evidence="sent to the authority")
    with reading() as session:
        assert serious_view(session, world.viewer, number)["clocks"][0]["state"] == "met late"
    with pytest.raises(Conflict), writing() as session:
        set_clock(session, world.compliance, shown["id"], starts_at=clock.now(), why="so")


def test_clocks_are_configuration_and_running_ones_keep_theirs(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious")
    text = "clocks: [{id: ours, title: tell the board, days: 0.5, source: our rules}]"
    with writing() as session:
        replace_rules(session, world.compliance, text=text, note="ours are shorter")
    with pytest.raises(BadInput, match="ours"):
        mark(world, number, "death")
    mark(world, number, "ours")
    with reading() as session:
        found = {one.rule: (one.days, one.rules_revision) for one in clocks_of(session, world.viewer, number)}
    assert found == {"serious": (15, 1), "ours": (0.5, 2)}
    for wrong in ("clocks: []", "clocks: [{id: a, title: a, days: -1}]", "{", "[]"):
        with pytest.raises(BadInput), writing() as session:
            replace_rules(session, world.compliance, text=wrong, note="so")


def test_the_draft_is_filled_from_the_record_and_leaves_judgement_blank(world: World) -> None:
    number = incident(world, "AUC <script>alert(1)</script> | fell")
    with pytest.raises(NotFound), reading() as session:
        report_draft(session, world.compliance, number)
    mark(world, number, "serious")
    with reading() as session:
        text = report_draft(session, world.compliance, number)
    assert f"# Draft report: INC-{number}" in text
    assert "15 days from" in text
    assert "version 2 as champion" in text
    assert "predictions toy: held since" in text
    assert BLANK in text
    assert "<script>" not in text


def test_the_draft_begins_with_the_first_of_many_alerts(world: World) -> None:
    number = incident(world, "the first of all")
    mark(world, number, "serious")
    with writing() as session:
        for one in range(55):
            fire(session, SYSTEM, Firing("toy", "production", 2, "drift", "page", f"alert {one} fired", f"c{one}/psi",
                                         clock.now(), {}))  # fmt: skip
    with reading() as session:
        text = report_draft(session, world.compliance, number)
    assert text.count("alert ") >= 55
    assert "the first of all (page" in text


def test_the_draft_tells_what_was_carried_out_since_also_where_it_was_asked_for_before(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all}]")
    change = ask(world.engineer, Asked("rollback", "production", "toy", to_version=1))
    number = incident(world)
    mark(world, number, "serious")
    carry_out(say(world.lead, change))
    with reading() as session:
        told = report_draft(session, world.compliance, number)
    assert f"CHG-{change.id}, toy returns from v2 to v1 in production" in told
    assert "executed at" in told
    with writing() as session:
        session.execute(update(Incident).where(Incident.id == number).values(opened_at=clock.now()))
    with reading() as session:  # nor what was over when the incident began
        assert f"CHG-{change.id}, toy returns" not in report_draft(session, world.compliance, number)


def test_no_clock_runs_from_before_the_house_was_aware(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious", hours=5)
    with reading() as session:
        (row,) = clocks_of(session, world.viewer, number)
    with pytest.raises(BadInput, match="before the house was aware"), writing() as session:
        set_clock(session, world.compliance, row.id, starts_at=clock.now() - timedelta(hours=6), why="so")


def test_moving_a_clock_that_was_over_does_not_hide_it(world: World) -> None:
    number = incident(world)
    mark(world, number, "serious", hours=24 * 16)
    with writing() as session:
        (row,) = clocks_of(session, world.compliance, number)
        was_due, now = row.due_at, clock.now()
        set_clock(session, world.compliance, row.id, starts_at=now, why="the link was shown today")
    with reading() as session:
        (shown,) = serious_view(session, world.viewer, number)["clocks"]
    (before,) = shown["earlier"]
    assert shown["state"] == "running"
    assert (before["was_over"], before["due_at"]) == (True, clock.to_iso(was_due))
    assert (before["set_by"], before["why"]) == ("Oncall", "the link was shown today")
    (entry,) = entries(world, "assurance:clock:set")
    assert entry.payload is not None
    assert entry.payload["was_over"] is True
