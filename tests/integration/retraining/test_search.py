"""A retraining with a search: trials as child runs, and what was chosen bound to the version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.database.session import reading
from backend.errors import BadInput
from backend.governance.digests import digest_of
from backend.monitoring.columns import parse_spec
from backend.registry.mlflow_adapter import mlflow_client
from backend.registry.tables import Version
from backend.retraining.plan import BY_HAND
from backend.retraining.triggers import planned
from jobs.retraining.work import folder_of, forget_rows
from tests.integration.retraining.conftest import PARAMETERS, ask, begin, plan, run_of, step_of, take, trained
from tests.worlds import SPEC, World, register_in_mlflow

__all__ = ["trained"]

SEARCH: dict[str, Any] = {
    "space": {"learning_rate": {"type": "float", "low": 0.05, "high": 0.5, "log": True}},
    "trials": 2, "minutes": 30,
}  # fmt: skip


def test_trials_become_child_runs_and_the_best_ones_model_the_version(trained: World) -> None:
    register_in_mlflow("toy", 2)
    change = ask(trained.engineer, plan(search=SEARCH))
    assert change.subject["search"]["trials"] == 2, "the change binds the space, the trials and the minutes"
    run = begin(change)
    found = take(run.id)
    searched = found["train"]["search"]
    assert [one["state"] for one in searched["trials"]] == ["complete", "complete"]
    best = searched["trials"][searched["chosen"]]
    assert found["train"]["parameters"].items() >= {**PARAMETERS, **best["parameters"]}.items()
    assert found["train"]["metrics"]["log_loss"] == best["value"]
    assert Path(found["train"]["artefact"]).parent.name == f"{searched['chosen']:04d}"
    assert step_of(run.id, "train").curve, "the curve is the best trial's"

    with reading() as session:
        version = session.get_one(Version, ("toy", 3))
    assert version.parameters["learning_rate"] == best["parameters"]["learning_rate"]
    assert version.training["search_digest"] == searched["digest"], "an approval of the version binds it"
    assert version.training["search"].startswith(f"trial {searched['chosen']} of 2 by log_loss")
    client = mlflow_client()
    parent = client.get_run(version.run_id)
    children = client.search_runs(
        [parent.info.experiment_id], filter_string=f"tags.`mlflow.parentRunId` = '{version.run_id}'"
    )
    told = {one.data.tags["warrant.trial"]: one for one in children}
    assert sorted(told) == ["0", "1"]
    for row in searched["trials"]:
        one = told[str(row["number"])]
        assert one.data.metrics["valid_log_loss"] == pytest.approx(row["value"])
        assert float(one.data.params["learning_rate"]) == row["parameters"]["learning_rate"]
        assert ("warrant.chosen" in one.data.tags) == (row["number"] == searched["chosen"])
    test_rows = found["split"]["test"]["digest"]
    assert test_rows not in {found["split"][name]["digest"] for name in ("train", "valid")}
    forget_rows(run.id)
    assert not list((folder_of(run.id) / "trials").glob("*/checkpoints"))
    assert run_of(run.id).version == 3


def test_a_spec_declares_a_search_and_a_trigger_plans_it() -> None:
    spec = parse_spec({**SPEC, "retraining": {"trainer": "sklearn_boosting", "search": SEARCH}})
    assert spec.retraining is not None
    made = planned(spec.retraining, BY_HAND)
    assert made.search is not None
    assert (made.search.trials, made.hours) == (2, 0.5)
    assert digest_of(made.as_dict()) != digest_of(planned(parse_spec({**SPEC, "retraining": {
        "trainer": "sklearn_boosting", "search": {**SEARCH, "trials": 3}}}).retraining, BY_HAND).as_dict())  # type: ignore[arg-type]  # fmt: skip
    with pytest.raises(BadInput, match=r"retraining\.search\.trials"):
        parse_spec(
            {**SPEC, "retraining": {"trainer": "sklearn_boosting", "search": {**SEARCH, "trials": "many"}}}
        )
