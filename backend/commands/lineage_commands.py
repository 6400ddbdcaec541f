"""`warrant lineage`: what a version came from, by the files of DVC and Feast, through the REST API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="What versions came from: files of DVC and Feast.")
Number = Annotated[int, typer.Argument(min=1)]


@commands.command("attach")
@refuse_plainly
def lineage_attach(
    model: str,
    version: Number,
    files: Annotated[list[Path], typer.Argument(help="dvc.lock, *.dvc, feature_store.yaml, registry.json")],
    repository: Annotated[
        str, typer.Option(help="where these files lie, such as https://git.example/f")
    ] = "",
    revision: Annotated[str, typer.Option(help="at which commit or tag")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Attach what files of DVC and Feast say to a version. The same file again changes nothing."""
    from urllib.parse import quote

    from backend.commands.client import Api

    api, path = Api(token), f"/models/{quote(model, safe='')}/versions/{version}/lineage"
    new: list[dict[str, Any]] = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{file}: cannot be read: {error}") from error
        given = {"file": file.name, "text": text, "repository": repository, "revision": revision}
        new += api.post(path, given)["new"]
    if as_json:
        write_json({"new": new})
    else:
        _say(new)
        say(f"{len(new)} sources are new")


@commands.command("show")
@refuse_plainly
def lineage_show(model: str, version: Number, token: Token = "", as_json: Json = False) -> None:
    """Show what a version came from."""
    from urllib.parse import quote

    from backend.commands.client import Api

    found = Api(token).every(f"/models/{quote(model, safe='')}/versions/{version}/lineage", "sources")
    if as_json:
        write_json(found)
        return
    _say(found["sources"])
    if not found["sources"]:
        say("nothing is attached; `warrant lineage attach` reads dvc.lock, *.dvc and Feast's files")


def _say(sources: list[dict[str, Any]]) -> None:
    for one in sources:
        say(
            f"{one['kind']:<6} {one['role']:<16} {one['name']:<40} {one['digest']} {one['link'] or ''}".rstrip()
        )
