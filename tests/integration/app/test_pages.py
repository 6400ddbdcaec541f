"""Every page draws on real services: with data, without any, and for every role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import data
from app.data.scope import Scope
from app.nav import PAGES
from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from backend.governance.reading import get_change
from backend.identity.actor import Actor
from backend.identity.roles import GIVEN
from backend.registry.tables import Model
from backend.settings import settings
from tests.integration.governance.conftest import put_in_force
from tests.watched import Watched, cookie_of, watch
from tests.worlds import SYSTEM, World, make_world, person

MAIN = Path(__file__).resolve().parents[3] / "app" / "main.py"
Open = Callable[..., AppTest]


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    """On SQLite; what pages read is tested on both databases in `test_data`."""
    st.cache_data.clear()
    yield make_world(tmp_path / "files")
    use_database(None)


@pytest.fixture
def open_page(world: World, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Draw one page as somebody, with a real session of theirs. AppTest has no request, so no cookies."""

    def opened(who: Actor, page: str, **query: str) -> AppTest:
        token = cookie_of(who)
        monkeypatch.setattr(type(st.context), "cookies", property(lambda _: {"warrant_session": token}))
        test = AppTest.from_file(str(MAIN), default_timeout=60).run()
        for name, value in query.items():
            test.query_params[name] = value
        return test if page == "overview" else test.switch_page(f"../pages/{page}.py").run()

    return opened


def text_of(test: AppTest) -> str:
    """Everything that is written on the page."""
    parts = [str(getattr(one, "value", "") or getattr(one, "label", "")) for one in test.main]
    html = [one.proto.body for one in test.main if one.type == "html"]
    return "\n".join([*parts, *html, *(one.value for one in test.error), *(one.label for one in test.button)])


def ask_rollback(world: World) -> int:
    with writing() as session:
        asked = Asked("rollback", "production", "toy", 1)
        preview = preview_change(session, world.on_call, asked)
        return request_change(session, world.on_call, asked, reason="AUC fell", seen_digest=preview.digest).id


def everyone_in_one() -> Actor:
    """Somebody with every role that people can have: no page refuses them."""
    with writing() as session:
        return person(session, "everyone", *GIVEN)


QUERIES = {"change": {"id": "1"}, "incident": {"id": "1"}, "audit_entry": {"seq": "3"},
           "inventory_model": {"model": "toy"}, "request_change": {"kind": "rollback", "model": "toy"}}  # fmt: skip


def test_an_address_that_names_no_number_breaks_no_page(world: World, open_page: Open) -> None:
    for page, name in (
        ("audit", "before"),
        ("audit_entry", "seq"),
        ("change", "id"),
        ("inventory", "from"),
        ("policy", "revision"),
    ):
        for text in (
            "²",
            "9" * 30,
            "-1",
        ):  # what Python takes for a digit and not for a number; more than a row has
            test = open_page(world.compliance, page, **{name: text})
            assert not test.exception, (page, text)


@pytest.mark.parametrize("page", [row.path for row in PAGES])
def test_every_page_draws_with_data(world: World, open_page: Open, page: str) -> None:
    watch(world)
    ask_rollback(world)
    test = open_page(everyone_in_one(), page, **QUERIES.get(page, {}))
    assert not test.exception
    assert not test.error
    assert len(text_of(test)) > 200


@pytest.mark.parametrize("page", [row.path for row in PAGES])
def test_every_page_draws_before_anything_was_computed(world: World, open_page: Open, page: str) -> None:
    test = open_page(everyone_in_one(), page)
    assert not test.exception
    assert not test.error
    assert [one.label for one in test.text_input].count("Search everything") == 1


def test_the_overview_names_the_worst_and_what_waits_for_me(world: World, open_page: Open) -> None:
    watch(world)
    ask_rollback(world)
    said = text_of(open_page(world.lead, "overview"))
    assert "1 of 1 model needs you; worst: toy, realised AUC 0.720 → 0.520" in said
    links = [one.proto.label for one in open_page(world.lead, "overview").main if one.type == "page_link"]
    assert any("CHG-1" in label and "waits for you" in label for label in links)
    assert any("INC-1" in label and "nobody is on it" in label for label in links)


def test_a_model_without_windows_is_not_known_and_never_fine(world: World, open_page: Open) -> None:
    with writing() as session:
        from backend.monitoring.tables import MetricPoint, WindowState

        session.query(MetricPoint).delete()
        session.query(WindowState).delete()
    said = text_of(open_page(world.viewer, "overview"))
    assert "No model is known to need you; 1 of 1 model is not known" in said
    assert "w-badge w-ok" not in said


def test_drift_says_which_columns_moved_against_which_reference(world: World, open_page: Open) -> None:
    watched = watch(world)
    said = text_of(open_page(world.viewer, "drift", model="toy"))
    assert "1 of 4 columns drifted: distance; what that does to performance is not known" in said
    assert "against the reference of v2" in said
    assert "20 rows of an injected fault" in said
    quiet = (watched.last_window - timedelta(days=1)).isoformat()
    assert "No column drifted beyond its limit" in text_of(
        open_page(world.viewer, "drift", model="toy", window=quiet)
    )


def test_shifted_times_are_said_above_every_figure(world: World, open_page: Open) -> None:
    from backend.registry.tables import Model

    watch(world)
    with writing() as session:
        session.query(Model).filter_by(
            name="toy"
        ).one().notice = "Replayed: 12 years were added to each time."
    for page in ("performance", "drift", "model"):
        said = text_of(open_page(world.viewer, page, model="toy"))
        assert "w-banner" in said
        assert "12 years were added" in said
    assert "toy: times are shifted; the model&#x27;s page says how" in text_of(
        open_page(world.viewer, "overview")
    )


def test_a_window_that_is_not_over_alarms_nobody_and_is_not_chosen_first(
    world: World, open_page: Open
) -> None:
    from backend.monitoring.tables import WindowState

    watched = watch(world)
    with writing() as session:
        session.query(WindowState).filter_by(start=watched.last_window).one().state = "open"
    assert "No column drifted beyond its limit" in text_of(open_page(world.viewer, "drift", model="toy"))
    page = open_page(world.viewer, "drift", model="toy", window=watched.last_window.isoformat())
    said = text_of(page)
    assert "So far, not over yet: 1 column differs (distance)" in said
    assert "w-headline w-unknown" in said
    assert page.selectbox(key="pick:column").value == "distance"


def test_a_window_without_expected_traffic_is_said_to_be_that(world: World, open_page: Open) -> None:
    watched: Watched = watch(world)
    empty = (watched.last_window - timedelta(days=2)).isoformat()
    said = text_of(open_page(world.viewer, "drift", model="toy", window=empty))
    assert "No traffic was expected in this window" in said
    assert "No traffic expected" in said


def test_the_requester_sees_why_they_cannot_decide(world: World, open_page: Open) -> None:
    watch(world)
    change = ask_rollback(world)
    test = open_page(world.on_call, "change", id=str(change))
    assert "You cannot decide" in test.info[0].value
    assert [one.label for one in test.button if "Approve" in one.label] == []
    assert any("Withdraw" in one.label for one in test.button)


def test_a_lead_decides_on_what_they_saw(world: World, open_page: Open) -> None:
    watch(world)
    change = ask_rollback(world)
    test = open_page(world.lead, "change", id=str(change))
    assert "v2 (serves)" in text_of(test)
    test.text_area(key=f"reject:{change}:comment").input("wait for the labels")
    next(one for one in test.button if one.label == f"Reject CHG-{change}").click().run()
    with reading() as session:
        decided = get_change(session, world.lead, change)
        assert decided.state == "rejected"
        assert decided.decisions[0].comment == "wait for the labels"
    said = text_of(open_page(world.lead, "change", id=str(change)))
    assert "before (v2)" in said
    assert "after (v1)" in said
    assert "(serves)" not in said


def test_an_approval_of_what_has_changed_since_is_refused_with_what_to_do(
    world: World, open_page: Open
) -> None:
    watch(world)
    change = ask_rollback(world)
    test = open_page(world.lead, "change", id=str(change))
    with writing() as session:
        get_change(session, world.lead, change).digest = "sha256:" + "0" * 64
    next(one for one in test.button if one.label == f"Approve CHG-{change}").click().run()
    assert "Changed since you looked" in test.error[0].value
    assert "read it again" in test.error[0].value
    with reading() as session:
        assert get_change(session, world.lead, change).state == "waiting"


def test_a_rollback_is_asked_for_from_its_preview(world: World, open_page: Open) -> None:
    watch(world)
    test = open_page(world.on_call, "request_change", kind="rollback", model="toy", alert="1")
    assert "toy returns from v2 to v1 in production" in text_of(test)
    test.text_area(key="request:toy/1:reason").input("AUC fell")
    next(one for one in test.button if one.label == "Ask for the return to v1").click().run()
    assert not test.exception
    with reading() as session:
        asked = get_change(session, world.on_call, 1)
        assert (asked.kind, asked.to_version, asked.alert_id, asked.reason) == ("rollback", 1, 1, "AUC fell")


def test_a_viewer_cannot_send_a_request_and_reads_why(world: World, open_page: Open) -> None:
    watch(world)
    test = open_page(world.viewer, "request_change", kind="rollback", model="toy")
    assert not [one for one in test.button if one.label.startswith("Ask for")]
    assert "Your role cannot ask for changes" in text_of(test)


def test_a_failed_job_is_run_again_by_its_id(world: World, open_page: Open) -> None:
    watch(world)
    test = open_page(world.on_call, "jobs")
    assert "the store is away" in text_of(test)
    test.button(key="retry:run_failed").click().run()
    with reading() as session:
        from backend.queue import JobRun

        assert session.get_one(JobRun, "run_failed-again").state == "queued"


def test_the_writer_is_told_by_its_last_pass_and_not_by_its_lease(world: World, open_page: Open) -> None:
    from backend.leases import WRITER, Lease
    from backend.queue import WorkerBeat

    watch(world)
    assert "no live worker serves the queue “writer”" in text_of(open_page(world.on_call, "jobs"))
    now = clock.now()
    status = {"at": clock.to_iso(now), "rows": 2048, "rows_rejected": 3}
    with writing() as session:
        session.get_one(WorkerBeat, "w1").queues = "metrics,writer"
        session.add(Lease(name=WRITER, holder="", acquired_at=now, expires_at=now, status=status))
    said = text_of(open_page(world.on_call, "jobs"))
    assert "the writer moved 2,048 rows" in said
    assert "stay in the spool" not in said
    assert "set 3 rows aside" in said


def test_backups_and_what_drills_measured_are_told_on_the_page_of_jobs(
    world: World, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.backups.tables import Backup, RestoreDrill

    assert "No backups are made" in text_of(open_page(world.viewer, "jobs"))
    monkeypatch.setenv("WARRANT_BACKUP_FOLDER", "/kept")
    settings.cache_clear()
    assert "No backup was made yet" in text_of(open_page(world.viewer, "jobs"))
    long_ago = clock.now() - timedelta(days=20)
    facts = {
        "digest": "sha256:1",
        "bytes": 3 << 20,
        "entries": 1234,
        "left_out": ["x: a symbolic link"],
        "took_s": 7.0,
    }
    with writing() as session:
        session.add(
            Backup(id="bak_1", file="warrant-1.backup", made_at=long_ago, snapshot_at=long_ago, **facts)
        )
    said = text_of(open_page(world.viewer, "jobs"))
    assert "warrant-1.backup" in said and "1,234" in said and "x: a symbolic link" in said
    assert "No backup was ever restored" in said and "No restore drill has passed yet" in said
    with writing() as session:
        session.add(RestoreDrill(id="run_d1", at=long_ago, ok=True, file="b", rto_s=21.5, rpo_s=7200.0, entries=9,
                                 entries_since=17))  # fmt: skip
        session.add(
            RestoreDrill(id="run_d2", at=clock.now(), ok=False, problem="piece 3 of the backup was altered")
        )
    said = text_of(open_page(world.viewer, "jobs"))
    assert "21.5\u202fs" in said and "17" in said and "2\u202fh" in said
    assert "The last restore drill failed: piece 3 of the backup was altered" in said
    limited = Scope("per_x", "person", ("viewer",), None, frozenset({"toy"}))
    assert (data.backups(limited)["newest"], data.backups(limited)["drills"]) == (None, [])


def test_a_page_the_role_does_not_have_is_not_offered(world: World, open_page: Open) -> None:
    test = open_page(world.viewer, "audit")
    assert "Not allowed" in test.error[0].value
    assert "which comes with" in test.error[0].value
    assert "entries in the audit log" not in text_of(test)


def test_routine_entries_of_the_log_are_hidden_until_asked_for(world: World, open_page: Open) -> None:
    with writing() as session:
        record(session, SYSTEM, Action.WINDOW_COMPUTED, object_kind="window", object_id="the-window")
    test = open_page(world.compliance, "audit")
    assert "the-window" not in text_of(test)
    assert "routine=no" in text_of(test)
    said = text_of(test.toggle(key="quiet").set_value(False).run())
    assert "the-window" in said
    assert "routine=no" not in said


def test_an_injected_fault_is_among_what_changed_around_an_incident(world: World, open_page: Open) -> None:
    watch(world)
    with writing() as session:
        record(
            session, SYSTEM, Action.FAULT_INJECTED, object_kind="workload", object_id="toy",
            payload={"fault": "unit-change", "description": "miles become kilometres"},
        )  # fmt: skip
    assert "fault injected" in text_of(open_page(world.compliance, "incident", id="1"))
    assert "fault injected" not in text_of(open_page(world.viewer, "incident", id="1"))


def test_an_ended_session_shows_how_to_sign_in_and_nothing_else(world: World, open_page: Open) -> None:
    from backend.identity.sessions import revoke_all

    watch(world)
    test = open_page(world.lead, "overview")
    assert "toy" in text_of(test)
    with writing() as session:
        revoke_all(session, world.lead, world.lead.person_id)
    again = text_of(test.run())
    assert "Your session has ended" in again
    assert "toy" not in again


def test_a_change_that_is_not_there_says_so(world: World, open_page: Open) -> None:
    test = open_page(world.lead, "change", id="99")
    assert "there is no change CHG\\-99" in test.error[0].value or "no change CHG-99" in test.error[0].value


def test_an_injected_fault_is_said_on_every_page(world: World, open_page: Open, home: Path) -> None:
    import json

    (home / "demo").mkdir(parents=True)
    since = clock.to_iso(clock.now() - timedelta(minutes=5))
    (home / "demo" / "fault.json").write_text(
        json.dumps({"name": "unit-change", "since": since, "until": None})
    )
    for page in ("overview", "approvals"):
        assert "The fault “unit-change” is switched on" in text_of(open_page(world.viewer, page))


def test_a_page_without_an_entry_in_the_menu_marks_that_of_its_parent(world: World, open_page: Open) -> None:
    ask_rollback(world)

    def marked(page: str, **query: str) -> list[str]:
        found = [
            one.proto.body for one in open_page(world.lead, page, **query).get("html")
        ]  # also outside main
        return [body for body in found if "stTopNavLink" in body and "[href$=" in body]

    assert '[href$="/approvals"]' in marked("change", id="1")[0]
    assert marked("approvals") == [], "Streamlit marks that one"


def test_a_promotion_is_asked_for_with_the_segments_it_is_tried_on(world: World, open_page: Open) -> None:
    watch(world)
    rule = "rollout: {strategy: canary, steps: [0.2, 1], segments_on_request: true}"
    with writing() as session:
        put_in_force(session, world, f"rules: [{{name: all, rule: {{{rule}}}}}]")
        toy = session.get_one(Model, "toy")
        toy.spec = {**toy.spec, "segments": ["carrier"]}
    test = open_page(world.engineer, "request_change", kind="promote", model="toy", to="1")
    assert "tried on rows" not in text_of(test)
    test.session_state["segments"] = ["carrier=AA"]
    test.run()
    assert "tried on rows of carrier=AA first" in text_of(test)
    test.text_area(key="request:toy/1:reason").input("carrier AA first")
    next(one for one in test.button if one.label == "Ask for the promotion to v1").click().run()
    assert not test.exception
    with reading() as session:
        assert get_change(session, world.engineer, 1 + 1).subject == {"segments": {"carrier": ["AA"]}}
