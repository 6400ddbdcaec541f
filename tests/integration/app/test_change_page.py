"""What the page of a change says only where it means something, and how a phone leads to the decision."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote_plus

import pytest
import streamlit as st

from app.components.change_parts import show_flips, show_gates
from app.components.evidence import show_policy
from app.components.policy_parts import rule_row
from app.formats import MINUS, NARROW, written
from backend import clock
from backend.assurance.exceptions import ask_exception, decide_exception, end_exception
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.governance.asking import preview_change
from backend.governance.deciding import decide
from backend.governance.gates import describe, gates, unanswered
from backend.governance.kinds import Asked
from backend.governance.policies import built_in
from backend.governance.policy_document import Entry
from backend.governance.policy_rules import GateRule
from backend.governance.reviews import review_change
from backend.governance.sending_again import preview_again, resubmit_change
from backend.governance.settling import settle_gates
from backend.governance.tables import Look, Snapshot
from backend.governance.urgent import break_glass
from backend.registry.tables import Version
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.governance.conftest import UNGATED, ask, carry_out, put_in_force, say
from tests.worlds import SYSTEM, World, make_world

__all__ = ["open_page"]
PROMOTE = Asked("promote", "production", "toy", to_version=1)


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    st.cache_data.clear()
    made = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, made, UNGATED)
    yield made
    use_database(None)


def test_a_change_of_tier_has_neither_a_rollout_nor_a_way_back(world: World, open_page: Open) -> None:
    tier = ask(world.lead, Asked("tier", "production", "toy", subject={"tier": "low"}))
    said = text_of(open_page(world.other_lead, "change", id=str(tier.id)))
    assert "What differs" in said
    assert not [word for word in ("way back", "rollout", "At risk") if word in said]


def test_an_exception_is_named_where_the_change_is_signed(world: World, open_page: Open) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {gates: [{gate: external}]}}]")
    change = ask(world.engineer, PROMOTE)
    failed = unanswered(GateRule(gate="external"), "ci: broken").as_dict() | {"verdict": "fail"}
    with writing() as session:
        settle_gates(session, SYSTEM, change.id, revision=1, results=[failed], flips=None)
        until = clock.now() + timedelta(days=9)
        row = ask_exception(
            session, world.engineer, model="toy", gate="external", reason="CI is down", expires_at=until
        )
    with writing() as session:
        decide_exception(session, world.compliance, row.id, verdict="grant", comment="until it is back")
    said = text_of(open_page(world.lead, "change", id=str(change.id)))
    for told in ("gate external: fail; EXC-1 lets the change past it", "excepted by EXC-1", "signs EXC-1",
                 "CI is down"):  # fmt: skip
        assert told in said, told
    with writing() as session:
        end_exception(session, world.compliance, row.id, why="it is back")
    st.cache_data.clear()
    said = text_of(open_page(world.lead, "change", id=str(change.id)))
    assert "EXC-1 is over by now" in said
    assert "external failed: it cannot be approved" in said


def test_what_somebody_decided_on_is_drawn_again_from_what_was_kept(world: World, open_page: Open) -> None:
    change = ask(world.engineer, PROMOTE)
    with writing() as session:
        decide(session, world.lead, change.id, verdict="ask", comment="say why", seen_digest=change.digest)
    with reading() as session:
        seen = preview_again(session, world.engineer, change.id).digest
    with writing() as session:
        resubmit_change(session, world.engineer, change.id, reason="it is better", seen_digest=seen)
        row = session.get_one(Version, ("toy", 1))
        row.metrics, row.card_path = {}, "/gone.md"
    number = str(change.id)
    now = text_of(open_page(world.viewer, "change", id=number))
    assert "say why" in now and "it is better" in now
    assert f"/change?id={number}&amp;shown={quote_plus(change.digest)}" in now
    page = open_page(world.viewer, "change", id=number, shown=change.digest)
    said = text_of(page)
    for told in (
        f"CHG-{number} as it was shown",
        "asked for changes",
        "because",
        "AUC",
        "What is kept is what the log",
    ):
        assert told in said, told
    assert "it is better" not in said
    assert not [one for one in page.button if "Approve" in one.label]
    with writing() as session:
        kept = session.get_one(Snapshot, change.digest)
        kept.document = {**kept.document, "summary": "toy stays as it is"}
    assert "Altered since" in text_of(open_page(world.viewer, "change", id=number, shown=change.digest))
    with (
        writing() as session
    ):  # the viewer looked at the second revision; whoever looked at the first, at that
        look = session.get_one(Look, (change.id, world.viewer.person_id))
        look.snapshot = change.digest
        kept = session.get_one(Snapshot, change.digest)
        kept.document = {"summary": "toy stays as it is"}
    said = text_of(open_page(world.viewer, "change", id=number, shown=change.digest))
    assert "Altered since" in said and "nobody was shown it so" in said
    assert "was altered in the database" in text_of(open_page(world.viewer, "change", id=number))


def test_the_bar_on_a_phone_says_what_the_person_can_do_and_goes_when_that_is_nothing(
    world: World, open_page: Open
) -> None:
    change = ask(world.engineer, PROMOTE)
    number = str(change.id)
    assert 'href="#decision">Decide' in text_of(open_page(world.lead, "change", id=number))
    assert 'href="#decision">What you can do' in text_of(open_page(world.engineer, "change", id=number))
    assert 'id="decision"' in text_of(open_page(world.lead, "change", id=number))
    assert "way back" in text_of(open_page(world.lead, "change", id=number))
    say(world.lead, change)
    carry_out(change)
    st.cache_data.clear()
    assert "#decision" not in text_of(open_page(world.lead, "change", id=number))


def test_what_a_service_says_is_written_as_the_page_writes_numbers() -> None:
    assert (
        written("AUC -0.020 (95% -0.03 to +0.01)") == f"AUC {MINUS}0.020 (95{NARROW}% {MINUS}0.03 to +0.01)"
    )
    assert written("-2 and [-1, 3]") == f"{MINUS}2 and [{MINUS}1, 3]"
    for kept in (
        "2026-11-19 to 2026-11-20",
        "v-2",
        "flight-delay-3",
        "1e-05",
        "CHG-7",
        "%s of 3%off",
        "a.b-1",
    ):
        assert written(kept) == kept


def test_who_flips_names_the_days_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("app.components.change_parts.st.caption", told.append)
    monkeypatch.setattr("app.components.change_parts.st.markdown", told.append)
    monkeypatch.setattr("app.components.tables.st.html", lambda _: None)
    show_flips(
        {
            "evidence": {
                "flips": {
                    "known": True, "counts": {"stays": 3}, "rows": 3, "outcomes": {"stays": {"rate": None}},
                    "task": "multiclass", "from": "2026-11-19T10:00:00Z", "until": "2026-11-20T10:00:00Z",
                    "where": "3 live rows of 19 Nov 2026 to 20 Nov 2026", "segments": [], "examples": [],
                    "reasons": {"share": None, "why": "nobody asked"},
                }
            }
        }
    )  # fmt: skip
    (said,) = [one for one in told if "The same rows" in one]
    assert said.count("2026") == 2 and "2026-11" not in said


def test_a_share_that_a_gate_found_is_told_in_per_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("app.components.tables.st.html", told.append)
    rule = GateRule(gate="drift_under_bound")
    result = {
        **unanswered(rule, "1 of 2 drifts: -0.02, 95%").as_dict(), "value": 0.5, "limit": 0.3,
        "unit": "share of features",
    }  # fmt: skip
    show_gates({"policy": {"gates": [rule.model_dump()], "name": "all"}, "gates": [result], "evidence": {}})
    assert f"50.0{NARROW}% of features, limit 30.0{NARROW}%" in told[0]
    assert f"1 of 2 drifts: {MINUS}0.02, 95{NARROW}%" in told[0]
    assert f"rule: at most 30{NARROW}% of the features" in told[0]


def test_the_settings_of_a_gate_are_told_in_words() -> None:
    told = {name: describe(gate.parameters()) for name, gate in gates().items()}
    assert told["data_checks_passed"] == "newest windows: 1, data at most 72 h old"
    assert told["metric_not_worse"] == "at least 500 labelled rows, 95 % interval"
    assert told["artefact_scanned"] == told["signature_compatible"] == ""
    settings = gates()["external"].parameters.model_validate({"reporters": {"ci": ["runner", "other"]}})
    assert (
        describe(settings)
        == "checks: ci, reported by accounts: ci by runner and other, an answer within 300 s"
    )
    for words in told.values():
        assert "_" not in words and "{" not in words and "None" not in words


def test_a_policy_of_what_is_not_allowed_tells_why_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("app.components.facts.st.html", told.append)
    shut, *_, rest = built_in().document.rules
    for entry in (shut, rest):
        rule = {"name": entry.name, "revision": 1, **entry.rule.model_dump(mode="json")}
        show_policy(rule, {"target": "sha256:1"}, "sha256:2")
    barred, allowed = told
    assert "<dt>not allowed</dt><dd>a model of the tier prohibited" in barred
    assert not [one for one in ("needs", "cannot decide", "valid for") if f"<dt>{one}</dt>" in barred]
    assert f"<dt>valid for</dt><dd>72{NARROW}h</dd>" in allowed
    assert "<dt>cannot decide</dt><dd>the requester and trainer</dd>" in allowed


def test_a_review_of_what_no_longer_serves_asks_nobody_to_go_back(world: World, open_page: Open) -> None:
    with writing() as session:
        put_in_force(session, world, UNGATED.replace("roles: [on_call]", "roles: [on_call], lasts_h: 24"))
    asked = Asked("rollback", "production", "toy", 2)
    with reading() as session:
        seen = preview_change(session, world.on_call, asked).digest
    with writing() as session:
        broken = break_glass(session, world.on_call, asked, reason="it burns", seen_digest=seen)
    carry_out(broken)
    with writing() as session:
        review_change(session, world.lead, broken.id, verdict="not_justified", comment="it did not")
    st.cache_data.clear()
    assert "Nobody approved it: return to what served before" in text_of(
        open_page(world.lead, "change", id=str(broken.id))
    )
    ordinary = ask(world.engineer, PROMOTE)
    say(world.lead, ordinary)
    carry_out(ordinary)
    st.cache_data.clear()
    page = text_of(open_page(world.lead, "change", id=str(broken.id)))
    assert "reviewed it: not justified" in page and "return to what served before" not in page


def test_a_rule_tells_a_rollout_only_of_kinds_that_have_one() -> None:
    told = {}
    for entry in built_in().document.rules:
        assert isinstance(entry, Entry)
        told[entry.name] = str(rule_row(entry.model_dump(mode="json", by_alias=True))[3])
    assert told["prohibited models do not serve"] == ""
    assert "moves no version" in told["the policy itself"]
    assert "moves no version" in told["monitors, high tier"]
    assert told["way back"] == "all at once"
    assert "canary" in told["high tier"] and "way back for 14 days" in told["high tier"]


def test_a_rule_tells_what_goes_ahead_without_a_decision() -> None:
    told = {
        one.name: " ".join(map(str, rule_row(one.model_dump(mode="json", by_alias=True))))
        for one in built_in().document.rules
        if "retrain" in one.scope.kinds
    }
    assert (
        "at most 1 h and 16,384 MB a run, and of each model 3 runs and 3 h a week"
        in told["retraining, low tier"]
    )
    assert "without a decision" not in told["retraining, high tier"]
