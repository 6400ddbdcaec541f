"""`warrant audit`: the audit log. `warrant witness`: a host that co-signs the heads of others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json, write_pieces
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="The audit log.")
ungrouped = typer.Typer()
Why = Annotated[str, typer.Option(help="the reason, for the record; at a terminal it is asked for")]
Keys = Annotated[
    list[str] | None,
    typer.Option("--key", help="verifier key of the log or of a witness; default: this home's"),
]


@commands.command("verify")
@refuse_plainly
def audit_verify(as_json: Json = False) -> None:
    """Recompute the Merkle tree and check every signed head; exit 1 and name the first altered entry otherwise."""
    from dataclasses import asdict

    from backend.audit.verification import verify

    _require_log()
    result = verify()
    if as_json:
        write_json(asdict(result))
    elif result.ok:
        signed = (
            f", signed up to entry {result.signed.size - 1}" if result.signed and result.signed.size else ""
        )
        say(f"the log is intact: {result.size} entries, root {result.root}{signed}")
    else:
        say(f"the log is NOT intact: {result.problem.message if result.problem else 'unknown'}")
    raise typer.Exit(0 if result.ok else 1)


@commands.command("check-proof")
@refuse_plainly
def audit_check_proof(file: Path, key: Keys = None, as_json: Json = False) -> None:
    """Verify one proof: a .tlog-proof, or JSON as the public test vectors have it.

    Exit 0: it holds. 1: it does not. 2: it is no proof.
    """
    from backend.audit.merkle import ProofInvalid
    from backend.audit.notes import NoteMalformed, VerifierKey
    from backend.audit.proof_files import FIRST_LINE, TlogProof, check_json
    from backend.audit.signers import verifier_keys

    try:
        text = file.read_bytes().decode()
        if text.startswith(FIRST_LINE[:12]):
            known = [VerifierKey.parse(one) for one in key] if key else verifier_keys()
            proof = TlogProof.parse(text)
            head, signed = proof.verify([*known, *(one.timed() for one in known)])
            proof.require_both_signatures(head, signed)
            if not key:
                _compare_with_log(head.size, head.root.hex())
            dated = {
                one.key.name: f" at {one.at:%Y-%m-%d %H:%M:%S} UTC" for one in signed if one.at is not None
            }
            names = ", ".join(dict.fromkeys(one.key.name + dated.get(one.key.name, "") for one in signed))
            said = f"the entry is in the log {head.origin} of {head.size}, signed by {names}"
        else:
            said = check_json(text)
    except ProofInvalid as error:
        _tell(False, f"the proof does not hold: {error}", as_json)
        raise typer.Exit(1) from error
    except (NoteMalformed, UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{file} is no proof: {error}") from error
    _tell(True, f"the proof holds: {said}", as_json)


def _compare_with_log(signed: int, root: str) -> None:
    """Raise `ProofInvalid` where the log of this home is not the one that was signed: a key that was stolen, or that
    another took over from, goes on making signatures that fit."""
    from sqlalchemy import inspect

    from backend.audit.merkle import ProofInvalid
    from backend.audit.proofs import root_at
    from backend.audit.tables import AuditHead
    from backend.database.engine import database
    from backend.database.session import reading

    if not inspect(database().read_engine).has_table(AuditHead.__tablename__):
        return
    with reading() as session:
        own = session.get(AuditHead, 1)
        size = own.size if own else 0
        if not size:
            return
        if signed > size:
            raise ProofInvalid(f"the log of this home has {size} entries, and the head is of {signed}")
        if signed and root_at(session, signed) != root:
            raise ProofInvalid(
                f"a key of this home signed it, and the first {signed} entries of its log have another root: the "
                "key was stolen, or one of the two histories is false"
            )


@commands.command("rotate-key")
@refuse_plainly
def audit_rotate_key(
    prepare: Annotated[
        bool, typer.Option("--prepare", help="only make the new key, and print it for witnesses")
    ] = False,
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Change the key that signs the heads; the old one vouches for the new one and is destroyed."""
    from backend.audit.rotation import prepare_key, rotate_key
    from backend.identity.command_line import at_command_line

    _require_log()
    if prepare:
        coming = str(prepare_key())
        if as_json:
            write_json({"key": coming})
        else:
            say(
                "this key signs nothing yet. Start each witness with it beside the present one (--log), then give the "
                f"command without --prepare:\n{coming}"
            )
        return
    key, signed = rotate_key(at_command_line(), why=_reason(why))
    if as_json:
        write_json({"key": str(key), "checkpoint": signed.number, "size": signed.size})
    else:
        say(
            f"heads are signed with a new key from now on; both signed checkpoint {signed.number}. Give it to those "
            f"who verify, and to witnesses that do not have it yet (--log, beside the old one): they refuse the next "
            f"head without it:\n{key}"
        )


@commands.command("keys")
@refuse_plainly
def audit_keys(as_json: Json = False) -> None:
    """The verifier keys of this log, oldest first: give them to those who verify receipts."""
    from backend.audit.signers import verifier_keys

    keys = [key.statement for key in verifier_keys()]
    if as_json:
        write_json({"keys": keys})
    else:
        say("\n".join(keys) or "nothing was signed yet; a worker signs the first head within five minutes")


@commands.command("export")
@refuse_plainly
def audit_export(
    form: Annotated[str, typer.Option(help="jsonl, csv, ocsf or cef")] = "jsonl",
    out: Annotated[Path | None, typer.Option(help="the file to write; default: standard output")] = None,
    who: Annotated[str, typer.Option(help="id, user name or part of a name")] = "",
    action: Annotated[str, typer.Option(help="an action or its beginning, such as governance:change")] = "",
    object_kind: str = "",
    object_id: str = "",
    text: Annotated[str, typer.Option(help="words in the entry")] = "",
    since: Annotated[str, typer.Option(help="such as 2026-07-01T00:00:00Z, included")] = "",
    until: Annotated[str, typer.Option(help="such as 2026-10-01T00:00:00Z, not included")] = "",
    routine: Annotated[bool, typer.Option(help="with what machines write all day")] = True,
    why: Why = "",
) -> None:
    """Write the entries that match, oldest first, with what payloads say. The export is an entry itself."""
    from backend.audit.export import begin_export, pieces
    from backend.audit.searching import Search
    from backend.database.session import writing
    from backend.identity.command_line import at_command_line

    _require_log()
    wanted = Search.from_json(
        {"who": who, "action": action, "object_kind": object_kind, "object_id": object_id, "text": text,
         "since": since, "until": until, "routine": routine}
    )  # fmt: skip
    said = _reason(why)
    with writing() as session:
        export = begin_export(session, at_command_line(), wanted, form=form, why=said)
    write_pieces(pieces(export), out)


@commands.command("search")
@refuse_plainly
def audit_search(
    who: Annotated[str, typer.Option(help="id, user name or part of a name")] = "",
    action: Annotated[str, typer.Option(help="an action or its beginning, such as governance:change")] = "",
    object_kind: str = "",
    object_id: str = "",
    text: Annotated[
        str, typer.Option(help="words in the entry, all of them; delay* is the beginning of one")
    ] = "",
    since: Annotated[str, typer.Option(help="such as 2026-07-01T00:00:00Z, included")] = "",
    until: Annotated[str, typer.Option(help="such as 2026-10-01T00:00:00Z, not included")] = "",
    routine: Annotated[bool, typer.Option(help="with what machines write all day")] = True,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="how many entries at most")] = 50,
    before: Annotated[
        int | None, typer.Option(min=0, help="only older ones: `next` of the answer before")
    ] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List the entries that match, the newest first, as far as the token's owner may see."""
    from backend.commands.client import Api

    api, following = Api(token), before
    entries: list[dict[str, Any]] = []
    while len(entries) < limit:
        found = api.get(
            "/audit/entries", who=who, action=action, object_kind=object_kind, object_id=object_id, text=text,
            since=since or None, until=until or None, routine=routine, before=following,
            limit=min(limit - len(entries), 500),
        )  # fmt: skip
        entries += found["entries"]
        following = found["next"]
        if following is None:
            break
    if as_json:
        write_json({"entries": entries, "next": following})
        return
    for one in entries:
        say(_entry_line(one))
    if not entries:
        say("no entry matches")
    elif following is not None:
        say(f"there may be older ones: --before {following}")


def _entry_line(one: dict[str, Any]) -> str:
    said = "DAMAGED" if one["damaged"] else one["erased"] or " ".join(one["why"].split())
    about = f"{one['object_kind']} {one['object_id']}"
    told = f"{one['seq']:>8}  {utc(one['at'])}  {one['actor_name']}  {one['action']}  {about}"
    return f"{told}  {said}" if said else told


@commands.command("sample")
@refuse_plainly
def audit_sample(
    period: Annotated[str, typer.Option(help="2026Q3, 2026-07, 2026 or 2026-07-01..2026-09-30")],
    seed: Annotated[int, typer.Option(help="a whole number; the same one draws the same changes")],
    n: Annotated[int, typer.Option("--n", help="how many changes")] = 25,
    as_of: Annotated[str, typer.Option(help="such as 2026-10-01T00:00:00Z; default: now")] = "",
    why: Why = "",
    as_json: Json = False,
) -> None:
    """Draw a sample of the changes of a period; exit 1 where the log and the table of changes disagree on them."""
    from backend import clock
    from backend.audit.population import draw_sample
    from backend.database.session import writing
    from backend.identity.command_line import at_command_line

    _require_log()
    try:
        moment = clock.from_iso(as_of) if as_of else None
    except ValueError as error:
        raise BadInput(f"--as-of: {error}") from error
    said = _reason(why)
    with writing() as session:
        found = draw_sample(
            session, at_command_line(), period=period, n=n, seed=seed, as_of=moment, why=said
        ).as_dict()
    if as_json:
        write_json(found)
    else:
        agree = "and the table of changes agrees" if found["equal"] else "and the table of changes DISAGREES"
        say(
            f"{found['population']} changes in {period} by the log, {agree}; entry {found['entry']} records the draw"
        )
        for row in found["rows"]:
            say(f"CHG-{row['change']}  {row['state']:<10} {utc(row['requested_at'])}  {row['summary']}")
    raise typer.Exit(0 if found["equal"] else 1)


@commands.command("reindex")
@refuse_plainly
def audit_reindex(as_json: Json = False) -> None:
    """Make the index of the search anew from leaves and payloads; nothing can be appended meanwhile."""
    from backend.audit.search_index import rebuild
    from backend.database.session import writing

    _require_log()
    with writing() as session:
        count = rebuild(session.connection())
    if as_json:
        write_json({"entries": count})
    else:
        say(f"{count} entries can be searched")


@ungrouped.command("witness")
@refuse_plainly
def witness(
    log: Annotated[
        list[str], typer.Option(help="verifier key of a log to co-sign for (`warrant audit keys`)")
    ],
    name: Annotated[str, typer.Option(help="name of this witness, such as host-b.example/witness")],
    folder: Annotated[Path, typer.Option(help="where its key and what it saw are kept")],
    host: str = "127.0.0.1",
    port: int = 8700,
) -> None:
    """Co-sign the heads of another host's audit log, each only if it continues the last one."""
    from backend.audit.notes import NoteMalformed, VerifierKey
    from backend.audit.witness_server import WitnessServer, serve

    try:
        server = serve(WitnessServer(folder, name, [VerifierKey.parse(one) for one in log]), host, port)
        known = WitnessServer(folder, name, []).verifier
    except (NoteMalformed, OSError) as error:
        raise BadInput(f"this witness cannot start: {error}") from error
    say(f"this witness listens at http://{host}:{server.server_address[1]}; its verifier key:\n{known}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


def _reason(why: str) -> str:
    """Why, as it was given, else as whoever sits at the terminal answers; a script that says nothing goes on."""
    if why or not sys.stdin.isatty():
        return why
    return str(typer.prompt("Why, for the record", default="", show_default=False, err=True)).strip()


def _tell(holds: bool, said: str, as_json: bool) -> None:
    if as_json:
        write_json({"ok": holds, "message": said})
    else:
        say(said)


def _require_log() -> None:
    """Where nothing was ever logged there is nothing to verify; an empty place must not pass for a broken log."""
    from sqlalchemy import inspect

    from backend.audit.heads import head_path
    from backend.database.engine import database

    if not head_path().exists() and not inspect(database().read_engine).has_table("audit_entries"):
        raise BadInput(
            "there is no audit log in this database; set WARRANT_HOME, or run `warrant db upgrade`"
        )
