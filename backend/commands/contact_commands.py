"""`warrant contacts`: who is told of incidents, and whether that works, asked of the file and of the other side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

if TYPE_CHECKING:
    from backend.notifications.contacts import Contacts, Route

commands = typer.Typer(no_args_is_help=True, help="Who is told of incidents, and how.")
File = Annotated[Path | None, typer.Argument(help="the file; default: WARRANT_CONTACTS")]


@commands.command("check")
@refuse_plainly
def contacts_check(file: File = None, as_json: Json = False) -> None:
    """Say whether the file can be read and every secret of it is there. Nothing is sent. A mistake ends with 2."""
    from backend.notifications.contacts import open_channel

    name, contacts = _read(file)
    for channel in contacts.channels:
        open_channel(contacts, channel)
    reminders = {name for one in contacts.reminders for name in one.to}
    unreached = [
        one
        for one in contacts.channels
        if one not in reminders and not any(one in _of(route) for route in contacts.routes)
    ]
    if as_json:
        write_json({
            "file": name, "channels": list(contacts.channels), "routes": [route.name for route in contacts.routes],
            "rotas": list(contacts.rotas), "reminders": len(contacts.reminders), "unreached": unreached,
        })  # fmt: skip
        return
    say(f"{name} can be read: {len(contacts.channels)} channels, {len(contacts.routes)} routes")
    for one in unreached:
        say(f"no route leads to {one}: it is told of nothing")
    if not contacts.routes:
        say("there is no route: nobody is told of any incident")
    if not contacts.reminders:
        say("there is no reminder: nobody is told of changes that wait for a decision")


@commands.command("test")
@refuse_plainly
def contacts_test(
    channel: Annotated[str, typer.Argument(help="its name in the file")],
    file: File = None,
    as_json: Json = False,
) -> None:
    """Tell one channel of an incident that is none, then that it is over: does it get through?"""
    from backend.errors import NotFound
    from backend.notifications.contacts import open_channel
    from backend.notifications.trying import try_channel

    name, contacts = _read(file)
    if channel not in contacts.channels:
        raise NotFound(f"{name} has no channel {channel!r}; it has {', '.join(contacts.channels) or 'none'}")
    tried = try_channel(open_channel(contacts, channel))
    if as_json:
        write_json({"channel": channel, "told": tried.told, "resolved": tried.resolved})
        return
    say(f"{channel} was told ({tried.told}) and told that it is over ({tried.resolved})")


@commands.command("on-call")
@refuse_plainly
def contacts_on_call(file: File = None, as_json: Json = False) -> None:
    """Say who is on call now, by every rota."""
    from dataclasses import asdict

    from backend import clock
    from backend.notifications.rotas import fetch_calendars, on_call

    _, contacts = _read(file)
    for problem in fetch_calendars(contacts, clock.now()):
        say(problem, error=True)
    found = on_call(contacts, clock.now())
    if as_json:
        write_json([asdict(one) for one in found])
        return
    for one in found:
        who = ", ".join(one.people) or "nobody"
        until = f" until {utc(one.until)}" if one.until else ""
        say(f"{one.rota}: {who}{until}{f' ({one.problem})' if one.problem else ''}")
    if not found:
        say("the contacts name no rota")


@commands.command("export")
@refuse_plainly
def contacts_export(token: Token = "") -> None:
    """Write the shifts that were set in the console as YAML, as `import` takes them."""
    from backend.commands.client import Api
    from backend.governance.yaml_text import write_yaml

    say(write_yaml(Api(token).get("/rotas")["document"]).rstrip())


@commands.command("import")
@refuse_plainly
def contacts_import(
    file: Annotated[Path, typer.Argument(help="`rotas` with their shifts")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Have exactly the shifts of a file."""
    import yaml

    from backend.commands.client import Api
    from backend.errors import BadInput
    from backend.governance.yaml_text import read_yaml

    try:
        document = read_yaml(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    made = Api(token).post("/rotas/import", {"document": document})
    if as_json:
        write_json(made)
    else:
        say(f"{made['shifts']} shifts are set")


def _read(file: Path | None) -> tuple[str, Contacts]:
    from backend.errors import BadInput
    from backend.notifications.contacts import contacts_path, current_contacts, parse_contacts

    path = file or contacts_path()
    if path is None:
        raise BadInput("name a file, or set WARRANT_CONTACTS")
    if file is None:
        return path.name, current_contacts()
    try:
        return path.name, parse_contacts(path.read_text(encoding="utf-8"), name=path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({type(error).__name__})") from error


def _of(route: Route) -> set[str]:
    return {*route.to, *(name for step in route.then for name in step.to)}
