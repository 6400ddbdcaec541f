"""Home of a house in which much is wrong at once: bounded lists, and the way to all of it."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert
from streamlit.testing.v1 import AppTest

from app.components.overview_parts import how_old
from backend import clock
from backend.alerting.tables import Alert, Incident
from backend.database.session import reading, writing
from backend.monitoring.health import overview
from backend.monitoring.tables import WindowState
from backend.registry.tables import Model
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import SYSTEM, World

__all__ = ["open_page", "world"]


def much_is_wrong(names: list[str]) -> None:
    now = clock.now()
    with writing() as session:
        session.query(Model).filter(Model.name.in_(names)).update({"notice": "Shifted."})
        session.execute(insert(Incident), [
            {"model": name, "environment": "production", "area": f"a{at}", "title": f"falls {at}", "opened_at": now,
             "severity": 2}
            for at, name in enumerate(names * 9)
        ])  # fmt: skip
        session.execute(insert(Alert), [
            {"fingerprint": f"{name}/production/drift/{at}/psi", "model": name, "environment": "production",
             "kind": "drift", "level": level, "title": f"column {at} drifts", "details": {}, "since": now,
             "fired_at": now, "last_seen_at": now, "incident_id": incident}
            for at, (name, level, incident) in enumerate(
                [*((name, "ticket", None) for name in names * 8), (names[0], "info", None), (names[0], "page", 1)]
            )
        ])  # fmt: skip


def labels(page: AppTest) -> list[str]:
    return [one.proto.label for one in page.main if one.type == "page_link"]


def test_home_names_a_few_of_many_and_leads_to_the_rest(world: World, open_page: Open) -> None:
    names = make_fleet(7)
    much_is_wrong(names)
    page = open_page(world.viewer, "overview")
    said, links = text_of(page), labels(page)
    assert "m0000, m0001, m0002 and 4 more models: times are shifted; each model&#x27;s page says how" in said
    assert '<a href="/inventory" target="_self">All models</a>' in said
    assert sum("INC-" in one for one in links) == 5
    assert "1 alert" in next(one for one in links if "INC-1**" in one)
    assert "and 58 more open incidents" in links
    assert sum("**ticket**" in one for one in links) == 5
    assert "and 51 more alerts of no incident" in links


def test_what_is_open_and_what_fires_is_listed_page_by_page(world: World, open_page: Open) -> None:
    much_is_wrong(make_fleet(7))
    first = text_of(open_page(world.viewer, "incident"))
    assert "63 incidents are open" in first
    assert "1 to 50 of 63" in first
    last = text_of(open_page(world.viewer, "incident", **{"from": "50"}))
    assert "51 to 63 of 63" in last
    assert "falls 62" in last
    assert "falls 49" not in last
    alerts = text_of(open_page(world.viewer, "incident", show="alerts", **{"from": "50"}))
    assert "Pages and tickets that fire and belong to no incident" in alerts
    assert "51 to 56" in alerts
    assert "column 55 drifts" in alerts
    assert "column 56 drifts" not in alerts, "it is for information"


def test_the_lists_say_when_nothing_is_wrong(world: World, open_page: Open) -> None:
    assert "No incident is open" in text_of(open_page(world.viewer, "incident"))
    assert "No page or ticket fires outside an incident" in text_of(
        open_page(world.viewer, "incident", show="alerts")
    )


def test_one_live_model_does_not_hide_that_others_are_long_without_figures(migrated_home: object) -> None:
    names = make_fleet(3)
    with writing() as session:
        old = clock.now() - timedelta(days=3)
        session.query(WindowState).filter(WindowState.model == names[1]).update({"computed_at": old})
        session.query(WindowState).filter(WindowState.model == names[2]).update({"computed_at": None})
    with reading() as session:
        found = overview(session, SYSTEM, "production")
    said = how_old(found).replace("\u202f", " ")
    assert said.startswith(", latest figures computed ")
    assert said.endswith(", the oldest of a model that serves 3 d ago; 1 model that serves has none")
    assert how_old([one for one in found if one.model == names[2]]) == ""
