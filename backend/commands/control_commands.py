"""`warrant controls`: catalogues held against the record, and signed judgements, through the REST API."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="Catalogues of controls: list, show, judge.")
Catalogue = Annotated[str, typer.Argument(help="its id, from `warrant controls list`")]
Model = Annotated[str, typer.Option(help="the model it is about; left out: the house")]
SIGNS = {"contradicted": "!", "missing": "-", "stale": "~", "not_shown": "?", "present": "+"}


@commands.command("list")
@refuse_plainly
def controls_list(token: Token = "", as_json: Json = False) -> None:
    """List the catalogues."""
    from backend.commands.client import Api

    found = Api(token).get("/catalogues")
    if as_json:
        write_json(found)
        return
    for one in found:
        say(f"{one['id']:<22} {one['controls']:>3} controls  {one['title']}")


@commands.command("show")
@refuse_plainly
def controls_show(
    catalogue: Catalogue,
    model: Model = "",
    as_of: Annotated[str, typer.Option(help="a moment that is over, such as 2026-09-30T23:59:59Z")] = "",
    gaps: Annotated[bool, typer.Option("--gaps", help="only what has a gap")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show what is missing. Exit 1 where a control has a gap; what waits for a judgement alone is none."""
    from backend.commands.client import Api

    found = Api(token).get(f"/catalogues/{catalogue}/assessment", model=model or None, as_of=as_of or None)
    if gaps:
        found["controls"] = [one for one in found["controls"] if one["gap"]]
    if as_json:
        write_json(found)
    else:
        _say(found)
    if found["gaps"]:
        raise typer.Exit(1)


@commands.command("judge")
@refuse_plainly
def controls_judge(
    catalogue: Catalogue,
    control: Annotated[str, typer.Argument(help="of the catalogue")],
    outcome: Annotated[str, typer.Option(help="met, not_met or not_applicable")],
    text: Annotated[str, typer.Option(help="what you looked at, and what it shows")],
    valid_until: Annotated[str, typer.Option(help="a day, such as 2027-06-30")],
    username: Annotated[str, typer.Option(help="your own user name, to sign")],
    model: Model = "",
    attach: Annotated[Path | None, typer.Option(help="a file that shows it")] = None,
    seen: Annotated[
        str, typer.Option(help="the evidence digest you looked at; left out: it is shown first")
    ] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Sign a judgement on one control, on the evidence as it is shown.

    The password of the account is asked for, or taken from WARRANT_PASSWORD.
    """
    from backend.commands.client import Api

    api, until = Api(token), _end_of(valid_until)
    if not seen:
        found = api.get(f"/catalogues/{catalogue}/assessment", model=model or None)
        found["controls"] = [one for one in found["controls"] if one["control"] == control]
        if not found["controls"]:
            raise BadInput(f"the catalogue {catalogue} has no control {control!r} to judge here")
        seen = found["controls"][0]["digest"]
        if not as_json:
            _say(found)
        typer.confirm("Sign on this evidence?", abort=True, err=True)
    password = os.environ.get("WARRANT_PASSWORD")
    if password is None:
        password = typer.prompt("Password (empty where the account has none here)", default="", hide_input=True,
                                show_default=False, err=True)  # fmt: skip
    made = api.post(
        f"/catalogues/{catalogue}/controls/{control}/judgements",
        {"model": model or None, "outcome": outcome, "text": text, "valid_until": until, "seen_digest": seen,
         "attachment": _hand_in(api, attach), "username": username, "password": password},
    )  # fmt: skip
    if as_json:
        write_json(made)
    else:
        say(
            f"judgement {made['number']} on {control}: {made['outcome_words']}, {made['digest']}, entry {made['entry']}"
        )


def _say(found: dict[str, Any]) -> None:
    whose = found["model"] or "the house"
    say(f"{found['title']}: {found['gaps']} gaps for {whose}, {found['to_judge']} to judge")
    for one in found["controls"]:
        judged = one["judgement"]
        told = ""
        if judged:
            over = "" if judged["standing"] else ", does not stand"
            told = f"  [judged {judged['outcome'].replace('_', ' ')}{over}]"
        say(f"{SIGNS[one['state']]} {one['state_words']:<14} {one['citation']}: {one['title']}{told}")
        for each in one["evidence"]:
            if each["state"] != "present":
                say(f"    {SIGNS[each['state']]} {each['title']}: {each['reason']}")
    for note in (*found["notes"], found["caveat"]):
        say(note)


def _hand_in(api: Any, path: Path | None) -> str | None:
    if path is None:
        return None
    from urllib.parse import quote

    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    made = api.post_body(f"/documents?name={quote(path.name)}", data, "application/octet-stream")
    return str(made["digest"])


def _end_of(text: str) -> str:
    try:
        chosen = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no day; write it as 2027-06-30", field="valid_until") from error
    if len(text) == 10:
        chosen = chosen.replace(hour=23, minute=59, second=59)
    return (chosen if chosen.tzinfo else chosen.replace(tzinfo=UTC)).isoformat()
