"""Editing a card: source, preview and difference side by side, and what to do when somebody else saved meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from app.components.actions import Field, action_form
from app.components.card_parts import show_contradictions, show_diff, show_difference, show_lacks, show_text
from app.components.status import banner
from app.data.scope import look_again
from app.plain_text import plain
from app.session import perform
from backend.cards.service import review_card, submit_card, write_card
from backend.identity.actor import Actor
from backend.identity.roles import Permission

EMPTY = (
    '---\nwarrant:\n  owner: "[More Information Needed]"\n---\n\n# Model card\n\n[More Information Needed]\n'
)
Preview = Callable[[str], Mapping[str, Any]]
Changes = Callable[[int, int], list[str]]


def edit_card(
    actor: Actor,
    newest: Mapping[str, Any] | None,
    model: str,
    version: int,
    *,
    preview: Preview,
    changes: Changes,
) -> bool:
    """Draw the editor; whether a version was saved. `newest`: what an edit begins from, None where there is no card."""
    why_not = (
        None if actor.may(Permission.WRITE_CARDS) else f"Your role lacks {Permission.WRITE_CARDS.value}."
    )
    if why_not:
        st.caption(plain(why_not))
        return False
    text_key, began_key = f"card-text:{model}/{version}", f"card-began:{model}/{version}"
    number = int(newest["number"] or 0) if newest is not None else 0
    source = str(newest["text"]) if newest is not None else EMPTY
    if began_key not in st.session_state or st.session_state.get(text_key) is None:
        st.session_state[began_key], st.session_state[text_key] = number, source
    began = int(st.session_state[began_key])
    if began != number:
        _say_conflict(began, number, began_key, changes)
    write, look, differ = st.tabs(["Write", "Preview", "Difference"])
    with write:
        text = st.text_area("Source in Markdown", key=text_key, height=460, help=(
            "Facts are placeholders: {{ metric roc_auc }} within a line, {{ facts live }} on a line of its own. "
            "The system fills them; nobody types them."))  # fmt: skip
    with look:
        seen = preview(text)
        show_contradictions(seen)
        st.caption(f"{seen['completeness']['percent']:d} % complete")
        show_lacks(seen, most=5)
        show_text(seen)
    with differ:
        show_difference(source, text, names=("as it is", "as you write it"))
    sent = action_form(
        "card-write", label=f"Save as card version {number + 1}", object_id=f"{model}/{version}", digest=str(began),
        fields=[Field("why", "Why")],
    )  # fmt: skip
    if sent is None:
        return False
    made = perform(
        lambda session, me: (
            write_card(
                session,
                me,
                model=model,
                version=version,
                text=text,
                based_on=began,
                why=sent.values["why"] or "",
            ).number
        ),
        done="Saved as a draft. Send it to review when it says what it has to.",
    )
    if made is None:
        look_again(actor)
        return False
    del st.session_state[began_key]
    return True


def _say_conflict(began: int, number: int, began_key: str, changes: Changes) -> None:
    """Somebody saved another version since this edit began: what they changed, and how to go on with one's own text."""
    banner(
        f"Version {number} was saved since you began from {f'version {began}' if began else 'nothing'}. Your text is "
        "kept: merge this difference into it, then go on.", "attention", word="edited meanwhile",
    )  # fmt: skip
    if began:
        show_diff(changes(began, number))

    def go_on() -> None:
        st.session_state[began_key] = number

    st.button(f"I have merged version {number:d}: go on from it", key=f"card-merged:{number}", on_click=go_on)


def offer_review(actor: Actor, card: Mapping[str, Any], model: str, version: int) -> bool:
    """Sending a draft to review, approving it or returning it; whether something was done."""
    if card["number"] is None or card["state"] not in ("draft", "in_review"):
        return False
    number, about = int(card["number"]), f"{model}/{version}/{card['number']}"
    if card["state"] == "draft":
        lacking = (
            None if actor.may(Permission.WRITE_CARDS) else f"Your role lacks {Permission.WRITE_CARDS.value}."
        )
        sent = action_form("card-submit", label=f"Send version {number} to review", object_id=about,
                           digest=card["digest"], disabled_because=lacking)  # fmt: skip
        return sent is not None and perform(
            lambda session, me: submit_card(session, me, model=model, version=version, number=number).number,
            done="It waits for somebody other than its writers.",
        ) is not None  # fmt: skip
    why_not = card["why_not_approve"]
    comment = Field("comment", "What you want to say", "area")
    approved = action_form(
        "card-approve", label=f"Approve version {number}", object_id=about, digest=card["digest"], fields=[comment],
        disabled_because=f"You cannot approve it: {why_not}." if why_not else None,
    )  # fmt: skip
    lacking = (
        None if actor.may(Permission.REVIEW_CARDS) else f"Your role lacks {Permission.REVIEW_CARDS.value}."
    )
    returned = action_form("card-return", label="Return it to its writers", object_id=about, digest=card["digest"],
                           fields=[Field("comment", "What has to change", "area", required=True)], danger=True,
                           disabled_because=lacking)  # fmt: skip
    said = approved or returned
    if said is None:
        return False
    done = perform(
        lambda session, me: review_card(
            session, me, model=model, version=version, number=number, verdict="approve" if approved else "return",
            seen_digest=said.digest, comment=said.values["comment"] or "",
        ).number,
        done="Approved: it is the card that holds." if approved else "Returned to its writers.",
    )  # fmt: skip
    return done is not None
