"""`warrant policy`: read the policy, check and try a draft, ask for it; through the REST API and under its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.change_commands import change_preview, change_request
from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="The policy of all changes: read, check, try out, ask for.")
Draft = Annotated[Path, typer.Argument(help="the file of the whole policy, YAML")]


@commands.command("show")
@refuse_plainly
def policy_show(
    revision: Annotated[int | None, typer.Option(min=1, help="an earlier one; else that in force")] = None,
    history: Annotated[bool, typer.Option("--history", help="list the revisions instead")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Print the policy as YAML, to be kept in a file and changed there; or the revisions there were."""
    from backend.commands.client import Api

    path = "/policy/revisions" if history else f"/policy/revisions/{revision}" if revision else "/policy"
    found = Api(token).get(path)
    if as_json:
        write_json(found)
    elif history:
        for one in found["revisions"]:
            say(f"{one['revision']:>4}  CHG-{one['change_id']}  {utc(one['created_at'])}  {one['note']}")
        say("   1  installed with Warrant")
    else:
        say(f"revision {found['revision']}, {found['digest']}", error=True)
        say(found["yaml"].rstrip("\n"))


@commands.command("check")
@refuse_plainly
def policy_check(file: Draft, token: Token = "", as_json: Json = False) -> None:
    """Say whether a draft would be taken: by its text alone, and with a token by the console, too.

    Every mistake is told with its line (exit 2). The console knows who is here: it refuses a policy that nobody could
    change again, and reporters who are no service accounts. What is taken and will hardly be meant is told as well.
    """
    from backend.commands.client import Api
    from backend.governance.policy_cautions import document_cautions
    from backend.governance.policy_document import read_policy

    text = _text_of(file)
    document = read_policy(text)
    told: dict[str, Any] = {
        "rules": len(document.rules), "freezes": len(document.freezes), "in_force": None,
        "cautions": document_cautions(document),
    }  # fmt: skip
    if token:
        api = Api(token)
        told["in_force"] = api.get("/policy")["yaml"] == document.as_yaml()
        if not told["in_force"]:
            wanted = {"kind": "policy", "environment": "*", "subject": {"document": text}}
            preview = api.post("/changes/preview", wanted)
            told |= {"summary": preview["summary"], "cautions": preview["evidence"]["cautions"]}
    if as_json:
        write_json(told)
        return
    rules = f"{told['rules']} rule{'s' if told['rules'] != 1 else ''}"
    say(f"{file} can be read: {rules}, {told['freezes']} freeze{'s' if told['freezes'] != 1 else ''}")
    for caution in told["cautions"]:
        say(f"  mind: {caution}")
    if not token:
        say("without a token the console was not asked whether people who are here could still change it")
    elif told["in_force"]:
        say("it is the policy that is in force")
    else:
        say(f"the console would take it: {told['summary']}")


@commands.command("dry-run")
@refuse_plainly
def policy_dry_run(file: Draft, token: Token = "", as_json: Json = False) -> None:
    """Say what a draft would have allowed and refused of the last finished changes; it changes nothing."""
    from backend.commands.client import Api

    found = Api(token).post("/policy/dry-run", {"document": _text_of(file)})
    if as_json:
        write_json(found)
        return
    changes = found["changes"]
    allowed = sum(one["would"] == "allowed" for one in changes)
    differing = [one for one in changes if one["differs"]]
    say(
        f"of {len(changes)} finished change{'s' if len(changes) != 1 else ''} it would have allowed {allowed} and "
        f"refused {len(changes) - allowed}; {len(differing)} would have ended otherwise"
    )
    for one in differing:
        why = f": {'; '.join(one['reasons'])}" if one["reasons"] else ""
        say(f"  CHG-{one['id']} was {one['was']}, would be {one['would']}{why} ({one['summary']})")


@commands.command("propose")
@refuse_plainly
def policy_propose(
    file: Draft,
    digest: Annotated[
        str | None, typer.Option(help="of the difference that you looked at; asks for it")
    ] = None,
    reason: Annotated[str, typer.Option(help="why; others will read it")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show what a draft would replace, and its digest; with --digest and --reason, ask for it. Others approve."""
    if digest is None:
        change_preview(kind="policy", subject=file, token=token, as_json=as_json)
    else:
        change_request(
            digest=digest, reason=reason, kind="policy", subject=file, token=token, as_json=as_json
        )


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
