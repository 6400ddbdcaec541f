"""Sending observations to the console."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer()


@commands.command()
@refuse_plainly
def ingest(
    model: str,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV, JSON or JSON Lines")],
    labels: Annotated[bool, typer.Option("--labels", help="the rows are labels, not predictions")] = False,
    kpis: Annotated[
        bool, typer.Option("--kpis", help="the rows are figures of your own: ts, name, value, segment, id")
    ] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Send a file of predictions, labels or figures of your own; a bad row stores nothing and is named."""
    from backend.commands.client import Api
    from backend.commands.files import batch_body

    if labels and kpis:
        raise BadInput("--labels and --kpis are two kinds of rows; send them as two files")
    stream: Literal["predictions", "labels", "kpis"] = (
        "labels" if labels else "kpis" if kpis else "predictions"
    )
    body, content_type = batch_body(file, stream)
    answer = Api(token).post_body(f"/models/{model}/{stream}", body, content_type)
    if as_json:
        write_json(answer)
        return
    replaced = f", {answer['rows_replaced']} had another value, which is replaced" if kpis else ""
    say(f"{answer['rows_new']} rows stored, {answer['rows_known']} were there already{replaced}")
