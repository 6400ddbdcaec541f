"""Acting without a decision: the return that was agreed with a promotion, and breaking the glass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from markupsafe import Markup

from app import data
from app.components.actions import Field, action_form
from app.components.links import when
from app.components.tables import small
from app.plain_text import plain
from app.session import go, perform
from backend.governance.kinds import Asked
from backend.governance.urgent import break_glass, take_way_back
from backend.identity.actor import Actor
from backend.identity.roles import Permission


def offer_way_back(
    actor: Actor, model: str, *, alert_id: int | None = None, incident_id: int | None = None
) -> None:
    """Two clicks back to the version before, where that was agreed with the promotion; nothing where it was not.
    `alert_id`: the alert that it answers, whose incident it closes; without one, `incident_id`."""
    way = data.way_back(data.scope_of(actor), model)
    if way is None:
        return
    with st.container(border=True, key="way-back"):
        st.markdown(f"**Go back to v{way['to_version']}**, as agreed with CHG-{way['change_id']}")
        until = when(way["expires_at"])
        st.html(
            small(Markup("cut-off {}, until {}; needs no approval").format(f"{way['to_cutoff']:g}", until))
        )
        refused = "; ".join(way["differs"]) or None
        if refused is None and not actor.may(Permission.REQUEST_CHANGE):
            refused = "Your role cannot go back."
        with st.popover(f"Go back to v{way['to_version']}…", disabled=refused is not None):
            sent = action_form(
                "way_back", label=f"Go back to v{way['to_version']} now", object_id=str(way["id"]),
                digest=way["digest"], disabled_because=refused,
                fields=[Field("reason", "Why", "area", required=True, help="the record keeps it")],
            )  # fmt: skip
        if refused is not None:
            st.caption(plain(refused[:1].upper() + refused[1:]))
    if sent is None:
        return
    taken = perform(
        lambda session, me: take_way_back(
            session,
            me,
            int(sent.object_id),
            reason=sent.values["reason"],
            seen_digest=sent.digest,
            alert_id=alert_id,
            incident_id=incident_id,
        ),
        done=f"The return to version {way['to_version']} runs.",
    )
    if taken is not None:
        go("change", id=taken.id)


def offer_break_glass(preview: Mapping[str, Any], asked: Asked) -> None:
    """Act at once and be reviewed afterwards, where the rule allows it to this person."""
    rule = preview["policy"]["break_glass"]
    if rule is None or asked.kind not in rule["kinds"]:
        return
    with st.expander("It cannot wait: break the glass"):
        st.caption(
            "It runs at once and without approval, in a freeze, too; it makes void what waits, and aborts a rollout "
            "that runs. "
            f"Somebody else reviews it within {rule['review_within_h']:g} h; until then the team gets no "
            "release approved. Compliance sees it."
        )
        sent = action_form(
            "break_glass", label="Break the glass now", object_id=f"{asked.model}/{asked.to_version}",
            digest=preview["digest"], danger=True, disabled_because=preview["cannot_break_glass"],
            fields=[Field("reason", "Why it cannot wait", "area", required=True),
                    Field("sure", "I act without approval", "checkbox", required=True)],
        )  # fmt: skip
    if sent is None:
        return
    done = perform(
        lambda session, me: break_glass(
            session, me, asked, reason=sent.values["reason"], seen_digest=sent.digest
        ),
        done="The glass is broken; the change runs.",
        sent=sent,
    )
    if done is not None:
        go("change", id=done.id)
