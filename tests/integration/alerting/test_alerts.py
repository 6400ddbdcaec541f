"""One model of alerts: pending, no data, flapping, muted by an outage, grouped where their cause likely lies."""

from __future__ import annotations

from sqlalchemy import event, func, select

from backend.alerting.brief import read_brief
from backend.alerting.flapping import HOLD, TURNS
from backend.alerting.incidents import name_by_worst
from backend.alerting.muting import muting_now, shown_state
from backend.alerting.own_work import fire_failed_work, settle_work
from backend.alerting.report import report_markdown
from backend.alerting.service import Firing, note_no_data, release_held, resolve
from backend.alerting.tables import Alert, Incident
from backend.audit.findings import NOT_INTACT, close_finding, open_finding
from backend.database.session import reading, writing
from backend.notifications.facts import read_facts
from tests.integration.alerting.conftest import Time, now, raised, settled
from tests.worlds import SYSTEM, World


def live(fingerprint: str) -> Alert | None:
    with reading() as session:
        return session.scalars(
            select(Alert).where(Alert.fingerprint == fingerprint, Alert.state != "resolved")
        ).one_or_none()


def count(what: type[Alert] | type[Incident]) -> int:
    with reading() as session:
        return int(session.scalar(select(func.count()).select_from(what)) or 0)


def test_firing_again_refreshes_the_alert_and_opens_nothing_new(world: World) -> None:
    first, again = raised(), raised(title="still missing")
    assert (first.id, again.title, count(Alert), count(Incident)) == (again.id, "still missing", 1, 1)


def test_a_pending_alert_wakes_nobody_until_its_time_is_over_and_leaves_no_trace_before(
    world: World, time: Time
) -> None:
    alert = raised(for_s=600)
    assert (alert.state, count(Incident)) == ("pending", 0)
    time.pass_(minutes=9)
    assert raised(for_s=600).state == "pending"
    time.pass_(minutes=1)
    assert (raised(for_s=600).state, count(Incident)) == ("firing", 1)
    other = raised("carrier", for_s=600)
    with writing() as session:
        resolve(session, SYSTEM, session.get_one(Alert, other.id), why="gone")
    assert live(other.fingerprint) is None


def test_no_data_neither_fires_nor_resolves(world: World) -> None:
    fires = raised()
    unknown = Firing(
        "toy", "production", 2, "quality", "page", "nothing came", "distance", fires.since, {}
    )  # fmt: skip
    with writing() as session:
        note_no_data(session, SYSTEM, unknown)
    assert now(fires).state == "firing"
    assert now(fires).unknown_since is not None
    assert raised().unknown_since is None
    settled(fires)
    with writing() as session:
        alone = note_no_data(session, SYSTEM, unknown)
    assert (alone.state, alone.incident_id) == ("no_data", None)
    assert raised().state == "firing"


def test_an_alert_that_comes_and_goes_is_held_and_tells_of_itself_once(world: World, time: Time) -> None:
    for _ in range(TURNS):
        assert settled(raised()).state == "resolved"
        time.pass_(minutes=10)
    held = settled(raised())
    assert held.state == "firing"
    assert held.held_until == time.now + HOLD
    time.pass_(minutes=30)
    assert raised().id == held.id
    assert now(held).held_until is None, "firing in between takes the hold away"
    assert settled(held).state == "firing"
    time.pass_(hours=2)
    with writing() as session:
        assert release_held(session, SYSTEM) == 1
    assert now(held).state == "resolved"


def test_what_is_over_for_good_is_not_held(world: World, time: Time) -> None:
    for _ in range(TURNS):
        settled(raised())
    assert settled(raised(), final=True).state == "resolved"


def test_a_stoppage_mutes_its_consequences_which_go_on_firing_and_say_by_whom(world: World) -> None:
    stopped = raised("traffic", kind="volume", details={"value": 0.0}, title="no prediction has come")
    fell = raised("performance", kind="realised", title="AUC fell")
    with reading() as session:
        muting = muting_now(session)
        mute = muting.of(fell)
        assert mute is not None
        assert (mute.by, mute.id, mute.text) == ("alert", stopped.id, "no prediction has come")
        assert (fell.state, shown_state(fell, mute)) == ("firing", "suppressed")
        assert muting.of(stopped) is None, "nothing mutes itself"
    settled(stopped)
    with reading() as session:
        assert muting_now(session).of(now(fell)) is None


def test_less_traffic_than_usual_is_no_outage_and_mutes_nothing(world: World) -> None:
    raised("traffic", kind="volume", details={"value": 12.0})
    fell = raised("performance", kind="realised")
    with reading() as session:
        assert muting_now(session).of(fell) is None


def test_a_gateway_that_is_down_mutes_what_it_serves_but_not_the_record(world: World) -> None:
    raised("answers", model="", version=None, kind="gateway", title="the gateway does not answer")
    muted = [
        raised("traffic", kind="volume"),
        raised("availability", kind="slo"),
        raised("auc", kind="realised"),
    ]
    moved = raised("alias", kind="registry")
    with reading() as session:
        muting = muting_now(session)
        assert all(muting.of(one) is not None for one in muted)
        assert muting.of(moved) is None
    assert count(Incident) == 2, "the gateway's and the record's; what is muted opens none"


def test_alerts_are_one_incident_where_their_cause_likely_is_one(world: World) -> None:
    together = {raised("distance").incident_id, raised("auc", kind="realised").incident_id}
    slow = raised("latency", kind="slo").incident_id
    work = raised("compute", model="", version=None, kind="job").incident_id
    assert len(together) == 1
    assert len({*together, slow, work}) == 3


def test_severity_follows_the_stated_rule(world: World) -> None:
    def severity(alert: Alert) -> int:
        with reading() as session:
            return session.get_one(Incident, alert.incident_id).severity

    assert severity(raised("auc", kind="realised")) == 3
    assert severity(raised("latency", kind="slo")) == 2
    assert severity(raised("answers", model="", version=None, kind="gateway")) == 1


def test_work_that_fails_is_a_ticket_until_the_same_work_succeeds(world: World) -> None:
    with writing() as session:
        alert = fire_failed_work(
            session,
            SYSTEM,
            job="compute_metrics",
            title="Compute",
            subject="toy",
            reason="no store",
            run_id="r",
        )
        again = fire_failed_work(
            session,
            SYSTEM,
            job="compute_metrics",
            title="Compute",
            subject="toy",
            reason="no store",
            run_id="s",
        )
    assert (alert.id, alert.model, alert.source, alert.level) == (again.id, "toy", "job", "ticket")
    for subject, state in (("other", "firing"), ("toy", "resolved")):
        with writing() as session:
            settle_work(session, SYSTEM, job="compute_metrics", subject=subject)
        assert now(alert).state == state


def test_a_finding_about_the_log_fires_at_its_level_and_ends_with_it(world: World) -> None:
    with writing() as session:
        open_finding(session, SYSTEM, NOT_INTACT, subject="log", title="entry 7 was altered", level="page")
    with reading() as session:
        (alert,) = session.scalars(select(Alert))
        (incident,) = session.scalars(select(Incident))
    assert (alert.source, alert.incident_id, incident.area, incident.severity) == (
        "audit",
        incident.id,
        "record",
        2,
    )
    with writing() as session:
        assert close_finding(session, SYSTEM, NOT_INTACT, subject="log", why="put back")
    assert now(alert).state == "resolved"


def test_message_page_and_report_call_a_metric_by_one_name(world: World) -> None:
    fell = raised("roc_auc", kind="realised", title="realised roc_auc from 0.75 to 0.61")
    assert fell.incident_id is not None
    with reading() as session:
        incident = session.get_one(Incident, fell.incident_id)
        brief = read_brief(session, world.viewer, incident.id)
        report = report_markdown(session, world.viewer, incident.id)
        message = read_facts(session, [incident]).message(incident)
    for text in (brief.sentence, report, message.summary, message.text):
        assert "AUC from 0.75 to 0.61" in text.replace("Realised", "realised")
        assert "roc_auc" not in text


def test_naming_an_incident_reads_no_more_with_more_alerts(world: World) -> None:
    number = raised("first", level="page").incident_id
    for index in range(12):
        raised(f"column {index}", level="ticket")
    read: list[object] = []
    with writing() as session:
        event.listen(session, "loaded_as_persistent", lambda _session, one: read.append(one))
        name_by_worst(session, SYSTEM, number or 0)
        assert session.get_one(Incident, number).title == "first is missing"
    assert not [one for one in read if isinstance(one, Alert)]
