"""Sending observations to the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer()


@commands.command()
@refuse_plainly
def ingest(
    model: str,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV, JSON or JSON Lines")],
    labels: Annotated[bool, typer.Option("--labels", help="the rows are labels, not predictions")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Send a file of predictions or labels; a bad row stores nothing and is named."""
    from backend.commands.client import Api
    from backend.commands.files import batch_body

    body, content_type = batch_body(file, "labels" if labels else "predictions")
    answer = Api(token).post_body(
        f"/models/{model}/{'labels' if labels else 'predictions'}", body, content_type
    )
    if as_json:
        write_json(answer)
    else:
        say(f"{answer['rows_new']} rows stored, {answer['rows_known']} were there already")
