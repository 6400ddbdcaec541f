"""Random people, roles, delegations and orders of events: nothing runs that was not agreed on by those who may.

The oracle below knows the rules from the outside: it keeps its own list of who owns which account, who lent what to
whom and when, what the gates said and what was altered, and it looks at a change only when a worker begins it.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from backend import clock
from backend.assurance.exceptions import ask_exception, decide_exception, end_exception
from backend.assurance.tables import PolicyException
from backend.audit.change_checks import unrecorded_changes
from backend.audit.deployment_checks import unexplained_deployments
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.deployment.service import champion
from backend.errors import WarrantError
from backend.governance import execution
from backend.governance.asking import (
    cancel_change,
    expire_late_changes,
    preview_change,
    request_change,
    request_digest,
    signed_digest,
)
from backend.governance.deciding import decide
from backend.governance.delegations import delegate, end_delegation
from backend.governance.errors import ApprovalVoid
from backend.governance.kinds import Asked
from backend.governance.policies import active_policy, rule_digest, store_policy
from backend.governance.policy_document import read_policy
from backend.governance.reviews import review_change
from backend.governance.sending_again import resubmit_change
from backend.governance.settling import recheck_gates, settle_gates
from backend.governance.tables import Change, Decision, Delegation, Review, WayBack
from backend.governance.urgent import break_glass, open_way_back, take_way_back, way_back_digest
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.tables import Person
from backend.registry.tables import Model
from tests.integration.governance.orders_beside import (
    NAMES,
    OF_RECORD,
    OWNERS,
    ROLES_OF_PROMOTION,
    TEXTS,
    WHO,
    Beside,
)
from tests.worlds import SYSTEM, World, add_model, make_world, name_people, person

# What the rules ask for, known without asking the rows that are to be doubted.
ROLES_ASKED = {kind: {"ml_lead": 1} for kind in ("rollback", "policy", "access", "erase")}
NUMBER = itertools.count()


@dataclass
class Lent:
    giver: str
    taker: str
    row: int
    open: bool = True


@dataclass
class Seen:
    """What the oracle knows of one change."""

    kind: str
    asker: str
    world_at_request: tuple[Any, ...]
    replaced_card: str | None = None  # of the version that a promotion replaces: the agreed return binds it
    policy: str = "first"  # the one in force when it was asked for
    revision: int = 1
    gates: dict[int, str] = field(default_factory=dict)
    begun: bool = False
    lent_at: dict[tuple[str, str], bool] = field(default_factory=dict)  # (decision id, lender)
    retracted: set[str] = field(default_factory=set)  # ids of decisions
    rewritten: bool = False
    longer: bool = False  # its end was put off, in the database alone


class Changes(Beside, RuleBasedStateMachine):
    """One model, ten accounts, events in any order; each example begins with the same database."""

    world: World  # set by the test
    database: tuple[Path, Path]  # the one in use, and a copy of it as it is to begin with

    @initialize()
    def start(self) -> None:
        use_database(None)
        shutil.copy(self.database[1], self.database[0])
        unique = next(NUMBER)
        self.model = f"m{unique}"
        add_model(self.world, self.model, versions=3)
        with writing() as session:
            make: Callable[..., Actor] = lambda name, *roles: person(session, f"{name}-{unique}", *roles)  # noqa: E731
            self.people = {
                "asker": make("asker", Role.ON_CALL), "engineer": make("engineer", Role.ML_ENGINEER),
                "lead": make("lead", Role.ML_LEAD), "lead2": make("lead2", Role.ML_LEAD),
                "lead3": make("lead3", Role.ML_LEAD), "reviewer": make("reviewer", Role.COMPLIANCE),
                "reviewer2": make("reviewer2", Role.COMPLIANCE),
                "helper": make("helper", Role.VIEWER), "bot": make("bot", Role.ML_LEAD, Role.COMPLIANCE),
                "robot": make("robot", Role.ML_ENGINEER),
            }  # fmt: skip
            for account, owner_of_it in OWNERS.items():
                row = session.get_one(Person, self.people[account].person_id)
                row.kind, row.owner_id = "service", self.people[owner_of_it].person_id
                session.flush()
                self.people[account] = actor_of(row, session_id=None)
            for number in (1, 2, 3):
                owner = self.people["reviewer"].person_id if number == 1 else None
                trainer = self.people["lead3"].person_id
                name_people(session, self.model, number, trained_by=trainer, data_owner=owner)
        self.names = {actor.person_id: name for name, actor in self.people.items()}
        self.changes: dict[int, Seen] = {}
        self.begin_beside()
        self.lent: list[Lent] = []
        self.excepted: dict[
            int, tuple[str, str, bool]
        ] = {}  # by number: who asked, who granted, whether it stands

    def _try(self, act: Callable[..., Any]) -> Any:
        """Whatever is refused on purpose changes nothing; anything else that is raised is a defect."""
        try:
            with writing() as session:
                return act(session)
        except WarrantError:
            return None

    def _state_of_world(self, version: int | None) -> tuple[Any, ...]:
        """What serves, the tier, and the card of the version that a change goes to."""
        with reading() as session:
            serving = champion(session, self.model, "production")
            tier = session.get_one(Model, self.model).tier
        card = self.world.card(version).read_text() if version is not None else None
        return (serving.id if serving else None, tier, card)

    def _replaced_card(self, kind: str) -> str | None:
        """The card of what serves, where a promotion or a broken glass would replace it; others open no return."""
        with reading() as session:
            serving = champion(session, self.model, "production")
        return (
            self.world.card(serving.version).read_text() if serving and kind in ("promote", "glass") else None
        )

    def _note(self, change: Change | None, kind: str, who: str) -> None:
        if change is not None and change.id not in self.changes:  # the same one asked for twice is one change
            there = self._state_of_world(change.to_version)
            self.changes[change.id] = Seen(kind, who, there, self._replaced_card(kind), self.policy)

    @property
    def newest(self) -> int:
        return max(self.changes)

    @rule(who=WHO, kind=st.sampled_from(("promote", "rollback")), version=st.integers(1, 3))
    def ask(self, who: str, kind: str, version: int) -> None:
        asked, actor = Asked(kind, "production", self.model, version), self.people[who]

        def act(session: Any) -> Change:
            seen = preview_change(session, actor, asked).digest
            return request_change(session, actor, asked, reason="x", seen_digest=seen)

        self._note(self._try(act), kind, who)

    @rule(who=WHO, version=st.integers(1, 3))
    def break_the_glass(self, who: str, version: int) -> None:
        asked, actor = Asked("rollback", "production", self.model, version), self.people[who]

        def act(session: Any) -> Change:
            seen = preview_change(session, actor, asked).digest
            return break_glass(session, actor, asked, reason="x", seen_digest=seen)

        self._note(self._try(act), "glass", who)

    @rule(who=WHO)
    def return_as_agreed(self, who: str) -> None:
        def act(session: Any) -> Change | None:
            way = open_way_back(session, SYSTEM, self.model, "production")
            if way is None:
                return None
            return take_way_back(
                session, self.people[who], way.id, reason="x", seen_digest=way_back_digest(way)
            )

        self._note(self._try(act), "rollback", who)

    @precondition(lambda self: self.changes)
    @rule(verdict=st.sampled_from(("pass", "pass", "pass", "fail", "inconclusive")))
    def settle(self, verdict: str) -> None:
        change_id = self.newest

        def act(session: Any) -> int | None:
            change = session.get_one(Change, change_id)
            result = {
                "gate": "artefact_scanned", "required": True, "verdict": verdict, "value": None, "text": verdict
            }  # fmt: skip
            done = settle_gates(
                session, SYSTEM, change_id, revision=change.revision, results=[result], flips=None
            )
            return None if done is None else change.revision

        revision = self._try(act)
        if revision is not None:
            self.changes[change_id].gates[revision] = verdict

    @precondition(lambda self: self.changes)
    @rule(
        who=WHO,
        verdict=st.sampled_from(("approve", "approve", "approve", "approve", "retract", "reject", "ask")),
        accept=st.booleans(), stale=st.integers(0, 9),
    )  # fmt: skip
    def say(self, who: str, verdict: str, accept: bool, stale: int) -> None:
        change_id = self.newest

        def act(session: Any) -> list[tuple[str, str | None]]:
            change = session.get_one(Change, change_id)
            digest = change.request_digest if stale == 0 else change.digest
            decide(
                session, self.people[who], change_id, verdict=verdict, comment="because", seen_digest=digest,
                accept=("artefact_scanned",) if accept else (),
            )  # fmt: skip
            return [(d.id, d.on_behalf_of, d.retracted_at is not None) for d in change.decisions]

        for decision, lender, retracted in self._try(act) or ():
            if retracted:
                self.changes[change_id].retracted.add(decision)
            if lender is not None:
                key = (decision, lender)
                given = self.names[lender]
                self.changes[change_id].lent_at.setdefault(
                    key, any(one.open and one.giver == given for one in self.lent)
                )

    @precondition(lambda self: self.changes)
    @rule(
        order=st.permutations(NAMES), accept=st.booleans(), ends=st.sampled_from(("finish", "fail", "nothing")),
        settled=st.sampled_from(("pass", "pass", "inconclusive", "fail")),
    )  # fmt: skip
    def everybody_tries_to_approve(self, order: list[str], accept: bool, settled: str, ends: str) -> None:
        """So that quorums are reached often, by whoever gets in first, and a worker comes at once."""
        self.settle(settled)
        for who in order:
            self.say(who, "approve", accept, 1)
        self.a_worker_comes(ends)

    @rule(giver=WHO, taker=WHO)
    def lend(self, giver: str, taker: str) -> None:
        now = clock.now()
        lent = self._try(
            lambda session: delegate(
                session, self.people[giver], to_person=self.people[taker].person_id, starts_at=now,
                ends_at=now + timedelta(days=1), reason="away",
            )
        )  # fmt: skip
        if lent is not None:
            self.lent.append(Lent(giver, taker, lent.id))

    @precondition(lambda self: self.lent)
    @rule(index=st.integers(0, 3))
    def take_back(self, index: int) -> None:
        one = self.lent[index % len(self.lent)]
        if self._try(lambda session: end_delegation(session, self.people[one.giver], one.row)) is not None:
            one.open = False

    @rule(asker=WHO, granter=WHO)
    def except_from_the_gate(self, asker: str, granter: str) -> None:
        until = clock.now() + timedelta(days=1)

        def ask_and_grant(session: Any) -> int:
            row = ask_exception(session, self.people[asker], model=self.model, gate="artefact_scanned", reason="x",
                                expires_at=until)  # fmt: skip
            decide_exception(session, self.people[granter], row.id, verdict="grant", comment="so")
            return row.id

        number = self._try(ask_and_grant)
        if number is not None:
            self.excepted[number] = (asker, granter, True)

    @precondition(lambda self: self.excepted)
    @rule(who=WHO)
    def end_the_exception(self, who: str) -> None:
        number = max(self.excepted)
        ended = self._try(lambda session: end_exception(session, self.people[who], number, why="x"))
        if ended is not None and ended.state == "ended":
            self.excepted[number] = (*self.excepted[number][:2], False)

    @precondition(lambda self: self.changes)
    @rule(who=WHO)
    def withdraw(self, who: str) -> None:
        self._try(lambda session: cancel_change(session, self.people[who], self.newest, reason="x"))

    @precondition(lambda self: self.changes)
    @rule(who=WHO)
    def ask_gates_again(self, who: str) -> None:
        self._try(lambda session: recheck_gates(session, self.people[who], self.newest, reason="x"))

    @precondition(lambda self: self.changes)
    @rule()
    def send_again(self) -> None:
        seen = self.changes[self.newest]
        actor, change_id = self.people[seen.asker], self.newest

        def act(session: Any) -> Change:
            from backend.governance.asking import asked_of

            digest = preview_change(session, actor, asked_of(session.get_one(Change, change_id))).digest
            return resubmit_change(session, actor, change_id, reason="again", seen_digest=digest)

        if self._try(act) is not None:
            with reading() as session:
                to_version = session.get_one(Change, change_id).to_version
            seen.world_at_request = self._state_of_world(to_version)
            seen.replaced_card, seen.policy = self._replaced_card(seen.kind), self.policy

    @precondition(lambda self: self.changes)
    @rule()
    def time_passes(self) -> None:
        def act(session: Any) -> None:
            session.get_one(Change, self.newest).expires_at = clock.now() - timedelta(seconds=1)
            self.changes[self.newest].longer = False
            expire_late_changes(session)

        self._try(act)

    @precondition(lambda self: self.changes)
    @rule(what=st.sampled_from(("roles", "requester", "decision", "end", "loan", "exception")))
    def somebody_writes_to_the_database(self, what: str) -> None:
        """With every digest in the row made to fit; never in the log."""
        seen = self.changes[self.newest]
        with writing() as session:
            change = session.get_one(Change, self.newest)
            if what in ("loan", "exception"):  # rows beside the change: they count for nothing
                session.add(self._planted(what))
                return
            if change.state not in ("waiting", "approved", "executing"):
                return
            if what == "end":
                change.expires_at, seen.longer = change.expires_at + timedelta(days=365), True
                return
            if what == "roles":
                change.policy = {**change.policy, "roles": {"compliance": 1}, "excluded": ["requester"]}
                change.bound = {**change.bound, "policy": rule_digest(change.policy)}
                asked = Asked(change.kind, change.environment, change.model)
                change.request_digest = request_digest(asked, change.bound)
            elif what == "requester":
                change.requested_by = self.people["helper"].person_id
            else:
                given = next((one for one in change.counted if one.verdict == "approve"), None)
                planted = self.people["helper"].person_id
                if given is None or any(one.person_id == planted for one in change.counted):
                    return
                session.add(
                    Decision(
                        change_id=change.id, revision=change.revision, person_id=planted,
                        verdict="approve", comment="", seen_digest=change.digest, accepted=[], role=given.role,
                        decided_at=clock.now(),
                    )
                )  # fmt: skip
            change.digest = signed_digest(change)
        seen.rewritten = True

    def _planted(self, what: str) -> Delegation | PolicyException:
        now, later = clock.now(), clock.now() + timedelta(days=1)
        helper, lead = self.people["helper"].person_id, self.people["lead2"].person_id
        if what == "loan":
            return Delegation(
                from_person=lead, to_person=helper, starts_at=now, ends_at=later, reason="", created_at=now
            )
        return PolicyException(
            model=self.model, gate="artefact_scanned", reason="", asked_by=helper, asked_at=now, state="granted",
            expires_at=later, decided_by=lead, decided_at=now,
        )  # fmt: skip

    @rule(number=st.integers(1, 3))
    def a_card_is_rewritten(self, number: int) -> None:
        """Also between a decision and its execution, and between a promotion and the return from it."""
        self.world.card(number).write_text(f"# Toy {next(NUMBER)}\n")

    @rule(who=WHO)
    def review(self, who: str) -> None:
        if self.changes:
            self._try(
                lambda session: review_change(
                    session, self.people[who], self.newest, verdict="justified", comment="it burned"
                )
            )

    @precondition(lambda self: self.changes)
    @rule(ends=st.sampled_from(("finish", "finish", "fail", "nothing")))
    def a_worker_comes(self, ends: str) -> None:
        change_id = self.newest
        with writing() as session:
            run = session.get_one(Change, change_id).run_id or f"change-{change_id}"
            plan = execution.begin(session, SYSTEM, change_id, run)
        if plan is None:
            return
        seen = self.changes[change_id]
        if not seen.begun:
            self._agreed(change_id, seen)
            seen.begun = True
        if seen.kind in OF_RECORD:
            if ends == "finish":
                self.finish_of_record(change_id, seen.kind)
            return
        if ends == "finish":
            as_asked = self._is_as_asked(change_id, seen)
            try:
                with writing() as session:
                    opened = execution.write_deployment(session, SYSTEM, change_id)
                    execution.finish(session, SYSTEM, change_id, opened, outcome="done")
            except ApprovalVoid as error:  # begun before, and something that was signed was altered since
                assert not as_asked, error.message
                with writing() as session:
                    execution.restore(session, SYSTEM, change_id, why=error.message)
            else:
                assert as_asked, "it moved what was not signed"
        elif ends == "fail":
            with writing() as session:
                execution.restore(session, SYSTEM, change_id, why="it did not come up")

    def _is_as_asked(self, change_id: int, seen: Seen) -> bool:
        """Whether the version is what it was when the change was asked for."""
        with reading() as session:
            change = session.get_one(Change, change_id)
            way = session.get(WayBack, change.way_back_id) if change.way_back_id is not None else None
        if seen.rewritten:
            return False
        if seen.kind == "promote" and seen.replaced_card != self._replaced_card(seen.kind):
            return False
        if (
            way is not None
            and self.world.card(way.to_version).read_text() != self.changes[way.change_id].replaced_card
        ):
            return False
        return seen.world_at_request == self._state_of_world(change.to_version)

    def _hands(self, person_id: str) -> set[str]:
        """The accounts that are one person with this one: its owner."""
        return self.hands_of(self.names[person_id])

    def _agreed(self, change_id: int, seen: Seen) -> None:
        """What was begun had been agreed on, by those who may, on what was there."""
        with reading() as session:
            change = session.get_one(Change, change_id)
            there = self._state_of_world(change.to_version)
            assert not (seen.rewritten or seen.longer), "the row was rewritten"
            if change.to_version is not None:
                assert seen.world_at_request == there, "something bound was altered"
            if seen.kind == "promote":
                assert seen.replaced_card == self._replaced_card(seen.kind), "the agreed return was altered"
            if change.break_glass:
                assert change.kind == "rollback"
                assert seen.asker == "asker"
                assert session.get(Review, change_id) is not None
                return
            if change.way_back_id is not None:
                way = session.get_one(WayBack, change.way_back_id)
                promotion = self.changes[way.change_id]
                assert promotion.kind in ("promote", "glass")
                assert promotion.begun
                assert (way.to_version, way.to_cutoff) == (change.to_version, change.to_cutoff)
                card = self.world.card(way.to_version).read_text()
                assert card == promotion.replaced_card, (
                    "it is not the version that people agreed to return to"
                )
                return
            counted = [
                d for d in change.decisions if d.revision == change.revision and d.id not in seen.retracted
            ]
        barred = self._hands(self.people[seen.asker].person_id)
        barred |= {"lead3"} if change.to_version is not None else set()
        if seen.kind in ("promote", "policy"):
            assert seen.policy == self.policy, "another policy was put in force meanwhile"
        if seen.kind == "promote":
            owner = self.data_owners[change.to_version or 0]
            barred |= self.hands_of(owner) if owner is not None else set()
        used: set[str] = set()
        given: dict[str, int] = {}
        for decision in counted:
            assert decision.verdict == "approve"
            assert decision.seen_digest == change.digest
            hands = self._hands(decision.person_id)
            authority = self.names[decision.person_id]
            assert self.names[decision.person_id] not in self.closed, "a closed account decided"
            assert authority != "bot" or seen.kind == "promote", (
                "an account decided, by a rule that has people decide"
            )
            if decision.on_behalf_of is not None:
                hands |= self._hands(decision.on_behalf_of)
                authority = self.names[decision.on_behalf_of]
                assert seen.lent_at[decision.id, decision.on_behalf_of], "it was not lent then"
            assert decision.role in {role.value for role in self.people[authority].roles}
            assert not hands & barred, f"{hands & barred} decided"
            assert not hands & used, "one person counted twice"
            used |= hands
            given[decision.role] = given.get(decision.role, 0) + 1
        asked = ROLES_OF_PROMOTION[seen.policy] if seen.kind == "promote" else ROLES_ASKED[seen.kind]
        for role, wanted in asked.items():
            assert given.get(role, 0) >= wanted
        if seen.kind == "promote":
            verdict = seen.gates[change.revision]
            accepted = any("artefact_scanned" in decision.accepted for decision in counted)
            if verdict != "pass" and not (verdict == "inconclusive" and accepted):
                self._excepted(change, barred)

    def _excepted(self, change: Change, barred: set[str]) -> None:
        """An exception that one person asked for and another one, whom the rule does not exclude, granted."""
        number = next(one["exception"]["id"] for one in change.gates if one.get("exception"))
        asker, granter, stands = self.excepted[number]
        assert stands, "the exception was ended"
        hands = self._hands(self.people[granter].person_id)
        assert not hands & self._hands(self.people[asker].person_id)
        assert not hands & barred, f"{granter} granted it and may not decide"
        assert granter != "bot"

    @invariant()
    def the_log_has_whatever_the_tables_say(self) -> None:
        with reading() as session:
            known = getattr(self, "changes", {})
            odd = {one.change: one.title for one in unrecorded_changes(session, list(known))}
            assert set(odd) == {n for n, seen in known.items() if seen.rewritten or seen.longer}, odd
            assert [one for one in unexplained_deployments(session) if one.why != "without a change"] == []

    @invariant()
    def only_what_began_is_carried_out(self) -> None:
        with reading() as session:
            for change_id, seen in getattr(self, "changes", {}).items():
                state = session.get_one(Change, change_id).state
                assert seen.begun or state not in ("executing", "executed")


@pytest.fixture
def world(home: Path, migrated_sqlite: Path, tmp_path: Path) -> Iterator[World]:
    shutil.copy(migrated_sqlite, home / "warrant.db")
    found = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        change = Change(
            kind="policy", environment="*", subject={}, summary="test", requested_by=found.lead.person_id,
            requested_at=clock.now(), reason="test", policy={}, bound={}, gates=[], evidence={}, request_digest="",
            digest="", expires_at=clock.now(), state="executed",
        )  # fmt: skip
        session.add(change)
        session.flush()
        store_policy(session, SYSTEM, read_policy(TEXTS["first"]), change_id=change.id, note="for this test")
        assert active_policy(session).revision == 2
    yield found
    use_database(None)


@pytest.mark.parametrize(
    "examples",
    [
        pytest.param(15, id="few"),
        pytest.param(100, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(900)]),
    ],
)
def test_nothing_runs_that_was_not_agreed_on(world: World, home: Path, tmp_path: Path, examples: int) -> None:
    use_database(None)
    database = (home / "warrant.db", tmp_path / "begin.db")
    shutil.copy(*database)
    run_machine(
        type("ChangesHere", (Changes,), {"world": world, "database": database}),
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None,
            suppress_health_check=list(HealthCheck), phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )  # fmt: skip
