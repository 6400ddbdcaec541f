"""The processes: all of them at once, or one by one."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from backend.commands.group import become, refuse_plainly
from backend.commands.output import say

commands = typer.Typer()


@commands.command()
@refuse_plainly
def up(
    demo: Annotated[bool, typer.Option("--demo", help="load and serve the demo workload")] = False,
    port: Annotated[int | None, typer.Option(help="console port instead of WARRANT_PORT")] = None,
    gateway_port: Annotated[
        int | None, typer.Option(help="gateway port instead of WARRANT_GATEWAY_PORT")
    ] = None,
) -> None:
    """Start console, worker and gateway (and the demo's replay) under one supervisor."""
    for name, value in (("WARRANT_PORT", port), ("WARRANT_GATEWAY_PORT", gateway_port)):
        if value is not None:
            os.environ[name] = str(value)
    from backend.commands.start import start_everything

    raise typer.Exit(start_everything(demo=demo))


@commands.command()
def console() -> None:
    """Run the console: pages, REST API and sign-in on one port."""
    become("app.server")


@commands.command()
def worker(
    queues: Annotated[str, typer.Option(help="comma-separated")] = "metrics,changes,writer,training",
    name: Annotated[str | None, typer.Option(help="fixed worker id; default: host and a free number")] = None,
) -> None:
    """Run a worker."""
    become("jobs.worker", "--queues", queues, *(("--name", name) if name else ()))


@commands.command()
def gateway() -> None:
    """Run the gateway, which serves what the deployment record says."""
    become("backend.serving.gateway")


@commands.command("setup-link")
@refuse_plainly
def set_up_link(
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="although there are administrators: one more, for a day")
    ] = False,
) -> None:
    """Print the one-time link by which the first administrator sets a password, or one for a day."""
    from backend.commands.start import new_set_up_link

    say(new_set_up_link(break_glass=break_glass))
