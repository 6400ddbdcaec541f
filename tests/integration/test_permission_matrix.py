"""Who may change what: every role against every service of governance that changes something, asked directly, over the
API and on the page that offers it. A service that is not listed here fails.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

import backend.governance
from backend import clock
from backend.data_rights.requests import request_rows
from backend.database.engine import use_database
from backend.database.session import WriteSession, reading, writing
from backend.errors import NotAllowed, NotFound, WarrantError
from backend.governance import (
    asking,
    data_owners,
    deciding,
    delegations,
    execution,
    move_answers,
    reviews,
    rollouts,
    sending_again,
    settling,
    urgent,
)
from backend.governance.external_checks import report_check
from backend.governance.kinds import Asked
from backend.governance.kinds.roles import request_role_rules
from backend.governance.reading import note_look
from backend.governance.registry_moves import add_move
from backend.governance.rollout_commands import tell_rollout
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.registry.tables import Model
from tests.integration.api.test_permissions import TABLE
from tests.integration.app.test_pages import Open, open_page
from tests.integration.governance.conftest import ask, carry_out, now, put_in_force, say
from tests.worlds import SYSTEM, World, add_model, make_world, person

__all__ = ["open_page"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROLES = ("viewer", "on_call", "engineer", "lead", "compliance", "admin")
# `asker` is a lead who asked for every change, and whose right to decide is lent to nobody.
WHO = (*ROLES, "asker")
ALL = frozenset(WHO)
ACTORS = frozenset({"on_call", "engineer", "lead", "asker"})
DECIDERS = frozenset({"lead", "compliance"})
STALE = "sha256:stale"

POLICY = """
rules:
  - name: back
    for: {kinds: [rollback]}
    rule: {break_glass: {roles: [on_call, ml_engineer, ml_lead], kinds: [rollback]}}
  - name: of the record
    for: {kinds: [policy, tier, retire]}
    rule: {roles: {ml_lead: 1, compliance: 1}}
  - name: with a gate
    for: {tiers: [low]}
    rule: {gates: [{gate: artefact_scanned}]}
  - name: by canary
    for: {tiers: [high]}
    rule: {rollout: {strategy: canary, steps: [0.5, 1], bake_s: 600}}
  - name: forth
    rule: {way_back_days: 14}
"""


@dataclass(frozen=True)
class Stage:
    """One object for each service to act on. Numbers of changes, but for `way_back`, `move` and `lent`."""

    people: dict[str, Actor]
    waiting: int
    gated: int
    draft: int
    burnt: int
    rolling: int
    way_back: int
    move: int
    lent: int
    approved: int
    agreed: int
    sent_back: int


@dataclass(frozen=True)
class OnPage:
    """The label (or key) of the button that leads to a service; `query` and `button` are formatted with the stage."""

    page: str
    button: str
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Row:
    """Who may have a service act on its object of the stage, and how it is asked.

    over_api   who the API lets through to it, where that is not the same: it says only then that nothing is there
    no_page    why no page offers it
    """

    may: frozenset[str]
    call: Callable[[WriteSession, Actor, Stage], object]
    routes: tuple[tuple[str, str], ...]
    on_page: OnPage | None
    no_page: str = ""
    over_api: frozenset[str] | None = None


ROLE_RULES = "rules: [{provider: corp, claim: groups, value: leads, role: ml_lead}]"
BACK = Asked("rollback", "production", "free", 1)


def by_change(button: str, which: str) -> OnPage:
    return OnPage("change", button, (("id", f"{{stage.{which}}}"),))


MATRIX: dict[str, Row] = {
    "asking.request_change": Row(
        ACTORS, lambda s, who, on: asking.request_change(s, who, BACK, reason="so", seen_digest=STALE),
        (("POST", "/changes"),),
        OnPage("request_change", "Ask for the return to v1", (("kind", "rollback"), ("model", "free"))),
    ),
    "kinds.roles.request_role_rules": Row(
        frozenset({"admin"}),
        lambda s, who, on: request_role_rules(s, who, document=ROLE_RULES, reason="so", seen_digest=STALE),
        (("POST", "/role-rules/changes"),), OnPage("people", "Ask for these rules"),
    ),
    "settling.recheck_gates": Row(
        frozenset({"asker", "lead"}), lambda s, who, on: settling.recheck_gates(s, who, on.gated, reason="newer data"),
        (("POST", "/changes/{change_id}/gates"),), by_change("Evaluate again", "gated"),
    ),
    "sending_again.resubmit_change": Row(
        frozenset({"asker"}),
        lambda s, who, on: sending_again.resubmit_change(s, who, on.draft, reason="so", seen_digest=STALE),
        (("POST", "/changes/{change_id}/resubmission"),), by_change("Send CHG-{stage.draft} again", "draft"),
    ),
    "asking.cancel_change": Row(
        frozenset({"asker"}), lambda s, who, on: asking.cancel_change(s, who, on.waiting, reason=""),
        (("POST", "/changes/{change_id}/cancellation"),), by_change("Withdraw CHG-{stage.waiting}", "waiting"),
    ),
    "deciding.decide": Row(
        frozenset({"lead"}),
        lambda s, who, on: deciding.decide(
            s, who, on.waiting, verdict="approve", comment="", seen_digest=STALE
        ),
        (("POST", "/changes/{change_id}/decisions"),), by_change("Approve CHG-{stage.waiting}", "waiting"),
    ),
    "deciding.decide (retract)": Row(
        frozenset({"lead"}),
        lambda s, who, on: deciding.decide(
            s, who, on.agreed, verdict="retract", comment="wait", seen_digest=STALE
        ), (), by_change("Retract your approval of CHG-{stage.agreed}", "agreed"),
    ),
    "deciding.decide (reject what is approved)": Row(
        frozenset({"lead"}),
        lambda s, who, on: deciding.decide(s, who, on.approved, verdict="reject", comment="no", seen_digest=STALE),
        (), by_change("Reject CHG-{stage.approved}", "approved"),
    ),
    "deciding.decide (reject what was sent back)": Row(
        frozenset({"lead"}),
        lambda s, who, on: deciding.decide(s, who, on.draft, verdict="reject", comment="no", seen_digest=STALE),
        (), by_change("Reject CHG-{stage.draft}", "draft"),
    ),
    "sending_again.resubmit_change (data request)": Row(
        frozenset({"compliance"}),
        lambda s, who, on: sending_again.resubmit_change(s, who, on.sent_back, reason="so", seen_digest=STALE),
        (), by_change("Send CHG-{stage.sent_back} again", "sent_back"),
    ),
    "asking.cancel_change (data request)": Row(
        frozenset({"compliance"}), lambda s, who, on: asking.cancel_change(s, who, on.sent_back, reason=""),
        (), by_change("Withdraw CHG-{stage.sent_back}", "sent_back"),
    ),
    "deciding.decide (reject a data request that was sent back)": Row(
        frozenset({"lead", "asker"}),
        lambda s, who, on: deciding.decide(
            s, who, on.sent_back, verdict="reject", comment="no", seen_digest=STALE
        ),
        (), by_change("Reject CHG-{stage.sent_back}", "sent_back"),
    ),
    "delegations.delegate": Row(
        DECIDERS | {"asker"},
        lambda s, who, on: delegations.delegate(
            s, who, to_person=on.people["viewer"].person_id, starts_at=clock.now(), reason="away",
            ends_at=clock.now() + timedelta(days=1),
        ),
        (("POST", "/delegations"),), OnPage("account", "Lend the right to decide"),
    ),
    "delegations.end_delegation": Row(
        frozenset({"lead"}), lambda s, who, on: delegations.end_delegation(s, who, on.lent),
        (("POST", "/delegations/{delegation_id}/end"),), OnPage("account", "end-lent:{stage.lent}"), over_api=DECIDERS,
    ),
    "reviews.review_change": Row(
        DECIDERS,
        lambda s, who, on: reviews.review_change(s, who, on.burnt, verdict="justified", comment="it burned"),
        (("POST", "/changes/{change_id}/review"),), by_change("Justified: CHG-{stage.burnt}", "burnt"),
    ),
    "urgent.break_glass": Row(
        ACTORS, lambda s, who, on: urgent.break_glass(s, who, BACK, reason="it burns", seen_digest=STALE),
        (("POST", "/changes/break-glass"),),
        OnPage("request_change", "Break the glass now", (("kind", "rollback"), ("model", "free"))),
        over_api=frozenset(),  # a session that signed in freshly does it, or a token where the rule says so
    ),
    "urgent.take_way_back": Row(
        ACTORS, lambda s, who, on: urgent.take_way_back(s, who, on.way_back, reason="so", seen_digest=STALE),
        (("POST", "/ways-back/{way_back_id}/return"),),
        OnPage("model", "Go back to v2 now", (("model", "promoted"),)),
    ),
    "rollout_commands.tell_rollout": Row(
        ACTORS, lambda s, who, on: tell_rollout(s, who, on.rolling, command="pause", reason=""),
        (("POST", "/changes/{change_id}/rollout"),), by_change("Pause", "rolling"),
    ),
    "rollout_commands.tell_rollout (resume)": Row(
        frozenset({"on_call", "lead"}),
        lambda s, who, on: tell_rollout(s, who, on.rolling, command="resume", reason=""), (), None,
        no_page="it is offered while the rollout is paused, to those who may resume it",
    ),
    "rollout_commands.tell_rollout (abort)": Row(
        ACTORS, lambda s, who, on: tell_rollout(s, who, on.rolling, command="abort", reason="so"), (),
        by_change("Abort and put back", "rolling"),
    ),
    "rollout_commands.tell_rollout (skip)": Row(
        frozenset({"lead"}),
        lambda s, who, on: tell_rollout(s, who, on.rolling, command="skip", reason="so"), (),
        by_change("Skip this stage", "rolling"),
    ),
    "move_answers.set_enforcement": Row(
        DECIDERS | {"admin", "asker"},
        lambda s, who, on: move_answers.set_enforcement(s, who, "loose", enforcement="enforce", why="so"),
        (("POST", "/models/{model}/enforcement"),),
        OnPage("registry", "Enforce the rules of loose", (("about", "loose"),)),
    ),
    "data_owners.declare_data_owner": Row(
        frozenset({"engineer", "lead", "asker"}),
        lambda s, who, on: data_owners.declare_data_owner(s, who, "free", 1, username="lead", why="they collected it"),
        (("POST", "/models/{model}/versions/{version}/data-owner"),),
        OnPage("model", "Declare the owner for v1", (("model", "free"), ("version", "1"))),
    ),
    "move_answers.request_restore": Row(
        ACTORS, lambda s, who, on: move_answers.request_restore(s, who, on.move),
        (("POST", "/registry/moves/{move_id}/restoration"),),
        OnPage("registry", "Put champion of moved back", (("about", "moved"),)),
    ),
    "move_answers.regularise": Row(
        ACTORS, lambda s, who, on: move_answers.regularise(s, who, on.move, reason="so", seen_digest=STALE),
        (("POST", "/registry/moves/{move_id}/regularisation"),),
        OnPage("request_change", "Ask for the promotion to v1",
               (("kind", "promote"), ("model", "moved"), ("to", "1"), ("move", "{stage.move}"))),
    ),
    "external_checks.report_check": Row(
        frozenset(),
        lambda s, who, on: report_check(
            s, who, on.gated, "ci", verdict="pass", text="", url="", seen_digest=STALE, revision=1
        ),
        (("POST", "/changes/{change_id}/checks/{name}"),), None, no_page="service accounts alone report",
    ),
    "reading.note_look": Row(
        ALL, lambda s, who, on: note_look(s, who, on.waiting), (("POST", "/changes/{change_id}/look"),), None,
        no_page="opening the page of a change is looking at it",
    ),
    "asking.request_change (policy)": Row(
        ACTORS,
        lambda s, who, on: asking.request_change(
            s, who, Asked("policy", "*", subject={"document": POLICY + "\n  # \n"}), reason="so", seen_digest=STALE
        ),
        (), OnPage("policy", "Ask for this policy"),
    ),
}  # fmt: skip

# What only a worker or another service calls, in the course of what was allowed by one of the above.
WITHOUT_PEOPLE = frozenset(
    {
        "abandoned.end_abandoned",
        "asking.draft_change", "asking.locked", "settling.bind_granted", "settling.settle_gates",
        "conditions.note_conditions",
        "execution.apply_record", "execution.begin", "execution.confirm_serving", "execution.finish",
        "execution.open_stage", "execution.record_mirrored", "execution.record_smoke", "execution.restore",
        "execution.settle_stage", "execution.write_deployment", "time_boxes.note_time_box",
        "kinds.monitor.apply_monitor", "kinds.objective.apply_objective",
        "kinds.enforcement.apply_observing", "kinds.record.apply_policy", "kinds.roles.apply_roles",
        "kinds.record.apply_retirement", "kinds.retrain.apply_retraining",
        "kinds.record.apply_tier", "move_answers.lift_enforcement",
        "outside.keep_answers",
        "overtaking.abort_executing",
        "policies.store_policy", "reconciling.note_serves", "reconciling.note_told_again",
        "registry_moves.add_move", "registry_moves.note_aliases", "reminders.remind_deciders",
        "delegations.revoke_delegation",  # by a review of access: tests/integration/access
        "rollouts.begin_watch", "rollouts.close_rollout", "rollouts.fail_rollout", "rollouts.open_stage",
        "rollouts.settle", "urgent.return_on_breach",
    }
)  # fmt: skip
# POST for the length of what is asked, not because something changes.
QUESTIONS = {("POST", "/changes/preview"), ("POST", "/policy/dry-run"), ("POST", "/role-rules/dry-run")}
OF_GOVERNANCE = re.compile(
    r"^/(changes|policy|delegations|ways-back|registry|gates|role-rules|models/\{model\}/(enforcement|versions/\{version\}/data-owner))"
)


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    st.cache_data.clear()
    yield make_world(tmp_path / "files")
    use_database(None)


@pytest.fixture
def stage(world: World) -> Stage:
    people = {name: getattr(world, name) for name in ROLES[:-1]} | {"asker": world.other_lead}
    asker = world.other_lead
    with writing() as session:
        people["admin"] = person(session, "admin", Role.ADMIN)
        put_in_force(session, world, POLICY)
    for name, tier in (("gated", "low"), ("drafted", "medium"), ("burnt", "medium"), ("rolling", "high"),
                       ("promoted", "medium"), ("free", "medium"), ("moved", "medium"),
                       ("loose", "medium"), ("approved", "medium"), ("agreed", "medium")):  # fmt: skip
        add_model(world, name, tier=tier)
    forth = Asked("promote", "production", "gated", 1)
    waiting = ask(asker, Asked("rollback", "production", "toy", 1))
    gated = ask(asker, forth)
    with writing() as session:
        session.get_one(Model, "loose").enforcement = "observe"
        result = {"gate": "artefact_scanned", "title": "Artefact scanned", "required": True, "verdict": "pass",
                  "rule": "", "value": None, "low": None, "high": None, "limit": None, "unit": "", "rows": None,
                  "text": "it passed", "data_until": None, "at": clock.to_iso(clock.now())}  # fmt: skip
        settling.settle_gates(session, SYSTEM, gated.id, revision=1, results=[result], flips=None)
    draft = ask(asker, replace(forth, model="drafted"))
    say(world.lead, draft, "ask", comment="say more")
    with reading() as session:
        seen = asking.preview_change(session, asker, replace(BACK, model="burnt")).digest
    with writing() as session:
        burnt = urgent.break_glass(
            session, asker, replace(BACK, model="burnt"), reason="so", seen_digest=seen
        )
    rolling = ask(asker, replace(forth, model="rolling"))
    say(world.lead, rolling)
    with writing() as session:
        execution.begin(session, SYSTEM, rolling.id, f"change-{rolling.id}")
        execution.open_stage(session, SYSTEM, rolling.id, 1)
        rollouts.begin_watch(session, SYSTEM, rolling.id, 1)
    promoted = ask(asker, replace(forth, model="promoted"))
    say(world.lead, promoted)
    carry_out(now(promoted))
    approved, agreed = (ask(asker, replace(forth, model=name)) for name in ("approved", "agreed"))
    with writing() as session:
        third = person(session, "third", Role.ML_LEAD)
    with writing() as session:
        made = request_rows(
            session, world.compliance, kind="access", model="free", prediction_ids=["p1"], reason="they wrote"
        )
        sent_back = session.get_one(Change, made.change_id)
    say(world.lead, sent_back, "ask", comment="which letter?")
    say(third, approved)
    say(world.lead, agreed)
    with writing() as session:
        way = urgent.open_way_back(session, asker, "promoted", "production")
        move = add_move(
            session,
            SYSTEM,
            session.get_one(Model, "moved"),
            alias="champion",
            before=2,
            after=1,
            state="open",
        )
        lent = delegations.delegate(
            session, world.lead, to_person=person(session, "deputy", Role.VIEWER).person_id,
            starts_at=clock.now(), ends_at=clock.now() + timedelta(days=1), reason="away",
        )  # fmt: skip
        assert way is not None
        return Stage(
            people, waiting.id, gated.id, draft.id, burnt.id, rolling.id, way.id, move.id, lent.id, approved.id,
            agreed.id, sent_back.id,
        )  # fmt: skip


def services() -> set[str]:
    """Every public function of governance that takes a write session and somebody who acts."""
    found = set()
    package = backend.governance
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        for name, one in vars(module).items():
            if not inspect.isfunction(one) or one.__module__ != info.name or name.startswith("_"):
                continue
            taken = [str(each.annotation) for each in inspect.signature(one).parameters.values()]
            if taken[:2] == ["WriteSession", "Actor"]:
                found.add(f"{info.name.removeprefix(f'{package.__name__}.')}.{name}")
    return found


def test_every_service_of_governance_that_changes_something_is_listed() -> None:
    listed = {name.split(" ")[0] for name in MATRIX}
    assert services() == listed | WITHOUT_PEOPLE
    assert not listed & WITHOUT_PEOPLE
    routed = {route for row in MATRIX.values() for route in row.routes} | QUESTIONS
    assert {route for route in TABLE if route[0] != "GET" and OF_GOVERNANCE.match(route[1])} == routed
    assert [name for name, row in MATRIX.items() if row.on_page is None and not row.no_page] == []


def test_what_people_cannot_call_is_offered_nowhere() -> None:
    root = Path(backend.governance.__file__).parents[2]
    surface = [*root.glob("pages/*.py"), *root.glob("app/**/*.py"), *root.glob("backend/api/**/*.py")]
    text = "\n".join(path.read_text() for path in surface)
    distinct = {name.rsplit(".", 1)[1] for name in WITHOUT_PEOPLE}
    assert sorted(name for name in distinct if re.search(rf"\b{name}\(session\b", text)) == []


def is_refused(row: Row, who: Actor, stage: Stage) -> bool:
    try:
        with writing() as session:
            row.call(session, who, stage)
            session.rollback()
    except (NotAllowed, NotFound):
        return True
    except WarrantError:
        return False
    return False


def test_every_service_refuses_every_role_as_the_matrix_says(stage: Stage) -> None:
    wrong = {
        (name, who): "refused" if refused else "allowed"
        for name, row in MATRIX.items()
        for who in WHO
        if (refused := is_refused(row, stage.people[who], stage)) != (who not in row.may)
    }
    assert wrong == {}


def test_the_api_says_the_same_as_the_services() -> None:
    """Each route is asked by each role in `tests/integration/api/test_permissions.py`."""
    roles = frozenset(ROLES)
    for name, row in MATRIX.items():
        for route in row.routes:
            expected = row.may if row.over_api is None else row.over_api
            assert TABLE[route][0] == expected & roles, name


def test_every_page_offers_every_role_what_the_matrix_says(stage: Stage, open_page: Open) -> None:
    offered: dict[tuple[Any, ...], set[str]] = {}
    wrong: dict[tuple[str, str], str] = {}
    for name, row in MATRIX.items():
        if row.on_page is None:
            continue
        query = {key: value.format(stage=stage) for key, value in row.on_page.query}
        button = row.on_page.button.format(stage=stage)
        for who in WHO:
            drawn = (row.on_page.page, *query.items(), who)
            if drawn not in offered:
                page = open_page(stage.people[who], row.on_page.page, **query)
                assert not page.exception, (name, who, page.exception)
                enabled = [one for one in page.button if not one.disabled]
                offered[drawn] = {name for one in enabled for name in (one.label, one.key or "")}
            if (button in offered[drawn]) != (who in row.may):
                wrong[name, who] = "offered" if button in offered[drawn] else "not offered"
    assert wrong == {}


def test_nothing_of_this_was_done(stage: Stage) -> None:
    """What was refused, undone or drawn moved no change."""
    with reading() as session:
        before = {change.id: (change.state, change.digest) for change in session.query(Change)}
    for row in MATRIX.values():
        for who in set(WHO) - row.may:
            is_refused(row, stage.people[who], stage)
    with reading() as session:
        assert {change.id: (change.state, change.digest) for change in session.query(Change)} == before
