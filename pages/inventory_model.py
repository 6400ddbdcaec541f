"""One model of the inventory: what is due, validations, findings, exceptions, tier, and where it comes from."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import Field, action_form, empty_state, headline, key_values
from app.components.assurance_actions import (
    because,
    done,
    offer_conditions,
    offer_course,
    offer_decisions,
    offer_exception,
    offer_facts,
    offer_finding,
    offer_questionnaire,
    offer_validation,
)
from app.components.assurance_parts import day, show_exceptions, show_findings, show_validations, worst_first
from app.components.lineage import show_lineage
from app.plain_text import plain
from app.session import page_link, viewer
from backend.assurance.inventory import KINDS
from backend.governance.asking import preview_change, request_change
from backend.governance.gates import gates
from backend.governance.kinds import Asked
from backend.identity.roles import Permission

actor = viewer()
scope = data.scope_of(actor)
name = st.query_params.get("model", "")
if not name:
    empty_state("Which model?", "Open one from the inventory.", ("Inventory", "/inventory"))
    st.stop()
entry, found, asked = (
    data.model_kept(scope, name),
    data.assurance(scope, name),
    data.tier_answers(scope, name),
)
people = data.people_to_choose(scope) if actor.may(Permission.HANDLE_FINDINGS) else {}
origin = data.lineage(scope, name)
said = entry.due[0] if entry.due else "nothing is due"
facts = [name, KINDS[entry.kind], f"tier {entry.tier}", f"owner {entry.owner or 'nobody'}"]
if entry.team:
    facts.append(f"team {entry.team}")
headline(f"{entry.title}: {said}", entry.level, detail=" · ".join(facts))

main, side = st.columns([7, 3], gap="large")
with main:
    key_values(
        {
            "also due": "; ".join(entry.due[1:]) or "nothing else",
            "purpose": entry.purpose or None,
            "data": entry.data or None,
            **({"vendor": f"{entry.vendor}, {entry.contact}"} if entry.vendor else {}),
            "health": entry.health,
            "next review": day(entry.next_review_at) if entry.next_review_at else None,
        }
    )
    st.header("Validations", anchor=False)
    show_validations(found["validations"])
    st.header("Findings", anchor=False)
    open_ones = worst_first([one for one in found["findings"] if one["state"] != "closed"])
    closed = [one for one in found["findings"] if one["state"] == "closed"]
    show_findings(open_ones)
    if closed:
        with st.expander(f"{len(closed)} closed"):
            show_findings(closed)
    st.header("Exceptions", anchor=False)
    show_exceptions(found["exceptions"])
    st.header("Where it comes from", anchor=False)
    if origin.versions:
        show_lineage(origin, name)
    else:
        empty_state(
            "No version is registered here", "What a vendor serves, or an import alone names, has no lineage."
        )
with side, st.container(border=True, key="act"):
    offer_facts(entry, people)
    offer_questionnaire(entry, asked)
    newest = asked["answers"][0] if asked["answers"] else None
    if newest:
        levels = ", ".join(f"{axis} {level}" for axis, level in newest["levels"].items())
        old = "" if newest["current"] else " (to an earlier questionnaire)"
        st.caption(
            plain(
                f"Proposed tier {newest['tier']}: {levels}; {newest['answered_by']}, {day(newest['answered_at'])}{old}"
            )
        )
    if newest and newest["tier"] != entry.tier:
        with st.popover(f"Ask for tier {plain(newest['tier'])}…", width="stretch"):
            sent = action_form(
                "tier", label=f"Ask for tier {newest['tier']}", object_id=name, digest=f"{entry.tier}>{newest['tier']}",
                fields=[Field("reason", "Why", "area", required=True)],
                disabled_because=because(Permission.REQUEST_CHANGE, "ask for changes"),
            )  # fmt: skip
            wanted = Asked("tier", data.environment(), name, subject={"tier": newest["tier"]})
            done(
                sent,
                lambda session, me, form: request_change(
                    session, me, wanted, reason=form.values["reason"],
                    seen_digest=preview_change(session, me, wanted).digest,
                ),
                "Asked; others decide on it.",
            )  # fmt: skip
    offer_validation(entry, [one.version for one in origin.of("version") if one.version is not None])
    offer_conditions(found["validations"])
    offer_finding(name, people)
    for one in open_ones:
        offer_course(one)
    offer_exception(name, list(gates()))
    offer_decisions(found["exceptions"])
    if entry.kind == "own":
        page_link("model", "How it performs, and its card", icon=":material/monitoring:", model=name)
        page_link("timeline", "What served when, and why", icon=":material/view_timeline:", model=name)
    if actor.may(Permission.READ_AUDIT):
        page_link("controls", "What is missing for it", icon=":material/checklist:", model=name)
    page_link("registry", "Its rules, and moves made elsewhere", icon=":material/inventory_2:", about=name)
    if actor.may(Permission.MAKE_PACKS):
        page_link("packs", "Evidence pack of it", icon=":material/folder_zip:", kind="model", model=name)
    if actor.may(Permission.READ_AUDIT):
        page_link(
            "audit", "What the log holds about it", icon=":material/history_edu:", kind="model", object=name
        )
