"""Monitors of people: kept with every version, looked at with each computation, silent when they end."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backend import clock
from backend.alerting.service import firing_alerts, resolve
from backend.alerting.tables import Alert, Incident
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.session import reading, writing
from backend.deployment.service import mark_serving, start_deployment
from backend.errors import BadInput, ChangedSinceSeen, Conflict, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.monitoring import monitors_service as service
from backend.monitoring.budget_service import FalseAlarms, change_budget, false_alarms
from backend.monitoring.columns import parse_spec
from backend.monitoring.judgement import judge
from backend.monitoring.kpi_service import store_kpis
from backend.monitoring.monitor_history import VOLUME, known_figures
from backend.monitoring.monitor_tables import MonitorVersion
from backend.monitoring.monitors import Figure
from backend.monitoring.tables import MetricPoint, ReferenceSummary, TrackedEstimate, WindowState
from backend.registry.tables import Model
from tests.integration.monitoring.conftest import ago, make_monitored
from tests.worlds import SYSTEM, person

PSI = {"kind": "drift", "column": "x", "statistic": "psi"}
AUC = {"kind": "realised", "statistic": "roc_auc"}
GUESSED = {"kind": "estimated", "statistic": "roc_auc"}


def above(limit: float, figure: dict[str, Any] = PSI, **more: Any) -> dict[str, Any]:
    return {**figure, "threshold": {"kind": "constant", "side": "above", "value": limit, **more}}


def below(limit: float, figure: dict[str, Any] = AUC) -> dict[str, Any]:
    return {**figure, "threshold": {"kind": "constant", "side": "below", "value": limit}}


def definition(when: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"name": "x moves", "level": "ticket", "when": when or above(0.2), **more}


@pytest.fixture
def lead(database: str, tmp_path: Path) -> Actor:
    """An ML lead of `shopper`, whose version 2 serves."""
    make_monitored(tmp_path / "files", versions=(1, 2))
    with writing() as session:
        return person(session, "lead", Role.ML_LEAD)


def day(
    age: int, *, version: int | None = 2, rows: int = 200, state: str = "complete", **values: float
) -> None:
    """A finished window with figures: psi (of x), auc (realised), guess (estimated)."""
    named = {
        "psi": ("drift", "x", "psi"),
        "auc": ("realised", "", "roc_auc"),
        "guess": ("estimated", "", "roc_auc"),
    }
    with writing() as session:
        start, now = ago(age), clock.now()
        window = session.scalars(select(WindowState).where(WindowState.start == start)).one_or_none()
        if window is None:
            window = WindowState(
                model="shopper", environment="production", size="1d", start=start, end=start + timedelta(days=1),
                version=version, rows=rows, labels_known=rows, state=state, computed_at=now,
            )  # fmt: skip
            session.add(window)
            session.flush()
        for name, value in values.items():
            kind, column, statistic = named[name]
            session.add(
                MetricPoint(
                    window_id=window.id, model="shopper", environment="production", size="1d", window_start=start,
                    kind=kind, column=column, statistic=statistic, value=value, threshold=0.25, verdict="ok",
                    rows=rows, first_value=value, first_computed_at=now, computed_at=now,
                )
            )  # fmt: skip


def create(actor: Actor, body: dict[str, Any]) -> MonitorVersion:
    with writing() as session:
        return service.create_monitor(
            session, actor, model="shopper", environment="production", definition=body, why="we need it"
        )


def run() -> list[Alert]:
    """What fires by monitors after judging."""
    with writing() as session:
        model = session.get_one(Model, "shopper")
        judge(session, SYSTEM, model=model, environment="production", spec=parse_spec(model.spec))
    with reading() as session:
        return [alert for alert in firing_alerts(session, SYSTEM) if alert.kind == "monitor"]


def audited(key: str) -> list[str]:
    with reading() as session:
        return list(
            session.scalars(
                select(AuditEntry.action).where(AuditEntry.object_id == key).order_by(AuditEntry.seq)
            )
        )


def test_a_monitor_fires_is_refreshed_and_resolved(lead: Actor) -> None:
    made = create(lead, definition())
    day(3, psi=0.1)
    assert run() == []
    day(2, psi=0.5)
    (alert,) = run()
    assert (alert.level, alert.version, alert.since, alert.incident_id) == ("ticket", 2, ago(2), None)
    assert alert.title == "x moves: psi of x 0.5 (limit 0.2)"
    assert (alert.details["monitor"], alert.details["column"], alert.details["value"]) == (made.key, "x", 0.5)
    day(1, psi=0.7)
    (again,) = run()
    assert (again.id, again.since, again.details["value"]) == (alert.id, ago(2), 0.7)
    day(0, psi=0.1)
    assert run() == []
    with reading() as session:
        assert session.get_one(Alert, alert.id).state == "resolved"


def test_a_window_that_cannot_be_judged_leaves_the_alert(lead: Actor) -> None:
    create(lead, definition())
    day(2, psi=0.5)
    assert len(run()) == 1
    day(1, rows=10, psi=0.0)
    assert len(run()) == 1


def test_an_alert_ends_by_the_condition_that_has_a_value_and_not_at_all_while_none_has(lead: Actor) -> None:
    create(lead, definition({"any": [above(0.2), below(0.7)]}))
    day(10, psi=0.5, auc=0.6)
    assert len(run()) == 1
    for age in range(9, 3, -1):
        day(age)
    assert len(run()) == 1, "six windows without a value leave it"
    day(3, auc=0.8)
    assert run() == [], "AUC is back, and no PSI has come"


def test_an_alert_does_not_outlast_a_week_of_windows_that_nobody_can_judge(lead: Actor) -> None:
    create(lead, definition())
    day(10, psi=0.5)
    assert len(run()) == 1
    for age in range(9, 1, -1):
        day(age)
    assert run() == []


def test_a_page_of_a_monitor_opens_the_incident(lead: Actor) -> None:
    create(lead, definition({"all": [above(0.2), below(0.7)]}, level="page"))
    day(2, psi=0.5, auc=0.8)
    assert run() == []
    day(1, psi=0.5, auc=0.6)
    (alert,) = run()
    assert alert.level == "page"
    with reading() as session:
        assert session.get_one(Incident, alert.incident_id).title == alert.title
    assert "realised roc_auc 0.6 (limit 0.7)" in alert.title


def test_an_estimator_that_was_wrong_opens_a_ticket_instead_of_a_page(lead: Actor) -> None:
    create(lead, definition(below(0.7, GUESSED), level="page"))
    day(1, guess=0.6)
    (alert,) = run()
    assert alert.level == "ticket"
    assert "this estimator has been wrong" in alert.title
    with writing() as session:
        session.add(
            ReferenceSummary(
                model="shopper", version=2, reference_digest="x", rows=400, performance={}, noise={}, losses={},
                trust={"trusted": ["roc_auc"]}, measured_as="x",
            )
        )  # fmt: skip
    assert [alert.level for alert in run()] == ["page"]
    for age in range(9, 2, -1):
        day(age)
    with writing() as session:
        for alert in session.scalars(select(Alert)):
            resolve(session, SYSTEM, alert, why="again")
        for window in session.scalars(select(WindowState).where(WindowState.start < ago(2))):
            session.add(
                TrackedEstimate(
                    model="shopper", environment="production", version=2, size="1d", window_id=window.id,
                    window_start=window.start, window_end=window.end, metric="roc_auc", estimated=0.8, low=0.78,
                    high=0.82, realised=0.6, realised_se=0.01, estimated_at=window.end,
                    realised_at=window.end + timedelta(hours=1),
                )
            )  # fmt: skip
    assert [alert.level for alert in run()] == ["ticket"]


def test_only_the_version_that_serves_raises_something(lead: Actor) -> None:
    create(lead, definition())
    day(2, psi=0.5, version=1)
    assert run() == []
    day(1, psi=0.5, version=2)
    (alert,) = run()
    with writing() as session:
        opened = start_deployment(
            session, SYSTEM, model="shopper", environment="production", version=1, change_id=None, reason="back",
        )  # fmt: skip
        mark_serving(session, SYSTEM, opened)
    assert run() == []
    with reading() as session:
        assert session.get_one(Alert, alert.id).state == "resolved"


def test_every_version_of_a_monitor_stays_and_can_be_brought_back(lead: Actor) -> None:
    made = create(lead, definition())
    with writing() as session:
        changed = service.change_monitor(
            session, lead, made.key, definition=definition(above(0.4)), seen=1, why="too loud"
        )
        same = service.change_monitor(session, lead, made.key, definition=definition(above(0.4)), seen=2)
        assert (changed.number, same.number) == (2, 2)
        undone = service.restore_monitor(session, lead, made.key, number=1, seen=2)
    assert undone.definition == made.definition
    with reading() as session:
        versions = service.monitor_versions(session, lead, made.key)
        assert [(one.number, one.made_by, one.why) for one in versions] == [
            (3, lead.person_id, "version 1 again"), (2, lead.person_id, "too loud"), (1, lead.person_id, "we need it"),
        ]  # fmt: skip
        assert [one.number for one in service.list_monitors(session, lead, "shopper", "production")] == [3]
    assert audited(made.key) == [
        "monitoring:monitor:create", "monitoring:monitor:change", "monitoring:monitor:change"
    ]  # fmt: skip


def test_a_change_of_what_somebody_else_has_changed_is_refused(lead: Actor) -> None:
    made = create(lead, definition())
    with writing() as session:
        service.change_monitor(session, lead, made.key, definition=definition(above(0.4)), seen=1)
    for act in (
        lambda s: service.change_monitor(s, lead, made.key, definition=definition(above(0.6)), seen=1),
        lambda s: service.delete_monitor(s, lead, made.key, seen=1),
        lambda s: service.pause_monitor(s, lead, made.key, paused=True, seen=1),
    ):
        with pytest.raises(ChangedSinceSeen), writing() as session:
            act(session)


def test_pausing_and_deleting_silence_it(lead: Actor) -> None:
    made = create(lead, definition())
    day(1, psi=0.5)
    assert len(run()) == 1
    with writing() as session:
        service.pause_monitor(session, lead, made.key, paused=True, seen=1)
    assert run() == []
    with writing() as session:
        service.pause_monitor(session, lead, made.key, paused=False, seen=2)
    assert len(run()) == 1
    with writing() as session:
        service.delete_monitor(session, lead, made.key, seen=3, why="nobody reads it")
    assert run() == []
    with reading() as session:
        assert service.list_monitors(session, lead, "shopper", "production") == []
        assert service.get_monitor(session, lead, made.key).state == "deleted"
    assert audited(made.key)[-1] == "monitoring:monitor:delete"
    create(lead, definition())
    with pytest.raises(Conflict, match="give this one another name"), writing() as session:
        service.restore_monitor(session, lead, made.key, number=1, seen=4)


def test_names_are_distinct_and_definitions_checked(lead: Actor) -> None:
    create(lead, definition())
    with pytest.raises(Conflict, match="has a monitor named 'x moves'"):
        create(lead, definition(above(0.9)))
    with pytest.raises(BadInput, match="alone never pages"):
        create(lead, definition(level="page") | {"name": "y"})
    with pytest.raises(NotFound), writing() as session:
        service.create_monitor(
            session, lead, model="nobody", environment="production", definition=definition()
        )


def test_viewers_see_monitors_and_replays_and_change_nothing(lead: Actor) -> None:
    made = create(lead, definition())
    with writing() as session:
        viewer = person(session, "viewer", Role.VIEWER)
    for age, value in ((4, 0.1), (3, 0.5), (2, 0.1), (1, 0.3)):
        day(age, psi=value)
    with reading() as session:
        assert [one.key for one in service.list_monitors(session, viewer, "shopper", "production")] == [
            made.key
        ]
        _, found = service.replay_definition(
            session, viewer, model="shopper", environment="production", definition=definition()
        )
    assert [one.start.start for one in found.firings] == [ago(3), ago(1)]
    assert (len(found.windows), found.inconclusive, found.cleared) == (4, 0, 1)
    with pytest.raises(NotAllowed):
        create(viewer, definition())
    with pytest.raises(NotAllowed), writing() as session:
        service.delete_monitor(session, viewer, made.key, seen=1)


def test_a_monitor_that_no_longer_fits_the_spec_stops_nobody_else(lead: Actor) -> None:
    create(lead, definition())
    with writing() as session:
        row = session.scalars(select(MonitorVersion)).one()
        row.definition = {**row.definition, "size": "1mo"}
    create(lead, definition() | {"name": "other"})
    day(1, psi=0.5)
    assert [alert.details["name"] for alert in run()] == ["other"]


def test_rows_and_kpis_are_figures_too(lead: Actor) -> None:
    day(3, psi=0.1)
    day(2, psi=0.1, rows=80)
    day(1, state="no_traffic_expected", rows=0)
    noon = timedelta(hours=12)
    with writing() as session:
        rows = [
            {"ts": ago(age) + noon, "name": "revenue", "value": value}
            for age, value in ((3, 90.0), (2, 10.0))
        ]
        store_kpis(session, SYSTEM, model="shopper", environment="production", rows=rows)
    revenue = Figure("kpi", "revenue", "total")
    with reading() as session:
        known = known_figures(session, "shopper", "production", size="1d")
        assert {VOLUME, revenue, Figure("drift", "x", "psi")} <= set(known)
        for figure, limit in ((VOLUME, 100), (revenue, 50)):
            body = definition(below(limit, {k: v for k, v in figure._asdict().items() if v}), level="page")
            _, found = service.replay_definition(
                session, lead, model="shopper", environment="production", definition=body
            )
            assert [one.start.start for one in found.firings] == [ago(2)], figure
            assert len(found.windows) == 2


def test_the_false_alarms_a_model_may_cause_are_changed_as_seen(lead: Actor) -> None:
    def allowed() -> FalseAlarms:
        with reading() as session:
            return false_alarms(session, lead, "shopper", "production")

    before = allowed()
    assert (before.own_per_quarter, before.per_month, before.binds) == (1.0, pytest.approx(1 / 3), "model")
    assert (before.rota, before.rota_models, before.rota_per_shift) == ("default", 1, 2.0)

    def change(digest: str, pages: float = 3.0, who: Actor = lead) -> None:
        with writing() as session:
            change_budget(
                session, who, model="shopper", pages_per_quarter=pages, rota="payments", rota_pages_per_shift=0.01,
                seen_digest=digest, why="the rota said so",
            )  # fmt: skip

    change(before.digest)
    with reading() as session:
        newest = session.scalars(select(AuditPayload).order_by(AuditPayload.seq.desc())).first()
        told = json.loads(str(newest.payload if newest is not None else None))
    assert told["why"] == "the rota said so"
    assert told["budget_before"]["pages_per_quarter"] == 1.0
    assert told["budget"] == {"pages_per_quarter": 3.0, "rota": "payments", "rota_pages_per_shift": 0.01}
    after = allowed()
    assert (after.own_per_quarter, after.rota, after.binds) == (3.0, "payments", "rota")
    assert after.per_month == pytest.approx(0.01 * 2 * 365.25 / 12)
    with pytest.raises(ChangedSinceSeen):
        change(before.digest)
    with pytest.raises(BadInput, match="False pages of this model in a quarter: write a number above 0"):
        change(after.digest, pages=-1)
    with writing() as session:
        viewer = person(session, "viewer", Role.VIEWER)
    with pytest.raises(NotAllowed):
        change(after.digest, who=viewer)
