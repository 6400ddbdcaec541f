"""`warrant team`: people with roles for some models, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer(no_args_is_help=True, help="Teams: roles that hold for some models alone.")
TeamId = Annotated[str, typer.Argument(help="its id, as `warrant team list` shows it")]


@commands.command("list")
@refuse_plainly
def team_list(token: Token = "", as_json: Json = False) -> None:
    """The teams that you may know of, with members and models."""
    from backend.commands.client import Api

    found = Api(token).every("/teams", "teams")
    if as_json:
        write_json(found)
        return
    for one in found["teams"]:
        say(f"{one['id']}  {one['name']}: {', '.join(one['models']) or 'no model'}")
        for each in one["members"]:
            say(f"  {each['name']} ({each['person']}): {', '.join(each['roles'])}")
    if not found["teams"]:
        say("there is no team that you may know of")


@commands.command("make")
@refuse_plainly
def team_make(name: str, token: Token = "", as_json: Json = False) -> None:
    """Make a team without members and models."""
    _post(token, "/teams", {"name": name}, as_json, "made {id}: {name}")


@commands.command("rename")
@refuse_plainly
def team_rename(team: TeamId, name: str, token: Token = "", as_json: Json = False) -> None:
    """Give a team another name."""
    _post(token, f"/teams/{team}/name", {"name": name}, as_json, "{id} is {name} now")


@commands.command("member")
@refuse_plainly
def team_member(
    team: TeamId,
    person: Annotated[str, typer.Argument(help="the id of a person")],
    role: Annotated[
        list[str] | None, typer.Option(help="in this team; can be repeated; none: out of it")
    ] = None,
    why: Annotated[str, typer.Option(help="others will read it")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Replace somebody's roles in a team."""
    body = {"roles": role or [], "why": why}
    _post(token, f"/teams/{team}/members/{person}", body, as_json, "{person} in {team}: {roles}")


@commands.command("move")
@refuse_plainly
def team_move(
    model: str,
    why: Annotated[str, typer.Option(help="others will read it")],
    to: Annotated[str, typer.Option(help="the id of the team; empty: of none")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Give a model to a team, or to none."""
    _post(
        token,
        f"/models/{model}/team",
        {"team": to or None, "why": why},
        as_json,
        "{model} belongs to {team} now",
    )


def _post(token: str, path: str, body: dict[str, Any], as_json: bool, words: str) -> None:
    from backend.commands.client import Api

    made = Api(token).post(path, body)
    if as_json:
        write_json(made)
        return
    shown = {name: ", ".join(value) if isinstance(value, list) else value for name, value in made.items()}
    say(words.format(**{name: "nothing" if value in ("", None) else value for name, value in shown.items()}))
