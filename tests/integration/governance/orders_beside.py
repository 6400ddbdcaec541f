"""What else happens while changes are decided on: another policy, requests of data subjects, accounts that are closed,
owners of data that are declared, and judgements. Rules of the machine in `test_any_order.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from backend.controls.assessment import assess
from backend.data_rights.requests import mark_carried_out, request_rows
from backend.database.session import reading, writing
from backend.errors import WarrantError
from backend.governance import execution
from backend.governance.asking import preview_change, request_change
from backend.governance.data_owners import declare_data_owner
from backend.governance.kinds import Asked
from backend.governance.policies import active_policy
from backend.governance.policy_document import read_policy
from backend.governance.tables import Change
from backend.identity.people import disable_person
from backend.registry.tables import Version
from tests.integration.controls.conftest import judge
from tests.worlds import SYSTEM

if TYPE_CHECKING:
    from backend.identity.actor import Actor

NAMES = (
    "asker", "engineer", "lead", "lead2", "lead3", "reviewer", "reviewer2", "helper", "bot", "robot",
)  # fmt: skip
OWNERS = {"bot": "lead", "robot": "engineer"}
ROLES_OF_PROMOTION = {"first": {"ml_lead": 2, "compliance": 1}, "second": {"ml_lead": 1, "compliance": 1}}
POLICY = """
rules:
  - name: back
    for: {{kinds: [rollback]}}
    rule: {{roles: {{ml_lead: 1}}, break_glass: {{roles: [on_call], kinds: [rollback]}}}}
  - name: forth
    for: {{kinds: [promote, cutoff]}}
    rule:
      roles: {{ml_lead: {leads}, compliance: 1}}
      accounts: true
      excluded: [requester, trainer, data_owner]
      gates: [{{gate: artefact_scanned}}]
  - name: rest
"""
TEXTS = {name: POLICY.format(leads=roles["ml_lead"]) for name, roles in ROLES_OF_PROMOTION.items()}
WHO = st.sampled_from(NAMES)
ORDER = st.none() | st.permutations(NAMES)
OF_RECORD = ("policy", "access", "erase")


class Beside:
    """Kept by the machine: `people`, `model`, `changes`, `newest`, `_try` and `_note`."""

    people: dict[str, Actor]
    names: dict[str, str]
    model: str
    changes: dict[int, Any]
    newest: int
    _try: Callable[[Callable[..., Any]], Any]
    _note: Callable[[Change | None, str, str], None]

    def begin_beside(self) -> None:
        self.policy = "first"
        self.closed: set[str] = set()
        self.data_owners: dict[int, str | None] = {1: "reviewer", 2: None, 3: None}

    def hands_of(self, name: str) -> set[str]:
        """The accounts that are one person with this one."""
        owner = OWNERS.get(name, name)
        return {owner, *(account for account, of in OWNERS.items() if of == owner)}

    @rule(who=WHO, wanted=st.sampled_from(("first", "second")), order=ORDER)
    def ask_for_a_policy(self, who: str, wanted: str, order: list[str] | None) -> None:
        asked, actor = Asked("policy", "*", subject={"document": TEXTS[wanted]}), self.people[who]

        def act(session: Any) -> Change:
            seen = preview_change(session, actor, asked).digest
            return request_change(session, actor, asked, reason="x", seen_digest=seen)

        made = self._try(act)
        if made is not None:
            assert who not in OWNERS, "an account asked for another policy"
        self._note(made, "policy", who)
        self._decide_at_once(made, order)

    @rule(who=WHO, kind=st.sampled_from(("access", "erase")), order=ORDER)
    def ask_for_a_data_subject(self, who: str, kind: str, order: list[str] | None) -> None:
        def act(session: Any) -> Change:
            made = request_rows(
                session, self.people[who], kind=kind, model=self.model, prediction_ids=["p1"], reason="x"
            )
            return session.get_one(Change, made.change_id)

        made = self._try(act)
        if made is not None:
            assert who in ("reviewer", "reviewer2", "bot"), f"{who} asked on behalf of a data subject"
        self._note(made, kind, who)
        self._decide_at_once(made, order)

    @rule(who=st.sampled_from(sorted(OWNERS)))
    def an_account_is_closed(self, who: str) -> None:
        with writing() as session:
            disable_person(session, SYSTEM, self.people[who].person_id, why="x")
        self.closed.add(who)

    @rule(who=WHO, number=st.integers(1, 3), owner=st.sampled_from((*NAMES, "")))
    def somebody_says_whose_the_data_are(self, who: str, number: int, owner: str) -> None:
        def act(session: Any) -> Version:
            username = self.people[owner].display_name if owner else ""
            return declare_data_owner(
                session, self.people[who], self.model, number, username=username, why="x"
            )

        before = self.data_owners[number]
        declared = self._try(act)
        if declared is None:
            return
        self.data_owners[number] = self.names[declared.data_owner] if declared.data_owner else None
        assert self.data_owners[number] == (owner or None)
        assert owner not in OWNERS, "an account owns data"
        if before is not None and before != (owner or None):
            assert before not in self.hands_of(who), "somebody took themselves off"

    @rule(who=WHO)
    def judge_a_control(self, who: str) -> None:
        """Signed by compliance alone, and by nobody who trained a version of the model or owns its data."""
        try:
            row = judge(self.people[who], model=self.model)
        except WarrantError:
            return
        assert who in ("reviewer", "reviewer2")
        assert who not in {"lead3", *self.data_owners.values()}
        with reading() as session:
            found = assess(
                session, self.people[who], catalogue=row.catalogue, model=self.model, only=row.control
            )
        judged = found.controls[0].judged
        assert judged is not None
        assert judged.standing

    def _decide_at_once(self, made: Change | None, order: list[str] | None) -> None:
        """By whoever gets in first; a worker comes at once."""
        if made is not None and order is not None:
            self.everybody_tries_to_approve(order, accept=False, settled="pass", ends="finish")  # type: ignore[attr-defined]

    def finish_of_record(self, change_id: int, kind: str) -> None:
        with writing() as session:
            change = session.get_one(Change, change_id)
            if kind != "policy":
                mark_carried_out(session, change.subject["request"])
            execution.apply_record(session, SYSTEM, change_id)
            if kind == "policy":
                document = active_policy(session).document
                self.policy = next(name for name, text in TEXTS.items() if read_policy(text) == document)
                assert document == read_policy(change.subject["document"])
