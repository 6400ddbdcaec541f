"""What people do with an incident: legal in every order, audited, and told on one timeline."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select

from backend import clock
from backend.alerting import handling
from backend.alerting.answers import LATELY
from backend.alerting.brief import read_brief
from backend.alerting.false_alarms import false_alarms_said
from backend.alerting.incident_alerts import TELLING, alerts_of_incident, page_of_alerts, tally_alerts
from backend.alerting.muting import muting_now
from backend.alerting.phases import MOVES, OPEN, PHASES, NotInThisPhase, move
from backend.alerting.report import report_markdown, report_pdf
from backend.alerting.service import acknowledge, close_by_hand, close_incident, get_incident, open_incidents
from backend.alerting.tables import Alert, Incident
from backend.alerting.timeline import FIRST, MOST, timeline
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.service import mark_serving, start_deployment
from backend.errors import BadInput, Conflict, NotAllowed
from backend.serving.outcome_log import MINUTE, write_outcomes, write_presence
from backend.serving.outcomes import Minute
from tests.integration.alerting.conftest import Time, now, raised, settled
from tests.worlds import SYSTEM, World


def incident_of(alert: Alert) -> int:
    assert alert.incident_id is not None
    return alert.incident_id


def do(act: Callable[..., Any], who: Any, *given: Any, **how: Any) -> Any:
    with writing() as session:
        return act(session, who, *given, **how)


def read(world: World, number: int) -> Incident:
    with reading() as session:
        return get_incident(session, world.viewer, number)


@given(path=st.lists(st.sampled_from(PHASES), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_phase_moves_only_along_the_table_and_the_state_follows(path: list[str]) -> None:
    incident = Incident(id=1, phase="new", state="open")
    for phase in path:
        before = incident.phase
        if phase in MOVES[before]:
            move(incident, phase)
            assert incident.phase == phase
        else:
            with pytest.raises(NotInThisPhase):
                move(incident, phase)
            assert incident.phase == before
        assert (incident.state == "open") == (incident.phase in OPEN)


def test_from_every_phase_that_is_open_an_end_can_be_reached_and_from_an_end_nothing() -> None:
    assert all(MOVES[phase] >= {"resolved", "false_alarm", "merged"} for phase in OPEN)
    assert not any(MOVES[phase] for phase in PHASES if phase not in OPEN)


def test_the_way_of_an_incident_is_on_one_timeline_and_every_act_in_the_log(world: World) -> None:
    alert = raised()
    number = incident_of(alert)
    do(acknowledge, world.on_call, number)
    do(handling.assign, world.on_call, number, username="engineer")
    do(handling.add_note, world.engineer, number, text="the feed of <b>distance</b>")
    do(handling.add_link, world.engineer, number, address="https://tickets.example/7", text="ticket 7")
    do(handling.set_severity, world.engineer, number, severity=2, why="callers complain")
    do(handling.mitigate, world.engineer, number, how="filled by hand")
    assert read(world, number).phase == "mitigated"
    settled(alert)
    do(close_by_hand, world.engineer, number, why="the feed is mended", cause="data")
    found = read(world, number)
    assert (found.state, found.phase, found.cause) == ("closed", "resolved", "data")
    assert (found.severity, found.assigned_to) == (2, world.engineer.person_id)
    with reading() as session:
        told = [event.kind for event in timeline(session, world.viewer, number)]
        acts = ["acknowledged", "assigned", "note", "link", "severity", "asks_again", "mitigated", "resolved"]
        assert [kind for kind in told if kind in acts] == acts
        entries = session.scalar(
            select(func.count()).where(
                AuditEntry.object_kind == "incident", AuditEntry.object_id == str(number)
            )
        )
        assert entries == len(acts) + 1, "and that it was opened"


def test_an_alert_that_fires_anew_takes_a_mitigated_incident_back(world: World) -> None:
    first = raised()
    number = incident_of(first)
    do(acknowledge, world.on_call, number)
    do(handling.mitigate, world.on_call, number, how="stopped")
    settled(first)
    raised()
    found = read(world, number)
    assert (found.phase, found.mitigated_at) == ("acknowledged", None)


def test_merging_moves_the_alerts_and_ends_the_one_that_came_in(world: World) -> None:
    one, other = raised(), raised("latency", kind="slo")
    into, gone = incident_of(one), incident_of(other)
    for _ in range(2):
        do(handling.merge, world.on_call, gone, into=into)
    assert (read(world, gone).phase, read(world, gone).merged_into) == ("merged", into)
    assert (now(other).incident_id, now(other).state) == (into, "firing")
    assert read(world, into).severity == 2, "it takes the graver severity"
    with pytest.raises(Conflict, match="over"):
        do(handling.merge, world.on_call, into, into=gone)
    with pytest.raises(BadInput, match="itself"):
        do(handling.merge, world.on_call, into, into=into)


def test_a_false_alarm_counts_against_its_monitor_and_stays_quiet_until_it_gets_worse(world: World) -> None:
    alert = raised(details={"value": 0.3, "threshold": 0.1})
    number = incident_of(alert)
    do(handling.mark_false_alarm, world.on_call, number, why="a holiday")
    assert (read(world, number).phase, now(alert).state) == ("false_alarm", "resolved")
    with reading() as session:
        (wrong,) = false_alarms_said(session, world.viewer, "toy", "production")
        assert (wrong.kind, wrong.fired, wrong.false, wrong.pages) == ("quality", 1, 1, 1)
    again = raised(details={"value": 0.3, "threshold": 0.1})
    assert again.incident_id is None, "the same figure wakes nobody again"
    worse = raised(details={"value": 0.6, "threshold": 0.1})
    assert worse.incident_id not in (None, number)
    with reading() as session:
        assert muting_now(session).of(worse) is None


def test_one_opened_by_hand_stands_beside_the_rules_and_takes_their_alerts_where_there_is_no_other(
    world: World,
) -> None:
    opened = do(
        handling.open_incident, world.on_call, model="toy", environment="production", title="users complain"
    )
    again = do(handling.open_incident, world.on_call, model="toy", environment="production", title="and more")
    assert opened.id != again.id
    assert incident_of(raised()) == opened.id
    assert read(world, opened.id).title == "users complain"  # in the words of who opened it, whatever fires


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://me:secret@a.example/",
        "a page",
        "http://",
        "https://a.example/?token=s3cret",
    ],
)
def test_a_link_is_a_plain_web_address_without_a_password(world: World, address: str) -> None:
    number = incident_of(raised())
    with pytest.raises(BadInput):
        do(handling.add_link, world.on_call, number, address=address, text="x")


def test_a_secret_in_a_note_is_kept_nowhere(world: World) -> None:
    number = incident_of(raised())
    written = do(handling.add_note, world.on_call, number, text="see https://a.example/?token=s3cret now")
    assert written.text == "see https://a.example/?token=*** now"
    settled(raised())
    do(close_by_hand, world.on_call, number, why="https://me:s3cret@a.example/ was it")
    assert read(world, number).closed_because == "https://a.example/ was it"


def test_who_may_not_handle_incidents_does_none_of_it(world: World) -> None:
    number = incident_of(raised())
    acts: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (handling.assign, {"username": "viewer"}), (handling.add_note, {"text": "x"}),
        (handling.add_link, {"address": "https://a.example", "text": "x"}),
        (handling.set_severity, {"severity": 1, "why": "x"}), (handling.mitigate, {"how": "x"}),
        (handling.merge, {"into": number}), (handling.mark_false_alarm, {"why": "x"}),
        (handling.silence_incident, {"comment": "x"}),
    ]  # fmt: skip
    for act, how in acts:
        with pytest.raises(NotAllowed):
            do(act, world.viewer, number, **how)
    with pytest.raises(BadInput, match="nobody who may"):
        do(handling.assign, world.on_call, number, username="viewer")


def test_causes_are_ranked_with_their_evidence_and_those_ruled_out_are_told(world: World) -> None:
    number = incident_of(raised("auc", kind="realised", title="AUC fell"))
    with reading() as session:
        brief = read_brief(session, world.on_call, number)
    verdicts = [one.verdict for one in brief.suspects]
    assert verdicts == sorted(verdicts, key=("likely", "possible", "unknown", "ruled_out").index)
    by_name = {one.name: one for one in brief.suspects}
    served = by_name["version 2, which began to serve"]
    assert served.verdict == "ruled_out"
    assert "without this" in served.evidence
    assert by_name["a change of ours"].verdict in ("ruled_out", "possible")
    assert by_name["the gateway answers slowly or with errors"].verdict == "unknown", "nobody looked"
    raised("distance", title="distance is missing")
    with reading() as session:
        first = read_brief(session, world.on_call, number).suspects[0]
    assert (first.kind, first.verdict, first.evidence) == ("data", "likely", "distance is missing")


def test_what_changed_before_an_old_incident_is_told_however_much_has_changed_since(
    world: World, time: Time
) -> None:
    deployed(2, time.now - timedelta(minutes=6))
    alert = raised()
    number = incident_of(alert)
    settled(alert)
    do(close_by_hand, world.engineer, number, why="mended", cause="data")
    for turn in range(52):
        time.pass_(hours=1)
        deployed(1 + turn % 2, time.now)
    with reading() as session:
        changed = [one.text for one in read_brief(session, world.viewer, number).changed]
    assert "version 2 as champion" in changed


def test_a_timeline_that_is_too_long_tells_how_it_began_and_how_it_stands(world: World, time: Time) -> None:
    number = incident_of(raised())
    for turn in range(MOST + 20):
        time.pass_(seconds=40)
        do(handling.add_note, world.engineer, number, text=f"note {turn}")
    with reading() as session:
        told = [one.text for one in timeline(session, world.viewer, number)]
    assert len(told) == MOST + 1
    assert any(text.startswith("fires (page)") for text in told[:3])
    assert told[-1] == f"note: note {MOST + 19}" and "more lines until then" in told[FIRST]


def test_the_report_tells_the_record_and_leaves_blanks_for_people(world: World) -> None:
    alert = raised(title="distance is *missing* <script>")
    number = incident_of(alert)
    do(acknowledge, world.on_call, number)
    settled(alert)
    do(close_by_hand, world.on_call, number, why="mended", cause="data")
    with reading() as session:
        text = report_markdown(session, world.viewer, number)
        pdf = report_pdf(session, world.viewer, number)
    assert "Cause: the data that came in" in text
    assert r"distance is \*missing\* \<script\>" in text
    assert "(to be written by a person)" in text
    assert "acknowledged" in text
    assert pdf.startswith(b"%PDF")


def answered(time: Time, *, until_min: int = 0, seconds: float = 0.01, code: str = "200") -> None:
    """A request a minute of the last hour, and a gateway that ran, until so many minutes ago."""
    newest = time.now.astimezone(UTC).replace(second=0, microsecond=0)
    minutes = [newest - number * MINUTE for number in range(1 + until_min, int(LATELY / MINUTE) + 1)]
    counts = {}
    for start in minutes:
        counts["toy", "2", "champion", start] = one = Minute()
        one.count(code, None, seconds, 1)
    with writing() as session:
        write_presence(session, minutes, environment="production", gateway_id="a")
        write_outcomes(session, counts, environment="production", gateway_id="a", process="1")


def deployed(version: int, at: datetime) -> None:
    with writing() as session:
        opened = start_deployment(
            session, SYSTEM, model="toy", environment="production", version=version, change_id=None, reason="new",
            at=at,
        )  # fmt: skip
        mark_serving(session, SYSTEM, opened, at=at)


@pytest.mark.parametrize(
    ("minutes", "kind", "first", "version"),
    [(20, "scoring_failed", "version", "likely"), (20, "timed_out", "serving", "likely"),
     (20 * 24 * 60, "scoring_failed", "version", "possible")],
)  # fmt: skip
def test_a_version_whose_model_fails_by_itself_comes_before_the_gateway_that_says_so(
    world: World, time: Time, minutes: int, kind: str, first: str, version: str
) -> None:
    deployed(2, time.now - timedelta(minutes=minutes))
    minute = Minute()
    for _ in range(30):
        minute.count("500", kind, 0.01, 1)
        minute.count("200", None, 0.01, 1)
    start = time.now.replace(second=0, microsecond=0) - 5 * MINUTE
    with writing() as session:
        write_presence(session, [start], environment="production", gateway_id="a")
        write_outcomes(session, {("toy", "2", "champion", start): minute}, environment="production",
                       gateway_id="a", process="1")  # fmt: skip
    number = incident_of(raised("answers", kind="slo", title="half of the requests fail"))
    with reading() as session:
        found = read_brief(session, world.on_call, number).suspects
    began = next(one for one in found if "began to serve" in one.name)
    assert (found[0].kind, began.verdict) == (first, version)
    if kind == "scoring_failed":
        assert "on 30 of 60 requests to it" in began.evidence
        assert not [
            one for one in found if "answers slowly or with errors" in one.name and "version" in one.name
        ]
        serving = next(one for one in found if one.kind == "serving")
        assert "30 of 30 failures are of the model itself" in serving.evidence


@pytest.mark.parametrize(
    ("given", "verdict", "said"),
    [
        ({}, "ruled_out", "callers see no errors (last 60 min)"),
        (
            {"until_min": 20},
            "unknown",
            "whether callers see errors is not known since 2026-06-01 11:40:00 UTC",
        ),
        ({"seconds": 60.0}, "possible", "callers see no errors, but more than 5 % took longer than 10 s"),
        ({"seconds": 2.0}, "possible", "callers see no errors, but 95 % took at most 2,500 ms"),
        ({"code": "429"}, "possible", "callers see errors: 100.00% of requests failed (last 60 min)"),
    ],
)
def test_the_gateway_is_ruled_out_only_where_it_was_watched_and_answers_in_time(
    world: World, time: Time, given: dict[str, Any], verdict: str, said: str
) -> None:
    number = incident_of(raised("auc", kind="realised", title="AUC fell"))
    answered(time, **given)
    with reading() as session:
        brief = read_brief(session, world.on_call, number)
    assert said in brief.sentence
    by_name = {one.name: one for one in brief.suspects}
    assert by_name["the gateway answers slowly or with errors"].verdict == verdict


def test_a_page_that_fires_is_told_behind_however_many_tickets_that_came_and_went(
    world: World, time: Time
) -> None:
    page = raised("auc", title="AUC fell")
    number = incident_of(page)
    with writing() as session:
        for index in range(55):
            at = time.now + timedelta(minutes=index)
            session.add(
                Alert(
                    fingerprint=f"toy/{index}", model="toy", environment="production", version=2, source="monitor",
                    kind="quality", level="ticket", state="resolved", title="gone", details={}, since=at, fired_at=at,
                    last_seen_at=at, resolved_at=at, incident_id=number,
                )
            )  # fmt: skip
    with reading() as session:
        brief = read_brief(session, world.on_call, number)
    assert [one.id for one in brief.firing] == [page.id]
    assert "nothing fires" not in brief.sentence
    assert len(brief.alerts) == 50


def test_thousands_of_alerts_are_counted_and_paged_and_each_kind_is_told(world: World, time: Time) -> None:
    page = raised("answers", kind="realised", title="AUC fell")
    number = incident_of(page)
    with writing() as session:
        for index in range(400):
            at = time.now + timedelta(seconds=index)
            fires = index >= 150
            session.add(
                Alert(
                    fingerprint=f"toy/{index}", model="toy", environment="production", version=2, source="monitor",
                    kind="quality", level="ticket", state="firing" if fires else "resolved", title=f"column {index}",
                    details={}, since=at, fired_at=at, last_seen_at=at, resolved_at=None if fires else at,
                    incident_id=number,
                )
            )  # fmt: skip
    time.pass_(hours=1)
    with reading() as session:
        brief = read_brief(session, world.on_call, number)
        pages = [page_of_alerts(session, world.on_call, number, number=one) for one in range(1, 11)]
        events = [one.text for one in timeline(session, world.on_call, number)]
        text = report_markdown(session, world.on_call, number)
    assert (brief.tally.total, brief.tally.firing, brief.tally.fires) == (
        401,
        {"page": 1, "ticket": 250},
        251,
    )
    assert brief.alerts[0].id == page.id
    assert len(brief.firing) == 1 + TELLING
    assert [len(one) for one in pages] == [50] * 8 + [1, 0]
    listed = [one for found in pages for one in found]
    assert len({one.id for one in listed}) == 401
    assert listed[0].id == page.id
    assert [one.title for one in listed[1:3]] == ["column 399", "column 398"]
    assert [one.state for one in listed] == ["firing"] * 251 + ["resolved"] * 150
    assert "321 more alerts came until then" in events
    assert "401 alerts came; 350 of them are not named here." in text


def test_an_alert_that_joined_as_its_incident_was_closed_opens_another_when_it_fires_on(world: World) -> None:
    alert = raised()
    number = incident_of(alert)
    with writing() as session:
        close_incident(session, SYSTEM, session.get_one(Incident, number), why="over")
        session.get_one(Alert, alert.id).state = "firing"
    again = raised()
    assert again.id == alert.id
    assert incident_of(again) != number
    assert read(world, incident_of(again)).state == "open"


def test_what_fires_takes_a_mitigated_incident_back_where_it_is_merged_into_it(world: World) -> None:
    stays = do(
        handling.open_incident, world.on_call, model="toy", environment="production", title="calls", area="serving"
    ).id  # fmt: skip
    do(handling.mitigate, world.on_call, stays, how="traffic was sent elsewhere")
    comes = incident_of(raised())
    do(handling.merge, world.on_call, comes, into=stays)
    found = read(world, stays)
    assert (found.phase, found.relapsed_at is not None) == ("new", True), "what fires is told to somebody"
    with pytest.raises(Conflict):
        do(handling.merge, world.on_call, stays, into=comes)


def test_an_open_incident_is_listed_however_many_were_opened_since(world: World) -> None:
    old, grave = (
        do(handling.open_incident, world.on_call, model="toy", environment="production", title="calls", severity=one).id
        for one in (3, 1)
    )  # fmt: skip
    with writing() as session:
        session.add_all(
            Incident(model="toy", environment="production", title="past", opened_at=clock.now(), state="closed",
                     phase="resolved", closed_at=clock.now())
            for _ in range(60)
        )  # fmt: skip
    with reading() as session:
        assert [one.id for one in open_incidents(session, world.viewer)] == [grave, old]
        assert [one.id for one in open_incidents(session, world.viewer, model="other")] == []


def test_the_alerts_of_an_incident_are_counted_and_ranked_without_reading_their_rows(world: World) -> None:
    number, plans = incident_of(raised()), []
    with reading() as session:
        connection = session.connection()
        if connection.dialect.name != "sqlite":
            pytest.skip("the plan of a handful of rows says nothing on PostgreSQL")
        told: list[tuple[str, object]] = []
        event.listen(
            connection, "before_cursor_execute", lambda _c, _cur, text, given, *_: told.append((text, given))
        )
        tally_alerts(session, world.viewer, number)
        page_of_alerts(session, world.viewer, number)
        alerts_of_incident(session, world.viewer, number)
        for text, given in [one for one in told if "alerts.incident_id" in one[0] or "count(" in one[0]]:
            plans += [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", given)]
    assert sum("COVERING INDEX ix_alerts_incident_id" in one for one in plans) >= 3, plans
