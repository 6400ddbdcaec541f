"""`warrant jobs`: what workers do and did, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

commands = typer.Typer(no_args_is_help=True, help="Job runs: list them, try a failed one again.")


@commands.command("list")
@refuse_plainly
def jobs_list(
    state: Annotated[
        list[str] | None, typer.Option(help="queued, running, succeeded or failed; can be repeated")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List job runs, newest first."""
    from backend.commands.client import Api

    found = Api(token).get("/jobs", state=state, limit=limit)
    if as_json:
        write_json(found)
        return
    for one in found["jobs"]:
        told = one["error"] or one["step"]
        say(f"{one['id']:<44} {one['state']:<10} {one['subject']:<20} {utc(one['requested_at'])} {told}")
    if not found["jobs"]:
        say("no job run is so")


@commands.command("retry")
@refuse_plainly
def jobs_retry(
    run_id: Annotated[
        str, typer.Argument(help="a run that failed, as `warrant jobs list --state failed` says")
    ],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Queue a failed run's work again, as a new run."""
    from urllib.parse import quote

    from backend.commands.client import Api

    found = Api(token).post(f"/jobs/{quote(run_id, safe='')}/retry", {})
    if as_json:
        write_json(found)
    else:
        say(f"{found['id']} is {found['state']}")
