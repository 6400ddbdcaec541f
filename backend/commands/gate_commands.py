"""`warrant gate`: the answer a pipeline stops or goes on by."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer()


@commands.command("gate")
@refuse_plainly
def gate(
    model: str,
    version: Annotated[int, typer.Argument(min=1)],
    environment: Annotated[str, typer.Option(help="where it is to go")] = "production",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Say whether a version may go into an environment. Exit 0: allowed; 1: refused or waiting; 2: bad usage."""
    from urllib.parse import quote

    from backend.commands.client import Api

    found = Api(token).get(f"/gates/{quote(model, safe='')}/{version}", environment=environment)
    if as_json:
        write_json(found)
    else:
        say(f"{model} version {version} in {environment}: {found['answer']}")
        for reason in found["reasons"]:
            say(f"  {reason}")
    if found["answer"] != "allowed":
        raise typer.Exit(1)
