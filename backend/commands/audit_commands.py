"""`warrant audit`: the audit log."""

from __future__ import annotations

import typer

from backend.commands.group import Json, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="The audit log.")


@commands.command("verify")
@refuse_plainly
def audit_verify(as_json: Json = False) -> None:
    """Recompute the Merkle tree; exit 1 and name the first altered entry if anything was touched."""
    from dataclasses import asdict

    from backend.audit.verification import verify

    _require_log()
    result = verify()
    if as_json:
        write_json(asdict(result))
    elif result.ok:
        say(f"the log is intact: {result.size} entries, root {result.root}")
    else:
        say(f"the log is NOT intact: {result.problem.message if result.problem else 'unknown'}")
    raise typer.Exit(0 if result.ok else 1)


def _require_log() -> None:
    """Where nothing was ever logged there is nothing to verify; an empty place must not pass for a broken log."""
    from sqlalchemy import inspect

    from backend.audit.heads import head_path
    from backend.database.engine import database

    if not head_path().exists() and not inspect(database().read_engine).has_table("audit_entries"):
        raise BadInput(
            "there is no audit log in this database; set WARRANT_HOME, or run `warrant db upgrade`"
        )
