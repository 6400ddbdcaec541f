"""What is found by an id, a beginning and words, by whom, and that nobody finds what they may not see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy import event

from app.components.search_results import EXAMPLES, NOUNS
from backend import clock
from backend.alerting.tables import Incident
from backend.api.routes.search import Kind
from backend.assurance.tables import Finding
from backend.database import engine
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.explain.tables import Explainer, PredictionExplanation
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from backend.identity.actor import Actor, TeamRole
from backend.identity.roles import Permission, Role
from backend.registry.tables import Model
from backend.search.hits import Found
from backend.search.kinds import KINDS
from backend.search.service import NAMES, search
from backend.settings import settings
from tests.integration.data_rights.conftest import move_spool, send
from tests.worlds import SYSTEM, World, add_model, make_world, person


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    made = make_world(tmp_path / "files")
    add_model(made, "credit")
    for model in ("toy", "credit"):
        add_things(made, model)
    return made


def add_things(world: World, model: str) -> None:
    """An incident, a change, a finding and an explained prediction of a model."""
    asked = Asked("rollback", "production", model, 1)
    with writing() as session:
        session.add(
            Incident(
                model=model,
                environment="production",
                title=f"AUC of {model} fell by 5%",
                opened_at=clock.now(),
            )
        )
        seen = preview_change(session, world.on_call, asked)
        request_change(session, world.on_call, asked, reason=f"{model} degraded", seen_digest=seen.digest)
        session.add(
            Finding(
                model=model, title=f"{model} has no owner", detail="so", severity="high", due_at=clock.now(),
                owner_id=world.lead.person_id, owners=[], opened_at=clock.now(),
            )
        )  # fmt: skip
        session.add(
            Explainer(
                id=f"e-{model}", model=model, version=2, kind="tree", method="so", unit="log-odds", columns=[],
                artefact_digest="sha256:0", background_digest="sha256:0", background_rows=1, created_at=clock.now(),
            )
        )  # fmt: skip
        session.flush()
        session.add(
            PredictionExplanation(
                model=model, prediction_id=f"case-{model}", version=2, environment="production", ts=clock.now(),
                explainer_id=f"e-{model}", because="asked", computed_at=clock.now(), base_value=0.0, output=0.0,
                gap=0.0, contributions=b"", inputs=[],
            )
        )  # fmt: skip


def find(who: Actor, text: str, **options: object) -> Found:
    with reading() as session:
        return search(session, who, text, **options)  # type: ignore[arg-type]


def refs(found: Found) -> dict[str, list[str]]:
    return {group.kind: [hit.ref for hit in group.hits] for group in found.groups}


def test_a_word_finds_every_kind_of_thing_about_a_model(world: World) -> None:
    assert refs(find(world.lead, "toy")) == {
        "model": ["toy"], "incident": ["INC-1"], "change": ["CHG-1"], "version": ["toy v2", "toy v1"],
        "finding": ["FND-1"],
    }  # fmt: skip


PAGES = {
    "INC-2": "/incident?id=2", "inc-2": "/incident?id=2", "CHG-1": "/change?id=1", "toy": "/model?model=toy",
    "TOY": "/model?model=toy", "toy v1": "/model?model=toy&version=1", "toy/1": "/model?model=toy&version=1",
    "toy@1": "/model?model=toy&version=1", "FND-2": "/inventory_model?model=credit",
    "case-toy": "/prediction?model=toy&prediction=case-toy",
    "credit/unseen": "/prediction?model=credit&prediction=unseen",
}  # fmt: skip


def test_an_exact_id_names_one_page(world: World) -> None:
    for text, address in PAGES.items():
        exact = find(world.lead, text).exact
        assert exact is not None, text
        assert exact.address == address


def test_a_number_alone_is_the_id_of_each_thing_that_has_it_and_so_of_none_in_particular(
    world: World,
) -> None:
    found = find(world.lead, "2")
    assert refs(found)["incident"][0] == "INC-2"
    assert refs(found)["change"][0] == "CHG-2"
    assert found.exact is None


def test_the_exact_comes_first_then_what_begins_so_then_what_has_the_words(world: World) -> None:
    add_model(world, "autocredit")
    add_model(world, "credit-cards")
    assert refs(find(world.viewer, "credit"))["model"] == ["credit", "credit-cards", "autocredit"]


def test_every_word_has_to_be_there_in_any_order_and_case(world: World) -> None:
    assert refs(find(world.viewer, "FELL toy"))["incident"] == ["INC-1"]
    assert find(world.viewer, "fell nowhere").count == 0


def test_what_is_typed_is_no_pattern(world: World) -> None:
    for text in ("%", "_", "t%y", "t_y", "%%", "\\", "'", "/%"):
        assert refs(find(world.lead, text, kind="model")) == {}, text


def test_a_percent_sign_is_found_where_one_is(world: World) -> None:
    assert refs(find(world.viewer, "5%"))["incident"] == ["INC-2", "INC-1"]


def test_letters_beyond_ascii_are_found_in_capitals_or_not(world: World) -> None:
    with writing() as session:
        session.get_one(Model, "toy").title = "Ärzte"
    assert refs(find(world.viewer, "ärzte"))["model"] == ["toy"]
    assert refs(find(world.viewer, "Ärzte"))["model"] == ["toy"]


def test_the_beginning_of_a_digest_finds_the_version(world: World) -> None:
    with reading() as session:
        from backend.registry.tables import Version

        digest = session.get_one(Version, ("toy", 1)).artefact_digest
    assert "toy v1" in refs(find(world.viewer, digest.removeprefix("sha256:")[:12]))["version"]
    exact = find(world.viewer, digest, kind="version")
    assert "toy v1" in refs(exact)["version"]


def test_only_so_many_rows_of_a_kind_are_read_and_that_there_are_more_is_said(world: World) -> None:
    with writing() as session:
        session.add_all(
            Incident(
                model="toy",
                environment="production",
                area=f"a{at}",
                title=f"slow {at}",
                opened_at=clock.now(),
            )
            for at in range(30)
        )
    limits: list[str] = []

    def note(*args: object) -> None:
        limits.append(str(args[2]))

    event.listen(engine.database().read_engine, "before_cursor_execute", note)
    try:
        found = find(world.viewer, "slow", limit=5)
    finally:
        event.remove(engine.database().read_engine, "before_cursor_execute", note)
    assert [(len(one.hits), one.more) for one in found.groups] == [(5, True)]
    assert all("LIMIT" in one for one in limits if "LIKE" in one)
    assert any("incidents" in one and "LIKE" in one for one in limits)


def test_people_are_found_by_who_manages_them_alone(world: World) -> None:
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
    found = find(admin, "oncall")
    assert refs(found)["person"] == ["oncall"]
    assert found.exact is not None
    assert found.exact.address == "/people?person=oncall"
    for who in (world.viewer, world.on_call, world.engineer, world.lead, world.compliance):
        asked = find(who, "oncall")
        assert "person" not in refs(asked)
        assert asked.not_asked["People"] == "needs identity:person:manage"


def test_predictions_are_found_whole_and_by_who_may_look_at_one(world: World) -> None:
    for who in (world.lead, world.compliance):
        assert refs(find(who, "case-toy"))["prediction"] == ["case-toy"]
        assert "prediction" not in refs(find(who, "case-to"))
    for who in (world.viewer, world.on_call, world.engineer):
        found = find(who, "case-toy")
        assert found.count == 0
        assert "Predictions" in found.not_asked


def of_team(who: Actor, *roles: Role, models: frozenset[str] = frozenset({"toy"})) -> Actor:
    return replace(who, roles=frozenset(), team_roles=tuple(TeamRole("ours", role, models) for role in roles))


def test_a_member_of_a_team_finds_nothing_of_others_by_any_kind(world: World) -> None:
    member = of_team(world.lead, Role.ML_LEAD, Role.COMPLIANCE)
    for text in (
        "credit",
        "INC-2",
        "CHG-2",
        "FND-2",
        "credit v1",
        "credit/unseen",
        "case-credit",
        "2",
        "degraded",
        "so",
    ):
        found = find(member, text, limit=50)
        said = [hit for group in found.groups for hit in group.hits]
        assert all("credit" not in f"{hit.ref} {hit.title} {hit.context} {hit.address}" for hit in said), text
        assert not {"INC-2", "CHG-2", "FND-2"} & {hit.ref for hit in said}, text
    assert refs(find(member, "degraded"))["change"] == ["CHG-1"]
    assert refs(find(member, "case-toy"))["prediction"] == ["case-toy"]


def test_a_role_in_one_team_opens_no_predictions_of_another(world: World) -> None:
    """They see both teams' models, and may look at single predictions of one."""
    mixed = replace(
        of_team(world.lead), team_roles=(
            TeamRole("ours", Role.ML_LEAD, frozenset({"toy"})), TeamRole("theirs", Role.VIEWER, frozenset({"credit"})),
        ),
    )  # fmt: skip
    assert refs(find(mixed, "credit"))["model"] == ["credit"]
    assert find(mixed, "case-credit").count == 0
    assert find(mixed, "credit/unseen").count == 0
    assert refs(find(mixed, "case-toy")) == {"prediction": ["case-toy"]}


def test_stored_predictions_are_read_only_where_somebody_asks(world: World) -> None:
    send({"stored-1": "nobody"}, model_has_subject=False)
    move_spool()
    store = settings().observations
    assert find(world.lead, "stored-1").count == 0
    found = find(world.lead, "stored-1", observations=store)
    assert refs(found) == {"prediction": ["stored-1"]}
    assert find(world.viewer, "stored-1", observations=store).count == 0
    others = of_team(world.lead, Role.ML_LEAD, models=frozenset({"credit"}))
    assert find(others, "stored-1", observations=store).count == 0


def test_nothing_too_much_and_an_unknown_kind_are_refused(world: World) -> None:
    for text, options in (("", {}), ("  \x00 ", {}), ("a" * 201, {}), ("toy", {"kind": "planet"})):
        with pytest.raises(BadInput):
            find(world.viewer, text, **options)
    with pytest.raises(NotAllowed):
        find(replace(world.viewer, roles=frozenset()), "toy")


def test_every_kind_says_what_it_needs(world: World) -> None:
    everything = {one.title for one in KINDS}
    assert set(find(world.viewer, "toy").not_asked) == {"Predictions", "People"}
    assert not set(find(SYSTEM, "toy").not_asked) & everything
    assert {one.needs for one in KINDS} == {
        Permission.READ_MODELS, Permission.EXPLAIN_PREDICTION, Permission.MANAGE_PEOPLE,
    }  # fmt: skip


def test_the_api_and_the_page_know_every_kind() -> None:
    assert get_args(Kind) == NAMES
    assert tuple(sorted(EXAMPLES)) == tuple(sorted(NOUNS)) == tuple(sorted(NAMES))
