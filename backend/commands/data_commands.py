"""`warrant data`: requests of the people behind the data, through the REST API and under its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json, write_pieces
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="Requests of the people behind the data.")
Reason = Annotated[str, typer.Option(help="why, without naming the person: it stays on the record")]
Prediction = Annotated[
    list[str] | None, typer.Option("--prediction", help="a prediction id; can be repeated")
]
Subject = Annotated[str, typer.Option(help="what the model's subject column holds for the person")]
Out = Annotated[
    Path | None, typer.Option("--out", help="write the document here; html, pdf or json by its ending")
]
FORMS = ("html", "pdf", "json")


@commands.command("erase")
@refuse_plainly
def data_erase(
    reason: Reason,
    model: Annotated[str, typer.Option(help="the model whose rows go")] = "",
    prediction: Prediction = None,
    subject: Subject = "",
    person: Annotated[str, typer.Option(help="instead of rows: the id of somebody who used Warrant")] = "",
    entry: Annotated[
        list[int] | None,
        typer.Option(help="instead of rows: an entry of the log whose text goes; repeatable"),
    ] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Ask that rows of a person, somebody who used Warrant, or texts of the log be erased. Others decide."""
    from backend.commands.client import Api

    if bool(person) + bool(model) + bool(entry) != 1:
        raise BadInput("name --model with --prediction or --subject, or --person, or --entry")
    if entry:
        made = Api(token).post("/audit/entries/erasure", {"entries": entry, "reason": reason})
    elif person:
        made = Api(token).post(f"/people/{person}/erasure", {"reason": reason})
    else:
        made = _ask(token, "erase", model, prediction, subject, reason)
    _say(made, as_json)


@commands.command("access")
@refuse_plainly
def data_access(
    reason: Reason = "",
    model: Annotated[str, typer.Option(help="the model whose rows are handed out")] = "",
    prediction: Prediction = None,
    subject: Subject = "",
    request: Annotated[str, typer.Option(help="fetch the document of this finished request instead")] = "",
    out: Out = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Ask for all rows of a person, or fetch the document (--request) once the change has been executed."""
    from backend.commands.client import Api

    if request:
        content = Api(token).get_bytes(f"/data-requests/{request}/document", form=_form(out))
        write_pieces([content], out)
        return
    if not model or not reason:
        raise BadInput("name --model and --reason, or the --request whose document is fetched")
    _say(_ask(token, "access", model, prediction, subject, reason), as_json)


@commands.command("explain")
@refuse_plainly
def data_explain(
    model: Annotated[str, typer.Argument(help="the model that predicted")],
    prediction: Annotated[str, typer.Argument(help="the id of the prediction")],
    compute: Annotated[bool, typer.Option("--compute", help="have a job compute what moved it")] = False,
    out: Out = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Say why one prediction came out as it did, and who let that version decide."""
    from backend.commands.client import Api

    api = Api(token)
    if compute:
        made = api.post(f"/models/{model}/explanation", {"prediction_id": prediction})
        if as_json:
            write_json(made)
        else:
            say(f"{made['run_id']} is {made['state']}")
        return
    if out is not None:
        content = api.get_bytes(f"/models/{model}/explanation", prediction_id=prediction, form=_form(out))
        write_pieces([content], out)
        return
    found = api.get(f"/models/{model}/explanation", prediction_id=prediction)
    if as_json:
        write_json(found)
        return
    say(f"{found['decision']} Version {found['facts']['version']}, {found['facts']['ts']}.")
    for name, value in found["inputs"].items():
        say(f"  {name:<28} {value}")
    for one in found["contributions"]:
        say(f"  moved by {one['column']:<28} {one['contribution']:+.4g}")
    for one in found["approvals"]:
        say(f"  {one['verdict']} by {one['person']} ({one['role']}), {utc(one['at'])}")


def _form(out: Path | None) -> str:
    form = out.suffix.lstrip(".").lower() if out is not None else "json"
    if form not in FORMS:
        raise BadInput(f"{out}: the ending says the form; it is one of .{', .'.join(FORMS)}")
    return form


def _ask(
    token: str, kind: str, model: str, prediction: list[str] | None, subject: str, reason: str
) -> dict[str, Any]:
    from backend.commands.client import Api

    document = {
        "kind": kind,
        "model": model,
        "prediction_ids": prediction or [],
        "value": subject,
        "reason": reason,
    }
    made: dict[str, Any] = Api(token).post("/data-requests", document)
    return made


def _say(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(made)
    else:
        say(f"{made['id']}: {made['change']} is {made['state_words']}")
