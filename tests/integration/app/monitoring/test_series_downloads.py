"""What the monitoring pages show, taken away as CSV or JSON."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import datetime

import httpx
import pytest
from starlette.applications import Starlette

from app.series_downloads import routes
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.monitoring.tables import ReferenceSummary
from tests.integration.app.monitoring.opened import DAYS, Open, text_of
from tests.watched import cookie_of
from tests.worlds import World


def fetch(who: Actor | None, address: str) -> httpx.Response:
    """A download as somebody's browser asks for it."""
    cookies = {"warrant_session": cookie_of(who)} if who else None

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies=cookies) as client:
            return await client.get(address)

    return asyncio.run(asked())


def test_what_a_page_shows_is_taken_away_as_csv(
    world: World, starts: list[datetime], open_page: Open
) -> None:
    with writing() as session:
        session.merge(
            ReferenceSummary(
                model="toy", version=2, reference_digest="sha256:r", rows=900, performance={}, trust={}, losses={},
                noise={"1d": {"dep_delay": {"psi": [0.01, 0.02, 0.03]}}}, measured_as="x",
            )
        )  # fmt: skip
    assert "limit from chance and 3 quiet windows of the reference" in text_of(open_page("drift"))
    viewer = world.viewer
    address = "/export/points.csv?model=toy&size=1d&kind=drift&statistic=psi&column=dep_delay&segment="
    rows = list(csv.DictReader(io.StringIO(fetch(viewer, address).text)))
    assert len(rows) == DAYS
    assert {row["column"] for row in rows} == {"dep_delay"}
    assert rows[-2]["effect"] == "0.021"
    last = rows[-2]
    assert (last["model"], last["version"], last["size"], last["time_zone"]) == ("toy", "2", "1d", "UTC")
    assert last["window_end"] > last["window_start"]
    assert (last["reference"], last["quiet_windows"]) == ("sha256:r", "3")
    assert last["budget_pages_per_quarter"] == "1.0"
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
