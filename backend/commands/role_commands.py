"""`warrant roles`: the rules that give roles by sign-on: read, try, ask for; through the REST API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.errors import BadInput

commands = typer.Typer(
    no_args_is_help=True, help="Rules that give roles by what a sign-on provider says of people."
)
Draft = Annotated[Path, typer.Argument(help="the file of all role rules, YAML")]


@commands.command("show")
@refuse_plainly
def roles_show(
    history: Annotated[bool, typer.Option("--history", help="list the revisions instead")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Print the role rules as YAML, to be kept in a file and changed there; or the revisions there were."""
    from backend.commands.client import Api

    found = Api(token).get("/role-rules")
    if as_json:
        write_json(found)
    elif history:
        for one in found["revisions"]:
            say(f"{one['revision']:>4}  CHG-{one['change_id']}  {utc(one['created_at'])}  {one['note']}")
        say("   1  no rules")
    else:
        say(f"revision {found['revision']}, {found['digest']}", error=True)
        say(found["yaml"].rstrip("\n"))


@commands.command("dry-run")
@refuse_plainly
def roles_dry_run(file: Draft, token: Token = "", as_json: Json = False) -> None:
    """Say who would gain or lose which role by a draft, by what their provider said of them last."""
    from backend.commands.client import Api

    found = Api(token).post("/role-rules/dry-run", {"document": _text_of(file)})
    if as_json:
        write_json(found)
        return
    say(
        f"{len(found['people'])} {'person' if len(found['people']) == 1 else 'people'} would have other roles"
    )
    for one in found["people"]:
        moves = [f"loses {role}" for role in one["loses"]] + [f"gains {role}" for role in one["gains"]]
        say(f"  {one['display_name']} ({one['username']}, {one['provider']}): {', '.join(moves)}")


@commands.command("propose")
@refuse_plainly
def roles_propose(
    file: Draft,
    digest: Annotated[
        str | None, typer.Option(help="of the difference that you looked at; asks for it")
    ] = None,
    reason: Annotated[str, typer.Option(help="why; others will read it")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show what a draft would replace, and its digest; with --digest and --reason, ask for it. Others approve."""
    from backend.commands.change_commands import change_preview
    from backend.commands.client import Api

    if digest is None:
        change_preview(kind="roles", subject=file, token=token, as_json=as_json)
        return
    body: dict[str, Any] = {"document": _text_of(file), "reason": reason, "digest": digest}
    made = Api(token).post("/role-rules/changes", body)
    if as_json:
        write_json(made)
    else:
        say(f"CHG-{made['id']} is asked for: {made['summary']}")


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
