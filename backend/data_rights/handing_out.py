"""The document of an access request: every row of a data subject, in words for people and as data beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.data_rights.documents import documents_folder, forget_document, places_of
from backend.data_rights.requests import get_request
from backend.data_rights.tables import DataRequest, DataRule
from backend.database.session import ReadSession, WriteSession
from backend.documents import Block, Heading, Paragraph, Sheet, Table, plain, standalone_html
from backend.durable import sync_file, sync_folder
from backend.errors import NotFound
from backend.explain.predictions import stored_of
from backend.holds.rows import any_hold_on_rows
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.artefacts import ArtefactAltered
from backend.registry.tables import Model

KEPT: Final = timedelta(days=30)
FORMS: Final = {"html": "text/html", "pdf": "application/pdf", "json": "application/json"}


def write_document(
    session: ReadSession,
    request: DataRequest,
    change_id: int,
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
) -> tuple[str, str]:
    """Write the rows, with explanations and what the data are used for, as JSON. Gives the file's name and digest.

    Made again for the same request it takes the place of the former.
    """
    ids = sorted({str(row["prediction_id"]) for found in rows.values() for row in found})
    content = json.dumps(
        {
            "request": request.id, "change": change_id, "model": request.model, "asked": request.how,
            "made_at": clock.to_iso(clock.now()), "use": _use(session, request.model or ""),
            "rows": rows, "explanations": _explanations(session, request.model or "", ids),
        },
        default=_plain, ensure_ascii=False, indent=1, sort_keys=True,
    ).encode()  # fmt: skip
    path, draft = places_of(request)
    draft.write_bytes(content)
    draft.chmod(0o600)
    sync_file(draft)
    draft.rename(path)
    sync_folder(path.parent)
    return path.name, f"sha256:{hashlib.sha256(content).hexdigest()}"


def open_document(session: ReadSession, viewer: Actor, request_id: str, form: str) -> tuple[bytes, str]:
    """The document of a finished access request as HTML, PDF or JSON, and its media type; its digest was checked now.

    Raises `NotFound`, and `ArtefactAltered` where the file is not the one that was written.
    """
    viewer.require(Permission.REQUEST_DATA)
    request = get_request(session, viewer, request_id)
    path = documents_folder() / request.file
    if form not in FORMS or request.done_at is None or not request.file or not path.is_file():
        raise NotFound(f"there is no such document of request {request_id}; it is kept for {KEPT.days} days")
    content = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if digest != request.file_digest:
        raise ArtefactAltered(
            f"the document of request {request_id} was altered after it was written",
            expected=request.file_digest,
            found=digest,
        )
    if form == "json":
        return content, FORMS[form]
    found = json.loads(content)
    sheet = Sheet(
        f"Data of one person in {request.model}",
        request.id,
        request.file_digest,
        clock.from_iso(found["made_at"]),
    )
    if form == "html":
        return standalone_html(sheet, blocks_of_access(found)).encode(), FORMS[form]
    from backend.documents.pdf import pdf_of

    return pdf_of(sheet, blocks_of_access(found)), FORMS[form]


def forget_documents(session: WriteSession) -> int:
    """Remove documents that were kept long enough, where no hold is on rows of their model. Gives how many."""
    query = select(DataRequest).where(DataRequest.file != "", DataRequest.done_at < clock.now() - KEPT)
    old = [one for one in session.scalars(query) if any_hold_on_rows(session, one.model or "") is None]
    for request in old:
        forget_document(request)
    return len(old)


def blocks_of_access(found: Mapping[str, Any]) -> list[Block]:
    """The document as blocks: what is used for what, then one table a row."""
    use = found["use"]
    blocks: list[Block] = [
        Heading(1, plain(f"What {found['model']} holds of one person")),
        Paragraph(plain(f"Asked for: {found['asked']}. Made {found['made_at']}, CHG-{found['change']}.")),
        Paragraph(
            plain(
                f"Used for: {', '.join(use['purposes']) or 'no purpose is recorded'}. {use['basis']}".strip()
            )
        ),
        Paragraph(plain(f"Predictions are kept: {_days(use['predictions_days'])}.")),
    ]
    if not found["rows"]:
        blocks.append(Paragraph(plain("No row was found.", bold=True)))
    for place, rows in sorted(found["rows"].items()):
        blocks.append(Heading(2, plain(f"{place.capitalize()} ({len(rows):,})")))
        for row in rows:
            blocks += [Heading(3, plain(str(row["prediction_id"]))), _facts(row)]
    if found["explanations"]:
        blocks.append(Heading(2, plain("Explanations")))
    for one in found["explanations"]:
        blocks += [Heading(3, plain(one["prediction_id"])), contributions_table(one["contributions"])]
    return blocks


def contributions_table(contributions: Sequence[Mapping[str, Any]]) -> Table:
    """What moved a prediction, largest first."""
    return Table(
        (plain("input"), plain("value"), plain("moved the score by")),
        tuple(
            (plain(one["column"]), plain(shown(one["value"])), plain(f"{one['contribution']:+.4g}"))
            for one in contributions
        ),
    )


def shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "not known"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _facts(row: Mapping[str, Any]) -> Table:
    return Table(
        (plain("what"), plain("value")),
        tuple((plain(name), plain(shown(value))) for name, value in row.items() if name != "prediction_id"),
    )


def _days(days: int | None) -> str:
    return f"{days:,} days" if days else "as long as the model is in use; no end is set"


def _use(session: ReadSession, model: str) -> dict[str, Any]:
    rule = session.get(DataRule, model)
    title = session.get_one(Model, model).title
    return {
        "title": title, "purposes": rule.purposes if rule else [], "basis": rule.basis if rule else "",
        "predictions_days": rule.predictions_days if rule else None,
    }  # fmt: skip


def _explanations(session: ReadSession, model: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"prediction_id": one.row.prediction_id, "version": one.row.version, "method": one.explainer.method,
         "contributions": list(one.contributions), "reason_codes": one.row.reason_codes}
        for one in stored_of(session, model, ids)
    ]  # fmt: skip


def _plain(value: Any) -> str:
    return clock.to_iso(value) if isinstance(value, datetime) else str(value)
