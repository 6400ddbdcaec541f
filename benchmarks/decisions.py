"""Fifty people who decide at once, and the inbox of one for whom a thousand changes wait.

`measure()` makes a PostgreSQL of its own. In each round fifty people, at the same moment, approve 25 changes that need
two approvals each; in the last round each sends the decision twice. What is lost or counted twice is counted, in
decisions, approved changes and queued executions. The page is drawn as in `benchmarks.pages`, every cache empty.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import PropertyMock, patch

from benchmarks.figures import Figure, figure, percentile

PEOPLE: Final = 50
ROUNDS: Final = 6
OPEN: Final = 1_000
DRAWN: Final = 15
DECISION_MS: Final = 200
PAGE_MS: Final = 300
MAIN: Final = Path(__file__).resolve().parents[1] / "app" / "main.py"


def measure() -> list[Figure]:
    """p95 of a decision, decisions lost or counted twice, and p95 of the page of approvals."""
    with _installation() as (template, people):
        times, wrong = _decide(template, people)
        copy_change(template, OPEN)
        pages = _draw(people[0])
    return [
        figure(
            f"decision, {PEOPLE} people at once, p95", percentile(times, 0.95), "ms", rows=len(times),
            target=DECISION_MS,
        ),
        figure("decisions lost or counted twice", wrong, "decisions", rows=len(times) + PEOPLE, target=0),
        figure(
            f"page script time, approvals with {OPEN} open, p95", percentile(pages, 0.95), "ms", rows=len(pages),
            target=PAGE_MS,
        ),
    ]  # fmt: skip


@contextmanager
def _installation() -> Iterator[tuple[int, list[Any]]]:
    """A database with a world in it: the change that others are copies of, and the people who decide."""
    from backend.database.engine import use_database
    from backend.database.session import reading, writing
    from backend.database.upgrade import upgrade
    from backend.governance.asking import preview_change, request_change
    from backend.governance.kinds import Asked
    from backend.governance.tables import Change
    from backend.identity.roles import Role
    from backend.settings import settings
    from tests.postgresql import postgresql_server
    from tests.worlds import make_world, person

    with tempfile.TemporaryDirectory() as folder, postgresql_server() as server:
        told = {"WARRANT_HOME": folder, "WARRANT_DATABASE_URL": server.get_uri(), "WARRANT_DEMO": "true"}
        with patch.dict(os.environ, told):
            settings.cache_clear()
            use_database(None)
            try:
                upgrade()
                world = make_world(Path(folder) / "files", versions=3)
                asked = Asked("rollback", "production", "toy", 2)
                with reading() as session:
                    seen = preview_change(session, world.on_call, asked).digest
                with writing() as session:
                    change = request_change(
                        session, world.on_call, asked, reason="AUC fell", seen_digest=seen
                    )
                    ask_two_leads(change)
                    template = change.id
                    people = [person(session, f"lead-{number}", Role.ML_LEAD) for number in range(PEOPLE)]
                with reading() as session:
                    assert session.get_one(Change, template).state == "waiting"
                yield template, people
            finally:
                use_database(None)
                settings.cache_clear()


def ask_two_leads(change: Any) -> None:
    """Let the rule of a change that nobody decided on ask for two leads; what was asked for has another digest then."""
    from backend.governance.asking import request_digest
    from backend.governance.kinds import Asked
    from backend.governance.policies import rule_digest

    change.policy = {**change.policy, "roles": {"ml_lead": 2}}
    change.bound = {**change.bound, "policy": rule_digest(change.policy)}
    asked = Asked(change.kind, change.environment, change.model)
    change.request_digest = request_digest(asked, change.bound)


def copy_change(template: int, many: int) -> list[tuple[int, str]]:
    """(id, digest) of so many changes like this one, each to be signed under a digest of its own, with the entry of its
    request."""
    from sqlalchemy import inspect

    from backend.audit.actions import Action
    from backend.audit.log import record
    from backend.database.session import writing
    from backend.governance.asking import GOVERNANCE, excludable
    from backend.governance.tables import Change

    made = []
    with writing() as session:
        first = session.get_one(Change, template)
        columns = {one.key: getattr(first, one.key) for one in inspect(Change).column_attrs}
        del columns["id"]
        for number in range(many):
            columns["digest"] = f"sha256:{template}-{time.time_ns()}-{number}"
            made.append(Change(**columns))
        session.add_all(made)
        session.flush()
        told = {
            "digest": first.request_digest,
            "bound": first.bound,
            "policy": first.policy,
            **excludable(first),
        }
        for change in made:
            record(
                session, GOVERNANCE, Action.CHANGE_REQUESTED, object_kind="change", object_id=change.id, payload=told
            )  # fmt: skip
        return [(change.id, change.digest) for change in made]


def _decide(template: int, people: list[Any]) -> tuple[list[float], int]:
    """Milliseconds of each decision, and how many decisions, approvals and executions are not as they should be."""
    times: list[float] = []
    wrong = 0
    for number in range(ROUNDS + 1):
        changes = copy_change(template, PEOPLE // 2)
        last = number == ROUNDS
        took = _at_once(people, changes, twice=last)
        wrong += _wrong(changes)
        if not last:
            times += took
    return times, wrong


def _at_once(people: list[Any], changes: list[tuple[int, str]], *, twice: bool) -> list[float]:
    """Everybody looks at the change of their pair, and all approve at the same moment."""
    from backend.database.session import writing
    from backend.governance.deciding import decide
    from backend.governance.reading import note_look

    times: list[float] = []
    failures: list[Exception] = []
    hands = [(number, actor) for number, actor in enumerate(people) for _ in range(2 if twice else 1)]
    start = threading.Barrier(len(hands))
    with writing() as session:
        for number, actor in enumerate(people):
            note_look(session, actor, changes[number // 2][0])

    def approve(number: int, actor: Any) -> None:
        change_id, digest = changes[number // 2]
        start.wait()
        began = time.perf_counter()
        try:
            with writing() as session:
                decide(session, actor, change_id, verdict="approve", comment="agreed", seen_digest=digest)
        except Exception as failure:  # noqa: BLE001 - a decision that raises is one that is lost
            failures.append(failure)
        times.append((time.perf_counter() - began) * 1000)

    threads = [threading.Thread(target=approve, args=hand) for hand in hands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures and not twice:
        raise failures[0]
    return times


def _wrong(changes: list[tuple[int, str]]) -> int:
    from sqlalchemy import func, select

    from backend.audit.actions import Action
    from backend.audit.tables import AuditEntry
    from backend.database.session import reading
    from backend.governance.tables import Change, Decision
    from backend.queue import JobRun

    wrong = 0
    with reading() as session:
        for change_id, _ in changes:
            change = session.get_one(Change, change_id)
            given = session.scalars(select(Decision.person_id).where(Decision.change_id == change_id)).all()
            runs = session.scalar(
                select(func.count()).select_from(JobRun).where(JobRun.id == f"change-{change_id}")
            )
            entries = session.scalar(
                select(func.count()).select_from(AuditEntry)
                .where(AuditEntry.action == Action.CHANGE_APPROVED.value, AuditEntry.object_id == str(change_id))
            )  # fmt: skip
            wrong += abs(2 - len(given)) + (len(given) - len(set(given))) + abs(2 - int(entries or 0))
            wrong += (change.state != "approved") + abs(1 - int(runs or 0))
    return wrong


def _draw(lead: Any) -> list[float]:
    """Milliseconds of each run of the page's script."""
    import streamlit as st
    from streamlit.testing.v1 import AppTest

    from backend.database.session import writing
    from backend.identity.sessions import open_session
    from backend.identity.tables import Person

    with writing() as session:
        person = session.get_one(Person, lead.person_id)
        token = open_session(session, person, address=None, user_agent="benchmark").token
    cookies: Any = PropertyMock(return_value={"warrant_session": token})
    times: list[float] = []
    with patch.object(type(st.context), "cookies", cookies):
        test = AppTest.from_file(str(MAIN), default_timeout=60).run()
        test = test.switch_page("../pages/approvals.py").run()
        for _ in range(DRAWN):
            st.cache_data.clear()
            st.cache_resource.clear()
            began = time.perf_counter()
            test.run()
            times.append((time.perf_counter() - began) * 1000)
        if test.exception:
            raise RuntimeError(f"the page of approvals failed: {test.exception[0].value}")
    return times
