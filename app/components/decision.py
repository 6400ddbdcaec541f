"""Deciding on a change, and watching it being carried out. By id and by the digest the page was drawn with."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from app import data
from app.components.actions import Field, action_form, came_too_late
from app.components.facts import key_values
from app.components.tables import badge, folded, open_point, small
from app.plain_text import plain
from app.session import live, perform, viewer
from app.words import CHANGE_LEVELS, approval_words, told_failure
from backend.errors import WarrantError
from backend.governance.asking import cancel_change
from backend.governance.deciding import decide
from backend.governance.reviews import review_change
from backend.governance.sending_again import resubmit_change
from backend.governance.settling import recheck_gates

OFFERS = {
    "approve": ("Approve", "Comment to approve"),
    "ask": ("Ask for changes to", "What has to change"),
    "reject": ("Reject", "Comment to reject"),
    "retract": ("Retract your approval of", "Why you take it back"),
}
DECISIONS = ("approve", "ask", "reject")


def way_down(told: str, label: str) -> None:
    """On a phone: a bar that stays at the lower edge while the evidence is read, and leads to the box below it.
    Wider, where the box stands beside the evidence, nothing is drawn. Call it last in the column of the evidence."""
    st.html(
        f'<div class="w-way-down"><span>{escape(told)}</span><a href="#decision">{escape(label)}&nbsp;↓</a></div>'
    )


def box_head(word: str, told: str = "") -> None:
    """The first line of the box, where `way_down` leads to."""
    st.html(
        f'<p id="decision" class="w-lead"><strong>{escape(word)}</strong>{" · " if told else ""}{escape(told)}</p>'
    )


def way_to_decision(change: Mapping[str, Any]) -> None:
    """`way_down` to the box of this change, saying what the person can do there; none where that is nothing."""
    can_act = any(change[one] for one in ("can_resubmit", "can_cancel", "can_recheck", "can_retract"))
    can_act = can_act or _is_stopped_by_them(change)
    to_review = change["review"] is not None and not change["review"]["verdict"]
    if not (can_act or to_review or change["state"] in ("checking", "waiting")):
        return
    may_decide = change["state"] == "waiting" and not change["cannot_decide"]
    word = "Decide" if may_decide else "Review" if to_review else "What you can do"
    way_down(approval_words(change), word)


def decision_box(change: Mapping[str, Any]) -> None:
    """Approve, ask or reject; or why this person cannot, and what else they can do."""
    policy = change["policy"]
    needed = ", ".join(f"{count} × {role.replace('_', ' ')}" for role, count in policy["roles"].items())
    box_head("Decision", approval_words(change))
    excluded = " nor the ".join(who.replace("_", " ") for who in policy["excluded"])
    if not (change["break_glass"] or change["way_back_id"]):
        st.html(small(f"needs {needed}; neither the {excluded} can decide"))
    if change["cannot_decide"]:
        _answer_late_click(change)
    if change["state"] == "waiting":
        _offer_decision(change)
    elif change["state"] == "checking":
        _await_gates(change["id"], change["state"])
    elif change["state"] == "approved":
        _offer_stop(change)
    elif change["state"] == "draft":
        _offer_end_of_draft(change)
    else:
        st.caption(f"This change is {plain(change['state_words'])}; nothing is left to decide.")
    if change["can_retract"]:
        _offer(change, "retract")
    if change["can_resubmit"]:
        _offer_resubmission(change)
    if change["can_recheck"]:
        _offer_recheck(change)
    if change["can_cancel"]:
        _offer_withdrawal(change)
    if change["review"] is not None and not change["review"]["verdict"]:
        _offer_review(change)


def _is_stopped_by_them(change: Mapping[str, Any]) -> bool:
    return change["state"] in ("draft", "approved") and not change["cannot_reject"]


def _offer_stop(change: Mapping[str, Any]) -> None:
    """What is approved and was taken up by no worker: those who decide can stop it."""
    urgent = change["break_glass"] or change["way_back_id"]
    st.caption(
        "It goes ahead without a decision; a worker takes it up." if urgent
        else "It is approved. Until a worker takes it up, who could decide on it can reject it, and who approved it "
        "can take that back."
    )  # fmt: skip
    if _is_stopped_by_them(change):
        _offer(change, "reject")
    elif not (urgent or change["can_retract"]):
        st.info(f"You cannot reject it: {plain(change['cannot_reject'])}.", icon=":material/block:")


SENT_BACK = "Changes were asked for; it is decided on after it was sent again."


def _offer_end_of_draft(change: Mapping[str, Any]) -> None:
    """Changes were asked for: who decides need not wait for whoever asked for it."""
    if change["cannot_reject"]:
        st.caption(SENT_BACK)
        return
    st.caption(f"{SENT_BACK} Who decides on it can reject it now.")
    _offer(change, "reject")


def _offer_decision(change: Mapping[str, Any]) -> None:
    if change["cannot_decide"]:
        st.info(f"You cannot decide: {plain(change['cannot_decide'])}.", icon=":material/block:")
        return
    for result in change["gates"]:
        if result["gate"] in change["gates_excepted"]:
            named, gate = result["exception"]["ref"], result["gate"].replace("_", " ")
            open_point(f"{gate}: {result['verdict']}. Who approves signs {named}, which lets it pass")
    for tab, verdict in zip(st.tabs(["Approve", "Ask", "Reject"]), DECISIONS, strict=True):
        with tab:
            _offer(change, verdict)
    st.caption(
        f"You sign {plain(change['digest'].removeprefix('sha256:')[:12])}…; it is void if files, data, card, policy, "
        "gate results or target change."
    )


def _answer_late_click(change: Mapping[str, Any]) -> None:
    """Say that a click on a form that is gone did nothing. The second half of a double click is late, too, and is
    nothing to tell who has decided."""
    offered = {"reject"} if change["cannot_reject"] is None else set()
    offered |= {"retract"} if change["can_retract"] else set()
    late = [came_too_late(one, object_id=str(change["id"])) for one in OFFERS if one not in offered]
    if any(late) and viewer().display_name not in {one["person"] for one in change["decisions"]}:
        st.error("**Nothing was decided.** The change moved on before your click.", icon=":material/error:")


def _offer(change: Mapping[str, Any], verdict: str) -> None:
    word, label = OFFERS[verdict]
    unclear = change["gates_unclear"] if verdict == "approve" else []
    required = (
        verdict in ("ask", "retract") or verdict in change["policy"]["comment_required_to"] or bool(unclear)
    )
    boxes = [
        Field(
            f"accept:{gate}",
            f"I accept that {gate.replace('_', ' ')} could not tell",
            "checkbox",
            required=True,
        )
        for gate in unclear
    ]
    failed = ", ".join(gate.replace("_", " ") for gate in change["gates_failed"])
    why_not = f"{failed} failed: it cannot be approved." if failed and verdict == "approve" else None
    sent = action_form(
        verdict, label=f"{word} {change['ref']}", object_id=str(change["id"]), digest=change["digest"],
        fields=[*boxes, Field("comment", label, "area", required=required)], danger=verdict != "approve",
        disabled_because=why_not,
    )  # fmt: skip
    if sent is None:
        return
    accept = [gate for gate in unclear if sent.values[f"accept:{gate}"]]
    decided = perform(
        lambda session, me: decide(
            session, me, int(sent.object_id), verdict=verdict, comment=sent.values["comment"] or "",
            seen_digest=sent.digest, accept=accept,
        ),
        done=f"You decided to {OFFERS[verdict][0].lower()} {change['ref']}.", sent=sent,
    )  # fmt: skip
    if decided is not None:
        st.rerun()


def _offer_resubmission(change: Mapping[str, Any]) -> None:
    """Send a draft again: everything bound is taken anew, as it is drawn here."""
    try:
        again = data.resubmission(data.scope_of(viewer()), change["id"])
    except WarrantError as error:
        st.info(f"{plain(change['ref'])} cannot be sent again as it is: {plain(error.message)}")
        return
    moved = sorted(
        part for part in {*change["bound"], *again["bound"]}
        if change["bound"].get(part) != again["bound"].get(part)
    )  # fmt: skip
    if moved:
        open_point(
            f"since it was asked for, these have changed: {', '.join(moved)}; as they are now they are sent"
        )
    if again["summary"] != change["summary"]:
        open_point(f"it would now read: {again['summary']}")
    sent = action_form(
        "resubmit", label=f"Send {change['ref']} again", object_id=str(change["id"]), digest=again["digest"],
        fields=[Field("reason", "Why, and what was changed", "area", required=True, value=change["reason"])],
    )  # fmt: skip
    if sent is None:
        return
    done = perform(
        lambda session, me: resubmit_change(
            session, me, change["id"], reason=sent.values["reason"] or "", seen_digest=sent.digest
        ),
        done=f"{change['ref']} is sent again.",
    )
    if done is not None:
        st.rerun()


def _offer_recheck(change: Mapping[str, Any]) -> None:
    with st.expander("Evaluate the gates again"):
        sent = action_form(
            "recheck", label="Evaluate again", object_id=str(change["id"]), digest=change["digest"],
            fields=[Field("reason", "Why")], danger=True,
        )  # fmt: skip
        st.caption("On today's data. Decisions so far no longer count.")
    if sent is None:
        return
    asked = perform(
        lambda session, me: recheck_gates(
            session, me, int(sent.object_id), reason=sent.values["reason"] or ""
        ),
        done="The gates are being evaluated again.",
    )
    if asked is not None:
        st.rerun()


def _offer_withdrawal(change: Mapping[str, Any]) -> None:
    sent = action_form(
        "withdraw", label=f"Withdraw {change['ref']}", object_id=str(change["id"]), digest=change["digest"],
        fields=[Field("reason", "Why you withdraw it")], danger=True,
    )  # fmt: skip
    if sent is None:
        return
    withdrawn = perform(
        lambda session, me: cancel_change(
            session, me, int(sent.object_id), reason=sent.values["reason"] or ""
        ),
        done=f"{change['ref']} is withdrawn.",
    )
    if withdrawn is not None:
        st.rerun()


def _offer_review(change: Mapping[str, Any]) -> None:
    """Somebody else says whether breaking the glass was justified."""
    st.markdown("**Review**")
    if change["cannot_review"]:
        st.info(f"You cannot review: {plain(change['cannot_review'])}.", icon=":material/block:")
        return
    for verdict, word in (("justified", "Justified"), ("not_justified", "Not justified")):
        sent = action_form(
            f"review_{verdict}", label=f"{word}: {change['ref']}", object_id=str(change["id"]),
            digest=change["digest"], fields=[Field("comment", f"Why it was {word.lower()}", "area", required=True)],
            danger=verdict != "justified",
        )  # fmt: skip
        if sent is None:
            continue
        comment = sent.values["comment"]
        reviewed = perform(
            lambda session, me, said=verdict, text=comment: review_change(
                session, me, change["id"], verdict=said, comment=text
            ),
            done=f"You reviewed {change['ref']}: {word.lower()}.",
        )
        if reviewed is not None:
            st.rerun()


def execution(change: Mapping[str, Any]) -> None:
    """Progress while a worker carries it out; what came of it afterwards."""
    if change["state"] == "approved" and change["run_id"] is None:
        st.info(f"Approved; {plain(change['step'])}.", icon=":material/ac_unit:")
    elif change["state"] in ("approved", "executing"):
        _progress(change["id"], change["state"])
    elif change["outcome"]:
        st.html(
            f'<div class="w-point">{badge(change["state_words"], CHANGE_LEVELS.get(change["state"], "unknown"))}</div>'
        )
        words, reported = told_failure(change["outcome"])
        key_values({"outcome": words, "finished": change["finished_at"]})
        if reported:
            st.html(str(folded("the error as it was reported", reported)))


@live(run_every=1)
def _await_gates(change_id: int, shown: str) -> None:
    """Asks every second, and has the whole page drawn again once the gates are in."""
    if data.change(data.scope_of(viewer()), change_id)["state"] != shown:
        data.look_again(viewer())
        st.rerun(scope="app")
    st.caption("The gates are being evaluated; it is decided on when they are in.")


@live(run_every=1)
def _progress(change_id: int, shown: str) -> None:
    """Asks every second, and has the whole page drawn again once the state has moved."""
    scope = data.scope_of(viewer())
    now = data.change(scope, change_id)
    if now["state"] != shown:
        data.look_again(viewer())
        st.rerun(scope="app")
    run = data.run(scope, now["run_id"])
    st.progress(
        float(run["progress"]) if run else 0.0,
        text=f"{now['state_words']}: {now['step'] or 'waiting for a worker'}",
    )
