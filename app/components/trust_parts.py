"""Which jobs of CI systems are let in, as which service account; for administrators a form to add and to end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st
import yaml

from app.components.actions import Field, Submission, action_form
from app.components.facts import key_values
from app.components.status import empty_state
from app.plain_text import plain
from app.session import perform
from backend.errors import BadInput
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.identity.trust_rules import create_rule, end_rule

_CLAIMS: Final = "repository: acme/flights\nref: refs/heads/main"
ISSUERS: Final = ("https://token.actions.githubusercontent.com", "https://gitlab.com")


def show_trust(
    actor: Actor, rules: Sequence[Mapping[str, Any]], services: Mapping[str, str], permissions: Sequence[str]
) -> None:
    """`services`: user name -> id of the service accounts that are open."""
    st.header("Jobs of CI systems", anchor=False)
    if not rules:
        empty_state(
            "No job is let in by its own token", "With a rule here, a pipeline needs no secret of Warrant's."
        )
    names = {person: name for name, person in services.items()}
    for one in rules:
        _show(one, names, may_end=actor.may(Permission.MANAGE_PEOPLE))
    if actor.may(Permission.MANAGE_PEOPLE):
        with st.expander("Let jobs in"):
            _offer(services, permissions)


def _show(one: Mapping[str, Any], names: Mapping[str, str], *, may_end: bool) -> None:
    with st.container(border=True, key=f"trust-{one['id']}"):
        key_values(
            {
                one["name"]: "ended" if one["ended_at"] else f"{one['minutes']} min each",
                "issuer": one["issuer"],
                "audience": one["audience"],
                "claims": "; ".join(
                    f"{name}: {' or '.join(values)}" for name, values in one["claims"].items()
                ),
                "act as": names.get(one["person_id"], one["person_id"]),
                "for": ", ".join(one["scopes"]),
                "models": ", ".join(one["models"])
                if one["models"] is not None
                else "every one of the account",
                "last used": one["last_used_at"],
            }
        )
        if one["ended_at"] or not may_end:
            return
        with st.expander(f"End {plain(one['name'])}"):
            sent = action_form(
                "end-trust", label=f"End {one['name']}", object_id=str(one["id"]), digest=str(one["id"]),
                fields=[Field("why", "Why", required=True)], danger=True,
            )  # fmt: skip
        if sent is not None and perform(
            lambda session, me: end_rule(session, me, sent.object_id, why=sent.values["why"]),
            done="No more jobs come in by it, and its tokens are ended.", sent=sent,
        ):  # fmt: skip
            st.rerun()


def _offer(services: Mapping[str, str], permissions: Sequence[str]) -> None:
    if not services:
        st.caption("There is no service account yet; add one on the page People.")
        return
    scopes = st.multiselect("What they may do", list(permissions), placeholder="choose at least one")
    sent = action_form(
        "add-trust", label="Let them in", object_id="new", digest="new",
        fields=[Field("name", "What they are", required=True, max_chars=100),
                Field("issuer", "Issuer", required=True, value=ISSUERS[0], max_chars=300),
                Field("audience", "Audience that they ask their token for", required=True, max_chars=300),
                Field("claims", "Claims, one a line; * stands for any text", "area", required=True, value=_CLAIMS),
                Field("account", "They act as", "select", required=True, options=sorted(services)),
                Field("models", "Only these models, with commas"),
                Field("minutes", "A token is valid for, minutes", "number", value=15)],
        disabled_because=None if scopes else "Choose what they may do first.",
    )  # fmt: skip
    if sent is None:
        return
    made = perform(
        lambda session, me: create_rule(
            session, me, name=sent.values["name"], issuer=sent.values["issuer"], audience=sent.values["audience"],
            claims=claims_of(sent.values["claims"]), person_id=services[sent.values["account"]], scopes=scopes,
            models=_models(sent), minutes=int(sent.values["minutes"] or 15),
        ),
        done="Jobs with these claims come in now.", sent=sent,
    )  # fmt: skip
    if made is not None:
        st.rerun()


def _models(sent: Submission) -> list[str] | None:
    return [one.strip() for one in (sent.values["models"] or "").split(",") if one.strip()] or None


def claims_of(text: str) -> dict[str, list[str]]:
    """`repository: acme/flights`, a line each; several values as a YAML list. Raises `BadInput`."""
    try:
        found = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - texts and lists of texts, nothing else
    except yaml.YAMLError as error:
        raise BadInput("the claims cannot be read: write `repository: acme/flights`, a line each") from error
    if not isinstance(found, dict):
        raise BadInput("write each claim with its value: `repository: acme/flights`", field="claims")
    whole = {str(name): [one] if isinstance(one, str) else one for name, one in found.items()}
    if not all(isinstance(one, list) and all(isinstance(v, str) for v in one) for one in whole.values()):
        raise BadInput("the value of a claim is a text, or a list of texts", field="claims")
    return whole
