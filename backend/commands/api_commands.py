"""`warrant api`: any operation of the REST API, for what has no command of its own; and who one is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer()


@commands.command("api")
@refuse_plainly
def api(
    method: Annotated[str, typer.Argument(help="GET, POST, PUT or DELETE")],
    path: Annotated[str, typer.Argument(help="behind /api/v1, such as /changes/7/review")],
    field: Annotated[
        list[str] | None,
        typer.Option("--field", help="NAME=VALUE of the query or body; VALUE is JSON or text"),
    ] = None,
    body: Annotated[
        Path | None, typer.Option(help="a JSON file that is sent; - reads standard input")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="write the answer into this file, as it comes")] = None,
    token: Token = "",
) -> None:
    """Call any operation of the REST API, and print its JSON. `docs/api.md` lists them all."""
    from backend.commands.client import Api

    method = method.upper()
    if method not in ("GET", "POST", "PUT", "DELETE"):
        raise BadInput(f"{method}: the methods are GET, POST, PUT and DELETE")
    if not path.startswith("/") or path.startswith("//"):
        raise BadInput(f"{path}: write the path behind /api/v1, such as /changes")
    found = Api(token).call(method, path, fields=_fields(field or []), document=_document(body))
    if out is not None:
        out.write_bytes(found)
        return
    try:
        write_json(json.loads(found))
    except ValueError:
        say(found.decode(errors="replace"))


@commands.command("whoami")
@refuse_plainly
def whoami(token: Token = "", as_json: Json = False) -> None:
    """Say whose the token is, and what it may do."""
    from backend.commands.client import Api

    found = Api(token).get("/me")
    if as_json:
        write_json(found)
    else:
        say(f"{found['name']} ({', '.join(found['roles'])})")


def _fields(given: list[str]) -> dict[str, Any]:
    """A name that comes several times is a list."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, text = one.partition("=")
        if not name or not equals:
            raise BadInput(f"--field {one}: write NAME=VALUE")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if name in found:
            known = found[name] if isinstance(found[name], list) else [found[name]]
            found[name] = [*known, value]
        else:
            found[name] = value
    return found


def _document(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        text = typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text()
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read as JSON: {error}") from error
