"""Legal holds: what is held, and the forms to place and release one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.actions import Field, action_form
from app.components.assurance_actions import because, done
from app.components.links import href
from app.components.tables import Cell, badge, lines, link, small, table
from app.formats import format_utc
from app.plain_text import plain
from backend.holds.service import KINDS, place_hold, release_hold
from backend.identity.roles import Permission


def show_holds(holds: Sequence[Mapping[str, Any]]) -> None:
    """The newest first: what is held since when, what that keeps, why, and for which incident."""
    rows: list[list[Cell]] = [
        [
            lines(
                f"{one['kind']}: {one['object_id']}",
                small(
                    f"hold {one['id']}"
                    + (f" in {one['model']}" if one["kind"] == "person" and one["model"] else "")
                ),
                small(f"keeps {one['keeps']}" if one["keeps"] else ""),
                *(badge(said, "page") for said in one["lost"]),
            ),
            lines(
                badge("released", "unknown") if one["released_at"] else badge("on hold", "attention"),
                small(f"since {format_utc(one['placed_at'])}, by {one['placed_by']}"),
            ),
            lines(
                one["reason"],
                link(f"INC-{one['incident_id']}", href("incident", id=one["incident_id"]))
                if one["incident_id"]
                else small(f"released: {one['released_because']}" if one["released_at"] else ""),
            ),
        ]
        for one in holds
    ]
    table(["What", "State", "Why"], rows)


def offer_hold(models: Sequence[str]) -> None:
    """Place a hold."""
    why_not = because(Permission.HOLD, "place holds")
    with st.popover("Place a hold…", width="stretch", disabled=why_not is not None):
        st.caption(plain("; ".join(f"{kind}: {what}" for kind, what in KINDS.items())))
        sent = action_form(
            "hold", label="Hold it", object_id="hold", digest="new",
            fields=[Field("kind", "What", "select", required=True, options=list(KINDS)),
                    Field("thing", "Which: its name or id, * for all of a kind", required=True, max_chars=1024),
                    Field("model", "Of a data subject: the model", "select", options=["", *models]),
                    Field("reason", "Why, without naming a person: it stays on the record", "area", required=True)],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: place_hold(
                session, me, kind=form.values["kind"], object_id=form.values["thing"],
                model=form.values["model"] or None, reason=form.values["reason"],
            ),
            "It is on hold from now on.",
        )  # fmt: skip


def offer_release(holds: Sequence[Mapping[str, Any]]) -> None:
    """Release one that somebody else placed."""
    why_not = because(Permission.HOLD, "release holds")
    with st.popover("Release a hold…", width="stretch", disabled=why_not is not None):
        sent = action_form(
            "release", label="Release it", object_id="release", digest=str([one["id"] for one in holds]),
            fields=[Field("hold", "Hold", "select", required=True, options=[str(one["id"]) for one in holds]),
                    Field("why", "Why it is over", "area", required=True)],
            disabled_because=why_not,
        )  # fmt: skip
        done(
            sent,
            lambda session, me, form: release_hold(
                session, me, int(form.values["hold"]), why=form.values["why"]
            ),
            "It is released; what it kept may be deleted from now on.",
        )
