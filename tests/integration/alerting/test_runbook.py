"""Steps of a runbook are marked as done within an incident, by name and time, and stay on its timeline."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.phone_incident import context_of
from backend.alerting.brief import read_brief
from backend.alerting.runbook import mark_step, steps_done, steps_offered
from backend.alerting.service import close_incident, get_incident
from backend.alerting.timeline import timeline
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed
from backend.monitoring.tables import MetricPoint, WindowState
from backend.serving.outcome_log import sum_up_outcomes, write_outcomes
from backend.serving.outcomes import Minute
from backend.slo.objectives import Availability, Objective
from backend.slo.objectives_service import define_objective
from backend.slo.windows import Rolling
from tests.integration.alerting.conftest import Time, raised
from tests.worlds import SYSTEM, World, make_world

STEP = "Data quality"


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


@pytest.fixture
def number(world: World, time: Time) -> int:
    found = raised().incident_id
    assert found is not None
    return found


def test_who_did_a_step_and_when_stands_beside_it_and_on_the_timeline(
    world: World, time: Time, number: int
) -> None:
    with reading() as session:
        assert STEP in steps_offered(read_brief(session, world.viewer, number).suspects)
    with writing() as session:
        mark_step(session, world.on_call, number, step=STEP)
    time.pass_(minutes=5)
    with writing() as session:  # somebody else says so, too: the first stays named
        mark_step(session, world.lead, number, step=STEP)
    with reading() as session:
        brief = read_brief(session, world.on_call, number)
        assert brief.done[STEP].words == f"done by {brief.done[STEP].by}, 2026-06-01 12:00:00 UTC"
        told = [one for one in timeline(session, world.viewer, number) if one.kind == "step_done"]
        assert [(one.text, one.by) for one in told] == [(f"step done: {STEP}", brief.done[STEP].by)]
        context = context_of(brief, world.on_call)
    shown = {step["text"]: step["done"] for one in context["suspects"] for step in one["steps"]}
    assert shown[STEP] == brief.done[STEP].words
    (form,) = [one for one in context["more"] if one["act"] == "step"]
    assert STEP not in form["steps"] and form["steps"]


def test_causes_lead_to_silencing_to_retraining_and_to_the_slice(world: World, time: Time) -> None:
    first = raised("distance", details={"column": "distance", "segment": "carrier=UA"})
    with reading() as session:
        found = read_brief(session, world.on_call, first.incident_id or 0).suspects
    ways = {
        text: (page, query) for one in found if one.verdict != "ruled_out" for text, page, query in one.steps
    }
    assert ways["Silence it while its source is mended"] == ("silences", {"model": "toy"})
    assert ways["Retrain the model"] == ("retraining", {"model": "toy", "alert": first.id})
    assert ways["Slices"] == ("slices", {"model": "toy"})


def test_an_edit_of_an_objective_and_an_unusual_volume_are_on_the_timeline(
    world: World, time: Time, number: int
) -> None:
    start = time.now.replace(hour=11)
    with writing() as session:
        define_objective(session, world.engineer, objective=Objective(
            "answers", "toy", Availability(), Decimal("0.999"), Rolling(30 * 24)))  # fmt: skip
        window = WindowState(
            model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1), version=2,
            rows=40, labels_known=0, state="complete", computed_at=time.now,
        )  # fmt: skip
        session.add(window)
        session.flush()
        session.add(
            MetricPoint(
                window_id=window.id, model="toy", environment="production", size="1d", window_start=start,
                kind="volume", column="", statistic="volume", value=40.0, verdict="alarm", level="ticket", rows=40,
                text="40 rows where 1,000 are usual", first_computed_at=start, computed_at=start,
            )
        )  # fmt: skip
    time.pass_(minutes=1)
    with reading() as session:
        told = {one.kind: one.text for one in timeline(session, world.viewer, number) if one.kind != "alert"}
    assert (told["edit"], told["volume"]) == ("objective defined", "40 rows where 1,000 are usual")


def test_a_mark_is_taken_back_and_given_again(world: World, time: Time, number: int) -> None:
    for done in (True, False, True):
        with writing() as session:
            assert (STEP in mark_step(session, world.on_call, number, step=STEP, done=done)) is done
        time.pass_(minutes=1)
    with reading() as session:
        assert steps_done(session, number)[STEP].at == time.now.replace(minute=2)
        assert len([one for one in timeline(session, world.viewer, number) if "step" in one.kind]) == 3


def test_what_no_cause_offers_is_no_step_and_who_may_not_marks_none(
    world: World, time: Time, number: int
) -> None:
    with writing() as session, pytest.raises(BadInput, match="has the step 'Pray'; Data quality"):
        mark_step(session, world.on_call, number, step="Pray")
    with writing() as session, pytest.raises(NotAllowed):
        mark_step(session, world.viewer, number, step=STEP)
    with writing() as session:
        close_incident(session, SYSTEM, get_incident(session, world.viewer, number), why="over")
    with writing() as session, pytest.raises(Conflict, match="is closed"):
        mark_step(session, world.on_call, number, step=STEP)


def test_errors_and_latency_stand_on_the_axis_of_the_windows(world: World, time: Time, number: int) -> None:
    minute = Minute()
    for code, seconds in (("200", 0.02), ("200", 0.02), ("200", 0.02), ("503", 0.2)):
        minute.count(code, None, seconds, 1)
    at = time.now - timedelta(hours=30)
    with writing() as session:
        write_outcomes(
            session,
            {("toy", "2", "champion", at): minute},
            environment="production",
            gateway_id="g",
            process="p",
        )
        sum_up_outcomes(session, time.now)
    with reading() as session:
        series = {one.name: one.points for one in read_brief(session, world.viewer, number).series}
    (failed,) = [points for name, points in series.items() if name.startswith("failed, % of requests, by ")]
    (slow,) = [points for name, points in series.items() if name.startswith("95 % answered within, ms, by ")]
    assert [value for _, value, *_ in failed if value is not None] == [25.0]
    assert [value for _, value, *_ in slow if value is not None] == [250.0]
    assert failed[0][0] < at <= failed[-1][0] and len(failed) <= 60
