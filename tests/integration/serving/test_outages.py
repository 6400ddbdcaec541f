"""Databases vanish, processes are killed, disks fill: what was promised still holds."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.database.engine import use_database
from backend.database.upgrade import upgrade
from backend.observations import reader
from backend.observations.spool import all_logs
from backend.observations.writer import commit_spool
from backend.settings import settings
from tests.integration.serving.conftest import registered
from tests.integration.serving.parts import (
    FEATURES,
    MODEL,
    GatewayProcess,
    Load,
    deploy,
    spooled_ids,
    wait_until,
)
from tests.postgresql import postgresql_server


@pytest.mark.slow
def test_it_serves_without_its_database_also_after_a_restart(
    sqlite_gateway: GatewayProcess, artefacts: dict[int, Path]
) -> None:
    deploy(2)
    sqlite_gateway.wait_version(2)
    use_database(None)
    home = settings().resolved_home()
    away = home.parent / "away"
    away.mkdir()
    for file in home.glob("warrant.db*"):
        shutil.move(file, away / file.name)
    with Load(sqlite_gateway.url, clients=2) as load:
        wait_until(lambda: sqlite_gateway.client.get("/readyz").json()["stale"], what="noticing")
    assert load.refusals == []
    assert 'warrant_gateway_stale{environment="production"} 1.0' in sqlite_gateway.client.get("/metrics").text
    assert not list(home.glob("warrant.db*"))

    # Not even the artefacts' source is there when it restarts.
    sqlite_gateway.terminate()
    hidden = artefacts[2].with_name("hidden")
    artefacts[2].rename(hidden)
    try:
        state = sqlite_gateway.start().wait_ready()
        assert (state["stale"], state["models"][MODEL]["version"]) == (True, 2)
        assert sqlite_gateway.predict().json()["version"] == 2
        assert sqlite_gateway.predict("other").status_code == 503  # whether it exists cannot be known now
        assert not list(home.glob("warrant.db*"))
    finally:
        hidden.rename(artefacts[2])

    for file in away.iterdir():
        shutil.move(file, home / file.name)
    wait_until(lambda: not sqlite_gateway.client.get("/readyz").json()["stale"], what="following again")
    assert sqlite_gateway.predict("other").status_code == 404
    deploy(3)
    sqlite_gateway.wait_version(3)


@pytest.fixture
def own_postgresql(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A PostgreSQL server that this test may stop."""
    with postgresql_server() as server:
        monkeypatch.setenv("WARRANT_DATABASE_URL", server.get_uri())
        settings.cache_clear()
        upgrade()
        yield server
        use_database(None)


@pytest.mark.slow
def test_it_serves_while_postgresql_is_stopped_also_after_a_restart(
    own_postgresql: Any, artefacts: dict[int, Path], tmp_path: Path
) -> None:
    registered(artefacts)
    with GatewayProcess(tmp_path / "gateway.log").start() as gateway:
        gateway.wait_ready()
        use_database(None)
        with Load(gateway.url, clients=2) as load:
            own_postgresql.stop()
            wait_until(lambda: gateway.client.get("/readyz").json()["stale"], what="noticing")
        assert load.refusals == []
        gateway.kill()
        state = gateway.start().wait_ready()
        assert (state["stale"], state["models"][MODEL]["version"]) == (True, 1)
        assert gateway.predict().json()["version"] == 1
        own_postgresql.ensure_postgres_running()
        deploy(2)
        gateway.wait_version(2)


@pytest.mark.chaos
def test_kill_9_under_load_loses_no_accepted_prediction(sqlite_gateway: GatewayProcess) -> None:
    with Load(sqlite_gateway.url, clients=6) as load:
        wait_until(lambda: len(load.answers) > 300, timeout_s=120, what="load")
        sqlite_gateway.kill()
        load.lost_connection.wait(10)
    accepted = {answer["prediction_id"]: answer for _, answer in load.answers}
    assert len(accepted) > 300
    assert accepted.keys() <= set(spooled_ids())
    commit_spool(settings().observations, settings().spool)
    stored = reader.read(settings().observations, MODEL).to_pylist()
    by_id = {row["prediction_id"]: row for row in stored}
    assert len(by_id) == len(stored)
    for prediction_id, answer in accepted.items():
        row = by_id[prediction_id]
        assert (row["score"], row["prediction"], row["version"]) == (answer["score"], answer["prediction"], 1)

    # What the client never got an answer to, it sends again; nothing is stored twice or set aside.
    sqlite_gateway.start().wait_ready()
    for number in range(6):
        highest = max(
            (int(name.rsplit("-", 1)[1]) for name in by_id if name.startswith(f"load-{number}-")), default=0
        )
        for count in (highest, highest + 1):
            features = {**FEATURES, "hour": count % 24}
            answer = sqlite_gateway.predict(prediction_id=f"load-{number}-{count}", features=features)
            assert answer.status_code == 200
    sqlite_gateway.terminate()
    (done,) = commit_spool(settings().observations, settings().spool)
    assert (done.rows, done.rows_known, done.rows_rejected) == (6, 0, 0)


def test_sigterm_answers_what_is_in_flight_and_leaves_a_closed_log(sqlite_gateway: GatewayProcess) -> None:
    with Load(sqlite_gateway.url, clients=4) as load:
        wait_until(lambda: len(load.answers) > 100, what="load")
        ended = sqlite_gateway.terminate()
        assert ended in (0, -15)
    # Clients see refused connections after the end, and no answer that is not a prediction.
    assert all(
        "Connect" in refusal or "RemoteProtocol" in refusal or "ReadError" in refusal
        for refusal in load.refusals
    )
    assert {answer["prediction_id"] for _, answer in load.answers} <= set(spooled_ids())
    assert [path.suffix for path in all_logs(settings().spool) if path.suffix == ".open"] == []


@pytest.mark.slow
def test_a_full_queue_is_429_and_the_gateway_recovers(
    sqlite: None, artefacts: dict[int, Path], tmp_path: Path
) -> None:
    registered(artefacts)
    with GatewayProcess(tmp_path / "gateway.log", WARRANT_GATEWAY_QUEUE_ROWS="1000").start() as gateway:
        gateway.wait_ready()
        statuses: list[int] = []
        body = {"instances": [{"features": FEATURES}] * 1000}

        def flood() -> None:
            import httpx

            with httpx.Client(base_url=gateway.url, timeout=60) as client:
                for _ in range(4):
                    answer = client.post(f"/v1/models/{MODEL}/predict", json=body)
                    statuses.append(answer.status_code)
                    if answer.status_code == 429:
                        assert answer.headers["retry-after"] == "1"

        threads = [threading.Thread(target=flood) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(statuses) == {200, 429}
        assert gateway.predict().status_code == 200
        assert len(spooled_ids()) == 1000 * statuses.count(200) + 1


def test_a_spool_that_cannot_be_written_is_503_and_nothing_is_lost(sqlite_gateway: GatewayProcess) -> None:
    """A file stands where the spool's folder was: a disk that went away, for a process that runs as root."""
    time.sleep(1.2)  # the open log is closed once nothing arrives
    sqlite_gateway.predict(prediction_id="before", features=FEATURES)
    logs = settings().spool / "logs"
    wait_until(lambda: not list(logs.glob("*.open")), what="rotation")
    logs.rename(logs.with_name("gone"))
    logs.write_text("")
    answer = sqlite_gateway.predict(prediction_id="during", features=FEATURES)
    assert answer.status_code == 503
    assert "not stored" in answer.json()["detail"]
    logs.unlink()
    logs.with_name("gone").rename(logs)
    assert sqlite_gateway.predict(prediction_id="during", features=FEATURES).status_code == 200
    assert sorted(spooled_ids()) == ["before", "during"]
