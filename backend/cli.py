"""`warrant`: the command line.

With `--json` a command prints one JSON document on stdout; logs go to stderr. Exit 0: done. Exit 1: the thing
asked about is not so (a broken log, a refused gate). Exit 2: bad usage or bad input, in one clear line.

A group of commands is one module `backend.commands.*_commands`. It imports nothing heavy: what a command needs
is imported when it runs.
"""

from __future__ import annotations

import sys

import typer

from backend.commands import (
    access_commands,
    account_commands,
    analysis_commands,
    api_commands,
    audit_commands,
    backtest_commands,
    backup_commands,
    bench_commands,
    card_commands,
    change_commands,
    ci_trust_commands,
    compare_commands,
    contact_commands,
    control_commands,
    cost_commands,
    data_commands,
    database_commands,
    decision_commands,
    demo_commands,
    doctor_commands,
    fleet_commands,
    gate_commands,
    hold_commands,
    import_commands,
    incident_commands,
    inventory_commands,
    job_commands,
    lineage_commands,
    model_commands,
    monitor_commands,
    observation_commands,
    pack_commands,
    policy_commands,
    process_commands,
    retrain_commands,
    role_commands,
    search_commands,
    silence_commands,
    slo_commands,
    spec_commands,
    team_commands,
)
from backend.commands.output import say

app = typer.Typer(
    name="warrant", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Monitor and govern machine-learning models in production.",
)  # fmt: skip
for ungrouped in (
    process_commands,
    spec_commands,
    observation_commands,
    analysis_commands,
    compare_commands,
    backtest_commands,
    gate_commands,
    doctor_commands,
    backup_commands,
    api_commands,
    search_commands,
):
    app.add_typer(ungrouped.commands)
change_commands.commands.add_typer(decision_commands.commands)
app.add_typer(audit_commands.ungrouped)
for name, module in (
    ("db", database_commands),
    ("audit", audit_commands),
    ("change", change_commands),
    ("retrain", retrain_commands),
    ("card", card_commands),
    ("policy", policy_commands),
    ("roles", role_commands),
    ("controls", control_commands),
    ("costs", cost_commands),
    ("jobs", job_commands),
    ("monitor", monitor_commands),
    ("incident", incident_commands),
    ("silence", silence_commands),
    ("slo", slo_commands),
    ("import", import_commands),
    ("model", model_commands),
    ("lineage", lineage_commands),
    ("inventory", inventory_commands),
    ("fleet", fleet_commands),
    ("data", data_commands),
    ("hold", hold_commands),
    ("contacts", contact_commands),
    ("pack", pack_commands),
    ("ci-trust", ci_trust_commands),
    ("team", team_commands),
    ("access", access_commands),
    ("demo", demo_commands),
    ("bench", bench_commands),
):
    app.add_typer(module.commands, name=name)
app.add_typer(account_commands.tokens, name="token")
app.add_typer(account_commands.sessions, name="session")


def main() -> None:
    """Entry point of `warrant`."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        if (
            type(error).__name__ == "NoArgsIsHelpError"
        ):  # typer keeps the class to itself; its message is the help
            say(message, error=True)
        else:
            said = " ".join(message.split()).rstrip(".")
            say(f"warrant: bad usage: {said}; `warrant --help` lists what there is", error=True)
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()


if __name__ == "__main__":
    main()
