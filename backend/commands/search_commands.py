"""`warrant search`: find a thing by its id, its name or words, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer()


@commands.command("search")
@refuse_plainly
def search(
    text: Annotated[list[str], typer.Argument(help="a name, a number such as INC-42, or words")],
    kind: Annotated[
        str | None,
        typer.Option(help="model, incident, change, version, finding, prediction or person; else all"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="of each kind")] = 8,
    stored: Annotated[
        bool, typer.Option("--stored", help="also read stored predictions for this id")
    ] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Find models, versions, changes, incidents, findings, predictions and people that you may see."""
    from backend.commands.client import Api

    found = Api(token).get(
        "/search", q=" ".join(text), kind=kind, limit=limit, stored="true" if stored else None
    )
    if as_json:
        write_json(found)
        return
    for group in found["groups"]:
        say(f"{group['title']}{' (more than these: write more words)' if group['more'] else ''}")
        for one in group["hits"]:
            about = ", ".join(part for part in (one["state"], one["context"]) if part)
            say(f"  {one['ref']}: {one['title'] or '-'} ({about})")
    if not found["groups"]:
        say("nothing that you may see has this id or all of these words")
    for title, why in found["not_asked"].items():
        say(f"not looked among: {title} ({why})")
