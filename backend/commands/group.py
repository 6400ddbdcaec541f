"""What every group of commands shares: the `--json` option, plain refusals, and giving way to another process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypeVar

import typer

from backend.commands.output import say
from backend.errors import WarrantError

Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Token = Annotated[str, typer.Option(envvar="WARRANT_TOKEN", help="an API token")]
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


def become(module: str, *arguments: str) -> None:
    """Replace this process by one of Warrant's own: signals and exit code are then its own."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own module
