"""`warrant analyse`: what changed in a window, through the REST API and under its rules."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.errors import Unavailable

commands = typer.Typer()
LOOK_EVERY_S = 1.0


@commands.command()
@refuse_plainly
def analyse(
    model: str,
    window: Annotated[str, typer.Option("--window", help="its start, as 2026-03-01T00:00:00Z")],
    size: Annotated[str | None, typer.Option(help="of the window; the model's own by default")] = None,
    again: Annotated[bool, typer.Option("--again", help="also where it is up to date")] = False,
    wait: Annotated[float, typer.Option(help="seconds to wait for the worker", min=0)] = 300.0,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Say why a window's performance changed, and on which rows it is worst; has it analysed where that is not done."""
    from backend.commands.client import Api, Refused

    api, path = Api(token), f"/models/{model}/windows/{window}/analysis"
    try:
        found = api.get(path, size=size)
    except Refused as refused:
        if "has not been analysed" not in refused.message:
            raise
        found = None
    if found is None or found["stale"] or again:
        suffix = f"?size={size}" if size else ""
        run_id = api.post(f"{path}{suffix}", {})["run_id"]
        _wait_for(api, run_id, wait)
        found = api.get(path, size=size)
    if as_json:
        write_json(found)
    else:
        _tell(found)


def _wait_for(api: Any, run_id: str, seconds: float) -> None:
    until = time.monotonic() + seconds
    while True:
        run = next((one for one in api.get("/jobs")["jobs"] if one["id"] == run_id), None)
        if run is not None and run["state"] == "succeeded":
            return
        if run is not None and run["state"] == "failed":
            raise Unavailable(f"run {run_id} failed: {run['error']}")
        if time.monotonic() >= until:
            raise Unavailable(
                f"run {run_id} is not done after {seconds:g} s; see that a worker runs, and ask again"
            )
        time.sleep(LOOK_EVERY_S)


def _tell(found: dict[str, Any]) -> None:
    say(found["says"])
    for part in found["split"]["parts"]:
        say(f"  {part['text']}")
    for name, key in (
        ("Became worse", "became_worse"),
        ("Worst, whether or not it was before", "always_hard"),
    ):
        search = found[key]
        if search["reason"]:
            say(f"{name}: nothing can be told: {search['reason']}")
            continue
        count = len(search["slices"])
        say(
            f"{name}: {count} of {search['looked_at']:,} slices beyond chance, on {search['rows']:,} labelled rows"
        )
        for one in search["slices"]:
            say(f"  {one['text']}")
    for one in found["happened"]:
        say(f"{utc(one['at'])}  {one['kind']:<10}  {one['text']}")
