"""The version and the predictions from before: whether they are recorded, and asking for the job that imports them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.entries_about import entries_about
from backend.audit.log import record
from backend.cards.document import read_card_source
from backend.cards.tables import CardVersion
from backend.cards.versions import newest_card
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, Conflict
from backend.governance.digests import digest_of
from backend.identity.actor import Actor
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.onboarding.comparing import Difference
from backend.onboarding.document import Written
from backend.onboarding.source_files import find_source, source_digest
from backend.queue import IMPORT_HISTORY, JobRun, request_job
from backend.registry.declared import id_of_person
from backend.registry.tables import Version
from backend.settings import settings

CARD_FROM: Final = "warrant.yaml"


def compare_history(session: ReadSession, written: Written) -> Iterator[Difference]:
    """The import that the document asks for, where it is not done.

    Raises `SpecRefused` for a source that is not there, and for a version that is registered otherwise.
    """
    version, history = written.document.version, written.document.history
    if version is None:
        return
    registered = session.get(Version, (written.name, version.number))
    if registered is not None and registered.trained_at != version.trained_at:
        said = (
            f"version {version.number} is registered as trained at {clock.to_words(registered.trained_at)}; a version "
            "stays as it is: give another one its own number"
        )
        raise written.refusal(BadInput(said), "version", "trained_at")
    if history is None:
        if registered is None:
            said = (
                f"version {version.number} is not registered: name its history, or register it with "
                "`warrant model register-version`"
            )
            raise written.refusal(BadInput(said), "version", "number")
        return
    try:
        source = find_source(history.path)
    except BadInput as error:
        if registered is not None:
            return  # what was imported once need not lie there for ever
        raise written.refusal(BadInput(f"history.path: {error.message}"), "history", "path") from error
    digest = history_digest(written, source_digest(source))
    told = entries_about(session, "model", [written.name], [Action.HISTORY_IMPORTED]).get(written.name, [])
    if registered is not None and any(one.says(history=digest) for one in told):
        return
    run = newest_run(session, written.name, digest)
    after = {"path": history.path, "version": version.number}
    if run is not None and run.state in ("queued", "running"):
        yield Difference(
            "history", history.path, "waits", after=after, says=f"{run.id} imports it, {run.progress:.0%}"
        )
        return
    failed = f"the import {run.id} failed: {run.error}" if run is not None and run.state == "failed" else ""
    yield Difference(
        "history", history.path, "added" if registered is None else "changed", after=after, says=failed
    )


def compare_card(session: ReadSession, written: Written) -> Iterator[Difference]:
    """Another text of the card of a version that is registered; the first comes with the version."""
    version, card = written.document.version, written.document.card
    if version is None or card is None:
        return
    registered = session.get(Version, (written.name, version.number))
    if registered is None:
        return
    wanted = read_card_source(card).digest
    newest = newest_card(session, written.name, version.number)
    if newest is None:
        if registered.card_digest != wanted:
            yield Difference("card", f"version {version.number}", "changed", after=card)
        return
    if newest.digest == wanted:
        return
    last = session.scalars(
        select(CardVersion)
        .where(
            CardVersion.model == written.name, CardVersion.version == version.number, CardVersion.source == "file",
            CardVersion.source_name == CARD_FROM,
        )
        .order_by(CardVersion.number.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    name = f"version {version.number}"
    if last is not None and last.digest == wanted:
        says = f"card version {newest.number} was written here since"
        yield Difference("card", name, "only_there", newest.text, says=says)
    else:
        yield Difference("card", name, "changed", newest.text, card)


def history_digest(written: Written, source: str) -> str:
    """Of what is imported, and how it is read: the same is imported once."""
    history, version = written.document.history, written.document.version
    assert history is not None  # noqa: S101 - asked of documents that have one
    assert version is not None  # noqa: S101 - a history is of a version
    return digest_of({
        "model": written.name, "version": version.number, "source": source, "timezone": history.timezone,
        "columns": history.columns.model_dump(),
    })  # fmt: skip


def newest_run(session: ReadSession, model: str, digest: str) -> JobRun | None:
    """The last run that was asked to import this."""
    query = (
        select(JobRun)
        .where(JobRun.name == IMPORT_HISTORY.name, JobRun.subject == model)
        .order_by(JobRun.requested_at.desc(), JobRun.id.desc())
    )
    return next((one for one in session.scalars(query) if one.arguments.get("history") == digest), None)


def request_history(session: WriteSession, actor: Actor, *, written: Written, why: str) -> JobRun:
    """Ask for the import: the version with its reference rows, then every row, in batches. Again: the same run.

    Who trained the version is who the document says, else whoever asks, so that nobody decides on it unnoticed.
    """
    allow(session, actor, Permission.REGISTER_VERSIONS)
    allow(session, actor, Permission.INGEST)
    document = written.document
    if document.history is None or document.version is None:
        raise BadInput("the document names no history", field="history")
    source = find_source(document.history.path)
    content = source_digest(source)
    digest = history_digest(written, content)
    before = newest_run(session, written.name, digest)
    if before is not None and before.state in ("queued", "running"):
        return before
    _refuse_beside_another(session, written.name)
    arguments = {
        "history": digest, "source": str(source), "source_digest": content, "document": document.as_dict(),
        "environment": settings().environment, **_people(session, actor, written),
    }  # fmt: skip
    run = request_job(
        session, IMPORT_HISTORY, subject=written.name, arguments=arguments, requested_by=actor.person_row
    )
    record(
        session, actor, Action.HISTORY_REQUESTED, object_kind="model", object_id=written.name, why=why,
        payload={"run": run.id, "history": digest, "source": content, "version": document.version.number,
                 "trained_by": arguments["trained_by"], "data_owner": arguments["data_owner"]},
    )  # fmt: skip
    return run


def _people(session: ReadSession, actor: Actor, written: Written) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("trained_by", "data_owner"):
        try:
            found[key] = id_of_person(session, getattr(written.document.version, key), f"version.{key}")
        except BadInput as error:
            raise written.refusal(error, "version", key) from error
    found["trained_by"] = found["trained_by"] or actor.acting_for or actor.person_row
    return found


def _refuse_beside_another(session: ReadSession, model: str) -> None:
    """One import of a model at a time: two would hand in the same ids."""
    running = session.scalars(
        select(JobRun).where(
            JobRun.name == IMPORT_HISTORY.name, JobRun.subject == model, JobRun.state.in_(("queued", "running"))
        )
    ).first()  # fmt: skip
    if running is not None:
        raise Conflict(
            f"{running.id} imports another history of {model}; apply again once it is done", run=running.id
        )
