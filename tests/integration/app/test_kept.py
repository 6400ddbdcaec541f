"""What is kept for whom, and how much of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st
from streamlit import config

from app import data, session
from app.data import scope
from app.server import _configure_streamlit
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.registry.tables import Model
from tests.integration.monitoring.fleet import make_fleet


def test_an_act_has_only_whoever_acted_look_again(
    migrated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def titles(who: Actor) -> list[str]:
        return list(data.models(data.scope_of(who)).values())

    st.cache_data.clear()
    make_fleet(1)
    ada, ben = (Actor(one, "person", frozenset({Role.ML_LEAD})) for one in ("per_ada", "per_ben"))
    assert titles(ada) == titles(ben) == [""]
    monkeypatch.setattr(session, "viewer", lambda: ada)
    session.perform(lambda write, _: setattr(write.get_one(Model, "m0000"), "title", "Anew"), done="Done.")
    assert titles(ada) == ["Anew"]
    assert titles(ben) == [""], "others keep what they have until it is old"
    with writing() as write:
        write.get_one(Model, "m0000").title = "Once more"
    assert titles(ada) == ["Anew"]


def test_who_may_see_the_same_shares_what_was_read_and_nobody_else(migrated_home: Path) -> None:
    make_fleet(2)
    dee, eve = (Actor(one, "person", frozenset({Role.VIEWER})) for one in ("per_dee", "per_eve"))
    narrowed = Actor("per_cy", "person", frozenset({Role.VIEWER}), models=frozenset({"m0001"}))
    assert list(data.models(data.scope_of(dee))) == ["m0000", "m0001"]
    with writing() as write:
        write.get_one(Model, "m0001").title = "Anew"
    assert data.models(data.scope_of(eve))["m0001"] == "", "read for Dee a moment ago"
    assert data.models(data.scope_of(narrowed)) == {"m0001": "Anew"}


def test_a_long_time_after_an_act_one_shares_again(
    migrated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, ben = (Actor(one, "person", frozenset({Role.VIEWER})) for one in ("per_ada", "per_ben"))
    scope.look_again(ada)
    assert data.scope_of(ada).alike() != data.scope_of(ben).alike()
    monkeypatch.setattr(scope, "KEPT", -scope.LONG - 1)
    assert data.scope_of(ada).alike() == data.scope_of(ben).alike()


def test_what_is_kept_is_bounded_in_bytes() -> None:
    _configure_streamlit()
    assert config.get_option("server.maxCacheDataSize") == "160mb"


def test_no_page_has_everybody_wait_for_a_look_through_all_memory() -> None:
    _configure_streamlit()
    assert config.get_option("runner.postScriptGC") is False
