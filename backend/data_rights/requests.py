"""Requests of people about their data: asked for, decided on as a change of kind `erase` or `access`, carried out.

Who a request is about is in its row alone, until it is done; the change, its evidence and the log name the request by
its id, what it is about in kind ("by the column customer"), and how much was found.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.erasure import erase_payloads
from backend.audit.log import record
from backend.backups.state import newest_made
from backend.data_rights.documents import forget_document, holds_rows_of
from backend.data_rights.people import erase_person, require_erasable
from backend.data_rights.tables import DataRequest
from backend.data_rights.texts import checked_numbers, require_removable
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict, NotFound
from backend.explain.predictions import forget_explanations
from backend.explain.reports import forget_reports
from backend.governance import machine
from backend.governance.asking import draft_change, preview_change, send_change
from backend.governance.digests import digest_of
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.holds.rows import hold_on_rows
from backend.holds.service import refusal
from backend.holds.tables import Hold
from backend.identity.actor import Actor
from backend.identity.freshness import require_fresh
from backend.identity.people import person_by_id
from backend.identity.reach import see
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.observations.pseudonyms import pseudonym
from backend.queue import EXPLAIN_PREDICTION, JobRun
from backend.registry.service import get_model
from backend.settings import settings

if TYPE_CHECKING:
    from backend.observations.erasing import Subject

KINDS: Final = ("erase", "access")
MOST_IDS: Final = 10_000
MOST_LISTED: Final = 100
LONGEST_VALUE: Final = 1024


def request_rows(
    session: WriteSession,
    actor: Actor,
    *,
    kind: str,
    model: str,
    reason: str,
    prediction_ids: Sequence[str] = (),
    value: str = "",
) -> DataRequest:
    """Ask that rows of a data subject be erased, or handed out: by prediction ids, or by the value of the model's
    declared `subject` column. Gives the request; its change waits for others.

    Raises `BadInput`, and `Held` where a hold forbids an erasure.
    """
    actor.require(Permission.REQUEST_DATA)
    if kind not in KINDS:
        raise BadInput(f"a request is one of {', '.join(KINDS)}, not {kind!r}", field="kind")
    row = get_model(session, actor, model)
    ids, value = sorted({one.strip() for one in prediction_ids if one.strip()}), value.strip()
    if bool(ids) == bool(value):
        raise BadInput("name the rows by their prediction ids or by the subject's value, one of both")
    if len(ids) > MOST_IDS or len(value) > LONGEST_VALUE:
        raise BadInput(
            f"at most {MOST_IDS:,} prediction ids, and a value of {LONGEST_VALUE} characters, in one request"
        )
    if ids:
        selector: dict[str, Any] = {"prediction_ids": ids}
        how = "1 prediction id" if len(ids) == 1 else f"{len(ids):,} prediction ids"
    else:
        spec = parse_spec(row.spec)
        if not spec.subject:
            raise BadInput(
                f"the spec of {model} declares no `subject` column; name the prediction ids, or declare one",
                field="value",
            )
        stored = pseudonym(model, value) if spec.subject in spec.pseudonymise else value
        selector = {"column": spec.subject, "value": stored}
        how = f"by the column {spec.subject}"
    if kind == "erase":
        hold = hold_on_rows(session, model, prediction_ids=ids, values=[value] if value else ())
        if hold is not None:
            raise refusal(hold)
    return _ask(
        session, actor, DataRequest(kind=kind, about="rows", model=model, how=how, selector=selector), reason
    )


def request_erasure_of_person(
    session: WriteSession, actor: Actor, *, person_id: str, reason: str
) -> DataRequest:
    """Ask that somebody who used Warrant be erased. Raises `Held`, `NotFound`, `Conflict`, `AlreadyErased`."""
    actor.require(Permission.REQUEST_DATA)
    require_erasable(session, person_id)
    waiting = session.scalar(
        select(DataRequest.id)
        .join(Change, Change.id == DataRequest.change_id)
        .where(DataRequest.person_id == person_id, Change.state.in_(machine.OPEN))
    )
    if waiting is not None:
        raise Conflict(f"request {waiting} to erase this person is open already")
    made = DataRequest(kind="erase", about="person", person_id=person_id, how=f"the account {person_id}")
    return _ask(session, actor, made, reason)


def request_erasure_of_texts(
    session: WriteSession, actor: Actor, *, entries: Sequence[int], reason: str
) -> DataRequest:
    """Ask that the texts of entries of the log be erased, because they name somebody; leaves and proofs stay.

    Raises `BadInput` for entries without a text, `Conflict` for those whose text has to stay, and `Held`.
    """
    actor.require(Permission.REQUEST_DATA)
    actor.require(Permission.READ_AUDIT_PAYLOAD)
    numbers = checked_numbers(entries)
    require_removable(session, numbers)
    named = ", ".join(str(one) for one in numbers[:20]) + (", …" if len(numbers) > 20 else "")
    how = f"{'entry' if len(numbers) == 1 else f'{len(numbers)} entries'} of the log: {named}"
    return _ask(
        session,
        actor,
        DataRequest(kind="erase", about="entries", how=how, selector={"entries": numbers}),
        reason,
    )


def _ask(session: WriteSession, actor: Actor, made: DataRequest, reason: str) -> DataRequest:
    if made.kind == "erase":
        require_fresh(actor, "ask for an erasure", permission=Permission.REQUEST_DATA)
    # The salt is thrown away: nobody can try out whom a digest in the log is about.
    made.digest = digest_of(
        {"kind": made.kind, "model": made.model, "person": made.person_id, "selector": made.selector,
         "salt": secrets.token_hex(16)}
    )  # fmt: skip
    made.requested_by, made.requested_at = actor.person_id, clock.now()
    session.add(made)
    session.flush()
    asked = Asked(made.kind, settings().environment, made.model, subject={"request": made.id})
    seen = preview_change(session, actor, asked).digest
    change = draft_change(session, actor, asked, reason=reason, seen_digest=seen)
    made.change_id = change.id
    send_change(session, change)
    session.flush()
    return made


def get_request(session: ReadSession, viewer: Actor, request_id: str) -> DataRequest:
    """One request. Raises `NotFound`."""
    see(session, viewer, Permission.READ_DATA_REQUESTS)
    found = session.get(DataRequest, request_id)
    if found is None:
        raise NotFound(f"there is no data request {request_id} that you may see")
    return found


def list_requests(session: ReadSession, viewer: Actor, *, limit: int = MOST_LISTED) -> list[DataRequest]:
    """The newest `limit`, and every one that waits, however old: it has to be answered in time. Newest first."""
    see(session, viewer, Permission.READ_DATA_REQUESTS)
    query = select(DataRequest).order_by(DataRequest.requested_at.desc(), DataRequest.id)
    waits = query.join(Change, Change.id == DataRequest.change_id).where(Change.state.in_(machine.OPEN))
    found = {one.id: one for one in (*session.scalars(query.limit(limit)), *session.scalars(waits))}
    return sorted(found.values(), key=lambda one: (-one.requested_at.timestamp(), one.id))


def request_of(session: ReadSession, change: Change) -> DataRequest:
    """The request that a change carries out. Raises `NotFound`."""
    found = session.get(DataRequest, str(change.subject.get("request", "")))
    if found is None:
        raise NotFound(f"CHG-{change.id} names no data request")
    if found.change_id != change.id:
        raise Conflict(f"data request {found.id} was asked for with another change than CHG-{change.id}")
    return found


def subject_of(request: DataRequest) -> Subject:
    """Whose rows, for the observation store."""
    from backend.observations.erasing import Subject  # reads Delta tables; the console never does

    selector = request.selector or {}
    return Subject(
        prediction_ids=tuple(selector.get("prediction_ids", ())),
        column=selector.get("column", ""),
        value=selector.get("value", ""),
    )


def require_erasable_now(
    session: ReadSession, request: DataRequest, *, prediction_ids: Sequence[str] = ()
) -> None:
    """Asked again directly before anything is erased: a hold may have come after the approval. Raises `Held`.

    `prediction_ids`: what was found to be erased, besides what the request itself names.
    """
    if request.about == "person":
        require_erasable(session, request.person_id or "")
        return
    if request.about == "entries":
        require_removable(session, (request.selector or {}).get("entries", []))
        return
    hold = _hold_on(session, request, prediction_ids)
    if hold is not None:
        raise refusal(hold, reason=False)


def _hold_on(session: ReadSession, request: DataRequest, prediction_ids: Sequence[str] = ()) -> Hold | None:
    selector = request.selector or {}
    value = selector.get("value")
    ids = {*prediction_ids, *selector.get("prediction_ids", ())}
    return hold_on_rows(session, request.model or "", prediction_ids=ids, values=[value] if value else ())


def keep_found(session: WriteSession, request_id: str, counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Add what was found (rows by place, by prediction id) to the request, before it is erased: who is killed after it
    still knows what there was. Ids that are known already are not counted again. Gives every id found so far.
    """
    request = session.scalars(select(DataRequest).where(DataRequest.id == request_id).with_for_update()).one()
    known: list[str] = (request.found or {}).get("ids", [])
    new = sorted(set(counts) - set(known))
    sums = Counter(request.counts or {})
    for one in new:
        sums.update(counts[one])
    request.found, request.counts = {"ids": [*known, *new]}, dict(sorted(sums.items()))
    session.flush()
    return [*known, *new]


def mark_carried_out(session: WriteSession, request_id: str, *, file: str = "", digest: str = "") -> None:
    """What lies outside the database is done."""
    request = session.scalars(select(DataRequest).where(DataRequest.id == request_id).with_for_update()).one()
    request.carried_out_at = request.carried_out_at or clock.now()
    request.file, request.file_digest = file or request.file, digest or request.file_digest
    session.flush()


def finish_erasure(session: WriteSession, actor: Actor, change: Change) -> str:
    """The last transaction of an erasure: what the database holds goes, and so does who was asked about."""
    request = request_of(session, change)
    if request.about == "person":
        why = f"CHG-{change.id}, request {request.id}"
        request.counts = erase_person(session, actor, request.person_id or "", why=why, request=request.id)
        outcome = "the person is erased; the log verifies as before"
    elif request.about == "entries":
        numbers: list[int] = (request.selector or {}).get("entries", [])
        require_removable(session, numbers)
        why = f"CHG-{change.id}, request {request.id}"
        gone = erase_payloads(session, actor, numbers, why=why, subject=request.id)
        request.counts = {"texts of entries": len(gone)}
        outcome = f"{len(gone):,} texts of the log are erased; it verifies as before"
    else:
        _require_carried_out(request)
        predictions = len((request.found or {}).get("ids", []))
        kept = _forget_what_hangs_on_them(session, request)
        rows = sum((request.counts or {}).values())
        outcome = (
            f"{predictions:,} predictions of {request.model} erased, {rows:,} rows in all; profiles are kept"
        )
        outcome += kept
    _close(session, actor, change, request, Action.DATA_ERASED)
    return outcome + _left_in_backups(session)


def settle_failed(session: WriteSession, actor: Actor, change: Change) -> str:
    """An erasure that failed may have erased rows that it had found, and whoever asks again finds them no more: what
    hangs on them goes now, and an entry says so. A document that nobody is offered is not kept. Gives what is so, in
    words."""
    request = request_of(session, change)
    if request.kind == "access":
        forget_document(request)
        return "no document is kept"
    predictions = len((request.found or {}).get("ids", []))
    if request.about != "rows" or not predictions:
        return "nothing was erased"
    kept = _forget_what_hangs_on_them(session, request)
    rows = sum((request.counts or {}).values())
    _close(session, actor, change, request, Action.DATA_ERASED, complete=False)
    return (
        f"up to {rows:,} rows of {predictions:,} predictions had been erased by then{kept}: ask again, so that what is "
        "left goes, too"
    )


def _forget_what_hangs_on_them(session: WriteSession, request: DataRequest) -> str:
    """Explanations, documents and reports of the predictions that were found, but for a hold, which is then said."""
    ids: list[str] = (request.found or {}).get("ids", [])
    named = set(ids) | set((request.selector or {}).get("prediction_ids", ()))
    hold = _hold_on(session, request)  # it may have come when the rows were gone already
    explained = forget_explanations(session, request.model or "", sorted(named)) if hold is None else 0
    _forget_whom_runs_explained(session, request.model or "", named)
    copies = _forget_copies(session, request, named) if hold is None else 0
    reports = forget_reports(session, request.model or "") if hold is None else 0
    more = {"explanations": explained, "access documents": copies, "reports": reports}
    request.counts = {**(request.counts or {}), **{name: count for name, count in more.items() if count}}
    return f"; so are explanations, documents and reports, for hold {hold.id}" if hold is not None else ""


def _left_in_backups(session: ReadSession) -> str:
    """What an erasure does not reach, in words; nothing where no backup was ever made."""
    newest = newest_made(session)
    if newest is None:
        return ""
    return f"; backups up to the one of {newest.snapshot_at:%Y-%m-%d %H:%M:%S} UTC hold it until they are deleted"


def finish_access(session: WriteSession, actor: Actor, change: Change) -> str:
    """The last transaction of an access request: the document is there, and who was asked about is forgotten."""
    request = request_of(session, change)
    _require_carried_out(request)
    _refuse_erased_since(session, change, request)
    _close(session, actor, change, request, Action.DATA_HANDED_OUT)
    return f"{sum((request.counts or {}).values()):,} rows of {request.model} are in the document"


def _refuse_erased_since(session: ReadSession, change: Change, request: DataRequest) -> None:
    """The document may hold rows of an erasure that ended while it was written, and removed those it knew."""
    run = session.get(JobRun, change.run_id) if change.run_id is not None else None
    since = run.started_at if run is not None and run.started_at is not None else change.requested_at
    erased = session.scalar(
        select(DataRequest.id).where(
            DataRequest.kind == "erase", DataRequest.model == request.model, DataRequest.done_at >= since
        ).limit(1)
    )  # fmt: skip
    if erased is not None:
        raise Conflict(
            f"rows of {request.model} were erased while the document was made ({erased}); ask for it again"
        )


def _require_carried_out(request: DataRequest) -> None:
    if request.carried_out_at is None:
        raise Conflict(f"request {request.id} has not been carried out yet; its rows are still there")


def _close(
    session: WriteSession,
    actor: Actor,
    change: Change,
    request: DataRequest,
    action: Action,
    *,
    complete: bool = True,
) -> None:
    request.done_at = clock.now() if complete else None
    found = len((request.found or {}).get("ids", []))
    request.selector = request.found = None
    session.flush()
    record(
        session, actor, action, object_kind="data_request", object_id=request.id, why=change.reason,
        payload={"change": change.id, "about": request.about, "model": request.model, "how": request.how,
                 "predictions": found, "rows": request.counts or {}, "document": request.file_digest or None}
        | ({} if complete else {"complete": False}),
    )  # fmt: skip


def _forget_whom_runs_explained(session: WriteSession, model: str, ids: set[str]) -> None:
    """Runs that computed what moved a prediction stay in the list of jobs; of whom it was does not."""
    runs = select(JobRun).where(JobRun.name == EXPLAIN_PREDICTION.name, JobRun.subject == model)
    for run in session.scalars(runs):
        if run.arguments.get("prediction_id") in ids:
            run.arguments = {"prediction_id": ""}
    session.flush()


def _forget_copies(session: WriteSession, request: DataRequest, ids: set[str]) -> int:
    """Remove what access requests handed out of the same person. Gives how many documents."""
    handed_out = session.scalars(
        select(DataRequest).where(
            DataRequest.kind == "access", DataRequest.model == request.model, DataRequest.file != ""
        )
    )
    selector = request.selector or {}
    mine = [
        one
        for one in handed_out
        if holds_rows_of(one, ids, selector.get("column", ""), selector.get("value"))
    ]
    for one in mine:
        forget_document(one)
    return len(mine)


def open_request_of(session: ReadSession, request_id: str) -> DataRequest:
    """A request that can still be carried out. Raises `NotFound`, or `Conflict` when it is done."""
    found = session.get(DataRequest, request_id)
    if found is None:
        raise NotFound(f"there is no data request {request_id}")
    if found.done_at is not None:
        raise Conflict(f"data request {request_id} was carried out on {found.done_at:%Y-%m-%d %H:%M:%S UTC}")
    return found


def forget_withdrawn(session: WriteSession) -> int:
    """Forget who those requests were about whose change ended without being executed, and what was written for them.
    Gives how many."""
    ended = session.scalars(
        select(DataRequest)
        .join(Change, Change.id == DataRequest.change_id)
        .where(
            or_(DataRequest.selector.is_not(None), DataRequest.found.is_not(None), DataRequest.file != ""),
            Change.state.in_(("rejected", "expired", "void", "cancelled", "failed")),
        )
    ).all()
    for request in ended:
        forget_document(request)
        request.selector = request.found = None
    return len(ended)


def name_of_subject(session: ReadSession, request: DataRequest) -> str:
    """For lists: what a request is about, naming nobody who is not a colleague."""
    if request.about == "person":
        return person_by_id(session, request.person_id or "").display_name
    return request.how if request.model is None else f"{request.model}: {request.how}"
