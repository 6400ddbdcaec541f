"""Bringing in a model by the page: what it proposes, what a person changes, that nothing happens before they say so."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from streamlit.testing.v1 import AppTest

from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed
from backend.onboarding.given_files import forget_given, forget_old_given, given_folder, keep_given
from backend.onboarding.previewing import read_preview, rows_in_reference
from backend.onboarding.proposing import propose_document
from backend.onboarding.source_files import find_source, list_sources, names_and_types
from backend.queue import PRUNE, JobRun
from backend.registry.tables import Model
from backend.settings import settings
from jobs import prune
from jobs.schedules import SCHEDULES
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.worlds import World

__all__ = ["open_page", "world"]
ROWS = 900
COLUMNS = ("request_id", "ts", "score", "label", "amount", "country", "hash")


def loans(folder: Path, *, rows: int = ROWS) -> Path:
    """Loans of 90 days, ten a day: a score, what became of them, and one column that nobody can compare."""
    folder.mkdir(parents=True, exist_ok=True)
    target, begin = folder / "loans.csv", datetime(2026, 1, 1, tzinfo=UTC)
    with target.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(rows):
            at = begin + timedelta(hours=2.4 * number)
            score = (number * 37 % 100) / 100
            writer.writerow([
                f"loan-{number}", f"{at:%Y-%m-%d %H:%M:%S}", score, int(score > 0.5), 100.5 + number * 7 % 400,
                ("NL", "DE", "FR")[number % 3], f"{number * 7919:x}",
            ])  # fmt: skip
    return target


@pytest.fixture
def source(world: World) -> Iterator[str]:
    yield loans(settings().resolved_home() / "sources").name


def models() -> set[str]:
    with reading() as session:
        return set(session.scalars(select(Model.name)))


def entries() -> int:
    with reading() as session:
        return session.scalar(select(func.count()).select_from(AuditEntry)) or 0


def button(test: AppTest, label: str) -> None:
    next(one for one in test.button if one.label == label).click().run()


def test_a_file_is_proposed_with_reasons_and_nothing_is_recorded(
    world: World, open_page: Open, source: str
) -> None:
    test = open_page(world.engineer, "start", source=source)
    before = entries()
    said = text_of(test.run())
    assert "loans.csv: 900 predictions, 01 Jan 2026 to 31 Mar 2026" in said
    assert "task binary" in said
    assert "text with 3 distinct values" in said and "NL, DE, FR" in said
    assert "an identifier" in said
    assert "What the policy asks" in said or "ml lead" in said
    assert "Bring in loans" in said
    assert "counts as a gap" in said
    assert entries() == before and "loans" not in models()


def test_what_a_person_says_goes_into_the_model_and_the_import_is_followed(
    world: World, open_page: Open, source: str
) -> None:
    test = open_page(world.engineer, "start", source=source)
    test.text_input(key="start:name").set_value("credit").run()
    test.selectbox(key="start:tier").set_value("low").run()
    test.selectbox(key="start:window").set_value("1w").run()
    test.date_input(key="start:until").set_value(date(2026, 2, 1)).run()
    kept = next(one for one in test.multiselect if one.label == "Monitors")
    kept.set_value([0]).run()
    column, kind = (next(one for one in test.selectbox if one.label == label) for label in ("Column", "Is"))
    column.set_value("country")
    kind.set_value("left out")
    button(test, "Set it")
    assert "310 of 900 rows" in text_of(test)
    assert "you said so" in text_of(test)
    button(test, "Bring in credit")
    assert not test.exception and not test.error
    with reading() as session:
        model = session.scalars(select(Model).where(Model.name == "credit")).one()
        run = session.scalars(select(JobRun).where(JobRun.subject == "credit")).one()
        assert (model.tier, model.spec["window"]) == ("low", "1w")
        assert set(model.spec["features"]) == {"amount", "hash"}
        assert run.arguments["document"]["history"]["reference"]["until"].startswith("2026-02-01T00:00:00")
        assert len(run.arguments["document"]["monitors"]) == 1
        assert run.arguments["document"]["objectives"][0]["spec"]["service"] == "credit"
    said = text_of(test)
    assert "credit is recorded; its history waits for a worker" in said
    assert test.query_params["model"] == "credit" and test.query_params["run"] == run.id


def test_the_tier_follows_once_every_question_is_answered(world: World, open_page: Open, source: str) -> None:
    test = open_page(world.lead, "start", source=source)
    for one in [one for one in test.selectbox if str(one.key).startswith("start:answer:")]:
        one.set_value(one.options[0]) if one.value else one.select_index(0)
    test.run()
    said = text_of(test)
    assert "Risk tier **low** follows from the answers." in said
    assert not [one for one in test.selectbox if one.key == "start:tier"]
    assert "unanswered" not in said


def test_a_column_that_nobody_recognises_is_named_by_the_person(world: World, open_page: Open) -> None:
    path = loans(settings().resolved_home() / "sources")
    path.write_text(path.read_text().replace("score,label", "number,verdict"))
    test = open_page(world.engineer, "start", source="loans.csv")
    assert "No column looks like what was predicted (prediction); choose it below" in "".join(
        one.value for one in test.error
    )
    test.selectbox(key="start:role:score").set_value("number").run()
    test.selectbox(key="start:role:label").set_value("verdict").run()
    assert "loans.csv: 900 predictions" in text_of(test)
    assert "task binary" in text_of(test)
    # And one that was recognised is not taken where the person says so.
    test.selectbox(key="start:role:prediction_id").set_value("no column").run()
    assert "id of the prediction" not in text_of(test)


def test_a_name_that_cannot_be_is_refused_before_there_is_a_button(
    world: World, open_page: Open, source: str
) -> None:
    test = open_page(world.engineer, "start", source=source)
    test.text_input(key="start:name").set_value("two words").run()
    assert "model.name" in "".join(one.value for one in test.error)
    assert not [one for one in test.button if one.label.startswith("Bring in")]


def test_only_who_registers_versions_comes_in(world: World, open_page: Open, source: str) -> None:
    for who in (world.viewer, world.on_call, world.compliance):
        assert "Not allowed" in "".join(one.value for one in open_page(who, "start", source=source).error)


def test_an_empty_installation_leads_who_registers_to_the_page(world: World, open_page: Open) -> None:
    with writing() as session:
        session.get_one(Model, "toy").spec = {}
    assert "Nothing to watch" in text_of(open_page(world.viewer, "overview"))
    assert "Bring in a model: a file of its predictions is enough" in text_of(
        open_page(world.engineer, "overview")
    )


def test_a_file_that_was_handed_in_is_found_by_its_path_alone_and_goes(world: World) -> None:
    data = loans(settings().resolved_home() / "elsewhere").read_bytes()
    with reading() as session:
        path = keep_given(session, world.engineer, name="../my loans.csv", data=data)
        assert path == keep_given(session, world.engineer, name="my loans.csv", data=data)
        for name, wrong in (("loans.exe", data), ("loans.csv", b"")):
            with pytest.raises(BadInput):
                keep_given(session, world.engineer, name=name, data=wrong)
        with pytest.raises(NotAllowed):
            keep_given(session, world.viewer, name="loans.csv", data=data)
    source = find_source(path)
    assert source.read_bytes() == data and source.name == "my-loans.csv"
    assert list_sources() == [], "files of others are not listed"
    assert forget_old_given() == 0
    assert not forget_given(settings().resolved_home() / "warrant.db")
    assert forget_given(source)
    assert not list(given_folder().iterdir())


def test_a_file_that_nobody_has_imported_is_gone_after_a_day(world: World) -> None:
    with reading() as session:
        path = keep_given(session, world.engineer, name="loans.csv", data=b"ts,score\n")
    folder, hours = (
        given_folder() / Path(path).parts[0],
        next(one.every_s for one in SCHEDULES if one.job == PRUNE) / 3600,
    )
    looked_at = time.time() - (24 - hours) * 3600 - 1
    os.utime(folder, (looked_at, looked_at))
    assert "forget_given" in prune.STEPS
    assert forget_old_given() == 1
    assert not folder.exists()


def test_a_file_that_is_not_what_its_ending_says_or_unpacks_to_too_much_is_not_taken(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, data = world.engineer, parquet(tmp_path / "loans.parquet").read_bytes()
    with writing() as session:
        keep_given(session, who, name="loans.parquet", data=data)
        with pytest.raises(BadInput, match="no Parquet file"):
            keep_given(session, who, name="loans.parquet", data=b"ts,score\n")
        with pytest.raises(BadInput, match="no Parquet file"):
            keep_given(session, who, name="loans.parquet", data=data[:-20])
        monkeypatch.setattr("backend.onboarding.given_files.MOST_VALUES", ROWS)
        with pytest.raises(BadInput, match="more than are read here"):
            keep_given(session, who, name="loans.parquet", data=data)
        monkeypatch.undo()
        monkeypatch.setattr("backend.onboarding.given_files.MOST_PLAIN_BYTES", 100)
        with pytest.raises(BadInput, match="more than are read here"):
            keep_given(session, who, name="loans.parquet", data=data)


def test_a_file_whose_rows_are_torn_is_told_by_every_reader(tmp_path: Path) -> None:
    torn = parquet(tmp_path / "loans.parquet")
    content = bytearray(torn.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    content[4:-footer] = bytes((one * 7 + 13) % 256 for one in content[4:-footer])
    torn.write_bytes(content)
    roles, until = {"ts": "ts", "score": "score"}, datetime(2026, 2, 1, tzinfo=UTC)
    for read in (
        lambda: propose_document(torn, columns=roles),
        lambda: read_preview(torn, roles),
        lambda: rows_in_reference(torn, "ts", None, until, "UTC"),
    ):
        with pytest.raises(BadInput, match=r"^loans\.parquet cannot be read"):
            read()


def test_a_file_with_more_columns_than_are_looked_at_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.onboarding.source_files.MOST_COLUMNS", len(COLUMNS) - 1)
    with pytest.raises(BadInput, match=f"{len(COLUMNS)} columns"):
        names_and_types(loans(tmp_path))


def parquet(target: Path) -> Path:
    """`loans`, as Parquet."""
    import duckdb

    table = duckdb.connect().read_csv(str(loans(target.parent)))
    table.write_parquet(str(target))
    return target
