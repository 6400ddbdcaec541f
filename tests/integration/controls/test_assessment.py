"""Catalogues held against a real world: worst part counts, gaps first, moments that are over, and who sees what."""

from __future__ import annotations

import csv
import io
import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from backend import clock
from backend.assurance.facts import keep_facts, register_vendor_model
from backend.controls.assessment import Assessment, assess
from backend.controls.catalogues import catalogues
from backend.controls.evidence import GAPS, STATES, gravest
from backend.controls.queries.registry import queries
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Role
from tests.worlds import World, person


def assessed(by: Actor, catalogue: str = "eu-ai-act-annex-iv", **more: object) -> Assessment:
    with reading() as session:
        return assess(session, by, **{"catalogue": catalogue, "model": "toy", **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("catalogue", list(catalogues()))
def test_every_query_of_every_catalogue_can_be_asked_now_and_of_a_day_that_is_over(
    world: World, catalogue: str, caplog: pytest.LogCaptureFixture
) -> None:
    with writing() as session:
        register_vendor_model(
            session, world.compliance, name="bought", title="Bought", vendor="Acme", purpose="so", data="so",
            contact="so", owner_id=world.lead.person_id,
        )  # fmt: skip
    then = datetime(2026, 3, 15, tzinfo=UTC)
    with caplog.at_level(logging.ERROR):
        for model in ("toy", "bought", None):
            for as_of in (None, then):
                found = assessed(world.compliance, catalogue, model=model, as_of=as_of)
                reasons = [answer.evidence.reason for one in found.controls for answer in one.answers]
                assert all(reasons)
                assert not [one for one in reasons if "could not be asked" in one]
    assert not caplog.records


def test_a_control_is_as_good_as_its_worst_part(world: World) -> None:
    for one in assessed(world.compliance).controls:
        assert one.state == gravest(answer.evidence.state for answer in one.answers)
        assert one.reason
    assert gravest([]) == "not_shown"
    assert gravest(["present", "not_shown"]) == "not_shown"


def test_what_only_a_person_can_judge_is_never_present_by_evidence(world: World) -> None:
    for catalogue, held in catalogues().items():
        found = {one.control: one for one in assessed(world.compliance, catalogue).controls}
        for control in held.controls:
            if control.beyond:
                assert found[control.id].state != "present"


def test_of_an_empty_world_nothing_is_present_but_what_is_there(world: World) -> None:
    found = {one.control: one for one in assessed(world.compliance).controls}
    assert found["annex-iv.8"].state == "not_shown"
    assert found["annex-iv.8"].needs_judgement
    assert found["annex-iv.2g"].state == "missing"
    assert "nobody has validated toy version 2" in found["annex-iv.2g"].reason


def test_gaps_come_first_and_the_gravest_of_them(world: World) -> None:
    found = assessed(world.compliance)
    gaps = [one.is_gap for one in found.controls]
    assert gaps == sorted(gaps, reverse=True)
    order = list(STATES)
    graves = [order.index(one.state) for one in found.controls if one.is_gap]
    assert graves == sorted(graves)
    assert len(found.gaps) == sum(gaps) == sum(one.state in GAPS for one in found.controls)


def test_rows_are_flat_and_the_document_is_json(world: World) -> None:
    found = assessed(world.compliance)
    rows = found.rows()
    assert len(rows) == len(found.controls) == sum(found.counts.values())
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writerows(rows)
    assert all(isinstance(value, str | int | float | bool | None) for row in rows for value in row.values())
    document = json.loads(json.dumps(found.as_dict()))
    assert document["gaps"] == len(found.gaps)
    assert document["caveat"]


def test_what_can_be_told_of_the_present_only_is_not_shown_of_a_day_that_is_over(world: World) -> None:
    found = assessed(world.compliance, as_of=clock.now() - timedelta(seconds=1))
    silent = [answer for one in found.controls for answer in one.answers
              if answer.query and queries()[answer.query].moment == "now"]  # fmt: skip
    assert silent
    assert {one.evidence.state for one in silent} == {"not_shown"}
    assert all("present only" in one.evidence.reason for one in silent)
    assert "Told of the present only" in found.notes[0]
    with pytest.raises(BadInput, match="has not come yet"):
        assessed(world.compliance, as_of=clock.now() + timedelta(days=1))


def test_a_day_that_is_over_shows_the_version_that_served_then(world: World) -> None:
    assert assessed(world.compliance).version == 2
    assert assessed(world.compliance, as_of=datetime(2026, 2, 15, tzinfo=UTC)).version == 1
    assert assessed(world.compliance, version=1).version == 1
    with pytest.raises(NotFound, match="no version 9"):
        assessed(world.compliance, version=9)


def test_what_people_wrote_later_does_not_count_for_an_earlier_day(world: World) -> None:
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="so", purpose="tells delays")
    before = clock.now()
    with writing() as session:
        keep_facts(session, world.compliance, model="toy", why="so", purpose="tells delays of trains")

    def purpose(found: Assessment) -> str:
        return next(
            answer.evidence.reason for one in found.controls for answer in one.answers
            if answer.query == "purpose_written"
        )  # fmt: skip

    assert purpose(assessed(world.compliance, as_of=before)) == "“tells delays”"
    assert purpose(assessed(world.compliance)) == "“tells delays of trains”"


def test_it_takes_the_right_to_read_the_log(world: World) -> None:
    with pytest.raises(NotAllowed, match="audit:entry:read"):
        assessed(world.viewer)
    with pytest.raises(NotFound, match="no catalogue 'iso'"):
        assessed(world.compliance, "iso")
    with pytest.raises(NotFound, match="no model named 'other'"):
        assessed(world.compliance, model="other")


def test_an_auditor_is_shown_nothing_of_the_whole_house_but_the_log(world: World) -> None:
    with writing() as session:
        outside = person(session, "outside", Role.AUDITOR)
    actor = Actor(outside.person_id, "person", outside.roles, models=frozenset({"toy"}))
    found = assessed(actor, "sr-26-2")
    told = {answer.query: answer.evidence.reason for one in found.controls for answer in one.answers}
    for name in ("policy_in_force", "access_reviewed", "role_filled", "inventory_whole"):
        assert "not yours to see" in told[name]
    assert "not yours" not in told["log_verified"]


def test_without_a_model_only_the_house_is_looked_at(world: World) -> None:
    found = assessed(world.compliance, "eu-ai-act-articles", model=None)
    assert [one.control for one in found.controls] == ["art-17"]
    assert found.version is None


def test_what_is_missing_is_named_once_with_all_that_ask_for_it(world: World) -> None:
    found = assessed(world.compliance, "eu-ai-act-articles")
    titles = [(one.answer.title, one.answer.evidence.reason) for one in found.lacking]
    assert len(set(titles)) == len(titles)
    card = next(one for one in found.lacking if one.answer.title == "Model card: Human Oversight")
    assert card.controls == ("Article 14", "Article 26 (1), (2), (4), (5)")
    states = [list(STATES).index(one.answer.evidence.state) for one in found.lacking]
    assert states == sorted(states)
    assert {one.answer.evidence.state for one in found.lacking} <= GAPS
