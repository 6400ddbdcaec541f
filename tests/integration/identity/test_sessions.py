"""Sessions end when they must, guessing is slowed down, and no secret is stored."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, inspect, select, text

from backend import clock
from backend.audit.actions import Action
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.engine import database as current_database
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity import sessions, throttle
from backend.identity.demo import demo_accounts, ensure_demo_accounts, password_path
from backend.identity.people import (
    LastAdministrator,
    UsernameTaken,
    create_person,
    disable_person,
    list_people,
    set_roles,
)
from backend.identity.roles import GIVEN, Permission, Role
from backend.identity.sessions import SignInRefused, resolve, revoke_all, session_of, sign_in, touch
from backend.identity.setup import (
    AlreadySetUp,
    SetUpLinkInvalid,
    check_set_up_link,
    create_set_up_link,
)
from backend.identity.tables import Person, SignInAttempt, SignInSession
from backend.identity.throttle import SignInThrottled
from backend.identity.tokens import create_token, list_tokens, resolve_token, revoke_token, touch_token
from backend.settings import settings
from tests.integration.identity.conftest import PASSWORD, SYSTEM, add_person


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Moves the one clock of Warrant forward."""
    shift = [timedelta()]
    real = clock.now

    def move(by: timedelta) -> None:
        shift[0] += by

    monkeypatch.setattr(clock, "now", lambda: real() + shift[0])
    return move


def enter(username: str = "ada", password: str = PASSWORD, address: str = "192.0.2.7") -> str:
    return sign_in(username=username, password=password, address=address, user_agent="Firefox").token


def count(action: Action) -> int:
    with reading() as session:
        return int(
            session.scalar(select(func.count()).select_from(AuditEntry).where(AuditEntry.action == action))
            or 0
        )


def test_an_idle_session_ends(database: str, later: Callable[[timedelta], None]) -> None:
    add_person("ada", Role.VIEWER)
    token = enter()
    later(timedelta(minutes=59))
    assert session_of(token) is not None
    later(timedelta(minutes=2))
    assert session_of(token) is None


def test_use_keeps_a_session_alive_until_its_absolute_end(
    database: str, later: Callable[[timedelta], None]
) -> None:
    add_person("ada", Role.VIEWER)
    token = enter()
    for _ in range(23):
        later(timedelta(minutes=30))
        found = session_of(token)
        assert found is not None
        touch(found)
    later(timedelta(minutes=31))
    assert session_of(token) is None


def test_reading_pages_writes_at_most_once_a_minute(
    database: str, later: Callable[[timedelta], None]
) -> None:
    add_person("ada", Role.VIEWER)
    token = enter()

    def last_seen() -> datetime:
        found = session_of(token)
        assert found is not None
        touch(found)
        with reading() as session:
            return session.scalars(select(SignInSession.last_seen_at)).one()

    first = last_seen()
    later(timedelta(seconds=50))
    assert last_seen() == first
    later(timedelta(seconds=20))
    assert last_seen() > first


def test_revocation_disabling_and_lost_roles_hold_at_once(database: str) -> None:
    ada = add_person("ada", Role.ADMIN, Role.ML_LEAD)
    add_person("eve", Role.ADMIN)
    one, two = enter(), enter()
    with reading() as session:
        actor = resolve(session, one)
    assert actor is not None
    assert actor.may(Permission.DECIDE_CHANGE)
    with writing() as session:
        set_roles(session, SYSTEM, ada.id, {Role.VIEWER, Role.ADMIN})
    found = session_of(one)
    assert found is not None
    assert not found.actor.may(Permission.DECIDE_CHANGE)
    with writing() as session:
        assert revoke_all(session, actor, ada.id, except_this=True) == 1
    assert session_of(two) is None
    assert session_of(one) is not None
    with writing() as session:
        disable_person(session, SYSTEM, ada.id)
    assert session_of(one) is None
    with pytest.raises(SignInRefused):
        enter()


def test_nobody_ends_anothers_session_without_the_right(database: str) -> None:
    add_person("ada", Role.VIEWER)
    add_person("bob", Role.VIEWER)
    ada, bob = session_of(enter("ada")), session_of(enter("bob"))
    assert ada is not None
    assert bob is not None
    with writing() as session, pytest.raises(NotFound):
        sessions.revoke(session, bob.actor, ada.row.id)
    with writing() as session, pytest.raises(NotAllowed):
        revoke_all(session, bob.actor, ada.actor.person_id)
    with writing() as session:
        sessions.revoke(session, SYSTEM, ada.row.id)
        sessions.revoke(session, SYSTEM, ada.row.id)
    assert count(Action.SESSION_REVOKED) == 1


def test_guessing_one_name_has_to_wait_longer_and_longer(
    database: str, later: Callable[[timedelta], None]
) -> None:
    add_person("ada", Role.VIEWER)
    for number in range(throttle.FREE_PER_NAME):
        with pytest.raises(SignInRefused):
            enter(password="wrong password", address=f"192.0.2.{number}")
    waits = []
    for _ in range(8):
        with pytest.raises(SignInThrottled) as refused:
            enter(address="198.51.100.1")
        waits.append(refused.value.retry_after_s)
        later(timedelta(seconds=refused.value.retry_after_s))
        with pytest.raises(SignInRefused):
            enter(password="wrong password", address="198.51.100.1")
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]
    later(throttle.LONGEST_PER_NAME)
    assert enter()
    assert enter(), "a success starts the name afresh"


def test_guessing_many_names_from_one_address_has_to_wait(database: str) -> None:
    add_person("ada", Role.VIEWER)
    with writing() as session:
        for number in range(throttle.FREE_PER_ADDRESS):
            throttle.count_attempt(session, username=f"name{number}", address="192.0.2.7")
    with pytest.raises(SignInThrottled):
        enter()
    assert enter(address="192.0.2.8")


def test_a_line_of_ipv6_is_one_address_however_many_it_chooses(database: str) -> None:
    add_person("ada", Role.VIEWER)
    with writing() as session:
        for number in range(throttle.FREE_PER_ADDRESS):
            throttle.count_attempt(session, username=f"name{number}", address=f"2001:db8::{number:x}")
    with pytest.raises(SignInThrottled):
        enter(address="2001:db8::ffff")
    assert enter(address="2001:db8:0:1::1")


def test_parallel_guesses_are_counted_as_surely_as_guesses_in_a_row(database: str) -> None:
    add_person("ada", Role.VIEWER)

    def guess(_: int) -> str:
        try:
            enter(password="wrong password")
        except SignInThrottled:
            return "throttled"
        except SignInRefused:
            return "refused"
        return "in"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(guess, range(16)))
    assert outcomes.count("refused") == throttle.FREE_PER_NAME
    assert outcomes.count("throttled") == 16 - throttle.FREE_PER_NAME


def test_an_attacker_cannot_fill_the_audit_log(database: str, later: Callable[[timedelta], None]) -> None:
    ada = add_person("ada", Role.VIEWER)
    for _ in range(12):
        try:
            enter(password="wrong password")
        except SignInThrottled as refused:
            later(timedelta(seconds=refused.retry_after_s))
        except SignInRefused:
            pass
    assert count(Action.SIGN_IN_REFUSED) == throttle.FREE_PER_NAME
    with reading() as session:
        last = session.execute(
            select(AuditEntry.object_id, AuditPayload.payload)
            .join(AuditPayload, AuditPayload.seq == AuditEntry.seq)
            .order_by(AuditEntry.seq.desc())
        ).first()
    assert last is not None
    assert last.object_id == ada.id
    assert '"throttled":true' in last.payload


def test_attempts_are_pruned_after_a_day(database: str, later: Callable[[timedelta], None]) -> None:
    with pytest.raises(SignInRefused):
        enter("nobody")
    later(timedelta(hours=25))
    with writing() as session:
        assert throttle.prune_attempts(session) == 1


def test_unknown_and_known_names_do_the_same_work(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    add_person("ada", Role.VIEWER)
    verified: list[str] = []
    from backend.identity import passwords

    real = passwords._HASHER.verify

    class Watched:
        def verify(self, stored: str, password: str) -> bool:
            verified.append(stored.split("$")[3])
            return bool(real(stored, password))

        def hash(self, password: str) -> str:
            return str(passwords.PasswordHasher().hash(password))

    monkeypatch.setattr(passwords, "_HASHER", Watched())
    for name in ("ada", "nobody", "x" * 300, "\ud800", "a\0b"):
        with pytest.raises(SignInRefused):
            enter(name, "wrong password")
    assert len(verified) == 5
    assert len(set(verified)) == 1


def test_no_raw_secret_and_no_typed_name_is_in_the_database(database: str) -> None:
    add_person("ada", Role.ML_LEAD)
    opened = sign_in(username="ada", password=PASSWORD, address="192.0.2.7", user_agent="Firefox")
    found = session_of(opened.token)
    assert found is not None
    with writing() as session:
        _, raw = create_token(session, found.actor, name="nightly import")
        link = create_set_up_link(session, SYSTEM)
    with pytest.raises(SignInRefused):
        enter("hunter2-typed-as-a-name", "wrong password")
    stored = everything_stored()
    for secret in (opened.token, opened.csrf, raw, raw[4:], link, PASSWORD, "hunter2-typed-as-a-name"):
        assert secret not in stored


def test_leaves_hold_no_personal_data(database: str) -> None:
    add_person("ada", Role.ADMIN, display_name="Ada Lindqvist")
    enter()
    with reading() as session:
        leaves = "\n".join(session.scalars(select(AuditEntry.leaf)))
    for personal in ("Ada", "Lindqvist", '"ada"', "192.0.2.7", "Firefox"):
        assert personal not in leaves


def everything_stored() -> str:
    source = current_database()
    with source.read_engine.connect() as connection:
        tables = inspect(connection).get_table_names()
        return "\n".join(
            str(row) for table in tables for row in connection.execute(text(f'SELECT * FROM "{table}"')).all()
        )


def test_a_token_acts_for_its_holder_until_it_ends(database: str, later: Callable[[timedelta], None]) -> None:
    add_person("ada", Role.ML_LEAD)
    found = session_of(enter())
    assert found is not None
    with writing() as session:
        row, raw = create_token(session, found.actor, name="nightly import", valid_days=30)
    assert raw.startswith("wrt_")
    with reading() as session:
        actor = resolve_token(session, raw)
        assert resolve_token(session, raw + "x") is None
        assert resolve_token(session, found.row.token_hash) is None
    assert actor is not None
    assert (actor.person_id, actor.session_id) == (found.actor.person_id, row.id)
    touch_token(row.id)
    with reading() as session:
        assert list_tokens(session, found.actor)[0].last_used_at is not None
    with writing() as session, pytest.raises(NotAllowed, match="cannot create tokens"):
        create_token(session, actor, name="another")
    later(timedelta(days=31))
    with reading() as session:
        assert resolve_token(session, raw) is None


def test_a_revoked_token_stops_at_once_and_only_its_holder_revokes_it(database: str) -> None:
    add_person("ada", Role.ML_LEAD)
    add_person("bob", Role.ML_LEAD)
    ada, bob = session_of(enter("ada")), session_of(enter("bob"))
    assert ada is not None
    assert bob is not None
    with writing() as session:
        row, raw = create_token(session, ada.actor, name="import")
    with writing() as session, pytest.raises(NotFound):
        revoke_token(session, bob.actor, row.id)
    with writing() as session:
        revoke_token(session, ada.actor, row.id)
    with reading() as session:
        assert resolve_token(session, raw) is None
        assert list_tokens(session, bob.actor) == []


def test_a_service_account_acts_for_its_owner_and_stops_with_them(database: str) -> None:
    ada = add_person("ada", Role.ML_ENGINEER)
    found = session_of(enter())
    assert found is not None
    with writing() as session:
        robot = create_person(
            session, SYSTEM, username="ci", display_name="CI", roles={Role.ML_ENGINEER}, kind="service",
            owner_id=ada.id,
        )  # fmt: skip
        _, raw = create_token(session, found.actor, name="ci", person_id=robot.id)
    with reading() as session:
        actor = resolve_token(session, raw)
    assert actor is not None
    assert actor.people == {robot.id, ada.id}
    with writing() as session:
        disable_person(session, SYSTEM, ada.id)
    with reading() as session:
        assert resolve_token(session, raw) is None


def test_the_last_administrator_stays(database: str) -> None:
    ada = add_person("ada", Role.ADMIN)
    with writing() as session, pytest.raises(LastAdministrator):
        set_roles(session, SYSTEM, ada.id, {Role.VIEWER})
    with writing() as session, pytest.raises(LastAdministrator):
        disable_person(session, SYSTEM, ada.id)
    bob = add_person("bob", Role.ADMIN)

    def step_down(person: Person) -> str:
        try:
            with writing() as session:
                set_roles(session, SYSTEM, person.id, {Role.VIEWER})
        except LastAdministrator:
            return "kept"
        return "gone"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(step_down, (ada, bob))) == ["gone", "kept"]


def test_only_an_administrator_manages_people(database: str) -> None:
    add_person("ada", Role.ML_LEAD)
    found = session_of(enter())
    assert found is not None
    with writing() as session:
        with pytest.raises(NotAllowed):
            create_person(session, found.actor, username="x", display_name="X", roles={Role.ADMIN})
        with pytest.raises(NotAllowed):
            set_roles(session, found.actor, found.actor.person_id, {Role.ADMIN})
        with pytest.raises(NotAllowed):
            disable_person(session, found.actor, found.actor.person_id)
        with pytest.raises(NotAllowed):
            list_people(session, found.actor)


def test_bad_accounts_are_refused(database: str) -> None:
    add_person("ada", Role.VIEWER)
    with writing() as session:
        with pytest.raises(UsernameTaken):
            create_person(session, SYSTEM, username="ADA", display_name="A", roles=set())
        with pytest.raises(BadInput, match="user name"):
            create_person(session, SYSTEM, username="a b", display_name="A", roles=set())
        with pytest.raises(BadInput, match="system"):
            create_person(session, SYSTEM, username="c", display_name="C", roles={Role.SYSTEM})
        with pytest.raises(BadInput, match="at least 12"):
            create_person(session, SYSTEM, username="c", display_name="C", password="short", roles=set())


def test_demo_accounts_open_only_in_demo_mode(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing() as session, pytest.raises(BadInput):
        ensure_demo_accounts(session)
    monkeypatch.setenv("WARRANT_DEMO", "true")
    settings.cache_clear()
    with writing() as session:
        accounts = ensure_demo_accounts(session)
    with writing() as session:
        assert ensure_demo_accounts(session) == accounts
    assert {account.role for account in accounts} == {role.value for role in GIVEN}
    with reading() as session:
        deciders = [
            person
            for person in session.scalars(select(Person))
            if any(entry.role == Role.ML_LEAD for entry in person.roles)
        ]
    assert len(deciders) >= 2
    assert password_path().stat().st_mode & 0o777 == 0o600
    token = enter("lead", accounts[0].password)
    assert session_of(token) is not None
    monkeypatch.delenv("WARRANT_DEMO")
    settings.cache_clear()
    assert demo_accounts() == []
    assert session_of(token) is None
    with pytest.raises(SignInRefused):
        enter("lead", accounts[0].password)


def test_a_lost_demo_password_is_replaced(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARRANT_DEMO", "true")
    settings.cache_clear()
    with writing() as session:
        before = ensure_demo_accounts(session)
    password_path().unlink()
    with writing() as session:
        after = ensure_demo_accounts(session)
    assert after[0].password != before[0].password
    assert enter("admin", after[0].password)


def test_a_set_up_link_is_replaced_expires_and_ends_with_the_first_administrator(
    database: str, later: Callable[[timedelta], None]
) -> None:
    with writing() as session:
        first = create_set_up_link(session, SYSTEM)
        second = create_set_up_link(session, SYSTEM)
    with reading() as session:
        with pytest.raises(SetUpLinkInvalid):
            check_set_up_link(session, first)
        check_set_up_link(session, second)
    add_person("demo", Role.ADMIN, is_demo=True)
    with reading() as session:
        check_set_up_link(session, second)
    later(timedelta(hours=25))
    with reading() as session, pytest.raises(SetUpLinkInvalid):
        check_set_up_link(session, second)
    add_person("ada", Role.ADMIN)
    with writing() as session, pytest.raises(AlreadySetUp):
        create_set_up_link(session, SYSTEM)


def test_a_failed_attempt_leaves_no_session(database: str) -> None:
    add_person("ada", Role.VIEWER)
    with pytest.raises(SignInRefused):
        enter(password="wrong password")
    with reading() as session:
        assert session.scalars(select(SignInSession)).all() == []
        assert len(session.scalars(select(SignInAttempt)).all()) == 1
