"""The inventory shows every model, what is due of it, and never takes the unknown for fine."""

from __future__ import annotations

from datetime import timedelta

import pytest
import yaml
from sqlalchemy import update

from backend import clock
from backend.assurance.facts import keep_facts, register_vendor_model
from backend.assurance.inventory import Entry, Page, entry_of, list_models_kept
from backend.assurance.inventory_tables import ModelFacts, TierAnswers
from backend.assurance.lineage import lineage_of
from backend.assurance.questionnaire import (
    BUILT_IN,
    answer_questionnaire,
    asked_now,
    read_questionnaire,
    replace_questionnaire,
)
from backend.assurance.tables import Finding
from backend.assurance.validations import NotIndependent
from backend.database.session import reading, writing
from backend.errors import BadInput, ChangedSinceSeen, Conflict, NotAllowed
from backend.governance.kinds import Asked
from backend.monitoring.health import overview
from backend.registry.tables import Model, Version
from tests.integration.assurance.conftest import entries, find, validate
from tests.integration.governance.conftest import ask, carry_out, put_in_force, say
from tests.worlds import World, add_model

ANSWERS = {
    "people": "none", "harm": "nuisance", "autonomy": "informs", "reversal": "hours", "area": "internal",
    "data": "impersonal",
}  # fmt: skip


def toy(world: World) -> Entry:
    with reading() as session:
        return entry_of(session, world.viewer, "toy", environment="production")


def listed(world: World, **filters: object) -> Page:
    with reading() as session:
        return list_models_kept(session, world.viewer, environment="production", **filters)  # type: ignore[arg-type]


def add_vendor(world: World, name: str = "credit-scores") -> None:
    with writing() as session:
        register_vendor_model(
            session, world.compliance, name=name, title="Credit scores", vendor="Acme", purpose="who gets a loan",
            data="whatever Acme has", contact="risk@acme.example", owner_id=world.lead.person_id,
        )  # fmt: skip


def answer(world: World, **other: str) -> TierAnswers:
    with writing() as session:
        return answer_questionnaire(
            session, world.engineer, model="toy", answers=ANSWERS | other, seen_digest=asked_now(session).digest,
            note="as it is used today",
        )  # fmt: skip


# --- what is due


def test_a_model_about_which_nobody_said_anything_is_not_known_and_never_ok(world: World) -> None:
    found = toy(world)
    assert found.level == "unknown"
    assert set(found.due) >= {
        "never validated",
        "tier not questioned",
        "no review planned",
        "no purpose written",
    }
    assert (found.owner, found.serves, found.kind) == ("Engineer", 2, "own")
    assert "1,000 rows" in found.data


def test_it_is_ok_only_when_everything_is_there(world: World) -> None:
    with writing() as session:
        keep_facts(
            session, world.lead, model="toy", why="first entry", purpose="a toy", data="made up",
            next_review_at=clock.now() + timedelta(days=90),
        )  # fmt: skip
    validate(world.lead)
    answer(world, area="commerce", data="personal", harm="money")
    found = toy(world)
    assert (found.level, found.due) == ("ok", ())
    assert found.validation is not None
    assert found.validation["outcome"] == "fit"
    find(world.compliance, world.engineer, severity="low")
    assert toy(world).findings == {"high": 0, "medium": 0, "low": 1}


def test_what_is_overdue_is_urgent_and_comes_first(world: World) -> None:
    add_model(world, "aaa")
    assert [one.model for one in listed(world).entries] == ["aaa", "toy"]
    find(world.compliance, world.engineer)
    with writing() as session:
        session.execute(update(Finding).values(due_at=clock.now() - timedelta(days=1)))
    first = listed(world).entries[0]
    assert (first.model, first.level, first.due[0]) == ("toy", "page", "a high finding is overdue")
    assert [one.model for one in listed(world, needing=True).entries] == ["toy"]
    assert listed(world).needing == 1


def test_filter_sort_and_pages(world: World) -> None:
    for number in range(5):
        add_model(world, f"m{number}", versions=1, tier="low" if number % 2 else "high")
    names = [one.model for one in listed(world, sort="name").entries]
    assert names == ["m0", "m1", "m2", "m3", "m4", "toy"]
    assert [one.model for one in listed(world, tiers=("low",)).entries] == ["m1", "m3"]
    assert [one.model for one in listed(world, sort="tier", limit=2).entries] == ["m0", "m2"]
    assert [one.model for one in listed(world, sort="name", offset=2, limit=2).entries] == ["m2", "m3"]
    assert [one.model for one in listed(world, text="TOY").entries] == ["toy"]
    page = listed(world, sort="name", descending=True, limit=1)
    assert ([one.model for one in page.entries], page.total, page.known) == (["toy"], 6, 6)
    with pytest.raises(BadInput):
        listed(world, sort="luck")


# --- vendor models


def test_a_vendors_model_has_a_place_and_no_health(world: World) -> None:
    add_vendor(world)
    (found,) = listed(world, kinds=("vendor",)).entries
    assert (found.owner, found.vendor, found.tier, found.serves) == ("Lead", "Acme", "high", None)
    assert (found.health_level, found.health) == ("unknown", "not measured: the vendor serves it")
    with reading() as session:
        assert "credit-scores" not in [one.model for one in overview(session, world.viewer, "production")]
    assert entries(world, "assurance:vendor_model:register")[0].object_id == "credit-scores"


def test_a_vendors_model_is_validated_and_found_wrong_like_any_other(world: World) -> None:
    add_vendor(world)
    find(world.compliance, world.lead, model="credit-scores")
    with pytest.raises(Conflict):
        add_vendor(world)
    with pytest.raises(NotAllowed), writing() as session:
        register_vendor_model(
            session, world.viewer, name="x", title="x", vendor="x", purpose="x", data="x", contact="x",
            owner_id=world.lead.person_id,
        )  # fmt: skip
    assert listed(world, kinds=("vendor",)).entries[0].findings["high"] == 1


# --- facts


def test_who_ever_owned_it_does_not_vouch_for_it_even_after_handing_it_over(world: World) -> None:
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="handed over", owner_id=world.lead.person_id)
        keep_facts(
            session, world.compliance, model="toy", why="handed over", owner_id=world.other_lead.person_id
        )
    with pytest.raises(NotIndependent, match="owned toy"):
        validate(world.lead, version=1)
    assert [one.action for one in entries(world, "assurance:facts")] == ["assurance:facts:keep"] * 2


def test_facts_that_say_nothing_new_leave_no_entry(world: World) -> None:
    for _ in range(2):
        with writing() as session:
            keep_facts(session, world.lead, model="toy", why="so", purpose="a toy")
    assert len(entries(world, "assurance:facts:keep")) == 1
    with reading() as session:
        assert session.get_one(ModelFacts, "toy").purpose == "a toy"
    with pytest.raises(BadInput, match="vendor"), writing() as session:
        keep_facts(session, world.lead, model="toy", why="so", vendor="Acme")


# --- the questionnaire


def test_answers_propose_a_tier_and_change_none(world: World) -> None:
    assert answer(world).tier == "low"
    assert answer(world, people="more", area="essential").tier == "high"
    assert answer(world, area="forbidden").tier == "prohibited"
    found = toy(world)
    assert (found.tier, found.proposed_tier) == ("medium", "prohibited")
    assert "the questionnaire proposes tier prohibited" in found.due
    with reading() as session:
        assert session.get_one(Model, "toy").tier == "medium"


def test_the_tier_moves_by_a_change_that_two_persons_agree_to(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all, rule: {roles: {ml_lead: 1, compliance: 1}}}]")
    proposed = answer(world).tier
    change = ask(world.engineer, Asked("tier", "production", "toy", subject={"tier": proposed}))
    say(world.lead, change)
    assert toy(world).tier == "medium"
    carry_out(say(world.compliance, change))
    assert toy(world).tier == "low"
    assert not [one for one in toy(world).due if "proposes" in one]


def test_each_question_is_answered_once_with_an_option_it_has(world: World) -> None:
    for wrong in ({"people": "all"}, {"weather": "fine"}):
        with pytest.raises(BadInput):
            answer(world, **wrong)
    with pytest.raises(BadInput, match="unanswered"), writing() as session:
        answer_questionnaire(
            session, world.engineer, model="toy", answers={}, seen_digest=asked_now(session).digest, note=""
        )


def test_another_questionnaire_leaves_old_answers_and_refuses_new_ones_to_the_old(world: World) -> None:
    old = answer(world)
    text = (
        BUILT_IN.read_text()
        .replace("high: {low: medium", "high: {low: high")
        .replace("medium: high, high: high}\n", "medium: high, high: high}\n")
    )
    with pytest.raises(NotAllowed), writing() as session:
        replace_questionnaire(session, world.lead, text=text, note="stricter")
    with writing() as session:
        made = replace_questionnaire(session, world.compliance, text=text, note="stricter")
    assert made.revision == 2
    with pytest.raises(ChangedSinceSeen), writing() as session:
        answer_questionnaire(
            session, world.engineer, model="toy", answers=ANSWERS, seen_digest=old.digest, note=""
        )
    assert answer(world, people="more").tier == "high"
    assert toy(world).proposed_tier == "high"


def test_a_questionnaire_whose_tiers_fall_while_a_level_rises_is_refused() -> None:
    document = yaml.safe_load(BUILT_IN.read_text())
    document["tiers"]["high"]["low"] = "low"
    read_questionnaire(yaml.safe_dump(document))
    document["tiers"]["low"]["low"] = "high"
    with pytest.raises(BadInput, match="never falls"):
        read_questionnaire(yaml.safe_dump(document))
    del document["axes"]["purpose"]
    with pytest.raises(BadInput, match="both axes"):
        read_questionnaire(yaml.safe_dump(document))


# --- where it comes from


def test_lineage_goes_from_data_to_deployment_and_names_what_nobody_recorded(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: all}]")
        version = session.get_one(Version, ("toy", 1))
        version.training = {**version.training, "git_commit": "abcdef1234567890"}
    change = carry_out(
        say(world.lead, ask(world.engineer, Asked("promote", "production", "toy", to_version=1)))
    )
    with reading() as session:
        found = lineage_of(session, world.viewer, "toy")
    edges = set(found.edges)
    assert {
        ("data:sha256:1", "run:r1"),
        ("code:abcdef1234567890", "run:r1"),
        ("run:r1", "version:1"),
    } <= edges
    assert ("version:1", f"change:{change.id}") in edges
    led = [right for left, right in edges if left == f"change:{change.id}"]
    assert [one.split(":")[0] for one in led] == ["deployment"]
    assert [one.label for one in found.of("code") if not one.known] == ["not recorded"]
    ids = {one.id for one in found.nodes}
    assert all(left in ids and right in ids for left, right in edges)


def test_a_model_of_high_tier_that_serves_without_owner_or_validation_needs_somebody(world: World) -> None:
    with writing() as session:
        session.execute(update(Model).values(tier="high", owner_id=None))
        session.execute(
            update(Version).values(
                training={
                    "rows": 10,
                    "from": "2013-01-01T05:00:00.000000Z",
                    "to": "2013-10-31T23:00:00.000000Z",
                }
            )
        )
    found = toy(world)
    assert found.level == "attention"
    assert found.due[:2] == ("no owner", "never validated")
    assert found.data == "v2 trained on 10 rows of 1 Jan 2013 to 31 Oct 2013"


def test_a_deployment_without_a_change_is_a_gap_that_is_drawn(world: World) -> None:
    with reading() as session:
        found = lineage_of(session, world.viewer, "toy")
    gaps = {one.id for one in found.of("change") if not one.known}
    assert len(gaps) == 2
    for deployment in found.of("deployment"):
        (source,) = (left for left, right in found.edges if right == deployment.id)
        assert source in gaps
        assert (f"version:{deployment.version}", source) in found.edges
