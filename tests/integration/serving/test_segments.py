"""A canary that is kept to segments: a gateway sends it their rows alone, whatever else is in the batch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backend.database.session import reading, writing
from backend.deployment.service import open_beside
from backend.deployment.tables import Deployment, ServingTally
from backend.governance.tables import Change
from backend.serving.gateway import Gateway
from backend.settings import settings
from tests.integration.serving.parts import FEATURES, MODEL, WORKER, spooled_rows, wait_until
from tests.integration.serving.test_beside import a_change

PREDICT = f"/v1/models/{MODEL}/predict"


@pytest.fixture
def client(sqlite: None, artefacts: dict[int, Path]) -> Iterator[Any]:
    """A gateway in this process; version 1 serves, and half of the rows of AA and UA are version 2's."""
    from tests.integration.serving.conftest import registered

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    registered(artefacts)
    with writing() as session:
        change: Change = a_change(session)
        open_beside(
            session, WORKER, model=MODEL, environment="production", version=2, cutoff=0.5, role="canary", share=0.5,
            segments={"carrier": ["AA", "UA"]}, change_id=change.id, reason="test",
        )  # fmt: skip
    with TestClient(Gateway(settings()).app) as client:
        wait_until(lambda: _loaded(client), what="both versions")
        yield client


def _loaded(client: Any) -> bool:
    state = client.get("/ready").json()["models"].get(MODEL, {})
    return bool(state.get("version")) and [one["loaded"] for one in state["beside"]] == [True]


def rows(carriers: list[str | None], round_: str) -> list[dict[str, Any]]:
    return [
        {
            "prediction_id": f"{round_}{number}",
            "key": f"c{number}",
            "features": {**FEATURES, "carrier": carrier},
        }
        for number, carrier in enumerate(carriers)
    ]


def test_rows_of_one_batch_are_answered_by_the_version_of_their_segment(client: Any) -> None:
    carriers: list[str | None] = [*["AA", "UA", "B6", None] * 40]
    asked = rows(carriers, "a")
    answers = client.post(PREDICT, json={"instances": asked}).json()["predictions"]
    assert [one["prediction_id"] for one in answers] == [one["prediction_id"] for one in asked]
    drawn = {index for index, one in enumerate(answers) if one["version"] == 2}
    assert {carriers[index] for index in drawn} == {"AA", "UA"}
    assert 20 < len(drawn) < 60
    for index, row in enumerate(rows(carriers, "b")[:20]):  # one at a time, by the same keys
        assert client.post(PREDICT, json=row).json()["version"] == answers[index]["version"]
    elsewhere = rows(["B6"] * len(carriers), "c")
    again = client.post(PREDICT, json={"instances": elsewhere}).json()["predictions"]
    assert {(one["version"], one["role"]) for one in again} == {(1, "champion")}
    stored = {row["prediction_id"]: (row["version"], row["role"]) for row in spooled_rows()}
    for index in range(len(carriers)):
        assert stored[f"a{index}"] == ((2, "canary") if index in drawn else (1, "champion"))

    def tallied() -> dict[int, int]:
        with reading() as session:
            canary = session.scalars(select(Deployment.id).where(Deployment.role == "canary")).one()
            found = session.scalars(select(ServingTally).where(ServingTally.tried == canary)).all()
        return {one.deployment_id == canary: one.rows for one in found}

    of_both = carriers.count("AA") + carriers.count("UA") + 10  # those of B6 and of nobody count for neither
    found = wait_until(lambda: sum(tallied().values()) == of_both and tallied(), what="the tallies")
    assert found[True] > len(drawn)
