"""`warrant`: the command line.

With `--json` a command prints one JSON document on stdout; logs go to stderr. Exit 0: done. Exit 1: the thing
asked about is not so (a broken log, a refused gate). Exit 2: bad usage or bad input, in one clear line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from backend.commands.output import say, write_json
from backend.errors import BadInput, WarrantError

app = typer.Typer(
    name="warrant", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Monitor and govern machine-learning models in production.",
)  # fmt: skip
db = typer.Typer(no_args_is_help=True, help="The database.")
audit = typer.Typer(no_args_is_help=True, help="The audit log.")
change = typer.Typer(no_args_is_help=True, help="Changes to production: preview, ask, decide.")
demo = typer.Typer(no_args_is_help=True, help="The demo workload.")
for name, group in (("db", db), ("audit", audit), ("change", change), ("demo", demo)):
    app.add_typer(group, name=name)

Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Function = TypeVar("Function", bound=Callable[..., Any])


def refuse_plainly(function: Function) -> Function:
    """The one place where the command line renders the error tree: one line, exit 2."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except WarrantError as error:
            say(f"warrant: {error.title.lower()}: {error.message}", error=True)
            raise typer.Exit(error.exit_code) from error
        except Exception as error:
            from sqlalchemy.exc import DBAPIError  # loaded already, or this is not one

            if not isinstance(error, DBAPIError):
                raise
            say(
                f"warrant: the database refused: {error.orig}; `warrant db upgrade` brings it up to date",
                error=True,
            )
            raise typer.Exit(2) from error

    return wrapped  # type: ignore[return-value]


def _become(module: str, *arguments: str) -> None:
    """Replace this process by one of Warrant's own: signals and exit code are then its own."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own module


@app.command()
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


@app.command()
def console() -> None:
    """Run the console: pages, REST API and sign-in on one port."""
    _become("app.server")


@app.command()
def worker(
    queues: Annotated[str, typer.Option(help="comma-separated")] = "metrics,changes,writer",
    name: Annotated[str | None, typer.Option(help="fixed worker id; default: host and a free number")] = None,
) -> None:
    """Run a worker."""
    _become("jobs.worker", "--queues", queues, *(("--name", name) if name else ()))


@app.command()
def gateway() -> None:
    """Run the gateway, which serves what the deployment record says."""
    _become("backend.serving.gateway")


@app.command("setup-link")
@refuse_plainly
def set_up_link() -> None:
    """Print the one-time link by which the first administrator sets a password."""
    from backend.commands.start import new_set_up_link

    say(new_set_up_link())


@db.command("upgrade")
@refuse_plainly
def db_upgrade(as_json: Json = False) -> None:
    """Bring the database up to date; doing it again does nothing."""
    from backend.database.upgrade import upgrade

    upgrade()
    if as_json:
        write_json({"upgraded": True})
    else:
        say("the database is up to date")


@audit.command("verify")
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


@app.command()
@refuse_plainly
def ingest(
    model: str,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV, JSON or JSON Lines")],
    labels: Annotated[bool, typer.Option("--labels", help="the rows are labels, not predictions")] = False,
    token: Annotated[str, typer.Option(envvar="WARRANT_TOKEN", help="an API token")] = "",
    as_json: Json = False,
) -> None:
    """Send a file of predictions or labels; a bad row stores nothing and is named."""
    from backend.commands.client import Api
    from backend.commands.files import batch_body

    body, content_type = batch_body(file, "labels" if labels else "predictions")
    answer = Api(token).post_body(
        f"/models/{model}/{'labels' if labels else 'predictions'}", body, content_type
    )
    if as_json:
        write_json(answer)
    else:
        say(f"{answer['rows_new']} rows stored, {answer['rows_known']} were there already")


@change.command("preview")
@refuse_plainly
def change_preview(
    model: str,
    to: Annotated[
        int | None, typer.Option("--to", help="version; a rollback finds the last healthy one")
    ] = None,
    kind: Annotated[str, typer.Option(help="rollback or promote")] = "rollback",
    token: Annotated[str, typer.Option(envvar="WARRANT_TOKEN", help="an API token")] = "",
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


@change.command("request")
@refuse_plainly
def change_request(
    model: str,
    digest: Annotated[str, typer.Option(help="the digest of the preview you looked at")],
    reason: Annotated[str, typer.Option(help="why; others will read it")],
    to: Annotated[int | None, typer.Option("--to")] = None,
    kind: Annotated[str, typer.Option(help="rollback or promote")] = "rollback",
    token: Annotated[str, typer.Option(envvar="WARRANT_TOKEN", help="an API token")] = "",
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


@change.command("decide")
@refuse_plainly
def change_decide(
    change_id: int,
    verdict: Annotated[str, typer.Argument(help="approve or reject")],
    digest: Annotated[str, typer.Option(help="the digest of the change you looked at")],
    comment: str = "",
    token: Annotated[str, typer.Option(envvar="WARRANT_TOKEN", help="an API token")] = "",
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


@change.command("show")
@refuse_plainly
def change_show(
    change_id: int,
    token: Annotated[str, typer.Option(envvar="WARRANT_TOKEN", help="an API token")] = "",
) -> None:
    """Print one change with its evidence as JSON."""
    from backend.commands.client import Api

    write_json(Api(token).get(f"/changes/{change_id}"))


@demo.command("load")
@refuse_plainly
def demo_load() -> None:
    """Load the demo workload; what is loaded already is left alone."""
    os.environ["WARRANT_DEMO"] = "true"
    _become("jobs.demo.load")


@demo.command("fault")
@refuse_plainly
def demo_fault(
    name: Annotated[
        str, typer.Argument(help="unit-change, null-burst, stuck-value, latency, errors, or off")
    ],
) -> None:
    """Inject a named upstream fault into the replay, recorded in the audit log; `off` ends it."""
    _become("jobs.demo.fault_switch", name)


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
