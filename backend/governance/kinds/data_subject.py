"""Rights of data subjects as changes: erasing their rows or their account, and handing their rows out.

Bound to the request's digest: whom it is about cannot be exchanged after the approval. The evidence says what is asked
for and names nobody, since it is kept for ever.
"""

from __future__ import annotations

from typing import Final

from backend.data_rights.requests import (
    finish_access,
    finish_erasure,
    open_request_of,
    require_erasable_now,
    settle_failed,
)
from backend.database.session import ReadSession
from backend.errors import BadInput
from backend.governance.kinds import Asked, Kind, Proposal, register
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.service import get_model

WORDS: Final = {
    ("erase", "rows"): "rows of a data subject are erased from {model} ({how}): {request}",
    ("erase", "person"): "who {how} belonged to is erased: {request}",
    ("erase", "entries"): "texts of {how} are erased: {request}",
    ("access", "rows"): "all rows of a data subject are handed out from {model} ({how}): {request}",
}
KEPT: Final = {
    (
        "erase",
        "rows",
    ): "predictions, labels, rows of shadows and in the spool, and explanations go; profiles, figures "
    "and what was decided are kept",
    (
        "erase",
        "person",
    ): "name, user name, sign-in, addresses and tokens go; what they did stays under their id",
    (
        "erase",
        "entries",
    ): "payload, salt and search words of these entries go; leaves and proofs stay, and so does what the entries "
    "are about",
    ("access", "rows"): "nothing is changed; a document is made, kept for 30 days",
}
ASKED_FOR: Final = (
    "on the page Data rights, with `warrant data`, or with POST /api/v1/data-requests, once each time"
)


def propose(session: ReadSession, viewer: Actor, asked: Asked) -> Proposal:
    """A request in `subject["request"]`, as `backend.data_rights.requests` asks for it: once, with who may."""
    viewer.require(Permission.READ_DATA_REQUESTS)
    if set(asked.subject) != {"request"} or asked.to_version is not None or asked.to_cutoff is not None:
        raise BadInput("a data subject's change names its request, and nothing else", field="subject")
    request = open_request_of(session, str(asked.subject["request"]))
    if (request.kind, request.model) != (asked.kind, asked.model):
        raise BadInput(f"request {request.id} asks for something else", field="subject")
    model = get_model(session, viewer, asked.model) if asked.model else None
    if asked.kind == "erase":
        require_erasable_now(session, request)
    key = (request.kind, request.about)
    said = WORDS[key].format(model=asked.model, how=request.how, request=request.id)
    return Proposal(
        asked=asked, model=model, tier=model.tier if model else "high", summary=said, bound={"request": request.digest},
        evidence={
            "schema": 2, "kind": asked.kind,
            "model": {"name": model.name, "title": model.title, "tier": model.tier} if model else None,
            "texts": {"before": f"{request.how}\n", "after": f"{KEPT[key]}\n"},
            "cautions": ["What is erased cannot be brought back."] if asked.kind == "erase" else [],
        },
    )  # fmt: skip


ERASE = register(
    Kind("erase", "Erasure", "Erases the rows of a data subject, who somebody was that used it, or texts of the log.",
         propose,
         rollout=False, apply=finish_erasure, outside=True, settle_failed=settle_failed, beside_others=True,
         asked_for=ASKED_FOR,
         right=Permission.REQUEST_DATA, right_to_cancel=Permission.REQUEST_DATA)
)  # fmt: skip
ACCESS = register(
    Kind("access", "Access", "Hands out all rows of a data subject, as a document.", propose,
         rollout=False, apply=finish_access, outside=True, settle_failed=settle_failed, beside_others=True,
         asked_for=ASKED_FOR,
         right=Permission.REQUEST_DATA, right_to_cancel=Permission.REQUEST_DATA)
)  # fmt: skip
