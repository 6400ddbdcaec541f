"""Alerts that Alertmanager hands to us: the same twice is one, what is over is over, unknown models are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select

from backend.alerting.inbound import OutsideAlerts, take_alerts
from backend.alerting.tables import Alert
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from tests.worlds import World, make_world


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def body(status: str = "firing", *, model: str = "toy", summary: str = "5 % of requests fail",
         starts: str = "2026-03-01T03:00:00.000Z", **labels: str) -> OutsideAlerts:  # fmt: skip
    alert = {
        "status": status,
        "labels": {
            "alertname": "HighErrorRate", "severity": "critical", "model": model, "environment": "production", **labels,
        },
        "annotations": {"summary": summary},
        "startsAt": starts, "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph", "fingerprint": "c0ffee00",
    }  # fmt: skip
    document: dict[str, Any] = {
        "version": "4",
        "groupKey": "{}",
        "status": status,
        "receiver": "warrant",
        "alerts": [alert],
    }
    return OutsideAlerts.model_validate(document)


def test_told_twice_it_is_one_alert_with_an_incident_and_then_over(world: World) -> None:
    for _ in range(2):
        with writing() as session:
            assert take_alerts(session, world.engineer, body())["firing"] == 1
    with reading() as session:
        (alert,) = session.scalars(select(Alert))
        assert (alert.title, alert.level, alert.source, alert.state) == (
            "5 % of requests fail",
            "page",
            "outside",
            "firing",
        )
        assert alert.incident_id is not None
    with writing() as session:
        assert take_alerts(session, world.engineer, body("resolved"))["resolved"] == 1
    with reading() as session:
        assert session.scalars(select(Alert)).one().state == "resolved"
    with writing() as session:
        assert take_alerts(session, world.engineer, body("resolved"))["resolved"] == 0


def test_an_unknown_model_is_refused_and_changes_nothing(world: World) -> None:
    with pytest.raises(BadInput, match="HighErrorRate: its label model is 'nobody'"), writing() as session:
        take_alerts(session, world.engineer, body(model="nobody"))
    with pytest.raises(NotAllowed), writing() as session:
        take_alerts(session, world.viewer, body())
    with reading() as session:
        assert session.scalars(select(Alert)).all() == []


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"alertname": "WarrantIncident", "key": "INC-1/opened"}, "our own incident"),
        ({"environment": "prodution"}, "there is no environment 'prodution'"),
    ],
)
def test_our_own_alerts_and_places_that_do_not_exist_are_refused_with_the_reason(
    world: World, labels: dict[str, str], why: str
) -> None:
    with pytest.raises(BadInput, match=why), writing() as session:
        take_alerts(session, world.engineer, body(**labels))


def test_a_long_title_is_clipped_and_a_time_before_all_times_is_refused(world: World) -> None:
    with writing() as session:
        take_alerts(session, world.engineer, body(summary="x" * 4000))
    with reading() as session:
        assert len(session.scalars(select(Alert)).one().title) == 300
    with pytest.raises(ValidationError, match="no time at which an alert began"):
        body(starts="0001-01-01T00:00:00+14:00")
