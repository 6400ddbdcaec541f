"""What a change shows that it did not measure itself: earlier trials, earlier counts, code and data; and what is not
there."""

from __future__ import annotations

from typing import Any

from backend import clock
from backend.database.session import writing
from backend.governance import execution
from backend.governance.kinds import Asked
from backend.governance.tables import Change
from backend.registry.tables import ImportedModel, ImportedVersion, Version
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.integration.governance.test_rollouts import counted, look, open_stage, serving_id
from tests.worlds import SYSTEM, World

__all__ = ["open_page"]
SHADOW = """
rules:
  - name: forth
    rule: {rollout: {strategy: shadow_first, bake_s: 600, analysis: {minimum_requests: 100}}}
"""
PROMOTE = Asked("promote", "production", "toy", 1)
FLIPS: dict[str, Any] = {
    "known": True, "rows": 400, "task": "binary", "where": "rows of production", "from": "", "until": "",
    "counts": {"stays_negative": 300, "stays_positive": 60, "becomes_positive": 30, "becomes_negative": 10},
    "outcomes": {
        name: {"rate": None, "labelled": 0, "low": None, "high": None}
        for name in ("stays_negative", "stays_positive", "becomes_positive", "becomes_negative")
    },
    "before": {"cutoff": 0.5}, "after": {"cutoff": 0.5}, "segments": [], "examples": [],
    "reasons": {"share": None, "why": "no explanation"},
}  # fmt: skip


def end(change: Change) -> None:
    with writing() as session:
        session.get_one(Change, change.id).state = "cancelled"


def test_what_a_shadow_showed_is_evidence_of_the_next_change_of_that_version(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        put_in_force(session, world, SHADOW)
    first = ask(world.engineer, PROMOTE)
    assert now(first).evidence["trials"] == []
    say(world.lead, first)
    with writing() as session:
        assert execution.begin(session, SYSTEM, first.id, f"change-{first.id}") is not None
    shadow = open_stage(first, 1)
    counted(shadow, shadow, failed=500)
    counted(serving_id(), shadow)
    assert look(first, 1) == {
        "verdict": "failure",
        "why": "500 of 1,000 requests failed (50.0%); at most 2.0% may",
    }
    with writing() as session:
        execution.restore(session, SYSTEM, first.id, why="it failed")

    again = ask(world.engineer, PROMOTE)
    (trial,) = now(again).evidence["trials"]
    assert (trial["change_id"], trial["role"], trial["verdict"]) == (first.id, "shadow", "failure")
    assert trial["analysis"]["candidate"]["failed"] == 500
    page = text_of(open_page(world.lead, "change", id=again.id))
    assert "v1 on live traffic: 1 earlier trial" in page
    assert "500 of 1,000 requests failed" in page
    assert now(ask_other(world, again)).evidence["trials"] == [], "it was version 1 that was tried"


def ask_other(world: World, open_one: Change) -> Change:
    end(open_one)
    return ask(world.engineer, Asked("promote", "production", "toy", 2))


def test_a_rule_without_gates_says_why_nobody_counted_flips_and_shows_who_did(
    world: World, open_page: Open
) -> None:
    change = ask(world.engineer, PROMOTE)
    page = text_of(open_page(world.lead, "change", id=change.id))
    assert "the rule “forth” names no gate" in page
    assert "No earlier change compared the same two" in page
    assert "counted together with the gates" not in page
    say(world.lead, change)
    carry_out(change)
    with writing() as session:  # as its gates would have left it
        stored = session.get_one(Change, change.id)
        stored.evidence, stored.gates_at = {**stored.evidence, "flips": FLIPS}, clock.now()

    back = ask(world.engineer, Asked("rollback", "production", "toy", 3))
    earlier = now(back).evidence["compared_before"]
    assert (earlier["change_id"], earlier["reverse"]) == (change.id, True)
    page = text_of(open_page(world.lead, "change", id=back.id))
    assert f"CHG-{change.id} compared the same two" in page
    assert "the other way round, from v3 to v1" in page
    assert "40 of 400 rows flip" in page
    end(back)
    other = ask(world.engineer, Asked("promote", "production", "toy", 3, 0.4))
    assert now(other).evidence["compared_before"] is None, "another cut-off decides otherwise"


def test_a_changed_cut_off_does_not_tell_an_unchanged_auc_as_news(world: World, open_page: Open) -> None:
    change = ask(world.engineer, Asked("cutoff", "production", "toy", to_cutoff=0.4))
    page = text_of(open_page(world.lead, "change", id=change.id))
    assert "The version stays as it is" in page
    assert "no change" not in page


def test_code_and_data_of_both_are_shown_or_said_to_be_unknown(world: World, open_page: Open) -> None:
    with writing() as session:
        session.get_one(Version, ("toy", 3)).training = {"digest": "sha256:rows", "code_revision": "3f2a91c"}
        session.add(ImportedModel(model="toy", read_from="x", tags={}, imported_at=clock.now()))
        session.flush()
        session.add(
            ImportedVersion(
                model="toy", version=1, run_id="r", source="s", status="READY", tags={}, signature=None,
                run={"tags": {}, "code_revision": "77aa00b"}, imported_at=clock.now(),
            )
        )  # fmt: skip
    change = ask(world.engineer, PROMOTE)
    found = now(change).evidence["provenance"]
    assert found["before"]["code revision"] == "3f2a91c (registered)"
    assert found["after"]["code revision"].startswith("77aa00b (MLflow's run says so")
    assert found["before"]["training data"] == "sha256:rows"
    page = text_of(open_page(world.lead, "change", id=change.id))
    assert "3f2a91c" in page
    assert "Error budgets when it was asked" in page
    end(change)
    unknown = now(ask(world.engineer, Asked("promote", "production", "toy", 2))).evidence["provenance"][
        "after"
    ]
    assert unknown["code revision"].startswith("unknown")
