"""The trials of a search as child runs in MLflow, below the run of the version that came of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT: Final = "mlflow.parentRunId"  # by which MLflow's own pages nest runs
TRIAL: Final = "warrant.trial"
STATUS: Final = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED", "running": "KILLED"}


def log_trials(client: MlflowClient, run: Any, search: dict[str, Any] | None) -> None:
    """One child run a trial, with its parameters and value; those that are there already are left."""
    if not search:
        return
    experiment, parent = run.info.experiment_id, run.info.run_id
    client.log_dict(parent, search, "search.json")
    known = client.search_runs([experiment], filter_string=f"tags.`{PARENT}` = '{parent}'", max_results=1000)
    ended = {one.data.tags.get(TRIAL) for one in known if one.info.status != "RUNNING"}
    for half in (one for one in known if one.info.status == "RUNNING"):
        client.delete_run(half.info.run_id)
    for row in search["trials"]:
        if str(row["number"]) not in ended:
            _log_trial(client, experiment, parent, search, row)


def _log_trial(
    client: MlflowClient, experiment: str, parent: str, search: dict[str, Any], row: dict[str, Any]
) -> None:
    from mlflow.entities import Metric, Param

    number = str(row["number"])
    tags = {PARENT: parent, TRIAL: number, "warrant.trial_state": row["state"]}
    if row["number"] == search["chosen"]:
        tags["warrant.chosen"] = "true"
    if row["note"]:
        tags["warrant.note"] = row["note"]
    child = client.create_run(experiment, tags=tags, run_name=f"trial {number}")
    figures = {"seconds": row["seconds"]} | (
        {search["metric"]: row["value"]} if row["value"] is not None else {}
    )
    client.log_batch(
        child.info.run_id,
        metrics=[
            Metric(
                f"valid_{name}" if name != "seconds" else name,
                float(value),
                child.info.start_time,
                row["step"] or 0,
            )
            for name, value in figures.items()
        ],
        params=[Param(name, json.dumps(value)[:500]) for name, value in row["parameters"].items()],
    )
    client.set_terminated(child.info.run_id, status=STATUS[row["state"]])
