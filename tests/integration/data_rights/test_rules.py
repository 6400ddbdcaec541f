"""Retention asks holds, pseudonyms are stored, and training learns only from who did not opt out."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from backend import clock
from backend.audit.actions import Action
from backend.audit.keys import keys_folder
from backend.audit.log import record
from backend.audit.reading import search_entries
from backend.audit.retention import erase_old_payloads
from backend.audit.verification import verify
from backend.data_rights import retention
from backend.data_rights.extraction import NoPurpose, extract_rows
from backend.data_rights.rules import count_opt_outs, opt_in, opt_out, rule_of, set_rule
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict, NotAllowed
from backend.holds.service import place_hold, release_hold
from backend.observations.columns import BadRow
from backend.observations.pseudonyms import conceal, pseudonym
from backend.observations.reader import read
from backend.settings import settings
from jobs.keep_data import trim_models
from tests.explained import store_explained
from tests.integration.data_rights.conftest import (
    SUBJECT_SPEC,
    Here,
    describe,
    ids_of,
    move_spool,
    send,
    write_report_file,
)
from tests.worlds import SYSTEM, World


def write_rule(world: World, **more: object) -> None:
    with writing() as session:
        set_rule(session, world.compliance, model="toy", why="agreed", **{"purposes": [], **more})  # type: ignore[arg-type]


def trim() -> dict[str, dict[str, int]]:
    return trim_models(Here())  # type: ignore[arg-type]


def test_pseudonyms_are_stored_in_place_of_declared_columns(world: World) -> None:
    send({"p1": "Ada L.", "p2": "Ada L.", "p3": "Bob"})
    move_spool()
    stored = read(settings().observations, "toy").column("passenger").to_pylist()
    assert sorted(stored) == sorted([pseudonym("toy", "Ada L.")] * 2 + [pseudonym("toy", "Bob")])
    assert "Ada" not in str(stored)
    assert pseudonym("toy", "Ada L.") != pseudonym("other", "Ada L.")
    assert pseudonym("toy", pseudonym("toy", "Ada L.")) == pseudonym("toy", "Ada L.")


def test_tables_and_objects_get_the_same_pseudonyms(world: World) -> None:
    table = conceal("toy", ["who"], pa.table({"who": ["Ada", None, "Bob"], "x": [1, 2, 3]}))
    rows = conceal(
        "toy", ["who"], [{"who": "Ada"}, {"features": {"who": None}}, {"features": {"who": "Bob"}}]
    )
    assert isinstance(table, pa.Table)
    assert table.column("who").to_pylist() == [
        rows[0]["who"], rows[1]["features"]["who"], rows[2]["features"]["who"],  # type: ignore[index]
    ]  # fmt: skip
    assert conceal("toy", ["who"], pa.table({"who": pa.array([7])})).column("who")[0].as_py() == pseudonym(
        "toy", "7"
    )  # type: ignore[union-attr]
    for payload in (pa.table({"who": [0.5]}), [{"who": 0.5}]):
        with pytest.raises(BadRow, match="pseudonymised column"):
            conceal("toy", ["who"], payload)


@pytest.mark.parametrize("key", ["subject", "pseudonymise"])
def test_a_spec_names_only_columns_of_text(world: World, key: str) -> None:
    from backend.monitoring.columns import parse_spec

    with pytest.raises(BadInput, match=key):
        parse_spec({**SUBJECT_SPEC, key: "distance" if key == "subject" else ["distance"]})


def test_days_that_a_rule_keeps_no_longer_are_let_go_and_a_hold_keeps_them(world: World) -> None:
    send({"old": "Ada"}, days_ago=40)
    send({"new": "Ada"})
    move_spool()
    drawn = [write_report_file("toy", clock.now() - timedelta(days=days)) for days in (32, 28)]
    write_rule(world, predictions_days=30)
    with writing() as session:
        hold = place_hold(session, world.compliance, kind="predictions", object_id="toy", reason="a case")
    assert trim() == {"toy": {}}
    assert ids_of(ids=["old", "new"]) == ["new", "old"]
    assert all(one.exists() for one in drawn)
    with writing() as session:
        hold = release_hold(session, _other(world), hold.id, why="it is over")
    assert trim() == {"toy": {"predictions": 1, "labels": 1, "reports": 1}}
    assert [one.exists() for one in drawn] == [False, True]
    assert ids_of(ids=["old", "new"]) == ["new"]
    assert trim() == {"toy": {}}
    with reading() as session:
        (entry,) = search_entries(session, world.compliance, action="data:rows:trim")
    assert entry.payload is not None
    assert entry.payload["counts"] == {"predictions": 1, "labels": 1, "reports": 1}


@pytest.mark.parametrize("kind", ["windows", "person"])
def test_a_hold_on_windows_or_on_a_person_keeps_the_reports(world: World, kind: str) -> None:
    report = write_report_file("toy", clock.now() - timedelta(days=40))
    write_rule(world, predictions_days=30)
    thing, of = ("toy", None) if kind == "windows" else ("Ada", "toy")
    with writing() as session:
        place_hold(session, world.compliance, kind=kind, object_id=thing, model=of, reason="a case")
    assert trim() == {"toy": {}}
    assert report.exists()


def _other(world: World) -> object:
    from dataclasses import replace

    from backend.identity.roles import Role

    return replace(world.lead, roles=frozenset({Role.COMPLIANCE}))


def test_explanations_and_payloads_go_after_their_days_and_the_log_verifies(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing() as session:
        for rows in (7, 8, 9):
            record(
                session,
                SYSTEM,
                Action.BATCH_INGESTED,
                object_kind="model",
                object_id="toy",
                payload={"rows": rows},
            )
        record(session, SYSTEM, Action.CHANGE_APPROVED, object_kind="change", object_id=1, why="kept")
        store_explained(session, "p1")
    write_rule(world, explanations_days=30, payloads_days=180)
    assert trim() == {"toy": {}}
    later = clock.now() + timedelta(days=200)
    monkeypatch.setattr(clock, "now", lambda: later)
    monkeypatch.setattr(retention, "AT_ONCE", 1)
    gone = trim()["toy"]
    assert gone["explanations"] == 1
    assert gone["payloads"] >= 3, "also where more are due than one transaction takes"
    assert trim()["toy"] == {}
    with reading() as session:
        batches = search_entries(session, world.compliance, action="observations:batch:ingest")
        (kept,) = search_entries(session, world.compliance, action="governance:change:approve")
    assert len(batches) == 3 and all("proof intact" in batch.erased for batch in batches)
    assert kept.why == "kept"
    with writing() as session:
        assert erase_old_payloads(session, SYSTEM, before=clock.now()) > 0
    with reading() as session:
        (rule,) = search_entries(session, world.compliance, action="data:rule:set")
        trimmed = search_entries(session, world.compliance, action="data:rows:trim")
    assert rule.payload and trimmed and all(one.payload for one in trimmed), (
        "what says why data are gone outlasts them"
    )
    assert verify().ok


def test_a_models_rule_waits_a_week_for_a_siem_that_has_not_taken_the_payloads(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_STREAMS", "syslog tcp://siem.example:601 cef payload")
    settings.cache_clear()
    with writing() as session:
        record(
            session, SYSTEM, Action.BATCH_INGESTED, object_kind="model", object_id="toy", payload={"rows": 7}
        )
    write_rule(world, payloads_days=30)
    for days, gone in ((31, False), (38, True)):
        later = clock.now() + timedelta(days=days)
        with monkeypatch.context() as then:
            then.setattr(clock, "now", lambda moment=later: moment)
            trim()
        with reading() as session:
            (batch,) = search_entries(session, world.compliance, action="observations:batch:ingest")
        assert bool(batch.erased) is gone


def test_only_compliance_writes_rules_and_knows_purposes(world: World) -> None:
    with writing() as session, pytest.raises(NotAllowed):
        set_rule(session, world.lead, model="toy", purposes=[], why="so")
    with writing() as session, pytest.raises(BadInput, match="is no purpose"):
        set_rule(session, world.compliance, model="toy", purposes=["selling"], why="so")
    write_rule(world, purposes=["retraining", "monitoring"], basis="consent of 2026")
    with reading() as session:
        rule = rule_of(session, world.viewer, "toy")
    assert rule is not None
    assert rule.purposes == ["monitoring", "retraining"]


def ids_to_learn_from(world: World) -> tuple[list[str], int]:
    with reading() as session:
        found = extract_rows(
            session, world.engineer, model="toy", observations=settings().observations,
            columns=["prediction_id", "distance"],
        )  # fmt: skip
    assert found.rows.column_names == ["prediction_id", "distance"]
    return sorted(found.rows.column("prediction_id").to_pylist()), found.opted_out


def test_training_takes_only_rows_for_a_recorded_purpose_of_who_did_not_opt_out(world: World) -> None:
    send({"p1": "Ada", "p2": "Bob", "p3": "Ada"})
    move_spool()
    with pytest.raises(NoPurpose, match="not recorded for retraining"):
        ids_to_learn_from(world)
    write_rule(world, purposes=["retraining"])
    assert ids_to_learn_from(world) == (["p1", "p2", "p3"], 0)
    with writing() as session:
        opt_out(session, world.compliance, model="toy", value="Ada", why="she said so")
        opt_out(session, world.compliance, model="toy", value="Ada")
    assert ids_to_learn_from(world) == (["p2"], 2)
    with reading() as session:
        assert count_opt_outs(session, world.viewer, "toy") == 1
    describe({key: value for key, value in SUBJECT_SPEC.items() if key != "subject"})
    with pytest.raises(NoPurpose, match="no longer says"):
        ids_to_learn_from(world)
    describe(SUBJECT_SPEC)
    with writing() as session:
        opt_in(session, world.compliance, model="toy", value="Ada")
    assert ids_to_learn_from(world) == (["p1", "p2", "p3"], 0)


def test_an_opt_out_holds_where_the_column_is_stored_as_it_came(world: World) -> None:
    describe({**SUBJECT_SPEC, "pseudonymise": []})
    send({"p1": "Ada", "p2": "Bob"})
    move_spool()
    write_rule(world, purposes=["retraining"])
    with writing() as session:
        opt_out(session, world.compliance, model="toy", value="Ada")
    assert ids_to_learn_from(world) == (["p2"], 1)
    (keys_folder() / "pseudonyms-toy.key").unlink()
    with pytest.raises(Conflict, match="nobody who is stored under it can be found"):
        ids_to_learn_from(world)


def test_what_only_looks_like_a_pseudonym_is_concealed() -> None:
    made = pseudonym("toy", "Ada")
    assert pseudonym("toy", made) == made
    for value in ("psn_ada.lovelace@example.com-000000000", "psn_" + "A" * 32, made + "0"):
        assert pseudonym("toy", value) not in (value, made)


def test_a_gateway_stores_pseudonyms_and_knows_a_repeated_row_by_what_it_stored(world: World) -> None:
    """What came back from the store has only pseudonyms; the same request sent again must still be the same row."""
    import json

    from backend.observations.pseudonyms import conceal_row
    from backend.serving.requests import content_of, parse_request

    def stored(features: dict[str, float | str]) -> dict[str, float | str]:
        return conceal_row("toy", ("carrier",), features)

    body = json.dumps({"prediction_id": "p1", "features": {"distance": 1.0, "carrier": "UA"}}).encode()
    kinds = {"distance": "numeric", "carrier": "categorical"}
    (asked,) = parse_request(body, kinds, now=clock.now(), stored=stored).instances  # type: ignore[arg-type]
    assert asked.features["carrier"] == "UA"  # what is scored
    assert stored(dict(asked.features))["carrier"] == pseudonym("toy", "UA")
    assert asked.content == content_of(stored(dict(asked.features)), None)
