"""Objectives as files: the budget over time, last month's report, the definitions."""

from __future__ import annotations

from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from app.formats import format_count, format_share, format_when
from app.series_downloads import moment_of
from backend import clock
from backend.database.session import reading
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.settings import settings
from backend.slo.objectives_service import list_objectives, objective_of
from backend.slo.prometheus_rules import exportable, write_rules
from backend.slo.reading import Detail, read_detail, step_of
from backend.slo.sentences import events_words
from backend.slo.tables import ObjectiveRevision
from backend.slo.wording import span_words, target_words


def routes() -> list[BaseRoute]:
    return [
        Route("/export/slo.{form}", guarded(export_budget)),
        Route("/export/slo-report.md", guarded(export_report)),
        Route("/export/objectives.yaml", guarded(export_definitions)),
        Route("/export/slo-rules.yml", guarded(export_rules)),
    ]


def export_budget(request: Request, viewer: Actor) -> Response:
    """The budget of `objective` at each step from `since` to `until`, with what was counted in the step."""
    found = _detail(request, viewer)
    rows = [
        {
            "since": point.since, "at": point.at,
            "budget_left": point.remaining, "good": point.counts.good, "total": point.counts.total,
            "observed_s": point.counts.observed_s, "maintenance_s": point.counts.excluded_s,
        }
        for point in found.history
    ]  # fmt: skip
    return as_file(f"budget-{found.standing.revision.name}", request.path_params["form"], rows)


def export_report(request: Request, viewer: Actor) -> Response:
    """What the last calendar month of `objective` came to, as Markdown."""
    found = _detail(request, viewer)
    name = f"slo-{found.standing.revision.name}-{found.past_month.start:%Y-%m}.md"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(
        month_markdown(found, clock.now()), media_type="text/markdown; charset=utf-8", headers=headers
    )


def export_definitions(request: Request, viewer: Actor) -> Response:
    """Every objective of `model` (or all), as OpenSLO: `warrant slo export` makes Prometheus rules of it."""
    text = "---\n".join(row.document for row in _definitions(request, viewer))
    headers = {"Content-Disposition": 'attachment; filename="objectives.yaml"'}
    return Response(text, media_type="application/yaml; charset=utf-8", headers=headers)


def export_rules(request: Request, viewer: Actor) -> Response:
    """The same objectives as rules of Prometheus; the file says which are left out, and why."""
    kept, left_out = exportable([objective_of(row) for row in _definitions(request, viewer)])
    told = "".join(f"# Left out, {one.model}: {' '.join(reason.split())}\n" for one, reason in left_out)
    headers = {"Content-Disposition": 'attachment; filename="warrant-slo-rules.yml"'}
    return Response(told + write_rules(kept), media_type="application/yaml; charset=utf-8", headers=headers)


def _definitions(request: Request, viewer: Actor) -> list[ObjectiveRevision]:
    with reading() as session:
        return list_objectives(
            session, viewer, model=request.query_params.get("model"), environment=settings().environment
        )


def _detail(request: Request, viewer: Actor) -> Detail:
    key = request.query_params.get("objective")
    if not key:
        raise BadInput("say which objective: ?objective=", field="objective")
    now = clock.now()
    since, until = (moment_of(request.query_params.get(name), name) for name in ("since", "until"))
    step_s = step_of(since, until or now, now) if since is not None else None
    with reading() as session:
        return read_detail(session, viewer, key, since=since, until=until, step_s=step_s)


def month_markdown(detail: Detail, now: datetime) -> str:
    """The report of the last calendar month, as a file that people pass on."""
    one, objective, revision = detail.past_month, detail.standing.objective, detail.standing.revision
    met = {True: "met", False: "missed", None: "not known: no event was counted"}[one.met]
    spent = "not known" if one.spent is None else format_share(one.spent)
    worst = (
        f"{format_when(one.worst_day, one.zone)} ({format_count(one.worst_day_bad)} bad)"
        if one.worst_day
        else "none had a bad event"
    )
    told = [
        f"# {objective.title or objective.name}: {_span(one.start, one.end, one.zone)}",
        "",
        f"- Model: {revision.model} in {revision.environment}; revision {revision.number} of the objective",
        f"- Target: {target_words(objective)}: **{met}**",
        f"- Events: {events_words(objective, one.counts)}",
        f"- Budget of the month used: {spent}",
        f"- Observed: {format_share(one.observed)} of the month",
        f"- Left out for maintenance: {span_words(one.counts.excluded_s) if one.counts.excluded_s else 'nothing'}",
        f"- Worst day: {worst}",
        "",
        "## Alerts",
        "",
    ]
    told += [f"- {level}: {_span(fired, over, one.zone)}" for level, fired, over in one.alerts] or ["None."]
    told += ["", "## Maintenance", ""]
    mine = [
        row for row in detail.left_out
        if row.starts_at < one.end and row.ends_at > one.start
    ]  # fmt: skip
    told += [f"- {_span(row.starts_at, row.ends_at, one.zone)}: {row.reason}" for row in mine] or ["None."]
    return "\n".join([*told, "", f"Written {format_when(now, 'UTC', seconds=True)}.", ""])


def _span(start: datetime, end: datetime | None, zone: str) -> str:
    return f"{format_when(start, zone)} to {format_when(end, zone) if end else 'now'}"
