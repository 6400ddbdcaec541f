"""`warrant db`: the database."""

from __future__ import annotations

import typer

from backend.commands.group import Json, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer(no_args_is_help=True, help="The database.")


@commands.command("upgrade")
@refuse_plainly
def db_upgrade(as_json: Json = False) -> None:
    """Bring the database up to date; doing it again does nothing."""
    from backend.database.upgrade import upgrade

    upgrade()
    if as_json:
        write_json({"upgraded": True})
    else:
        say("the database is up to date")
