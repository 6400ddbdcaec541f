"""Error budgets in the evidence of a change, and the gate that holds a change against them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from app.phone_change import evidence_lines
from backend import clock
from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.governance.asking import preview_change
from backend.governance.gates import Asked, Finding, check_gate_rule, evaluate
from backend.governance.kinds import Asked as AskedChange
from backend.governance.policies import dry_run
from backend.governance.policy_document import read_policy
from backend.governance.policy_rules import GateRule
from backend.governance.tables import Change
from backend.monitoring.columns import parse_spec
from backend.registry.tables import Model, Version
from backend.slo.objectives import Availability, Objective
from backend.slo.objectives_service import define_objective, retire_objective
from backend.slo.tables import ObjectiveState
from backend.slo.windows import Rolling
from tests.integration.governance.conftest import ask, carry_out, say
from tests.worlds import World


def objective(world: World, name: str, *, remaining: float | None, state: str = "ok", at: datetime) -> str:
    """An objective and how it was last judged; without `remaining` nothing was counted."""
    with writing() as session:
        row = define_objective(
            session, world.on_call,
            objective=Objective(name=name, model="toy", sli=Availability(), target=Decimal("0.99"),
                                window=Rolling(720), title=name.capitalize()),
        )  # fmt: skip
        counts = {"good": 990.0, "total": 1000.0 if remaining is not None else 0.0, "observed_s": 60.0,
                  "excluded_s": 0.0}  # fmt: skip
        session.add(
            ObjectiveState(
                objective=row.key, model="toy", environment="production", number=1, read_until_s=0, seen_until_s=0,
                period_start_s=0, state=state, since=at, judged_at=at, remaining=remaining, problem="",
                figures={"period": counts},
            )
        )  # fmt: skip
        return row.key


def asked_gate(**parameters: Any) -> Finding:
    with reading() as session:
        model = session.get_one(Model, "toy")
        asked = Asked(
            session=session, model=model, spec=parse_spec(model.spec), environment="production", before=None,
            before_cutoff=None, after=session.get_one(Version, ("toy", 2)), after_cutoff=0.5,
        )  # fmt: skip
        return evaluate(GateRule(gate="slo_budget", parameters=parameters), asked).finding


def test_the_gate_passes_fails_and_cannot_tell(world: World) -> None:
    now = clock.now()
    assert asked_gate().verdict == "inconclusive"
    assert asked_gate().text == "no objective is defined for toy in production"
    objective(world, "answers", remaining=0.43, at=now)
    assert (asked_gate().verdict, asked_gate().value) == ("pass", 0.43)
    assert asked_gate(least_left=0.43).verdict == "pass", "exactly as much as is asked for is enough"
    assert asked_gate(least_left=0.44).verdict == "fail"
    objective(world, "silent", remaining=None, state="no_data", at=now)
    found = asked_gate()
    assert (found.verdict, "Silent: no data" in found.text) == ("inconclusive", True)
    assert asked_gate(objectives=["answers"]).verdict == "pass"
    assert asked_gate(objectives=["answers", "gone"]).verdict == "inconclusive"
    objective(world, "latency", remaining=-0.5, state="breach", at=now)
    found = asked_gate()
    assert (found.verdict, found.value) == ("fail", -0.5)
    assert found.text.startswith("Latency: overspent by 50 %")


def test_what_was_not_judged_lately_is_not_known(world: World) -> None:
    objective(world, "answers", remaining=1.0, at=clock.now() - timedelta(hours=3))
    assert asked_gate().verdict == "inconclusive"
    assert asked_gate(longest_age_h=4).verdict == "pass"


@pytest.mark.parametrize("parameters", [{"least_left": 1}, {"least_left": -0.1}, {"left": 0.5}])
def test_a_policy_with_other_parameters_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="slo_budget"):
        check_gate_rule(GateRule(gate="slo_budget", parameters=parameters), where="all")


def test_the_evidence_keeps_the_budgets_as_they_were_when_it_was_asked(world: World) -> None:
    at = clock.now()
    key = objective(world, "answers", remaining=0.43, at=at)
    objective(world, "silent", remaining=None, state="no_data", at=at)
    change = ask(world.engineer, AskedChange("promote", "production", "toy", 1))
    with writing() as session:
        session.get_one(ObjectiveState, key).remaining = -2.0
        retire_objective(session, world.on_call, key, seen=1, why="over")
    with reading() as session:
        kept = session.scalars(select(Change.evidence).where(Change.id == change.id)).one()
    (one, other) = kept["objectives"]
    assert (one["title"], one["remaining"], one["state"], one["as_of"]) == (
        "Answers", 0.43, "ok", clock.to_iso(at),
    )  # fmt: skip
    assert (other["remaining"], other["state"]) == (None, "no_data")
    lines = evidence_lines(kept)
    assert "error budget of Answers: 43 % left, holds" in lines
    assert "error budget of Silent: not known, no data" in lines


def test_what_is_left_is_never_said_to_be_more_than_it_is(world: World) -> None:
    objective(world, "answers", remaining=0.0999, at=clock.now())
    found = asked_gate(least_left=0.1)
    assert (found.verdict, "9.9 % left" in found.text) == ("fail", True)


def test_budgets_do_not_make_a_preview_stale(world: World) -> None:
    """They go on burning while somebody writes a reason."""
    key = objective(world, "answers", remaining=0.43, at=clock.now())
    wanted = AskedChange("promote", "production", "toy", 1)
    with reading() as session:
        before = preview_change(session, world.engineer, wanted).digest
    with writing() as session:
        session.get_one(ObjectiveState, key).remaining = 0.42
    with reading() as session:
        assert preview_change(session, world.engineer, wanted).digest == before


def test_a_dry_run_holds_a_draft_against_the_budgets_of_the_time(world: World) -> None:
    key = objective(world, "answers", remaining=0.43, at=clock.now())
    change = ask(world.engineer, AskedChange("promote", "production", "toy", 1))
    say(world.lead, change)
    carry_out(change)
    with writing() as session:
        session.get_one(ObjectiveState, key).remaining = -2.0

    def would(least_left: float) -> tuple[str, tuple[str, ...]]:
        gate = f"{{gate: slo_budget, parameters: {{least_left: {least_left}}}}}"
        with reading() as session:
            document = read_policy(f"rules: [{{name: all, rule: {{gates: [{gate}]}}}}]")
            told = next(one for one in dry_run(session, world.lead, document) if one.change_id == change.id)
            return told.would, told.reasons

    assert would(0.4) == ("allowed", ())
    assert would(0.5) == ("refused", ("gate slo_budget: fail",))
    with writing() as session:
        kept = session.get_one(Change, change.id)
        kept.evidence = {name: value for name, value in kept.evidence.items() if name != "objectives"}
    assert would(0.4) == ("refused", ("gate slo_budget: was not asked then",))
