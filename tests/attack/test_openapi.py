"""Every route of the OpenAPI document, asked by every role what no test thought of.

Requests that fit the document and requests that do not: none is an error of ours, each refusal is a problem document,
and no answer tells of our insides. Half of them name what is there, so that they come further than the first check.
"""

from __future__ import annotations

import json
import re
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core import NotSet

from tests.integration.api.conftest import Callers

WHO = ("viewer", "on_call", "engineer", "lead", "compliance", "admin", "auditor", None)
INSIDES = ("Traceback", "site-packages", "sqlalchemy", "psycopg", "sqlite3.", "backend/", "SELECT ")
KNOWN = {
    "model": "toy",
    "version": 2,
    "environment": "production",
    "change_id": 1,
    "incident_id": 1,
    "number": 1,
}
LINE_ENDS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]|%0[ADad]|%C2%85|%E2%80%A[89]")
PARTS = 4
"""The document is asked in so many parts, so that no test takes all of the time."""


def operations(api: Callers) -> list[Any]:
    schema = schemathesis.openapi.from_dict(api.client.get("/api/v1/openapi.json").json())
    return [one.ok() for one in schema.get_all_operations()]


def send(api: Callers, who: str | None, case: Any, *, named: bool) -> Any:
    places = dict(case.path_parameters or {})
    if named:
        places |= {name: KNOWN[name] for name in places if name in KNOWN}
    # A path with the end of a line in it is no path of the API: whatever stands before it answers.
    case.path_parameters = {
        name: LINE_ENDS.sub("", one) or "x" if isinstance(one, str) else one for name, one in places.items()
    }
    query = {
        name: [str(one) for one in value] if isinstance(value, list) else str(value)
        for name, value in (case.query or {}).items()
        if value is not None
    }
    has_body = not isinstance(case.body, NotSet)
    body: Any = case.body
    if has_body and not isinstance(body, bytes):
        body = json.dumps(body).encode("utf-8", "surrogatepass")
    headers = {"Content-Type": case.media_type} if has_body and case.media_type else {}
    return api.send(
        who, case.method.upper(), case.formatted_path, params=query or None, headers=headers,
        content=body if has_body else None,
    )  # fmt: skip


def ask(
    api: Callers, operation: Any, examples: int, mode: GenerationMode, roles: tuple[str | None, ...]
) -> None:
    asked = 0

    @seed(20261123)
    @settings(
        max_examples=examples, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case: Any) -> None:
        nonlocal asked
        for who in roles:
            asked += 1
            answer = send(api, who, case, named=asked % 2 == 0)
            told = f"{who} {case.method} {answer.request.url}: {answer.status_code} {answer.text[:600]}"
            assert answer.status_code < 500, told
            if answer.status_code >= 400 and answer.headers.get("content-type") != "application/problem+json":
                raise AssertionError(f"no problem document: {told}")
            if answer.status_code >= 400:
                assert not [word for word in INSIDES if word in answer.text], told
                assert answer.json()["status"] == answer.status_code, told

    # Nothing is wrong by the document for a route that takes nothing.
    with suppress(Unsatisfiable) if mode is GenerationMode.NEGATIVE else nullcontext():
        each()


@pytest.mark.parametrize("part", range(PARTS))
def test_no_route_answers_any_request_with_an_error_of_ours(api: Callers, part: int) -> None:
    """Each route is asked once as two roles in turn; the slow test asks as all of them, and more often."""
    for number, operation in enumerate(operations(api)):
        if number % PARTS == part:
            mode = list(GenerationMode)[number // PARTS % 2]
            ask(api, operation, 1, mode, ("lead", WHO[number // PARTS % len(WHO)]))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_role_may_ask_every_route_anything(api: Callers, mode: GenerationMode) -> None:
    for operation in operations(api):
        ask(api, operation, 3, mode, WHO)
