"""What gateways measured around an incident: its figures, and the causes that lie with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.phone_incident import context_of
from backend.alerting.brief import read_brief
from backend.alerting.gateway_suspects import batch_cause, gateway_causes, version_cause
from backend.alerting.gateways import watch_gateways
from backend.alerting.report import report_markdown
from backend.alerting.service import get_incident
from backend.database.session import reading, writing
from backend.deployment.tables import GatewayReport
from backend.serving.outcome_log import MINUTE, write_outcomes, write_presence
from backend.serving.outcomes import Minute
from backend.serving.tables import GatewayMinute
from tests.integration.alerting.conftest import Time, raised
from tests.worlds import SYSTEM, World

GIB = 1 << 30
NAMES = ("version", "batches", "cold", "cpu", "memory")


def asked(
    start: datetime,
    minutes: int,
    *,
    version: str = "2",
    failed: int = 0,
    seconds: float = 0.02,
    rows: int = 1,
) -> None:
    """Twenty requests a minute."""
    counts = {}
    for number in range(minutes):
        one = Minute()
        for index in range(20):
            one.count("503" if index < failed else "200", None, seconds, rows)
        counts["toy", version, "champion", start + number * MINUTE] = one
    with writing() as session:
        write_outcomes(session, counts, environment="production", gateway_id="g:1", process=f"p{version}")
        write_presence(
            session,
            [start + number * MINUTE for number in range(minutes)],
            environment="production",
            gateway_id="g:1",
        )


def ran(start: datetime, minutes: int, **told: Any) -> None:
    facts = {
        "process": "p", "began_at": start - timedelta(days=9), "seconds": 60.0, "cpu_s": 12.0, "cores": 2.0,
        "throttled_s": 0.0, "memory_bytes": GIB // 2, "memory_limit_bytes": 2 * GIB, "lag_s": 0.01,
    } | told  # fmt: skip
    with writing() as session:
        for number in range(minutes):
            session.merge(
                GatewayMinute(
                    environment="production",
                    start=start + number * MINUTE,
                    gateway_id="g:1",
                    **facts,
                )
            )


def causes(world: World, number: int) -> dict[str, tuple[str, str, str]]:
    with reading() as session:
        incident = get_incident(session, world.viewer, number)
        version = version_cause(session, world.viewer, incident)
        assert version is not None
        return dict(
            zip(
                NAMES,
                (version, batch_cause(session, world.viewer, incident), *gateway_causes(session, incident)),
                strict=True,
            )
        )


def page() -> int:
    number = raised(kind="slo", subject="answers").incident_id
    assert number is not None
    return number


def test_what_nobody_measured_is_said_to_be_so_and_never_ruled_out(world: World, time: Time) -> None:
    found = causes(world, page())
    assert {verdict for _, verdict, _ in found.values()} == {"unknown"}
    assert all(told.startswith("not measured") for *_, told in found.values())
    with reading() as session:
        context = context_of(read_brief(session, world.viewer, page()), world.viewer)
        assert context["answers"] == ""


def test_one_version_that_is_slow_is_named_beside_the_other(world: World, time: Time) -> None:
    asked(time.now - timedelta(minutes=90), 90)
    asked(time.now - timedelta(minutes=15), 15, version="3", seconds=0.4)
    name, verdict, told = causes(world, page())["version"]
    assert (name, verdict) == ("version 3 answers slowly or with errors", "likely")
    assert "version 2: 0.0% of 400 requests failed, 95 % within 25 ms" in told
    assert "version 3: 0.0% of 300 requests failed, 95 % within 500 ms" in told
    assert "in the hour before, 0.0% of 1,200" in told


def test_a_version_that_answers_as_before_is_ruled_out_and_one_that_fails_is_not(
    world: World, time: Time
) -> None:
    asked(time.now - timedelta(minutes=90), 90)
    number = page()
    assert causes(world, number)["version"][1] == "ruled_out"
    asked(time.now - timedelta(minutes=10), 10, failed=4)
    assert causes(world, number)["version"][:2] == ("version 2 answers slowly or with errors", "likely")


def test_without_requests_before_a_version_that_looks_fine_is_not_ruled_out(world: World, time: Time) -> None:
    asked(time.now - timedelta(minutes=15), 15)
    assert causes(world, page())["version"][1] == "unknown"


@pytest.mark.parametrize(
    ("rows", "seconds", "verdict"), [(1, 0.4, "ruled_out"), (50, 0.02, "possible"), (50, 0.4, "likely")]
)
def test_larger_batches_are_a_cause_and_a_likely_one_where_answers_are_slow(
    world: World, time: Time, rows: int, seconds: float, verdict: str
) -> None:
    asked(time.now - timedelta(minutes=90), 90)
    asked(time.now - timedelta(minutes=19), 19, rows=rows, seconds=seconds)
    name, found, told = causes(world, page())["batches"]
    assert (name, found) == ("callers send larger batches", verdict)
    assert "rows a request, 1 in the hour before" in told


@pytest.mark.parametrize(
    ("told", "cause", "verdict", "words"),
    [
        ({}, "cpu", "ruled_out", "at most 0.2 of 2 cores"),
        ({"cpu_s": 115.0}, "cpu", "likely", "at most 1.9 of 2 cores"),
        ({"lag_s": 1.2}, "cpu", "possible", "1,200 ms late, so others may have taken the machine"),
        ({"throttled_s": 12.0}, "cpu", "likely", "held back by its quota for at most 20% of a minute"),
        ({"throttled_s": None}, "cpu", "ruled_out", "whether a quota held it back is not measured here"),
        ({"throttled_s": None, "cpu_s": 90.0}, "cpu", "unknown", "is not measured here"),
        ({}, "memory", "ruled_out", "at most 512 MiB, 25% of what it may take"),
        ({"memory_bytes": 2 * GIB - 1}, "memory", "likely", "100% of what it may take"),
        ({"memory_bytes": None}, "memory", "unknown", "not measured"),
        ({"memory_limit_bytes": None}, "memory", "unknown", "how much it may take is not known"),
        ({}, "cold", "ruled_out", "no gateway began"),
    ],
)
def test_cpu_and_memory_are_judged_by_the_worst_minute(
    world: World, time: Time, told: dict[str, Any], cause: str, verdict: str, words: str
) -> None:
    ran(time.now - timedelta(minutes=15), 15)
    if told:
        ran(time.now - timedelta(minutes=5), 1, **told)
        if None in told.values():
            ran(time.now - timedelta(minutes=15), 15, **told)
    found = causes(world, page())[cause]
    assert found[1] == verdict, found
    assert words in found[2]


def test_memory_is_not_ruled_out_where_a_gateway_ended_and_took_its_last_minute_with_it(
    world: World, time: Time
) -> None:
    ran(time.now - timedelta(minutes=15), 10)
    number = page()
    told = causes(world, number)["memory"]
    assert told[1] == "unknown" and "the last minute of g:1, which ended, is not on record" in told[2]
    ran(time.now - timedelta(minutes=5), 5, process="p2", began_at=time.now - timedelta(minutes=5))
    assert causes(world, number)["cpu"][1] == "unknown", "another process took its place"


def test_of_a_gateway_that_is_down_the_page_says_for_whom_and_what_it_took(world: World, time: Time) -> None:
    ran(time.now - timedelta(minutes=15), 14, memory_bytes=2 * GIB - 1)
    with writing() as session:
        session.add(
            GatewayReport(
                gateway_id="g:1", model="toy", environment="production", version=2, url="", beside=[],
                reported_at=time.now - timedelta(minutes=1),
            )
        )  # fmt: skip
        (alert,) = watch_gateways(session, SYSTEM, time.now)
    with reading() as session:
        brief = read_brief(session, world.viewer, alert.incident_id or 0)
        context_of(brief, world.viewer)
    assert ("for whom", "every prediction of toy") in brief.impact
    assert [(one.name, one.verdict) for one in brief.suspects][:2] == [
        ("Warrant's own work or the gateway", "likely"), ("the gateway runs out of memory", "likely"),
    ]  # fmt: skip


def test_a_gateway_that_began_just_before_is_a_possible_cold_start(world: World, time: Time) -> None:
    ran(time.now - timedelta(minutes=5), 5, began_at=time.now - timedelta(minutes=6))
    assert causes(world, page())["cold"][1:] == ("possible", "g:1 began 2026-06-01 11:54:00 UTC")


def test_errors_and_latency_around_it_are_on_the_page_and_in_the_report(world: World, time: Time) -> None:
    asked(time.now - timedelta(minutes=60), 50)
    asked(time.now - timedelta(minutes=10), 10, failed=10, seconds=0.4)
    number = page()
    with reading() as session:
        brief = read_brief(session, world.viewer, number)
        requests, failed, slow = brief.answers
        values = [(at, share) for at, share, *_ in failed.points if share is not None]
        assert values[0] == (time.now - timedelta(minutes=60), 0.0)
        assert values[-1] == (time.now - timedelta(minutes=1), 50.0)
        assert [ms for _, ms, *_ in slow.points if ms is not None][-1] == 500
        assert requests.points[0][1] is None, "no gateway ran then: a gap, not zero requests"
        assert "95 % answered within, ms" in context_of(brief, world.viewer)["answers"]
        assert "| failed, % of requests | 0 |" in report_markdown(session, world.viewer, number)


def test_a_step_that_is_not_over_is_not_shown_as_a_fall_of_traffic(world: World, time: Time) -> None:
    time.pass_(minutes=3)
    number = page()
    time.pass_(minutes=44, seconds=30)
    asked(time.now.replace(second=0) - timedelta(minutes=62), 62)
    with reading() as session:
        requests = read_brief(session, world.viewer, number).answers[0]
    assert [value for _, value, *_ in requests.points][-3:] == [100.0, 100.0, 100.0]
    assert requests.points[-1][0] == datetime(2026, 6, 1, 12, 40, tzinfo=UTC)


def test_of_an_old_incident_the_hours_are_shown(world: World, time: Time) -> None:
    number = page()
    time.pass_(days=10)
    asked(time.now - timedelta(minutes=5), 5)
    with reading() as session:
        assert read_brief(session, world.viewer, number).answers == ()
