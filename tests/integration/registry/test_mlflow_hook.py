"""A webhook of MLflow makes a move known at once: signed, lately, once; only the name is believed."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.fernet import Fernet
from sqlalchemy import delete, select
from starlette.applications import Starlette

from backend import clock
from backend.api.mlflow_hook import LARGEST_BYTES, OLDEST_S, PATH, routes
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.queue import MIRROR_REGISTRY, JobRun
from backend.registry.tables import ImportedModel, ImportedVersion, Model
from backend.settings import settings
from jobs.mirror_registry import take_versions
from tests.integration.identity.conftest import TestClient
from tests.integration.jobs.conftest import OwnedRun
from tests.worlds import make_world, register_in_mlflow

SECRET = "a secret of the two"


@pytest.fixture
def hook(migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("WARRANT_MLFLOW_WEBHOOK_SECRET", SECRET)
    settings.cache_clear()
    make_world(tmp_path / "files")
    yield TestClient(Starlette(routes=routes()))
    use_database(None)


def signed(
    document: Any, *, at: float | None = None, secret: str = SECRET, delivery: str = ""
) -> dict[str, Any]:
    """A delivery by MLflow's own signing."""
    from mlflow.webhooks.delivery import _generate_hmac_signature

    body = document if isinstance(document, str) else json.dumps(document)
    delivery, stamp = delivery or str(uuid.uuid4()), str(int(at or time.time()))
    return {
        "content": body,
        "headers": {
            "X-MLflow-Delivery-Id": delivery,
            "X-MLflow-Timestamp": stamp,
            "X-MLflow-Signature": _generate_hmac_signature(secret, delivery, stamp, body),
        },
    }


def moved(name: str = "toy", entity: str = "model_version_alias") -> dict[str, Any]:
    return {
        "entity": entity,
        "action": "created",
        "data": {"name": name, "alias": "champion", "version": "1"},
    }


def asked() -> list[tuple[str, dict[str, Any]]]:
    with reading() as session:
        runs = session.scalars(select(JobRun).where(JobRun.name == MIRROR_REGISTRY.name))
        return [(one.subject, one.arguments) for one in runs]


def test_a_signed_delivery_asks_for_one_look_however_often_it_comes(hook: TestClient) -> None:
    delivery = signed(moved())
    answers = [hook.post(PATH, **delivery) for _ in range(3)]
    assert [(one.status_code, one.json()["outcome"]) for one in answers] == [
        (202, "asked"), (202, "known"), (202, "known"),
    ]  # fmt: skip
    assert hook.post(PATH, **signed(moved())).json()["outcome"] == "known"  # the look that waits sees it, too
    assert asked() == [("toy", {"versions": False})]


def test_what_is_not_signed_so_or_old_is_refused(hook: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    good = signed(moved())
    other = {**good, "content": good["content"].replace("toy", "boy")}
    bare = {"content": good["content"]}
    late = signed(moved(), at=time.time() - OLDEST_S - 5)
    early = signed(moved(), at=time.time() + OLDEST_S + 5)
    theirs = signed(moved(), secret="another")
    named = signed(moved(), delivery="../../etc")
    odd = {**good, "headers": {**good["headers"], "X-MLflow-Signature": "v1,ümlaut".encode()}}
    for delivery in (other, bare, late, early, theirs, named, odd):
        answer = hook.post(PATH, **delivery)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
    assert asked() == []
    monkeypatch.delenv("WARRANT_MLFLOW_WEBHOOK_SECRET")
    settings.cache_clear()
    assert hook.post(PATH, **good).status_code == 404


def test_what_is_no_delivery_is_refused_and_what_is_not_ours_ignored(hook: TestClient) -> None:
    for body in (
        "",
        "no",
        "[]",
        "{}",
        '{"entity": 1}',
        '{"entity": "model_version", "action": "x", "data": {}}',
    ):
        assert hook.post(PATH, **signed(body)).status_code == 422, body
    assert hook.post(PATH, **signed("x" * (LARGEST_BYTES + 1))).status_code == 422
    for event in (moved("stranger"), moved(entity="prompt"), moved("a'b", entity="model_version")):
        assert hook.post(PATH, **signed(event)).json()["outcome"] == "ignored"
    assert asked() == []


def test_a_new_version_of_an_imported_registry_is_in_the_inventory(hook: TestClient) -> None:
    register_in_mlflow("newcomer", 2)
    with writing() as session:  # the registry that is watched was imported once
        session.add(
            ImportedModel(
                model="toy", read_from=settings().mlflow, tags={}, imported_at=clock.now(), found=True
            )
        )
    assert hook.post(PATH, **signed(moved("newcomer", entity="model_version"))).json()["outcome"] == "asked"
    assert asked() == [("newcomer", {"versions": True})]
    run = OwnedRun(MIRROR_REGISTRY, "r", "newcomer", {"versions": True}, None, "w", 1, "t")
    assert take_versions(run) == 2
    assert take_versions(run) == 0
    with reading() as session:
        assert session.get_one(Model, "newcomer").enforcement == "observe"
        assert len(list(session.scalars(select(ImportedVersion)))) == 2
        assert session.get_one(
            ImportedModel, "toy"
        ).found  # nothing is said of models that were not looked at


@pytest.fixture
def listening(hook: TestClient) -> Iterator[str]:
    """The endpoint over a real socket."""
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes()), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}{PATH}"
    server.should_exit = True
    thread.join()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of its server
def test_mlflows_own_server_is_understood(
    listening: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's handlers and its own delivery, on its SQLite store: an alias is set, and the look is asked for."""
    store = f"sqlite:///{tmp_path / 'server.db'}"
    for name, value in (
        ("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http"), ("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true"),
        ("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode()),
        ("_MLFLOW_SERVER_FILE_STORE", store), ("_MLFLOW_SERVER_REGISTRY_STORE", store),
        ("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path / "artefacts")),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    from mlflow.server import app, handlers

    monkeypatch.setattr(handlers, "_tracking_store", None)
    monkeypatch.setattr(handlers, "_model_registry_store", None)
    mlflow = app.test_client()

    def post(path: str, **body: Any) -> Any:
        answer = mlflow.post(f"/api/2.0/mlflow/{path}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json

    post(
        "webhooks", name="warrant", url=listening, secret=SECRET,
        events=[{"entity": "MODEL_VERSION_ALIAS", "action": "CREATED"}],
    )  # fmt: skip
    post("registered-models/create", name="toy")
    post("model-versions/create", name="toy", source="s3://somewhere/model")
    mlflow.post(
        "/api/2.0/mlflow/registered-models/alias", json={"name": "toy", "alias": "champion", "version": "1"}
    )
    until = time.monotonic() + 20
    while not asked() and time.monotonic() < until:
        time.sleep(0.05)
    assert asked() == [("toy", {"versions": False})]
    with writing() as session:
        session.execute(delete(JobRun))
