"""`warrant hold`: what retention and erasure leave alone, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

commands = typer.Typer(no_args_is_help=True, help="Legal holds: what may not be deleted.")
Reason = Annotated[str, typer.Option(help="why, without naming a person: it stays on the record")]


@commands.command("place")
@refuse_plainly
def hold_place(
    kind: Annotated[str, typer.Argument(help="artefact, predictions, windows, log, pack or person")],
    thing: Annotated[
        str, typer.Argument(help="toy, toy/2, pack_..., per_..., or what the subject column holds; * for all")
    ],
    reason: Reason,
    model: Annotated[
        str, typer.Option(help="of a data subject: the model whose subject column names them")
    ] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Keep something against retention and erasure from now on."""
    from backend.commands.client import Api

    body = {"kind": kind, "object_id": thing, "reason": reason, "model": model or None}
    _say([Api(token).post("/holds", body)], as_json)


@commands.command("list")
@refuse_plainly
def hold_list(
    model: Annotated[str, typer.Option(help="of this model only")] = "",
    released: Annotated[bool, typer.Option("--released", help="also those that hold no longer")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """What is held, the newest first."""
    from backend.commands.client import Api

    _say(Api(token).every("/holds", "holds", model=model or None, released=released)["holds"], as_json)


@commands.command("release")
@refuse_plainly
def hold_release(
    hold: Annotated[int, typer.Argument(help="its number")],
    why: Annotated[str, typer.Option(help="why it is over: others will read it")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Release a hold that somebody else placed."""
    from backend.commands.client import Api

    _say([Api(token).post(f"/holds/{hold}/release", {"why": why})], as_json)


def _say(holds: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        write_json(holds)
        return
    for one in holds:
        state = (
            f"released {utc(one['released_at'])}"
            if one["released_at"]
            else f"held since {utc(one['placed_at'])}"
        )
        say(f"hold {one['id']}: {one['kind']} {one['object_id']}, {state}: {one['reason']}")
        if one.get("predictions") is not None:
            say(f"  the person has {one['predictions']:,} predictions now")
    if not holds:
        say("nothing is on hold")
