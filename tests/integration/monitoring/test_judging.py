"""From points to alerts: one a subject, refreshed, resolved when the window that speaks is fine, paged rarely."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backend import clock
from backend.alerting.service import Firing, close_incident, fire, firing_alerts
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.deployment.service import start_deployment
from backend.monitoring.columns import parse_spec
from backend.monitoring.judgement import judge
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model
from tests.integration.monitoring.conftest import ago, make_monitored
from tests.worlds import SYSTEM


@pytest.fixture
def shopper(database: str, tmp_path: Path) -> str:
    return make_monitored(tmp_path / "files", versions=(1, 2)).name


def window(start: datetime, *, size: str = "1d", version: int | None = 2, **changes: Any) -> WindowState:
    """A computed window of the champion's; a later call for the same start changes it."""
    hours = 24 if size == "1d" else 1
    values: dict[str, Any] = {
        "version": version, "rows": 200, "labels_known": 200, "labels_absent": 0, "state": "complete",
        "computed_at": clock.now(), "labelled_at": clock.now(), **changes,
    }  # fmt: skip
    with writing() as session:
        row = session.scalars(
            select(WindowState).where(WindowState.start == start, WindowState.size == size)
        ).first()
        if row is None:
            row = WindowState(model="shopper", environment="production", size=size, start=start,
                              end=start + timedelta(hours=hours), injected_rows=0)  # fmt: skip
            session.add(row)
        for name, value in values.items():
            setattr(row, name, value)
        session.flush()
        return row


def point(
    on: WindowState, verdict: str, kind: str = "realised", statistic: str = "roc_auc", column: str = "",
    level: str = "page", segment: str = "",
) -> None:  # fmt: skip
    """What the window says about a subject, replacing what it said before."""
    with writing() as session:
        known = session.scalars(
            select(MetricPoint).where(
                MetricPoint.window_id == on.id, MetricPoint.kind == kind, MetricPoint.statistic == statistic,
                MetricPoint.column == column, MetricPoint.segment == segment,
            )
        ).first()  # fmt: skip
        if known is not None:
            session.delete(known)
            session.flush()
        value = {"alarm": 0.6, "ok": 0.8}.get(verdict)
        now = clock.now()
        session.add(
            MetricPoint(
                window_id=on.id, model="shopper", environment="production", size=on.size, window_start=on.start,
                segment=segment, kind=kind, column=column, statistic=statistic, value=value, threshold=0.7,
                verdict=verdict,
                level=level if verdict == "alarm" else None, text=f"{kind} {column or statistic} {verdict}",
                rows=on.rows, first_value=value, first_computed_at=now, computed_at=now,
            )
        )  # fmt: skip


def run() -> list[tuple[str, str, str]]:
    """Judge; gives what fires now as (kind, level, subject)."""
    with writing() as session:
        model = session.get_one(Model, "shopper")
        judge(session, SYSTEM, model=model, environment="production", spec=parse_spec(model.spec))
    with reading() as session:
        return [(a.kind, a.level, a.fingerprint.split("/", 3)[3]) for a in firing_alerts(session, SYSTEM)]


def alerts() -> list[Alert]:
    with reading() as session:
        return list(session.scalars(select(Alert).order_by(Alert.id)))


def audited(action: Action) -> int:
    with reading() as session:
        return session.scalar(
            select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action.value)
        )  # type: ignore[return-value]


PERFORMANCE = ("realised", "page", "performance")


def test_an_alarm_fires_once_and_is_refreshed_while_it_lasts(shopper: str) -> None:
    first = window(ago(2))
    point(first, "alarm")
    point(first, "alarm", statistic="accuracy", level="ticket")
    assert run() == [PERFORMANCE]
    (alert,) = alerts()
    assert (alert.version, alert.since, alert.title) == (2, ago(2), "realised roc_auc alarm")
    assert alert.details["columns"] == ["roc_auc", "accuracy"]
    seen = alert.last_seen_at
    point(window(ago(1)), "alarm")
    assert run() == [PERFORMANCE]
    (again,) = alerts()
    assert again.id == alert.id
    assert again.last_seen_at > seen
    assert (again.since, again.fired_at) == (ago(2), alert.fired_at)
    assert again.details["window"] == ago(1).isoformat()
    assert (audited(Action.ALERT_FIRED), audited(Action.INCIDENT_OPENED)) == (1, 1)


def test_an_alert_is_resolved_when_the_window_that_speaks_is_fine_and_not_by_silence(shopper: str) -> None:
    point(window(ago(3)), "alarm")
    assert run() == [PERFORMANCE]
    point(window(ago(2)), "inconclusive")
    assert run() == [PERFORMANCE]
    point(window(ago(1)), "ok")
    assert run() == []
    (alert,) = alerts()
    assert (alert.state, audited(Action.ALERT_RESOLVED)) == ("resolved", 1)
    with reading() as session:
        assert [incident.state for incident in session.scalars(select(Incident))] == ["open"]
    point(window(ago(1)), "alarm")
    assert run() == [PERFORMANCE]
    assert [alert.state for alert in alerts()] == ["resolved", "firing"]
    with reading() as session:
        assert len(session.scalars(select(Incident)).all()) == 1


def test_a_page_opens_an_incident_that_tickets_join(shopper: str) -> None:
    speaking = window(ago(1))
    point(speaking, "alarm", "drift", "psi", "x", level="ticket")
    assert run() == [("drift", "ticket", "inputs and predictions")]
    assert alerts()[0].incident_id is None
    point(speaking, "alarm")
    run()
    run()
    with reading() as session:
        (incident,) = session.scalars(select(Incident))
        assert {alert.incident_id for alert in session.scalars(select(Alert))} == {incident.id}
    with writing() as session:
        close_incident(
            session, SYSTEM, session.get_one(Incident, incident.id), why="rolled back", change_id=1
        )
    assert {alert.state for alert in alerts()} == {"resolved"}


def test_a_ticket_that_worsens_becomes_a_page_and_opens_an_incident(shopper: str) -> None:
    speaking = window(ago(1))
    point(speaking, "alarm", "quality", "missing_rate", "x", level="ticket")
    assert run() == [("quality", "ticket", "x")]
    point(speaking, "alarm", "quality", "missing_rate", "x", level="page")
    assert run() == [("quality", "page", "x")]
    assert alerts()[0].incident_id is not None


def test_each_column_of_bad_quality_is_an_alert_and_drift_is_one(shopper: str) -> None:
    speaking = window(ago(1))
    for column in ("x", "shop"):
        point(speaking, "alarm", "drift", "psi", column, level="ticket")
        point(speaking, "alarm", "quality", "missing_rate", column, level="page")
    point(speaking, "alarm", "prediction", "psi", "score", level="ticket")
    assert run() == [
        ("quality", "page", "shop"), ("quality", "page", "x"), ("drift", "ticket", "inputs and predictions"),
    ]  # fmt: skip
    assert alerts()[-1].title.startswith("3 columns drift") or alerts()[0].title.startswith("3 columns drift")


def test_a_column_with_a_slash_in_its_name_is_resolved_too(shopper: str) -> None:
    speaking = window(ago(1))
    point(speaking, "alarm", "quality", "missing_rate", "per km/h", level="ticket")
    assert run() == [("quality", "ticket", "per km/h")]
    point(speaking, "ok", "quality", "missing_rate", "per km/h")
    assert run() == []


def test_windows_of_another_version_or_of_few_rows_raise_nothing(shopper: str) -> None:
    point(window(ago(3), version=1), "alarm")
    point(window(ago(2), rows=20, labels_known=20), "alarm")
    assert run() == []


def test_windows_from_before_the_model_was_watched_or_its_version_served_raise_nothing(shopper: str) -> None:
    point(window(ago(3)), "alarm")
    with writing() as session:
        session.get_one(Model, "shopper").created_at = ago(1)
    assert run() == []
    with writing() as session:
        session.get_one(Model, "shopper").created_at = ago(60)
        start_deployment(
            session, SYSTEM, model="shopper", environment="production", version=2, change_id=None, reason="again",
            at=ago(1),
        )  # fmt: skip
    assert run() == []


def test_realised_performance_waits_for_its_labels(shopper: str) -> None:
    speaking = window(ago(1), labels_known=100, labelled_at=None)
    point(speaking, "alarm")
    assert run() == []
    window(ago(1), labels_known=150, labels_absent=20)
    assert run() == [PERFORMANCE]


def test_what_is_only_worth_knowing_raises_nothing_and_drift_never_pages(shopper: str) -> None:
    speaking = window(ago(1))
    point(speaking, "alarm", "drift", "psi", "x", level="info")
    assert run() == []
    point(speaking, "alarm", "drift", "psi", "shop", level="page")
    assert run() == [("drift", "ticket", "inputs and predictions")]
    assert alerts()[0].details["columns"] == ["shop"]


def test_what_came_true_takes_the_place_of_an_estimate(shopper: str) -> None:
    speaking = window(ago(1), labelled_at=None)
    point(speaking, "alarm", "estimated")
    assert run() == [("estimated", "page", "performance")]
    point(speaking, "ok")
    window(ago(1))
    assert run() == []


def test_segments_are_one_subject_of_each_kind(shopper: str) -> None:
    speaking = window(ago(1))
    point(speaking, "ok")
    for segment in ("shop=north", "shop=south"):
        point(speaking, "alarm", "realised", level="ticket", segment=segment)
    assert run() == [("realised", "ticket", "segments")]
    assert alerts()[0].details["columns"] == ["roc_auc in shop=north", "roc_auc in shop=south"]
    for segment in ("shop=north", "shop=south"):
        point(speaking, "ok", "realised", segment=segment)
    assert run() == []


def test_segments_say_nothing_that_the_whole_says_already(shopper: str) -> None:
    speaking = window(ago(1))
    point(speaking, "alarm", "drift", "psi", "x", level="ticket")
    point(speaking, "alarm", "drift", "chi_squared", "x", level="ticket", segment="shop=north")
    point(speaking, "alarm")
    point(speaking, "alarm", level="ticket", segment="shop=north")
    assert run() == [PERFORMANCE, ("drift", "ticket", "inputs and predictions")]
    point(speaking, "alarm", "drift", "psi", "age", level="ticket", segment="shop=north")
    assert ("drift", "ticket", "segments") in run()
    assert next(a for a in alerts() if a.fingerprint.endswith("segments")).details["columns"] == [
        "age in shop=north"
    ]


def test_drift_waits_for_the_end_of_its_window_and_quality_does_not(shopper: str) -> None:
    present = window(ago(0), state="open")
    point(present, "alarm", "drift", "psi", "x", level="ticket")
    point(present, "alarm", "quality", "missing_rate", "x")
    assert run() == [("quality", "page", "x")]


def test_silence_is_an_alert_since_it_began_and_ends_with_traffic(shopper: str) -> None:
    silent = {"rows": 0, "labels_known": 0, "version": None, "state": "no_traffic"}
    window(ago(4))
    window(ago(3), **silent)
    window(ago(2), **{**silent, "state": "no_traffic_expected"})
    window(ago(1), **silent)
    assert run() == [("volume", "ticket", "traffic")]
    (alert,) = alerts()
    assert (alert.since, alert.version) == (ago(3), 2)
    assert f"{ago(3):%Y-%m-%d}" in alert.title
    window(ago(0), rows=3, version=2, state="open")
    assert run() == [("volume", "ticket", "traffic")]
    window(ago(0), rows=3, version=2, state="complete")
    assert run() == []


def test_expected_silence_is_no_alert(shopper: str) -> None:
    window(ago(2))
    window(ago(1), rows=0, labels_known=0, version=None, state="no_traffic_expected")
    assert run() == []


def test_an_alert_of_the_version_that_served_before_is_not_told_of_its_successor(shopper: str) -> None:
    point(window(ago(2)), "alarm")
    run()
    with writing() as session:
        start_deployment(
            session, SYSTEM, model="shopper", environment="production", version=1, change_id=None, reason="back",
            at=ago(1),
        )  # fmt: skip
    point(window(ago(1), version=1), "alarm")
    assert run() == [PERFORMANCE]
    assert [(alert.version, alert.state) for alert in alerts()] == [(2, "resolved"), (1, "firing")]


def test_alerts_of_other_kinds_are_left_alone(shopper: str) -> None:
    with writing() as session:
        fire(
            session, SYSTEM,
            Firing("shopper", "production", None, "registry", "ticket", "the alias moved", "alias", ago(1), {}),
        )  # fmt: skip
    point(window(ago(1)), "ok")
    assert run() == [("registry", "ticket", "alias")]
