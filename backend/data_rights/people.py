"""Erasing somebody who used Warrant: who they were goes, what they did stays, and the log verifies."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from sqlalchemy import CursorResult, Result, Text, delete, or_, select, type_coerce, update

from backend import clock
from backend.access.tables import AccessItem
from backend.alerting.tables import IncidentEntry
from backend.audit.erasure import destroy_key
from backend.audit.tables import SavedSearch
from backend.cards.tables import CardVersion
from backend.database.session import ReadSession, WriteSession
from backend.errors import Conflict
from backend.holds.payloads import hold_on_entries_of
from backend.holds.service import refusal, require_free
from backend.identity.actor import Actor
from backend.identity.people import disable_person, person_by_id
from backend.identity.tables import ApiToken, IdempotencyKey, OidcClaims, OidcSession, Person, SignInSession
from backend.notifications.tables import Notice

ERASED_NAME = "Erased person"


class AlreadyErased(Conflict):
    title = "Already erased"


def require_erasable(session: ReadSession, person_id: str) -> Person:
    """The account, if nothing stands against erasing it. Raises `NotFound`, `AlreadyErased`, `Held`, `Conflict`."""
    person = person_by_id(session, person_id)
    if person.display_name == ERASED_NAME and person.username == person.id.lower():
        raise AlreadyErased(f"{person_id} is erased already")
    if person.kind != "person":
        raise Conflict(f"{person.display_name} is a service account; nobody's person hides behind it")
    owned = session.scalar(
        select(Person.display_name).where(Person.owner_id == person_id, Person.disabled_at.is_(None))
    )
    if owned is not None:
        raise Conflict(f"the service account {owned} acts for this person; give it another owner first")
    require_free(session, "person", person_id)
    hold = hold_on_entries_of(session, person_id)
    if hold is not None:
        raise refusal(hold)
    return person


def erase_person(
    session: WriteSession, actor: Actor, person_id: str, *, why: str, request: str
) -> dict[str, int]:
    """Close the account, take name, sign-in and addresses away, and destroy the key of their values in the log.

    Returns how many rows went. Ids stay: they are what decisions and entries point at.
    """
    person = require_erasable(session, person_id)
    disable_person(session, actor, person_id, why=why)
    counts = {
        # ids of sessions are in the log's leaves; what names browser and place goes, and what they were writing
        "sessions": _rows(
            session.execute(
                update(SignInSession)
                .where(SignInSession.person_id == person_id)
                .values(address=None, user_agent=None, last_address=None, last_user_agent=None, typed=None)
            )
        ),
        "sign-ons": _rows(
            session.execute(
                delete(OidcSession).where(
                    OidcSession.session_id.in_(
                        select(SignInSession.id).where(SignInSession.person_id == person_id)
                    )
                )
            )
        ),
        "claims": _rows(session.execute(delete(OidcClaims).where(OidcClaims.person_id == person_id))),
        "tokens": _rows(session.execute(delete(ApiToken).where(ApiToken.person_id == person_id))),
        "stored answers": _rows(
            session.execute(delete(IdempotencyKey).where(IdempotencyKey.person_id == person_id))
        ),
    }
    counts["stored answers"] += _take_out_of_answers(session, person)
    counts["notices"] = _take_out_of_documents(session, person, Notice, Notice.document)
    counts["facts of cards"] = _take_out_of_documents(session, person, CardVersion, CardVersion.facts)
    counts["items of access reviews"] = _take_out_of_documents(session, person, AccessItem, AccessItem.facts)
    counts["kept searches"] = _take_out_of_documents(session, person, SavedSearch, SavedSearch.search)
    counts["entries of incidents"] = _take_out_of_assignments(session, person)
    person.display_name, person.username = ERASED_NAME, person.id.lower()
    person.password_hash = person.password_known_to = person.oidc_issuer = person.oidc_subject = None
    person.disabled_at = person.disabled_at or clock.now()
    session.flush()
    destroy_key(session, actor, person_id, why=why, request=request)
    return counts


def _take_out_of_answers(session: WriteSession, person: Person) -> int:
    """Answers to others' requests are kept for two days, to be given again; they name whom they were about. Returns how
    many were rewritten."""
    name = re.compile(rf"(?<!\w){re.escape(person.display_name)}(?!\w)")
    quoted = json.dumps(person.display_name)[1:-1], json.dumps(person.username)
    named = or_(*(IdempotencyKey.body.contains(one, autoescape=True) for one in quoted))
    count = 0
    for row in session.scalars(select(IdempotencyKey).where(named)):
        answer = json.dumps(_without(json.loads(row.body), name, person.username))
        count += answer != row.body
        row.body = answer
    session.flush()
    return count


def _take_out_of_documents(session: WriteSession, person: Person, table: type[Any], column: Any) -> int:
    """Documents that Warrant wrote and keeps, unsigned: what was told to channels (what was sent has left), facts that
    approvers of a card saw, and rights as a review found them. Returns how many were rewritten."""
    name, count = re.compile(rf"(?<!\w){re.escape(person.display_name)}(?!\w)"), 0
    quoted = json.dumps(person.display_name, ensure_ascii=False)[1:-1], json.dumps(person.username)
    kept = type_coerce(column, Text)
    query = select(table).where(or_(*(kept.contains(one, autoescape=True) for one in quoted)))
    for row in session.scalars(query):
        before = getattr(row, column.key)
        document = _without(before, name, person.username)
        count += document != before
        setattr(row, column.key, document)
    session.flush()
    return count


def _take_out_of_assignments(session: WriteSession, person: Person) -> int:
    """To whom an incident was given is the text of an entry of its timeline."""
    given = update(IncidentEntry).where(
        IncidentEntry.kind == "assigned", IncidentEntry.text == person.display_name
    )
    return _rows(session.execute(given.values(text=ERASED_NAME)))


def _without(value: Any, name: re.Pattern[str], username: str) -> Any:
    """A part of an answer without the name, wherever it stands, and without the user name where that is all it says."""
    if isinstance(value, dict):
        return {key: _without(one, name, username) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one, name, username) for one in value]
    if isinstance(value, str):
        return ERASED_NAME if value == username else name.sub(ERASED_NAME, value)
    return value


def _rows(result: Result[Any]) -> int:
    return int(cast(CursorResult[Any], result).rowcount)
