"""What models cost is counted once, by model and day; budgets are audited and told; odd days are said in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.charts.costs import cost_figure
from backend import clock
from backend.alerting.tables import Alert
from backend.audit.reading import search_entries
from backend.costs.budgets import set_budget, tell_exceeded
from backend.costs.counting import add_run, count_again, day_of, is_storage_measured, keep_storage
from backend.costs.kinds import GB
from backend.costs.report import Costs, costs
from backend.costs.storage import measured
from backend.costs.tables import UsageDay
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.identity.actor import Actor
from backend.queue import MEASURE_COSTS, RETRAIN, JobRun, request_job
from backend.serving.tables import GatewayMinute, RequestOutcome
from backend.settings import settings
from jobs import measure_costs
from jobs.runtime import _count, _is_over
from tests.integration.jobs.conftest import OwnedRun
from tests.worlds import SYSTEM, World, add_model, make_world

NOW = clock.now()


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    yield make_world(tmp_path / "files")
    use_database(None)


def found(who: Actor) -> Costs:
    with reading() as session:
        return costs(session, who)


def use(model: str, kind: str, amount: float, *, days_ago: int = 0) -> None:
    with writing() as session:
        day = day_of(NOW) - timedelta(days=days_ago)
        session.merge(UsageDay(model=model, kind=kind, day=day, amount=amount))


def test_the_job_counts_measures_and_tells_and_a_run_that_ended_counts_once(world: World) -> None:
    use("toy", "gpu", 7200.0)
    with writing() as session:
        set_budget(session, world.lead, model="toy", kind="storage", amount=1e-9, why="so")
        run_id = request_job(session, MEASURE_COSTS, subject="toy").id
        session.execute(update(JobRun).where(JobRun.id == run_id).values(state="running", started_at=NOW))
    run = OwnedRun(MEASURE_COSTS, run_id, "toy", {}, None, "w", 1, "token")
    for step in (measure_costs.count_usage, measure_costs.measure_storage, measure_costs.tell_budgets):
        step(run)
    assert measure_costs.measure_storage(run) == 0  # once a day
    assert len(firing()) == 1
    for _ in range(2):
        with writing() as session:
            if not _is_over(session, run):
                session.execute(update(JobRun).where(JobRun.id == run_id).values(state="succeeded"))
                _count(session, run, 3600.0)
    with writing() as session:  # its steps are counted, by the clock
        _count(session, replace(run, job=RETRAIN), 3600.0)
    assert found(world.viewer).lines[0].amounts["job_processor"] == pytest.approx(1.0)


def firing() -> list[str]:
    with reading() as session:
        return list(session.scalars(select(Alert.title).where(Alert.kind == "cost", Alert.state == "firing")))


def test_runs_of_a_day_add_up_for_the_model_they_are_about(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files")
    with writing() as session:
        for subject, seconds in (("toy", 1800.0), ("toy/production", 1800.0), ("", 36.0), ("nobody", 36.0)):
            add_run(session, subject=subject, processor_s=seconds, clock_s=2 * seconds, ended_at=NOW)
    lines = {one.model: one for one in found(world.viewer).lines}
    assert lines["toy"].of("compute") == pytest.approx(1.0)
    assert lines["toy"].of("job_clock") == pytest.approx(2.0)
    assert lines[""].of("compute") == pytest.approx(0.02)
    assert (lines["toy"].team, lines["toy"].money) == ("no owner", None)


def test_counting_again_changes_nothing(world: World) -> None:
    start = day_of(NOW)
    with writing() as session:
        for model, span, in_hour in (("toy", 3600, False), ("toy", 60, True), ("", 60, False)):
            session.add(
                RequestOutcome(
                    model=model, environment="production", span_s=span, start=start, version="2", role="champion",
                    gateway_id="", process="", codes={}, kinds={}, buckets=[], seconds_sum=7200.0, in_hour=in_hour,
                    updated_at=NOW,
                )
            )  # fmt: skip
        session.add(
            GatewayMinute(
                environment="production", start=start, gateway_id="g", process="p", began_at=NOW, seconds=60.0,
                cpu_s=36.0, cores=2.0, lag_s=0.0,
            )
        )  # fmt: skip
    for _ in range(2):
        with writing() as session:
            count_again(session, NOW)
    lines = {one.model: one for one in found(world.viewer).lines}
    assert lines["toy"].of("requests") == pytest.approx(2.0)  # the minute is in its hour already
    assert lines[""].of("requests") == pytest.approx(2.0)
    assert lines[""].of("compute") == pytest.approx(0.01)


def test_storage_is_measured_by_model_once_a_day(world: World) -> None:
    table = settings().observations / "toy" / "predictions"
    table.mkdir(parents=True)
    (table / "part.parquet").write_bytes(b"x" * 1000)
    (table / "elsewhere").symlink_to("/etc")
    with writing() as session:
        assert not is_storage_measured(session, NOW)
        sizes = measured(session)
        keep_storage(session, sizes, NOW)
        assert is_storage_measured(session, NOW)
    assert sizes["toy", "observations"] == 1000
    assert sizes["toy", "artefacts"] > 0
    assert sizes["", "database"] > 0
    assert found(world.viewer).lines


def test_prices_make_money(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    use("toy", "gpu", 7200.0)
    use("toy", "observations", 2 * GB)
    assert found(world.viewer).lines[0].money is None
    monkeypatch.setenv("WARRANT_PRICES", '{"gpu_hour": 3, "storage_gb_month": 30.4375}')
    settings.cache_clear()
    assert found(world.viewer).lines[0].money == pytest.approx(6 + 2)  # two GB for one day of a month
    monkeypatch.setenv("WARRANT_PRICES", '{"coffee": 3}')
    settings.cache_clear()
    with pytest.raises(ValueError, match="no price coffee"):
        settings()
    monkeypatch.delenv("WARRANT_PRICES")
    settings.cache_clear()


def test_a_budget_is_set_by_who_may_recorded_and_told_while_it_is_exceeded(world: World) -> None:
    use("toy", "gpu", 5 * 3600.0)
    with writing() as session, pytest.raises(NotAllowed):
        set_budget(session, world.engineer, model="toy", kind="gpu", amount=1, why="so")
    for wrong in (0.0, float("nan"), -1.0):
        with writing() as session, pytest.raises(BadInput):
            set_budget(session, world.lead, model="toy", kind="gpu", amount=wrong, why="so")
    with writing() as session, pytest.raises(BadInput, match="needs prices"):
        set_budget(session, world.lead, model="toy", kind="money", amount=1, why="so")
    with writing() as session:
        set_budget(session, world.lead, model="toy", kind="gpu", amount=4, why="the quarter's plan")
    with reading() as session:
        logged = [one.action for one in search_entries(session, world.compliance, limit=5)]
    assert logged[0] == "costs:budget:set"
    for _ in range(2):
        with writing() as session:
            assert tell_exceeded(session, SYSTEM) == ["toy"]
    assert firing() == ["toy used 5.0 h of its budget of 4.0 h (hours of GPU a month)"]
    with writing() as session:
        set_budget(session, world.lead, model="toy", kind="gpu", amount=6, why="more")
        assert tell_exceeded(session, SYSTEM) == []
    assert firing() == []
    with writing() as session:
        assert set_budget(session, world.lead, model="toy", kind="gpu", amount=None, why="so")["before"] == 6
    assert found(world.viewer).budgets == []


def test_a_day_far_above_the_others_is_said_and_a_first_day_never(world: World) -> None:
    add_model(world, "young")
    for days in range(1, 20):
        use("toy", "training", 3600.0 * (0.9 + 0.01 * days), days_ago=days)
    use("young", "training", 3600.0 * 50, days_ago=19)  # on the first day of all
    assert found(world.viewer).anomalies == []
    add_model(world, "newcomer")
    use(
        "newcomer", "training", 3600.0 * 50, days_ago=1
    )  # the first of this model, in a house that has long counted
    assert found(world.viewer).anomalies == []
    use("toy", "training", 3600.0 * 12, days_ago=1)
    texts = [one.text for one in found(world.viewer).anomalies]
    assert len(texts) == 1
    assert texts[0].startswith("toy: 12.0 h of compute on ")
    assert "it was 1.0 h in the middle" in texts[0]


def test_what_is_little_and_what_is_not_over_is_no_anomaly(world: World) -> None:
    for days in range(1, 20):
        use("toy", "training", 1.0, days_ago=days)
    use("toy", "training", 600.0, days_ago=1)  # ten minutes, six hundred times the usual
    use("toy", "training", 3600.0 * 100, days_ago=0)  # today
    assert found(world.viewer).anomalies == []


def test_storage_stands_out_by_what_is_added_in_a_day(world: World) -> None:
    for days in range(12, 0, -1):
        use("toy", "observations", (100 + 0.1 * (12 - days)) * GB, days_ago=days)
    assert found(world.viewer).anomalies == []
    use("toy", "observations", 140 * GB, days_ago=1)
    assert ["storage added" in one.text for one in found(world.viewer).anomalies] == [True]


def test_who_sees_some_models_sees_what_those_cost_alone(world: World) -> None:
    use("toy", "gpu", 3600.0)
    use("", "backups", GB)
    mine = Actor(world.viewer.person_id, "person", world.viewer.roles, models=frozenset({"toy"}))
    theirs = Actor(world.viewer.person_id, "person", world.viewer.roles, models=frozenset({"other"}))
    assert [one.model for one in found(mine).lines] == ["toy"]
    assert found(theirs).lines == []


def test_the_chart_keeps_five_models_apart() -> None:
    daily = {(f"m{n}", "gpu"): {day_of(NOW): float(n + 1)} for n in range(8)}
    names = [one.name for one in cost_figure(daily, "gpu").data]
    assert names == ["m7", "m6", "m5", "m4", "m3", "3 others"]
    assert not cost_figure({}, "gpu").data
