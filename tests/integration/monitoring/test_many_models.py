"""Houses with so many models that a statement with a term or a parameter for each of them would be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Text, event, insert, literal, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.tables import AuditEntry, AuditPayload
from backend.database.many import FirstPart, among, any_of
from backend.database.session import reading, writing
from backend.errors import BadInput, NotFound
from backend.holds.payloads import kept_payloads
from backend.holds.tables import Hold
from backend.identity.actor import Actor, system_actor
from backend.identity.reach import entries_in_reach, see
from backend.identity.roles import Role
from backend.monitoring.columns import parse_spec
from backend.monitoring.health import health_among, overview
from backend.monitoring.point_pages import Place, page_of_points
from backend.monitoring.reading import recent_windows
from backend.queue import JobRun
from backend.registry.service import described_models
from backend.registry.tables import Model
from tests.integration.monitoring.fleet import add_windows, make_fleet
from tests.worlds import person

CONSOLE = system_actor("console")


def test_a_house_of_1100_models_has_an_overview_also_for_who_sees_only_these(migrated_home: Path) -> None:
    names = make_fleet(1100)
    with writing() as session:
        holder = person(session, "holder", Role.COMPLIANCE).person_id
        for kind, name in (
            ("model", "m0003"),
            ("version", "m0005/1"),
            ("version", "elsewhere/1"),
            ("model", "other"),
        ):
            record(session, CONSOLE, Action.MODEL_REGISTERED, object_kind=kind, object_id=name,
                   payload={"of": "m0003" if kind == "version" else ""})  # fmt: skip
        for at, subject in enumerate(("m0007", "m0008/2", "m0009 again", "elsewhere", "m00091")):
            session.add(JobRun(id=f"run_{at}", name="n", queue="q", subject=subject, arguments={},
                               requested_at=clock.now()))  # fmt: skip
        session.execute(insert(Hold), [
            {"kind": "log", "object_id": name, "reason": "r", "placed_by": holder, "placed_at": clock.now(),
             "released_because": ""}
            for name in names
        ])  # fmt: skip
    with reading() as session:
        found = overview(session, CONSOLE, "production")
        assert len(found) == 1100
        assert {(one.level, one.word, one.value, one.reference) for one in found} == {
            ("unknown", "not judged", 0.8, 0.8)
        }
        assert "90 of 100 labels of a newer window say roc auc" in found[0].because
        held = kept_payloads(session)
        assert held is not None
        named = (
            select(AuditEntry.object_id).join(AuditPayload, AuditPayload.seq == AuditEntry.seq).where(held)
        )
        assert set(session.scalars(named)) == {"m0003", "m0005/1", "elsewhere/1"}
    auditor = Actor("per_ext", "person", frozenset({Role.AUDITOR}), models=frozenset(names))
    with reading() as session:
        assert len(overview(session, auditor, "production")) == 1100
        entries = select(AuditEntry.object_id).where(*entries_in_reach(session))
        assert set(session.scalars(entries)) == {"m0003", "m0005/1"}
        assert set(session.scalars(select(JobRun.subject))) == {"m0007", "m0008/2", "m0009 again"}


def test_windows_are_the_newest_of_each_model_whatever_their_size(migrated_home: Path) -> None:
    names = make_fleet(120, windows=5)
    with writing() as session:
        for name in names[:3]:
            session.get_one(Model, name).spec = {**session.get_one(Model, name).spec, "window": "1w"}
    with reading() as session:
        models = described_models(session)
        found = recent_windows(session, CONSOLE, models, "production", count=3)
        assert {(name, len(one.realised)) for name, one in found.items()} == {
            (name, 0 if name in names[:3] else 3) for name in names
        }
        days = [one.window_start for one in found[names[3]].realised]
        assert days == sorted(days)
        assert found[names[3]].last_start == days[-1]
        see(session, Actor("per_ext", "person", frozenset({Role.AUDITOR}), models=frozenset(names[1:])))
        with pytest.raises(NotFound, match="m0000"):
            recent_windows(session, CONSOLE, models, "production")


def test_conditions_hold_of_any_number_of_values_on_both_databases(database: str) -> None:
    text = literal("m7/3/1", Text)
    many = [f"m{one}" for one in range(40_000)]
    with reading() as session:
        for names, numbers in ((many, range(40_000)), (many[:9], range(9)), ([], [])):
            listed, there = list(numbers), bool(names)
            asked = session.execute(
                select(among(FirstPart(text), names), among(literal(7), listed), ~among(literal(-1), listed))
            ).one()
            assert tuple(asked) == (there, there, True), (database, len(names))
        assert session.scalar(select(FirstPart(literal("plain", Text)))) == "plain"
        terms = [literal(one) == 1_199 for one in range(1_200)]
        assert session.scalar(select(any_of(terms)))
        assert not session.scalar(select(any_of(terms[:-1])))


def test_home_asks_as_often_for_many_models_as_for_few(migrated_home: Path) -> None:
    names = make_fleet(220)
    asked: list[str] = []
    with reading() as session:
        event.listen(session.connection(), "before_cursor_execute", lambda *told: asked.append(told[2]))
        few = health_among(session, CONSOLE, names[:5], "production")
        first, asked[:] = len(asked), []
        many = overview(session, CONSOLE, "production")
    assert (len(few), len(many)) == (5, 220)
    assert len(asked) == first <= 12
    assert not [one for one in asked if "versions.parameters" in one], (
        "only what is drawn is read of a version"
    )


def test_a_spec_is_read_once_however_often_it_is_asked_for() -> None:
    written = {"task": "binary", "features": {"x": "numeric"}, "owner": "once"}
    assert parse_spec(written) is parse_spec(dict(written))
    assert parse_spec({**written, "cutoff": 0.4}).cutoff == 0.4
    with pytest.raises(BadInput, match="1 is not a column name"):
        parse_spec({**written, "features": {1: "numeric"}})
    assert parse_spec({**written, "features": {"1": "numeric"}}).features[0].name == "1"
    for _ in range(2):
        with pytest.raises(BadInput, match="is task meant"):
            parse_spec({"tasks": "binary"})


def test_points_are_paged_down_the_index_of_their_model_over_every_size(migrated_home: Path) -> None:
    names = make_fleet(3, windows=4)
    add_windows(names[:1], windows=3, size="1h")
    plans: list[Any] = []
    with reading() as session:
        connection = session.connection()

        def explain(_connection: object, cursor: Any, text: str, given: Any, *_: object) -> None:
            if text.startswith("SELECT metric_points.id"):
                plans.extend(cursor.connection.execute(f"EXPLAIN QUERY PLAN {text}", given).fetchall())

        event.listen(connection, "before_cursor_execute", explain)
        whole, behind = page_of_points(session, CONSOLE, names[0], "production", limit=50)
        assert behind is None
        pages: list[Any] = []
        place: Place | None = None
        while True:
            page, behind = page_of_points(session, CONSOLE, names[0], "production", before=place, limit=2)
            pages += page
            if behind is None:
                break
            place = Place.read(str(behind))
            assert place == behind
    assert [point.id for point, _ in pages] == [point.id for point, _ in whole]
    assert [point.window_start for point, _ in whole] == sorted(
        (point.window_start for point, _ in whole), reverse=True
    )
    assert {point.size for point, _ in whole} == {"1d", "1h"}
    said = {plan[-1] for plan in plans}
    assert not [one for one in said if one.startswith("SCAN") or "ORDER BY" in one], said
    assert any("ix_metric_points_model_window_start" in one for one in said)


@pytest.mark.parametrize(
    "text", ["7", "~7", "2026-03-01T00:00:00~7", "2026-03-01T00:00:00.000000Z~", "x" * 25 + "~7"]
)
def test_a_place_that_no_answer_gave_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="`next` of the page before"):
        Place.read(text)
