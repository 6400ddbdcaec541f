"""An imported registry: an inventory with its gaps, of things that cannot serve until somebody registers them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from backend import clock
from backend.addresses import without_credentials
from backend.alerting.own_work import stumbled_schedules
from backend.audit.actions import Action
from backend.database.session import reading, writing
from backend.errors import BadInput, Conflict
from backend.governance.asking import preview_change
from backend.governance.ci_gate import gate_answer
from backend.governance.kinds import Asked
from backend.identity.roles import Role
from backend.registry import inventory
from backend.registry.inventory import FoundModel, FoundRun, FoundVersion, import_registry, list_inventory
from backend.registry.mlflow_reading import open_registry, read_registry
from backend.registry.service import NewVersion, list_models, register_model, register_version
from backend.registry.tables import Model
from jobs.schedules import request_due
from tests.integration.jobs.test_workers import entries
from tests.worlds import SPEC, SYSTEM, make_world, person

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient

RUN = FoundRun({"depth": "3"}, {"auc": 0.8}, {"team": "ops"}, "bob", None, datetime(2026, 1, 2, tzinfo=UTC))


def version(number: int, **known: Any) -> FoundVersion:
    return FoundVersion(number, "r1", "s3://models/1", "READY", "", {}, None, **known)


def model(name: str, *versions: FoundVersion, aliases: dict[str, int] | None = None) -> FoundModel:
    return FoundModel(name, "", {}, aliases or {}, None, None, versions)


def bring_in(*found: FoundModel, tier: str | None = None) -> inventory.Imported:
    with writing() as session:
        return import_registry(session, SYSTEM, registry="sqlite:///there", found=list(found), tier=tier)


def listed() -> dict[str, inventory.ModelEntry]:
    with reading() as session:
        return {one.model.name: one for one in list_inventory(session, SYSTEM)}


def test_an_imported_model_is_observed_and_its_gaps_are_said(database: str) -> None:
    done = bring_in(model("flights", version(1, run=RUN), version(2)))
    assert (done.models, done.versions, done.new_versions) == (1, 2, 2)
    entry = listed()["flights"]
    assert (entry.model.enforcement, entry.model.tier) == ("observe", "high")
    assert "history before Warrant: unknown" in entry.gaps
    assert "risk tier: not confirmed; governed as high" in entry.gaps
    newest, first = entry.versions
    assert {"no model card", "no reference data", "artefact digest: not taken"} <= set(first.gaps)
    assert "trainer: unknown (MLflow names 'bob', which nobody checked)" in first.gaps
    assert "run: MLflow no longer has it" in newest.gaps
    assert "trainer: unknown" in newest.gaps


def test_doing_it_again_changes_only_what_the_registry_changed(database: str) -> None:
    bring_in(model("flights", version(1)), model("taxis", version(1)))
    with writing() as session:
        session.get_one(Model, "flights").enforcement = "enforce"
    done = bring_in(model("flights", version(1, run=RUN), version(2)), tier="low")
    assert (done.new_models, done.new_versions, done.no_longer_found) == ((), 1, ("taxis",))
    found = listed()
    assert found["flights"].model.enforcement == "enforce"
    assert found["flights"].model.tier == "high"  # a tier that is set is changed by a change
    kept = found["flights"].versions[1].imported
    assert kept is not None
    assert kept.run is not None
    assert kept.run["metrics"] == {"auc": 0.8}
    assert "the last import did not find it any more" in found["taxis"].gaps
    assert bring_in(model("taxis", version(1))).new_versions == 0
    assert "the last import did not find it any more" not in listed()["taxis"].gaps
    assert len(entries(Action.REGISTRY_IMPORTED)) == 3


def test_a_name_that_cannot_be_a_models_is_left_out_and_said(database: str) -> None:
    done = bring_in(model("credit risk/eu", version(1)), model("flights", version(1)))
    assert list(done.left_out) == ["credit risk/eu"]
    assert list(listed()) == ["flights"]


def test_a_name_of_three_levels_is_a_models_name(database: str) -> None:
    done = bring_in(model("main.credit.risk-v2", version(1)))
    assert not done.left_out
    assert list(listed()) == ["main.credit.risk-v2"]


def test_a_person_without_the_right_to_register_imports_nothing(database: str) -> None:
    with writing() as session:
        viewer = person(session, "viewer", Role.VIEWER)
    with pytest.raises(Exception, match="registry:version:register"), writing() as session:
        import_registry(session, viewer, registry="there", found=[], tier=None)
    with pytest.raises(BadInput, match="low, medium, high"):
        bring_in(tier="harmless")


def test_what_is_only_imported_is_not_monitored_and_cannot_serve(database: str) -> None:
    bring_in(model("flights", version(1, run=RUN)))
    with reading() as session:
        assert list_models(session, SYSTEM) == []
    request_due(clock.now())
    with reading() as session:
        assert stumbled_schedules(session) == set()  # nothing stumbles over a model without a description
    with (
        reading() as session,
        pytest.raises(inventory.OnlyImported, match="known from MLflow alone") as refused,
    ):
        preview_change(session, SYSTEM, Asked("promote", "production", "flights", to_version=1))
    assert "artefact digest: not taken" in refused.value.message
    assert "describe flights" in refused.value.message
    with reading() as session:
        answer = gate_answer(session, SYSTEM, "flights", 1, "production")
    assert (answer["answer"], answer["would_be"]) == ("allowed", "waiting")


def test_registering_a_version_closes_its_gaps(database: str, tmp_path: Path) -> None:
    world = make_world(tmp_path / "files")  # for files that exist
    bring_in(model("flights", version(1, run=RUN), version(2)))

    def register() -> None:
        with writing() as session:
            register_version(
                session, SYSTEM,
                new=NewVersion(
                    model="flights", version=1, run_id="r1", uri=str(world.artefact(1)), artefact_digest="sha256:1",
                    trained_by=world.engineer.person_id, trained_at=clock.now(), cutoff=0.5, parameters={},
                    metrics={}, training={}, reference_path=str(world.reference(1)), card_path=str(world.card(1)),
                ),
            )  # fmt: skip

    with pytest.raises(Conflict, match="not described"):
        register()
    with writing() as session:
        register_model(session, SYSTEM, name="flights", title="F", description="", tier="medium", spec=SPEC)
    register()
    newest, first = listed()["flights"].versions
    assert first.gaps == ()
    assert newest.gaps
    with reading() as session:
        preview = preview_change(session, SYSTEM, Asked("promote", "production", "flights", to_version=1))
    assert preview.proposal.to_version == 1
    with writing() as session:
        assert session.get_one(Model, "flights").enforcement == "observe"  # enforcing is a step of its own


def test_a_real_registry_is_read_as_it_is(mlflow: MlflowClient) -> None:
    from mlflow.entities import Metric, Param

    experiment = mlflow.create_experiment("e")
    mlflow.create_registered_model("flights", tags={"team": "ops"}, description="late or not")
    history = [{
        "artifact_path": "model",
        "signature": {"inputs": json.dumps([{"name": "distance", "type": "double"}]), "outputs": None},
    }]  # fmt: skip
    for number in (1, 2, 3):
        run = mlflow.create_run(experiment, tags={"mlflow.user": "bob", "note": "n"})
        mlflow.log_batch(run.info.run_id, [Metric("auc", 0.7 + number / 100, 0, 0)], [Param("depth", "3")])
        if number == 1:
            mlflow.set_tag(run.info.run_id, "mlflow.log-model.history", json.dumps(history))
        mlflow.create_model_version("flights", f"{run.info.artifact_uri}/model", run.info.run_id)
        if number == 2:
            mlflow.delete_run(run.info.run_id)
    mlflow.create_model_version("flights", "s3://elsewhere/model")
    mlflow.set_registered_model_alias("flights", "champion", "2")
    mlflow.transition_model_version_stage("flights", "1", "Production")
    mlflow.create_registered_model("empty")
    found = {one.name: one for one in read_registry(open_registry())}
    assert found["empty"].versions == ()
    flights = found["flights"]
    assert flights.aliases == {"champion": 2, "stage:Production": 1}
    assert (flights.tags, flights.description) == ({"team": "ops"}, "late or not")
    one, two, _three, bare = flights.versions
    assert one.run is not None
    assert (one.run.parameters, one.run.metrics, one.run.tags, one.run.user) == (
        {"depth": "3"}, {"auc": 0.71}, {"note": "n"}, "bob",
    )  # fmt: skip
    assert one.signature == {"inputs": [{"name": "distance", "type": "double"}]}
    assert two.run is not None  # a deleted run is still told
    assert two.signature is None
    assert (bare.run_id, bare.run) == ("", None)


def test_requests_do_not_grow_with_the_models(mlflow: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def requests(count: int) -> int:
        for number in range(count):
            mlflow.create_registered_model(f"m{count}-{number}")
            mlflow.create_model_version(f"m{count}-{number}", "s3://m")
        client, asked = open_registry(), 0

        def counted(method: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **named: Any) -> Any:
                nonlocal asked
                asked += 1
                return method(*args, **named)

            return call

        for name in dir(client):
            if not name.startswith("_") and callable(getattr(client, name)):
                setattr(client, name, counted(getattr(client, name)))
        read_registry(client)
        return asked

    assert requests(1) == requests(12)


def test_a_registry_that_is_not_there_is_not_made(database: str, tmp_path: Path) -> None:
    path = tmp_path / "nothing.db"
    with pytest.raises(BadInput, match="no MLflow registry"):
        open_registry(f"sqlite:///{path}")
    assert not path.exists()
    assert without_credentials("https://bob:secret@mlflow.example/x") == "https://mlflow.example/x"


def test_a_name_that_differs_in_case_alone_is_refused(database: str, tmp_path: Path) -> None:
    make_world(tmp_path / "files")
    with pytest.raises(Conflict, match="there is a model toy already"), writing() as session:
        register_model(session, SYSTEM, name="Toy", title="Toy", description="", tier="low", spec=SPEC)
