"""The DAG that is shown as an example, asked of the API; Airflow's names stand for what they do to a function."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from backend.api.app import create_api
from backend.database.session import reading, writing
from backend.governance.tables import Change
from backend.identity.tokens import create_token
from tests.integration.retraining.conftest import begin, close
from tests.worlds import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

EXAMPLE = Path("examples/airflow_dag.py")


@dataclass(frozen=True)
class Poked:
    is_done: bool
    xcom_value: Any = None


class Task:
    """`@task(…)` and `@task.sensor(…)` keep the function by its name."""

    def __init__(self) -> None:
        self.known: dict[str, Callable[..., Any]] = {}

    def __call__(self, **_options: Any) -> Callable[[Callable[..., Any]], Callable[..., None]]:
        def keep(function: Callable[..., Any]) -> Callable[..., None]:
            self.known[function.__name__] = function
            return lambda *_: None

        return keep

    sensor = __call__


@pytest.fixture
def tasks(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Callable[..., Any]]]:
    """What the example's DAG consists of, for the model `toy` and as its engineer."""
    with writing() as session:
        token = create_token(session, world.engineer, name="airflow")[1]
    task = Task()
    with TestClient(Starlette(routes=[Mount("/api/v1", create_api())])) as client:

        def ask(method: str) -> Callable[..., Any]:
            def send(url: str, *, timeout: float, **options: Any) -> Any:
                return client.request(method, url.removeprefix("https://warrant.example.org"), **options)

            return send

        for name, held in {
            "airflow": {}, "airflow.sensors": {}, "airflow.sensors.base": {"PokeReturnValue": Poked},
            "airflow.decorators": {"task": task, "dag": lambda **_: lambda function: function},
            "airflow.models": {"Variable": type("Variable", (), {"get": staticmethod(lambda _: token)})},
            "requests": {"get": ask("GET"), "post": ask("POST")},
        }.items():  # fmt: skip
            module = ModuleType(name)
            vars(module).update(held)
            monkeypatch.setitem(sys.modules, name, module)
        code = EXAMPLE.read_text()
        exec(compile(code.replace("flight-delay", "toy"), "example", "exec"), {})  # noqa: S102 - our own example
        yield task.known


def test_the_dag_asks_once_waits_for_the_run_and_fails_with_it(
    tasks: dict[str, Callable[..., Any]], world: World
) -> None:
    change = tasks["ask"]("scheduled__1")
    assert tasks["ask"]("scheduled__1") == change, "tried again, it asks for nothing twice"
    assert tasks["trained"](change) == Poked(False)
    with reading() as session:
        run = begin(session.get_one(Change, change))
    assert tasks["trained"](change) == Poked(False)
    close(run.id)
    assert tasks["trained"](change) == Poked(True, run.id)
    with writing() as session:
        session.get_one(Change, change).state = "rejected"
    with pytest.raises(RuntimeError, match=f"CHG-{change} is rejected: nothing is trained"):
        tasks["trained"](change)


def test_every_call_of_the_example_is_an_operation_of_the_api() -> None:
    """Method and path as they are written, with what they send as the OpenAPI document has it."""
    document = create_api().openapi()
    called = []
    for node in ast.walk(ast.parse(EXAMPLE.read_text())):
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("requests.get", "requests.post")):
            continue
        path = re.sub(r"^f'\{API\}|'$", "", ast.unparse(node.args[0]))
        path = next(
            one
            for one in document["paths"]
            if re.sub(r"\{\w+\}", "{}", one) == re.sub(r"\{\w+\}", "{}", path)
        )
        called.append((ast.unparse(node.func).removeprefix("requests."), path))
    assert sorted(called) == [
        ("get", "/changes/{change_id}"),
        ("get", "/retraining"),
        ("post", "/retraining"),
    ]
    assert all(method in document["paths"][path] for method, path in called)
    wanted = document["components"]["schemas"]["RetrainingRequest"]
    body = next(
        node.value for node in ast.walk(ast.parse(EXAMPLE.read_text()))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "body"
    )  # fmt: skip
    assert isinstance(body, ast.Dict)
    given = {ast.literal_eval(key) for key in body.keys if key is not None}
    assert set(wanted["required"]) <= given <= set(wanted["properties"])
