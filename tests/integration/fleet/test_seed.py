"""A synthetic fleet is the same whenever it is made, goes on after a kill, and is read as any other models are."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import Mount
from streamlit.testing.v1 import AppTest

from backend import clock
from backend.alerting.tables import Alert
from backend.api.app import create_api
from backend.database.engine import use_database
from backend.database.session import ReadSession, reading, writing
from backend.errors import BadInput, Conflict
from backend.identity.actor import system_actor
from backend.identity.roles import Role
from backend.identity.tokens import create_token
from backend.monitoring.columns import parse_spec
from backend.monitoring.health import overview
from backend.monitoring.profiles import Profile
from backend.monitoring.reference_store import load_reference
from backend.monitoring.statistics import REGISTRY, compute, statistics_for
from backend.monitoring.tables import (
    MetricPoint,
    ReferenceProfile,
    ReferenceSummary,
    WindowProfile,
    WindowState,
)
from backend.registry.service import register_model
from backend.registry.tables import Model, Version
from backend.settings import settings
from jobs.fleet.bulk import new_ids
from jobs.fleet.governed import build_house
from jobs.fleet.plan import FleetPlan, plan_model, read_notice
from jobs.fleet.seed import _require_own, main, seed
from tests.conftest import _administer, _url_of
from tests.integration.api.conftest import TestClient
from tests.integration.app.test_pages import MAIN, text_of
from tests.watched import cookie_of
from tests.worlds import SPEC, SYSTEM, person

VIEWER = system_actor("console")
PLAN = FleetPlan(models=12, days=14, features=5, dense=2, until=datetime(2025, 6, 30, tzinfo=UTC), seed=1)
STORED = "sha256:ee010225a743482d89b1a8c51fb613648cb796c5afc38db0c81448cf056d1a0d"
FIGURES = "sha256:4658d83a868f7239e2b313eab517adb84b5a6f2bd69ca9ecabe6d718148f7d83"
WHEN_WRITTEN = {"id", "window_id", "computed_at", "first_computed_at", "first_value"}
NAMES = [plan_model(PLAN, index).name for index in range(PLAN.models)]
OPTIONS = [
    f"--{name}={getattr(PLAN, name)}" for name in ("models", "days", "features", "dense", "seed")
] + ["--until=2025-06-30"]  # fmt: skip


def _said(value: object) -> object:
    """To twelve digits: the last ones of a sum depend on the order in which a database's threads finish."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, dict):
        return {str(key): _said(one) for key, one in value.items()}
    return [_said(one) for one in value] if isinstance(value, list | tuple) else value


def stored_digest(session: ReadSession, models: list[str]) -> str:
    """Of every stored row of the models but its number and the time of writing."""
    found = hashlib.sha256()
    for table in (WindowState, WindowProfile, MetricPoint, ReferenceProfile, ReferenceSummary):
        names = [column.name for column in table.__table__.columns if column.name not in WHEN_WRITTEN]
        query = select(*(getattr(table, name) for name in names))
        if table in (WindowProfile, MetricPoint):
            query = query.add_columns(WindowState.model, WindowState.start)
            query = query.join(WindowState, WindowState.id == table.window_id)
        owner = getattr(table, "model", WindowState.model)
        rows = session.execute(query.where(owner.in_(models)))
        lines = sorted(json.dumps(_said([*row]), default=str, sort_keys=True) for row in rows)
        found.update("\n".join([table.__tablename__, *lines]).encode())
    return f"sha256:{found.hexdigest()}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Path]:
    """A home with the small fleet, to copy."""
    home = tmp_path_factory.mktemp("fleet") / "home"
    home.mkdir()
    shutil.copy(migrated_sqlite, home / "warrant.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARRANT_HOME", str(home))
        settings.cache_clear()
        use_database(None)
        done = seed(PLAN, told=False)
        assert (done.models, done.made, done.windows) == (12, 12, 12 * 14)
        assert done.digest == FIGURES
        use_database(None)
    settings.cache_clear()
    yield home


@pytest.fixture
def fleet(home: Path, made: Path) -> Path:
    shutil.copytree(made, home, dirs_exist_ok=True)
    use_database(None)
    return home


def test_the_fleet_is_the_same_whenever_it_is_made(fleet: Path) -> None:
    with reading() as session:
        assert stored_digest(session, NAMES) == STORED
    again = seed(PLAN, told=False)
    assert (again.made, again.points, again.digest) == (0, 0, FIGURES)


def test_a_fleet_goes_on_after_a_kill(migrated_home: Path) -> None:
    """Killed before the commit of its fifth model, which leaves four; the end is the same."""
    killed = subprocess.run(
        [sys.executable, "-m", "jobs.fleet.seed", *OPTIONS], check=False, capture_output=True,
        env={**os.environ, "WARRANT_CHAOS": "1", "WARRANT_KILL_AT": f"seed_fleet:{NAMES[4]}:before"},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    with reading() as session:
        assert sorted(session.scalars(select(Model.name))) == NAMES[:4]
        assert set(session.scalars(select(WindowState.model))) == set(NAMES[:4])
    use_database(None)
    done = seed(PLAN, told=False)
    assert (done.made, done.digest) == (8, FIGURES)
    with reading() as session:
        assert stored_digest(session, NAMES) == STORED


def test_postgresql_holds_the_same(
    postgresql: str, migrated_postgresql: str, fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reading() as session:
        wanted = stored_digest(session, NAMES[:2])
        firing = sorted(session.scalars(select(Alert.fingerprint).where(Alert.model.in_(NAMES[:2]))))
    _administer(postgresql, f"CREATE DATABASE fleet TEMPLATE {migrated_postgresql}")
    monkeypatch.setenv("WARRANT_DATABASE_URL", _url_of(postgresql, "fleet"))
    settings.cache_clear()
    use_database(None)
    try:
        assert seed(replace(PLAN, models=2), told=False).made == 2
        with reading() as session:
            assert stored_digest(session, NAMES[:2]) == wanted
            assert sorted(session.scalars(select(Alert.fingerprint))) == firing
            numbers = session.scalars(select(MetricPoint.id)).all()
        with writing() as session:  # numbers that are given out later are free
            assert new_ids(session, WindowState.__table__, 1)[0] == 2 * PLAN.days + 1
        assert len(set(numbers)) == len(numbers)
    finally:
        use_database(None)
        _administer(postgresql, "DROP DATABASE fleet WITH (FORCE)")


def test_home_answers_for_the_fleet_with_figures(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: PLAN.until + timedelta(hours=1))
    with reading() as session:
        found = {one.model: one for one in overview(session, VIEWER, "production")}
    assert set(found) == set(NAMES)
    assert all(one.value is not None and one.reference is not None and one.owner for one in found.values())
    assert all(len(one.history) >= PLAN.days - 2 for one in found.values())
    assert (found[NAMES[3]].level, found[NAMES[3]].word) == ("page", "quality alert")
    assert found[NAMES[7]].level == "page"
    assert found[NAMES[7]].value == pytest.approx(0.71, abs=0.01)
    assert (found[NAMES[2]].word, found[NAMES[11]].word) == ("drift alert", "volume alert")
    assert {one.level for one in found.values()} >= {"page", "attention", "ok"}
    assert all((one.notice or "").startswith("Synthetic") for one in found.values())


def test_stored_points_are_what_the_statistics_say_of_the_stored_profiles(fleet: Path) -> None:
    """Of a model with every statistic and of one with two for each column, on both versions."""
    with reading() as session:
        for name, every in ((NAMES[0], True), (NAMES[4], False)):
            spec = parse_spec(session.get_one(Model, name).spec)
            for version, day in ((1, 2), (2, 12)):
                reference = load_reference(session, session.get_one(Version, (name, version)), spec)
                assert reference is not None
                start = PLAN.since + timedelta(days=day)
                window = session.scalars(
                    select(WindowState).where(WindowState.model == name, WindowState.start == start)
                ).one()
                stored = {
                    (point.column, point.statistic): point
                    for point in session.scalars(
                        select(MetricPoint).where(
                            MetricPoint.window_id == window.id, MetricPoint.column != ""
                        )
                    )
                }
                wanted = set()
                for row in session.scalars(select(WindowProfile).where(WindowProfile.window_id == window.id)):
                    before = reference.profiles[row.column]
                    now = Profile.from_json(row.profile, before.grid)
                    assert now.to_json() == row.profile
                    assert (now.rows, row.version) == (window.rows, version)
                    for statistic in statistics_for(before.grid.kind):
                        if not every and statistic.name not in ("psi", "missing_rate"):
                            continue
                        if (row.column, statistic.name) == ("prediction", "constant_value"):
                            continue
                        wanted.add((row.column, statistic.name))
                        point = stored[row.column, statistic.name]
                        assert point.value == pytest.approx(
                            compute(REGISTRY[statistic.name], before, now).value, abs=1e-9
                        )
                assert stored.keys() == wanted


def test_pages_and_the_api_read_the_fleet_as_any_other_models(
    fleet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing() as session:
        lead = person(session, "lead", Role.ML_LEAD)
        _, token = create_token(session, lead, name="test", valid_days=1)
    cookie = cookie_of(lead)
    monkeypatch.setattr(type(st.context), "cookies", property(lambda _: {"warrant_session": cookie}))
    st.cache_data.clear()
    broken, moved = NAMES[3], NAMES[2]
    for page, model, said in (
        ("overview", "", broken), ("drift", moved, "f0"), ("performance", broken, "AUC"),
        ("model", broken, "Synthetic"),
    ):  # fmt: skip
        test = AppTest.from_file(str(MAIN), default_timeout=60).run()
        if model:
            test.query_params["model"] = model
            test = test.switch_page(f"../pages/{page}.py").run()
        assert not test.exception, (page, test.exception[0].value)
        assert said in text_of(test), page
    with TestClient(Starlette(routes=[Mount("/api/v1", create_api())])) as client:
        answer = client.get(
            f"/api/v1/models/{moved}/points",
            params={"statistic": "psi"},
            headers={"Authorization": f"Bearer {token}"},
        ).json()
        assert len(answer["points"]) == PLAN.days * 7
        about = client.get(f"/api/v1/models/{moved}", headers={"Authorization": f"Bearer {token}"}).json()
    assert any(
        point["verdict"] == "alarm" and point["value"] > point["threshold"] for point in answer["points"]
    )
    assert "seed-fleet" in about["notice"]


def test_a_fleet_goes_into_no_home_that_holds_anything_else(
    fleet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Conflict, match="another fleet's model fleet-0000-click, until 2025-06-30"):
        seed(replace(PLAN, seed=2), told=False)
    with writing() as session:
        register_model(session, SYSTEM, name="own", title="Own", description="", tier="low", spec=SPEC)
    with pytest.raises(Conflict, match="a model of its own, own"):
        seed(PLAN, told=False)
    assert main(OPTIONS) == 2
    assert "WARRANT_HOME" in capsys.readouterr().err


def test_a_home_with_people_is_asked_about_twice(
    migrated_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing() as session:
        build_house(session)
        assert _require_own(session, PLAN, into_this_home=False) == set()  # its own people do not count
        person(session, "ada", Role.ADMIN)
    assert main(OPTIONS) == 2
    assert "--yes-into-this-home" in capsys.readouterr().err
    assert main(["--until", "tomorrow"]) == 2
    assert "write it as 2026-11-23" in capsys.readouterr().err


def test_the_plan_is_told_by_its_notice() -> None:
    assert read_notice(PLAN.notice) == PLAN.until
    assert read_notice("Flights of 2013") is None
    assert PLAN.matches(replace(PLAN, models=99).notice)
    assert not PLAN.matches(replace(PLAN, features=6).notice)
    with pytest.raises(BadInput, match="--days is from 2 to 1000"):
        replace(PLAN, days=1)
