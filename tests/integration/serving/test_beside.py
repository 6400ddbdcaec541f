"""Canaries and shadows are served beside the champion, and never instead of what they do not answer."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from backend import clock
from backend.database.session import WriteSession, reading, writing
from backend.deployment.service import end_beside, live_reports, open_beside
from backend.deployment.tables import ServingTally
from backend.governance.tables import Change
from backend.identity.roles import Role
from backend.observations import reader
from backend.observations.spool import MAX_PENDING_BYTES
from backend.settings import settings
from tests.integration.serving.parts import (
    FEATURES,
    MODEL,
    WORKER,
    GatewayProcess,
    register_version,
    spooled_rows,
    wait_until,
)
from tests.worlds import person

pytestmark = pytest.mark.slow  # each boots a gateway of its own with two versions

SHADOWS = f"{MODEL}~shadow"


def beside(version: int, role: Any, share: float = 0.0) -> int:
    """Open a canary or a shadow under the one change of these tests."""
    with writing() as session:
        change = session.get(Change, 1) or a_change(session)
        return open_beside(
            session, WORKER, model=MODEL, environment="production", version=version, cutoff=0.5, role=role,
            share=share, change_id=change.id, reason="test",
        ).id  # fmt: skip


def a_change(session: WriteSession) -> Change:
    who, now = person(session, "lead", Role.ML_LEAD), clock.now()
    change = Change(
        kind="promote", model=MODEL, environment="production", subject={}, summary="", requested_by=who.person_id,
        requested_at=now, reason="", policy={}, bound={}, gates=[], evidence={}, request_digest="", digest="",
        expires_at=now,
    )  # fmt: skip
    session.add(change)
    session.flush()
    return change


def loaded(gateway: GatewayProcess, deployment_id: int) -> bool:
    return any(one["deployment_id"] == deployment_id and one["loaded"] for one in gateway.model()["beside"])


def ask(gateway: GatewayProcess, keys: list[str], round_: str = "") -> dict[str, dict[str, Any]]:
    """One answer a key, asked in one batch."""
    rows = [
        {"prediction_id": f"{round_}{key}", "key": key, "features": {**FEATURES, "hour": number % 24}}
        for number, key in enumerate(keys)
    ]
    answer = gateway.predict(instances=rows)
    assert answer.status_code == 200, answer.text
    return dict(zip(keys, answer.json()["predictions"], strict=True))


def samples(gateway: GatewayProcess) -> dict[tuple[str, str, str], float]:
    found: dict[tuple[str, str, str], float] = {}
    for family in text_string_to_metric_families(gateway.client.get("/metrics").text):
        for sample in family.samples:
            place = (sample.name, sample.labels.get("version", ""), sample.labels.get("role", ""))
            found[place] = found.get(place, 0.0) + sample.value
    return found


def test_a_canary_answers_its_share_of_keys_and_keeps_them_when_it_grows(gateway: GatewayProcess) -> None:
    keys = [f"customer-{number}" for number in range(400)]
    small = beside(2, "canary", 0.2)
    wait_until(lambda: loaded(gateway, small), what="the canary")
    first = ask(gateway, keys, "a")
    again = ask(gateway, keys, "b")
    assert {key: one["version"] for key, one in first.items()} == {
        key: one["version"] for key, one in again.items()
    }
    drawn = {key for key, one in first.items() if one["version"] == 2}
    assert 50 < len(drawn) < 110
    assert {(one["version"], one["deployment_id"], one["role"]) for one in first.values()} == {
        (1, 1, "champion"), (2, small, "canary"),
    }  # fmt: skip
    large = beside(2, "canary", 0.5)
    wait_until(lambda: loaded(gateway, large), what="the larger canary")
    grown = {key for key, one in ask(gateway, keys, "c").items() if one["deployment_id"] == large}
    assert drawn < grown
    stored = {row["prediction_id"]: (row["version"], row["role"]) for row in spooled_rows()}
    assert all(stored[f"a{key}"] == (one["version"], one["role"]) for key, one in first.items())
    with writing() as session:
        end_beside(session, WORKER, change_id=1, reason="over")
    wait_until(lambda: not gateway.model()["beside"], what="the end of the canary")
    assert {one["version"] for one in ask(gateway, keys, "d").values()} == {1}
    counted = samples(gateway)
    assert counted["warrant_predictions_total", "2", "canary"] == len(drawn) * 2 + len(grown)
    assert counted["warrant_requests_total", "several", "several"] == 3


def test_without_a_key_the_prediction_id_decides(sqlite_gateway: GatewayProcess) -> None:
    half = beside(2, "canary", 0.5)
    wait_until(lambda: loaded(sqlite_gateway, half), what="the canary")
    for number in range(12):
        by_id = sqlite_gateway.predict(prediction_id=f"p{number}", features=FEATURES).json()
        by_key = sqlite_gateway.predict(
            prediction_id=f"k{number}", key=f"p{number}", features=FEATURES
        ).json()
        assert by_id["version"] == by_key["version"]
    assert sqlite_gateway.predict(key=7, features=FEATURES).status_code == 422


def test_a_canary_that_cannot_be_loaded_leaves_its_share_to_the_champion(
    sqlite_gateway: GatewayProcess, tmp_path: Path
) -> None:
    register_version(4, tmp_path / "nowhere", digest="sha256:" + "0" * 64)
    lost = beside(4, "canary", 0.9)

    def reported() -> Any:
        with reading() as session:
            found = live_reports(session, MODEL, "production")
        return next((one for report in found for one in report.beside if one["error"]), None)

    report = wait_until(reported, what="the refusal")
    assert (report["deployment_id"], report["loaded"]) == (lost, False)
    assert "is not there" in report["error"]
    assert sqlite_gateway.client.get("/readyz").status_code == 200
    assert {one["version"] for one in ask(sqlite_gateway, [f"k{n}" for n in range(50)]).values()} == {1}


def test_a_shadow_scores_apart_and_answers_nobody(sqlite_gateway: GatewayProcess) -> None:
    from backend.observations.writer import commit_spool

    shadow = beside(2, "shadow")
    wait_until(lambda: loaded(sqlite_gateway, shadow), what="the shadow")
    keys = [f"row-{number}" for number in range(60)]
    answers = ask(sqlite_gateway, keys)
    assert {one["version"] for one in answers.values()} == {1}
    wait_until(
        lambda: samples(sqlite_gateway).get(("warrant_shadow_rows_total", "2", "")) == 60, what="scoring"
    )
    sqlite_gateway.terminate()
    commit_spool(settings().observations, settings().spool)
    served = reader.read(settings().observations, MODEL).to_pylist()
    shadowed = reader.read(settings().observations, SHADOWS).to_pylist()
    assert {(row["version"], row["role"]) for row in served} == {(1, "champion")}
    assert {(row["version"], row["role"]) for row in shadowed} == {(2, "shadow")}
    assert {row["prediction_id"] for row in served} == {row["prediction_id"] for row in shadowed} == set(keys)
    assert {row["score"] for row in served} != {row["score"] for row in shadowed}


def test_a_shadow_whose_rows_pile_up_loses_them_and_no_answer(sqlite_gateway: GatewayProcess) -> None:
    shadow = beside(2, "shadow")
    wait_until(lambda: loaded(sqlite_gateway, shadow), what="the shadow")
    pile = settings().spool / "logs" / "0-shadow.log"
    with pile.open("wb") as file:
        file.truncate(MAX_PENDING_BYTES + 1)  # holes: it takes no room on the disk
    time.sleep(1.2)  # the gateway looks at the room twice a second
    try:
        keys = [f"row-{number}" for number in range(40)]
        for round_ in ("a", "b", "c"):
            ask(sqlite_gateway, keys, round_)
        counted = ("warrant_shadow_rows_total", "2", "")
        wait_until(lambda: samples(sqlite_gateway).get(counted) == 120, what="the end of the shadow's work")
        assert sqlite_gateway.client.get("/readyz").status_code == 200
    finally:
        pile.unlink()
    text = sqlite_gateway.client.get("/metrics").text
    assert re.search(r'^warrant_shadow_rows_total\{.*outcome="unstored".*\} 120\.0$', text, re.MULTILINE)
    stored = spooled_rows()
    assert {row["prediction_id"] for row in stored} == {f"{one}{key}" for one in "abc" for key in keys}
    assert {row["role"] for row in stored} == {"champion"}


def test_what_both_did_meanwhile_is_tallied(gateway: GatewayProcess) -> None:
    sqlite = [f"k{number}" for number in range(100)]
    ask(gateway, sqlite, "before")
    canary = beside(2, "canary", 0.5)
    wait_until(lambda: loaded(gateway, canary), what="the canary")
    answers = ask(gateway, sqlite, "during")
    drawn = [one["score"] for one in answers.values() if one["version"] == 2]

    def tallies() -> dict[int, ServingTally]:
        with reading() as session:
            found = session.scalars(select(ServingTally).where(ServingTally.tried == canary)).all()
        return {one.deployment_id: one for one in found}

    found = wait_until(lambda: len(tallies()) == 2 and tallies(), what="the tallies")
    assert (found[canary].rows, found[1].rows) == (len(drawn), 100 - len(drawn))
    assert abs(found[canary].score_sum - sum(drawn)) < 1e-9
    assert sum(found[canary].buckets.values()) == len(drawn)
    assert found[canary].failed == 0


def test_smoke_asks_one_deployment(sqlite_gateway: GatewayProcess) -> None:
    canary = beside(2, "canary", 0.0)
    wait_until(lambda: loaded(sqlite_gateway, canary), what="the canary")
    body = {"features": FEATURES}
    for number, version in ((canary, 2), (1, 1)):
        answer = sqlite_gateway.client.post(f"/v1/models/{MODEL}/smoke?deployment={number}", json=body).json()
        assert answer["predictions"][0]["version"] == version
    assert sqlite_gateway.client.post(f"/v1/models/{MODEL}/smoke?deployment=99", json=body).status_code == 503
    assert sqlite_gateway.client.post(f"/v1/models/{MODEL}/smoke?deployment=x", json=body).status_code == 422


def test_a_row_that_the_canary_cannot_score_is_answered_by_the_champion(
    sqlite_gateway: GatewayProcess, tmp_path: Path
) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np

        # It was fitted on numbers alone, so the column of text makes it fail.
        import pandas as pd
        import skops.io
        from sklearn.linear_model import LogisticRegression

        frame = pd.DataFrame({"carrier": [0.0, 1.0], "hour": [0.0, 1.0], "wind": [0.0, 1.0]})
        (tmp_path / "failing").mkdir()
        skops.io.dump(LogisticRegression().fit(frame, np.array([0, 1])), tmp_path / "failing" / "model.skops")
    register_version(4, tmp_path / "failing")
    canary = beside(4, "canary", 0.9)
    wait_until(lambda: loaded(sqlite_gateway, canary), what="the canary")
    answers = ask(sqlite_gateway, [f"k{n}" for n in range(20)])
    assert {(one["version"], one["role"]) for one in answers.values()} == {(1, "champion")}
    failed = samples(sqlite_gateway)["warrant_scoring_failures_total", "4", "canary"]
    assert 10 <= failed <= 20
    time.sleep(0.1)
