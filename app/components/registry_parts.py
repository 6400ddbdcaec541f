"""The parts of the Registry page: moves that wait, what the rules would have said, and models with their gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app import data
from app.components.actions import Field, action_form
from app.components.tables import Cell, anchor, badge, folded, lines, name_link, small, table
from app.formats import format_age, format_utc
from app.plain_text import plain
from app.session import go, page_link, perform, viewer
from app.words import count_of
from backend.errors import WarrantError
from backend.governance.asking import request_change
from backend.governance.kinds import Asked
from backend.governance.move_answers import request_restore, set_enforcement
from backend.identity.roles import Permission

SAID = {"allowed": "settled", "refused": "attention", "unknown": "unknown"}
SAID_WORDS = {"allowed": "allowed", "refused": "would have been refused", "unknown": "not known"}
RULES = {"enforce": ("enforced", "settled"), "observe": ("only observed", "unknown")}
STATES = {
    "open": "waits for an answer", "observed": "only observed", "restored": "put back",
    "overtaken": "moved again since", "regularised": "agreed afterwards",
}  # fmt: skip
MOST_REASONS = 3


def show_open_moves(found: Sequence[Mapping[str, Any]], registered: Mapping[str, set[int]]) -> None:
    """Each move that somebody has to answer, with both answers. `registered`: versions by model that can serve."""
    for move in found:
        with st.container(border=True, key=f"move-{move['id']}"):
            told, answers = st.columns([6, 4], gap="large")
            with told:
                st.markdown(f"**{plain(move['model'])}: {plain(_moved(move))}**")
                st.html(
                    small(
                        f"found {format_utc(move['found_at'])}, {format_age(move['found_at'])} ago; nothing that "
                        "serves follows it"
                    )
                )
                st.html(
                    str(
                        lines(
                            badge(SAID_WORDS[move["would_be"]], SAID[move["would_be"]]),
                            *_because(move, MOST_REASONS),
                        )
                    )
                )
            with answers:
                _offer_restore(move)
                _offer_regularisation(move, registered.get(move["model"], set()))


def _offer_restore(move: Mapping[str, Any]) -> None:
    why_not = None if viewer().may(Permission.REQUEST_CHANGE) else "Your role cannot answer it."
    with st.popover(
        "Put the alias back…", disabled=why_not is not None, width="stretch", icon=":material/undo:"
    ):
        st.caption(
            "The alias names what serves again, or goes where nothing does. It is only a mirror: no request is "
            "answered otherwise, and nobody has to approve."
        )
        sent = action_form(
            "restore", label=f"Put {move['alias']} of {move['model']} back", object_id=str(move["id"]),
            digest=f"{move['to_version']}", fields=[Field("reason", "Why")],
            disabled_because=why_not,
        )  # fmt: skip
    if why_not:
        st.caption(plain(why_not))
    if sent is None:
        return
    asked = perform(
        lambda session, me: request_restore(
            session, me, int(sent.object_id), why=sent.values["reason"] or ""
        ),
        done=f"A worker puts {move['alias']} of {move['model']} back.",
    )
    if asked is not None:
        st.rerun()


def _offer_regularisation(move: Mapping[str, Any], registered: set[int]) -> None:
    """The way to the promotion that the move took for granted, or why there is none."""
    version = move["to_version"]
    if move["change_id"] is not None:
        page_link(
            "change", f"CHG-{move['change_id']} asks for it", icon=":material/rule:", id=move["change_id"]
        )
    elif version is None:
        st.caption("The alias was taken away: there is no version to agree to.")
    elif version not in registered:
        st.caption(
            f"Version {version} is known from MLflow alone: register it with artefact, reference data and card, then "
            "its promotion can be asked for."
        )
    else:
        page_link(
            "request_change", f"Ask for the promotion of v{version}…", icon=":material/upgrade:", kind="promote",
            model=move["model"], to=version, move=move["id"],
        )  # fmt: skip


def _moved(move: Mapping[str, Any]) -> str:
    before = f"v{move['from_version']}" if move["from_version"] is not None else "nothing"
    after = f"v{move['to_version']}" if move["to_version"] is not None else "nothing"
    return f"{move['alias']} {before} → {after}"


def _because(move: Mapping[str, Any], most: int) -> list[Cell]:
    """Why, what refuses first; what is beyond `most` is read by opening it."""
    reasons = sorted(move["reasons"], key=lambda one: one["says"] != "refused")
    told: list[Cell] = [small(one["text"]) for one in reasons[:most]]
    if len(reasons) > most:
        beyond = [one["text"] for one in reasons[most:]]
        told.append(folded(count_of(len(beyond), "more reason"), *beyond))
    return told


def show_moves(found: Sequence[Mapping[str, Any]]) -> None:
    """Moves newest first, with what the rules in force said when each was found."""
    rows: list[list[Cell]] = [
        [
            lines(move["found_at"], small(f"{format_age(move['found_at'])} ago")),
            name_link(move["model"], "registry", about=move["model"]),
            lines(_moved(move), small(move["environment"] or "of no environment")),
            badge(SAID_WORDS[move["would_be"]], SAID[move["would_be"]]),
            lines(*_because(move, 1)),
            lines(
                STATES.get(move["state"], move["state"]),
                anchor(f"CHG-{move['change_id']}", "change", id=move["change_id"])
                if move["change_id"] is not None
                else None,
            ),
        ]
        for move in found
    ]
    table(
        ("found", "model", "move", "by the rules", "because", "since"), rows, caption="moves made elsewhere"
    )


def show_models(entries: Sequence[Mapping[str, Any]]) -> None:
    """Models of the inventory: what is known, and what nobody knows."""
    rows: list[list[Cell]] = [
        [
            lines(name_link(one["name"], "registry", about=one["name"]), small(f"tier {one['tier']}")),
            badge(*RULES[one["enforcement"]]),
            lines(*_versions_words(one)),
            ", ".join(
                f"{alias} → v{version['version']}" for version in one["versions"] for alias in version["aliases"]
            )
            or "–",
            lines(badge(one["gaps"][0], "unknown"), small("; ".join(one["gaps"][1:]))) if one["gaps"] else "none",
        ]
        for one in entries
    ]  # fmt: skip
    table(("model", "rules", "versions", "aliases", "gaps"), rows, caption="models of the inventory")


def _versions_words(entry: Mapping[str, Any]) -> list[Cell]:
    alone = sum(not version["registered"] for version in entry["versions"])
    told: list[Cell] = [count_of(len(entry["versions"]), "version")]
    if alone:
        told.append(small(f"{alone} known from MLflow alone"))
    return told


def show_versions_of(entry: Mapping[str, Any]) -> None:
    """Every version of one model, and what is missing of each."""
    if not entry["versions"]:
        st.caption("No version of it is known.")
        return
    rows: list[list[Cell]] = [
        [
            f"v{one['version']}",
            badge("registered", "settled")
            if one["registered"]
            else badge("known from MLflow alone", "unknown"),
            ", ".join(one["aliases"]) or "–",
            one["created_at"],
            "; ".join(one["gaps"]) or "none",
        ]
        for one in entry["versions"]
    ]
    table(("version", "state", "aliases", "made in MLflow", "gaps"), rows, caption="versions with their gaps")


def offer_rules(entry: Mapping[str, Any]) -> None:
    """Make the rules of one model hold with a click, or ask others to agree that they only report."""
    name, enforced = entry["name"], entry["enforcement"] == "enforce"
    st.html(str(badge(*RULES[entry["enforcement"]])))
    if enforced:
        st.caption("A move of the alias champion by others opens a ticket and waits for an answer.")
        _offer_observing(name)
        return
    st.caption("Moves by others are judged and counted; nobody is called, and nothing is blocked.")
    allowed = viewer().may(Permission.DECIDE_CHANGE) or viewer().may(Permission.MANAGE_PEOPLE)
    why_not = None if allowed else "Those who decide on changes, and administrators, say whether rules hold."
    with st.popover(f"Enforce the rules of {plain(name)}…", disabled=not allowed, width="stretch"):
        sent = action_form(
            "enforce", label=f"Enforce the rules of {plain(name)}", object_id=name, digest=entry["enforcement"],
            fields=[Field("why", "Why", "area")], disabled_because=why_not,
        )  # fmt: skip
    if why_not:
        st.caption(plain(why_not))
    if sent is None:
        return
    said = perform(
        lambda session, me: set_enforcement(
            session, me, sent.object_id, enforcement="enforce", why=sent.values["why"] or ""
        ),
        done=f"The rules of {name} are enforced from now on.",
    )
    if said is not None:
        st.rerun()


def _offer_observing(name: str) -> None:
    """Ask that the rules are no longer enforced: others decide on it."""
    allowed = viewer().may(Permission.REQUEST_CHANGE)
    with st.popover(f"Only observe {plain(name)} again…", disabled=not allowed, width="stretch"):
        st.caption("It is a change that others have to approve: the CI gate would let everything pass again.")
        if not allowed:
            return
        asked = Asked("observe", data.environment(), name)
        try:
            preview = data.preview(data.scope_of(viewer()), asked)
        except WarrantError as error:
            st.info(f"{plain(error.title)}. {plain(error.message)}")
            return
        sent = action_form(
            "observe", label="Ask to only observe it", object_id=name, digest=preview["digest"],
            fields=[Field("reason", "Why", "area", required=True)],
        )  # fmt: skip
    if sent is None:
        return
    change = perform(
        lambda session, me: request_change(
            session, me, asked, reason=sent.values["reason"] or "", seen_digest=sent.digest
        ),
        done="It is asked for; it waits for a decision by somebody else.",
    )
    if change is not None:
        go("change", id=change.id)
