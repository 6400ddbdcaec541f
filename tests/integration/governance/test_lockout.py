"""A policy that nobody could change any more is refused, and one that can be is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import update

from backend import clock
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.identity.tables import Person
from backend.settings import settings
from tests.worlds import World

RULE = "rules: [{{name: all, rule: {rule}}}]"
NEVER = "rules: [{name: shut, for: {kinds: [policy]}, rule: {allowed: false, because: never}}, {name: all}]"
FREEZE = "freezes: [{{name: quiet, {freeze}}}]\nrules: [{{name: all}}]"


def chain(count: int, days: float, gap: timedelta, *more: str) -> str:
    """Freezes one after the other, from tomorrow on, with so much time between them."""
    begin = clock.now().replace(tzinfo=None, microsecond=0) + timedelta(days=1)
    told = []
    for number in range(count):
        end = begin + timedelta(days=days)
        told.append(
            f"{{name: part {number}, dates: [{begin.isoformat()}, {end.isoformat()}], except_kinds: []}}"
        )
        begin = end + gap
    return f"freezes: [{', '.join([*told, *more])}]\nrules: [{{name: all}}]"


WEEKENDS = '{name: weekend, zone: Europe/Berlin, weekly: ["fri 16:00", "mon 08:00"]}'


@pytest.mark.parametrize(
    "document",
    [
        chain(11, 91, timedelta(seconds=1)),
        chain(2, 92, timedelta(0)),
        chain(3, 50, timedelta(hours=8)),
        chain(60, 4, timedelta(minutes=1)),
        chain(2, 90, timedelta(hours=20), WEEKENDS.replace("mon 08:00", "thu 16:00")),
    ],
    ids=["seconds", "nothing", "working days", "many", "with weeks"],
)
def test_freezes_that_follow_each_other_leave_a_day_for_the_policy(world: World, document: str) -> None:
    with pytest.raises(BadInput, match=r"leave \d+ hours for a change of the policy in the 106 days from"):
        ask_for(world, document)


@pytest.mark.parametrize(
    "document",
    [
        chain(1, 92, timedelta(0), WEEKENDS),
        chain(8, 91, timedelta(hours=24)),
        chain(30, 6, timedelta(hours=24)),
        chain(40, 91, timedelta(seconds=1)).replace("except_kinds: []", "except_kinds: [policy]"),
    ],
    ids=["a quarter", "a day between", "weeks", "of other kinds"],
)
def test_freezes_that_leave_a_day_are_taken(world: World, document: str) -> None:
    ask_for(world, document)


def test_freezes_are_few_and_near_so_that_anybody_s_document_is_judged_in_no_time(world: World) -> None:
    """Each weekly one is laid out over the time around those by dates."""
    with pytest.raises(BadInput, match="freezes: it has more than 64"):
        ask_for(world, chain(65, 1, timedelta(days=5)))
    later = (clock.now() + timedelta(days=1200)).replace(tzinfo=None, microsecond=0)
    far = f"dates: [{later.isoformat()}, {(later + timedelta(days=1)).isoformat()}]"
    with pytest.raises(BadInput, match="the freeze 'quiet' ends more than 3 years from now"):
        ask_for(world, FREEZE.format(freeze=far))
    ask_for(world, FREEZE.format(freeze=f"{far}, except_kinds: [policy]"))


def test_who_may_not_ask_for_a_change_is_not_shown_one(world: World) -> None:
    asked = Asked("policy", "*", subject={"document": RULE.format(rule="{lifetime_h: 5}")})
    with reading() as session:
        for actor in (world.viewer, world.compliance):
            with pytest.raises(NotAllowed, match="governance:change:request"):
                preview_change(session, actor, asked)
        assert preview_change(session, world.on_call, asked).digest


def test_demo_accounts_count_in_demo_mode_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing() as session:
        session.execute(update(Person).where(Person.id == world.other_lead.person_id).values(is_demo=True))
    with pytest.raises(BadInput, match="may sign in with these roles"):
        ask_for(world, RULE.format(rule="{roles: {ml_lead: 2}}"))
    monkeypatch.setenv("WARRANT_DEMO", "true")
    settings.cache_clear()
    ask_for(world, RULE.format(rule="{roles: {ml_lead: 2}}"))


def ask_for(world: World, document: str) -> None:
    with reading() as session:
        preview_change(session, world.engineer, Asked("policy", "*", subject={"document": document}))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (NEVER, "for ever"),
        (RULE.format(rule="{roles: {compliance: 20}}"), "nobody could change the policy again"),
        (RULE.format(rule="{roles: {ml_lead: 3}}"), "nobody could change the policy again"),
        (RULE.format(rule="{roles: {compliance: 2}}"), "nobody could change the policy again"),
        (RULE.format(rule="{lifetime_h: 0.0001}"), "greater than or equal to 1|at least 1"),
        (FREEZE.format(freeze="dates: [2020-01-01T00:00:00, 2999-01-01T00:00:00], except_kinds: []"), "within 92 days"),
        (FREEZE.format(freeze='weekly: ["mon 00:00", "sun 23:59"]'), "hours of a week"),
    ],
    ids=["not allowed", "twenty", "three leads of two", "two of one", "a second", "for ever", "all week"],
)  # fmt: skip
def test_a_policy_that_nobody_could_change_again_is_refused(world: World, document: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        ask_for(world, document)


@pytest.mark.parametrize(
    "document",
    [
        RULE.format(rule="{roles: {ml_lead: 2, compliance: 1}}"),
        FREEZE.format(freeze='weekly: ["fri 16:00", "mon 08:00"]'),
        FREEZE.format(freeze='weekly: ["mon 00:00", "sun 23:59"], except_kinds: [policy]'),
    ],
)
def test_a_policy_that_can_be_changed_is_taken(world: World, document: str) -> None:
    ask_for(world, document)


def test_people_who_were_disabled_do_not_count(world: World) -> None:
    document = RULE.format(rule="{roles: {ml_lead: 2}}")
    ask_for(world, document)
    with writing() as session:
        session.execute(
            update(Person).where(Person.id == world.other_lead.person_id).values(disabled_at=clock.now())
        )
    with pytest.raises(BadInput, match="nobody could change the policy again"):
        ask_for(world, document)
