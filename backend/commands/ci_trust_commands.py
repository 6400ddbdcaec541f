"""`warrant ci-trust`: which jobs of CI systems are let in, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="Jobs of CI systems that come in with their own token.")


@commands.command("list")
@refuse_plainly
def ci_trust_list(token: Token = "", as_json: Json = False) -> None:
    """The rules, those in force first."""
    from backend.commands.client import Api

    _say(Api(token).every("/ci-trust", "rules")["rules"], as_json)


@commands.command("add")
@refuse_plainly
def ci_trust_add(
    name: Annotated[str, typer.Argument(help="what the jobs are")],
    issuer: Annotated[str, typer.Option(help="such as https://token.actions.githubusercontent.com")],
    audience: Annotated[str, typer.Option(help="what the job asks its token for")],
    account: Annotated[str, typer.Option(help="the id of the service account that they act as, per_...")],
    claim: Annotated[
        list[str], typer.Option(help="NAME=VALUE, such as repository=acme/flights; * is any text")
    ],
    scope: Annotated[list[str], typer.Option(help="a permission that they get")],
    model: Annotated[list[str] | None, typer.Option(help="only this model")] = None,
    minutes: Annotated[int, typer.Option(help="how long a token is valid, at most 60")] = 15,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Let jobs in. By a token that was made for identity:person:manage."""
    from backend.commands.client import Api

    claims: dict[str, list[str]] = {}
    for one in claim:
        key, sign, value = one.partition("=")
        if not sign:
            raise BadInput(f"{one!r} is no claim; write NAME=VALUE")
        claims.setdefault(key, []).append(value)
    body = {
        "name": name, "issuer": issuer, "audience": audience, "claims": claims, "person_id": account,
        "scopes": scope, "models": model or None, "minutes": minutes,
    }  # fmt: skip
    _say([Api(token).post("/ci-trust", body)], as_json)


@commands.command("end")
@refuse_plainly
def ci_trust_end(
    rule: Annotated[str, typer.Argument(help="its id, trust_...")],
    why: Annotated[str, typer.Option(help="why, for those who read the log")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Let in no more jobs by a rule, and end the tokens that it gave."""
    from backend.commands.client import Api

    _say([Api(token).post(f"/ci-trust/{rule}/end", {"why": why})], as_json)


def _say(rules: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        write_json({"rules": rules})
        return
    for one in rules:
        claims = ", ".join(f"{name}={value}" for name, values in one["claims"].items() for value in values)
        state = (
            f"ended {utc(one['ended_at'])}" if one["ended_at"] else f"last used {utc(one['last_used_at'])}"
        )
        say(f"{one['id']}  {one['name']}  {one['issuer']}  {claims}  as {one['person_id']}  {state}")
    if not rules:
        say("no rule: no job comes in by its own token")
