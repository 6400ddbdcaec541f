"""`warrant access`: who can do what, reviews of it, and who joined, moved and left; through the REST API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

commands = typer.Typer(no_args_is_help=True, help="Who can do what, and reviews of it.")


@commands.command("list")
@refuse_plainly
def access_list(token: Token = "", as_json: Json = False) -> None:
    """Every right of every open account, with what its holder last did by it."""
    from backend.commands.client import Api

    found = Api(token).every("/access", "rights")
    if as_json:
        write_json(found)
        return
    for one in found["rights"]:
        last = one["facts"].get("last_done")
        done = (
            f"last did {last['permission']} {utc(last['at'])}" if last else "did nothing that leaves an entry"
        )
        say(f"{one['username']:<24} {one['kind']:<10} {one['subject']:<30} {done}")


@commands.command("movements")
@refuse_plainly
def access_movements(
    period: Annotated[str, typer.Argument(help="2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Who joined, moved and left in a period."""
    from backend.commands.client import Api

    found = Api(token).every("/access-movements", "movements", period=period)
    if as_json:
        write_json(found)
        return
    for one in found["movements"]:
        roles = " ".join([*(f"+{role}" for role in one["gained"]), *(f"-{role}" for role in one["lost"])])
        say(f"{utc(one['at'])}  {one['kind']:<6} {one['username']:<24} {one['what']} {roles}".rstrip())
    say(f"{found['join']} joined, {found['move']} moved, {found['leave']} left")


@commands.command("review")
@refuse_plainly
def access_review(
    title: str,
    due: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%dT%H:%M:%S%z"], help="as 2026-09-30T00:00:00+00:00")
    ],
    role: Annotated[list[str] | None, typer.Option(help="only rights by this role; can be repeated")] = None,
    team: Annotated[
        list[str] | None, typer.Option(help="only roles in this team, by id; can be repeated")
    ] = None,
    reviewer: Annotated[
        str, typer.Option(help="the id of who answers; empty: whoever may review access")
    ] = "",
    revoke_unanswered: Annotated[
        bool, typer.Option("--revoke-unanswered", help="what nobody answered by the day is taken")
    ] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Begin a review of access."""
    from backend.commands.client import Api

    made = Api(token).post(
        "/access-reviews",
        {"title": title, "due_at": due.isoformat(), "roles": role or [], "teams": team or [],
         "reviewer": reviewer or None, "revokes_unanswered": revoke_unanswered},
    )  # fmt: skip
    if as_json:
        write_json(made)
        return
    say(f"review {made['id']} has begun: {made['items']} rights, due {utc(made['due_at'])}")


@commands.command("answer")
@refuse_plainly
def access_answer(
    item: Annotated[int, typer.Argument(help="its number")],
    answer: Annotated[str, typer.Argument(help="keep or revoke")],
    reason: Annotated[str, typer.Option(help="why: others will read it")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Keep or revoke one right of a review."""
    from backend.commands.client import Api

    made = Api(token).post(f"/access-items/{item}/answer", {"answer": answer, "reason": reason})
    if as_json:
        write_json(made)
        return
    say(f"item {made['id']}: {made['answer']}")
