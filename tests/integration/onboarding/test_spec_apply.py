"""A model as one document: proposed from a file, put in force, and the same afterwards; governed as anything else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select

from backend.audit.tables import AuditEntry
from backend.cards.versions import newest_card
from backend.database.session import reading, writing
from backend.governance.tables import Change
from backend.monitoring.monitor_tables import MonitorVersion
from backend.observations import store
from backend.observations.reader import row_counts
from backend.onboarding.writing import write_document
from backend.queue import JobRun
from backend.registry.tables import Model, Version
from backend.settings import settings
from backend.slo.tables import ObjectiveRevision
from jobs import import_history
from tests.integration.api.conftest import Callers
from tests.integration.onboarding import conftest as steps
from tests.worlds import set_tier


@pytest.fixture
def source(sqlite_callers: Callers, bikes: Path) -> Path:
    """The bikes where workers may read."""
    folder = settings().resolved_home() / "sources"
    folder.mkdir()
    return Path(shutil.copy(bikes, folder / "bikes.csv"))


def propose(callers: Callers, **changes: Any) -> dict[str, Any]:
    """The proposed document, of low tier unless said otherwise."""
    answer = callers.post(
        "engineer", "/specs/proposals", {"path": "bikes.csv", "columns": {"label": "label"}}
    )
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = yaml.safe_load(answer.json()["document"])
    document["model"]["tier"] = changes.pop("tier", "low")
    return document | changes


def apply(callers: Callers, document: dict[str, Any] | str, who: str = "engineer") -> dict[str, Any]:
    text = document if isinstance(document, str) else write_document(document)
    answer = callers.post(who, "/specs/apply", {"document": text, "why": "first"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def differences(callers: Callers, document: dict[str, Any]) -> list[tuple[str, str, str]]:
    answer = callers.post("lead", "/specs/diff", {"document": write_document(document)})
    assert answer.status_code == 200, answer.text
    return [(one["part"], one["name"], one["state"]) for one in answer.json()["differences"]]


def counted() -> dict[str, int]:
    """How many rows there are of everything that an application may write."""
    with reading() as session:
        tables = (Model, Version, MonitorVersion, ObjectiveRevision, JobRun, Change, AuditEntry)
        return {
            one.__tablename__: session.scalar(select(func.count()).select_from(one)) or 0 for one in tables
        }


def test_from_a_file_to_performance_figures_and_then_nothing_differs(
    sqlite_callers: Callers, source: Path
) -> None:
    document = propose(sqlite_callers)
    assert document["spec"]["task"] == "regression"
    assert document["history"]["columns"] == {
        "ts": "ts", "prediction": "forecast", "label": "label", "prediction_id": "prediction_id",
    }  # fmt: skip
    assert {one[0] for one in differences(sqlite_callers, document)} == {
        "model",
        "monitor",
        "objective",
        "history",
    }
    done = apply(sqlite_callers, document)["done"]
    assert {one["did"] for one in done} == {"done", "started"}
    assert differences(sqlite_callers, document) == [("history", "bikes.csv", "waits")]
    steps.run_import()
    assert differences(sqlite_callers, document) == []
    before = counted()
    assert apply(sqlite_callers, document)["done"] == []
    assert counted() == before
    figures = steps.compute("bikes")
    assert len(figures["mae"]) >= 10
    assert all(20 < value < 200 for value in figures["mae"] if value is not None)
    with reading() as session:
        version = session.get_one(Version, ("bikes", 1))
        assert (
            version.trained_by == sqlite_callers.actors["engineer"].person_id
        )  # whoever applies, unless another is named


def test_a_bad_document_changes_nothing_and_every_mistake_has_its_place(
    sqlite_callers: Callers, source: Path
) -> None:
    document = propose(sqlite_callers)
    text = write_document(document | {"histori": {}})
    text = text.replace("workingday: categorical", "workingday: categorcal").replace(
        "mae,", "mae, extra: 1,", 1
    )
    before = counted()
    answer = sqlite_callers.post("engineer", "/specs/apply", {"document": text, "file": "bikes.yaml"})
    assert answer.status_code == 422
    line = text[: text.index("histori:")].count("\n") + 1
    assert (
        f"bikes.yaml:{line}:1: histori: there is no key 'histori' here; did you mean 'history'?"
        in answer.json()["detail"]
    )
    text = text.replace("histori: {}\n", "")
    detail = sqlite_callers.post("engineer", "/specs/apply", {"document": text}).json()["detail"]
    line = text[: text.index("workingday: categorcal")].count("\n") + 1
    assert f"warrant.yaml:{line}:5: spec.features.workingday: 'categorcal' is not one of" in detail
    # One that is found only while it is applied takes back all that was done before it.
    wrong = document | {"model": document["model"] | {"owner": "nobody.here"}}
    detail = sqlite_callers.post("engineer", "/specs/apply", {"document": write_document(wrong)}).json()[
        "detail"
    ]
    assert "model.owner: 'nobody.here' is nobody here" in detail
    wrong = document | {"history": document["history"] | {"path": "../warrant.db"}}
    detail = sqlite_callers.post("engineer", "/specs/apply", {"document": write_document(wrong)}).json()[
        "detail"
    ]
    assert "there is no ../warrant.db that the worker may read" in detail
    assert counted() == before


def test_an_import_that_stops_anywhere_loses_and_doubles_nothing(
    sqlite_callers: Callers, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.onboarding.import_files.BATCH_ROWS", 400)
    apply(sqlite_callers, propose(sqlite_callers))
    assert steps.run_import(lambda _step, number: number == 3) is None
    # The next one dies after the store took a batch and before anybody knew.
    real = store.accept

    def torn(*args: Any, **options: Any) -> Any:
        done = real(*args, **options)
        if done.rows_new and args[3] == "predictions":
            raise OSError("torn")
        return done

    with monkeypatch.context() as patch:
        patch.setattr("backend.observations.service.accept", torn)
        with pytest.raises(OSError, match="torn"):
            steps.run_import()
    run = steps.run_import()
    assert run is not None
    import_history.finish_import(run, 0, 0)  # its end was lost, too
    steps.commit_once("test")
    counts = row_counts(settings().observations, "bikes")
    assert counts.predictions == counts.labels_known == steps.ROWS
    with reading() as session:
        told = session.scalar(
            select(func.count())
            .select_from(AuditEntry)
            .where(AuditEntry.action == "observations:history:import")
        )
    assert told == 1
    assert not list((settings().resolved_home() / "jobs" / "imports").iterdir())


def test_rows_that_come_later_are_imported_and_those_that_are_there_are_not_again(
    sqlite_callers: Callers, source: Path
) -> None:
    whole = source.read_text().splitlines(keepends=True)
    source.write_text("".join(whole[:2001]))
    document = propose(sqlite_callers)
    apply(sqlite_callers, document)
    steps.run_import()
    source.write_text("".join(whole))
    assert differences(sqlite_callers, document) == [("history", "bikes.csv", "changed")]
    apply(sqlite_callers, document)
    steps.run_import()
    steps.commit_once("test")
    assert row_counts(settings().observations, "bikes").predictions == steps.ROWS
    source.unlink()
    assert differences(sqlite_callers, document) == []


def test_a_row_that_cannot_be_taken_is_named_and_the_document_says_why(
    sqlite_callers: Callers, source: Path
) -> None:
    lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([*lines[:7], ",".join(["", *lines[7].split(",")[1:]]), *lines[8:]]))
    document = propose(sqlite_callers)
    document["history"]["columns"]["prediction_id"] = "prediction_id"
    document["spec"]["features"].pop("prediction_id", None)
    run_id = apply(sqlite_callers, document)["done"][-1]["run"]
    with pytest.raises(
        Exception, match=r"bikes.csv, row 7 \(the first below the header is 1\), prediction_id: "
    ) as error:
        steps.run_import()
    steps.end_run(run_id, "failed", str(error.value))
    answer = sqlite_callers.post("lead", "/specs/diff", {"document": write_document(document)}).json()
    assert "failed: bikes.csv, row 7" in answer["differences"][-1]["says"]
    assert apply(sqlite_callers, document)["done"][-1]["run"] != run_id


def test_what_policy_guards_is_asked_for_one_after_the_other_and_never_twice(
    sqlite_callers: Callers, source: Path
) -> None:
    document = propose(sqlite_callers, tier="high")
    document.pop("history"), document.pop("version"), document.pop("card")
    guarded = [one for one in apply(sqlite_callers, document)["done"] if one["by_change"]]
    assert [one["did"] for one in guarded] == ["asked"] + ["held"] * (len(guarded) - 1)
    assert guarded[0]["says"] == f"CHG-{guarded[0]['change']} asks for it; others decide"
    assert "then apply the document again" in guarded[1]["says"]
    with reading() as session:
        assert not session.query(MonitorVersion).filter_by(model="bikes").count()
    again = [one["did"] for one in apply(sqlite_callers, document)["done"]]
    assert again == ["waits"] + ["held"] * (len(guarded) - 1)
    with reading() as session:
        assert session.query(Change).filter_by(model="bikes").count() == 1


def test_a_tier_of_a_model_that_is_there_moves_by_a_change_and_texts_at_once(
    sqlite_callers: Callers, source: Path
) -> None:
    document = propose(sqlite_callers)
    for part in ("history", "version", "card", "monitors", "objectives"):
        document.pop(part)
    apply(sqlite_callers, document)
    document["model"] |= {"tier": "medium", "title": "Bikes out", "owner": "lead"}
    document["spec"]["budget"] = {"pages_per_month": 2}
    did = {(one["part"], one["name"]): one["did"] for one in apply(sqlite_callers, document)["done"]}
    assert did == {
        ("model", "title"): "done", ("model", "owner"): "done", ("tier", "tier"): "asked", ("budget", "budget"): "done",
    }  # fmt: skip
    with reading() as session:
        model = session.get_one(Model, "bikes")
        assert (model.title, model.tier, model.owner_id) == (
            "Bikes out", "low", sqlite_callers.actors["lead"].person_id,
        )  # fmt: skip
    assert differences(sqlite_callers, document) == [("tier", "tier", "waits")]
    with writing() as session:
        set_tier(session, "bikes", "high")
    document["model"]["tier"], document["spec"]["budget"] = "high", {"pages_per_month": 9}
    assert [one["did"] for one in apply(sqlite_callers, document)["done"]] == ["asked"]


def test_what_is_only_recorded_stays_and_what_changed_is_revised(
    sqlite_callers: Callers, source: Path
) -> None:
    document = propose(sqlite_callers)
    apply(sqlite_callers, document)
    steps.run_import()
    gone = document["monitors"].pop()
    document["monitors"][0]["when"]["threshold"]["value"] = 0.2
    document["card"] = document["card"].replace("## Uses\n", "## Uses\n\nRentals an hour ahead.\n", 1)
    document["tier_answers"] = {
        "people": "none", "harm": "nuisance", "autonomy": "informs", "reversal": "hours", "area": "internal",
        "data": "impersonal",
    }  # fmt: skip
    assert differences(sqlite_callers, document) == [
        ("tier_answers", "tier_answers", "added"), ("monitor", document["monitors"][0]["name"], "changed"),
        ("monitor", gone["name"], "only_there"), ("card", "version 1", "changed"),
    ]  # fmt: skip
    assert [one["did"] for one in apply(sqlite_callers, document)["done"]] == ["done", "done", "left", "done"]
    assert differences(sqlite_callers, document) == [("monitor", gone["name"], "only_there")]
    with reading() as session:
        card = newest_card(session, "bikes", 1)
        assert card is not None
        assert "Rentals an hour ahead." in card.text
