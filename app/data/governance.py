"""Changes to production: those that wait, one as it is now, and one before it is asked for."""

from __future__ import annotations

from typing import Any, cast

import streamlit as st

from app.data.rows import MOST_READ
from app.data.scope import SHORT, Scope, environment
from backend.database.session import reading, writing
from backend.governance import authority, delegations, policies, reviews, rollout_commands, urgent, views
from backend.governance import reading as governance
from backend.governance.as_shown import shown_view
from backend.governance.asking import preview_change
from backend.governance.authority import is_waiting
from backend.governance.conditions import conditions_of
from backend.governance.kinds import Asked
from backend.governance.policy_cautions import policy_cautions
from backend.governance.policy_document import read_policy
from backend.governance.sending_again import preview_again
from backend.identity.people import names_of
from backend.identity.reach import see


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=500)
def inbox(scope: Scope) -> list[int]:
    """Ids of the changes that wait for this person's decision, the most urgent first. `listed` shows some of them."""
    with reading() as session:
        return governance.ids_waiting_for(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def open_changes(scope: Scope) -> list[int]:
    """Ids of the changes that have not come to their end, newest first."""
    with reading() as session:
        return governance.open_ids(session, scope.actor())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def listed(scope: Scope, change_ids: tuple[int, ...]) -> list[dict[str, Any]]:
    """These changes in this order, with `deciders`: who can still decide, by name; None where it waits for none."""
    with reading() as session:
        found = governance.changes_of(session, scope.actor(), change_ids)
        deciders = authority.who_can_decide_on_each(session, [one for one in found if is_waiting(one)])
        return [
            {
                **row,
                "deciders": [one["name"] for one in deciders[row["id"]]] if row["id"] in deciders else None,
            }
            for row in views.change_summaries(session, found)
        ]


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=200)
def changes(
    scope: Scope, states: tuple[str, ...] = (), limit: int = 50, before: int | None = None
) -> list[dict[str, Any]]:
    with reading() as session:
        found = governance.list_changes(session, scope.actor(), states=states, limit=limit, before=before)
        return views.change_summaries(session, found)


def change(scope: Scope, change_id: int) -> dict[str, Any]:
    """One change as it is now: not kept, since a decision is bound to what is shown."""
    viewer = scope.actor()
    with reading() as session:
        return views.change_detail(session, viewer, governance.get_change(session, viewer, change_id))


def change_as_shown(scope: Scope, change_id: int, digest: str) -> dict[str, Any]:
    """What was shown of a change under a digest, from what was stored then."""
    with reading() as session:
        return shown_view(session, scope.actor(), change_id, digest)


def preview(scope: Scope, asked: Asked) -> dict[str, Any]:
    """A change before it is asked for: not kept, since asking is bound to what is shown."""
    viewer = scope.actor()
    with reading() as session:
        return views.preview_view(preview_change(session, viewer, asked), viewer)


def resubmission(scope: Scope, change_id: int) -> dict[str, Any]:
    """A draft as it would be sent again now: what is shown of it is what is sent."""
    viewer = scope.actor()
    with reading() as session:
        return views.preview_view(preview_again(session, viewer, change_id), viewer)


def look_at(scope: Scope, shown: dict[str, Any]) -> dict[str, Any] | None:
    """What is new in a change since this person last looked; from then on they have seen what is shown.

    Asked once for each state of it in a visit, so that what was new stays on the page while one reads.
    """
    slot, stamp = f"look:{shown['id']}", (shown["digest"], shown["state"])
    seen = st.session_state.get(slot)
    if seen is not None and seen[0] == stamp:
        return cast("dict[str, Any] | None", seen[1])
    with writing() as session:
        news = governance.note_look(session, scope.actor(), shown["id"])
    st.session_state[slot] = (stamp, news)
    return news


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def way_back(scope: Scope, model: str) -> dict[str, Any] | None:
    """The return that is agreed for what serves, with why it cannot be taken if so."""
    viewer = scope.actor()
    with reading() as session:
        return urgent.way_back_view(session, viewer, model, environment())


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def policy(scope: Scope, revision: int | None = None) -> dict[str, Any]:
    """The policy in force, or an earlier revision of it."""
    viewer = scope.actor()
    with reading() as session:
        found = (
            policies.active_policy(session)
            if revision is None
            else policies.policy_revision(session, viewer, revision)
        )
        return {
            "revision": found.revision, "digest": found.digest, "text": found.document.as_yaml(),
            "rules": [
                {"name": entry.name, "for": entry.scope.model_dump(mode="json"),
                 "rule": entry.rule.model_dump(mode="json")}
                for entry in found.document.rules
            ],
            "freezes": [freeze.model_dump(mode="json") for freeze in found.document.freezes],
            "cautions": policy_cautions(session, found.document) if revision is None else [],
        }  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=50)
def policy_revisions(scope: Scope) -> list[dict[str, Any]]:
    """Every revision, newest first; the last one is that which was installed."""
    with reading() as session:
        made: list[dict[str, Any]] = [
            {"revision": row.revision, "digest": row.digest, "change_id": row.change_id, "note": row.note,
             "created_at": row.created_at}
            for row in policies.policy_history(session, scope.actor(), limit=MOST_READ)
        ]  # fmt: skip
    installed = policies.built_in()
    return [
        *made,
        {"revision": installed.revision, "digest": installed.digest, "change_id": None,
         "note": "installed with Warrant", "created_at": None},
    ]  # fmt: skip


def policy_draft_cautions(scope: Scope, text: str) -> list[str]:
    """What a draft says that will hardly be meant."""
    with reading() as session:
        see(session, scope.actor())
        return policy_cautions(session, read_policy(text))


def policy_dry_run(scope: Scope, text: str) -> list[dict[str, Any]]:
    """What a draft would have said of the last finished changes. `BadInput` says what is wrong with it."""
    document = read_policy(text)
    with reading() as session:
        return [
            {"ref": f"CHG-{one.change_id}", "id": one.change_id, "summary": one.summary, "was": one.was,
             "would": one.would, "reasons": list(one.reasons), "differs": one.differs}
            for one in policies.dry_run(session, scope.actor(), document)
        ]  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def lent(scope: Scope) -> list[dict[str, Any]]:
    """Rights to decide that this person lends or has been lent."""
    viewer = scope.actor()
    with reading() as session:
        rows = delegations.delegations_of(session, viewer, limit=MOST_READ)
        names = names_of(session, {person for row in rows for person in (row.from_person, row.to_person)})
        return [
            {"id": row.id, "from": names[row.from_person], "to": names[row.to_person], "starts_at": row.starts_at,
             "ends_at": row.ends_at, "reason": row.reason}
            for row in rows
        ]  # fmt: skip


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def reviews_owed(scope: Scope) -> list[dict[str, Any]]:
    """Break-glass changes that nobody else has reviewed yet."""
    with reading() as session:
        owed = reviews.all_outstanding_reviews(session, scope.actor())
        rows = views.change_summaries(session, [change for _, change in owed])
        return [{**row, "due_at": review.due_at} for row, (review, _) in zip(rows, owed, strict=True)]


def rollout(scope: Scope, change_id: int) -> dict[str, Any]:
    """The rollout of a change as it is now: not kept, since people tell it what to do by what they see."""
    with reading() as session:
        return rollout_commands.rollout_view(session, scope.actor(), change_id)


@st.cache_data(ttl=SHORT, show_spinner=False, max_entries=100)
def conditions(scope: Scope, model: str) -> list[dict[str, Any]]:
    """What the approval of what serves promised, and whether it still holds; the broken ones first."""
    with reading() as session:
        return conditions_of(session, scope.actor(), model, environment=environment())
