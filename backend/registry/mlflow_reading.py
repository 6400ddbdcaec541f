"""Reading a whole MLflow registry in pages: no request per model, no artefact, nothing written. Jobs and commands only.

Requests: models and versions in pages of 1,000 and 10,000, then the runs they name, 100 ids a request. A local store
that MLflow has never opened is refused: opening it would make an empty one.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from backend.addresses import all_without_credentials, without_credentials
from backend.errors import BadInput, Unavailable
from backend.observations.schema import check_model
from backend.registry.inventory import STAGE, FoundModel, FoundRun, FoundVersion
from backend.registry.mlflow_database import database_file
from backend.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel

MODELS_A_PAGE: Final = 1000
VERSIONS_A_PAGE: Final = 10_000
RUNS_A_REQUEST: Final = 100
HISTORY_TAG: Final = "mlflow.log-model.history"
# What a run keeps for itself: it says nothing of the model, and the history of logged models is long.
OWN_TAGS: Final = "mlflow."


def open_registry(uri: str | None = None) -> MlflowClient:
    """A client on a registry: `uri`, or the one of the settings. Gives up after seconds where nothing answers."""
    uri = uri or settings().mlflow
    if not has_registry(uri):
        raise BadInput(f"there is no MLflow registry at {without_credentials(uri)}", field="uri")
    # Its defaults would try for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except MlflowException as error:
        raise BadInput(
            f"MLflow cannot open {without_credentials(uri)}: {error.message}", field="uri"
        ) from error


def has_registry(uri: str) -> bool:
    """Whether there is something to read: opening a local store would make an empty one."""
    if not uri.startswith("sqlite"):
        return True
    path = database_file(uri)
    return path is not None and path.exists()


def read_registry(client: MlflowClient, name: str | None = None) -> list[FoundModel]:
    """Every registered model, or one, with versions, runs, aliases and stages. Raises `Unavailable` when MLflow is
    away."""
    from mlflow.exceptions import MlflowException

    try:
        models = list(_models(client, name))
        versions: dict[str, list[FoundVersion]] = defaultdict(list)
        for row in _pages(lambda token: client.search_model_versions(
            _named(name), max_results=VERSIONS_A_PAGE, page_token=token
        )):  # fmt: skip
            versions[row.name].append(_version(row))
        runs = _runs(client, {one.run_id for each in versions.values() for one in each if one.run_id})
    except MlflowException as error:
        raise Unavailable(f"MLflow could not be read: {error.message}") from error
    return [
        FoundModel(
            model.name, model.description or "", dict(model.tags or {}), _aliases(model),
            _time(model.creation_timestamp), _time(model.last_updated_timestamp),
            tuple(_with_run(one, runs.get(one.run_id)) for one in sorted(versions[model.name], key=_number)),
        )
        for model in models
    ]  # fmt: skip


def read_aliases(client: MlflowClient, name: str | None = None) -> dict[str, dict[str, int]]:
    """What each alias and stage names, of every registered model or of one; a model that MLflow lacks is absent."""
    return {model.name: _aliases(model) for model in _models(client, name)}


def _models(client: MlflowClient, name: str | None = None) -> Iterator[RegisteredModel]:
    yield from _pages(lambda token: client.search_registered_models(
        filter_string=_named(name), max_results=MODELS_A_PAGE, page_token=token
    ))  # fmt: skip


def _named(name: str | None) -> str | None:
    """Names that MLflow's filters can hold are those that a model here can have: no quote is among their characters."""
    return None if name is None else f"name = '{check_model(name)}'"


def _pages(page: Callable[[str | None], Any]) -> Iterator[Any]:
    token: str | None = None
    while True:
        found = page(token)
        yield from found
        token = found.token or None
        if token is None:
            return


def _aliases(model: RegisteredModel) -> dict[str, int]:
    """Aliases, and for each stage in use the newest version in it as `stage:<Stage>`."""
    named = {alias: int(version) for alias, version in dict(model.aliases or {}).items()}
    for version in model.latest_versions or ():
        if version.current_stage and version.current_stage != "None":
            named[STAGE + version.current_stage] = int(version.version)
    return named


def _version(row: ModelVersion) -> FoundVersion:
    return FoundVersion(
        int(row.version), row.run_id or "", without_credentials(row.source or ""), str(row.status),
        row.description or "", dict(row.tags or {}), _time(row.creation_timestamp),
    )  # fmt: skip


def _with_run(version: FoundVersion, run: Run | None) -> FoundVersion:
    if run is None:
        return version
    tags = run.data.tags
    return replace(
        version,
        run=FoundRun(
            all_without_credentials(dict(run.data.params)),
            {name: value for name, value in run.data.metrics.items() if value == value},
            all_without_credentials(
                {name: value for name, value in tags.items() if not name.startswith(OWN_TAGS)}
            ),
            tags.get("mlflow.user") or run.info.user_id or "",
            _time(run.info.start_time), _time(run.info.end_time), tags.get("mlflow.source.git.commit", ""),
        ),
        signature=_signature(tags.get(HISTORY_TAG), version.source),
    )  # fmt: skip


def _runs(client: MlflowClient, ids: set[str]) -> dict[str, Run]:
    from mlflow.entities import ViewType

    experiments = [
        one.experiment_id
        for one in _pages(lambda token: client.search_experiments(
            view_type=ViewType.ALL, max_results=1000, page_token=token
        ))
    ]  # fmt: skip
    found: dict[str, Run] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), RUNS_A_REQUEST):
        named = ", ".join(f"'{one}'" for one in wanted[start : start + RUNS_A_REQUEST])
        for run in _pages(lambda token, named=named: client.search_runs(  # type: ignore[misc]
            experiments, filter_string=f"attributes.run_id IN ({named})", run_view_type=ViewType.ALL,
            max_results=RUNS_A_REQUEST, page_token=token,
        )):  # fmt: skip
            found[run.info.run_id] = run
    return found


def _signature(history: str | None, source: str) -> dict[str, Any] | None:
    """The signature that the run recorded when it logged this very artefact; None where it did not say."""
    try:
        logged = json.loads(history) if history else []
        fitting = [
            one for one in logged if one.get("artifact_path") and source.rstrip("/").endswith(one["artifact_path"])
        ]  # fmt: skip
        signature = fitting[-1].get("signature") if fitting else None
        if not signature:
            return None
        return {
            side: json.loads(signature[side]) for side in ("inputs", "outputs") if signature.get(side)
        } or None
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


def _number(version: FoundVersion) -> int:
    return version.version
