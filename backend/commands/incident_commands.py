"""`warrant incident`: look at what is wrong and handle it, through the REST API and under its rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json

commands = typer.Typer(no_args_is_help=True, help="Incidents: list, look, acknowledge, write, resolve.")
MOST = 200  # the API gives no more at once
Number = Annotated[int, typer.Argument(min=1, help="the number in INC-<number>")]
Why = Annotated[str, typer.Option("--why", help="why; others will read it")]


def _told(incident: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(incident)
    else:
        say(f"INC-{incident['id']} is {incident['phase'].replace('_', ' ')}, SEV-{incident['severity']}")


@commands.command("list")
@refuse_plainly
def incident_list(
    model: Annotated[str | None, typer.Argument(help="one model; else all")] = None,
    everything: Annotated[bool, typer.Option("--all", help="also those that are over")] = False,
    severity: Annotated[int | None, typer.Option(min=1, max=4, help="of this severity alone")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List open incidents, the gravest first; with --all those that are over after them, the newest first."""
    from backend.commands.client import Api

    state = None if everything else "open"
    found = Api(token).get("/incidents", model=model, state=state, severity=severity, limit=MOST)
    rows = found["incidents"]
    if as_json:
        write_json({"incidents": rows})
        return
    for one in rows:
        say(
            f"INC-{one['id']:<5} SEV-{one['severity']} {one['phase']:<13} {one['model'] or '-'}: {one['title']}"
        )
    if not rows:
        say("no open incident" if not everything else "no incident")
    if found["next"] is not None:
        say(f"and {found['open'] + found['closed'] - len(rows)} more, on the page Incidents")


@commands.command("show")
@refuse_plainly
def incident_show(incident_id: Number, token: Token = "", as_json: Json = False) -> None:
    """Show what is wrong, the causes by rank, what changed, and what one can do."""
    from backend.commands.client import Api

    found = Api(token).get(f"/incidents/{incident_id}")
    if as_json:
        write_json(found)
        return
    say(f"INC-{found['id']} SEV-{found['severity']} {found['phase']}: {found['sentence']}")
    for one in found["causes"]:
        say(f"  {one['verdict'].replace('_', ' '):<10} {one['name']}: {one['evidence']}")
    done = {one["step"]: one for one in found["steps_done"]}
    for step in dict.fromkeys(step for one in found["causes"] for step in one["steps"]):
        told = f"done by {done[step]['by']}, {done[step]['at']}" if step in done else "to do"
        say(f"  step: {step} ({told})")
    for one in found["changed"]:
        say(f"  changed {utc(one['at'])}: {one['text']}")
    for one in found["actions"]:
        say(f"  {one['act']}: {one['refused'] or one['helps']}")


@commands.command("acknowledge")
@refuse_plainly
def incident_acknowledge(incident_id: Number, token: Token = "", as_json: Json = False) -> None:
    """Say that you are on it."""
    _post(incident_id, "acknowledgement", {}, token, as_json)


@commands.command("assign")
@refuse_plainly
def incident_assign(incident_id: Number, username: str, token: Token = "", as_json: Json = False) -> None:
    """Give it to a person."""
    _post(incident_id, "assignment", {"username": username}, token, as_json)


@commands.command("note")
@refuse_plainly
def incident_note(
    incident_id: Number,
    text: str,
    address: Annotated[str, typer.Option(help="an address; the text is then a link to it")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Write a note, or a link."""
    from backend.commands.client import Api

    made = Api(token).post(f"/incidents/{incident_id}/notes", {"text": text, "address": address})
    if as_json:
        write_json(made)
    else:
        say(f"noted on INC-{incident_id}")


@commands.command("step")
@refuse_plainly
def incident_step(
    incident_id: Number,
    step: Annotated[str, typer.Argument(help="its words, as `warrant incident show` has them")],
    undo: Annotated[bool, typer.Option("--undo", help="it is not done after all")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Mark a runbook step as done."""
    from backend.commands.client import Api

    made = Api(token).post(f"/incidents/{incident_id}/steps", {"step": step, "done": not undo})
    if as_json:
        write_json(made)
        return
    for one in made["done"]:
        say(f"{one['step']}: done by {one['by']}, {utc(one['at'])}")


@commands.command("mitigate")
@refuse_plainly
def incident_mitigate(incident_id: Number, why: Why, token: Token = "", as_json: Json = False) -> None:
    """Say that the harm has stopped, and how."""
    _post(incident_id, "mitigation", {"why": why}, token, as_json)


@commands.command("resolve")
@refuse_plainly
def incident_resolve(
    incident_id: Number,
    why: Why,
    cause: Annotated[
        str, typer.Option(help="data, version, serving, world, change, monitor, outside or unknown")
    ] = "unknown",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Resolve it with its cause, once nothing fires under it."""
    _post(incident_id, "closure", {"why": why, "cause": cause}, token, as_json)


@commands.command("false-alarm")
@refuse_plainly
def incident_false_alarm(incident_id: Number, why: Why, token: Token = "", as_json: Json = False) -> None:
    """Say that nothing was wrong: it counts against the monitors that fired."""
    _post(incident_id, "false-alarm", {"why": why}, token, as_json)


@commands.command("merge")
@refuse_plainly
def incident_merge(
    incident_id: Number,
    into: Annotated[int, typer.Option(min=1, help="the incident that stays")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Make two incidents one: the alerts go to the one that stays."""
    _post(incident_id, "merge", {"into": into}, token, as_json)


@commands.command("report")
@refuse_plainly
def incident_report(
    incident_id: Number,
    out: Annotated[Path, typer.Option("--out", help="where to write it; a name in .pdf gives a PDF")],
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Write the post-incident report as Markdown or PDF."""
    from backend.commands.client import Api

    form = "pdf" if out.suffix == ".pdf" else "md"
    content = Api(token).get_bytes(f"/incidents/{incident_id}/report", form=form)
    out.write_bytes(content)
    if as_json:
        write_json({"path": str(out), "bytes": len(content)})
    else:
        say(f"wrote {out}")


def _post(incident_id: int, act: str, document: dict[str, Any], token: str, as_json: bool) -> None:
    from backend.commands.client import Api

    _told(Api(token).post(f"/incidents/{incident_id}/{act}", document), as_json)


@commands.command("alerts")
@refuse_plainly
def incident_alerts(
    model: Annotated[str | None, typer.Argument(help="one model; else all")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List what fires now, the worst first. Exit 1 where a page fires."""
    from backend.commands.client import Api

    alerts = Api(token).every("/alerts", "alerts", model=model)["alerts"]
    if as_json:
        write_json({"alerts": alerts})
    else:
        for one in alerts:
            say(f"{one['level']:<7} {one['model'] or '-':<24} {one['title']}")
        if not alerts:
            say("nothing fires")
    if any(one["level"] == "page" for one in alerts):
        raise typer.Exit(1)
