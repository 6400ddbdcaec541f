"""Writing, importing, submitting and reviewing model cards, each with its audit entry.

A version of a card is never altered: whoever edits makes the next one, and says which they began from. What lies in
git and what lies here agree by one rule: importing a file whose text differs from the newest version makes the next
version, unless the newest one was written here since the file was last imported; then the two have to be merged by a
person. A file that was not touched since its import, or that equals the newest version, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.cards.document import read_card_source
from backend.cards.errors import CardConflict, OwnWords, WrongState
from backend.cards.facts import collect_facts
from backend.cards.tables import CardReview, CardVersion
from backend.cards.versions import approved_card, card_diff, get_card_version, newest_card, numbered
from backend.database.session import ReadSession, WriteSession
from backend.errors import BadInput, ChangedSinceSeen
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.registry.inventory import require_known
from backend.registry.tables import Model

LONGEST_WHY: Final = 2000
Source = Literal["file", "mlflow", "huggingface"]
Verdict = Literal["approve", "return"]


@dataclass(frozen=True)
class Taken:
    """What an import did. `made` False: nothing was to be done, and `note` says why."""

    card: CardVersion
    made: bool
    note: str


def write_card(
    session: WriteSession, actor: Actor, *, model: str, version: int, text: str, based_on: int, why: str = ""
) -> CardVersion:
    """Save an edited card as its next version, a draft. `based_on`: the number the edit began from, 0 for none.

    Raises `BadInput` with line and reason where the text is no card, `CardConflict` where somebody saved another
    version meanwhile. A text that is the newest one changes nothing.
    """
    allow(session, actor, Permission.WRITE_CARDS)
    document = read_card_source(text)
    newest = _locked_newest(session, actor, model, version)
    if newest is not None and newest.digest == document.digest:
        return newest
    _refuse_stale(session, newest, based_on)
    return _add(
        session, actor, model, version, document.source, newest, "editor", "", why, Action.CARD_WRITTEN
    )


def import_card(
    session: WriteSession, actor: Actor, *, model: str, version: int, text: str, source: Source, source_name: str,
    based_on: int | None = None, why: str = "",
) -> Taken:  # fmt: skip
    """Take a card from a file or another system: see the rule above.

    based_on  the newest number, said by somebody who has merged it into the text; None: nobody has
    """
    allow(session, actor, Permission.WRITE_CARDS)
    if not source_name or len(source_name) > 500:
        raise BadInput("say where the card comes from, in 1 to 500 characters", field="source_name")
    document = read_card_source(text)
    newest = _locked_newest(session, actor, model, version)
    if newest is not None and newest.digest == document.digest:
        return Taken(newest, False, f"card version {newest.number} has this text already")
    last = session.scalars(
        select(CardVersion)
        .where(
            CardVersion.model == model, CardVersion.version == version, CardVersion.source == source,
            CardVersion.source_name == source_name,
        )
        .order_by(CardVersion.number.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    if newest is not None and based_on is None:
        if last is not None and last.digest == document.digest:
            note = (
                f"{source_name} is as it was imported as version {last.number}; the newest is {newest.number}"
            )
            return Taken(newest, False, f"{note}, written here since: export it to bring the file up to date")
        if last is None or last.number != newest.number:
            _refuse_stale(session, newest, last.number if last is not None else 0)
    elif based_on is not None:
        _refuse_stale(session, newest, based_on)
    made = _add(
        session,
        actor,
        model,
        version,
        document.source,
        newest,
        source,
        source_name,
        why,
        Action.CARD_IMPORTED,
    )
    return Taken(made, True, f"card version {made.number} was made from {source_name}")


def submit_card(session: WriteSession, actor: Actor, *, model: str, version: int, number: int) -> CardVersion:
    """Ask for a review of a draft. Asking again changes nothing."""
    allow(session, actor, Permission.WRITE_CARDS)
    card = _locked(session, actor, model, version, number)
    if card.state == "in_review":
        return card
    _require_state(card, "draft", "can be sent to review")
    card.state, card.submitted_at = "in_review", clock.now()
    _record(session, actor, card, Action.CARD_SUBMITTED)
    return card


def review_card(
    session: WriteSession, actor: Actor, *, model: str, version: int, number: int, verdict: Verdict,
    seen_digest: str, comment: str = "",
) -> CardVersion:  # fmt: skip
    """Approve a version that is in review, or return it to its writers with a comment.

    Nobody approves words of their own: whoever wrote any version since the last approved one cannot. Approving puts
    the version in force, keeps the facts as they were then, and supersedes the one before.
    """
    allow(session, actor, Permission.REVIEW_CARDS)
    card = _locked(session, actor, model, version, number)
    _require_state(card, "in_review", "is reviewed")
    if card.digest != seen_digest:
        raise ChangedSinceSeen(f"card version {number} is not the text you looked at; read it again")
    if verdict == "return" and not comment.strip():
        raise BadInput("say what has to change; the writers will read it", field="comment")
    before = approved_card(session, card.model, card.version)
    if verdict == "approve" and actor.people & _writers_since(session, card, before):
        raise OwnWords(
            f"you wrote some of what card version {number} says that nobody has approved yet; somebody else approves it"
        )
    now = clock.now()
    session.add(
        CardReview(
            card_version_id=card.id, verdict=verdict, comment=_told(comment), reviewer_id=actor.person_row,
            seen_digest=seen_digest, reviewed_at=now,
        )
    )  # fmt: skip
    if verdict == "return":
        card.state, card.submitted_at = "draft", None
        _record(session, actor, card, Action.CARD_RETURNED, why=comment.strip())
        return card
    if before is not None:
        before.state = "superseded"
        session.flush()  # at most one is approved, also between two statements
    card.facts, card.facts_at = collect_facts(session, actor, model, version).as_dict(), now
    card.state, card.approved_at = "approved", now
    _record(session, actor, card, Action.CARD_APPROVED, why=comment.strip(),
            replaces=before.number if before is not None else None)  # fmt: skip
    return card


def why_not_approve(session: ReadSession, viewer: Actor, card: CardVersion) -> str:
    """Why the viewer cannot approve this version now; empty when they can."""
    if not viewer.may_about(Permission.REVIEW_CARDS, card.model):
        return f"your role lacks {Permission.REVIEW_CARDS.value}"
    if card.state != "in_review":
        return f"it is {card.state.replace('_', ' ')}, not in review"
    if viewer.people & _writers_since(session, card, approved_card(session, card.model, card.version)):
        return "you wrote some of what it says that nobody has approved yet"
    return ""


def _add(
    session: WriteSession, actor: Actor, model: str, version: int, text: str, newest: CardVersion | None,
    source: str, source_name: str, why: str, action: Action,
) -> CardVersion:  # fmt: skip
    if newest is not None and newest.state in ("draft", "in_review"):
        newest.state = "superseded"
        session.flush()
    document = read_card_source(text)
    card = CardVersion(
        model=model, version=version, number=newest.number + 1 if newest is not None else 1, text=document.source,
        digest=document.digest, based_on=newest.number if newest is not None else None, source=source,
        source_name=source_name, author_id=actor.person_row, written_by=sorted(actor.people), why=_told(why),
        made_at=clock.now(), state="draft", facts={},
    )  # fmt: skip
    session.add(card)
    session.flush()
    _record(session, actor, card, action, why=card.why)
    return card


def _locked_newest(session: WriteSession, actor: Actor, model: str, version: int) -> CardVersion | None:
    """The newest version; nobody else adds one of this model until the transaction is over."""
    require_known(session, actor, model, version)
    session.scalars(select(Model.name).where(Model.name == model).with_for_update()).one()
    return newest_card(session, model, version)


def _locked(session: WriteSession, actor: Actor, model: str, version: int, number: int) -> CardVersion:
    _locked_newest(session, actor, model, version)
    card = get_card_version(session, actor, model, version, number)
    session.refresh(card)
    return card


def _refuse_stale(session: WriteSession, newest: CardVersion | None, based_on: int) -> None:
    number = newest.number if newest is not None else 0
    if number == based_on:
        return
    if newest is None:
        raise CardConflict(f"there is no card version {based_on} to begin from", number=0)
    began = numbered(session, newest.model, newest.version, based_on)
    name = names_of(session, {newest.author_id}).get(newest.author_id or "", "Warrant")
    raise CardConflict(
        f"{name} saved card version {newest.number} at {newest.made_at:%-d %b %Y %H:%M:%S} UTC, and your text began "
        f"from {f'version {based_on}' if based_on else 'none'}: look at the difference, merge it, and save on top of "
        f"version {newest.number}",
        number=newest.number, author=name, made_at=clock.to_iso(newest.made_at),
        diff=card_diff(began.text if began is not None else "", newest.text,
                       names=(f"version {based_on}", f"version {newest.number}")),
    )  # fmt: skip


def _require_state(card: CardVersion, state: str, what: str) -> None:
    if card.state != state:
        wanted = state.replace("_", " ")
        raise WrongState(
            f"card version {card.number} is {card.state.replace('_', ' ')}; one that is {wanted} {what}",
            state=card.state,
        )


def _writers_since(session: ReadSession, card: CardVersion, before: CardVersion | None) -> set[str]:
    """Everyone who wrote a version after the approved one, up to this one."""
    query = select(CardVersion.written_by).where(
        CardVersion.model == card.model, CardVersion.version == card.version, CardVersion.number <= card.number,
        CardVersion.number > (before.number if before is not None else 0),
    )  # fmt: skip
    return {person for people in session.scalars(query) for person in people}


def _told(text: str) -> str:
    if len(text) > LONGEST_WHY:
        raise BadInput(f"a reason has at most {LONGEST_WHY:,} characters", field="why")
    return text.strip()


def _record(session: WriteSession, actor: Actor, card: CardVersion, action: Action, *, why: str = "",
            replaces: int | None = None) -> None:  # fmt: skip
    session.flush()
    record(
        session, actor, action, object_kind="card", object_id=f"{card.model}/{card.version}/{card.number}", why=why,
        payload={"number": card.number, "digest": card.digest, "state": card.state, "source": card.source,
                 "source_name": card.source_name, "based_on": card.based_on, "replaces": replaces},
    )  # fmt: skip
