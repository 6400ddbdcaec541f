"""Who looks is looked up once for a run of a page, and anew for everything that is done."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from app import session
from backend.errors import NotSignedIn
from backend.identity.actor import Actor
from backend.identity.roles import Role

ADA = Actor("per_ada", "person", frozenset({Role.VIEWER}))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that were looked up; the one called "over" is of a session that has ended."""
    looked: list[str] = []

    def signed_in() -> SimpleNamespace:
        token = session.st.context.cookies["warrant_session"]
        looked.append(token)
        if token == "over":
            raise NotSignedIn("your session has ended")
        return SimpleNamespace(actor=ADA)

    monkeypatch.setattr(session, "signed_in", signed_in)
    monkeypatch.setattr(session, "_found", SimpleNamespace())
    _as(monkeypatch, "one")
    return looked


def _as(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setattr(session.st, "context", SimpleNamespace(cookies={"warrant_session": token}, url="/"))


def test_a_run_asks_once_and_another_browser_is_another(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [session.viewer(), session.viewer(), session.viewer()] == [ADA] * 3
    assert asked == ["one"]
    _as(monkeypatch, "two")
    session.viewer()
    assert asked == ["one", "two"]


def test_what_was_found_holds_for_a_moment_only(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    session.viewer()
    monkeypatch.setattr(session, "FOUND_S", 0.0)
    session.viewer()
    assert asked == ["one", "one"]


def test_an_act_is_looked_up_anew(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, migrated_home: object
) -> None:
    session.viewer()
    monkeypatch.setattr(session.st, "session_state", {})
    session.perform(lambda _session, _actor: None, done="Done.")
    assert asked == ["one", "one"]


def test_a_session_that_has_ended_is_not_taken_from_before(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session.viewer()
    _as(monkeypatch, "over")
    for _ in range(2):
        with pytest.raises(NotSignedIn):
            session.viewer()
    assert asked == ["one", "over", "over"]
