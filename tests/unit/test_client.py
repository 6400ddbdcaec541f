"""The Python client: as the OpenAPI document says, typed, patient where that helps, and plain about refusals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from warrant_client import BadInput, NotFound, NotReached, Problem, TooMany, Warrant, WarrantError

from backend.api.app import create_api
from tests.client_source import CURSORS, LISTS, MODULE, ROOT, source

DOCUMENT = create_api().openapi()
Answer = Callable[[httpx.Request], httpx.Response]


def client(answer: Answer, slept: list[float] | None = None) -> Warrant:
    sleep = (slept if slept is not None else []).append
    return Warrant("http://console.example", "wrt_x", transport=httpx.MockTransport(answer), sleep=sleep)


def test_the_operations_are_those_of_the_document() -> None:
    assert MODULE.read_text() == source(DOCUMENT), "run `python -m tests.client_source`"


def test_every_listing_with_a_cursor_can_be_iterated() -> None:
    told = {
        path
        for path, methods in DOCUMENT["paths"].items()
        if "`next`" in methods.get("get", {}).get("description", "")
        or (
            {"limit"} <= (names := {one["name"] for one in methods.get("get", {}).get("parameters", [])})
            and names & set(CURSORS)
        )
    }
    assert told == set(LISTS)


@pytest.mark.slow
def test_the_package_is_typed_strictly() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "-p", "warrant_client"]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "client")}
    done = subprocess.run(
        command, cwd=ROOT / "client", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_429_and_503_are_tried_again_after_what_the_console_says_under_one_key() -> None:
    seen: list[httpx.Request] = []
    slept: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) == 1:
            return httpx.Response(
                429, headers={"Retry-After": "7"}, json={"title": "Too many", "detail": "wait"}
            )
        if len(seen) == 2:
            raise httpx.ConnectError("gone", request=request)
        return httpx.Response(201, json={"id": 3})

    assert client(answer, slept).changes.ask({"kind": "rollback", "reason": "so", "digest": "d"}) == {"id": 3}
    assert slept[0] == 7.0
    assert 0 < slept[1] <= 2
    assert len({one.headers["Idempotency-Key"] for one in seen}) == 1
    assert seen[0].headers["Authorization"] == "Bearer wrt_x"


def test_it_gives_up_after_its_tries() -> None:
    slept: list[float] = []
    with pytest.raises(TooMany, match="Too many: wait"):
        client(
            lambda _: httpx.Response(429, json={"title": "Too many", "detail": "wait"}), slept
        ).people.people()
    assert len(slept) == 4

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(NotReached, match="ReadTimeout"):
        client(refuse).people.people()


def test_a_refusal_is_the_problem_document() -> None:
    document = {
        "title": "Bad input",
        "detail": "row 2: no score",
        "status": 422,
        "row": 2,
        "request_id": "req_1",
    }
    with pytest.raises(BadInput) as refused:
        client(lambda _: httpx.Response(422, json=document)).models.models()
    assert (refused.value.members["row"], refused.value.request_id) == (2, "req_1")
    with pytest.raises(NotFound, match="HTTP 404: <html>"):
        client(lambda _: httpx.Response(404, text="<html>")).models.models()
    with pytest.raises(Problem) as other:
        client(lambda _: httpx.Response(418, json=["tea"])).models.models()
    assert other.value.status == 418


def test_pages_follow_next_and_addresses_are_quoted() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        before = request.url.params.get("before")
        page: dict[str, Any] = (
            {"changes": [{"id": 2}], "next": 2} if before is None else {"changes": [{"id": 1}], "next": None}
        )
        return httpx.Response(200, content=json.dumps(page))

    one = client(answer)
    found = list(one.changes.changes_pages(state=["waiting", "draft"], model="a b"))
    assert [each["id"] for each in found] == [2, 1]
    assert "state=waiting&state=draft" in asked[0]
    assert "before" not in asked[0]
    assert asked[1].endswith("before=2")
    with pytest.raises(KeyError):
        one.models.model_detail("../a/b")["none"]
    assert "/models/..%2Fa%2Fb" in asked[2]


def test_the_token_comes_from_the_environment_or_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARRANT_TOKEN", raising=False)
    with pytest.raises(WarrantError, match="Account page"):
        Warrant("http://console.example")
    monkeypatch.setenv("WARRANT_TOKEN", "wrt_y")
    with Warrant("http://console.example") as one:
        assert one.send is not None
