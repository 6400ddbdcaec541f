"""`warrant import`: an existing registry as an inventory, and what the rules would have said of its moves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from backend.addresses import without_credentials
from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.errors import BadInput
from backend.identity.command_line import at_command_line

commands = typer.Typer(no_args_is_help=True, help="An existing registry: observe it first, enforce later.")


@commands.command("mlflow")
@refuse_plainly
def import_mlflow(
    uri: Annotated[str | None, typer.Option(help="the registry; default: MLFLOW_TRACKING_URI")] = None,
    tier: Annotated[
        str | None, typer.Option(help="risk tier of new models: low, medium or high; unknown counts as high")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring every model of an MLflow registry into the inventory, observed: nothing is loaded, blocked or changed."""
    from backend.database.session import reading, writing
    from backend.governance.registry_moves import note_aliases
    from backend.registry.inventory import import_registry, list_inventory
    from backend.registry.mlflow_reading import open_registry, read_registry
    from backend.settings import settings

    found = read_registry(open_registry(uri))
    actor = at_command_line()
    registry, watched = (without_credentials(one) for one in (uri or settings().mlflow, settings().mlflow))
    with writing() as session:
        done = import_registry(session, actor, registry=registry, found=found, tier=tier)
        taken = {one.name: one.aliases for one in found if one.name not in done.left_out}
        moves = note_aliases(session, actor, taken)
    with reading() as session:
        entries = [one for one in list_inventory(session, actor) if one.model.name in taken]
    gaps = _count_gaps(entries)
    if as_json:
        write_json({**done.as_dict(), "moves": len(moves), "watched": registry == watched, "gaps": gaps})
        return
    say(f"{done.models} models with {done.versions} versions at {done.registry}")
    say(
        f"  {len(done.new_models)} models and {done.new_versions} versions are new; new models are only observed"
    )
    if registry != watched:
        say(
            "  its moves are found only when it is imported again: MLFLOW_TRACKING_URI names another registry"
        )
    for name in done.no_longer_found:
        say(f"  {name}: the registry no longer has it")
    for name, why in done.left_out.items():
        say(f"  left out: {why}" if name in why else f"  left out: {name}: {why}")
    for gap, count in gaps.items():
        say(f"  {count:>6}  {gap}")


@commands.command("report")
@refuse_plainly
def import_report(
    since: Annotated[str | None, typer.Option(help="from this time on, as 2026-03-01T00:00:00Z")] = None,
    until: Annotated[str | None, typer.Option(help="before this time")] = None,
    as_json: Json = False,
) -> None:
    """Say what the rules would have said of every move that was made in the registry."""
    from backend.database.session import reading
    from backend.governance.registry_moves import list_moves, report_view

    with reading() as session:
        report = list_moves(
            session,
            at_command_line(),
            since=_moment(since, "since"),
            until=_moment(until, "until"),
        )
    if as_json:
        write_json(report_view(report))
        return
    say(report.summary)
    for move in report.moves:
        to = "removed" if move.to_version is None else f"version {move.to_version}"
        say(f"  {utc(move.found_at)}  {move.model}  {move.alias} -> {to}  {move.would_be}")
        for reason in move.reasons:
            say(f"    {reason['text']}")


def _count_gaps(entries: list[Any]) -> dict[str, int]:
    """How many models and versions have each kind of gap, the most frequent first."""
    counts: dict[str, int] = {}
    for entry in entries:
        for gap in (*entry.gaps, *(gap for version in entry.versions for gap in version.gaps)):
            kind = gap.partition(" (")[0]
            counts[kind] = counts.get(kind, 0) + 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _moment(text: str | None, field: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(
            f"{field}: {text!r} is no time; write it as 2026-03-01T00:00:00Z", field=field
        ) from error
    if moment.tzinfo is None:
        raise BadInput(f"{field}: write the time with its zone, as 2026-03-01T00:00:00Z", field=field)
    return moment


@commands.command("moves")
@refuse_plainly
def import_moves(
    model: Annotated[str | None, typer.Option(help="only of this model")] = None,
    state: Annotated[list[str] | None, typer.Option(help="such as open; can be repeated")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List moves of aliases made elsewhere, newest first. Exit 1 where one is open."""
    from backend.commands.client import Api

    found = Api(token).every("/registry/moves", "moves", model=model, state=state)
    if as_json:
        write_json(found)
    else:
        for one in found["moves"]:
            say(f"{one['id']:<6} {one['model']:<24} {_move(one)}, {one['state']}")
        if not found["moves"]:
            say("no move was made elsewhere")
    if any(one["state"] == "open" for one in found["moves"]):
        raise typer.Exit(1)


@commands.command("restore")
@refuse_plainly
def import_restore(
    move_id: Annotated[int, typer.Argument(min=1, help="as `warrant import moves` says")],
    why: Annotated[str, typer.Option(help="why; others will read it")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Have an alias put back to what serves. Nothing that serves changes."""
    from backend.commands.client import Api

    found = Api(token).post(f"/registry/moves/{move_id}/restoration", {"reason": why})
    if as_json:
        write_json(found)
    else:
        say(f"a worker puts it back: {found['run_id']}")


def _move(one: dict[str, Any]) -> str:
    before, after = (
        f"v{one[end]}" if one[end] is not None else "none" for end in ("from_version", "to_version")
    )
    return f"{one['alias']} from {before} to {after}"
