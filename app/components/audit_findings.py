"""Findings about the log: what is open, who looks after it, and closing with a reason; and who follows the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import streamlit as st

from app.components.actions import Field, action_form
from app.components.assurance_actions import because, done
from app.components.status import empty_state, prose
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_count, format_utc
from app.plain_text import plain
from app.session import viewer
from backend import clock
from backend.audit.finding_hands import CLOSE_THEMSELVES, close_by_hand, own_finding
from backend.audit.findings import KINDS
from backend.audit.streaming import StreamState
from backend.audit.tables import AuditFinding
from backend.identity.roles import Permission

LEVELS = {"page": "page", "ticket": "attention"}
MOST = 50
LATE: Final = timedelta(hours=1)  # four comparisons that did not come; entries that nobody sent for so long


def show_findings(
    found: Sequence[AuditFinding],
    closed: Sequence[AuditFinding],
    names: Mapping[str, str],
    people: Mapping[str, str],
    compared_at: datetime | None,
    counts: tuple[int, int],
) -> None:
    """`names` by id of owners and of those whom findings are about; `people` are those who can be asked. `compared_at`
    is when the log was last compared with what happened; None: never. `counts`: how many are open and closed in all, of
    which `found` and `closed` are the first."""
    word, level, said = compared_words(compared_at, clock.now())
    st.html(f'<p class="w-point">{badge(word, level)} <span>{prose(said)}</span></p>')
    if not found and level == "ok":
        empty_state(
            "Nothing about the log needs a person",
            "Every quarter of an hour the log is compared with what happened: gaps, versions that serve without a "
            "change, aliases moved outside, clocks, exports.",
        )
    elif not found:
        empty_state(
            "Whether the log fits what happened is not known",
            "No finding is open, and nobody has looked lately: a worker compares every quarter of an hour "
            "(`warrant worker`).",
        )
    else:
        table(
            ("finding", "about", "state", "since", "owner"),
            [
                [
                    lines(
                        badge(None, LEVELS[one.level])
                        if one.level in LEVELS
                        else badge("for information", "unknown"),
                        KINDS.get(one.kind, one.kind),
                        small(f"finding {one.id}"),
                    ),
                    _about(one, names),
                    badge("taken on", "unknown") if one.owner else badge("open", "attention"),
                    format_utc(one.opened_at),
                    names.get(one.owner, one.owner) if one.owner else badge("nobody yet", "attention"),
                ]
                for one in found[:MOST]
            ],
            caption="open findings about the log",
        )
        if counts[0] > MOST:
            st.caption(
                f"the first {MOST} of {counts[0]:,} open findings, the gravest and oldest; `GET /audit/findings` "
                "gives all"
            )
        for one in found[:MOST]:
            _offer(one, people)
    if closed:
        newest = f", the newest {len(closed)}" if counts[1] > len(closed) else ""
        with st.expander(f"{counts[1]:,} closed{plain(newest)}"):
            table(
                ("finding", "about", "closed", "because"),
                [
                    [KINDS.get(one.kind, one.kind), _about(one, names), format_utc(one.closed_at),
                     one.closed_because]
                    for one in closed
                ],
                caption="closed findings about the log",
            )  # fmt: skip


def compared_words(compared_at: datetime | None, now: datetime) -> tuple[str, str, str]:
    """Whether the log was compared with what happened lately: word, level and sentence."""
    if compared_at is None:
        return "never compared", "attention", "The log was not compared with what happened yet."
    said = f"The log was last compared with what happened at {format_utc(compared_at)}."
    if now - compared_at > LATE:
        return "not compared lately", "attention", said
    return "compared", "ok", said


def show_streams(found: Sequence[StreamState]) -> None:
    """How far the systems that follow the log are."""
    if not found:
        st.caption(
            "No system follows the log. `WARRANT_AUDIT_STREAMS` names those that should: docs/audit.md."
        )
        return
    table(
        ("sent to", "state", "not taken yet", "took the last"),
        [
            [
                one.name,
                _follows(one),
                format_count(one.behind),
                lines(
                    format_utc(one.moved_at),
                    small(f"away since {format_utc(one.failing_since)}: {one.problem}")
                    if one.problem
                    else "",
                ),
            ]
            for one in found
        ],
        caption="systems that follow the log",
    )


def _follows(one: StreamState) -> Cell:
    """Nothing is said to be well of one that nothing has reached, or that a worker has not served for a while."""
    if one.problem:
        return badge("does not take entries", "attention")
    if one.moved_at is None:
        return badge("nothing was sent yet", "unknown")
    if one.waiting_since is not None and clock.now() - one.waiting_since > LATE:
        return badge(f"behind since {format_utc(one.waiting_since)}", "attention")
    return badge("takes entries", "ok")


def _about(one: AuditFinding, names: Mapping[str, str]) -> Cell:
    entry, actor = one.details.get("entry"), one.details.get("actor")
    return lines(
        one.title,
        anchor(f"entry {entry:,}", "audit_entry", seq=entry) if isinstance(entry, int) else "",
        small(f"by {names.get(actor, actor)}") if isinstance(actor, str) else "",
    )


def _offer(one: AuditFinding, people: Mapping[str, str]) -> None:
    why_not = because(Permission.HANDLE_FINDINGS, "handle findings")
    with st.popover(f"Finding {one.id}: take on or close…", width="stretch", disabled=why_not is not None):
        digest = f"{one.state}:{one.owner}"
        sent = action_form(
            "own-finding", label="Set the owner", object_id=str(one.id), digest=digest,
            fields=[Field("owner", "Owner", "select", required=True, options=list(people))],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: own_finding(
                session, me, int(form.object_id), owner_id=people[form.values["owner"]]
            ),
            "The finding has an owner.",
        )
        itself = "It closes by itself when it is mended." if one.kind in CLOSE_THEMSELVES else None
        own = "It is about what you did; somebody else closes it." if _is_own(one) else None
        sent = action_form(
            "close-log-finding", label="Close it", object_id=str(one.id), digest=digest, danger=True,
            fields=[Field("why", "Why", "area", required=True)], disabled_because=why_not or itself or own,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: close_by_hand(session, me, int(form.object_id), why=form.values["why"]),
            "The finding is closed.",
        )


def _is_own(one: AuditFinding) -> bool:
    return one.details.get("actor") in viewer().people
