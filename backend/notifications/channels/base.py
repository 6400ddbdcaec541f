"""What every channel can do, and how it asks the other side: time-outs, plain errors, no secret in any message."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import urlsplit

import httpx

from backend import outgoing
from backend.errors import BadInput
from backend.notifications.messages import Message, Told
from backend.signed_http import LONGEST_ANSWER, NotAnswered, NotTaken, OutcomeUnknown

TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Receipt:
    """What the other side answered: its name for what it took, and a word for people."""

    ref: str
    said: str


@dataclass(frozen=True)
class Heard:
    """What the other side says of an incident now.

    state  one of `messages.STATES`
    by     its name for who did that
    act    tells this very act from a later one of the same kind; the same act is heard once
    is_timed  no person did it: the other side ends by the clock what nobody looked at
    """

    state: str
    by: str = ""
    act: str = ""
    is_timed: bool = False


class Channel(Protocol):
    """One way to tell people.

    changes  a second message changes the first; otherwise only what a person must know is sent again
    refresh  the other side forgets what it is not told again after so long; None: it does not
    hears    whether people can acknowledge or resolve there
    """

    kind: ClassVar[str]
    changes: ClassVar[bool]
    refresh: ClassVar[timedelta | None]

    @property
    def hears(self) -> bool: ...

    def tell(self, message: Message, told: Told | None) -> Receipt:
        """Tell of an incident, or of what changed since `told`. Saying the same twice has the effect of saying it once.

        Raises `NotAnswered` (try again) or `NotTaken` (do not).
        """
        ...

    def hear(self, key: str, ref: str) -> Heard | None:
        """What people did there; None where the other side knows nothing of it. Raises like `tell`."""
        ...


def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    params: Mapping[str, str] | None = None,
    missing: bool = False,
    quotes: bool = True,
) -> Any:
    """One request; gives the JSON of its answer, None for none, and for 404 where `missing` is an answer.

    Raises `NotAnswered` where it may help to try again (no connection, time-out, 408, 425, 429, 5xx), `OutcomeUnknown`
    where the other side may have taken it, `NotTaken` for every other refusal. Messages name the host alone: addresses
    and bodies can hold secrets. `quotes`: whether they repeat what the other side says is wrong; not where the address
    is a secret, which it may say.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    try:
        answer = _answer(method, url, dict(headers or {}), body, params)
    except outgoing.NotReachable as error:
        raise NotTaken(f"it is not sent: {error}") from error
    except httpx.ConnectError as error:
        raise NotAnswered(f"{host} cannot be reached") from error
    except httpx.TimeoutException as error:
        raise OutcomeUnknown(f"{host} did not answer within {TIMEOUT_S:g} s") from error
    except httpx.HTTPError as error:
        raise OutcomeUnknown(f"the connection to {host} broke ({type(error).__name__})") from error
    if missing and answer.status_code == 404:
        return None
    if answer.status_code >= 500 and method != "GET":
        raise OutcomeUnknown(f"{host} answered {answer.status_code}", retry_after_s=_retry_after(answer))
    if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
        raise NotAnswered(f"{host} answered {answer.status_code}", retry_after_s=_retry_after(answer))
    if answer.status_code >= 300:
        said = _reason(answer) if quotes else ""
        raise NotTaken(f"{host} refused: {answer.status_code} {said}".strip())
    try:
        return answer.json() if answer.content else None
    except ValueError:
        return None


def _answer(
    method: str, url: str, headers: dict[str, str], body: Any, params: Mapping[str, str] | None
) -> httpx.Response:
    content = b""
    with outgoing.stream(method, url, headers=headers, json=body, params=params, timeout=TIMEOUT_S) as answer:
        for part in answer.iter_bytes():
            content += part
            if len(content) > LONGEST_ANSWER:
                raise NotTaken(f"{urlsplit(url).hostname} answered more than {LONGEST_ANSWER} bytes")
        kept = {"Retry-After": answer.headers["Retry-After"]} if "Retry-After" in answer.headers else {}
        return httpx.Response(answer.status_code, headers=kept, content=content, request=answer.request)


def _retry_after(answer: httpx.Response) -> float | None:
    said = answer.headers.get("Retry-After", "")
    return float(said) if said.isdigit() else None


def _reason(answer: httpx.Response) -> str:
    """What a JSON answer says is wrong, in a few words; nothing of any other answer."""
    try:
        said = answer.json()
    except ValueError:
        return ""
    parts = [said.get(key) for key in ("message", "error", "errors")] if isinstance(said, dict) else []
    return "; ".join(str(part)[:200] for part in parts if part)


def web_address(value: str, what: str) -> str:
    """A web address without its last slash. Raises `BadInput`."""
    if urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname:
        raise BadInput(f"{what}: an address begins with https:// or http://")
    return value.rstrip("/")
