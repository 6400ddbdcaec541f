"""`warrant change`: asking for changes to production, through the REST API and under its rules.

What follows once one is asked for is in `decision_commands`, in the same group.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, utc, write_json
from backend.errors import BadInput

commands = typer.Typer(no_args_is_help=True, help="Changes to production: preview, ask, decide, follow.")


KINDS: Final = "promote, rollback, cutoff, monitor, policy, tier, observe or retire"
Model = Annotated[str | None, typer.Argument(help="the model; a policy has none")]
KindOf = Annotated[str, typer.Option("--kind", help=KINDS)]
ToVersion = Annotated[int | None, typer.Option("--to", help="version; a rollback finds the last healthy one")]
ToCutoff = Annotated[
    float | None, typer.Option("--cutoff", help="score from which the version decides positively")
]
Tier = Annotated[str | None, typer.Option("--tier", help="kind tier: the tier wanted")]
Subject = Annotated[
    Path | None,
    typer.Option(
        "--subject",
        help="kind policy: the file of the policy; kind monitor: a YAML file with the definition (and the key of a "
        "monitor that there is), with key and state, or with budget",
    ),
]
Segment = Annotated[
    list[str] | None,
    typer.Option(
        "--segment", help="kind promote: try it on rows of this segment alone, as column=value; once for each"
    ),
]
Environment = Annotated[str | None, typer.Option(help="where; else the one of the console")]
AlertId = Annotated[int | None, typer.Option("--alert", help="the number of the alert that it answers")]
Seen = Annotated[str, typer.Option(help="the digest of the preview you looked at")]
Reason = Annotated[str, typer.Option(help="why; others will read it")]


@commands.command("preview")
@refuse_plainly
def change_preview(
    model: Model = None,
    to: ToVersion = None,
    kind: KindOf = "rollback",
    cutoff: ToCutoff = None,
    tier: Tier = None,
    subject: Subject = None,
    segment: Segment = None,
    environment: Environment = None,
    alert: AlertId = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show what a change would do, and the digest to ask for it with."""
    from backend.commands.client import Api

    wanted = _wanted(kind, model, to, cutoff, tier, subject, segment, environment, alert)
    found = Api(token).post("/changes/preview", wanted)
    if as_json:
        write_json(found)
        return
    for line in preview_lines(found):
        say(line)


def preview_lines(found: dict[str, Any]) -> list[str]:
    """A preview as it is told: effect, figures, difference, who has to agree, and the digest, which comes last."""
    told = [found["summary"]]
    for row in found["evidence"].get("metrics", ()):
        before, after = (_figure(row[side]) for side in ("before", "after"))
        told.append(f"  {row['metric']:<12} {before:>10} -> {after:>10}")
    texts = found["evidence"].get("texts")
    told += [f"  {line}" for line in (_difference(texts) if texts else ())]
    told.append(f"  {_needed(found['policy'])}, by the rule {found['policy']['name']!r}")
    told += [f"  mind: {caution}" for caution in found["evidence"].get("cautions", ())]
    return [*told, f"digest {found['digest']}"]


def _needed(rule: dict[str, Any]) -> str:
    """Who has to agree, and which gates have to pass; or that it is not allowed, and why."""
    if not rule["allowed"]:
        return f"is not allowed: {rule['because']}"
    who = [f"{count} x {role.replace('_', ' ')}" for role, count in rule["roles"].items()]
    gates = [gate["gate"].replace("_", " ") for gate in rule["gates"] if gate["required"]]
    return f"needs {', '.join(who)}" + (f"; gates {', '.join(gates)}" if gates else "")


def _wanted(
    kind: str, model: str | None, to: int | None, cutoff: float | None, tier: str | None, subject: Path | None,
    segment: list[str] | None, environment: str | None, alert: int | None,
) -> dict[str, Any]:  # fmt: skip
    """What is asked for, as the API takes it; what is left out is not sent."""
    from backend.deployment.segments import read_segments

    named: dict[str, Any] = {"tier": tier} if tier is not None else {}
    if segment:
        named["segments"] = read_segments(segment)
    if subject is not None:
        named |= _subject(kind, subject)
    every = {
        "kind": kind, "model": model, "to_version": to, "to_cutoff": cutoff,
        "environment": environment or ("*" if kind in ("policy", "roles") else None),
        "subject": named or None, "alert_id": alert,
    }  # fmt: skip
    return {name: value for name, value in every.items() if value is not None}


def _subject(kind: str, path: Path) -> dict[str, Any]:
    """A policy and role rules are sent as text, so that what is wrong is told by its line; all else as a mapping."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    if kind in ("policy", "roles"):
        return {"document": text}
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} holds no mapping; kind monitor takes definition, key, state or budget")
    return found


def _difference(texts: dict[str, str]) -> list[str]:
    before, after = (texts[side].splitlines() for side in ("before", "after"))
    return list(difflib.unified_diff(before, after, "in force", "asked for", lineterm="", n=2))


def _figure(metric: Any) -> str:
    value = metric.get("value") if isinstance(metric, dict) else metric
    return f"{value:.4f}" if isinstance(value, float) else "unknown" if value is None else str(value)


@commands.command("request")
@refuse_plainly
def change_request(
    digest: Seen,
    reason: Reason,
    model: Model = None,
    to: ToVersion = None,
    kind: KindOf = "rollback",
    cutoff: ToCutoff = None,
    tier: Tier = None,
    subject: Subject = None,
    segment: Segment = None,
    environment: Environment = None,
    alert: AlertId = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Ask for a change."""
    from backend.commands.client import Api

    wanted = _wanted(kind, model, to, cutoff, tier, subject, segment, environment, alert)
    asked = Api(token).post("/changes", {**wanted, "reason": reason, "digest": digest})
    if as_json:
        write_json(asked)
        return
    say(f"{asked['ref']} is {asked['state_words']}; it needs {asked['approvals_needed']} approval(s)")
    say(f"digest {asked['digest']}")


@commands.command("break-glass")
@refuse_plainly
def change_break_glass(
    digest: Seen,
    reason: Reason,
    model: Model = None,
    to: ToVersion = None,
    kind: KindOf = "rollback",
    cutoff: ToCutoff = None,
    tier: Tier = None,
    subject: Subject = None,
    segment: Segment = None,
    environment: Environment = None,
    alert: AlertId = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Act at once without approval, where the policy allows it to you; somebody else reviews it afterwards."""
    from backend.commands.client import Api

    wanted = _wanted(kind, model, to, cutoff, tier, subject, segment, environment, alert)
    broken = Api(token).post("/changes/break-glass", {**wanted, "reason": reason, "digest": digest})
    if as_json:
        write_json(broken)
    else:
        say(f"{broken['ref']} runs; somebody else reviews it by {utc(broken['review']['due_at'])}")
