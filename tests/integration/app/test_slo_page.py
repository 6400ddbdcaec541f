"""The page of objectives: a list with filters in its address, and each objective over a range of time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from app import data, ranges
from app.data import slos as read
from backend import clock
from backend.database.session import writing
from backend.slo.objectives import Availability, Objective
from backend.slo.objectives_service import define_objective
from backend.slo.windows import Rolling
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.app.test_slo_downloads import fetch
from tests.integration.slo.test_objectives import log_requests, look, minutes_until
from tests.worlds import World

__all__ = ["open_page", "world"]
ANSWERS = Objective("answers", "toy", Availability(), Decimal("0.99"), Rolling(720), minimum_events=20)


def define(world: World, *objectives: Objective) -> list[str]:
    with writing() as session:
        return [define_objective(session, world.lead, objective=one).key for one in objectives]


@pytest.fixture
def burning(world: World) -> str:
    """An objective of which half of all requests of an hour failed."""
    noon = clock.now().replace(second=0, microsecond=0)
    log_requests(minutes_until(noon, 60), good=5, failed=5)
    (key,) = define(world, ANSWERS)
    look(noon)
    return key


def test_the_list_is_cut_and_leads_to_each_objective(world: World, open_page: Open, burning: str) -> None:
    define(world, *(replace(ANSWERS, name=f"new-{one}") for one in range(49)))
    first = text_of(open_page(world.viewer, "slos"))
    assert "1 of 50 objectives in danger: answers of toy" in first
    assert "1 to 50 of 50" in first
    assert f'href="/slos?objective={burning}"' in first
    later = text_of(open_page(world.viewer, "slos", row="30"))
    assert "31 to 50 of 50" in later
    assert burning not in later
    assert "1 of 50 objectives in danger" in later, "the headline is about all of them"
    assert "1 to 50 of 50" in text_of(open_page(world.viewer, "slos", row="100"))


def test_filters_are_in_the_address(world: World, open_page: Open, burning: str) -> None:
    define(world, replace(ANSWERS, name="new"))
    said = text_of(open_page(world.viewer, "slos", state="no_data"))
    assert burning not in said
    assert "1 to 1 of 1" in said
    assert "No objective matches" in text_of(open_page(world.viewer, "slos", state="ok"))
    page = open_page(world.viewer, "slos", model="nobody", row="1")
    assert "model" not in page.query_params, "there is no such model"
    next(one for one in page.selectbox if one.label == "State").set_value("breach").run()
    assert page.query_params["state"] == "breach"
    assert "row" not in page.query_params, "another list begins at its first row"
    assert burning in text_of(page)


def test_an_objective_shows_the_range_that_the_address_asks_for(
    world: World, open_page: Open, burning: str
) -> None:
    page = open_page(world.viewer, "slos", objective=burning, range="1h")
    said = text_of(page)
    assert "answers, in danger: " in said
    (figure,) = [one for one in page.main if one.type == "plotly_chart"]
    assert '"error budget left"' in figure.proto.spec
    assert "/export/slo.csv?objective=" in said
    assert "range=1h" in said, "the way back takes the range along"
    empty = open_page(
        world.viewer, "slos", objective=burning, **{"from": "2026-01-01T00:00Z", "to": "2026-01-02T00:00Z"}
    )
    assert "No event was counted in this range" in next(
        one.proto.spec for one in empty.main if one.type == "plotly_chart"
    )


def test_a_row_takes_the_range_along(world: World, open_page: Open, burning: str) -> None:
    said = text_of(
        open_page(world.viewer, "slos", **{"from": "2026-01-01T00:00Z", "to": "2026-01-02T00:00Z"})
    )
    address = next(one for one in said.split('"') if f"objective={burning}" in one).replace("&amp;", "&")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert (asked["from"], asked["to"]) == ("2026-01-01T00:00Z", "2026-01-02T00:00Z")


def test_an_objective_that_is_not_there_is_said_and_the_list_shown(
    world: World, open_page: Open, burning: str
) -> None:
    page = open_page(world.viewer, "slos", objective="slo_0")
    assert ["not here" in one.value for one in page.warning] == [True]
    assert burning in text_of(page)


def test_the_file_has_the_steps_of_the_range(world: World, burning: str) -> None:
    noon = clock.now().replace(second=0, microsecond=0)
    since, until = (ranges.to_address(noon - timedelta(minutes=back)) for back in (30, 10))
    rows = fetch(world.viewer, f"/export/slo.json?objective={burning}&since={since}&until={until}").json()
    assert 18 <= len(rows) <= 21
    assert {(one["good"], one["total"]) for one in rows} == {(5, 10)}
    assert fetch(world.viewer, f"/export/slo.json?objective={burning}&since=soon").status_code == 422


def test_what_is_read_for_a_page_is_no_more_than_its_rows(world: World, burning: str) -> None:
    define(world, replace(ANSWERS, name="new"))
    part = read.listed(data.scope_of(world.viewer), None, None, 1, 1)
    assert ([one.objective.name for one in part.rows], part.total) == (["new"], 2)
    assert part.worst is not None and part.worst.revision.key == burning
