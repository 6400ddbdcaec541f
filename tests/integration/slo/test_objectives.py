"""From a definition to an alert: counts from the gateways' own log, judged minute by minute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.alerting.service import firing_alerts
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, ChangedSinceSeen, Conflict, NotAllowed
from backend.identity.roles import Role
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.service import register_model
from backend.serving.tables import GatewayHour, RequestOutcome
from backend.slo.compaction import compact_objective
from backend.slo.evidence import objective_facts
from backend.slo.maintenance import declare_maintenance, end_maintenance
from backend.slo.objectives import Availability, Freshness, Kind, Latency, Objective, Quality, default_rows
from backend.slo.objectives_service import (
    define_objective,
    get_objective,
    list_objectives,
    objective_of,
    objective_revisions,
    retire_objective,
    revise_objective,
)
from backend.slo.reading import list_standings, read_detail
from backend.slo.tables import ObjectiveRevision, ObjectiveState, SliCount
from backend.slo.windows import Rolling
from jobs.evaluate_slos import count_due, judge_due
from tests.worlds import SPEC, SYSTEM, World, person

MINUTE = timedelta(minutes=1)
AVAILABLE = Objective(
    name="answers", model="toy", sli=Availability(), target=Decimal("0.99"), window=Rolling(30 * 24),
    title="The gateway answers", minimum_events=20,
)  # fmt: skip


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    """A model that nothing serves: requests are what the log says."""
    with writing() as session:
        register_model(session, SYSTEM, name="toy", title="Toy", description="", tier="medium", spec=SPEC)
        viewer, on_call = person(session, "viewer", Role.VIEWER), person(session, "oncall", Role.ON_CALL)
        return World(viewer, on_call, on_call, on_call, on_call, on_call, tmp_path)


@pytest.fixture
def noon() -> datetime:
    return clock.now().replace(second=0, microsecond=0)


def log_requests(minutes: Sequence[datetime], *, good: int, failed: int = 0, slow: int = 0) -> None:
    """What a gateway writes of so many requests in each of these minutes."""
    buckets = [0] * 14
    buckets[4], buckets[9] = good + failed - slow, slow  # within 25 ms, within 1 s
    with writing() as session:
        hours: dict[datetime, int] = {}
        for at in minutes:
            session.merge(
                RequestOutcome(
                    model="toy", environment="production", span_s=60, start=at, version="2", role="champion",
                    gateway_id="g", process="p", codes={"200": good, "503": failed},
                    kinds={"not_serving": failed}, buckets=buckets, seconds_sum=0.1, updated_at=at,
                )
            )  # fmt: skip
            hour = at.replace(minute=0)
            hours[hour] = hours.get(hour, 0) | 1 << at.minute
        for hour, bits in hours.items():
            known = session.get(GatewayHour, ("production", hour, "g"))
            if known is None:
                session.add(GatewayHour(environment="production", hour=hour, gateway_id="g", minutes=bits))
            else:
                known.minutes |= bits


def minutes_until(end: datetime, count: int) -> list[datetime]:
    return [end - MINUTE * back for back in range(count, 0, -1)]


def look(now: datetime) -> dict[str, int]:
    count_due(SYSTEM, now=now)
    return judge_due(SYSTEM, now=now)


def define(world: World, objective: Objective = AVAILABLE) -> str:
    with writing() as session:
        return define_objective(session, world.on_call, objective=objective, why="callers wait").key


def state_of(key: str) -> ObjectiveState:
    with reading() as session:
        found = session.get(ObjectiveState, key)
        assert found is not None
        return found


def titles() -> list[tuple[str, str, str]]:
    with reading() as session:
        return [(one.level, one.kind, one.title) for one in firing_alerts(session, SYSTEM)]


def test_an_objective_that_cannot_be_counted_holds_up_no_other(
    world: World, noon: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> None:
        raise ValueError("window: no days")

    log_requests(minutes_until(noon, 60), good=10, failed=10)
    key = define(world)
    fresh = replace(
        AVAILABLE, name="fresh", sli=Freshness("metrics", 3600), rows=default_rows(Kind.FRESHNESS)
    )
    other = define(world, fresh)
    monkeypatch.setattr("backend.slo.sources.store._look", stumble)
    look(noon)
    assert state_of(key).state == "breach"
    assert any(level == "page" for level, *_ in titles())
    assert state_of(other).problem == "it cannot be counted: ValueError: window: no days"


def test_an_objective_whose_text_does_not_read_any_more_is_unknown_and_holds_up_no_other(
    world: World, noon: datetime
) -> None:
    log_requests(minutes_until(noon, 60), good=10, failed=10)
    key, odd = define(world), define(world, replace(AVAILABLE, name="odd"))
    look(noon - MINUTE)
    with reading() as session:
        text = get_objective(session, world.viewer, odd).document

    def write(document: str) -> None:
        with writing() as session:
            of_it = update(ObjectiveRevision).where(ObjectiveRevision.key == odd)
            session.execute(of_it.values(document=document))

    write("apiVersion: openslo/v0")
    look(noon)
    assert (state_of(key).state, state_of(odd).state) == ("breach", "no_data")
    assert any(level == "page" for level, *_ in titles())
    assert any(
        kind == "slo_absent" and "odd: its definition cannot be read" in title for _, kind, title in titles()
    )
    with writing() as session:
        facts = {one["name"]: one["state"] for one in objective_facts(session, "toy", "production")}
        assert facts == {AVAILABLE.name: "breach", "odd": "no_data"}, "a change can be asked for all the same"
        assert compact_objective(session, odd, now=noon) == 0
        assert [one.revision.key for one in list_standings(session, world.viewer)] == [key]
    write(text)
    look(noon + MINUTE)
    assert state_of(odd).state == "breach"
    assert not [one for one in titles() if one[1] == "slo_absent"]
    write("apiVersion: openslo/v0")
    with writing() as session:
        mended = replace(AVAILABLE, name="odd", target=Decimal("0.9"))
        assert revise_objective(session, world.on_call, odd, objective=mended, seen=1).number == 2
    write("apiVersion: openslo/v0")
    with writing() as session:
        assert (
            retire_objective(session, world.on_call, odd, seen=2, why="nobody can read it").state == "retired"
        )


def test_an_outage_fires_within_a_minute_and_resolves_when_the_short_window_is_clean(
    world: World, noon: datetime
) -> None:
    log_requests(minutes_until(noon, 60), good=10)
    key = define(world)
    assert look(noon) == {"ok": 1}
    assert state_of(key).remaining == 1.0
    # One hour is all there is, so the row of six hours (6 %) fires before that of one (14.4 %).
    fired = None
    for minute in range(1, 15):
        log_requests([noon + MINUTE * (minute - 1)], good=0, failed=10)
        look(noon + MINUTE * minute)
        bad, total = 10 * minute, 600
        if any(level == "page" for level, *_ in titles()):
            fired = minute
            assert bad / (total + bad) > 0.06
            break
        assert bad / (total + bad) <= 0.06
    assert fired == 4
    found = titles()[0][2]
    assert "its budget burns 6.2 times too fast" in found
    assert "40 of 640 requests failed" in found
    assert state_of(key).state == "breach"
    over = noon + MINUTE * fired
    log_requests([over + MINUTE * one for one in range(31)], good=10)
    look(over + MINUTE * 31)
    assert not [one for one in titles() if one[0] == "page"]


def test_silence_neither_fires_nor_resolves_and_a_gateway_that_is_gone_is_its_own_alert(
    world: World, noon: datetime
) -> None:
    log_requests(minutes_until(noon, 60), good=5, failed=5)
    key = define(world)
    look(noon)
    assert [one[0] for one in titles()] == ["page", "ticket"]
    log_requests([noon + MINUTE * one for one in range(8)], good=0)
    look(noon + MINUTE * 8)
    assert [one[:2] for one in titles()] == [("page", "slo"), ("ticket", "slo")]  # 0 of 0 says nothing
    look(noon + MINUTE * 25)
    assert [one[1] for one in titles()] == ["slo", "slo", "slo_absent"]
    assert "nothing was seen" in titles()[2][2]
    with reading() as session:
        assert {one.source for one in firing_alerts(session, SYSTEM)} == {"slo"}
    log_requests([noon + MINUTE * one for one in range(24, 32)], good=50)
    look(noon + MINUTE * 32)
    assert "slo_absent" not in [one[1] for one in titles()]
    assert state_of(key).seen_until_s == (noon + MINUTE * 32).timestamp()


def test_an_objective_whose_source_is_gone_is_not_ok(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 60), good=10)
    define(world)
    assert look(noon) == {"ok": 1}
    assert look(noon + MINUTE * 20) == {"no_data": 1}  # its windows still hold the good events of before
    log_requests([noon + MINUTE * 20], good=10)
    assert look(noon + MINUTE * 21) == {"ok": 1}


def test_by_night_the_last_counts_speak_and_it_is_said_that_nobody_asks(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 60), good=10)
    key = define(world)
    assert look(noon) == {"ok": 1}
    log_requests([noon + MINUTE * one for one in range(120)], good=0)
    assert look(noon + MINUTE * 120) == {"ok": 1}
    state = state_of(key)
    assert (state.remaining, state.burn) == (1.0, 0.0)
    assert says(world, key).startswith(
        f"no requests since {noon:%Y-%m-%d %H:%M} UTC; nothing of the 30 days' budget"
    )
    assert look(noon + MINUTE * 135) == {"no_data": 1}, "no gateway reports, so nothing is known"
    log_requests([noon + MINUTE * 135], good=10)
    assert look(noon + MINUTE * 136) == {"ok": 1}
    assert "since" not in says(world, key)


def test_what_was_in_danger_when_requests_ended_stays_so(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon - MINUTE * 60, 600), good=300)
    log_requests(minutes_until(noon - MINUTE * 6, 54), good=10)
    log_requests(minutes_until(noon, 6), good=0, failed=200)
    define(world)
    assert look(noon) == {"breach": 1}
    log_requests([noon + MINUTE * one for one in range(100)], good=0)
    assert look(noon + MINUTE * 100) == {"breach": 1}, "nothing said that it is better"
    assert [one[0] for one in titles()].count("page") == 1
    log_requests([noon + MINUTE * one for one in range(100, 140)], good=50)
    look(noon + MINUTE * 140)
    assert not [one for one in titles() if one[0] == "page"]


def test_without_any_request_in_the_period_nothing_is_known(world: World, noon: datetime) -> None:
    define(world)
    log_requests(minutes_until(noon, 60), good=0)
    assert look(noon) == {"no_data": 1}


def says(world: World, key: str) -> str:
    with reading() as session:
        return read_detail(session, world.viewer, key).standing.says


@pytest.mark.parametrize(("minutes", "pruned"), [(185, True), (240, False), (30 * 60, True)])
def test_what_is_read_again_after_an_outage_is_counted_once(
    world: World, noon: datetime, minutes: int, pruned: bool
) -> None:
    half_past = noon.replace(minute=33)
    log_requests(minutes_until(half_past, 60), good=10)
    key = define(world)
    look(half_past)
    log_requests([half_past + MINUTE * one for one in range(7)], good=10)
    back = half_past + MINUTE * minutes
    if pruned:
        with writing() as session:
            compact_objective(session, key, now=back)
    look(back)
    assert state_of(key).figures["period"]["total"] == 670


def test_looking_twice_counts_nothing_twice(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 10), good=9, failed=1)
    key = define(world)
    for _ in range(3):
        look(noon)
    log_requests([noon - MINUTE], good=19, failed=1)  # the last minute was not over when it was first read
    look(noon + MINUTE)
    counts = state_of(key).figures["period"]
    assert (counts["good"], counts["total"]) == (9 * 9 + 19, 110)


def test_latency_is_counted_at_an_edge_of_the_histogram(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 30), good=10, slow=2)
    wanted = replace(AVAILABLE, name="fast", sli=Latency(Decimal(250)))
    between = replace(AVAILABLE, name="between", sli=Latency(Decimal(300)))
    fast = define(world, wanted)
    with pytest.raises(BadInput, match="300 ms is no edge of the latency histogram"):
        define(world, between)
    look(noon)
    assert state_of(fast).figures["period"]["good"] == 240


def test_maintenance_does_not_count_and_can_be_declared_afterwards(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 60), good=5, failed=5)
    key = define(world)
    look(noon)
    assert titles()
    with writing() as session:
        declare_maintenance(
            session, world.on_call, model="toy", environment="production", starts_at=noon - timedelta(hours=1),
            ends_at=noon + timedelta(hours=1), reason="the database was moved",
        )  # fmt: skip
    look(noon)
    figures = state_of(key).figures
    assert (figures["period"]["total"], figures["period"]["excluded_s"]) == (0, 3600)
    log_requests([noon + MINUTE * one for one in range(3)], good=5, failed=5)
    look(noon + MINUTE * 3)
    assert state_of(key).figures["period"]["excluded_s"] == 3780
    with writing() as session:
        listed = session.scalars(
            select(AuditEntry).where(AuditEntry.action == "slo:maintenance:declare")
        ).all()
        assert len(listed) == 1
    with pytest.raises(BadInput, match="why this time does not count"), writing() as session:
        declare_maintenance(
            session, world.on_call, model="toy", environment="production", starts_at=noon, ends_at=noon + MINUTE,
            reason=" ",
        )  # fmt: skip


def test_maintenance_that_has_not_begun_is_withdrawn(world: World, noon: datetime) -> None:
    define(world)
    with writing() as session:
        made = declare_maintenance(
            session, world.on_call, model="toy", environment="production", starts_at=noon + timedelta(hours=1),
            ends_at=noon + timedelta(hours=2), reason="planned",
        )  # fmt: skip
        assert end_maintenance(session, world.on_call, made.id).withdrawn_at is not None
        assert end_maintenance(session, world.on_call, made.id) is made


def test_model_quality_counts_windows_as_they_are_judged(world: World, noon: datetime) -> None:
    today = noon.replace(hour=0, minute=0)
    with writing() as session:
        for back in range(1, 8):
            start = today - timedelta(days=back)
            window = WindowState(
                model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1),
                version=2, rows=100, labels_known=100, state="complete", computed_at=noon, labelled_at=noon,
            )  # fmt: skip
            session.add(window)
            session.flush()
            session.add(
                MetricPoint(
                    window_id=window.id, model="toy", environment="production", size="1d", window_start=start,
                    kind="realised", statistic="roc_auc", value=None if back == 3 else 0.6 if back < 3 else 0.75,
                    verdict="inconclusive" if back == 3 else "ok", first_computed_at=noon, computed_at=noon,
                )
            )  # fmt: skip
    quality = replace(
        AVAILABLE, name="auc", sli=Quality("roc_auc", at_least=Decimal("0.7")), target=Decimal("0.9"),
        rows=default_rows(Kind.QUALITY), minimum_events=1,
    )  # fmt: skip
    key = define(world, quality)
    look(noon)
    figures = state_of(key).figures
    assert (figures["period"]["good"], figures["period"]["total"]) == (4, 6)  # an unknown window is none
    assert [one[:2] for one in titles()] == [("ticket", "slo")]
    assert "2 of 6 windows were out of bounds" in titles()[0][2]
    look(noon + MINUTE)
    assert state_of(key).figures["period"] == figures["period"]
    with (
        writing() as session
    ):  # as joint drift and attributions come: by a job of its own, long after the window
        point = session.scalars(select(MetricPoint).where(MetricPoint.value.is_(None))).one()
        point.value, point.computed_at = 0.9, noon + MINUTE * 60
    look(noon + MINUTE * 61)
    told = state_of(key).figures["period"]
    assert (told["good"], told["total"]) == (5, 7)


def test_freshness_is_one_look_a_minute(world: World, noon: datetime) -> None:
    with writing() as session:
        session.add(
            WindowState(
                model="toy", environment="production", size="1h", start=noon - timedelta(hours=2),
                end=noon - timedelta(hours=1), version=2, rows=10, labels_known=10, state="complete",
            )
        )  # fmt: skip
    key = define(world, replace(AVAILABLE, name="fresh", sli=Freshness("labels", 3600), minimum_events=1))
    for minute in range(4):
        look(noon + MINUTE * minute)
    counts = state_of(key).figures["period"]
    assert (counts["good"], counts["total"]) == (1, 4)


def test_revisions_stay_and_their_rules_hold(world: World) -> None:
    key = define(world)
    with pytest.raises(Conflict, match="has an objective named"):
        define(world)
    with pytest.raises(NotAllowed), writing() as session:
        define_objective(session, world.viewer, objective=replace(AVAILABLE, name="other"))
    stricter = replace(AVAILABLE, target=Decimal("0.995"))
    with writing() as session:
        again = revise_objective(session, world.on_call, key, objective=stricter, seen=1, why="callers ask")
        assert revise_objective(session, world.on_call, key, objective=stricter, seen=2).number == 2
        assert again.number == 2
    with pytest.raises(ChangedSinceSeen), writing() as session:
        revise_objective(session, world.on_call, key, objective=AVAILABLE, seen=1)
    with pytest.raises(BadInput, match="whole minutes"), writing() as session:
        from backend.slo.objectives import Budgeting

        sliced = replace(AVAILABLE, budgeting=Budgeting.TIMESLICES, slice_s=90, slice_target=Decimal("0.9"))
        revise_objective(session, world.on_call, key, objective=sliced, seen=2)
    with reading() as session:
        assert objective_of(get_objective(session, world.viewer, key)) == stricter
        assert [one.number for one in objective_revisions(session, world.viewer, key)] == [2, 1]


def test_a_retired_objective_takes_its_alerts_with_it(world: World, noon: datetime) -> None:
    log_requests(minutes_until(noon, 60), good=5, failed=5)
    key = define(world)
    look(noon)
    assert titles()
    with writing() as session:
        retire_objective(session, world.on_call, key, seen=1, why="measured elsewhere")
    assert not titles()
    with reading() as session:
        assert not list_objectives(session, world.viewer, model="toy")
        assert session.scalars(select(SliCount)).first() is not None
    assert look(noon + MINUTE) == {}
    define(world)  # its name is free again


def test_past_hours_are_counted_when_an_objective_is_new(world: World) -> None:
    long_ago = clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=10)
    with writing() as session:
        session.add(
            RequestOutcome(
                model="toy", environment="production", span_s=3600, start=long_ago, version="2", role="champion",
                gateway_id="", process="", codes={"200": 90, "500": 10}, kinds={}, buckets=[100] + [0] * 13,
                seconds_sum=1.0, updated_at=long_ago,
            )
        )  # fmt: skip
    key = define(world)
    look(clock.now().astimezone(UTC))
    assert state_of(key).figures["period"]["total"] == 100
    assert state_of(key).remaining == pytest.approx(1 - 0.1 / 0.01)
