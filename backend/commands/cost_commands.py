"""`warrant costs`: what models cost, and their budgets, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer(no_args_is_help=True, help="Compute time, GPU time and storage by model and team.")


@commands.command("show")
@refuse_plainly
def show(
    since: Annotated[str | None, typer.Option(help="first day, such as 2026-11-01; else 30 days ago")] = None,
    until: Annotated[str | None, typer.Option(help="last day; else today")] = None,
    teams: Annotated[bool, typer.Option("--teams", help="summed up by team")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show what each model used and holds. Exit 1 where a budget is exceeded."""
    from backend.commands.client import Api

    found = Api(token).get("/costs", since=since, until=until)
    if as_json:
        write_json(found)
    else:
        for line in _lines(found, teams=teams):
            say(line)
    if any(one["exceeded"] for one in found["budgets"]):
        raise typer.Exit(1)


@commands.command("budget")
@refuse_plainly
def budget(
    model: str,
    kind: Annotated[str, typer.Argument(help="compute, gpu, storage or money")],
    amount: Annotated[
        float | None, typer.Argument(help="hours a month, GB held, or money a month; left out: no budget")
    ] = None,
    why: Annotated[str, typer.Option(help="for the record")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Set what a model may use; without an amount, take the budget away."""
    from urllib.parse import quote

    from backend.commands.client import Api

    path = f"/models/{quote(model, safe='')}/budgets"
    found = Api(token).post(path, {"kind": kind, "amount": amount, "why": why})
    if as_json:
        write_json(found)
    else:
        say(f"{model}: {kind} {'without a budget' if found['amount'] is None else found['amount']}")


def _lines(found: dict[str, Any], *, teams: bool) -> list[str]:
    rows = found["teams" if teams else "models"]
    key = "team" if teams else "model"
    told = [f"{found['since']} to {found['until']}"]
    for one in rows:
        money = f" {one['money']:>12,.2f} {found['currency']}" if one.get("money") is not None else ""
        told.append(
            f"{one[key] or 'Warrant itself':<28} compute {one['compute_h']:>10,.2f} h  GPU {one['gpu_h']:>8,.2f} h  "
            f"storage {one['storage_gb']:>10,.3f} GB{money}"
        )
    if not rows:
        told.append("nothing was counted in this period; a worker counts every hour")
    told += [
        f"budget of {one['model']}: {one['used']:,.2f} of {one['amount']:,.2f} ({one['kind']})"
        + (" EXCEEDED" if one["exceeded"] else "")
        for one in found["budgets"]
    ]
    return told + [one["text"] for one in found["anomalies"]]
