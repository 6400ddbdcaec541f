"""The file that says who is told of which incidents, and how: channels, routes, rotas (`WARRANT_CONTACTS`).

    channels:
      pager: {kind: pagerduty, key: {env: PD_KEY}, token: {file: /run/secrets/pd}}
      team:  {kind: slack, token: {env: SLACK_TOKEN}, channel: C0123456789}
      mail:  {kind: apprise, url: {env: MAIL_URL}}
    routes:
      - name: serious
        when: {severity: [SEV-1, SEV-2], tier: [high]}
        to: [team]
        then: [{after_min: 10, to: [pager]}]
      - name: nights
        when: {hours: {from: "20:00", to: "08:00", zone: Europe/Berlin}}
        to: [mail]
    rotas:
      primary: {ics: /etc/warrant/primary.ics, route: serious}
    reminders:
      - when: {tier: [high]}
        to: [team]

Every route that fits tells its channels. `then` are the steps of an escalation: they are told while nobody has
acknowledged. `reminders` are of changes that wait for a decision. Secrets come from the environment or from files,
never from this one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend.errors import BadInput
from backend.governance.yaml_places import line_of
from backend.governance.yaml_text import read_yaml
from backend.notifications.channels import KINDS
from backend.notifications.channels.base import Channel
from backend.notifications.messages import SEVERITIES
from backend.settings import settings

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9 _-]{0,39}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Hours(_Part):
    """A part of the day in a zone. One that ends before it begins lasts over midnight. `days`: on which it begins."""

    start: str = Field("00:00", alias="from", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")
    end: str = Field("24:00", alias="to", pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = DAYS
    zone: str = "UTC"

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {self.zone!r}") from error
        return self

    def hold(self, at: datetime) -> bool:
        """Whether this instant lies in them, by the clock on the wall there."""
        there = at.astimezone(ZoneInfo(self.zone))
        now, start = there.time().replace(tzinfo=None), time.fromisoformat(self.start)
        today, yesterday = DAYS[there.weekday()] in self.days, DAYS[(there.weekday() - 1) % 7] in self.days
        if self.end == "24:00":
            return today and now >= start
        end = time.fromisoformat(self.end)
        if start < end:
            return today and start <= now < end
        return (today and now >= start) or (yesterday and now < end)


class Which(_Part):
    """Of what it is; what is left out is not asked. Models and teams may hold `*`."""

    tier: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    team: tuple[str, ...] = ()


class When(Which):
    """What an incident must be like."""

    severity: tuple[Literal["SEV-1", "SEV-2", "SEV-3", "SEV-4"], ...] = ()
    hours: Hours | None = None


class Step(_Part):
    after_min: int = Field(ge=1, le=24 * 60)
    to: tuple[str, ...] = Field(min_length=1)


class Route(_Part):
    name: Name
    when: When = When()
    to: tuple[str, ...] = Field(min_length=1)
    then: tuple[Step, ...] = ()


class Reminder(_Part):
    """Whom a change that waits for a decision is told to, when those who can still decide are reminded of it."""

    when: Which = Which()
    to: tuple[str, ...] = Field(min_length=1)


class Shift(Hours):
    """Somebody who is on call in these hours, and the channel by which they are told."""

    who: str = Field(min_length=1, max_length=100, pattern=r"\S")
    channel: str


class Rota(_Part):
    """ics     a calendar file or address, as PagerDuty and Google export it; an event's title is who is on call
    shifts  instead of it: who is on call when; whoever is, is told of what the rota answers
    route   whose incidents this rota answers; none: all"""

    ics: str = ""
    shifts: tuple[Shift, ...] = ()
    route: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if bool(self.ics) == bool(self.shifts):
            raise ValueError("a rota has either a calendar (`ics`) or `shifts`")
        return self


class Contacts(_Part):
    channels: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    rotas: dict[Name, Rota] = Field(default_factory=dict)
    reminders: tuple[Reminder, ...] = ()


@dataclass(frozen=True)
class About:
    """What routes ask of an incident."""

    severity: int
    tier: str
    model: str
    environment: str
    team: str
    acknowledged: bool
    begun: Mapping[str, datetime]  # when each route first fitted it


@dataclass(frozen=True)
class Reached:
    """A channel that an incident is to be told to: by which route, and by which step of its escalation (0: at once)."""

    channel: str
    route: str
    step: int


def fits(route: Route, about: About, now: datetime) -> bool:
    """Whether a route begins now, where it has not."""
    when = route.when
    return (
        (not when.severity or SEVERITIES[about.severity - 1] in when.severity)
        and _fits_what_lasts(when, about)
        and (when.hours is None or when.hours.hold(now))
    )


def goes_on(route: Route, about: About) -> bool:
    """Whether a route that began goes on: its hours may end and the incident may grow graver, and its steps are still
    taken. One that grew milder than the route asks for ends it."""
    asked = route.when.severity
    mildest = max((SEVERITIES.index(one) + 1 for one in asked), default=len(SEVERITIES))
    return about.severity <= mildest and _fits_what_lasts(route.when, about)


def reminded(contacts: Contacts, about: About) -> list[str]:
    """The channels that a change is told to when it has waited for long, each once, in the order of the file."""
    fitting = (one.to for one in contacts.reminders if _fits_what_lasts(one.when, about))
    return list(dict.fromkeys(name for names in fitting for name in names))


def _fits_what_lasts(when: Which, about: About) -> bool:
    return (
        (not when.tier or about.tier in when.tier)
        and matches(when.model, about.model)
        and (not when.environment or about.environment in when.environment)
        and matches(when.team, about.team)
    )


def matches(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(fnmatchcase(value.casefold(), one.casefold()) for one in patterns)


def reached(contacts: Contacts, about: About, now: datetime) -> list[Reached]:
    """Every channel that is to be told of an incident now, each once, by the first route and step that reaches it.

    The steps of a route count from when it began; one that fits and has not begun begins now. With a route go the
    shifts of the rotas that answer it.
    """
    found: dict[str, Reached] = {}
    going: set[str] = set()
    for route in contacts.routes:
        began = about.begun.get(route.name)
        if not (fits(route, about, now) or (began is not None and goes_on(route, about))):
            continue
        waited = now - (began or now)
        steps = [(0, route.to)]
        if not about.acknowledged:
            steps += [
                (number, step.to)
                for number, step in enumerate(route.then, start=1)
                if waited >= timedelta(minutes=step.after_min)
            ]
        for number, names in steps:
            for name in names:
                found.setdefault(name, Reached(name, route.name, number))
        going.add(route.name)
    for name, rota in contacts.rotas.items():
        if rota.route is None or rota.route in going:
            for shift in rota.shifts:
                if shift.hold(now):
                    found.setdefault(shift.channel, Reached(shift.channel, name, 0))
    return list(found.values())


def beginning(contacts: Contacts, about: About, now: datetime) -> list[str]:
    """The routes that fit an incident for the first time."""
    return [one.name for one in contacts.routes if one.name not in about.begun and fits(one, about, now)]


def contacts_path() -> Path | None:
    return settings().contacts


def current_contacts() -> Contacts:
    """The contacts of this home; none where `WARRANT_CONTACTS` is not set. Raises `BadInput` with file and line."""
    path = contacts_path()
    if path is None:
        return Contacts()
    try:
        stamp = path.stat()
        return _read(path, stamp.st_mtime_ns, stamp.st_size)
    except OSError as error:
        raise BadInput(f"WARRANT_CONTACTS: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"WARRANT_CONTACTS: {path} is no text in UTF-8 (byte {error.start})") from error


def contacts_stamp(contacts: Contacts) -> tuple[object, ...]:
    """Changes when the file of the contacts does, or one that holds a secret of theirs."""
    path = contacts_path()
    files = [path] if path is not None else []
    files += [
        Path(value["file"])
        for values in contacts.channels.values()
        for value in values.values()
        if isinstance(value, dict) and "file" in value
    ]
    return tuple((str(one), one.stat().st_mtime_ns) for one in files if one.exists())


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int) -> Contacts:
    return parse_contacts(path.read_text(encoding="utf-8"), name=path.name)


def parse_contacts(text: str, *, name: str = "contacts") -> Contacts:
    """Contacts from YAML. Raises `BadInput` that says the line and what is wrong there; nothing is sent anywhere."""
    try:
        document = read_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise BadInput(f"{name}{line}: {getattr(error, 'problem', None) or error}") from error
    try:
        contacts = Contacts.model_validate(document or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path: list[object] = [part for part in first["loc"] if part != "[key]"]
        said = str(first["msg"]).removeprefix("Value error, ")
        raise BadInput(f"{name}:{line_of(text, path)}: {'.'.join(map(str, path))}: {said}") from error
    for path, problem in _problems(contacts):
        raise BadInput(f"{name}:{line_of(text, path)}: {problem}")
    return contacts


def _problems(contacts: Contacts) -> list[tuple[list[object], str]]:
    """What no type can say: kinds, values of channels, and names that lead nowhere."""
    found: list[tuple[list[object], str]] = []
    for name, values in contacts.channels.items():
        found += [(["channels", name, *path], said) for path, said in _channel_problems(name, values)]
    routes = [route.name for route in contacts.routes]
    for number, route in enumerate(contacts.routes):
        if routes.index(route.name) != number:
            found.append((["routes", number, "name"], f"two routes are called {route.name!r}"))
        for step, names in [(None, route.to), *((index, one.to) for index, one in enumerate(route.then))]:
            place: list[object] = ["routes", number, *(["to"] if step is None else ["then", step, "to"])]
            found += [
                (place, f"route {route.name!r} leads to {one!r}, which is no channel")
                for one in names
                if one not in contacts.channels
            ]
    for number, reminder in enumerate(contacts.reminders):
        for one in reminder.to:
            kind = KINDS.get(str(contacts.channels.get(one, {}).get("kind")))
            if kind is not None and kind.reminds:
                continue
            said = f"{kind.title} wakes people up, and a change can wait" if kind else "which is no channel"
            found.append((["reminders", number, "to"], f"a reminder leads to {one!r}: {said}"))
    found += [
        (["rotas", name, "route"], f"rota {name!r} answers route {rota.route!r}, which is none")
        for name, rota in contacts.rotas.items()
        if rota.route is not None and rota.route not in routes
    ]
    found += [
        (["rotas", name, "shifts", number], f"{shift.who} is told by {shift.channel!r}, which is no channel")
        for name, rota in contacts.rotas.items()
        for number, shift in enumerate(rota.shifts)
        if shift.channel not in contacts.channels
    ]
    return found


def _channel_problems(name: str, values: dict[str, Any]) -> list[tuple[list[object], str]]:
    kind = KINDS.get(str(values.get("kind")))
    if kind is None:
        return [
            (["kind"], f"channel {name!r}: kind is one of {', '.join(KINDS)}, not {values.get('kind')!r}")
        ]
    found: list[tuple[list[object], str]] = []
    for key, value in values.items():
        if key == "kind":
            continue
        if key in kind.secrets:
            if not (isinstance(value, dict) and len(value) == 1 and set(value) <= {"env", "file"}):
                found.append(
                    ([key], f"channel {name!r}: {key} is a secret; write {{env: VARIABLE}} or {{file: PATH}}")
                )
        elif key not in kind.plain:
            allowed = ", ".join(sorted(kind.secrets | kind.plain))
            found.append(([key], f"channel {name!r} has no {key!r}; {values['kind']} knows {allowed}"))
        elif not isinstance(value, str):
            found.append(([key], f"channel {name!r}: {key} is a text"))
    missing = kind.needed - set(values)
    if missing:
        found.append(([], f"channel {name!r} ({values['kind']}) needs {', '.join(sorted(missing))}"))
    return found


def open_channel(contacts: Contacts, name: str) -> Channel:
    """The channel of this name, with its secrets. Raises `BadInput` where one is not there."""
    values = dict(contacts.channels[name])
    kind = KINDS[values.pop("kind")]
    given = {
        key: _secret(name, key, value) if key in kind.secrets else value for key, value in values.items()
    }
    channel: Channel = kind.make(**given)
    return channel


def _secret(channel: str, key: str, source: dict[str, str]) -> str:
    ((where, what),) = source.items()
    if where == "env":
        value = os.environ.get(what, "")
    else:
        try:
            value = Path(what).read_text(encoding="utf-8")
        except OSError as error:
            raise BadInput(
                f"channel {channel!r}: {what} with its {key} cannot be read ({error.strerror})"
            ) from error
    if not value.strip():
        raise BadInput(f"channel {channel!r}: its {key} is empty; {where} {what} holds none")
    return value.strip()
