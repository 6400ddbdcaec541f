"""`warrant fleet`: many models at once, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer(
    no_args_is_help=True, help="Many models at once: the list, tags, acts on several, saved views."
)
Text = Annotated[str, typer.Option(help="part of name, title or tag")]
Owner = Annotated[list[str] | None, typer.Option(help="user name; - is nobody; can be repeated")]
Tier = Annotated[list[str] | None, typer.Option(help="only of this tier; can be repeated")]
Team = Annotated[list[str] | None, typer.Option(help="name of a team; - is none; can be repeated")]
Tag = Annotated[list[str] | None, typer.Option(help="only with this tag; can be repeated")]
Health = Annotated[list[str] | None, typer.Option(help="page, attention, unknown or ok; can be repeated")]
Place = Annotated[str, typer.Option(help="default: the console's own")]


@commands.command("list")
@refuse_plainly
def fleet_list(
    text: Text = "", owner: Owner = None, tier: Tier = None, team: Team = None, tag: Tag = None, health: Health = None,
    environment: Place = "",
    sort: Annotated[str, typer.Option(help="need, name, tier, owner, team, incidents or since")] = "need",
    token: Token = "", as_json: Json = False,
) -> None:  # fmt: skip
    """List models with how they are, worst first. Exit 1 where one of them needs somebody."""
    from backend.commands.client import Api

    api, models, offset = Api(token), [], 0
    while True:
        found = api.get(
            "/fleet", text=text or None, owner=owner, tier=tier, team=team, tag=tag, health=health,
            environment=environment or None, sort=sort, offset=offset, limit=500,
        )  # fmt: skip
        models += found["models"]
        if found["next"] is None:
            break
        offset = found["next"]
    if as_json:
        write_json({"models": models, "known": found["known"], "levels": found["levels"]})
    else:
        for one in models:
            serves = f"v{one['version']}" if one["version"] else "-"
            say(
                f"{one['model']:<28} {one['level']:<10} {serves:<5} {one['owner'] or 'no owner':<20} {one['because']}"
            )
        say(f"{len(models)} of {found['known']} models")
    if any(one["level"] in ("page", "attention") for one in models):
        raise typer.Exit(1)


@commands.command("tag")
@refuse_plainly
def fleet_tag(
    model: str,
    add: Annotated[list[str] | None, typer.Option(help="a tag to put on; can be repeated")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="a tag to take off; can be repeated")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Put tags on a model and take others off."""
    from urllib.parse import quote

    from backend.commands.client import Api

    path = f"/models/{quote(model, safe='')}/tags"
    found = Api(token).post(path, {"add": add or [], "remove": remove or []})
    if as_json:
        write_json(found)
    else:
        say(f"{model}: {', '.join(found['tags']) or 'no tag'}")


@commands.command("act")
@refuse_plainly
def fleet_act(
    act: Annotated[str, typer.Argument(help="silence, owner, tag, policy or enforce")],
    models: Annotated[list[str], typer.Argument(help="names of models")],
    why: Annotated[str, typer.Option(help="others will read it at each model")] = "",
    hours: Annotated[int | None, typer.Option(help="silence: for how long")] = None,
    until_worse: Annotated[bool, typer.Option("--until-worse", help="silence: until it gets worse")] = False,
    owner: Annotated[str, typer.Option(help="owner: a user name")] = "",
    add: Annotated[list[str] | None, typer.Option(help="tag: one to put on; can be repeated")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="tag: one to take off; can be repeated")] = None,
    tier: Annotated[str, typer.Option(help="policy: be governed by this tier's rules")] = "",
    environment: Place = "",
    digest: Annotated[
        str, typer.Option(help="of the preview that you saw: does it; without one it is only shown")
    ] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show what an act on several models would do, or with the digest of that do it. Exit 1 where one was refused."""
    from backend.commands.client import Api

    body: dict[str, Any] = {
        "act": act, "models": models, "why": why, "hours": hours, "until_worse": until_worse, "owner": owner,
        "add": add or [], "remove": remove or [], "tier": tier, "environment": environment or None,
    }  # fmt: skip
    found = Api(token).post(
        "/fleet/acts" if digest else "/fleet/acts/preview", body | {"digest": digest or None}
    )
    if as_json:
        write_json(found)
    else:
        for one in found["done" if digest else "planned"]:
            say(f"{one['model']:<28} {one['what']}")
        for one in found.get("refused", []):
            say(f"{one['model']:<28} REFUSED: {one['reason']}")
        for one in found["left_out"]:
            say(f"{one['model']:<28} left out: {one['reason']}")
        if not digest:
            say(f"nothing was done; to do it: the same with --digest {found['digest']}")
    if found.get("refused"):
        raise typer.Exit(1)


@commands.command("views")
@refuse_plainly
def fleet_views(token: Token = "", as_json: Json = False) -> None:
    """Saved views of the list: your own, and those that are shared."""
    from backend.commands.client import Api

    found = Api(token).every("/views", "views")
    if as_json:
        write_json(found)
        return
    for one in found["views"]:
        kept = "; ".join(f"{name} {', '.join(values)}" for name, values in one["filters"].items())
        say(
            f"{one['id']:<5} {one['name']} ({'shared' if one['is_shared'] else 'yours'}, {one['owner']}): {kept}"
        )
    if not found["views"]:
        say("no view is saved")


@commands.command("save-view")
@refuse_plainly
def fleet_save_view(
    name: str, text: Text = "", owner: Owner = None, tier: Tier = None, team: Team = None, tag: Tag = None,
    health: Health = None,
    column: Annotated[list[str] | None, typer.Option(help="a column to show; can be repeated")] = None,
    sort: Annotated[str, typer.Option(help="need, name, tier, owner, team, incidents or since")] = "",
    shared: Annotated[bool, typer.Option("--shared", help="for everybody of the house")] = False,
    token: Token = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Save filters, columns and order of the list under a name."""
    from backend.commands.client import Api

    given = {
        "text": [text] if text else [], "owner": owner, "tier": tier, "team": team, "tag": tag, "health": health,
    }  # fmt: skip
    filters = {key: values for key, values in given.items() if values}
    body = {"name": name, "filters": filters, "columns": column or [], "sort": sort, "shared": shared}
    found = Api(token).post("/views", body)
    if as_json:
        write_json(found)
    else:
        say(f"saved {found['id']}: {found['name']}")


@commands.command("remove-view")
@refuse_plainly
def fleet_remove_view(
    view: Annotated[int, typer.Argument(help="its number, as `warrant fleet views` shows it")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Remove a saved view."""
    from backend.commands.client import Api

    found = Api(token).post(f"/views/{view}/removal", {})
    if as_json:
        write_json(found)
    else:
        say(f"removed {view}")
