"""What the audit page shows, to whom, and that it still shows a damaged log."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from backend import clock
from backend.audit.actions import Action
from backend.audit.erasure import destroy_key
from backend.audit.log import record
from backend.audit.merkle import ProofInvalid
from backend.audit.proofs import prove_inclusion
from backend.audit.reading import EntryView, entry_detail, search_entries
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor, system_actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from tests.integration.audit.conftest import append
from tests.integration.audit.tampering import tampering


def viewer(role: Role) -> Actor:
    return Actor(person_id="per_viewer", kind="person", roles=frozenset({role}))


COMPLIANCE, ON_CALL = viewer(Role.COMPLIANCE), viewer(Role.ON_CALL)


def search(by: Actor = COMPLIANCE, /, **filters: object) -> list[EntryView]:
    with reading() as session:
        return search_entries(session, by, **filters)  # type: ignore[arg-type]


def numbers(**filters: object) -> list[int]:
    return [view.seq for view in search(**filters)]


@pytest.fixture
def log(database: str) -> str:
    """Ada is created (0), approves (1), rejects (2); the worker starts the execution (3)."""
    with writing() as session:
        person = create_person(
            session, system_actor("tests"), username="ada", display_name="Ada Lindqvist", roles={Role.ML_LEAD}
        )
    ada = Actor(
        person_id=person.id, kind="person", roles=frozenset({Role.ML_LEAD}), display_name="Ada Lindqvist"
    )
    worker = system_actor("worker")
    for actor, action, number, why in (
        (ada, Action.CHANGE_APPROVED, 7, 'it "looks" 100% right'),
        (ada, Action.CHANGE_REJECTED, 8, "too risky"),
        (worker, Action.EXECUTION_STARTED, 7, ""),
    ):
        with writing() as session:
            record(session, actor, action, object_kind="change", object_id=number, why=why)
    return person.id


def test_search_by_who_what_and_object(log: str) -> None:
    assert numbers() == [3, 2, 1, 0]
    assert numbers(who="lindq") == numbers(who="ADA") == numbers(who=log) == [2, 1]
    assert numbers(who="system:worker") == [3]
    assert numbers(who="nobody") == []
    assert numbers(action="governance:change:reject") == [2]
    assert numbers(action="governance:change") == [2, 1]
    assert numbers(action="governance") == [3, 2, 1]
    assert numbers(action="gov") == []
    assert numbers(object_kind="change", object_id="7") == [3, 1]


def test_search_by_time(log: str) -> None:
    moment = clock.now()
    assert numbers(since=moment) == []
    assert numbers(until=moment) == [3, 2, 1, 0]
    third = search(limit=2)[1].at
    assert third is not None
    assert numbers(since=third) == [3, 2]
    assert numbers(until=third) == [1, 0]
    assert numbers(since=moment - timedelta(hours=1), until=third) == [1, 0]


def test_text_is_searched_only_where_the_viewer_may_read_it(log: str) -> None:
    assert numbers(text="RISKY") == [2]
    assert numbers(text='"looks" 100%') == [1]
    assert numbers(text="1000") == []
    assert search(ON_CALL, text="risky") == []
    assert [view.seq for view in search(ON_CALL, text="change:reject")] == [2]


def test_pages_follow_one_another_without_gap(database: str) -> None:
    append(12)
    seen: list[int] = []
    before = None
    while page := search(limit=5, before_seq=before):
        seen += [view.seq for view in page]
        before = page[-1].seq
    assert seen == list(range(11, -1, -1))


def test_names_for_readers_payloads_for_compliance_nothing_for_others(log: str) -> None:
    reader, compliance = search(ON_CALL)[1], search()[1]
    assert reader.actor_name == compliance.actor_name == "Ada Lindqvist"
    assert (reader.payload, reader.why) == (None, "")
    assert compliance.why == "too risky"
    assert search()[0].actor_name == "Warrant worker"
    with pytest.raises(NotAllowed):
        search(viewer(Role.VIEWER))
    with reading() as session:
        with pytest.raises(NotAllowed):
            entry_detail(session, viewer(Role.VIEWER), 1)
        assert entry_detail(session, ON_CALL, 1).salt is None
        assert entry_detail(session, ON_CALL, 1).view.payload is None
        assert entry_detail(session, COMPLIANCE, 1).salt is not None


def test_the_name_of_who_acted_is_the_one_that_was_recorded_whatever_the_list_of_people_says(
    database: str,
) -> None:
    worker = system_actor("worker")
    with writing() as session:
        ada = create_person(
            session, worker, username="ada", display_name="Ada Lindqvist", roles={Role.ML_LEAD}
        )
        actor = Actor(ada.id, "person", frozenset({Role.ML_LEAD}), display_name="Ada Lindqvist")
        approved = record(session, actor, Action.CHANGE_APPROVED, object_kind="change", object_id=1)
        ada.display_name = "Mallory Kern"
    for who in (ON_CALL, COMPLIANCE):
        with reading() as session:
            found = entry_detail(session, who, approved).view
        assert (found.actor_name, found.name_now, found.name_unbound) == (
            "Ada Lindqvist",
            "Mallory Kern",
            False,
        )
    with writing() as session:
        destroy_key(session, worker, ada.id, why="she asked", request="dsr_1")
    with reading() as session:
        found = entry_detail(session, ON_CALL, approved).view
    assert (found.actor_name, found.name_now, found.name_unbound) == ("Mallory Kern", "", True)


@pytest.mark.parametrize("filters", [{"limit": 0}, {"limit": 501}, {"text": "a\0b"}, {"who": "\ud800"}])
def test_a_bad_search_is_refused(log: str, filters: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        search(**filters)


def test_every_entry_is_provable(database: str) -> None:
    append(11)
    with reading() as session:
        for seq in range(11):
            proof = prove_inclusion(session, seq)
            proof.check()
            assert (proof.index, proof.size) == (seq, 11)
            assert entry_detail(session, ON_CALL, seq).proof == proof
        with pytest.raises(NotFound):
            prove_inclusion(session, 11)
        with pytest.raises(NotFound):
            entry_detail(session, ON_CALL, 11)
    other = type(proof)(**{**vars(proof), "leaf": proof.leaf.replace("10", "11")})
    with pytest.raises(ProofInvalid):
        other.check()


def test_a_damaged_entry_is_shown_as_damaged(database: str) -> None:
    append(3)
    with tampering() as connection:
        connection.execute(text("UPDATE audit_payloads SET payload = '[1' WHERE seq = 1"))
        connection.execute(text("UPDATE audit_entries SET leaf_hash = 'zz' WHERE seq = 2"))
        if database == "sqlite":
            connection.execute(text("UPDATE audit_payloads SET payload = CAST(x'ff' AS TEXT) WHERE seq = 0"))
    views = {view.seq: view for view in search()}
    assert views[1].damaged
    assert views[2].damaged
    assert views[0].damaged is (database == "sqlite")
    with reading() as session:
        detail = entry_detail(session, COMPLIANCE, 0)
    assert detail.proof is None
    assert "cannot be proved" in detail.proof_problem


def test_what_machines_write_all_day_can_be_left_out(database: str) -> None:
    with writing() as session:
        record(session, system_actor("worker"), Action.BATCH_INGESTED, object_kind="model", object_id="m")
        record(session, system_actor("worker"), Action.CHANGE_APPROVED, object_kind="change", object_id=1)
    compliance = Actor("per_c", "person", frozenset({Role.COMPLIANCE}))
    with reading() as session:
        assert [one.action for one in search_entries(session, compliance, routine=False)] == [
            "governance:change:approve"
        ]
        assert len(search_entries(session, compliance)) == 2
