"""The views of the Audit page: entries, findings, population and sample, and the house as it was."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import streamlit as st

from backend import clock
from backend.audit.actions import Action
from backend.audit.export import begin_export
from backend.audit.finding_hands import count_findings, list_findings
from backend.audit.findings import GAP, close_finding, open_finding, open_findings
from backend.audit.log import record
from backend.audit.reading import search_entries
from backend.audit.reconciliation import CURSOR, reconcile
from backend.audit.saved_searches import save_search
from backend.audit.searching import Search
from backend.audit.tables import AuditCursor
from backend.database.session import reading, writing
from backend.settings import settings
from tests.integration.app.test_pages import Open, open_page, text_of, world  # noqa: F401
from tests.integration.audit.test_population import add_change
from tests.worlds import SYSTEM, World


def test_entries_are_dated_in_utc_with_seconds_and_leave_in_every_form(world: World, open_page: Open) -> None:  # noqa: F811
    with writing() as session:
        record(session, SYSTEM, Action.CHANGE_APPROVED, object_kind="change", object_id=7, why="Späte Gründe")
        save_search(session, world.compliance, name="approvals", wanted=Search(action="governance:change"))
    with reading() as session:
        (entry,) = search_entries(session, world.compliance, text="gründe")
    assert entry.at is not None
    page = open_page(world.compliance, "audit")
    said = text_of(page.text_input(key="text").set_value("gründe").run())
    assert f"{entry.at:%Y-%m-%d %H:%M:%S} UTC" in said
    for form in ("jsonl", "csv", "ocsf", "cef"):
        assert f"/export/audit.{form}?text=" in said
    assert "action=governance%3Achange" in said
    assert "Späte" not in text_of(page.text_input(key="text").set_value("nothing of the sort").run())


def test_a_system_that_gets_nothing_is_not_said_to_be_well(
    world: World,  # noqa: F811
    open_page: Open,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_STREAMS", "syslog tcp://siem.example:601 cef")
    settings.cache_clear()
    said = text_of(open_page(world.compliance, "audit", view="findings"))
    assert "nothing was sent yet" in said
    assert "No system follows the log" not in said
    with writing() as session:
        session.add(
            AuditCursor(name="stream syslog tcp://siem.example:601", next_seq=0, moved_at=clock.now())
        )
    st.cache_data.clear()
    ahead = clock.now() + timedelta(hours=2)
    monkeypatch.setattr(clock, "now", lambda: ahead)
    said = text_of(open_page(world.compliance, "audit", view="findings"))
    assert "behind since" in said
    assert "takes entries" not in said


def test_findings_that_are_not_shown_are_counted(
    world: World,  # noqa: F811
    open_page: Open,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with writing() as session:
        for number in range(3):
            open_finding(session, SYSTEM, GAP, subject=str(number), title=f"gap {number}")
    monkeypatch.setattr("app.components.audit_findings.MOST", 2)
    page = open_page(world.compliance, "audit", view="findings")
    assert sum(one.label == "Set the owner" for one in page.button) == 2
    assert "the first 2 of 3 open findings" in text_of(page)
    with reading() as session:
        (third,) = list_findings(session, world.compliance, limit=2, offset=2)
        assert (third.title, count_findings(session, world.compliance)) == ("gap 2", 3)


def test_findings_are_listed_with_owner_and_a_way_to_close_them(world: World, open_page: Open) -> None:  # noqa: F811
    with writing() as session:
        begin_export(session, world.lead, Search(), form="csv")
    with writing() as session:
        reconcile(session, SYSTEM)
    said = text_of(open_page(world.compliance, "audit", view="findings"))
    assert "The log was exported" in said
    assert "for information" in said
    assert "no data" not in said  # of what is only to be noted nobody says that it is not known
    assert "nobody yet" in said
    assert "No system follows the log" in said
    with reading() as session:
        number = next(one.id for one in open_findings(session) if one.kind == "export")
    page = open_page(world.compliance, "audit", view="findings")
    page.text_area(key=f"close-log-finding:{number}:why").set_value("the yearly audit")
    next(one for one in page.button if one.key == f"close-log-finding:{number}:open:None").click().run()
    with reading() as session:
        assert number not in {one.id for one in open_findings(session)}
    assert "the yearly audit" in text_of(open_page(world.compliance, "audit", view="findings"))


def test_the_population_agrees_and_a_sample_is_drawn(world: World, open_page: Open) -> None:  # noqa: F811
    with writing() as session:
        numbers = [add_change(session, world.lead) for _ in range(4)]
    year = str(clock.now().year)
    page = open_page(world.compliance, "audit", view="population", period=year)
    assert f"4 changes in {year}; the log and the table of changes agree" in text_of(page)
    drawn = text_of(next(one for one in page.button if one.label == "Draw the sample").click().run())
    for number in numbers:
        assert f"CHG-{number}" in drawn
    assert "warrant audit sample --period" in drawn
    with reading() as session:
        assert len(search_entries(session, world.compliance, action="audit:sample:draw")) == 1
    assert "is no period" in text_of(open_page(world.compliance, "audit", view="population", period="soon"))


def test_the_house_is_shown_as_it_was(world: World, open_page: Open, tmp_path: Path) -> None:  # noqa: F811
    said = text_of(open_page(world.compliance, "audit", view="then"))
    assert "As it was at" in said
    assert "v2 champion in production" in said
    assert "the policy that Warrant comes with" in said or "policy revision" in said
    assert "ml lead" in said
    assert "Roles are shown to those" in text_of(open_page(world.on_call, "audit", view="then"))


def test_a_log_that_was_never_compared_is_not_called_fine(world: World, open_page: Open) -> None:  # noqa: F811
    said = text_of(open_page(world.compliance, "audit", view="findings"))
    assert "never compared" in said
    assert "Nothing about the log needs a person" not in said
    with writing() as session:
        reconcile(session, SYSTEM)
        for one in open_findings(session):
            close_finding(session, SYSTEM, one.kind, subject=one.subject, why="a test")
        at = session.get_one(AuditCursor, CURSOR).moved_at
    st.cache_data.clear()
    said = text_of(open_page(world.compliance, "audit", view="findings"))
    assert f"last compared with what happened at {at:%Y-%m-%d %H:%M:%S} UTC" in said
    assert "Nothing about the log needs a person" in said
    with writing() as session:
        session.get_one(AuditCursor, CURSOR).moved_at = at - timedelta(hours=2)
    st.cache_data.clear()
    said = text_of(open_page(world.compliance, "audit", view="findings"))
    assert "not compared lately" in said
    assert "Nothing about the log needs a person" not in said


def test_an_entry_names_session_request_and_address_in_utc_and_leads_to_its_object(
    world: World,  # noqa: F811
    open_page: Open,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    actor = replace(world.lead, session_id="ses_1", request_id="req_1", address="10.0.0.7")
    with writing() as session:
        seq = record(session, actor, Action.CHANGE_APPROVED, object_kind="change", object_id=4)
    monkeypatch.setattr(type(st.context), "timezone", property(lambda _: "Europe/Berlin"))
    page = open_page(world.compliance, "audit_entry", seq=str(seq))
    said = text_of(page)
    assert f"Entry {seq:,}: Lead approved change 4" in said
    for fact in ("ses_1", "req_1", "10.0.0.7"):
        assert f"<dd>{fact}</dd>" in said
    assert re.search(r"<dt>when</dt><dd>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</dd>", said)
    assert '<a href="/change?id=4" target="_self">change 4</a>' in said
    assert any("The proof" in one.label for one in page.expander)
    assert "10.0.0.7" not in text_of(open_page(world.on_call, "audit_entry", seq=str(seq)))
