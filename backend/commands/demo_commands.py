"""`warrant demo`: the demo workload."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from backend.commands.group import become, refuse_plainly

commands = typer.Typer(no_args_is_help=True, help="The demo workload.")


@commands.command("load")
@refuse_plainly
def demo_load() -> None:
    """Load the demo workload; what is loaded already is left alone."""
    os.environ["WARRANT_DEMO"] = "true"
    become("jobs.demo.load")


@commands.command("fault")
@refuse_plainly
def demo_fault(
    name: Annotated[
        str, typer.Argument(help="unit-change, null-burst, stuck-value, latency, errors, or off")
    ],
) -> None:
    """Inject a named upstream fault into the replay, recorded in the audit log; `off` ends it."""
    become("jobs.demo.fault_switch", name)
