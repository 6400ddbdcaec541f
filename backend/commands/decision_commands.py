"""`warrant change`, once one is asked for: look, decide, withdraw, follow its rollout, go back, review."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from backend.commands.change_commands import preview_lines
from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.errors import BadInput

commands = typer.Typer()

Number = Annotated[int, typer.Argument(min=1, help="the number in CHG-<number>")]
Why = Annotated[str, typer.Option("--reason", help="why; others will read it")]
SeenDigest = Annotated[str, typer.Option("--digest", help="the digest of the change you looked at")]


def _told(change: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(change)
    else:
        say(f"{change['ref']} is {change['state_words']}")


@commands.command("list")
@refuse_plainly
def change_list(
    model: Annotated[str | None, typer.Argument(help="one model; else all")] = None,
    state: Annotated[
        list[str] | None, typer.Option(help="draft, checking, waiting, approved ...; repeat it")
    ] = None,
    mine: Annotated[bool, typer.Option("--waiting-for-me", help="only those that you can decide")] = False,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 100,
    before: Annotated[int | None, typer.Option(help="`next` of the page before")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List changes, newest first."""
    from backend.commands.client import Api

    found = Api(token).get(
        "/changes", model=model, state=state or None, waiting_for_me=mine, limit=limit, before=before
    )
    if as_json:
        write_json(found)
        return
    for one in found["changes"]:
        needs = f"{one['approvals']} of {one['approvals_needed']} approvals"
        say(f"{one['ref']:<8} {one['state_words']:<22} {needs:<19} {one['summary']}")
    if not found["changes"]:
        say("no change")
    elif found["next"] is not None:
        say(f"more: --before {found['next']}")


@commands.command("show")
@refuse_plainly
def change_show(
    change_id: Number,
    shown: Annotated[
        str | None, typer.Option("--shown", help="what was shown under this digest, which somebody signed")
    ] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show one change: gates, decisions, whether you can decide, and its digest; all of its evidence with --json."""
    from urllib.parse import quote

    from backend.commands.client import Api

    if shown is not None:  # a stored document, as it was
        write_json(Api(token).get(f"/changes/{change_id}/shown/{quote(shown, safe='')}"))
        return
    change = Api(token).get(f"/changes/{change_id}")
    if as_json:
        write_json(change)
        return
    for line in _lines_of(change):
        say(line)


def _lines_of(change: dict[str, Any]) -> list[str]:
    told = [f"{change['ref']} {change['summary']}: {change['state_words']}"]
    told.append(
        f"  asked by {change['requested_by']} at {utc(change['requested_at'])}: {change['reason']}",
    )
    told += [f"  mind: {caution}" for caution in change["evidence"].get("cautions", ())]
    for gate in change["gates"]:
        asked = "required" if gate["required"] else "for information"
        told.append(f"  gate {gate['gate']} ({asked}): {gate['verdict']}; {gate['text']}")
    for one in change["decisions"]:
        counts = "" if one["counts"] else " (an earlier revision; does not count)"
        if one["retracted_at"]:
            counts = f" (taken back at {utc(one['retracted_at'])}: {one['retracted_because']})"
        comment = f": {one['comment']}" if one["comment"] else ""
        told.append(
            f"  {one['person']} {one['verdict']}, as {one['role'].replace('_', ' ')}{comment}{counts}"
        )
    told.append(f"  {change['approvals']} of {change['approvals_needed']} approvals")
    if change["state"] == "waiting":
        who = ", ".join(one["name"] for one in change["can_still_decide"]) or "nobody"
        told.append(f"  can still decide: {who}")
        told.append(f"  you: {change['cannot_decide'] or 'can decide'}")
    elif change["state"] in ("draft", "approved") and not change["cannot_reject"]:
        told.append("  you: can reject it")
    if change["can_resubmit"]:
        told.append(f"  you: can send it again (warrant change resend {change['id']})")
    if change["outcome"]:
        told.append(f"  {change['outcome']}")
    if change["cannot_review"] is None and change["review"] and not change["review"]["verdict"]:
        told.append(f"  the glass was broken: review it by {utc(change['review']['due_at'])}")
    if change["review"] and change["review"]["stands_until"]:
        told.append(f"  what was done without approval stands until {change['review']['stands_until']}")
    return [*told, f"digest {change['digest']}"]


@commands.command("look")
@refuse_plainly
def change_look(change_id: Number, token: Token = "", as_json: Json = False) -> None:
    """Say what is new in a change since you last looked; from now on this is what you saw."""
    from backend.commands.client import Api

    found = Api(token).post(f"/changes/{change_id}/look", {})
    if as_json:
        write_json(found)
        return
    news = found["news"]
    if not news:
        say("nothing is new")
        return
    say(f"since {news['since']}:")
    if news["state"]:
        say(f"  state: {news['state'][0]} -> {news['state'][1]}")
    for part in news["parts"]:
        say(f"  {part['part']}: {part['before']} -> {part['after']}")


@commands.command("decide")
@refuse_plainly
def change_decide(
    change_id: Number,
    verdict: Annotated[
        str, typer.Argument(help="approve, reject, ask (for changes), or retract (your approval)")
    ],
    digest: SeenDigest,
    comment: Annotated[
        str, typer.Option(help="needed to reject, to ask, to retract, and to accept a gate")
    ] = "",
    accept: Annotated[
        list[str] | None,
        typer.Option(help="an inconclusive gate that the approval accepts; repeat it for more"),
    ] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Approve or reject a change of somebody else, ask for changes to it, or retract your approval of it."""
    from backend.commands.client import Api

    decided = Api(token).post(
        f"/changes/{change_id}/decisions",
        {"verdict": verdict, "comment": comment, "digest": digest, "accept": accept or []},
    )
    _told(decided, as_json)


@commands.command("cancel")
@refuse_plainly
def change_cancel(change_id: Number, reason: Why = "", token: Token = "", as_json: Json = False) -> None:
    """Withdraw a change that you asked for."""
    from backend.commands.client import Api

    _told(Api(token).post(f"/changes/{change_id}/cancellation", {"reason": reason}), as_json)


@commands.command("recheck")
@refuse_plainly
def change_recheck(change_id: Number, reason: Why = "", token: Token = "", as_json: Json = False) -> None:
    """Have the gates of a change of yours, or that you could decide on, evaluated again; decisions so far no longer
    count."""
    from backend.commands.client import Api

    _told(Api(token).post(f"/changes/{change_id}/gates", {"reason": reason}), as_json)


@commands.command("resend")
@refuse_plainly
def change_resend(
    change_id: Number,
    digest: Annotated[
        str, typer.Option(help="the digest of how it would be sent now; without one that is only shown")
    ] = "",
    reason: Why = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Send a change of yours again, after somebody asked for changes; without --digest, show how it would be sent."""
    from backend.commands.client import Api

    api, path = Api(token), f"/changes/{change_id}/resubmission"
    if digest:
        _told(api.post(path, {"reason": reason, "digest": digest}), as_json)
        return
    found = api.get(path)
    if as_json:
        write_json(found)
        return
    for line in preview_lines(found):
        say(line)


@commands.command("rollout")
@refuse_plainly
def change_rollout(
    change_id: Number,
    command: Annotated[
        str | None, typer.Argument(help="pause, resume, skip or abort; without it, only look")
    ] = None,
    reason: Annotated[str, typer.Option(help="why; needed to skip and to abort")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show the stages of a rollout, or tell the one that runs to pause, resume, skip or abort."""
    from backend.commands.client import Api
    from backend.deployment.segments import in_words

    path, api = f"/changes/{change_id}/rollout", Api(token)
    found = api.get(path) if command is None else api.post(path, {"command": command, "reason": reason})
    if as_json:
        write_json(found)
        return
    paused = ", paused" if found["paused"] else ""
    say(f"CHG-{change_id} {found['strategy'].replace('_', ' ')}, {found['state']}{paused}")
    for stage in found["stages"]:
        how = f"{stage['role']} {stage['share']:.0%}" if stage["share"] is not None else stage["role"]
        how += f" of {in_words(stage['segments'])}" if stage["segments"] else ""
        until = (
            f", until {utc(stage['bake_until'])}" if stage["bake_until"] and not stage["finished_at"] else ""
        )
        say(f"  {stage['number']}: {how}, {stage['verdict'] or 'runs'}{until}")
    skip = found["skip"] or {}
    if skip.get("said_by"):
        say(f"  {' and '.join(skip['said_by'])} said to skip this stage; a second person has to say so, too")
    if command is not None:
        say(f"told to {command}")
    elif found["can_tell"]:
        say(f"you can tell it: {', '.join(found['can_tell'])}")


@commands.command("return")
@refuse_plainly
def change_return(
    model: str,
    digest: Annotated[str | None, typer.Option(help="of the return you looked at; takes it")] = None,
    reason: Why = "",
    environment: Annotated[str | None, typer.Option(help="where; else the one of the console")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show the return that was agreed with a promotion; with --digest and --reason, take it. Exit 1: there is none."""
    from backend.commands.client import Api

    api = Api(token)
    way = api.get("/ways-back", model=model, environment=environment)["way_back"]
    if digest is not None:
        if way is None:
            raise BadInput(f"no return is agreed for what serves {model}; ask for a rollback")
        _told(api.post(f"/ways-back/{way['id']}/return", {"reason": reason, "digest": digest}), as_json)
        return
    if as_json:
        write_json({"way_back": way})
    elif way is None:
        say(f"no return is agreed for what serves {model}")
    else:
        to = f"v{way['to_version']} at the cut-off {way['to_cutoff']:g}"
        say(
            f"{model} can go back to {to} until {utc(way['expires_at'])}, as agreed with CHG-{way['change_id']}"
        )
        for differs in way["differs"]:
            say(f"  not now: {differs}")
        say(f"digest {way['digest']}")
    if way is None or way["differs"]:
        raise typer.Exit(1)


@commands.command("review")
@refuse_plainly
def change_review(
    change_id: Number,
    verdict: Annotated[str, typer.Argument(help="justified or not_justified")],
    comment: Annotated[str, typer.Option(help="why; compliance reads it")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Review a change that broke the glass."""
    from backend.commands.client import Api

    given = {"verdict": verdict.replace("-", "_"), "comment": comment}
    reviewed = Api(token).post(f"/changes/{change_id}/review", given)
    if as_json:
        write_json(reviewed)
    else:
        say(f"{reviewed['ref']} is reviewed: {reviewed['review']['verdict'].replace('_', ' ')}")


@commands.command("report-check")
@refuse_plainly
def change_report_check(
    change_id: Number,
    name: Annotated[str, typer.Argument(help="the check, as the rule names it")],
    verdict: Annotated[str, typer.Argument(help="pass, fail or inconclusive")],
    digest: Annotated[str, typer.Option(help="request_digest of the change that was looked at")],
    revision: Annotated[int, typer.Option(min=1, help="its revision then")],
    text: Annotated[str, typer.Option(help="what was found")] = "",
    url: Annotated[str, typer.Option(help="where it can be read")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Report what a pipeline found of a change whose rule asks for it. Service accounts alone report."""
    from urllib.parse import quote

    from backend.commands.client import Api

    given = {"verdict": verdict, "digest": digest, "revision": revision, "text": text, "url": url}
    found = Api(token).post(f"/changes/{change_id}/checks/{quote(name, safe='')}", given)
    if as_json:
        write_json(found)
    else:
        say(f"{found['ref']}: {name} is reported, {verdict}")
