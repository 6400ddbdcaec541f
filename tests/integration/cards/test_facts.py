"""Facts of a card: filled from the record, with their time; unknown where nothing is known; nobody edits them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from backend import clock
from backend.cards.document import BLOCKS, parse_card, source_of
from backend.cards.examination import Examined, examine_card
from backend.cards.facts import Facts, collect_facts
from backend.cards.filling import fill_card
from backend.cards.service import import_card
from backend.database.session import reading, writing
from backend.errors import NotFound
from backend.governance.gates import Asked, Finding, evaluate
from backend.governance.policy_rules import GateRule
from backend.monitoring.columns import parse_spec
from backend.monitoring.tables import MetricPoint
from backend.registry.inventory import FoundModel, FoundRun, FoundVersion, import_registry
from backend.registry.tables import Model, Version
from tests.integration.cards.conftest import CARD, approve, realise, review, submit, write
from tests.worlds import CUTOFF, SPEC, SYSTEM, World


def facts_of(world: World, model: str = "toy", version: int = 2) -> Facts:
    with reading() as session:
        return collect_facts(session, world.viewer, model, version)


def examined(world: World, number: int | None = None) -> Examined:
    with reading() as session:
        return examine_card(session, world.viewer, "toy", 2, number)


def gate(**parameters: object) -> Finding:
    with reading() as session:
        model, version = session.get_one(Model, "toy"), session.get_one(Version, ("toy", 2))
        asked = Asked(session, model, parse_spec(model.spec), "production", None, None, version, CUTOFF)
        return evaluate(GateRule(gate="card_complete", parameters=parameters), asked).finding


def live(facts: Facts) -> str:
    return facts.block("live").facts[0].text


def test_every_block_says_something_or_why_it_is_unknown(world: World) -> None:
    facts = facts_of(world)
    assert [block.name for block in facts.blocks] == list(BLOCKS)
    assert all(bool(block.facts) != bool(block.unknown) for block in facts.blocks)
    assert facts.block("metrics").facts[0].text == "0.720 (95 % 0.690 to 0.750, 1,000 rows)"
    assert facts.block("parameters").facts[0].as_dict()["text"] == "2"
    assert facts.block("fairness").unknown.startswith("no protected column is declared")
    assert facts.block("incidents").facts[0].text == "none that named this version"
    assert any("as champion, since" in one.text for one in facts.block("lineage").facts)


def test_live_figures_are_pooled_by_rows_over_the_last_labelled_days(world: World) -> None:
    realise(0.80, half=0.02, rows=1000, days_ago=2)
    realise(0.86, half=0.02, rows=3000, days_ago=3)
    realise(None, days_ago=4)
    realise(0.10, days_ago=60)
    pooled = facts_of(world).live["roc_auc", ""]
    assert pooled.value == pytest.approx(0.845)
    assert pooled.high - pooled.value == pytest.approx(0.02 * (0.25**2 + 0.75**2) ** 0.5)
    assert (pooled.rows, pooled.windows, pooled.left_out) == (4000, 2, 1)
    assert "0.845 (95 % 0.829 to 0.861, 4,000 labelled rows; mean of 2 windows, " in live(facts_of(world))
    span = r"mean of 2 windows, \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC to \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert re.search(span, live(facts_of(world)))


def test_figures_of_another_version_are_not_this_ones(world: World) -> None:
    realise(0.50, days_ago=2, version=1)
    assert "0.500" not in live(facts_of(world))


def test_groups_of_protected_columns_are_listed_and_few_labels_stay_unknown(world: World) -> None:
    with writing() as session:
        session.execute(update(Model).values(spec=SPEC | {"protected": ["sex"], "segments": []}))
    assert "no group of sex has enough labelled rows" in facts_of(world).block("fairness").unknown
    realise(0.80, days_ago=2)
    realise(0.71, days_ago=2, segment="sex=f")
    realise(0.60, days_ago=2, segment="carrier=UA")
    assert [one.label for one in facts_of(world).block("fairness").facts] == ["AUC, sex=f"]


def test_drift_of_the_newest_window_is_named(world: World) -> None:
    realise(0.80, days_ago=2)
    with writing() as session:
        point = (
            session.query(MetricPoint).filter_by(statistic="roc_auc").order_by(MetricPoint.id.desc()).first()
        )
        assert point is not None
        for column, verdict in (("distance", "alarm"), ("carrier", "ok")):
            session.add(
                MetricPoint(
                    window_id=point.window_id, model="toy", environment="production", size="1d",
                    window_start=point.window_start, kind="drift", statistic="psi", column=column, value=0.3,
                    verdict=verdict, rows=1000, first_value=0.3, first_computed_at=clock.now(), computed_at=clock.now(),
                )
            )  # fmt: skip
    assert facts_of(world).block("drift").facts[0].text.startswith("1 of 2 judged: distance; window ")


def test_reviews_of_the_card_are_among_its_approvals(world: World) -> None:
    card = write(world.engineer)
    submit(world.engineer, 1)
    review(world.compliance, card, "return", "More.")
    assert facts_of(world).block("approvals").facts[0].text == "returned by Compliance"


def test_a_version_known_from_an_import_alone_has_its_runs_metrics_and_no_claim_beyond(world: World) -> None:
    run = FoundRun({"depth": "3"}, {"roc_auc": 0.9}, {}, "ada", None, None)
    versions = (FoundVersion(1, "r1", "s3://m", "READY", "", {}, None, run),)
    with writing() as session:
        import_registry(
            session, SYSTEM, registry="https://mlflow.example.com",
            found=[FoundModel("taxis", "", {}, {}, None, None, versions)],
        )  # fmt: skip
    facts = facts_of(world, "taxis", 1)
    assert facts.block("metrics").facts[0].text == "0.900, of the training run; nobody checked it"
    assert {one.name for one in facts.blocks if one.unknown} == {
        "data", "live", "drift", "fairness", "approvals", "incidents"
    }  # fmt: skip
    with pytest.raises(NotFound):
        facts_of(world, "taxis", 2)


def test_a_filled_card_holds_every_block_with_its_time_and_comes_back_as_its_source(world: World) -> None:
    filled = fill_card(CARD, facts_of(world))
    assert filled.count("<!-- warrant:facts ") == len(BLOCKS)
    assert "(from the system, " in filled
    assert "value: 0.72}  # warrant:source - {type: roc_auc" in filled
    assert parse_card(filled).errors == ()
    assert parse_card(fill_card(CARD, facts_of(world), marked=False)).errors == ()
    assert "warrant:" not in fill_card(CARD, facts_of(world), marked=False)
    back = source_of(filled)
    assert back == CARD


def test_a_name_that_is_markdown_or_a_placeholder_stays_a_name(world: World) -> None:
    with writing() as session:
        session.execute(
            update(Version).values(
                parameters={"a|b": "{{ facts live }} <script>--> [x](javascript:alert(1))"}
            )
        )
    filled = fill_card(CARD, facts_of(world))
    assert "<script>" not in filled.replace("\\<script\\>", "")
    assert parse_card(filled).errors == ()
    assert "| a\\|b |" in filled


def test_without_versions_the_file_is_examined_and_an_edit_of_it_is_told(world: World) -> None:
    found = examined(world)
    assert (found.state, found.number, found.problems) == ("file", None, ())
    world.card(2).write_text("# Rewritten\n")
    assert "was edited since" in examined(world).problems[0]
    approve(world)
    assert (examined(world).state, examined(world).number) == ("approved", 1)


def test_completeness_names_what_is_missing_and_what_is_stale(world: World) -> None:
    lacks = [one.reason for one in examined(world).completeness.lacks]
    assert "the model has no owner in the registry" in lacks
    assert any(
        one.startswith("facts live performance: stale, the newest labelled window ended") for one in lacks
    )
    with writing() as session:
        session.execute(update(Model).values(spec=SPEC | {"label_delay": "98w"}))
    assert not any("stale" in one.reason for one in examined(world).completeness.lacks)
    with writing() as session:
        session.execute(update(Model).values(spec=SPEC))
    realise(0.72, days_ago=2)
    assert not any("stale" in one.reason for one in examined(world).completeness.lacks)
    more = CARD.replace("license: mit", "license: mit\nwarrant: {owner: Lena, review_by: 2020-01-01}")
    write(world.engineer, more)
    later = [one.reason for one in examined(world, 1).completeness.lacks]
    assert "it was to be read again by 1 Jan 2020, and that day has passed" in later
    assert examined(world, 1).completeness.score > examined(world).completeness.score


def test_a_card_that_live_windows_contradict_says_so(world: World) -> None:
    approve(world)
    realise(0.60, half=0.01, days_ago=2)
    (found,) = examined(world).contradictions
    assert "the card says AUC 0.720" in found.text
    assert "live it is 0.600" in found.text


def test_the_gate_asks_for_words_an_approval_and_no_contradiction(world: World) -> None:
    fails = gate()
    assert (fails.verdict, fails.limit) == ("fail", 0.9)
    assert "90% is asked for" in fails.text
    assert "nobody has approved it" in fails.text
    assert gate(minimum=0, approved=False).verdict == "pass"
    approve(world)
    assert gate(minimum=0).verdict == "pass"
    realise(0.60, half=0.01, days_ago=2)
    assert "live it is 0.600" in gate(minimum=0).text
    assert gate(minimum=0, contradictions=True).verdict == "pass"


def test_the_gate_is_inconclusive_where_no_card_can_be_read(world: World) -> None:
    world.card(2).unlink()
    assert (gate().verdict, "has no model card" in gate().text) == ("inconclusive", True)


def test_a_file_that_is_no_card_fails_the_gate_with_its_line(world: World) -> None:
    world.card(2).write_text("---\nlicense: [\n---\n# X\n")
    assert gate(minimum=0, approved=False).text.startswith("the card's file is no valid card: line ")


def test_the_facts_an_approver_saw_are_kept(world: World) -> None:
    realise(0.72, days_ago=2)
    card = approve(world)
    realise(0.60, days_ago=1)
    kept = next(one for one in card.facts["blocks"] if one["name"] == "live")
    assert kept["facts"][0]["text"].startswith("0.720")
    assert card.facts_at is not None
    assert clock.now() - card.facts_at < timedelta(minutes=10)


def test_an_export_that_is_imported_again_makes_no_version(world: World) -> None:
    approve(world)
    exported = fill_card(examined(world).document.source, facts_of(world))
    with writing() as session:
        taken = import_card(
            session,
            world.engineer,
            model="toy",
            version=2,
            text=exported,
            source="file",
            source_name="toy.md",
        )
    assert not taken.made
