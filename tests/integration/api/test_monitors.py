"""Monitors and figures of one's own over HTTP: made once, changed as seen, replayed without being stored."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from backend import clock
from backend.database.session import writing
from backend.monitoring.tables import MetricPoint, WindowState
from tests import midnight
from tests.integration.api.conftest import Callers
from tests.worlds import set_tier

PATH = "/models/toy/monitors"


def definition(limit: float = 10, **more: Any) -> dict[str, Any]:
    threshold = {"kind": "constant", "side": "below", "value": limit}
    return {"name": "traffic", "level": "page", "when": {"kind": "volume", "statistic": "rows", "threshold": threshold},
            **more}  # fmt: skip


@pytest.fixture
def quiet_day(callers: Callers) -> datetime:
    """The start of the only one of the ten stored days that had few rows."""
    first = midnight.today() - timedelta(days=10)
    with writing() as session:
        session.query(MetricPoint).delete()
        session.query(WindowState).delete()
        for day in range(10):
            start = first + timedelta(days=day)
            session.add(
                WindowState(
                    model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1),
                    version=2, rows=5 if day == 4 else 500, state="complete", computed_at=clock.now(),
                )
            )  # fmt: skip
    return first + timedelta(days=4)


def test_a_key_makes_one_monitor_however_often_it_is_sent(callers: Callers) -> None:
    send = {"headers": {"Idempotency-Key": "k1"}}
    first = callers.post("lead", PATH, {"definition": definition(), "why": "we need it"}, **send)
    again = callers.post("lead", PATH, {"definition": definition(), "why": "we need it"}, **send)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    listed = callers.get("viewer", PATH).json()
    assert [(one["key"], one["version"], one["state"]) for one in listed["monitors"]] == [
        (first.json()["key"], 1, "active")
    ]
    assert {"kind": "volume", "column": "", "statistic": "rows", "segment": ""} in listed["figures"]["1d"]
    assert listed["false_pages_per_month"] == pytest.approx(1 / 3)


def test_a_monitor_is_changed_paused_brought_back_and_deleted_as_seen(callers: Callers) -> None:
    made = callers.post("on_call", PATH, {"definition": definition()}).json()
    path = f"{PATH}/{made['key']}"

    def put(**body: Any) -> tuple[int, Any]:
        answer = callers.send("lead", "PUT", path, json=body)
        return answer.status_code, answer.json()

    assert put(seen=1, definition=definition(20), why="too quiet")[1]["version"] == 2
    status, problem = put(seen=1, definition=definition(30))
    assert (status, problem["title"]) == (409, "Changed since you looked")
    assert put(seen=2, paused=True)[1]["state"] == "paused"
    status, back = put(seen=3, restore=1)
    assert (status, back["version"], back["definition"], back["state"]) == (
        200,
        4,
        made["definition"],
        "active",
    )
    assert callers.send("lead", "DELETE", path, params={"seen": 3}).status_code == 409
    assert callers.send("lead", "DELETE", path, params={"seen": 4}).json()["state"] == "deleted"
    assert callers.get("viewer", PATH).json()["monitors"] == []
    versions = callers.get("viewer", path).json()["versions"]
    assert [(one["version"], one["state"]) for one in versions] == [
        (5, "deleted"), (4, "active"), (3, "paused"), (2, "active"), (1, "active"),
    ]  # fmt: skip
    assert callers.get("viewer", "/models/none/monitors/x").status_code == 404


def test_a_proposal_is_replayed_and_not_stored(callers: Callers, quiet_day: datetime) -> None:
    answer = callers.post("viewer", f"{PATH}/replay", {"definition": definition()})
    found = answer.json()
    assert answer.status_code == 200
    assert [one["window_start"] for one in found["firings"]] == [quiet_day.isoformat()]
    assert (found["windows"], found["cleared"], found["inconclusive"]) == (10, 1, 0)
    assert found["pages_per_month"] == pytest.approx(30.4375 / 10)
    assert found["says"] == "page when rows is below 10"
    assert callers.get("viewer", PATH).json()["monitors"] == []
    refused = callers.post(
        "viewer", f"{PATH}/replay", {"definition": definition(limit=10, windows={"fire": 3})}
    )
    assert (refused.status_code, refused.json()["detail"]) == (
        422, "windows.fire: 3 is not a whole number from 1 to 1"
    )  # fmt: skip


def test_figures_of_ones_own_are_stored_once_and_read_in_windows(callers: Callers) -> None:
    noon = midnight.today() - timedelta(days=2, hours=-12)
    rows = [
        {"ts": clock.to_iso(noon), "name": "revenue", "value": 10, "segment": "shop=north", "id": "o1"},
        {"ts": clock.to_iso(noon + timedelta(days=1)), "name": "revenue", "value": 30, "id": "o2"},
    ]

    def send(*rows: dict[str, Any]) -> Any:
        return callers.post("engineer", "/models/toy/kpis", {"kpis": list(rows)}).json()

    assert send(*rows) == {"rows_new": 2, "rows_known": 0, "rows_replaced": 0}
    assert send(*rows) == {"rows_new": 0, "rows_known": 2, "rows_replaced": 0}
    assert send({**rows[0], "value": 12}) == {"rows_new": 0, "rows_known": 0, "rows_replaced": 1}
    found = callers.get("viewer", "/models/toy/kpis").json()["kpis"]
    assert [(one["segment"], one["rows"], one["total"]) for one in found] == [
        ("", 1, 12.0), ("", 1, 30.0), ("shop=north", 1, 12.0), ("shop=north", 0, None),
    ]  # fmt: skip
    refused = callers.post("engineer", "/models/toy/kpis", {"kpis": [{**rows[0], "value": "much"}]})
    assert (refused.status_code, "value" in refused.json()["detail"]) == (422, True)


def test_where_the_policy_says_so_a_direct_edit_is_refused_with_what_to_do(callers: Callers) -> None:
    with writing() as session:
        set_tier(session, "toy", "high")
    refused = callers.post("lead", PATH, {"definition": definition()})
    assert refused.status_code == 403
    assert "POST /api/v1/changes, kind `monitor`" in refused.json()["detail"]
    asked = {
        "kind": "monitor",
        "model": "toy",
        "environment": "production",
        "subject": {"definition": definition()},
    }
    preview = callers.post("lead", "/changes/preview", asked).json()
    made = callers.post("lead", "/changes", asked | {"reason": "we need it", "digest": preview["digest"]})
    assert made.status_code == 201, made.text
