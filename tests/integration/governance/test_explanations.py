"""What both versions lean on, as evidence of a change: what is stored, bound, and asked for where it is missing."""

from __future__ import annotations

from typing import Any

import pytest
import streamlit as st
from sqlalchemy import select

from backend import clock
from backend.database.session import reading, writing
from backend.explain.service import Contribution, Explanation, store_explanation
from backend.governance.gates import Asked as AskedOfGate
from backend.governance.gates import Finding, evaluate, gates
from backend.governance.kinds import Asked
from backend.governance.policy_rules import GateRule
from backend.governance.settling import settle_gates
from backend.governance.standing import what_differs
from backend.governance.tables import Change
from backend.monitoring.columns import parse_spec
from backend.queue import COMPUTE_SHAP, JobRun
from backend.registry.tables import Model, Version
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


def gate(before: int | None, after: int, **parameters: Any) -> Finding:
    with reading() as session:
        model = session.get_one(Model, "toy")
        versions = [
            session.get_one(Version, ("toy", number)) if number else None for number in (before, after)
        ]
        assert versions[1] is not None
        found = AskedOfGate(
            session=session, model=model, spec=parse_spec(model.spec), environment="production", before=versions[0],
            before_cutoff=0.5, after=versions[1], after_cutoff=0.5,
        )  # fmt: skip
        return evaluate(GateRule(gate="explanation_stable", parameters=parameters), found).finding


def test_the_gate_holds_the_weight_that_moved_against_its_bound(world: World) -> None:
    assert gate(3, 1).verdict == "inconclusive" and "no explanation of v3 and v1 is stored" in gate(3, 1).text
    explain(3, 0.3, 0.1)
    assert "no explanation of v1 is stored" in gate(3, 1).text
    explain(1, 0.2, 0.2)
    found = gate(3, 1)
    assert (found.verdict, found.value, found.limit, found.rows) == ("pass", pytest.approx(0.25), 0.25, 500)
    assert (
        found.text
        == "25% of the weight lies on other columns than in v3: carrier 25% → 50%, distance 75% → 50%"
    )
    assert gate(3, 1, most_moved=0.24).verdict == "fail"
    assert gate(3, 1, min_rows=501).verdict == "inconclusive"
    assert gate(None, 1).text == "nothing serves now, so what they lean on cannot be compared"
    assert gate(1, 1).verdict == "pass"


def test_a_dry_run_asks_the_gate_of_the_evidence_that_was_kept(world: World) -> None:
    explain(3, 0.3, 0.1)
    explain(1, 0.2, 0.2)
    evidence = {"explanations": told(ask(world.engineer, PROMOTE))}
    explain(1, 0.3, 0.1)
    asked = gates()["explanation_stable"]
    assert asked.then is not None
    found = asked.then(evidence, asked.parameters(most_moved=0.2), clock.now())
    assert found is not None and found.verdict == "fail"
    assert asked.then({}, asked.parameters(), clock.now()) is None
