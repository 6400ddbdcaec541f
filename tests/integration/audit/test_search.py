"""The search over the words of entries: what it finds, for whom, what erasing leaves of it, searches people keep."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from backend import clock
from backend.audit.actions import Action
from backend.audit.erasure import erase_payloads
from backend.audit.findings import NOT_SEARCHED, open_findings
from backend.audit.log import record
from backend.audit.reading import search_entries
from backend.audit.retention import purge_words
from backend.audit.saved_searches import MOST, delete_search, save_search, saved_searches
from backend.audit.search_checks import look_at_search, tell_search
from backend.audit.search_index import purge, rebuild
from backend.audit.searching import Search
from backend.audit.tables import AuditEntry
from backend.database.session import ReadSession, reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor, system_actor
from backend.identity.people import create_person
from backend.identity.roles import Role
from jobs.prune import erase_payloads as erase_by_age
from tests.integration.audit.tampering import forge

COMPLIANCE = Actor("per_viewer", "person", frozenset({Role.COMPLIANCE}))
ON_CALL = Actor("per_viewer", "person", frozenset({Role.ON_CALL}))
WORKER = system_actor("worker")


def enter(why: str, number: int = 7, **payload: object) -> int:
    with writing() as session:
        return record(
            session, WORKER, Action.CHANGE_APPROVED, object_kind="change", object_id=number, why=why,
            payload=dict(payload),
        )  # fmt: skip


def found(words: str, by: Actor = COMPLIANCE, **wanted: object) -> list[int]:
    with reading() as session:
        return [one.seq for one in search_entries(session, by, text=words, **wanted)]


def test_words_are_found_whatever_their_case_accents_and_order(database: str) -> None:
    enter("Späť-delay of the FLIGHT model, 12.5 % worse")
    enter("flightless birds", subject={"digest": "ab12cd34" * 8, "columns": ["dep_delay", "Größe"]})
    assert found("flight SPAT") == found("delay späť model") == [0]
    assert found("flight") == [0]
    assert found("flight*") == [1, 0]
    assert found("ab12cd34" * 8) == found("ab12cd*") == [1]
    assert found("dep_delay grosse") == found("dep_delay größe") == [1]
    assert found("12.5") == [0]
    assert found("columns") == []  # a member's name is no word of the entry
    assert found("approve change 7") == [1, 0]
    assert found("flight birds") == []


@pytest.mark.parametrize(
    "hostile", ['"', "'", "a' | 'b", '") OR (', "NEAR(a b)", "* : {clear}", "%", "(", "&|!<->", "-a"]
)
def test_nothing_typed_is_taken_for_the_language_of_the_database(database: str, hostile: str) -> None:
    enter("plain")
    assert found(hostile) == []


def test_words_of_payloads_are_found_only_by_those_who_may_read_them(database: str) -> None:
    enter("a secret reason")
    assert found("secret") == [0]
    assert found("secret", ON_CALL) == found("approve secret", ON_CALL) == []
    assert found("approve", ON_CALL) == [0]


def test_a_page_of_a_search_follows_the_one_before(database: str) -> None:
    for number in range(9):
        enter("odd" if number % 2 else "even", number)
    assert found("even", limit=2) == [8, 6]
    assert found("even", limit=2, before_seq=6) == [4, 2]
    assert found("even", limit=5, before_seq=2) == [0]
    assert found("even", object_id="4") == [4]


def test_an_erased_payload_leaves_no_word_behind(database: str) -> None:
    enter("unmistakable")
    enter("unmistakable too")
    with writing() as session:
        erase_payloads(session, WORKER, [0], why="asked for")
        purge(session.connection())
        stored = session.execute(text("SELECT * FROM audit_search")).all()
        if database == "sqlite":
            blocks = session.execute(text("SELECT block FROM audit_search_data")).scalars().all()
    assert found("unmistakable") == [1]
    assert found("approve 7") == [1, 0]
    assert sum("unmistakable" in str(row) for row in stored) == 1
    if database == "sqlite":
        with writing() as session:
            erase_payloads(session, WORKER, [1], why="asked for")
            purge(session.connection())
            blocks = session.execute(text("SELECT block FROM audit_search_data")).scalars().all()
        assert not [block for block in blocks if b"unmistak" in block]


def test_the_hourly_job_takes_out_the_words_of_whatever_was_erased(database: str) -> None:
    """No retention of the house is set: the payload was erased for a request, or by the rule of its model."""
    enter("unmistakable")
    with writing() as session:
        erase_payloads(session, WORKER, [0], why="asked for")
    run = SimpleNamespace(actor=WORKER, require_owned=lambda session: None)
    assert erase_by_age(run) == 0  # type: ignore[arg-type]
    with writing() as session:
        assert not purge_words(session), "nothing was erased since"
        if database == "sqlite":
            blocks = session.execute(text("SELECT block FROM audit_search_data")).scalars().all()
            assert not [block for block in blocks if b"unmistak" in block]


def test_names_of_people_are_no_words_and_their_ids_are(database: str) -> None:
    with writing() as session:
        ada = create_person(
            session, WORKER, username="ada", display_name="Ada Lindqvist", roles={Role.ML_LEAD}
        )
    actor = Actor(
        ada.id, "person", frozenset({Role.ML_LEAD}), display_name="Ada Lindqvist", address="192.0.2.7"
    )
    with writing() as session:
        record(session, actor, Action.CHANGE_REJECTED, object_kind="change", object_id=1, why="no")
    assert found("lindqvist reject") == []
    assert found(f"{ada.id} reject") == [1]
    assert found("reject", who="lindqvist") == [1]


def test_the_words_can_be_made_anew(database: str) -> None:
    enter("first words")
    enter("other words")
    with writing() as session:
        erase_payloads(session, WORKER, [1], why="asked for")
        session.execute(text("DELETE FROM audit_search"))
    assert found("words") == []
    with writing() as session:
        assert rebuild(session.connection()) == 3
    assert found("words") == [0]
    assert found("approve") == [1, 0]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE audit_search SET {clear} WHERE {number} = 1", "entry 1 has other words in the search"),
        ("UPDATE audit_search SET {open} WHERE {number} = 0", "entry 0 has other words in the search"),
        ("DELETE FROM audit_search WHERE {number} = 2", "entry 2 has other words in the search"),
    ],
    ids=["words of a payload", "words of a leaf", "a row"],
)
def test_an_entry_that_is_hidden_from_the_search_is_a_finding(database: str, harm: str, said: str) -> None:
    with writing() as session:
        payload = {"share": 72.0, "drift": 0.25, "tiny": 1e-9, "many": list(range(1_100)), "on": True}
        record(session, WORKER, Action.CHANGE_APPROVED, object_kind="change", object_id=1, why="späť in Ålesund",
               payload=payload)  # fmt: skip
    for why in ("first", "other", "last"):
        enter(why)
    with writing() as session:
        erase_payloads(session, WORKER, [3], why="asked for")
    assert hidden() == []
    of = "rowid" if database == "sqlite" else "seq"
    none = "''" if database == "sqlite" else "''::tsvector"
    with writing() as session:
        session.execute(text(harm.format(number=of, clear=f"clear = {none}", open=f"open = {none}")))
    (title,) = hidden()
    assert title.startswith(said)
    assert title.endswith("run: warrant audit reindex")
    with writing() as session:
        rebuild(session.connection())
    assert hidden() == []


def hidden() -> list[str]:
    """What the finding about the search says, after a look."""
    with reading() as session:
        looked = look_at_search(session)
    with writing() as session:
        tell_search(session, WORKER, looked)
        return [one.title for one in open_findings(session) if one.kind == NOT_SEARCHED]


def test_a_rolled_back_entry_is_not_found(database: str) -> None:
    with pytest.raises(RuntimeError), writing() as session:
        record(session, WORKER, Action.CHANGE_APPROVED, object_kind="change", object_id=1, why="lost")
        raise RuntimeError
    assert found("lost") == []
    enter("kept")
    assert found("kept") == [0]


def test_a_kept_search_is_its_owners(database: str) -> None:
    with writing() as session:
        people = [
            create_person(session, WORKER, username=name, display_name=name, roles={Role.COMPLIANCE})
            for name in ("ada", "ben")
        ]
    ada, ben = (Actor(one.id, "person", frozenset({Role.COMPLIANCE})) for one in people)
    wanted = Search(who="ada", since=clock.from_iso("2026-03-01T00:00:00.000000Z"), routine=False)
    with writing() as session:
        save_search(session, ada, name=" mine ", wanted=Search(text="x"))
        save_search(session, ada, name="mine", wanted=wanted)
    with reading() as session:
        assert [one.name for one in saved_searches(session, ada)] == ["mine"]
        assert Search.from_json(saved_searches(session, ada)[0].search) == wanted
        assert saved_searches(session, ben) == []
        assert session.query(AuditEntry).filter(AuditEntry.action == Action.SEARCH_SAVED.value).count() == 2
    with writing() as session, pytest.raises(NotFound):
        delete_search(session, ben, name="mine")
    with writing() as session:
        delete_search(session, ada, name="mine")
        assert saved_searches(session, ada) == []
        with pytest.raises(BadInput):
            save_search(session, ada, name=" ", wanted=wanted)
        for number in range(MOST):
            save_search(session, ada, name=str(number), wanted=wanted)
        with pytest.raises(BadInput, match="delete one first"):
            save_search(session, ada, name="one more", wanted=wanted)
        with pytest.raises(NotAllowed):
            save_search(session, Actor("per_x", "person", frozenset({Role.VIEWER})), name="a", wanted=wanted)


@pytest.mark.parametrize("document", [{"whom": "x"}, {"since": "yesterday"}, {"since": 4}])
def test_what_is_no_search_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        Search.from_json(document)


def test_several_actions_and_people_are_found_in_order_and_page_by_page(database: str) -> None:
    actions = [Action.CHANGE_APPROVED, Action.CHANGE_REJECTED, Action.INCIDENT_OPENED, Action.CHANGE_VOID]
    with writing() as session:
        people = [
            create_person(session, WORKER, username=f"ada-{n}", display_name=f"Ada {n}", roles=())
            for n in (1, 2)
        ]
        actors = [Actor(one.id, "person", frozenset()) for one in people] + [WORKER]
        for number in range(36):
            record(
                session, actors[number % 3], actions[number % 4], object_kind="change", object_id=number // 6
            )
    with reading() as session:
        every = search_entries(session, COMPLIANCE, limit=500)
        for wanted in (
            {"action": "governance:change"},
            {"who": "ada"},
            {"who": "ada", "action": "governance:change"},
            {"who": "ada", "action": "governance", "object_id": "2"},
            {"action": "governance:change", "since": clock.now() - timedelta(hours=1)},
        ):
            right = [
                one.seq
                for one in every
                if one.action.startswith(str(wanted.get("action", "")))
                and ("who" not in wanted or one.actor_name.startswith("Ada"))
                and one.object_id == wanted.get("object_id", one.object_id)
            ]
            assert len(right) > 2
            assert pages(session, 4, **wanted) == right


def pages(session: ReadSession, size: int, **wanted: object) -> list[int]:
    """Every number that is found, so many at a time."""
    found: list[int] = []
    while some := search_entries(
        session, COMPLIANCE, Search(**wanted), before_seq=found[-1] if found else None, limit=size
    ):
        found += [one.seq for one in some]
    return found


def test_an_entry_whose_clock_had_jumped_is_found_by_the_time_it_says(five: str) -> None:
    tomorrow = clock.now() + timedelta(days=1)
    forge(5, like=2, at=clock.to_iso(tomorrow))
    forge(6, like=2, at=clock.to_iso(clock.now()))
    hour = timedelta(hours=1)
    with reading() as session:
        assert pages(session, 9, since=tomorrow - hour, until=tomorrow + hour) == [5]
        assert pages(session, 9, since=tomorrow + hour) == []
        assert pages(session, 2, until=tomorrow - hour) == [6, 4, 3, 2, 1, 0]
        assert pages(session, 2, action="governance", until=tomorrow - hour) == [6, 4, 3, 2, 1, 0]
