"""Files people take away: reports that jobs wrote, and lists as CSV or JSON. Each request is checked.

Streamlit's own downloads lie in memory at an address that needs no cookie, so pages link here instead.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from app.templates import render
from backend import clock
from backend.api.security import signed_in
from backend.audit.export import begin_export, pieces
from backend.audit.formats.csv_rows import safe_cell
from backend.audit.receipts import receipt
from backend.audit.searching import Search
from backend.database.session import reading, writing
from backend.errors import BadInput, WarrantError
from backend.explain.reports import open_report
from backend.governance.reading import list_changes
from backend.governance.views import change_summaries
from backend.identity.actor import Actor

# A report's scripts run in an origin of their own: they reach no cookie, no page of ours and no other host.
SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline' data:; img-src data: blob:; font-src data:; connect-src 'none'; frame-ancestors 'none'"
)
AT_ONCE = 1000  # changes that are read together
SEARCHED = ("who", "action", "object_kind", "object_id", "text", "since", "until")
Handler = Callable[[Request, Actor], Response]


def routes() -> list[BaseRoute]:
    return [
        Route("/files/{report_id}", guarded(send_report)),
        Route("/receipt/{seq:int}", guarded(send_receipt)),
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


def send_receipt(request: Request, viewer: Actor) -> Response:
    """One entry of the log with its proof, as a file that verifies without Warrant."""
    seq = request.path_params["seq"]
    with reading() as session:
        content = receipt(session, viewer, seq)
    headers = {"Content-Disposition": f'attachment; filename="audit-{seq}.tlog-proof"'}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)


def export_changes(request: Request, viewer: Actor) -> Response:
    """Every change that the viewer may see, newest first."""
    rows: list[dict[str, Any]] = []
    with reading() as session:
        found = list_changes(session, viewer, limit=AT_ONCE)
        while found:
            rows += change_summaries(session, found)
            found = list_changes(session, viewer, limit=AT_ONCE, before=found[-1].id)
    return as_file("changes", request.path_params["form"], rows)


def export_audit(request: Request, viewer: Actor) -> Response:
    """The entries that a search on the Audit page finds (its own parameters), oldest first, all of them. `routine=no`
    leaves out what workers and gateways write all day."""
    query = request.query_params
    wanted = Search.from_json(
        {name: query[name] for name in SEARCHED if query.get(name)}
        | {"routine": query.get("routine") != "no"}
    )
    with writing() as session:
        export = begin_export(session, viewer, wanted, form=request.path_params["form"])
    headers = {"Content-Disposition": f'attachment; filename="{export.file_name}"'}
    return StreamingResponse(pieces(export), media_type=export.form.media_type, headers=headers)


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
    return safe_cell(clock.to_iso(value) if isinstance(value, datetime) else value)
