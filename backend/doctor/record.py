"""The audit log: its guards, its key, how far it is signed and kept elsewhere, and what was found in it."""

from __future__ import annotations

from backend import clock
from backend.doctor import Found, check, off, ok, trouble, unknown
from backend.doctor.stores import home
from backend.settings import settings


@check("audit log", "database")
def _log() -> Found:
    from backend.audit.state import log_state
    from backend.audit.triggers import missing_guard
    from backend.database.engine import database
    from backend.database.session import reading

    with database().read_engine.connect() as connection:
        missing = missing_guard(connection)
    if missing:
        return trouble(f"the trigger {missing} is missing or altered: rows could be changed without a trace",
                       "warrant audit verify; find out who altered the database, then restore a copy")  # fmt: skip
    with reading() as session:
        state = log_state(session)
    said = f"{state.size:,} entries, {len(state.findings)} open findings"
    if state.checked is not None and not state.checked.ok:
        return trouble(
            f"{said}; the last verification failed: {state.checked.problem}", "warrant audit verify"
        )
    if state.findings:
        return trouble(said, "look at each on the page Audit")
    if state.checked is None:
        return unknown(f"{said}; never verified as a whole", "warrant audit verify")
    return ok(f"{said}; verified {clock.to_words(state.checked.at)}")


@check("signing key", "database")
def _key() -> Found:
    from backend.audit.signers import key_path, read_key, verifier_keys
    from backend.audit.state import log_state
    from backend.database.session import reading

    folder = settings().audit_keys or home() / "keys"
    if not folder.is_dir():
        return unknown(
            f"{folder} is not there: nothing was signed yet", "start a worker; it makes a key and signs"
        )
    if folder.stat().st_mode & 0o077:
        return trouble(f"others may look into {folder}", f"chmod 700 {folder}; then warrant audit rotate-key")
    with reading() as session:
        state = log_state(session)
    if not key_path().exists():
        if state.signed_at is None:
            return unknown("nothing was signed yet", "start a worker; it makes a key and signs")
        return trouble(
            f"{key_path()} is missing although heads were signed", "put the key back from your copy"
        )
    if key_path().stat().st_mode & 0o077:
        return trouble(f"others can read {key_path()}", "warrant audit rotate-key")
    known = verifier_keys()
    if not known or known[-1] != read_key(key_path()).verifier:
        return trouble(f"the key in {key_path()} is not the newest public one", "put the newest key back")
    if state.signed_at is None or state.is_late:
        since = clock.to_words(state.signed_at) if state.signed_at else "never"
        return trouble(f"last signed {since}", "see that a worker runs: it signs every few minutes")
    return ok(f"{known[-1].name}; signed {clock.to_words(state.signed_at)}")


@check("anchors", "database")
def _anchors() -> Found:
    from backend.audit.anchors import anchors
    from backend.audit.state import log_state
    from backend.database.session import reading

    if not anchors():
        return off("no head is kept elsewhere; set WARRANT_AUDIT_GIT or WARRANT_AUDIT_WITNESSES")
    with reading() as session:
        state = log_state(session)
    newest = state.newest_kept
    if newest is None:
        return trouble("no place has taken a head yet", "see Audit for what each of them answered")
    said = f"{newest.kind} {newest.place} has {newest.size:,} entries, since {clock.to_words(newest.at)}"
    if state.is_kept_late:
        return trouble(said, "see Audit for what each of them answered")
    return ok(said)


@check("administrators", "database")
def _administrators() -> Found:
    from backend.database.session import reading
    from backend.identity.ways_in import administrators_with_a_way_in, require_a_way_in

    with reading() as session:
        require_a_way_in(session)
        able = len(administrators_with_a_way_in(session))
    if not able:
        return trouble("no administrator can sign in", "warrant setup-link prints a link that makes one")
    if able == 1:
        return ok("one can sign in; a second one would be there when they are not")
    return ok(f"{able} can sign in")
