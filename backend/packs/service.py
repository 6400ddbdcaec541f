"""Asking for packs, finding them, taking them away, and letting them go.

A pack is made by a job, from what the person who asked may see at that moment. Its row names the digest of the file;
a file that is not that one is never handed out. Each taking is an entry of the log, as the making is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.assurance.texts import written
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.durable import sync_file, sync_folder
from backend.errors import BadInput, Conflict, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow, see
from backend.identity.roles import Permission
from backend.identity.sessions import actor_of, may_sign_in
from backend.identity.tables import Person
from backend.packs.keeping import Standing, folder, standing_of, why_not_kept, why_outdated
from backend.packs.made import Built, Wanted
from backend.packs.scope import Scope, scope_of
from backend.packs.tables import EvidencePack
from backend.queue import MAKE_PACK, JobRun, request_job
from backend.settings import settings

AT_ONCE: Final = 20  # unfinished packs of one person
_STATES: Final = {
    "queued": "queued",
    "running": "being made",
    "failed": "failed",
    "forgotten": "not kept any more",
}


class PackGone(Conflict):
    """The pack was made, and its file is not kept any more or is not the one that was made."""

    title = "The pack is gone"


class NotMadeYet(Conflict):
    title = "Not made yet"


def request_pack(
    session: WriteSession, actor: Actor, *, kind: str, reason: str, model: str | None = None,
    version: int | None = None, change: int | None = None, period: str = "", as_of: datetime | None = None,
    environment: str | None = None,
) -> EvidencePack:  # fmt: skip
    """Have a pack made; its job commits with the request. Raises `BadInput`, `NotFound`, `NotAllowed`, `Conflict`."""
    allow(session, actor, Permission.MAKE_PACKS)
    if actor.person_row is None:
        raise NotAllowed("somebody asks for a pack: it is made from what that person may see")
    scope = scope_of(session, actor, kind=kind, model=model, version=version, change=change, period=period)
    reason, now = written(reason, "reason"), clock.now()
    if as_of is not None and (as_of.tzinfo is None or as_of > now):
        raise BadInput("the as-of moment has its zone and has come already", field="as_of")
    waiting = session.scalars(
        select(EvidencePack.id).join(JobRun, JobRun.id == EvidencePack.run_id).where(
            EvidencePack.requested_by == actor.person_id, JobRun.state.in_(("queued", "running"))
        )
    ).all()  # fmt: skip
    if len(waiting) >= AT_ONCE:
        raise Conflict(f"{len(waiting)} packs that you asked for are not made yet; wait for them")
    pack = EvidencePack(
        kind=scope.kind, model=scope.model, version=scope.version, change_id=scope.change, period=scope.period,
        about=scope.about, environment=environment or settings().environment, as_of=as_of or now, reason=reason,
        clear=actor.may(Permission.READ_AUDIT_PAYLOAD), requested_by=actor.person_id, requested_at=now, run_id="",
        gaps={}, people=[],
    )  # fmt: skip
    session.add(pack)
    session.flush()
    run = request_job(
        session, MAKE_PACK, subject=scope.model or scope.about, arguments={"pack": pack.id},
        run_id=f"make-{pack.id}", requested_by=actor.person_row,
    )  # fmt: skip
    pack.run_id = run.id
    record(
        session, actor, Action.PACK_REQUESTED, object_kind="pack", object_id=pack.id, why=reason,
        payload={"scope": scope.as_dict(), "as_of": clock.to_iso(pack.as_of), "environment": pack.environment},
    )  # fmt: skip
    return pack


def list_packs(
    session: ReadSession,
    viewer: Actor,
    *,
    model: str | None = None,
    change: int | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[EvidencePack]:
    """Newest first, as far as the viewer may see them."""
    _see(session, viewer)
    query = (
        select(EvidencePack)
        .order_by(EvidencePack.requested_at.desc(), EvidencePack.id)
        .limit(limit)
        .offset(offset)
    )
    if model is not None:
        query = query.where(EvidencePack.model == model)
    if change is not None:
        query = query.where(EvidencePack.change_id == change)
    return list(session.scalars(query))


def get_pack(session: ReadSession, viewer: Actor, pack_id: str) -> EvidencePack:
    _see(session, viewer)
    pack = session.scalars(select(EvidencePack).where(EvidencePack.id == pack_id)).one_or_none()
    if pack is None:
        raise NotFound(f"there is no pack {pack_id} that you may see")
    return pack


def take_pack(session: WriteSession, viewer: Actor, pack_id: str) -> tuple[EvidencePack, Path]:
    """The pack and its file, checked now; that it was taken is an entry.

    Raises `NotFound`, `NotMadeYet`, `PackGone`, and `NotAllowed` where it holds payloads that the viewer may not read.
    """
    pack = get_pack(session, viewer, pack_id)
    if pack.clear:
        viewer.require(Permission.READ_AUDIT_PAYLOAD)
    if pack.forgotten_at is not None:
        raise PackGone(f"the file of {pack_id} was let go: {pack.forgotten_because}; have it made again")
    if pack.made_at is None:
        run = session.get(JobRun, pack.run_id)
        said = (
            f"it failed: {run.error}" if run is not None and run.state == "failed" else "its job is not done"
        )
        raise NotMadeYet(f"pack {pack_id} is not made yet: {said}")
    why = why_not_kept(session, pack)
    if why:
        raise PackGone(f"the file of {pack_id} is not handed out any more: {why}; have it made again")
    path = folder() / pack.file
    if not path.is_file() or _digest(path) != pack.digest:
        raise PackGone(f"the file of {pack_id} is gone or is not the one that was made; have it made again")
    record(
        session, viewer, Action.PACK_TAKEN, object_kind="pack", object_id=pack.id,
        payload={"digest": pack.digest, "manifest": pack.manifest},
    )  # fmt: skip
    return pack, path


def pack_views(session: ReadSession, packs: list[EvidencePack]) -> list[dict[str, Any]]:
    """Plain data for pages, API and command line, with how far each is."""
    names = names_of(session, {one.requested_by for one in packs})
    runs = {
        one.id: one for one in session.scalars(select(JobRun).where(JobRun.id.in_([p.run_id for p in packs])))
    }
    stand = standing_of(session, packs)
    return [_view(one, runs.get(one.run_id), names, stand[one.id]) for one in packs]


def _view(
    pack: EvidencePack, run: JobRun | None, names: Mapping[str, str], stands: Standing
) -> dict[str, Any]:
    state = "forgotten" if stands.gone else "made" if pack.made_at else run.state if run else "failed"
    return {
        "id": pack.id, "kind": pack.kind, "model": pack.model, "version": pack.version, "change": pack.change_id,
        "period": pack.period, "about": pack.about, "environment": pack.environment, "as_of": pack.as_of,
        "reason": pack.reason, "with_payloads": pack.clear, "requested_by": names.get(pack.requested_by, "unknown"),
        "requested_at": pack.requested_at, "state": state, "state_words": _STATES.get(state, state),
        "run_id": pack.run_id, "progress": 1.0 if pack.made_at else run.progress if run else 0.0,
        "step": run.step if run and not pack.made_at else "", "error": run.error if run and not pack.made_at else "",
        "bytes": pack.bytes, "digest": pack.digest, "manifest": pack.manifest, "gaps": pack.gaps or None,
        "made_at": pack.made_at, "entry": pack.entry,
        "kept_until": stands.until, "kept_because": stands.because, "on_hold": stands.held,
        "forgotten_at": pack.forgotten_at, "forgotten_because": stands.gone,
    }  # fmt: skip


def maker_of(session: ReadSession, pack: EvidencePack) -> Actor:
    """Who asked, with the roles and the reach of this moment, and no payloads where the pack was asked for without.
    Raises `NotAllowed` where that is over."""
    person = session.get_one(Person, pack.requested_by)
    maker = actor_of(person, session_id=None)
    if not may_sign_in(person):
        raise NotAllowed(
            "whoever asked for this pack has no open account any more"
        )  # goes into the log: no name
    allow(session, maker, Permission.MAKE_PACKS)
    if pack.clear and not maker.may(Permission.READ_AUDIT_PAYLOAD):
        raise NotAllowed(
            "what may be read of the log changed since this pack was asked for; ask for it again"
        )
    if pack.clear:
        return maker
    # Asked for with a token that was not made to read payloads, or before the right was given.
    return replace(maker, scopes=frozenset(Permission) - {Permission.READ_AUDIT_PAYLOAD})


def wanted_of(pack: EvidencePack, *, refused: str = "") -> Wanted:
    scope = Scope(pack.kind, pack.model, pack.version, pack.change_id, pack.period)
    return Wanted(
        pack.id, scope, pack.environment, pack.as_of, pack.as_of == pack.requested_at, pack.reason, refused
    )


def store_file(pack_id: str, built: Built) -> str:
    """Write the file as a whole, readable by its owner only; doing it again replaces it. Gives its name."""
    path = folder() / f"{pack_id}.zip"
    draft = path.with_name(f".{path.name}.draft")
    draft.write_bytes(built.body)
    draft.chmod(0o600)
    sync_file(draft)
    draft.replace(path)
    sync_folder(path.parent)
    return path.name


def record_made(session: WriteSession, actor: Actor, pack_id: str, made: Mapping[str, Any]) -> None:
    """Offer the file, once: `made` is `Built.as_written`. Doing it again does nothing.

    Raises `PackGone` where the file is not the one that was written, or what it holds was erased while it was made.
    """
    pack = session.get_one(EvidencePack, pack_id, with_for_update=True)
    if pack.made_at is not None:
        return
    path = folder() / str(made["file"])
    if not path.is_file() or _digest(path) != made["digest"]:
        raise PackGone(f"the file of {pack_id} is not the one that was written; ask for the pack again")
    pack.file, pack.bytes, pack.digest = str(made["file"]), int(made["bytes"]), str(made["digest"])
    pack.manifest, pack.gaps, pack.people = str(made["manifest"]), dict(made["gaps"]), list(made["people"])
    pack.log_size = int(made["log_size"])
    why = why_outdated(session, pack)
    if why:
        path.unlink()
        raise PackGone(f"while {pack_id} was made, {why}; ask for the pack again")
    pack.made_at = clock.now()
    session.flush()
    pack.entry = record(
        session, actor, Action.PACK_MADE, object_kind="pack", object_id=pack.id,
        payload={"manifest": pack.manifest, "digest": pack.digest, "bytes": pack.bytes, "gaps": pack.gaps,
                 "about": pack.about, "as_of": clock.to_iso(pack.as_of), "asked_by": pack.requested_by},
    )  # fmt: skip
    session.flush()


def _see(session: ReadSession, viewer: Actor) -> None:
    allow(session, viewer, Permission.MAKE_PACKS)
    see(session, viewer)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
