"""`warrant silence`: mute alerts to an end, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

commands = typer.Typer(no_args_is_help=True, help="Silences and maintenance: list, set, end.")


@commands.command("list")
@refuse_plainly
def silence_list(
    over: Annotated[bool, typer.Option("--over", help="past ones too")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List silences that hold or will hold."""
    from backend.commands.client import Api

    found = Api(token).every("/silences", "silences", over=over)
    if as_json:
        write_json(found)
        return
    for one in found["silences"]:
        given = ", ".join(f"{name} {value}" for name, value in one["matchers"].items() if value)
        worse = " or worse" if one["until_worse"] else ""
        say(f"{one['id']:<5} {one['purpose']:<12} {given} until {utc(one['ended_at'] or one['ends_at'])}{worse}: "
            f"{one['comment']}")  # fmt: skip
    if not found["silences"]:
        say("nothing is silenced")


@commands.command("set")
@refuse_plainly
def silence_set(
    comment: Annotated[str, typer.Option(help="why; others will read it")],
    model: Annotated[str, typer.Option(help="only alerts of this model")] = "",
    kind: Annotated[str, typer.Option(help="only of this kind: quality, drift, realised, slo ...")] = "",
    column: Annotated[str, typer.Option(help="only about this column")] = "",
    fingerprint: Annotated[str, typer.Option(help="only this alert")] = "",
    until: Annotated[str, typer.Option(help="when it ends, as 2026-03-01T09:05:00Z")] = "",
    until_worse: Annotated[
        bool, typer.Option("--until-worse", help="end when it gets worse, after 8 hours at the latest")
    ] = False,
    maintenance: Annotated[bool, typer.Option("--maintenance", help="planned work")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Mute what fits every matcher given, always to an end."""
    from backend.commands.client import Api

    made = Api(token).post(
        "/silences",
        {"comment": comment, "model": model or None, "kind": kind or None, "column": column or None,
         "fingerprint": fingerprint or None, "until": until or None, "until_worse": until_worse,
         "purpose": "maintenance" if maintenance else "silence"},
    )  # fmt: skip
    if as_json:
        write_json(made)
    else:
        say(
            f"silence {made['id']} ends {utc(made['ends_at'])}"
            + (" or when it gets worse" if until_worse else "")
        )


@commands.command("end")
@refuse_plainly
def silence_end(
    silence_id: Annotated[int, typer.Argument(min=1)],
    why: Annotated[str, typer.Option("--why", help="why it ends now")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """End a silence before its time."""
    from backend.commands.client import Api

    made = Api(token).post(f"/silences/{silence_id}/end", {"why": why})
    if as_json:
        write_json(made)
    else:
        say(f"silence {made['id']} is over")
