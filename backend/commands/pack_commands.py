"""`warrant pack`: evidence packs. Making and fetching go through the REST API; verifying needs no network."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json, write_pieces
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="Evidence packs.")
PAUSE_S = 1.0
Out = Annotated[Path | None, typer.Option("--out", help="the file to write; default: <pack>.zip here")]


@commands.command("make")
@refuse_plainly
def pack_make(
    reason: Annotated[str, typer.Option(help="why, for the record")],
    model: Annotated[str | None, typer.Option(help="about this model")] = None,
    version: Annotated[int | None, typer.Option(help="about this version of the model")] = None,
    change: Annotated[int | None, typer.Option(help="about this change")] = None,
    period: Annotated[str, typer.Option(help="2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30")] = "",
    as_of: Annotated[str, typer.Option(help="such as 2026-10-01T00:00:00Z; default: now")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="until it is made, and fetch it")] = False,
    out: Out = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Have a pack made about a model, a version, a change or a period. Exit 1: it could not be made."""
    from backend.commands.client import Api

    kind = (
        "change"
        if change is not None
        else "period"
        if period
        else "version"
        if version is not None
        else "model"
    )
    api = Api(token)
    document: dict[str, Any] = {"kind": kind, "model": model, "version": version, "change": change, "period": period,
                                "as_of": as_of or None, "reason": reason}  # fmt: skip
    made = api.post("/packs", document)
    if not wait:
        _tell(made, as_json)
        return
    while made["state"] in ("queued", "running"):
        time.sleep(PAUSE_S)
        found = api.get(f"/packs/{made['id']}")
        if not as_json and found["step"] != made["step"] and found["step"]:
            say(f"{found['progress']:>4.0%}  {found['step']}", error=True)
        made = found
    if made["state"] == "made":
        _fetch(api, made["id"], out)
    _tell(made, as_json)
    raise typer.Exit(0 if made["state"] == "made" else 1)


@commands.command("list")
@refuse_plainly
def pack_list(
    model: Annotated[str | None, typer.Option(help="only about this model")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Packs, newest first."""
    from backend.commands.client import Api

    found = Api(token).every("/packs", "packs", model=model)
    if as_json:
        write_json(found)
        return
    for one in found["packs"]:
        _tell(one, False)
    if not found["packs"]:
        say("there is no pack yet; make one with `warrant pack make`")


@commands.command("fetch")
@refuse_plainly
def pack_fetch(
    pack: Annotated[str, typer.Argument(help="its id, pack_…")], out: Out = None, token: Token = ""
) -> None:
    """Take a pack away, with the file of its making. That it was taken is an entry of the audit log."""
    from backend.commands.client import Api

    for one in _fetch(Api(token), pack, out):
        say(f"{one}")


@commands.command("verify")
@refuse_plainly
def pack_verify(
    file: Annotated[Path, typer.Argument(help="the ZIP")],
    key: Annotated[
        list[str] | None, typer.Option("--key", help="verifier key of the log; default: this home's")
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option("--witness", help="verifier key of a witness that must have signed")
    ] = None,
    made: Annotated[
        Path | None, typer.Option("--made", help="the file of its making, as `warrant pack fetch` writes it")
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a pack, as the verifier within it does. Exit 0: it is as it was made. 1: it is not. 2: it is no pack.

    In the home whose log it is, without --key, the log must have the entry of its making.
    """
    from backend.audit.signers import verifier_keys
    from backend.packs.verifying import PackAltered, verify_body

    keys = key or [one.statement for one in verifier_keys()]
    if not keys:
        raise BadInput("this home has signed nothing: give the log's verifier key with --key")
    try:
        body = file.read_bytes()
        proof = made.read_bytes() if made is not None else None
        at_home = not key and _has_log()
        if (
            at_home and proof is None
        ):  # the log itself says whether it was made, whatever became of the key since
            keys = [one.partition("@")[0] for one in keys]
        said = verify_body(body, keys, witness or [], made=proof)
        if at_home:
            said = [*(said if proof is not None else said[:-1]), _told_by_log(body)]
    except PackAltered as error:
        _say_verdict(False, [f"the pack is not as it was made: {error.message}"], as_json)
        raise typer.Exit(1) from error
    except (BadInput, OSError) as error:
        raise BadInput(f"{file} is no pack that can be verified: {error}") from error
    _say_verdict(True, said, as_json)


def _has_log() -> bool:
    from sqlalchemy import inspect

    from backend.audit.tables import AuditHead
    from backend.database.engine import database

    return inspect(database().read_engine).has_table(AuditHead.__tablename__)


def _told_by_log(body: bytes) -> str:
    from backend.database.session import reading
    from backend.packs.verifying import compare_with_log

    with reading() as session:
        return compare_with_log(session, body)


def _fetch(api: Any, pack: str, out: Path | None) -> list[Path]:
    """The files that were written: the pack, and beside it that of its making where a signed head has that already."""
    from backend.commands.client import Refused

    target = out or Path(f"{pack}.zip")
    write_pieces([api.get_bytes(f"/packs/{pack}/file")], target)
    beside = target.with_suffix(".made.json")
    try:
        write_pieces([api.get_bytes(f"/packs/{pack}/making")], beside)
    except Refused as error:
        say(f"the file of its making is not here yet: {error.message}", error=True)
        return [target]
    return [target, beside]


def _say_verdict(ok: bool, lines: list[str], as_json: bool) -> None:
    if as_json:
        write_json({"ok": ok, "found": lines})
    else:
        say("\n".join(["the pack is as it was made", *(f"  {one}" for one in lines)] if ok else lines))


def _tell(one: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(one)
        return
    gaps = one["gaps"]
    found = f", {gaps['high']} grave and {gaps['medium']} other gaps, {one['digest']}" if gaps else ""
    said = f" ({one['error']})" if one["error"] else ""
    say(f"{one['id']}  {one['state_words']:<10} {one['about']}, as of {utc(one['as_of'])}{found}{said}")
    if one["forgotten_because"]:
        say(f"  it is handed out no more: {one['forgotten_because']}")
    elif one["kept_until"]:
        longer = ", and longer: a hold keeps it" if one["on_hold"] else ""
        say(f"  until {utc(one['kept_until'])}{longer} ({one['kept_because']})")
