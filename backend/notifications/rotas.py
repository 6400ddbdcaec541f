"""Who is on call, from calendars that other systems keep (`rotas` of the contacts). Nothing is planned here.

A calendar behind an address is fetched by the notifier into WARRANT_HOME, so that no page waits for it; one that
cannot be fetched is used as it last was, and its age is said.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx

from backend import clock, outgoing
from backend.database.session import ReadSession
from backend.durable import write_text
from backend.errors import BadInput, Unavailable
from backend.notifications.calendars import people_at
from backend.notifications.contacts import Contacts, Rota
from backend.settings import settings

FETCH_EVERY: Final = timedelta(minutes=15)
STALE: Final = timedelta(hours=24)
LARGEST: Final = 5 * 1024 * 1024  # bytes
TIMEOUT_S: Final = 10.0
MOST_REDIRECTS: Final = 5


@dataclass(frozen=True)
class OnCall:
    """Who a rota names at a moment. `people` empty: nobody, or `problem` says why it cannot be told."""

    rota: str
    people: tuple[str, ...] = ()
    until: datetime | None = None
    problem: str = ""


def on_call(contacts: Contacts, at: datetime) -> list[OnCall]:
    """Of every rota, in the order of the file."""
    return [
        _on_shift(name, rota, contacts, at) if rota.shifts else _of(name, rota.ics, at)
        for name, rota in contacts.rotas.items()
    ]


def fetch_calendars(contacts: Contacts, now: datetime) -> list[str]:
    """Fetch each calendar behind an address whose copy is older than a quarter of an hour. Returns what went wrong."""
    problems = []
    for name, rota in contacts.rotas.items():
        if not _is_address(rota.ics):  # nor a rota of shifts
            continue
        copy = copy_path(name)
        if copy.exists() and now - datetime.fromtimestamp(copy.stat().st_mtime, UTC) < FETCH_EVERY:
            continue
        try:
            write_text(copy, _fetch(rota.ics))
        except Unavailable as error:
            problems.append(f"rota {name}: {error.message}")
    return problems


def copy_path(name: str) -> Path:
    folder = settings().resolved_home() / "rotas"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.ics"


def _of(name: str, ics: str, at: datetime) -> OnCall:
    path = copy_path(name) if _is_address(ics) else Path(ics)
    try:
        people, until = people_at(path.read_bytes(), at)
    except OSError as error:
        missing = "its calendar was not fetched yet" if _is_address(ics) else f"{path}: {error.strerror}"
        return OnCall(name, problem=missing)
    except BadInput as error:
        return OnCall(name, problem=f"{path.name}: {error.message}")
    problem = ""
    if _is_address(ics):
        age = at - datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if age > STALE:
            problem = f"its calendar was last fetched {age.days} day(s) ago"
    return OnCall(name, people, until, problem)


def _is_address(ics: str) -> bool:
    return ics.startswith(("http://", "https://", "webcal://"))


def _fetch(address: str) -> str:
    """One that comes in drops is cut off as one that does not come, and one that is too large before it is here."""
    url = "https://" + address.removeprefix("webcal://") if address.startswith("webcal://") else address
    ends = time.monotonic() + TIMEOUT_S
    try:
        for _ in range(MOST_REDIRECTS + 1):
            content, onward = _read(url, ends)
            if not onward:
                return content.decode("utf-8", "replace")
            url = onward
    except outgoing.NotReachable as error:
        raise Unavailable(f"the calendar is not fetched: {error}") from error
    except httpx.TimeoutException as error:
        raise Unavailable(f"the calendar did not come within {TIMEOUT_S:g} s") from error
    except httpx.HTTPStatusError as error:
        raise Unavailable(f"the calendar's host answered {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"the calendar cannot be fetched ({type(error).__name__})") from error
    raise Unavailable(f"the calendar's host sent us on more than {MOST_REDIRECTS} times")


def _read(url: str, ends: float) -> tuple[bytes, str]:
    """What an address holds, or where it sends us on: that address is judged as this one was."""
    content = bytearray()
    left_s = max(ends - time.monotonic(), 0.001)
    with outgoing.stream("GET", url, timeout=left_s) as answer:
        if answer.has_redirect_location:
            return b"", str(answer.url.join(answer.headers["Location"]))
        answer.raise_for_status()
        for part in answer.iter_bytes():
            content += part
            if len(content) > LARGEST:
                raise Unavailable(f"the calendar has more than {LARGEST // 1024 // 1024} MB")
    return bytes(content), ""


def _on_shift(name: str, rota: Rota, contacts: Contacts, at: datetime) -> OnCall:
    now = [shift for shift in rota.shifts if shift.hold(at)]
    lost = sorted({shift.channel for shift in now} - contacts.channels.keys())
    problem = f"the contacts have no channel {', '.join(lost)}: nobody is told by it" if lost else ""
    return OnCall(name, tuple(dict.fromkeys(shift.who for shift in now)), None, problem)


def now_on_call(session: ReadSession) -> list[OnCall]:
    """Of the contacts of this home; one line with the problem where these cannot be read."""
    from backend.notifications.shifts import contacts_now

    try:
        return on_call(contacts_now(session), clock.now())
    except BadInput as error:
        return [OnCall("contacts", problem=error.message)]
