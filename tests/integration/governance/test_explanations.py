"""What both versions lean on, as evidence of a change: what is stored, bound, and asked for where it is missing."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st
from sqlalchemy import select

from backend.database.session import reading, writing
from backend.explain.service import Contribution, Explanation, store_explanation
from backend.governance.kinds import Asked
from backend.governance.settling import settle_gates
from backend.governance.standing import what_differs
from backend.governance.tables import Change
from backend.queue import COMPUTE_SHAP, JobRun
from jobs.check_gates import evaluate_gates
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.governance.conftest import ask, now, put_in_force, say
from tests.worlds import SYSTEM, World

__all__ = ["open_page"]
PROMOTE = Asked("promote", "production", "toy", 1)


def explain(version: int, distance: float, carrier: float) -> None:
    with writing() as session:
        store_explanation(
            session, SYSTEM,
            explanation=Explanation(
                "toy", version, 500, "shap TreeExplainer, exact", 0.0,
                (Contribution("distance", distance, 0.9), Contribution("carrier", carrier, None)),
            ),
        )  # fmt: skip


def told(change: Change) -> dict[str, Any]:
    found: dict[str, Any] = now(change).evidence["explanations"]
    return found


def test_the_stored_explanations_of_both_are_evidence_that_stays_as_it_was(
    world: World, open_page: Open
) -> None:
    explain(3, 0.3, 0.1)
    explain(1, 0.2, 0.2)
    change = ask(world.engineer, PROMOTE)
    found = {one["column"]: one["difference"] for one in told(change)["columns"]}
    assert found == pytest.approx({"carrier": 0.25, "distance": -0.25})
    assert (told(change)["moved"], told(change)["rank_correlation"]) == (pytest.approx(0.25), None)
    explain(1, 0.9, 0.1)
    assert told(change)["columns"][0]["after"] == pytest.approx(0.5), "as it was when it was asked for"
    page = text_of(open_page(world.lead, "change", id=change.id))
    assert "What each version leans on: 25.0 % of the weight moves".replace(" %", "\u202f%") in page
    assert "+25.0\u202fpoints" in page

    say(world.lead, change)
    with writing() as session:
        stored = session.get_one(Change, change.id)
        assert what_differs(session, stored) == []
        stored.evidence = stored.evidence | {"explanations": told(change) | {"moved": 0.0}}
        assert "not the ones that were signed" in what_differs(session, stored)[0]
        session.rollback()


def test_a_version_without_an_explanation_is_named_and_the_job_is_offered(
    world: World, open_page: Open
) -> None:
    explain(3, 0.3, 0.1)
    change = ask(world.engineer, PROMOTE)
    assert (told(change)["known"], told(change)["missing"]) == (False, [1])
    page = open_page(world.lead, "change", id=change.id)
    assert "No explanation of v1 is stored" in text_of(page)
    next(button for button in page.button if button.label == "Explain v1").click().run()
    with reading() as session:
        run = session.scalars(select(JobRun).where(JobRun.name == COMPUTE_SHAP.name)).one()
        assert (run.subject, run.arguments) == ("toy", {"version": 1})
    explain(1, 0.2, 0.2)
    st.cache_data.clear()  # pages see it within a minute
    page = open_page(world.lead, "change", id=change.id)
    assert "The explanation of v1 is stored by now" in text_of(page)


def test_evaluating_the_gates_takes_what_is_stored_by_then(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {gates: [{gate: artefact_scanned}]}}]")
    change = ask(world.engineer, PROMOTE)
    assert not told(change)["known"]
    explain(3, 0.3, 0.1)
    explain(1, 0.2, 0.2)
    found = evaluate_gates(change.id, 1)
    assert found is not None
    with writing() as session:
        settle_gates(session, SYSTEM, change.id, revision=1, **found)
    assert told(change)["moved"] == pytest.approx(0.25)


def test_a_change_of_the_cut_off_has_no_other_explanation(world: World, open_page: Open) -> None:
    change = ask(world.engineer, Asked("cutoff", "production", "toy", to_cutoff=0.4))
    assert told(change) is None
    assert "leans on" not in text_of(open_page(world.lead, "change", id=change.id))
