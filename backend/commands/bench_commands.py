"""`warrant bench`: what Warrant itself is measured on."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.commands.group import Json, become, refuse_plainly

commands = typer.Typer(no_args_is_help=True, help="What Warrant itself is measured on.")


@commands.callback()
def bench() -> None:
    """What Warrant itself is measured on."""


@commands.command("seed-fleet")
@refuse_plainly
def bench_seed_fleet(
    models: Annotated[int, typer.Option(min=1, help="how many models")] = 500,
    days: Annotated[int, typer.Option(min=2, help="daily windows of each")] = 365,
    features: Annotated[int, typer.Option(min=1, help="features of each; every third is categorical")] = 50,
    dense: Annotated[int, typer.Option(min=0, help="so many of the first have every default statistic")] = 20,
    until: Annotated[str, typer.Option(help="the day after the last window, as 2026-11-23; today")] = "",
    seed: Annotated[int, typer.Option(min=0, help="another seed draws another fleet")] = 1,
    into_this_home: Annotated[
        bool,
        typer.Option("--yes-into-this-home", help="also where people are, or WARRANT_ENVIRONMENT is set"),
    ] = False,
    as_json: Json = False,
) -> None:
    """Store a synthetic fleet in an empty home; a call that was cut off goes on with the models that are missing."""
    become(
        "jobs.fleet.seed", "--models", str(models), "--days", str(days), "--features", str(features),
        "--dense", str(dense), "--until", until, "--seed", str(seed),
        *(["--yes-into-this-home"] if into_this_home else []), *(["--json"] if as_json else []),
    )  # fmt: skip
