"""The page of monitors: tried out before it is stored, stored as it was tried out, and undone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.components.monitor_form import by_label
from app.data import kept
from app.data.monitors import replayed
from app.data.scope import scope_of
from backend import clock
from backend.alerting.service import Firing, fire
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.database.upgrade import upgrade
from backend.identity.actor import Actor
from backend.monitoring import monitors_service as service
from backend.monitoring.budget_service import false_alarms
from backend.monitoring.monitor_tables import MonitorVersion
from backend.monitoring.tables import MetricPoint, WindowState
from tests.integration.app.test_pages import MAIN, text_of
from tests.watched import cookie_of
from tests.worlds import SYSTEM, World, make_world

Open = Callable[..., AppTest]
DAYS = 60


def definition(limit: float = 0.2, **more: Any) -> dict[str, Any]:
    threshold = {"kind": "constant", "side": "above", "value": limit}
    when = {"kind": "drift", "column": "distance", "statistic": "psi", "threshold": threshold}
    return {"name": "Distance moves", "level": "ticket", "when": when, **more}


@pytest.fixture
def world(home: Path, tmp_path: Path) -> Iterator[World]:
    """Sixty days of figures of `toy`; its distance moved on five of them, its AUC fell on two of those."""
    upgrade()
    st.cache_data.clear()
    made = make_world(tmp_path / "files")
    today, now = clock.now().replace(hour=0, minute=0, second=0, microsecond=0), clock.now()
    with writing() as session:
        session.query(MetricPoint).delete()
        session.query(WindowState).delete()
        for age in range(DAYS, 0, -1):
            start = today - timedelta(days=age)
            window = WindowState(
                model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1), version=2,
                rows=300, labels_known=290, state="complete", computed_at=now,
            )  # fmt: skip
            session.add(window)
            session.flush()
            moved, fell = age in (40, 30, 29, 20, 10), age in (30, 29)
            for kind, column, statistic, value in (
                ("drift", "distance", "psi", 0.5 if moved else 0.05),
                ("drift", "carrier", "psi", 0.02),
                ("realised", "", "roc_auc", 0.6 if fell else 0.72),
            ):
                session.add(
                    MetricPoint(
                        window_id=window.id, model="toy", environment="production", size="1d", window_start=start,
                        kind=kind, column=column, statistic=statistic, value=value,
                        threshold=0.7 if kind == "realised" else 0.3, verdict="alarm" if fell and not column else "ok",
                        rows=300, first_value=value, first_computed_at=now, computed_at=now,
                    )
                )  # fmt: skip
    yield made
    use_database(None)


@pytest.fixture
def open_page(world: World, monkeypatch: pytest.MonkeyPatch) -> Open:
    def opened(who: Actor, **query: str) -> AppTest:
        token = cookie_of(who)
        monkeypatch.setattr(type(st.context), "cookies", property(lambda _: {"warrant_session": token}))
        test = AppTest.from_file(str(MAIN), default_timeout=60).run()
        for name, value in {"model": "toy", **query}.items():
            test.query_params[name] = value
        found = test.switch_page("../pages/monitors.py").run()
        assert not found.exception
        return found

    return opened


def stored() -> list[MonitorVersion]:
    with reading() as session:
        return service.list_monitors(session, SYSTEM, "toy", "production")


def make(actor: Actor, body: dict[str, Any]) -> MonitorVersion:
    with writing() as session:
        return service.create_monitor(
            session, actor, model="toy", environment="production", definition=body, why="we need it"
        )


def field(test: AppTest, label: str) -> Any:
    """The first input of that label."""
    found = [*test.selectbox, *test.number_input, *test.text_input, *test.toggle, *test.text_area]
    return next(one for one in found if one.label == label)


def press(test: AppTest, label: str) -> AppTest:
    return next(one for one in test.button if one.label == label).click().run()


def test_a_monitor_is_written_replayed_and_stored_as_it_was_replayed(world: World, open_page: Open) -> None:
    test = open_page(world.lead)
    assert "Nobody has written a monitor for this model" in text_of(test)
    field(test, "Name").input("Distance moves").run()
    field(test, "Look at").select("drift").run()
    field(test, "Column").select("distance").run()
    field(test, "is beyond").select("constant").run()
    said = text_of(test)
    assert "It would have fired 4 times in 60 windows" in said
    assert "2.03 tickets a month" in said
    assert len(test.get("plotly_chart")) == 1
    button = "Store “Distance moves”"
    refused = press(test, button)
    assert "Nothing was sent. Still needed: Why, I have seen how often" in refused.error[0].value
    assert stored() == []
    next(one for one in test.text_input if one.label == "Why").input("routes change")
    next(one for one in test.checkbox if one.label.startswith("I have seen")).check()
    done = press(test, button)
    assert not done.exception
    assert "It is looked at with the next computation" in done.success[0].value
    (made,) = stored()
    assert (made.name, made.why, made.made_by) == ("Distance moves", "routes change", world.lead.person_id)
    assert made.definition["when"] == definition()["when"]
    assert "4 times, 2.03 a month" in text_of(done)


def test_a_page_is_held_against_the_false_alarm_budget(world: World, open_page: Open) -> None:
    fell = {"kind": "realised", "statistic": "roc_auc", "threshold": {"kind": "calibrated"}}
    made = make(world.lead, definition(level="page", when={"all": [definition()["when"], fell]}))
    test = open_page(world.viewer, monitor=made.key)
    said = text_of(test)
    assert "It would have fired 1 time in 60 windows" in said
    assert "one page in 1.97 months. The budget allows one false page in 3.00 months" in said
    assert "it fits only if 34% or more of them are worth waking for" in said
    assert len(test.get("plotly_chart")) == 2
    assert "Your role may try monitors out, not store them." in text_of(test)
    assert next(one for one in test.button if one.label.startswith("Store")).disabled


def test_a_wrong_definition_says_what_is_wrong_and_offers_no_way_to_store_it(
    world: World, open_page: Open
) -> None:
    test = open_page(world.lead)
    field(test, "Look at").select("drift").run()
    field(test, "Level").select("page").run()
    assert "alone never pages" in test.error[0].value
    assert [one.label for one in test.button if one.label.startswith("Store")] == []
    field(test, "Level").select("ticket").run()
    assert not test.error


def test_nested_definitions_are_written_as_yaml(world: World, open_page: Open) -> None:
    nested = {"any": [definition()["when"], {"all": [definition()["when"], definition(0.3)["when"]]}]}
    made = make(world.lead, definition(when=nested))
    test = open_page(world.lead, monitor=made.key)
    text = field(test, "Definition")
    assert "It would have fired 4 times" in text_of(test)
    text.input("name: [").run()
    assert "not readable as YAML" in test.error[0].value
    text = field(test, "Definition")
    text.input(json.dumps(definition(0.6))).run()
    assert "It would not have fired in 60 windows" in text_of(test)


def test_an_earlier_version_is_brought_back(world: World, open_page: Open) -> None:
    made = make(world.lead, definition())
    with writing() as session:
        service.change_monitor(
            session, world.on_call, made.key, definition=definition(0.6), seen=1, why="quieter"
        )
    test = open_page(world.lead, monitor=made.key)
    assert "quieter" in text_of(test)
    assert field(test, "value").value == 0.6
    done = press(test, "Bring back that version of “Distance moves”")
    assert not done.exception
    (now,) = stored()
    assert (now.number, now.definition) == (3, made.definition)


def test_a_change_of_what_somebody_else_changed_meanwhile_is_refused(world: World, open_page: Open) -> None:
    made = make(world.lead, definition())
    test = open_page(world.lead, monitor=made.key)
    field(test, "value").set_value(0.4).run()
    with writing() as session:
        service.change_monitor(session, world.on_call, made.key, definition=definition(0.6), seen=1)
    next(one for one in test.text_input if one.label == "Why").input("quieter")
    next(one for one in test.checkbox if one.label.startswith("I have seen")).check()
    refused = press(test, "Store “Distance moves”")
    assert "Changed since you looked" in refused.error[0].value
    (now,) = stored()
    assert now.definition["when"]["threshold"]["value"] == 0.6


def test_a_monitor_is_paused_and_deleted(world: World, open_page: Open) -> None:
    made = make(world.lead, definition())
    with writing() as session:
        fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "monitor", "ticket", "Distance moves: psi of distance 0.5 (limit 0.2)",
                   made.key, clock.now(), {}),
        )  # fmt: skip
    test = open_page(world.on_call, monitor=made.key)
    assert "1 of 1 monitor fires: Distance moves: PSI of distance 0.5" in text_of(test)
    next(one for one in test.text_input if one.key and "pause-monitor" in one.key).input("maintenance")
    paused = press(test, "Pause “Distance moves”")
    assert "w-badge w-unknown" in text_of(paused)
    assert [one.state for one in stored()] == ["paused"]
    next(one for one in paused.text_input if one.key and "delete-monitor" in one.key).input("not needed")
    next(one for one in paused.checkbox if one.key and "delete-monitor" in one.key).check()
    press(paused, "Delete “Distance moves”")
    assert stored() == []


def test_a_monitor_just_stored_is_not_said_to_be_quiet(world: World, open_page: Open) -> None:
    make(world.lead, definition())
    make(world.lead, definition(0.01) | {"name": "Distance is there"})
    said = text_of(open_page(world.viewer))
    assert "not looked at since it holds" in said
    assert "not looked at yet" in said
    assert "</span> quiet<" not in said
    with writing() as session:
        for window in session.query(WindowState):
            window.computed_at = clock.now()
    st.cache_data.clear()
    said = text_of(open_page(world.viewer))
    assert said.count("</span> quiet<") == said.count("not looked at since it holds")  # one each
    assert "not looked at yet" not in said


def test_no_count_of_windows_can_be_asked_for_that_breaks_the_replay(world: World, open_page: Open) -> None:
    test = open_page(world.lead)
    field(test, "In so many").set_value(3).run()
    assert not test.error
    assert field(test, "of the last windows").value == 3
    assert "It would" in text_of(test)
    field(test, "In so many").set_value(2).run()
    assert field(test, "of the last windows").value == 3


def test_an_error_names_the_input_by_its_label() -> None:
    assert by_label("windows.fire: 3 is too many") == "“In so many”: 3 is too many"
    assert by_label("when.all[1].threshold.clear: 9 is stricter") == "Condition 2, “ends at”: 9 is stricter"
    assert by_label("when.threshold.value: no") == "The condition, “value”: no"
    assert by_label("no place at all") == "no place at all"


def test_the_budget_is_shown_and_changed(world: World, open_page: Open) -> None:
    test = open_page(world.lead)
    assert "1 false page a quarter" in text_of(test)
    field(test, "False pages of this model in a quarter").set_value(6.0)
    done = press(test, "Change the budget of toy")
    assert not done.exception
    with reading() as session:
        assert false_alarms(session, world.lead, "toy", "production").own_per_quarter == 6.0
    assert next(
        one for one in open_page(world.on_call).button if one.label == "Change the budget of toy"
    ).disabled


def test_a_replay_looks_at_what_was_stored_since_the_last_one(world: World) -> None:
    def fired() -> int:
        return len(replayed(scope_of(world.lead), "toy", json.dumps(definition()))[1].firings)

    before = fired()
    with writing() as session:
        newest = (
            session.query(MetricPoint).filter_by(column="distance").order_by(MetricPoint.window_start.desc())
        )
        newest[0].value = 0.5
    assert fired() == before
    with writing() as session:
        record(session, SYSTEM, Action.WINDOW_COMPUTED, object_kind="model", object_id="toy", payload={})
    kept._stamp.clear()  # its seconds are over
    assert fired() == before + 1
