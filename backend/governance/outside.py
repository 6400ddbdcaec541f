"""Asking a system outside about a change, by signed requests: the external gate with `ask: true`.

    POST <url>          what is asked about, with `check`; 200 or 202: it looks, or has looked already
    GET  <url>/<key>    {"state": "working"} or {"state": "done", "verdict": "pass" | "fail" | "inconclusive",
                        "text": "...", "url": "..."}; 404: it was never asked under this key, and is asked again

One key a change, revision and check: asked again, nothing more happens. The address is the installation's, never the
policy's. What is not answered in time is inconclusive, until a report comes: it is taken as any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import ReadSession, WriteSession
from backend.errors import WarrantError
from backend.foreign_text import storable
from backend.governance.policy_rules import GateRule
from backend.governance.tables import Change, ExternalCheck
from backend.identity.actor import Actor
from backend.registry.tables import Version
from backend.settings import settings
from backend.signed_http import SignedSender

EXTERNAL: Final = "external"
LONGEST_TEXT: Final = 2000
VERDICTS: Final = ("pass", "fail", "inconclusive")
UNANSWERED: Final = "unanswered"  # it was asked and gave no answer: reports count without it


@dataclass(frozen=True)
class Question:
    """What a system outside is asked of one revision of a change."""

    check: str
    key: str
    document: dict[str, Any]
    wait_s: float


@dataclass(frozen=True)
class Answer:
    """What it said, or why it is not known."""

    check: str
    verdict: str
    text: str
    url: str = ""


def questions_of(session: ReadSession, change: Change) -> list[Question]:
    """Each check of the change's rule that is asked for, and that was not answered yet. What accounts have reported
    meanwhile is kept beside the answer, and asks nothing less."""
    from backend.governance.gates.external import Settings

    if change.model is None or change.to_version is None:
        return []
    version = session.get_one(Version, (change.model, change.to_version))
    found: list[Question] = []
    for rule in (GateRule.model_validate(one) for one in change.policy["gates"] if one["gate"] == EXTERNAL):
        wanted = Settings.model_validate(rule.parameters)
        for check in wanted.checks if wanted.ask else ():
            if _is_answered(session, change.id, change.revision, check):
                continue
            key = f"gate-{change.id}-{change.revision}-{check}"
            document = {
                "key": key, "check": check, "change_id": change.id, "revision": change.revision,
                "request_digest": change.request_digest, "kind": change.kind, "model": change.model,
                "environment": change.environment, "from_version": change.from_version,
                "to_version": change.to_version, "cutoff": change.to_cutoff, "artefact": version.uri,
                "artefact_digest": version.artefact_digest, "summary": change.summary,
            }  # fmt: skip
            found.append(Question(check, key, document, wanted.wait_s))
    return found


def _is_answered(session: ReadSession, change_id: int, revision: int, check: str) -> bool:
    """Whether what came of asking is kept already."""
    kept = select(ExternalCheck.id).where(
        ExternalCheck.change_id == change_id, ExternalCheck.revision == revision, ExternalCheck.name == check,
        ExternalCheck.reported_by.is_(None),
    )  # fmt: skip
    return session.scalar(kept.limit(1)) is not None


def sender() -> SignedSender | None:
    """To the address of the installation; None where none is set."""
    url, secret = settings().gate_url, settings().gate_secret
    return SignedSender(url, secret) if url and secret else None


def ask(to: SignedSender, question: Question) -> str:
    """Ask, or ask again; gives why it was not taken, empty when it was."""
    try:
        to.post(question.document, question.key)
    except WarrantError as error:
        return error.message
    return ""


def answer_to(to: SignedSender, question: Question) -> Answer | None:
    """What it says now; None while it looks. What it lost is asked again. Anything else it says is inconclusive."""
    found = to.get(question.key)
    if found.status_code == 404:
        to.post(question.document, question.key)
        return None
    try:
        said = found.json()
    except ValueError:
        said = None
    if isinstance(said, dict) and said.get("state") == "working":
        return None
    if not isinstance(said, dict) or said.get("state") != "done" or said.get("verdict") not in VERDICTS:
        return Answer(
            question.check, "inconclusive", f"it answered without a verdict: {storable(found.text[:200])}"
        )
    url = storable(said.get("url"))
    shown = url if url.startswith(("https://", "http://")) and len(url) <= LONGEST_TEXT else ""
    return Answer(question.check, str(said["verdict"]), storable(said.get("text"))[:LONGEST_TEXT], shown)


def keep_answers(
    session: WriteSession, actor: Actor, change_id: int, *, revision: int, answers: list[Answer]
) -> None:
    """Keep what was answered, unless this revision no longer waits for it."""
    change = session.get_one(Change, change_id, with_for_update=True)
    if change.state != "checking" or change.revision != revision:
        return
    for one in answers:
        if _is_answered(session, change.id, revision, one.check):
            continue
        session.add(
            ExternalCheck(
                change_id=change.id, name=one.check, revision=revision, verdict=one.verdict, text=one.text,
                url=one.url, reported_by=None, reported_at=clock.now(),
            )
        )  # fmt: skip
        session.flush()
        record(
            session, actor, Action.CHECK_REPORTED, object_kind="change", object_id=change.id,
            payload={"name": one.check, "verdict": one.verdict, "url": one.url, "revision": revision, "asked": True},
            why=one.text,
        )  # fmt: skip
