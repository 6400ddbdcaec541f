"""Whoever has to wait for a provider or an issuer waits apart from others, not without end, and not twice for one."""

from __future__ import annotations

import asyncio
import threading

import pytest
from fastapi import Request, Response

from backend.api.provider_threads import ProviderThreads
from backend.identity import job_tokens


def test_more_than_may_wait_are_told_to_come_again() -> None:
    answers, threads = threading.Event(), ProviderThreads(at_once=1, most_waiting=2)

    @threads
    def ask(request: Request) -> Response:
        assert answers.wait(30)
        return Response()

    async def run() -> list[int]:
        request = Request({"type": "http", "headers": []})
        asked = [asyncio.ensure_future(ask(request=request)) for _ in range(5)]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert done <= set(asked[3:])
        answers.set()
        return [one.status_code for one in await asyncio.gather(*asked)]

    assert asyncio.run(run()) == [200, 200, 200, 503, 503]


def test_an_issuer_that_is_away_is_not_asked_for_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, now = [], [1000.0]

    def away(issuer: str) -> dict[str, object]:
        asked.append(issuer)
        raise job_tokens.IssuerAway("it is away")

    monkeypatch.setattr(job_tokens, "_ask_for_keys", away)
    monkeypatch.setattr(job_tokens.time, "monotonic", lambda: now[0])
    keys = job_tokens._Keys()
    for issuer in ("one", "one", "another"):
        with pytest.raises(job_tokens.IssuerAway, match="it is away"):
            keys.of(issuer)
    assert asked == ["one", "another"]
    now[0] += job_tokens.AWAY_KEPT_S
    with pytest.raises(job_tokens.IssuerAway):
        keys.of("one")
    assert asked == ["one", "another", "one"]
