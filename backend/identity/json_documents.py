"""One JSON object from an address, all of it within a deadline: metadata, keys and userinfo of whoever signs people or
jobs on."""

from __future__ import annotations

import json
from typing import Any, Final

import httpx

from backend import outgoing
from backend.deadlines import deadline

DEADLINE_S: Final = 10.0
LONGEST: Final = 1 << 20


class NoDocument(Exception):
    """What came instead, in words that follow the address."""


def fetch_json(url: str, *, is_ours: bool, bearer: str | None = None) -> dict[str, Any]:
    """The object at an address. Redirects are not followed.

    `is_ours`: the installation's settings name the address, in whatever network; else it is reached only as
    `backend.outgoing` allows. Raises `NoDocument`, and `outgoing.NotReachable`.
    """
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    try:
        client = httpx.Client(timeout=DEADLINE_S) if is_ours else outgoing.client(url, timeout=DEADLINE_S)
        answer = _whole(client, "GET", url, headers=headers)
        if not answer.is_success:
            raise NoDocument(f"answered with {answer.status_code}")
        document = json.loads(answer.content)
    except outgoing.NotReachable:
        raise
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        raise NoDocument(f"did not answer as it should ({type(error).__name__})") from error
    if not isinstance(document, dict):
        raise NoDocument("is not a JSON object")
    return document


def post_form(url: str, body: str, *, headers: dict[str, str]) -> httpx.Response:
    """What an address of the settings answers to a form, whatever its status. Redirects are not followed.

    Raises `NoDocument` where it is too long, and `httpx.HTTPError`.
    """
    try:
        return _whole(httpx.Client(timeout=DEADLINE_S), "POST", url, headers=headers, content=body)
    except (httpx.InvalidURL, OSError) as error:
        raise NoDocument(f"did not answer as it should ({type(error).__name__})") from error


def _whole(
    client: httpx.Client, method: str, url: str, *, headers: dict[str, str], content: str | None = None
) -> httpx.Response:
    with (
        client,
        deadline(DEADLINE_S) as limit,
        client.stream(
            method,
            url,
            headers=headers,
            content=content,
            follow_redirects=False,
            extensions={"trace": limit.trace},
        ) as answer,
    ):
        return httpx.Response(answer.status_code, content=_body(answer), request=answer.request)


def _body(answer: httpx.Response) -> bytes:
    body = bytearray()
    for part in answer.iter_bytes():
        body += part
        if len(body) > LONGEST:
            raise NoDocument(f"is longer than {LONGEST >> 20} MiB")
    return bytes(body)
