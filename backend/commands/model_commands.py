"""`warrant model`: bring a model of one's own, and its versions, under Warrant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.identity.command_line import at_command_line

commands = typer.Typer(no_args_is_help=True, help="Models of your own: register them, and their versions.")
File = Annotated[Path, typer.Argument(help="a YAML file that describes it")]


@commands.command("register")
@refuse_plainly
def model_register(path: File, as_json: Json = False) -> None:
    """Register the model that a file describes: name, title, tier, owner, and its spec."""
    from backend.database.session import writing
    from backend.registry.declared import register_model_of

    with writing() as session:
        model = register_model_of(session, at_command_line(), path)
        told = {"model": model.name, "tier": model.tier, "enforcement": model.enforcement}
    if as_json:
        write_json(told)
    else:
        say(f"{told['model']} is registered, tier {told['tier']}")


@commands.command("register-version")
@refuse_plainly
def model_register_version(path: File, as_json: Json = False) -> None:
    """Register a version with the digests of its files, who trained it, and whose its training data are."""
    from backend.database.session import writing
    from backend.registry.declared import register_version_of

    with writing() as session:
        version = register_version_of(session, at_command_line(), path)
        told = {
            "model": version.model, "version": version.version, "artefact_digest": version.artefact_digest,
            "reference_digest": version.reference_digest, "card_digest": version.card_digest,
        }  # fmt: skip
    if as_json:
        write_json(told)
    else:
        say(f"{told['model']} v{told['version']} is registered: {told['artefact_digest']}")


@commands.command("list")
@refuse_plainly
def model_list(token: Token = "", as_json: Json = False) -> None:
    """List the models that the token's owner may see."""
    from backend.commands.client import Api

    found = Api(token).every("/models", "models")
    if as_json:
        write_json(found)
        return
    for one in found["models"]:
        say(f"{one['name']:<28} {one['tier']:<10} {one['title']}")
    if not found["models"]:
        say("no model is registered; `warrant model register FILE` registers one")


@commands.command("show")
@refuse_plainly
def model_show(model: str, token: Token = "", as_json: Json = False) -> None:
    """Show a model with its versions, the newest first."""
    from urllib.parse import quote

    from backend.commands.client import Api

    found = Api(token).every(f"/models/{quote(model, safe='')}", "versions")
    if as_json:
        write_json(found)
        return
    say(f"{found['name']}: {found['title']}, tier {found['tier']}")
    for one in found["versions"]:
        say(f"  v{one['version']:<5} trained {utc(one['trained_at'])} {one['artefact_digest']}")
