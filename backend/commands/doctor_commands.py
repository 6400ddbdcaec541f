"""`warrant doctor`: what this installation depends on, and what to do about what is wrong."""

from __future__ import annotations

from typing import Final

import typer

from backend.commands.group import Json, refuse_plainly
from backend.commands.output import say, write_json

commands = typer.Typer()
_WORDS: Final = {"ok": "ok", "trouble": "TROUBLE", "unknown": "unknown", "off": "not set up"}


@commands.command("doctor")
@refuse_plainly
def doctor(as_json: Json = False) -> None:
    """Check every dependency and permission of this installation, from this host. Exit 1: something is wrong."""
    from dataclasses import asdict

    from backend.doctor import examine

    results = []
    for result in examine():
        results.append(result)
        if not as_json:
            say(f"{_WORDS[result.found.state]:<10}  {result.name}: {result.found.said}")
            if result.found.do:
                say(f"{'':<10}  -> {result.found.do}")
    wrong = sum(result.found.state == "trouble" for result in results)
    unknown = sum(result.found.state == "unknown" for result in results)
    if as_json:
        write_json({"wrong": wrong, "unknown": unknown,
                    "checks": [{"name": one.name, **asdict(one.found)} for one in results]})  # fmt: skip
    else:
        say(f"{len(results)} checks, {wrong} wrong, {unknown} not known")
    if wrong:
        raise typer.Exit(1)
