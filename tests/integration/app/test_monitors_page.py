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
from backend.identity.actor import Actor
from backend.monitoring import monitors_service as service
from backend.monitoring.budget_service import false_alarms
from backend.monitoring.monitor_tables import MonitorVersion
from backend.monitoring.tables import MetricPoint, WindowState
from backend.registry.tables import Model
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
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    """Sixty days of figures of `toy`; its distance moved on five of them, its AUC fell on two of those."""
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
    assert "for 8.3" in said
    assert "of the time" in said
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
    assert "it fits only if 34.3\u202f% or more of them are worth waking for" in said
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


def test_a_budget_is_changed_for_a_reason_once_its_consequence_is_seen(world: World, open_page: Open) -> None:
    test = open_page(world.lead)
    assert "1 false page a quarter" in text_of(test)
    assert not any(one.label.startswith("Change the budget") for one in test.button)
    pages = "False pages of this model in a quarter"
    wrong = field(test, pages).set_value(-1.0).run()
    assert "write a number above 0, not -1" in wrong.error[0].value
    assert "Budget" not in wrong.error[0].value
    assert not any(one.label.startswith("Change the budget") for one in wrong.button)
    shown = text_of(field(test, pages).set_value(6.0).run())
    assert "one false page in 3.00 months now" in shown
    assert "estimated performance" in shown
    assert "standard errors worse" in shown
    assert "windows that are computed from then on" in shown
    refused = press(test, "Change the budget of toy")
    assert refused.error[0].value == "Nothing was sent. Still needed: Why"
    whys = [one for one in test.text_input if one.label == "Why"]
    whys[-1].input("two pages a month are fine")
    done = press(test, "Change the budget of toy")
    assert not done.exception
    with reading() as session:
        assert false_alarms(session, world.lead, "toy", "production").own_per_quarter == 6.0
    other = open_page(world.on_call)
    field(other, pages).set_value(2.0).run()
    assert next(one for one in other.button if one.label == "Change the budget of toy").disabled


def test_another_size_of_windows_keeps_the_condition_where_it_is_computed(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        model = session.get_one(Model, "toy")
        model.spec = {**model.spec, "live_window": "1h"}
        newest = session.query(MetricPoint).filter_by(column="distance").first()
        assert newest is not None
        hour = WindowState(
            model="toy", environment="production", size="1h", start=newest.window_start,
            end=newest.window_start + timedelta(hours=1), version=2, rows=300, labels_known=0, state="complete",
            computed_at=clock.now(),
        )  # fmt: skip
        session.add(hour)
        session.flush()
        session.add(
            MetricPoint(
                window_id=hour.id, model="toy", environment="production", size="1h", window_start=hour.start,
                kind="drift", column="distance", statistic="psi", value=0.3, threshold=0.3, verdict="ok", rows=300,
                first_value=0.3, first_computed_at=clock.now(), computed_at=clock.now(),
            )
        )  # fmt: skip
    test = open_page(world.lead)
    field(test, "Look at").select("drift").run()
    field(test, "Column").select("distance").run()
    field(test, "is beyond").select("constant").run()
    field(test, "value").set_value(0.25).run()
    field(test, "Windows of").select("1h").run()
    assert [field(test, one).value for one in ("Look at", "Column", "is beyond", "value")] == [
        "drift", "distance", "constant", 0.25,
    ]  # fmt: skip
    field(test, "Windows of").select("1d").run()
    field(test, "Column").select("carrier").run()
    field(test, "Windows of").select("1h").run()
    assert "PSI of carrier is not computed of windows of 1h" in text_of(test)


def test_a_monitor_that_could_mostly_not_be_tested_is_not_shown_as_quiet(
    world: World, open_page: Open
) -> None:
    with writing() as session:
        for point in (
            session.query(MetricPoint).filter_by(column="carrier").order_by(MetricPoint.window_start)[:40]
        ):
            session.delete(point)
    calm = {"kind": "drift", "column": "carrier", "statistic": "psi",
            "threshold": {"kind": "constant", "side": "above", "value": 0.5}}  # fmt: skip
    made = make(world.lead, definition(when={"all": [definition(0.6)["when"], calm]}))
    test = open_page(world.lead, monitor=made.key)
    said = text_of(test)
    assert "It would not have fired in the 20 of 60 windows" in said
    assert "20 of 60 windows could be tested. Missing: PSI of carrier has no value in 40 windows" in said
    assert "tested in 20 windows only" in said


def test_a_condition_on_a_column_that_the_model_does_not_have_is_refused(
    world: World, open_page: Open
) -> None:
    made = make(world.lead, definition())
    test = open_page(world.lead, monitor=made.key)
    field(test, "Write it as YAML").set_value(True).run()
    body = definition()
    field(test, "Definition").input(json.dumps(body | {"when": body["when"] | {"column": "distanse"}})).run()
    assert "the model has no column 'distanse'; the nearest is 'distance'" in test.error[0].value


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
