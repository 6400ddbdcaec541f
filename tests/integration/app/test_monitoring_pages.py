"""Drift, performance and data quality on what the engine stores, and in every state in which something is missing."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
import streamlit as st
from sqlalchemy import delete, select
from starlette.applications import Starlette
from streamlit.testing.v1 import AppTest

from app.series_downloads import routes
from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Alert
from backend.database.engine import use_database
from backend.database.session import writing
from backend.database.upgrade import upgrade
from backend.identity.actor import Actor
from backend.monitoring.kpi_service import store_kpis
from backend.monitoring.tables import (
    MetricPoint,
    ReferenceProfile,
    TrackedEstimate,
    WindowProfile,
    WindowState,
)
from tests.monitored import monitor
from tests.watched import cookie_of
from tests.worlds import SYSTEM, World, make_world

MAIN = Path(__file__).resolve().parents[3] / "app" / "main.py"
PAGES = ("drift", "performance", "quality")
DAYS = 16
Open = Callable[..., AppTest]


@pytest.fixture
def world(home: Path, tmp_path: Path) -> Iterator[World]:
    """On SQLite; what pages read is tested on both databases in `tests/integration/monitoring/test_page_readers`."""
    upgrade()
    st.cache_data.clear()
    yield make_world(tmp_path / "files")
    use_database(None)


@pytest.fixture
def starts(world: World) -> list[datetime]:
    return monitor(days=DAYS)


@pytest.fixture
def open_page(world: World, monkeypatch: pytest.MonkeyPatch) -> Open:
    def opened(page: str, who: Actor = world.viewer, **query: str) -> AppTest:
        token = cookie_of(who)
        monkeypatch.setattr(type(st.context), "cookies", property(lambda _: {"warrant_session": token}))
        test = AppTest.from_file(str(MAIN), default_timeout=60).run()
        for name, value in {"model": "toy", **query}.items():
            test.query_params[name] = value
        test = test.switch_page(f"../pages/{page}.py").run()
        assert not test.exception
        assert not test.error
        return test

    return opened


def text_of(test: AppTest) -> str:
    html = [one.proto.body for one in test.main if one.type == "html"]
    return "\n".join([*html, *(one.value for one in test.caption), *(one.value for one in test.subheader)])


def chart(test: AppTest, key: str) -> str:
    """The figure of a chart, as plotly's JSON."""
    return next(one.proto.spec for one in test.get("plotly_chart") if one.proto.id.endswith(f"-{key}"))


def test_drift_answers_which_columns_matter_most(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("drift")
    said = text_of(test)
    assert "of 8 columns drifted: dep_delay" in said
    assert "dep_delay matters most, an estimated +2.1 ± 0.8 points of AUC worse" in said
    assert "Drift alone never pages" in said
    assert "All columns together, domain classifier" in said
    assert test.selectbox(key="pick:column").options[0] == "dep_delay"
    table = said[said.index("columns that drifted") :]
    assert table.index("dep_delay") < table.index("carrier")
    assert "41.0" in table
    assert "within chance" in table


def test_a_column_is_shown_against_any_reference_and_by_segment(
    open_page: Open, starts: list[datetime]
) -> None:
    for against, words in (
        ("fixed", "reference of v2"),
        ("previous", "the window before"),
        ("last_7", "last 7 windows"),
    ):
        said = text_of(open_page("drift", column="temperature", against=against))
        assert words in said
        assert "95th" in said
    said = text_of(open_page("drift", window=starts[0].isoformat(), against="previous"))
    assert "Nothing to compare with" in said
    assert "By segment" in said


def test_a_drifted_column_leads_to_its_quality_and_to_performance(
    open_page: Open, starts: list[datetime]
) -> None:
    said = text_of(open_page("drift"))
    window = starts[-2].isoformat().replace("+", "%2B").replace(":", "%3A")
    assert f'href="/quality?model=toy&amp;size=1d&amp;window={window}&amp;column=dep_delay"' in said
    assert f'href="/performance?model=toy&amp;size=1d&amp;window={window}"' in said


def test_a_window_leads_to_the_incident_that_held_in_it(open_page: Open, starts: list[datetime]) -> None:
    assert "[INC-1](/incident?id=1)" in text_of(open_page("quality"))
    early = text_of(open_page("quality", window=starts[0].isoformat()))
    assert "INC-1" not in early


def test_performance_says_what_labels_showed_and_what_is_estimated_since(
    open_page: Open, starts: list[datetime]
) -> None:
    said = text_of(open_page("performance"))
    assert "against 0.720 in the reference" in said
    assert "by estimate since, beyond its limit" in said
    assert "Estimates of AUC were off by" in said
    assert "By segment, from labels" in said
    assert "no label has come" in said
    assert "Your own figures" not in said


def test_what_was_seen_then_is_drawn_when_asked_for(open_page: Open, starts: list[datetime]) -> None:
    now, then = (open_page("performance", seen=seen) for seen in ("now", "first"))
    assert chart(now, "performance") != chart(then, "performance")
    assert "first seen as" in chart(now, "performance")


def test_figures_of_the_user_stand_beside_performance(
    world: World, open_page: Open, starts: list[datetime]
) -> None:
    rows = [
        {"ts": start + timedelta(hours=hour), "name": "conversion", "value": 0.1 + hour / 100}
        for start in starts[:5]
        for hour in (1, 2, 3)
    ]
    with writing() as session:
        store_kpis(session, world.engineer, model="toy", environment="production", rows=rows)
    test = open_page("performance")
    assert "Your own figures" in text_of(test)
    assert "conversion" in chart(test, "kpi:conversion")


def test_quality_says_what_is_broken_and_what_broke_last(open_page: Open, starts: list[datetime]) -> None:
    said = text_of(open_page("quality"))
    assert "Nothing is broken" in said
    assert "last break before: origin: missing" in said
    broken = text_of(open_page("quality", window=starts[-3].isoformat()))
    assert "origin: missing" in broken
    assert "w-headline w-page" in broken
    assert "reference 0" in broken
    assert "seats &gt; 0" in broken
    assert "identifies a row" in broken
    assert "context: drift alone never pages" in broken
    assert "in the usual window before" in broken


def silence() -> None:
    """Take away every alert, so that only the window itself speaks."""
    with writing() as session:
        session.execute(delete(Alert))


def test_an_alert_of_shorter_windows_is_louder_than_a_fine_day(
    open_page: Open, starts: list[datetime]
) -> None:
    silence()
    hour = starts[-1] + timedelta(hours=3)
    at = {"size": "1h", "window": hour.isoformat(), "column": "origin", "statistic": "missing_rate"}
    with writing() as session:
        for kind, column in (("quality", "origin"), ("realised", "")):
            fire(
                session,
                SYSTEM,
                Firing(
                    "toy", "production", 2, kind, "page", f"{kind} broke", kind, hour, at | {"column": column}
                ),
            )
    said = text_of(open_page("quality"))
    assert "w-headline w-page" in said
    assert "Firing now: quality broke" in said
    assert "The window below: Nothing is broken" in said
    assert "page, since" in said
    assert "windows of 1h" in said
    window = hour.isoformat().replace("+", "%2B").replace(":", "%3A")
    assert f'href="/quality?model=toy&amp;size=1h&amp;window={window}&amp;column=origin"' in said
    assert "realised broke" not in said
    assert "Firing now: realised broke" in text_of(open_page("performance"))
    assert "broke" not in text_of(open_page("drift"))


def test_an_old_window_is_never_fine(
    open_page: Open, starts: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    silence()
    assert "w-headline w-ok" in text_of(open_page("quality"))
    week_on = clock.now() + timedelta(days=7)
    monkeypatch.setattr("app.components.watching.clock.now", lambda: week_on)
    said = text_of(open_page("quality"))
    assert "The newest finished window is 7" in said
    assert "old; in it: nothing is broken" in said
    assert "w-headline w-unknown" in said


def test_an_address_holds_everything_that_is_shown(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("drift")
    held = {name: test.query_params[name] for name in ("model", "size", "window", "column")}
    assert held == {"model": "toy", "size": "1d", "window": starts[-2].isoformat(), "column": "dep_delay"}
    test.selectbox(key="pick:column").set_value("carrier").run()
    test.selectbox(key="pick:column").set_value("dep_delay").run()
    assert test.query_params["column"] == "dep_delay"


def test_what_an_address_asks_for_in_vain_is_said(open_page: Open, starts: list[datetime]) -> None:
    for page, name, wanted, shown in (
        ("quality", "model", "nope", "toy"),
        ("drift", "size", "3m", "windows of 1d"),
        ("drift", "window", "2020-01-01", "rows"),
        ("quality", "column", "nothing", "carrier"),
        ("monitors", "monitor", "mon_x", "a new monitor"),
    ):
        test = open_page(page, **{name: wanted})
        (warning,) = test.warning
        assert f"`{wanted}`" in warning.value
        assert shown in warning.value.split("Shown instead")[1]
        assert not open_page(page).warning


def test_a_window_that_is_not_over_is_never_fine(open_page: Open, starts: list[datetime]) -> None:
    silence()
    for page in ("drift", "quality"):
        said = text_of(open_page(page, window=starts[-1].isoformat()))
        assert "So far, not over yet" in said
        assert "w-headline w-unknown" in said


def test_a_window_with_too_few_rows_is_not_judged(open_page: Open, starts: list[datetime]) -> None:
    small = starts[DAYS // 3 + 1].isoformat()
    assert "Drift could not be judged in this window" in text_of(open_page("drift", window=small))
    assert "w-headline w-ok" not in text_of(open_page("quality", window=small))


def test_pages_without_any_model_say_what_to_do(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from app import data

    monkeypatch.setattr(data, "models", lambda scope: {})
    for page in PAGES:
        assert "No model is registered" in text_of(open_page(page))


def test_pages_without_windows_say_what_to_do(open_page: Open, starts: list[datetime]) -> None:
    with writing() as session:
        for table in (MetricPoint, WindowProfile, TrackedEstimate, WindowState):
            session.execute(delete(table))
    for page in PAGES:
        said = text_of(open_page(page))
        assert "No window has been computed" in said
        assert "is not known" in said
        assert "w-headline w-ok" not in said


def test_pages_without_points_say_that_figures_are_missing(open_page: Open, starts: list[datetime]) -> None:
    with writing() as session:
        session.execute(delete(MetricPoint))
    for page in PAGES:
        assert "No figure is stored for these windows" in text_of(open_page(page))


def test_pages_without_a_reference_still_show_what_was_judged(
    open_page: Open, starts: list[datetime]
) -> None:
    with writing() as session:
        session.execute(delete(ReferenceProfile))
    assert "The counts of this column are not stored" in text_of(open_page("drift"))
    assert "checks are within their limits" in text_of(open_page("quality"))


def test_without_any_label_the_estimate_is_not_called_fine(open_page: Open, starts: list[datetime]) -> None:
    with writing() as session:
        session.execute(delete(MetricPoint).where(MetricPoint.kind == "realised"))
        session.execute(delete(TrackedEstimate))
        for point in session.scalars(select(MetricPoint).where(MetricPoint.kind == "estimated")):
            point.verdict = "ok"
    said = text_of(open_page("performance"))
    assert "no label has come to confirm it" in said
    assert "w-headline w-unknown" in said
    assert "No estimate of AUC has been checked by labels yet" in said


def test_the_first_labels_of_a_window_are_told_and_keep_it_from_being_fine(
    open_page: Open, starts: list[datetime]
) -> None:
    chosen = starts[-2]
    with writing() as session:
        session.execute(delete(MetricPoint).where(MetricPoint.kind == "realised", MetricPoint.segment != ""))
        for point in session.scalars(select(MetricPoint).where(MetricPoint.kind == "estimated")):
            point.verdict = "ok"
        for point in session.scalars(
            select(MetricPoint).where(MetricPoint.kind == "realised", MetricPoint.statistic == "roc_auc")
        ):
            point.verdict = "inconclusive"
            if point.window_start == chosen:
                point.value, point.low, point.high, point.threshold = 0.601, 0.511, 0.691, 0.65
                point.completeness = 0.7
        window = session.scalars(select(WindowState).where(WindowState.start == chosen)).one()
        window.rows, window.labels_known = 742, 523
    said = text_of(open_page("performance", window=chosen.isoformat()))
    assert "no label has come to confirm it" not in said
    assert "523 of 742 labels say 0.601 (0.511 to 0.691), preliminary and beyond the limit 0.650" in said
    assert "not known yet" in said
    assert "w-headline w-unknown" in said


def test_where_everything_is_inconclusive_nothing_is_fine(open_page: Open, starts: list[datetime]) -> None:
    silence()
    with writing() as session:
        for point in session.scalars(select(MetricPoint)):
            point.value, point.verdict, point.reason = None, "inconclusive", "too few rows"
    sentences = ("could not be judged", "cannot be told yet", "could not be judged")
    for page, sentence in zip(PAGES, sentences, strict=True):
        said = text_of(open_page(page))
        assert sentence in said
        assert "w-headline w-unknown" in said
        assert "w-badge w-ok" not in said


def fetch(who: Actor | None, address: str) -> httpx.Response:
    """A download as somebody's browser asks for it."""
    cookies = {"warrant_session": cookie_of(who)} if who else None

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies=cookies) as client:
            return await client.get(address)

    return asyncio.run(asked())


def test_what_a_page_shows_is_taken_away_as_csv(world: World, starts: list[datetime]) -> None:
    viewer = world.viewer
    address = "/export/points.csv?model=toy&size=1d&kind=drift&statistic=psi&column=dep_delay&segment="
    rows = list(csv.DictReader(io.StringIO(fetch(viewer, address).text)))
    assert len(rows) == DAYS
    assert {row["column"] for row in rows} == {"dep_delay"}
    assert rows[-2]["effect"] == "0.021"
    windows = fetch(viewer, "/export/windows.json?model=toy&size=1d").json()
    assert len(windows) == DAYS + 1
    window = windows[-2]["id"]
    shares = fetch(viewer, f"/export/distribution.json?window={window}&column=origin&against=last_7").json()
    assert sum(row["share_window"] for row in shares) == pytest.approx(1)


def test_windows_are_taken_away_with_their_figures_under_a_name_that_says_what_they_are(
    world: World, starts: list[datetime]
) -> None:
    answer = fetch(world.viewer, "/export/windows.csv?model=toy&size=1d&statistic=roc_auc")
    assert "warrant-windows-toy-1d-roc_auc-" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == DAYS + 1
    assert {row["metric"] for row in rows} == {"roc_auc"}
    first = rows[0]
    assert float(first["realised_low"]) < float(first["realised_value"]) < float(first["realised_high"])
    assert first["realised_verdict"] == "ok"
    assert float(first["realised_limit"]) < float(first["realised_value"])
    assert any(row["estimated_value"] and not row["realised_value"] for row in rows)
    address = f"/export/points.csv?model=toy&size=1d&kind=realised&kind=estimated&window={rows[-2]['id']}"
    answer = fetch(world.viewer, address)
    assert f"points-toy-1d-{starts[-2]:%Y%m%dT%H%MZ}" in answer.headers["Content-Disposition"]
    assert "estimated" in {row["kind"] for row in csv.DictReader(io.StringIO(answer.text))}


def test_the_table_of_windows_says_how_many_it_leaves_out(
    open_page: Open, starts: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.components import window_table

    monkeypatch.setattr(window_table, "SHOWN", 10)
    said = text_of(open_page("performance"))
    assert f"The latest 10 of {DAYS + 1} windows" in said
    assert "statistic=roc_auc" in said
    assert "kind=realised&amp;kind=estimated&amp;window=" in said
    assert "– to –" not in said


def test_a_wrong_address_of_a_download_is_explained(world: World, starts: list[datetime]) -> None:
    for address, status, because in (
        ("/export/points.csv?size=1d", 422, "model is needed"),
        ("/export/points.csv?model=toy&size=1d&since=yesterday", 422, "not a time with its zone"),
        ("/export/points.csv?model=toy&size=1d&window=last", 422, "not the number of a window"),
        ("/export/points.xlsx?model=toy&size=1d", 422, "csv or json"),
        ("/export/points.csv?model=nobody&size=1d", 404, "nobody"),
        ("/export/distribution.csv?window=1&column=a&against=mars", 422, "write one of"),
        ("/export/distribution.csv?window=999999&column=a", 404, "no such window"),
    ):
        answer = fetch(world.viewer, address)
        assert (answer.status_code, because in answer.text) == (status, True), address


def test_downloads_are_for_those_who_signed_in(world: World, starts: list[datetime]) -> None:
    assert fetch(None, "/export/windows.csv?model=toy&size=1d").status_code == 401


def test_a_regression_in_windows_of_rows_is_shown_in_its_own_words(
    open_page: Open, starts: list[datetime]
) -> None:
    from backend.registry.tables import Model

    with writing() as session:
        model = session.get_one(Model, "toy")
        model.spec = {**model.spec, "task": "regression", "window": "400"}
        for window in session.scalars(select(WindowState)):
            window.size, window.number = "400", window.id
        for point in session.scalars(select(MetricPoint)):
            point.size = "400"
            point.statistic = {"roc_auc": "mae", "accuracy": "rmse"}.get(point.statistic, point.statistic)
    said = text_of(open_page("performance"))
    assert "MAE 0." in said
    assert "RMSE" in said
    test = open_page("drift")
    assert "matters most, an estimated +0.021 ± 0.008 MAE worse" in text_of(test).replace("0.00784", "0.008")
    assert "windows of 400 rows" in test.selectbox(key="pick:size").options
    assert "checks are within their limits" in text_of(open_page("quality"))


def test_a_report_of_the_window_looked_at_is_asked_for(
    world: World, open_page: Open, starts: list[datetime]
) -> None:
    from backend.queue import JobRun

    test = open_page("performance", who=world.on_call, window=starts[0].isoformat())
    next(one for one in test.button if one.label == "Evidently report of this window").click().run()
    assert not test.exception
    with writing() as session:
        (run,) = session.scalars(select(JobRun).where(JobRun.name == "write_report")).all()
        assert str(starts[0].date()) in str(run.arguments)
    button = next(one for one in open_page("performance").button if one.label.startswith("Evidently"))
    assert button.disabled


def test_drift_of_one_segment_fills_the_whole_page(open_page: Open, starts: list[datetime]) -> None:
    test = open_page("drift", segment="carrier=B6", column="dep_delay")
    said = text_of(test)
    assert "segment carrier=B6" in said
    assert "By segment" not in said
    whole = text_of(open_page("drift", column="dep_delay"))
    assert "<div>400</div>" in whole
    assert "<div>400</div>" not in said
    early = text_of(open_page("drift", segment="carrier=B6", window=starts[0].isoformat()))
    assert "No drift of carrier=B6 is stored for this window" in early


def test_statistics_of_whole_windows_are_not_offered_for_columns(
    open_page: Open, starts: list[datetime]
) -> None:
    offered = open_page("drift").selectbox(key="pick:statistic").options
    assert "PSI" in offered
    assert "domain classifier" not in offered


def test_an_incident_leads_from_each_alert_to_its_window(open_page: Open, starts: list[datetime]) -> None:
    at = {"size": "1h", "window": starts[-2].isoformat(), "statistic": "rows"}
    with writing() as session:
        for kind, column in (("realised", ""), ("volume", "")):
            fire(
                session,
                SYSTEM,
                Firing(
                    "toy",
                    "production",
                    2,
                    kind,
                    "page",
                    f"{kind} broke",
                    kind,
                    starts[-2],
                    at | {"column": column},
                ),
            )
    said = text_of(open_page("incident", id="1"))
    quality = starts[-3].isoformat().replace("+", "%2B").replace(":", "%3A")
    hour = starts[-2].isoformat().replace("+", "%2B").replace(":", "%3A")
    assert f'href="/quality?model=toy&amp;size=1d&amp;window={quality}&amp;column=origin"' in said
    assert f'href="/performance?model=toy&amp;size=1h&amp;window={hour}"' in said
    assert f'href="/model?model=toy&amp;size=1h&amp;window={hour}"' in said
    assert "origin · window from" in said
    assert "windows of 1h" in said
