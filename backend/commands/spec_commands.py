"""`warrant init`, `diff` and `apply`: a model as one document, kept in git."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer()
SpecFile = Annotated[Path, typer.Argument(help="the document, as `warrant init` writes it")]


@commands.command("init")
@refuse_plainly
def spec_init(
    source: Annotated[
        Path, typer.Argument(help="Parquet or CSV with predictions, or a folder of a Delta table")
    ],
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="where to write; else standard output")
    ] = None,
    name: Annotated[str, typer.Option(help="what the model is called; else as the file is")] = "",
    column: Annotated[
        list[str] | None, typer.Option("--column", help="a role and its column, as label=cnt; once for each")
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose a document from a file of predictions, each value with confidence and reason. Needs no console.

    Look through it, answer what is left open, and `warrant apply` it.
    """
    from backend.onboarding.proposing import propose_document
    from backend.onboarding.source_files import source_folders

    resolved = source.expanduser().resolve()
    folder = next((one for one in source_folders() if resolved.is_relative_to(one)), None)
    shown_as = str(resolved.relative_to(folder)) if folder else resolved.name
    draft = propose_document(resolved, shown_as=shown_as, name=name, columns=_roles(column or []))
    if out is not None:
        _write(out, draft.text)
    if as_json:
        proposals = [one.as_dict() for one in draft.proposals]
        write_json({"document": draft.text, "proposals": proposals})
    elif out is None:
        say(draft.text.removesuffix("\n"))
    if out is not None:
        doubtful = sum(one.confidence < 0.6 for one in draft.proposals)
        say(
            f"{out} is written: {len(draft.proposals)} proposals, {doubtful} of them to be looked at",
            error=True,
        )
    if folder is None:
        listed = " or ".join(str(one) for one in source_folders())
        say(f"before it is applied, put {resolved.name} into {listed}, where workers may read", error=True)


@commands.command("diff")
@refuse_plainly
def spec_diff(file: SpecFile, token: Token = "", as_json: Json = False) -> None:
    """Say what differs between a document and what is recorded. Exit 1 where something does."""
    from backend.commands.client import Api

    found = Api(token).post("/specs/diff", {"document": _text_of(file), "file": file.name})
    if as_json:
        write_json(found)
    else:
        for one in found["differences"]:
            say(_line(one, one["state"].replace("_", " ")))
        if not found["differs"]:
            say(f"{found['model']} is as {file.name} says")
    if found["differs"]:
        raise typer.Exit(1)


@commands.command("apply")
@refuse_plainly
def spec_apply(
    file: SpecFile,
    why: Annotated[str, typer.Option(help="others will read it")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done, and do nothing")
    ] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Make the record what a document says, whole or not at all; what only a change may edit is asked for as one.

    Doing it again does nothing. What is recorded and not in the document stays. Exit 1: something had to be held.
    """
    from backend.commands.client import Api

    document = {"document": _text_of(file), "file": file.name}
    if dry_run:
        found = Api(token).post("/specs/diff", document)
        found["done"] = [one | {"did": _would(one)} for one in found.pop("differences")]
    else:
        found = Api(token).post("/specs/apply", {**document, "why": why})
    if as_json:
        write_json({**found, "dry_run": dry_run})
    else:
        for one in found["done"]:
            say(_line(one, one["did"]))
        if all(one["did"] == "left" for one in found["done"]):
            say(f"{found['model']} is as {file.name} says; nothing {'would be' if dry_run else 'was'} done")
        if found["unanswered"]:
            say(f"tier_answers are open, so no tier follows: {', '.join(found['unanswered'])}")
    if any(one["did"] == "held" for one in found["done"]):
        raise typer.Exit(1)


def _would(one: dict[str, Any]) -> str:
    if one["state"] in ("waits", "only_there"):
        return "waits" if one["state"] == "waits" else "left"
    return (
        "would be asked"
        if one["by_change"]
        else "would be started"
        if one["part"] == "history"
        else "would be done"
    )


def _line(one: dict[str, Any], did: str) -> str:
    said = f": {one['says']}" if one["says"] else ""
    if one["part"] in ("spec", "model", "tier", "budget") and one["before"] is not None:
        said = f": {one['before']!r} -> {one['after']!r}{'; ' + one['says'] if one['says'] else ''}"
    by_change = " (by a change)" if one["by_change"] else ""
    return f"{did:<10} {one['part']} {one['name']}{by_change}{said}"


def _roles(given: list[str]) -> dict[str, str]:
    roles: dict[str, str] = {}
    for one in given:
        role, equals, name = one.partition("=")
        if not equals or not role or not name:
            raise BadInput(f"--column {one}: write ROLE=NAME, as label=cnt")
        roles[role] = name
    return roles


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error}") from error
