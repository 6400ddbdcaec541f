"""`warrant token` and `warrant session`: what is open of one's own, and ending it. A token makes no tokens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

tokens = typer.Typer(no_args_is_help=True, help="API tokens of one's own, and of one's service accounts.")
sessions = typer.Typer(no_args_is_help=True, help="Browsers that are signed in as oneself.")
Why = Annotated[str, typer.Option(help="why, for those who read the log")]


@tokens.command("list")
@refuse_plainly
def token_list(token: Token = "", as_json: Json = False) -> None:
    """Tokens, the newest first, without their secrets."""
    from backend.commands.client import Api

    found = Api(token).every("/tokens", "tokens")
    if as_json:
        write_json(found)
        return
    for one in found["tokens"]:
        state = f"until {utc(one['expires_at'])}" if one["open"] else "ended"
        soon = "  ends soon: replace it on the page Account" if one["ends_soon"] else ""
        say(
            f"{one['id']}  {one['hint']}…  {one['name']}  {state}  last used {utc(one['last_used_at'])}{soon}"
        )


@tokens.command("revoke")
@refuse_plainly
def token_revoke(
    token_id: Annotated[str, typer.Argument(help="its id, tok_...")], why: Why = "", token: Token = "",
    as_json: Json = False,
) -> None:  # fmt: skip
    """End a token at once."""
    from backend.commands.client import Api

    _say(Api(token).post(f"/tokens/{token_id}/revocation", {"why": why}), "it is revoked", as_json)


@sessions.command("list")
@refuse_plainly
def session_list(
    person: Annotated[str, typer.Option(help="of this person (per_...), for administrators")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Signed-in browsers, the newest first."""
    from backend.commands.client import Api

    found = Api(token).every(f"/people/{person}/sessions" if person else "/sessions", "sessions")
    if as_json:
        write_json(found)
        return
    for one in found["sessions"]:
        say(
            f"{one['id']}  {one['device']}  {one['address']}  since {utc(one['created_at'])}  last used "
            f"{utc(one['last_seen_at'])} from {one['last_address']} by {one['last_device']}"
        )


@sessions.command("end")
@refuse_plainly
def session_end(
    session_id: Annotated[str, typer.Argument(help="its id, ses_...; all for every one")],
    person: Annotated[str, typer.Option(help="with all: of this person (per_...), for administrators")] = "",
    why: Why = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Sign a browser out, or all of them."""
    from backend.commands.client import Api

    path = f"/sessions/{session_id}/revocation"
    if session_id == "all":
        path = f"/people/{person}/sessions/revocation" if person else "/sessions/revocation"
    _say(Api(token).post(path, {"why": why}), "signed out", as_json)


def _say(answer: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        write_json(answer)
    else:
        say(words)
