"""One act on many models: the preview is what is done, nobody reaches further than their roles, and each model by
itself; tags and saved views."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Silence
from backend.audit.tables import AuditEntry
from backend.database.session import WriteSession, reading, writing
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed, NotFound
from backend.fleet.acts import ActPreview, ActResult, Asking, perform_act, preview_act
from backend.fleet.tables import ModelTag
from backend.fleet.tags import MOST, tag_model, tags_of
from backend.fleet.views import list_views, remove_view, save_view
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import person_by_id
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.registry.tables import Model
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import SYSTEM, person

PRODUCTION = "production"


@pytest.fixture
def names(database: str) -> list[str]:
    return make_fleet(5)


@pytest.fixture
def lead(names: list[str]) -> Actor:
    with writing() as session:
        return person(session, "lead", Role.ML_LEAD)


def look(who: Actor, asking: Asking) -> ActPreview:
    with reading() as session:
        return preview_act(session, who, asking, PRODUCTION)


def do(who: Actor, asking: Asking, digest: str | None = None) -> ActResult:
    digest = digest or look(who, asking).digest
    with writing() as session:
        return perform_act(session, who, replace(asking, why="so"), PRODUCTION, seen_digest=digest)


def told(planned: Sequence[Any]) -> dict[str, str]:
    return {one.model: getattr(one, "what", "") or getattr(one, "reason", "") for one in planned}


def fires(session: WriteSession, model: str) -> None:
    fire(session, SYSTEM, Firing(model, PRODUCTION, 1, "drift", "ticket", "drifts", "x", clock.now(), {}))


def member_of(names: Sequence[str], *roles: Role) -> Actor:
    """Somebody with roles in a team that has these models."""
    with writing() as session:
        admin, who = person(session, "root", Role.ADMIN), person(session, "member").person_id
        team = make_team(session, admin, name="Ours")
        for name in names:
            move_model(session, admin, model=name, team_id=team.id, why="theirs")
        set_team_roles(session, admin, team.id, who, set(roles))
    with reading() as session:
        return actor_of(person_by_id(session, who), session_id=None)


def test_a_silence_of_several_models_is_one_of_each(names: list[str], lead: Actor) -> None:
    asking = Asking("silence", (*names[:3], "gone"), hours=8)
    preview = look(lead, asking)
    assert told(preview.planned) == dict.fromkeys(names[:3], "mute every alert in production for 8 h")
    assert told(preview.left_out) == {"gone": "there is no such model that you may see"}
    result = do(lead, asking)
    assert [one.model for one in result.done] == names[:3]
    with reading() as session:
        rows = session.query(Silence).order_by(Silence.model).all()
        assert [(one.model, one.environment, one.comment, one.until_worse) for one in rows] == [
            (name, PRODUCTION, "so", False) for name in names[:3]
        ]
        assert all(abs(one.ends_at - clock.now() - timedelta(hours=8)) < timedelta(minutes=2) for one in rows)
        entries = session.query(AuditEntry).filter(AuditEntry.action == "alerting:silence:set").count()
    assert entries == 3
    again = look(lead, replace(asking, hours=1))
    assert again.planned == ()
    assert "silenced until" in told(again.left_out)[names[0]]


def test_until_worse_leaves_out_where_nothing_fires(names: list[str], lead: Actor) -> None:
    with writing() as session:
        fires(session, names[1])
    preview = look(lead, Asking("silence", tuple(names[:2]), until_worse=True))
    assert told(preview.planned) == {names[1]: "mute 1 alert that fires until it gets worse, 8 hours at most"}
    assert "nothing fires there" in told(preview.left_out)[names[0]]


def test_an_owner_is_named_where_another_one_is(names: list[str], lead: Actor) -> None:
    with writing() as session:
        ona = person(session, "ona", Role.ML_ENGINEER)
        session.get_one(Model, names[0]).owner_id = ona.person_id
    asking = Asking("owner", tuple(names[:3]), owner="ona")
    preview = look(lead, asking)
    assert told(preview.planned) == dict.fromkeys(names[1:3], "owner nobody → Ona")
    assert told(preview.left_out) == {names[0]: "Ona owns it already"}
    do(lead, asking)
    with reading() as session:
        assert {session.get_one(Model, name).owner_id for name in names[:3]} == {ona.person_id}
        assert session.get_one(Model, names[3]).owner_id is None
    with pytest.raises(BadInput, match="user name"):
        look(lead, replace(asking, owner="nobody"))


def test_rules_of_another_tier_are_asked_for_and_not_applied(names: list[str], lead: Actor) -> None:
    with writing() as session:
        session.get_one(Model, names[0]).tier = "high"
    asking = Asking("policy", tuple(names[:3]), tier="high")
    first = do(lead, replace(asking, models=(names[1],)))
    assert first.done[0].what == "CHG-1 asks for tier high; others decide on it"
    preview = look(lead, asking)
    assert told(preview.planned) == {
        names[2]: "ask for tier low → high; decided by 1 compliance and 1 ml_lead"
    }
    assert told(preview.left_out) == {
        names[0]: f"{names[0]} is of tier high already", names[1]: "CHG-1 is about its tier already",
    }  # fmt: skip
    assert [one.model for one in do(lead, asking).done] == [names[2]]
    with reading() as session:
        asked = {(one.model, one.kind, one.state, one.requested_by) for one in session.query(Change)}
        assert asked == {(name, "tier", "waiting", lead.person_id) for name in names[1:3]}
        assert session.get_one(Model, names[2]).tier == "low", "two people have not agreed yet"


def test_rules_are_enforced_where_they_only_report(names: list[str], lead: Actor) -> None:
    with writing() as session:
        session.get_one(Model, names[0]).enforcement = "observe"
    asking = Asking("enforce", tuple(names[:2]))
    assert told(look(lead, asking).left_out) == {names[1]: "its rules are enforced already"}
    with writing() as session:
        root = person(session, "root", Role.ADMIN)
    assert look(root, asking).digest == look(lead, asking).digest, "who manages people may do so too"
    with pytest.raises(NotAllowed):
        look(root, Asking("policy", tuple(names[:2]), tier="high"))
    do(lead, asking)
    with reading() as session:
        assert session.get_one(Model, names[0]).enforcement == "enforce"


def test_what_moved_since_the_preview_is_not_done(names: list[str], lead: Actor) -> None:
    with writing() as session:
        person(session, "ona", Role.ML_ENGINEER)
        person(session, "bo", Role.ML_ENGINEER)
    asking = Asking("owner", tuple(names[:2]), owner="ona")
    seen = look(lead, asking).digest
    assert seen == look(lead, replace(asking, why="another reason", models=tuple(names[1::-1]))).digest
    assert seen != look(lead, replace(asking, models=tuple(names[:3]))).digest
    assert seen != look(lead, replace(asking, owner="bo")).digest
    do(lead, Asking("owner", (names[1],), owner="bo"))
    with pytest.raises(ChangedSinceSeen):
        do(lead, asking, seen)
    with reading() as session:
        assert session.get_one(Model, names[0]).owner_id is None


def test_one_that_is_refused_is_told_and_the_others_stand(
    names: list[str], lead: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model is full of tags: the preview of tags does not count them, the service that tags does."""
    with writing() as session:
        tag_model(session, lead, names[1], add=[f"t{one}" for one in range(MOST)])
    result = do(lead, Asking("tag", tuple(names[:3]), add=("eu",)))
    assert [one.model for one in result.done] == [names[0], names[2]]
    assert told(result.refused) == {names[1]: f"a model has {MOST} tags at most; take one off first"}
    with reading() as session:
        tagged = session.query(ModelTag.model).filter(ModelTag.tag == "eu").order_by(ModelTag.model)
        assert [one.model for one in tagged] == [names[0], names[2]]
        entries = session.query(AuditEntry).filter(AuditEntry.action == "registry:model:tag").count()
    assert entries == 3, "what was taken back left no entry"


def test_nobody_acts_further_than_their_roles(names: list[str], lead: Actor) -> None:
    with writing() as session:
        viewer = person(session, "viewer", Role.VIEWER)
    for asking in (
        Asking("silence", tuple(names), hours=1),
        Asking("owner", tuple(names), owner="lead"),
        Asking("tag", tuple(names), add=("eu",)),
        Asking("policy", tuple(names), tier="high"),
        Asking("enforce", tuple(names)),
    ):
        with pytest.raises(NotAllowed):
            look(viewer, asking)
    member = member_of(names[:2], Role.ML_LEAD)
    for asking in (
        Asking("silence", tuple(names[:3]), hours=1),
        Asking("tag", tuple(names[:3]), add=("eu",)),
        Asking("policy", tuple(names[:3]), tier="high"),
    ):
        preview = look(member, asking)
        assert [one.model for one in preview.planned] == names[:2]
        assert told(preview.left_out) == {names[2]: "there is no such model that you may see"}
        assert [one.model for one in do(member, asking).done] == names[:2]


def test_a_right_in_a_team_reaches_its_models_alone(names: list[str]) -> None:
    """Reading comes with a role for the house, acting with one in a team."""
    member = member_of(names[:1], Role.ON_CALL)
    both = replace(member, roles=frozenset({Role.VIEWER}), models=None)
    preview = look(both, Asking("silence", tuple(names[:2]), hours=1))
    assert [one.model for one in preview.planned] == names[:1]
    assert told(preview.left_out) == {
        names[1]: "your roles there do not include alerting:incident:acknowledge"
    }


def test_what_makes_no_sense_is_refused(names: list[str], lead: Actor) -> None:
    for asking, field in (
        (Asking("silence", ()), "models"),
        (Asking("silence", tuple(f"m{one}" for one in range(501)), hours=1), "models"),
        (Asking("silence", (names[0],)), "hours"),
        (Asking("silence", (names[0],), hours=1, until_worse=True), "hours"),
        (Asking("silence", (names[0],), hours=721), "hours"),
        (Asking("policy", (names[0],), tier="odd"), "tier"),
        (Asking("tag", (names[0],)), "add"),
        (Asking("tag", (names[0],), add=("No Tag",)), "tag"),
        (Asking("owner", (names[0],)), "owner"),
        (Asking("paint", (names[0],)), "act"),  # type: ignore[arg-type]
    ):
        with pytest.raises(BadInput) as refused:
            look(lead, asking)
        assert refused.value.details["field"] == field, asking


def test_tags_are_words_in_small_letters_and_leave_one_entry(names: list[str], lead: Actor) -> None:
    with writing() as session:
        assert tag_model(session, lead, names[0], add=[" EU ", "loans"]) == ["eu", "loans"]
        assert tag_model(session, lead, names[0], add=["eu"], remove=["gone"]) == ["eu", "loans"]
        assert tag_model(session, lead, names[0], remove=["loans"]) == ["eu"]
    with reading() as session:
        assert tags_of(session, lead, names) == {names[0]: ("eu",)}
        assert session.query(AuditEntry).filter(AuditEntry.action == "registry:model:tag").count() == 2
    for add, remove in ((["a b"], []), ([""], []), (["x" * 41], []), (["a"], ["a"])):
        with writing() as session, pytest.raises(BadInput):
            tag_model(session, lead, names[0], add=add, remove=remove)
    with writing() as session, pytest.raises(NotFound):
        tag_model(session, lead, "gone", add=["eu"])
    with writing() as session:
        reader = person(session, "reader", Role.VIEWER)
    with writing() as session, pytest.raises(NotAllowed):
        tag_model(session, reader, names[0], add=["eu"])


def test_a_tag_is_not_put_on_and_taken_off_by_one_act(names: list[str], lead: Actor) -> None:
    with pytest.raises(BadInput, match="both put on and taken off"):
        look(lead, Asking("tag", tuple(names[:1]), add=("A",), remove=("a",)))


def test_who_does_the_same_at_the_same_time_waits(names: list[str], lead: Actor) -> None:
    def tag(session: WriteSession) -> None:
        assert tag_model(session, lead, names[0], add=["nightly"]) == ["nightly"]

    def keep(session: WriteSession) -> None:
        save_view(session, lead, name="Mine", filters={"tier": ["high"]})

    def other(act: Callable[[WriteSession], None]) -> None:
        with writing() as session:
            act(session)

    for act in (tag, keep):
        with ThreadPoolExecutor(1) as threads:
            with writing() as session:
                act(session)
                second = threads.submit(other, act)
                time.sleep(0.5)  # it has come as far as it can
            second.result()
    with reading() as session:
        assert [one.name for one in list_views(session, lead)] == ["Mine"]


def test_a_view_is_ones_own_until_it_is_shared(names: list[str], lead: Actor) -> None:
    with writing() as session:
        other = person(session, "other", Role.VIEWER)
        mine = save_view(
            session, lead, name="  My  high ones ", filters={"tier": ["high"], "tag": []}, columns=["owner", "tier"],
            sort="tier",
        ).id  # fmt: skip
        save_view(session, lead, name="Ours", filters={"team": ["Pricing"]}, shared=True)
    with reading() as session:
        views = list_views(session, lead)
        assert [(one.name, one.is_mine, one.is_shared, one.owner) for one in views] == [
            ("My high ones", True, False, "Lead"), ("Ours", True, True, "Lead"),
        ]  # fmt: skip
        assert (views[0].filters, views[0].columns, views[0].sort) == (
            {"tier": ["high"]},
            ("owner", "tier"),
            "tier",
        )
        assert [one.name for one in list_views(session, other)] == ["Ours"]
    with writing() as session:
        again = save_view(session, lead, name="My high ones", filters={"health": ["page"]})
        assert again.id == mine, "the same name is the same view"
    with writing() as session, pytest.raises(NotFound):
        remove_view(session, other, mine)
    shared = views[1].id
    with writing() as session, pytest.raises(NotAllowed):
        remove_view(session, other, shared)
    with writing() as session:
        remove_view(session, lead, mine)
        remove_view(session, person(session, "boss", Role.ADMIN), shared)
    with reading() as session:
        assert list_views(session, lead) == []
        actions = [one.action for one in session.query(AuditEntry).order_by(AuditEntry.seq)]
    assert [one for one in actions if ":view:" in one] == ["identity:view:save"] * 3 + [
        "identity:view:remove"
    ] * 2


def test_who_sees_some_models_alone_shares_no_view_and_reads_none(names: list[str], lead: Actor) -> None:
    with writing() as session:
        save_view(session, lead, name="Ours", filters={"text": [names[3]]}, shared=True)
    member = member_of(names[:2], Role.VIEWER)
    with writing() as session:
        save_view(session, member, name="Mine", filters={"tier": ["low"]})
    with writing() as session, pytest.raises(NotAllowed):
        save_view(session, member, name="All", filters={}, shared=True)
    with reading() as session:
        assert [one.name for one in list_views(session, member)] == ["Mine"]


def test_a_view_of_what_is_not_there_is_refused(names: list[str], lead: Actor) -> None:
    for more in (
        {"name": " ", "filters": {}},
        {"name": "x" * 61, "filters": {}},
        {"name": "a\nb\x00", "filters": {}},
        {"name": "a", "filters": {"colour": ["red"]}},
        {"name": "a", "filters": {"tag": ["x"] * 51}},
        {"name": "a", "filters": {}, "columns": ["colour"]},
        {"name": "a", "filters": {}, "sort": "colour"},
    ):
        with writing() as session, pytest.raises(BadInput):
            save_view(session, lead, **more)  # type: ignore[arg-type]
