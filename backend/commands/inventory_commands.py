"""`warrant inventory`: models, findings and exceptions, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer(no_args_is_help=True, help="Models with what people vouch for, and what is due.")


@commands.command("list")
@refuse_plainly
def inventory_list(
    text: Annotated[str, typer.Option(help="part of name, title, purpose or vendor")] = "",
    tier: Annotated[list[str] | None, typer.Option(help="only of this tier; can be repeated")] = None,
    team: Annotated[str, typer.Option(help="only of this team, by its name")] = "",
    needing: Annotated[bool, typer.Option("--needing", help="only those with something overdue")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List every model, the most urgent first. Exit 1 where one of them has something overdue."""
    from backend.commands.client import Api

    found = Api(token).every("/inventory", "models", text=text, tier=tier, team=team, needing=needing)
    models = found["models"]
    if as_json:
        write_json({"models": models, "known": found["known"], "needing": found["needing"]})
    else:
        for one in models:
            due = "; ".join(one["due"]) or "nothing is due"
            say(f"{one['model']:<28} {one['tier']:<10} {one['owner'] or 'no owner':<20} {due}")
    if any(one["level"] in ("page", "attention") for one in models):
        raise typer.Exit(1)


@commands.command("data-owner")
@refuse_plainly
def inventory_data_owner(
    model: str,
    version: Annotated[int, typer.Argument(min=1)],
    why: Annotated[str, typer.Option(help="how you know; others will read it")],
    username: Annotated[str, typer.Option("--owner", help="a user name; empty: nobody here")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Declare whose the training data of a version are. What people decide on about that version is void."""
    from urllib.parse import quote

    from backend.commands.client import Api

    path = f"/models/{quote(model, safe='')}/versions/{version}/data-owner"
    found = Api(token).post(path, {"username": username, "why": why})
    if as_json:
        write_json(found)
    else:
        say(f"the training data of {model} v{version} are {found['data_owner'] or 'nobody'}'s")


@commands.command("findings")
@refuse_plainly
def inventory_findings(
    model: Annotated[str, typer.Option(help="only of this model")] = "",
    overdue: Annotated[bool, typer.Option("--overdue", help="only those whose day is over")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List the findings that are not closed. Exit 1 where one is overdue."""
    from backend.commands.client import Api

    api, findings, before = Api(token), [], None
    while True:
        found = api.get("/findings", model=model or None, overdue=overdue, before=before, limit=500)
        findings += found["findings"]
        before = found["next"]
        if before is None:
            break
    if as_json:
        write_json({"findings": findings})
    else:
        for one in findings:
            late = "OVERDUE " if one["overdue"] else ""
            say(
                f"{one['ref']:<9} {one['severity']:<7} {one['model'] or '-':<24} {late}due {one['due_at'][:10]}  "
                f"{one['owner']}: {one['title']}"
            )
    if any(one["overdue"] for one in findings):
        raise typer.Exit(1)
