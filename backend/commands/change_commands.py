"""`warrant change`: changes to production, through the REST API and under its rules."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer(no_args_is_help=True, help="Changes to production: preview, ask, decide.")


@commands.command("preview")
@refuse_plainly
def change_preview(
    model: str,
    to: Annotated[
        int | None, typer.Option("--to", help="version; a rollback finds the last healthy one")
    ] = None,
    kind: Annotated[str, typer.Option(help="rollback or promote")] = "rollback",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show what a change would do, and the digest to ask for it with."""
    from backend.commands.client import Api

    found = Api(token).get("/changes/preview", kind=kind, model=model, to_version=to)
    if as_json:
        write_json(found)
        return
    say(f"{kind} {model}: version {found['from_version']} -> {found['to_version']} in {found['environment']}")
    for row in found["evidence"]["metrics"]:
        before, after = (_figure(row[side]) for side in ("before", "after"))
        say(f"  {row['metric']:<12} {before:>10} -> {after:>10}")
    say(f"digest {found['digest']}")


def _figure(metric: Any) -> str:
    value = metric.get("value") if isinstance(metric, dict) else metric
    return f"{value:.4f}" if isinstance(value, float) else "unknown" if value is None else str(value)


@commands.command("request")
@refuse_plainly
def change_request(
    model: str,
    digest: Annotated[str, typer.Option(help="the digest of the preview you looked at")],
    reason: Annotated[str, typer.Option(help="why; others will read it")],
    to: Annotated[int | None, typer.Option("--to")] = None,
    kind: Annotated[str, typer.Option(help="rollback or promote")] = "rollback",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Ask for a change."""
    from backend.commands.client import Api

    asked = Api(token).post(
        "/changes", {"kind": kind, "model": model, "to_version": to, "reason": reason, "digest": digest}
    )
    if as_json:
        write_json(asked)
    else:
        say(f"{asked['ref']} waits for {asked['approvals_needed']} approval(s)")


@commands.command("decide")
@refuse_plainly
def change_decide(
    change_id: int,
    verdict: Annotated[str, typer.Argument(help="approve or reject")],
    digest: Annotated[str, typer.Option(help="the digest of the change you looked at")],
    comment: str = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Approve or reject a change that somebody else asked for."""
    from backend.commands.client import Api

    decided = Api(token).post(
        f"/changes/{change_id}/decisions", {"verdict": verdict, "comment": comment, "digest": digest}
    )
    if as_json:
        write_json(decided)
    else:
        say(f"{decided['ref']} is {decided['state']}")


@commands.command("show")
@refuse_plainly
def change_show(
    change_id: int,
    token: Token = "",
) -> None:
    """Print one change with its evidence as JSON."""
    from backend.commands.client import Api

    write_json(Api(token).get(f"/changes/{change_id}"))
