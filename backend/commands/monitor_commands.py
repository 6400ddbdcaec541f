"""`warrant monitor`: monitors of one's own, through the REST API and under its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

commands = typer.Typer(no_args_is_help=True, help="Monitors of your own: list, try out, store.")
Definition = Annotated[Path, typer.Argument(help="the definition, YAML or JSON")]


@commands.command("list")
@refuse_plainly
def monitor_list(model: str, token: Token = "", as_json: Json = False) -> None:
    """List the monitors of a model, what each watches, and its state."""
    from backend.commands.client import Api

    found = Api(token).get(f"/models/{model}/monitors")
    if as_json:
        write_json(found)
        return
    if not found["monitors"]:
        say(f"{model} has no monitors of its own; `warrant monitor replay {model} FILE` tries one out")
    for row in found["monitors"]:
        say(
            f"{row['key']}  {row['state']:<7} {row['definition']['level']:<7} {row['name']} (version {row['version']})"
        )


@commands.command("replay")
@refuse_plainly
def monitor_replay(model: str, file: Definition, token: Token = "", as_json: Json = False) -> None:
    """Show when a monitor would have fired over stored history, without storing it."""
    from backend.commands.client import Api

    found = Api(token).post(f"/models/{model}/monitors/replay", {"definition": read_definition(file)})
    if as_json:
        write_json(found)
        return
    say(found["says"])
    for one in found["firings"]:
        until = f"until {utc(one['cleared_at'])} ({one['ended']})" if one["cleared_at"] else "and still does"
        say(f"  {one['window_start']}  {one['text']}, {until}")
    often = (
        "too little history to say how often"
        if found["per_month"] is None
        else f"{found['per_month']:.1f} a month"
    )
    say(
        f"{found['fired']} times in {found['windows']} windows ({found['inconclusive']} could not be tested), "
        f"{found['firing_share'] or 0:.0%} of the time: {often}; "
        f"the model may cause {found['false_pages_per_month']:.2f} false pages a month"
    )


@commands.command("create")
@refuse_plainly
def monitor_create(
    model: str,
    file: Definition,
    why: Annotated[str, typer.Option(help="why; others will read it")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Store a monitor; it is looked at from the next computation on."""
    from backend.commands.client import Api

    made = Api(token).post(f"/models/{model}/monitors", {"definition": read_definition(file), "why": why})
    if as_json:
        write_json(made)
    else:
        say(f"{made['key']} watches {model}: {made['name']}")


def read_definition(path: Path) -> dict[str, Any]:
    """The mapping a file holds. Raises `BadInput` for a file that cannot be read or holds something else."""
    import yaml

    from backend.errors import BadInput

    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path.name} is not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path.name}: write a mapping with name, level and when")
    return found


@commands.command("compute")
@refuse_plainly
def monitor_compute(model: str, token: Token = "", as_json: Json = False) -> None:
    """Have every due window of a model computed now."""
    from urllib.parse import quote

    from backend.commands.client import Api

    found = Api(token).post(f"/models/{quote(model, safe='')}/metrics", {})
    if as_json:
        write_json(found)
    else:
        say(f"a worker computes it: {found['run_id']}")
