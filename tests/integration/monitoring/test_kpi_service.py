"""Figures of the user's own in the database: stored once, replaced with an audit entry, summed up in windows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.roles import Role
from backend.monitoring import kpi_service
from backend.monitoring.kpi_service import Stored, kpi_names, kpi_series, store_kpis
from backend.monitoring.monitor_tables import KpiRow
from tests.integration.monitoring.conftest import make_monitored
from tests.worlds import SYSTEM, person

DAY = datetime(2026, 3, 28, tzinfo=UTC)


@pytest.fixture
def shop(database: str, tmp_path: Path) -> str:
    return make_monitored(tmp_path / "files", timezone="Europe/Berlin").name


def row(hours: float, value: float, name: str = "conversion", **more: Any) -> dict[str, Any]:
    return {"ts": DAY + timedelta(hours=hours), "name": name, "value": value, **more}


def send(*rows: dict[str, Any], who: Any = SYSTEM, environment: str = "production") -> Stored:
    with writing() as session:
        return store_kpis(session, who, model="shopper", environment=environment, rows=list(rows))


def stored() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(KpiRow)) or 0


def entries(action: Action) -> list[dict[str, Any]]:
    with reading() as session:
        found = session.scalars(
            select(AuditPayload.payload)
            .join(AuditEntry, AuditEntry.seq == AuditPayload.seq)
            .where(AuditEntry.action == action.value)
            .order_by(AuditEntry.seq)
        )
        return [json.loads(one) for one in found]


def test_the_same_row_is_stored_once_with_and_without_an_id(shop: str) -> None:
    rows = [row(1, 0.5), row(1, 0.7, id="a"), row(1, 0.6, segment="shop=north")]
    assert send(*rows) == Stored(3, 0, 0)
    assert send(*rows) == Stored(0, 3, 0)
    assert send(row(1, 0.5), row(1, 0.5)) == Stored(0, 1, 0)
    assert send(*rows, environment="staging") == Stored(3, 0, 0)
    assert stored() == 6
    assert len(entries(Action.KPIS_INGESTED)) == 2


def test_another_value_replaces_the_old_one_and_both_are_in_the_log(shop: str) -> None:
    send(row(1, 0.5), row(2, 0.7, id="a"))
    assert send(row(1, 0.55), row(3, 0.7, id="a")) == Stored(0, 0, 2)
    (said,) = entries(Action.KPIS_REPLACED)
    assert [(one["before"], one["after"]) for one in said["replaced"]] == [(0.5, 0.55), (0.7, 0.7)]
    assert said["rows"] == 2
    with reading() as session:
        assert sorted((one.value, one.ts) for one in session.scalars(select(KpiRow))) == [
            (0.55, DAY + timedelta(hours=1)), (0.7, DAY + timedelta(hours=3)),
        ]  # fmt: skip


def test_a_batch_that_is_wrong_stores_nothing(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match=r"comes twice, as 0\.5 and 0\.6; give each row an id"):
        send(row(1, 0.5), row(1, 0.6))
    with pytest.raises(BadInput, match="value, row 1"):
        send(row(1, 0.5), row(2, float("nan")))
    monkeypatch.setattr(kpi_service, "MOST_ROWS", 1)
    with pytest.raises(BadInput, match="send at most 1 at once"):
        send(row(1, 0.5), row(2, 0.5))
    assert stored() == 0
    with pytest.raises(NotFound), writing() as session:
        store_kpis(session, SYSTEM, model="nobody", environment="production", rows=[])


def test_only_who_sends_observations_sends_figures(shop: str) -> None:
    with writing() as session:
        viewer = person(session, "viewer", Role.VIEWER)
    with pytest.raises(NotAllowed):
        send(row(1, 0.5), who=viewer)


def test_windows_follow_the_clock_of_the_spec_and_an_absent_figure_is_not_zero(shop: str) -> None:
    # Berlin's day of the 29th has 23 hours: it begins at 23:00 UTC and ends at 22:00 UTC.
    send(
        row(1, 1.0),
        row(2, 3.0),
        row(22.5, 5.0),
        row(45.5, 7.0),
        row(46.5, 9.0),
        row(95, 1.0, segment="shop=north"),
    )
    with reading() as session:
        found = kpi_series(session, SYSTEM, "shopper", "production", size="1d")
        assert kpi_names(session, "shopper", "production") == [
            ("conversion", ""),
            ("conversion", "shop=north"),
        ]
    whole = found[found["segment"] == ""]
    assert whole["rows"].tolist() == [3, 1, 1, 0, 1]
    assert whole["total"].tolist()[:3] == [9.0, 7.0, 9.0]
    assert whole["total"].isna().tolist() == [False, False, False, True, False]
    assert (whole["window_end"] - whole["window_start"]).tolist()[1] == timedelta(hours=23)
    first = whole.iloc[0]
    assert (first["mean"], first["low"] < 3.0 < first["high"]) == (3.0, True)
    assert found[found["segment"] == "shop=north"]["rows"].tolist() == [0, 0, 0, 0, 1]


def test_a_model_without_figures_has_an_empty_series(shop: str) -> None:
    with reading() as session:
        assert kpi_series(session, SYSTEM, "shopper", "production", size="1d").empty
