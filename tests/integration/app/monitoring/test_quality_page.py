"""Data quality: what is broken now, what was, and which alert says so."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select

from backend.alerting.service import Firing, fire
from backend.database.session import writing
from backend.monitoring.tables import MetricPoint
from tests.integration.app.monitoring.opened import DAYS, Open, chart, silence, text_of
from tests.monitored import monitor
from tests.worlds import SYSTEM, World


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


def test_a_window_leads_to_the_incident_that_held_in_it(open_page: Open, starts: list[datetime]) -> None:
    assert "[INC-1](/incident?id=1)" in text_of(open_page("quality"))
    early = text_of(open_page("quality", window=starts[0].isoformat()))
    assert "INC-1" not in early


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
    assert "Open it: noticed" in said
    assert "windows of 1h" in said
    window = hour.isoformat().replace("+", "%2B").replace(":", "%3A")
    assert f'href="/quality?model=toy&amp;size=1h&amp;window={window}&amp;column=origin"' in said
    assert "realised broke" not in said
    assert "Firing now: realised broke" in text_of(open_page("performance"))
    told = text_of(open_page("drift"))
    assert "quality broke" in told, "one whose values broke is no calm column"
    assert "realised broke" not in told


def test_an_old_window_is_never_fine(world: World, open_page: Open) -> None:
    monitor(days=DAYS, ago=7)
    silence()
    said = text_of(open_page("quality"))
    assert "The newest finished window is 7" in said
    assert "old; in it: nothing is broken" in said
    assert "w-headline w-unknown" in said


def test_a_window_that_was_just_over_is_fine(open_page: Open, starts: list[datetime]) -> None:
    silence()
    assert "w-headline w-ok" in text_of(open_page("quality"))


def test_a_share_that_late_rows_changed_is_shown_as_it_was(open_page: Open, starts: list[datetime]) -> None:
    with writing() as session:
        changed = session.scalars(
            select(MetricPoint).where(
                MetricPoint.kind == "quality", MetricPoint.column == "origin",
                MetricPoint.statistic == "missing_rate", MetricPoint.segment == "",
                MetricPoint.window_start == starts[-3],
            )
        ).one()  # fmt: skip
        changed.first_value = 0.25
    now = open_page("quality", check="missing_rate", column="origin")
    assert now.selectbox(key="pick:seen").options == ["as known now", "as first seen"]
    assert "first seen as 25.0\\u202f%" in chart(now, "series")
    then = open_page("quality", check="missing_rate", column="origin", seen="first")
    assert "25.0\\u202f%" in chart(then, "heat")
    assert "Cells marked ↺ have changed since" in text_of(then)


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
    assert f'href="/quality?model=toy&amp;size=1h&amp;window={hour}"' in said
    assert "origin · window from" in said
    assert "windows of 1h" in said
