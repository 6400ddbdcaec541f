"""`warrant slo`: objectives in files: check them, export them as rules of Prometheus (both ask nobody), apply them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from backend.commands.group import Json, Token, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

if TYPE_CHECKING:
    from backend.commands.client import Api
    from backend.slo.findings import Finding
    from backend.slo.objectives import Objective

commands = typer.Typer(
    no_args_is_help=True, help="Service-level objectives: check files, export rules, apply, list."
)
Files = Annotated[list[Path], typer.Argument(help="OpenSLO v1, YAML; several are read as one")]


@commands.command("check")
@refuse_plainly
def slo_check(
    files: Files,
    retention: Annotated[
        str, typer.Option(help="how much your Prometheus keeps (--storage.tsdb.retention.time)")
    ] = "15d",
    as_json: Json = False,
) -> None:
    """Say what is wrong with objectives in files, with line and reason.

    Exit 2: a file cannot be taken. Exit 1: it can, and an objective is warned of, such as a row that never fires.
    """
    from backend.slo.durations import seconds_of
    from backend.slo.lint import findings_of
    from backend.slo.openslo import read_openslo

    reading = read_openslo([(str(file), _text_of(file)) for file in files])
    findings = findings_of(reading, retention_s=seconds_of(retention))
    if as_json:
        write_json({
            "files": [str(file) for file in files],
            "objectives": [_told(one) for one in reading.objectives],
            "documents": [
                {"kind": one.kind, "name": one.name, "file": one.place.file, "line": one.place.line}
                for one in reading.documents
            ],
            "findings": [one.as_dict() for one in findings],
        })  # fmt: skip
    else:
        _say_objectives(reading.objectives)
        _say_findings(findings)
        _say_total(len(reading.objectives), len(reading.documents), findings)
    levels = {one.level for one in findings}
    if levels & {"error", "warning"}:
        raise typer.Exit(2 if "error" in levels else 1)


@commands.command("export")
@refuse_plainly
def slo_export(
    files: Files,
    format: Annotated[
        Literal["prometheus", "openslo"],
        typer.Option(help="rules to load into Prometheus, or the file as read"),
    ] = "prometheus",
    out: Annotated[Path | None, typer.Option(help="where to write; else standard output")] = None,
    as_json: Json = False,
) -> None:
    """Write the objectives of files as recording and alerting rules of Prometheus, or as OpenSLO again.

    Exit 1: some objective cannot be answered by Prometheus; the others are written, and it is said which and why.
    """
    from backend.slo.openslo import OpenSloRefused, read_openslo

    reading = read_openslo([(str(file), _text_of(file)) for file in files])
    if reading.errors:
        raise OpenSloRefused(reading.errors)
    if not reading.objectives:
        raise BadInput(f"there is no SLO in {', '.join(str(file) for file in files)}")
    text, written, left_out = _exported(reading.objectives, format)
    if as_json:
        document: dict[str, Any] = {"format": format, "objectives": written, "left_out": left_out}
        if out is None:
            document["text"] = text
        write_json(document)
    if out is not None:
        _write(out, text)
        say(f"{len(written)} objective{'s' if len(written) != 1 else ''} written to {out}", error=True)
    elif not as_json:
        say(text.rstrip("\n"))
    for one in left_out:
        say(f"warrant: left out: {one['reason']}", error=True)
    if left_out:
        raise typer.Exit(1)


@commands.command("apply")
@refuse_plainly
def slo_apply(
    files: Files,
    why: Annotated[str, typer.Option(help="others will read it")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done, and do nothing")
    ] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Define the objectives of files in the console, or revise those that differ. None is retired.

    Doing it again does nothing. Files with an error (`warrant slo check`) are refused whole.
    """
    from backend.commands.client import Api
    from backend.slo.lint import findings_of
    from backend.slo.openslo import OpenSloRefused, read_openslo

    reading = read_openslo([(str(file), _text_of(file)) for file in files])
    errors = [one for one in findings_of(reading) if one.level == "error"]
    if errors:
        raise OpenSloRefused(errors)
    if not reading.objectives:
        raise BadInput(f"there is no SLO in {', '.join(str(file) for file in files)}")
    api, done = Api(token), []
    for one in reading.objectives:
        told = {"model": one.model, "environment": one.environment, "name": one.name}
        did, revision = _applied(api, one, why, dry_run=dry_run)
        done.append({**told, "did": did, "revision": revision})
        if not as_json:
            would = "would be " if dry_run and did != "unchanged" else ""
            number = f", revision {revision}" if revision else ""
            say(f"{one.model}/{one.environment} {one.name}: {would}{did}{number}")
    if as_json:
        write_json({"dry_run": dry_run, "objectives": done})


@commands.command("list")
@refuse_plainly
def slo_list(
    model: Annotated[str | None, typer.Option(help="of one model")] = None,
    environment: Annotated[str | None, typer.Option(help="else the console's own")] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show how every objective stands, those in danger first."""
    from backend.commands.client import Api

    found = Api(token).every("/objectives", "objectives", model=model, environment=environment)
    if as_json:
        write_json(found)
        return
    for one in found["objectives"]:
        says = f": {one['says']}" if one["says"] else ""
        say(f"{one['standing'].replace('_', ' '):<8} {one['model']} {one['name']}{says}")
    if not found["objectives"]:
        say("there are no objectives; write one (docs/slos.md) and `warrant slo apply` it")


def _applied(api: Api, objective: Objective, why: str, *, dry_run: bool) -> tuple[str, int | None]:
    """What was done with one objective, and its revision."""
    from backend.slo.openslo import parse_openslo
    from backend.slo.openslo_writing import write_openslo

    there = api.get("/objectives", model=objective.model, environment=objective.environment)["objectives"]
    same = next((one for one in there if one["name"] == objective.name), None)
    new = {"document": write_openslo([objective]), "why": why}
    if same is None:
        return "defined", None if dry_run else api.post("/objectives", new)["revision"]
    stored = api.get(f"/objectives/{same['key']}")["document"]
    if parse_openslo(stored) == (objective,):
        return "unchanged", same["revision"]
    if dry_run:
        return "revised", None
    return "revised", api.put(f"/objectives/{same['key']}", new | {"seen": same["revision"]})["revision"]


def _exported(objectives: tuple[Objective, ...], format_: str) -> tuple[str, list[str], list[dict[str, str]]]:
    """The text, the names of what is in it, and what is not, with the reason."""
    from backend.slo.openslo_writing import write_openslo
    from backend.slo.prometheus_rules import exportable, write_rules
    from backend.slo.promql import NotExportable

    if format_ == "openslo":
        return write_openslo(objectives), [one.name for one in objectives], []
    kept, left_out = exportable(objectives)
    if not kept:
        raise NotExportable("; ".join(reason for _, reason in left_out))
    told = [{"name": one.name, "model": one.model, "reason": reason} for one, reason in left_out]
    return write_rules(kept), [one.name for one in kept], told


def _told(objective: Objective) -> dict[str, Any]:
    from backend.slo.alert_row_text import plain
    from backend.slo.objectives import alert_rows
    from backend.slo.openslo_writing import openslo_of
    from backend.slo.wording import row_words

    return {
        "name": objective.name, "model": objective.model, "environment": objective.environment,
        "kind": objective.sli.kind.value, "target": float(objective.target),
        "period": openslo_of(objective)["spec"]["timeWindow"][0],
        "rows": [
            {
                "severity": row.severity, "long_s": row.long_s, "short_s": row.short_s,
                "factor": float(row.factor), "threshold": float(row.threshold),
                "budget_share": plain(row.budget_share), "text": row_words(row, objective),
            }
            for row in alert_rows(objective)
        ],
    }  # fmt: skip


def _say_objectives(objectives: tuple[Objective, ...]) -> None:
    from backend.slo.objectives import alert_rows
    from backend.slo.wording import row_words, target_words

    for one in objectives:
        say(f"{one.model}/{one.environment} {one.name}: {one.sli.kind.value}, {target_words(one)}")
        for row in alert_rows(one):
            say(f"  {row_words(row, one)}")


def _say_findings(findings: tuple[Finding, ...]) -> None:
    for one in findings:
        about = f"{one.objective}: " if one.objective else ""
        say(f"{one.place}: {one.level}: {about}{one.text} [{one.rule}]", error=one.level == "error")


def _say_total(objectives: int, documents: int, findings: tuple[Finding, ...]) -> None:
    counts = {level: sum(one.level == level for one in findings) for level in ("error", "warning", "note")}
    told = ", ".join(f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts.items())
    say(
        f"{objectives} objective{'s' if objectives != 1 else ''} in {documents} "
        f"document{'s' if documents != 1 else ''}: {told}"
    )


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
