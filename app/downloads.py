"""Files people take away: reports that jobs wrote, and lists as CSV or JSON. Each request is checked.

Streamlit's own downloads lie in memory at an address that needs no cookie, so pages link here instead.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from app.templates import render
from backend import clock
from backend.api.security import signed_in
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.reading import MAX_LIMIT, search_entries
from backend.database.session import ReadSession, reading, writing
from backend.errors import BadInput, WarrantError
from backend.explain.reports import open_report
from backend.governance.service import list_changes
from backend.governance.views import change_summary
from backend.identity.actor import Actor

# A report's scripts run in an origin of their own: they reach no cookie, no page of ours and no other host.
SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline' data:; img-src data: blob:; font-src data:; connect-src 'none'; frame-ancestors 'none'"
)
Handler = Callable[[Request, Actor], Response]


def routes() -> list[BaseRoute]:
    return [
        Route("/files/{report_id}", guarded(send_report)),
        Route("/export/changes.{form}", guarded(export_changes)),
        Route("/export/audit.{form}", guarded(export_audit)),
    ]


def guarded(handler: Handler) -> Callable[[Request], Response]:
    """The handler for whoever the session cookie names; errors become a plain page."""

    def answer(request: Request) -> Response:
        try:
            response = handler(request, signed_in(request).actor)
        except WarrantError as error:
            page = render(
                "error.html", status=error.status, title=error.title, message=error.message,
                back_path="/", back_label="Back to the overview",
            )  # fmt: skip
            response = HTMLResponse(page, status_code=error.status)
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer


def send_report(request: Request, viewer: Actor) -> Response:
    """A stored report as a download; `?open` shows it in the browser, sandboxed."""
    with reading() as session:
        report, path = open_report(session, viewer, request.path_params["report_id"])
    name = f"{report.kind}-{report.model}-{report.id}{path.suffix}"
    return FileResponse(
        path, media_type=report.media_type, filename=name,
        content_disposition_type="inline" if "open" in request.query_params else "attachment",
        headers={"Content-Security-Policy": SANDBOX},
    )  # fmt: skip


def export_changes(request: Request, viewer: Actor) -> Response:
    with reading() as session:
        rows = [change_summary(session, change) for change in list_changes(session, viewer, limit=5000)]
    return as_file("changes", request.path_params["form"], rows)


def export_audit(request: Request, viewer: Actor) -> Response:
    """The entries a search on the Audit page finds (its own parameters), newest first, 5,000 at most.
    `routine=no` leaves out what workers and gateways write all day."""
    query = request.query_params
    wanted: dict[str, Any] = {
        name: query[name] for name in ("who", "action", "object_kind", "object_id", "text") if name in query
    }
    if query.get("routine") == "no":
        wanted["routine"] = False
    with reading() as session:
        rows = list(_entries(session, viewer, wanted))
    with writing() as session:
        record(
            session, viewer, Action.AUDIT_EXPORTED, object_kind="log", object_id="entries",
            payload={"search": wanted, "entries": len(rows), "form": request.path_params["form"]},
        )  # fmt: skip
    return as_file("audit", request.path_params["form"], rows)


def _entries(session: ReadSession, viewer: Actor, wanted: dict[str, Any]) -> Iterable[dict[str, Any]]:
    before: int | None = None
    for _ in range(10):
        found = search_entries(session, viewer, before_seq=before, limit=MAX_LIMIT, **wanted)
        for entry in found:
            yield {
                "seq": entry.seq, "at": entry.at, "actor": entry.actor_id, "actor_name": entry.actor_name,
                "action": entry.action, "object_kind": entry.object_kind, "object_id": entry.object_id,
                "why": entry.why, "leaf_hash": entry.leaf_hash, "damaged": entry.damaged,
            }  # fmt: skip
        if len(found) < MAX_LIMIT:
            return
        before = found[-1].seq


def as_file(name: str, form: str, rows: list[Mapping[str, Any]] | list[dict[str, Any]]) -> Response:
    if form == "json":
        body, media = json.dumps(rows, default=_plain, ensure_ascii=False, indent=1), "application/json"
    elif form == "csv":
        table = io.StringIO()
        columns = list(rows[0]) if rows else []
        writer = csv.DictWriter(table, columns)
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        body, media = table.getvalue(), "text/csv; charset=utf-8"
    else:
        raise BadInput(f"lists are exported as csv or json, not {form!r}")
    stamp = clock.now().strftime("%Y%m%dT%H%MZ")
    headers = {"Content-Disposition": f'attachment; filename="warrant-{name}-{stamp}.{form}"'}
    return Response(body, media_type=media, headers=headers)


def _plain(value: Any) -> Any:
    return clock.to_iso(value) if isinstance(value, datetime) else str(value)


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, datetime):
        return clock.to_iso(value)
    text = "" if value is None else str(value)
    return (
        f"'{text}"
        if text[:1] in ("=", "+", "-", "@", "\t", "\r") and not isinstance(value, (int, float))
        else text
    )
