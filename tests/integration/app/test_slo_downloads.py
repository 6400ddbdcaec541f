"""Objectives as files from their page: OpenSLO that is read back, and rules that Prometheus takes."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from app.slo_downloads import routes
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.slo.objectives import Availability, Objective, Quality, default_rows
from backend.slo.objectives_service import define_objective
from backend.slo.openslo import parse_openslo
from backend.slo.windows import Rolling
from tests.promtool import check_rules
from tests.watched import cookie_of
from tests.worlds import make_world

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def fetch(who: Actor, address: str) -> httpx.Response:
    """A download as somebody's browser asks for it."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=routes()))
        cookies = {"warrant_session": cookie_of(who)}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies=cookies) as client:
            return await client.get(address)

    return asyncio.run(asked())


def test_objectives_are_taken_away_as_openslo_and_as_rules(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files")
    auc = Quality("auc", at_least=Decimal("0.7"))
    objectives = (
        Objective("availability", "toy", Availability(), Decimal("0.999"), Rolling(720), minimum_events=20),
        Objective(
            "auc", "toy", auc, Decimal("0.9"), Rolling(720), rows=default_rows(auc.kind), minimum_events=1
        ),
    )
    with writing() as session:
        for one in objectives:
            define_objective(session, world.lead, objective=one)
    text = fetch(world.viewer, "/export/objectives.yaml").text
    assert set(parse_openslo(text)) == set(objectives)
    rules = fetch(world.viewer, "/export/slo-rules.yml?model=toy").text
    assert rules.startswith("# Left out, toy: auc: quality is measured by Warrant")
    check_rules(tmp_path, rules)
    assert fetch(world.viewer, "/export/slo-rules.yml?model=nobody").status_code == 404
