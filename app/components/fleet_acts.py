"""One act on several models: choose them, read exactly what it would do to which, then do it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import streamlit as st

from app import data
from app.components.actions import Field, action_form
from app.components.status import empty_state
from app.components.tables import anchor, badge, table
from app.plain_text import plain
from app.session import perform, rendering_errors
from app.words import count_of
from backend.fleet.acts import ACTS, MOST, Act, ActPreview, ActResult, Asking, perform_act, right_to
from backend.fleet.listing import TIERS, FleetPage, Wanted
from backend.identity.actor import Actor
from backend.identity.roles import Permission

LASTS: Final = {"1 hour": 1, "8 hours": 8, "1 day": 24, "7 days": 168, "30 days": 720}
WORSE: Final = "it gets worse (8 hours at most)"
DRAWN: Final = 50
"""Models of a preview that are listed; the digest is of all of them"""
_RESULT: Final = "_fleet_result"


def offer_acts(scope: data.Scope, actor: Actor, wanted: Wanted, environment: str, page: FleetPage) -> None:
    """Everything below the switch "Act on several models"."""
    _show_result()
    offered = [act for act in ACTS if _may(actor, act)]
    if not offered:
        return
    if not st.toggle("Act on several models", key="fleet-act"):
        return
    with st.container(border=True):
        names = _chosen(scope, wanted, environment, page)
        left, right = st.columns([2, 3], vertical_alignment="bottom")
        act = left.selectbox("What to do", offered, format_func=ACTS.__getitem__, key="fleet-act:what")
        with right:
            asking = _details(scope, actor, act)
        if not names:
            st.caption("Choose at least one model: what would be done is listed before anything is.")
            return
        if asking is None:
            st.caption("Say how, and what would be done is listed here before anything is.")
            return
        with rendering_errors():
            _confirm(scope, replace(asking, models=tuple(names)), environment)


def _may(actor: Actor, act: Act) -> bool:
    return actor.may(right_to(act)) or (act == "enforce" and actor.may(Permission.MANAGE_PEOPLE))


def _chosen(scope: data.Scope, wanted: Wanted, environment: str, page: FleetPage) -> list[str]:
    """The models that are chosen: by name, or all that match the filters."""
    if page.total <= MOST:
        if st.checkbox(f"All {count_of(page.total, 'model')} that match the filters", key="fleet-act:all"):
            return data.fleet_names(scope, wanted, environment)
    else:
        st.caption(f"More than {MOST} models match; narrow the filters to act on all of them.")
    return st.multiselect(
        "Models", data.fleet_names(scope, wanted, environment), key="fleet-act:models", placeholder="choose"
    )


def _details(scope: data.Scope, actor: Actor, act: Act) -> Asking | None:
    """How it is to be done; None while something is missing."""
    empty = Asking(act, ())
    if act == "silence":
        until = st.selectbox("Until", [*LASTS, WORSE], key="fleet-act:until", format_func=lambda one: (
            one if one == WORSE else f"{one} from now"
        ))  # fmt: skip
        return replace(empty, hours=LASTS.get(until), until_worse=until == WORSE)
    if act == "owner":
        people = list(data.people_to_choose(scope))
        owner = st.selectbox("New owner", people, None, placeholder="choose", key="fleet-act:owner")
        return replace(empty, owner=owner) if owner else None
    if act == "tag":
        known = [value for value, _ in data.fleet_choices(scope)["tag"]]
        add = st.multiselect(
            "Put on", known, accept_new_options=True, key="fleet-act:add", placeholder="tags"
        )
        remove = st.multiselect("Take off", known, key="fleet-act:remove", placeholder="tags")
        return replace(empty, add=tuple(add), remove=tuple(remove)) if add or remove else None
    if act == "policy":
        tier = st.selectbox("Tier", TIERS, None, placeholder="choose", key="fleet-act:tier")
        return replace(empty, tier=tier) if tier else None
    return empty


def _confirm(scope: data.Scope, asking: Asking, environment: str) -> None:
    preview = data.fleet_act(scope, asking, environment)
    _show_preview(preview)
    if not preview.planned:
        return
    fields = [] if asking.act == "tag" else [
        Field("why", "Why", "area", required=asking.act != "enforce", help="Others read it at each model.")
    ]  # fmt: skip
    sent = action_form(
        "fleet", label=f"{ACTS[asking.act]}: {count_of(len(preview.planned), 'model')}", object_id=asking.act,
        digest=preview.digest, fields=fields, danger=asking.act == "silence",
    )  # fmt: skip
    if sent is None:
        return
    result = perform(
        lambda session, me: perform_act(
            session, me, replace(asking, why=sent.values.get("why") or ""), environment, seen_digest=sent.digest
        ),
        done=f"{ACTS[asking.act]}: done.", sent=sent,
    )  # fmt: skip
    if result is not None:
        st.session_state[_RESULT] = result
        st.session_state.pop("fleet-act:models", None)
        st.session_state.pop("fleet-act:all", None)
        st.rerun()


def _show_preview(preview: ActPreview) -> None:
    if preview.planned:
        st.markdown(f"**This would be done to {count_of(len(preview.planned), 'model')}**")
        table(
            ("model", "what would be done"),
            [(anchor(one.model, "model", model=one.model), one.what) for one in preview.planned[:DRAWN]],
            caption="what would be done to which model", cards=False,
        )  # fmt: skip
        _say_rest(len(preview.planned))
    else:
        empty_state("Nothing would be done", "Every chosen model is left out, for the reasons below.")
    if preview.left_out:
        st.markdown(f"**{count_of(len(preview.left_out), 'model')} left out**")
        table(
            ("model", "why"), [(one.model, one.reason) for one in preview.left_out[:DRAWN]],
            caption="which models are left out, and why", cards=False,
        )  # fmt: skip
        _say_rest(len(preview.left_out))


def _say_rest(count: int) -> None:
    if count > DRAWN:
        st.caption(f"and {count_of(count - DRAWN, 'more model')}, in the same order of names")


def _show_result() -> None:
    """What came of the last act, once."""
    result: ActResult | None = st.session_state.pop(_RESULT, None)
    if result is None:
        return
    with st.container(border=True):
        refused = f", {len(result.refused):,} refused" if result.refused else ""
        st.markdown(plain(f"Done to {count_of(len(result.done), 'model')}{refused}"))
        rows = [(one.model, badge("refused", "attention"), one.reason) for one in result.refused]
        rows += [(one.model, badge("done", "settled"), one.what) for one in result.done]
        table(("model", "", "what came of it"), rows[:DRAWN], caption="what came of it", cards=False)
        _say_rest(len(rows))
