"""The gateway follows the deployment record, and nothing else moves it."""

from __future__ import annotations

import shutil
import time
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from backend import clock
from backend.database.session import reading
from backend.deployment.service import live_reports
from backend.deployment.tables import GatewayReport
from backend.serving.board import Board
from backend.serving.gateway import Gateway
from backend.settings import settings
from tests.integration.serving.conftest import registered
from tests.integration.serving.parts import (
    MODEL,
    GatewayProcess,
    Load,
    deploy,
    register_model,
    register_version,
    wait_until,
)


def reports() -> list[GatewayReport]:
    with reading() as session:
        return live_reports(session, MODEL, "production")


def test_a_switch_under_load_fails_no_request_and_is_quick(gateway: GatewayProcess) -> None:
    """Version 2 is not warm: it is fetched, checked and loaded beside version 1, which serves meanwhile."""
    with Load(gateway.url) as load:
        wait_until(lambda: len(load.answers) > 40, what="load")
        deployment_id = deploy(2)
        committed = time.monotonic()
        gateway.wait_version(2)
        wait_until(lambda: reports()[0].version == 2, what="the report")
        back = deploy(1)
        returned = time.monotonic()
        gateway.wait_version(1)
        time.sleep(0.5)
    assert load.refusals == []
    to_second = [sent for sent, answer in load.answers if answer["deployment_id"] == deployment_id]
    to_first_again = [sent for sent, answer in load.answers if answer["deployment_id"] == back]
    assert min(to_second) - committed < 2.0
    assert min(to_first_again) - returned < 2.0
    # No request that was sent after the first answer of a version came back from an earlier one, give or take
    # those that were already admitted.
    assert all(answer["version"] == 1 for sent, answer in load.answers if sent > min(to_first_again) + 1.0)


def test_the_report_says_what_serves_and_beats(gateway: GatewayProcess) -> None:
    (first,) = wait_until(lambda: [found for found in reports() if found.version], what="the first report")
    assert (first.version, first.deployment_id, first.error) == (1, 1, None)
    assert first.url == gateway.url
    assert first.loaded_at is not None
    wait_until(lambda: reports()[0].reported_at > first.reported_at, timeout_s=20, what="the heartbeat")
    assert clock.now() - reports()[0].reported_at < timedelta(seconds=3)


def test_an_altered_artefact_is_refused_and_the_last_good_stays(
    sqlite_gateway: GatewayProcess, artefacts: dict[int, Path], tmp_path: Path
) -> None:
    altered = shutil.copytree(artefacts[2], tmp_path / "altered")
    register_version(4, altered)
    model_file = altered / "model.skops"
    content = bytearray(model_file.read_bytes())
    content[len(content) // 2] ^= 1
    model_file.write_bytes(content)
    deploy(4)
    wait_until(lambda: sqlite_gateway.model()["error"], what="the refusal")
    assert sqlite_gateway.predict().json()["version"] == 1
    report = wait_until(lambda: next((found for found in reports() if found.error), None), what="the report")
    assert report.version == 1
    assert "not the recorded artefact" in report.error
    assert sqlite_gateway.client.get("/readyz").status_code == 200
    # Putting the recorded bytes back is enough: it tries again by itself.
    shutil.copytree(artefacts[2], altered, dirs_exist_ok=True)
    sqlite_gateway.wait_version(4)
    wait_until(lambda: reports()[0].error is None, what="a clean report")


@pytest.mark.slow
def test_an_altered_local_copy_is_not_loaded(sqlite_gateway: GatewayProcess) -> None:
    sqlite_gateway.kill()
    for file in (settings().resolved_home() / "gateway" / "artefacts").glob("*/model.skops"):
        file.write_bytes(b"not a model")
    sqlite_gateway.start().wait_ready()
    assert sqlite_gateway.predict().json()["version"] == 1
    assert "was altered" in sqlite_gateway.log()


@pytest.mark.slow
def test_a_missing_artefact_leaves_the_last_good_serving_also_after_a_restart(
    sqlite_gateway: GatewayProcess, tmp_path: Path
) -> None:
    register_version(4, tmp_path / "nowhere", digest="sha256:" + "0" * 64)
    deploy(4)
    wait_until(lambda: sqlite_gateway.model()["error"], what="the refusal")
    sqlite_gateway.kill()
    sqlite_gateway.start()
    wait_until(lambda: sqlite_gateway.ready() and sqlite_gateway.model().get("version") == 1, timeout_s=120)
    state = sqlite_gateway.model()
    assert (state["wanted_version"], "is not there" in state["error"]) == (4, True)
    assert sqlite_gateway.predict().json()["version"] == 1


def test_a_model_of_which_nothing_is_deployed_stops_serving(sqlite_gateway: GatewayProcess) -> None:
    from backend.database.session import writing
    from backend.deployment.tables import Deployment

    with writing() as session:
        session.get_one(Deployment, 1).ended_at = clock.now()
    wait_until(lambda: sqlite_gateway.predict().status_code == 503, what="the end of service")
    wait_until(lambda: reports()[0].version is None, what="the report")


@pytest.mark.slow
def test_versions_that_served_before_stay_warm(sqlite_gateway: GatewayProcess) -> None:
    deploy(2)
    sqlite_gateway.wait_version(2)
    deploy(3)
    sqlite_gateway.wait_version(3)
    sqlite_gateway.kill()
    sqlite_gateway.start().wait_ready()
    wait_until(lambda: sqlite_gateway.log().count("loaded sha256") >= 6, timeout_s=120, what="warming up")
    deploy(1)
    committed = time.monotonic()
    wait_until(lambda: sqlite_gateway.predict().json()["version"] == 1, timeout_s=1.5, what="the switch")
    assert time.monotonic() - committed < 1.5
    assert sqlite_gateway.log().count("loaded sha256") == 6


def test_moving_the_mlflow_alias_moves_nothing(
    sqlite_gateway: GatewayProcess, artefacts: dict[int, Path]
) -> None:
    """There is no code path from an alias to the gateway: it never asks MLflow which version serves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=settings().mlflow, registry_uri=settings().mlflow)
        client.create_registered_model(MODEL)
        for version in (1, 2):
            client.create_model_version(MODEL, source=str(artefacts[version]))
        client.set_registered_model_alias(MODEL, "champion", "1")
        client.set_registered_model_alias(MODEL, "champion", "2")
    time.sleep(4 * settings().poll_s + 1)
    assert sqlite_gateway.predict().json()["version"] == 1
    assert sqlite_gateway.model()["wanted_version"] == 1


def test_a_spec_that_asks_for_other_features_is_followed_at_once(sqlite_gateway: GatewayProcess) -> None:
    from backend.database.session import writing
    from backend.registry.tables import Model
    from tests.integration.serving.parts import FEATURES, SPEC

    with writing() as session:
        session.get_one(Model, MODEL).spec = {**SPEC, "features": {**SPEC["features"], "snow": "numeric"}}
    wait_until(lambda: sqlite_gateway.predict().status_code == 422, what="the new spec")
    answer = sqlite_gateway.predict(features={**FEATURES, "snow": 0})
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    fewer = {name: kind for name, kind in SPEC["features"].items() if name != "wind"}
    with writing() as session:
        session.get_one(Model, MODEL).spec = {**SPEC, "features": fewer}
    error = wait_until(lambda: sqlite_gateway.model()["error"], what="the refusal")
    assert "the artefact needs wind" in error
    assert sqlite_gateway.predict(features={**FEATURES, "snow": 0}).status_code == 200


def test_a_stopped_gateway_withdraws_its_reports(sqlite_gateway: GatewayProcess) -> None:
    wait_until(reports, what="the report")
    sqlite_gateway.terminate()
    with reading() as session:
        assert session.scalars(select(GatewayReport)).all() == []


@pytest.mark.parametrize("model", ["second"])
def test_a_new_model_is_served_without_a_restart(
    sqlite_gateway: GatewayProcess, artefacts: dict[int, Path], model: str
) -> None:
    register_model(model)
    register_version(1, artefacts[3], model=model)
    deploy(1, model=model)
    wait_until(lambda: sqlite_gateway.predict(model).status_code == 200, what="the new model")


def test_it_says_once_that_the_first_models_serve(sqlite: None, artefacts: dict[int, Path]) -> None:
    registered(artefacts)
    watcher = Gateway(settings()).watcher
    served: list[bool] = []
    watcher.on_settled = lambda: served.append(watcher.board.entries[MODEL].serving is not None)
    watcher.start()
    try:
        wait_until(lambda: served, what="the first model")
        deploy(2)
        wait_until(lambda: serving_version(watcher.board) == "2", what="the second version")
    finally:
        watcher.close()
    watcher.look()
    assert served == [True]


def serving_version(board: Board) -> str:
    serving = board.entries[MODEL].serving
    return serving.version if serving is not None else ""
