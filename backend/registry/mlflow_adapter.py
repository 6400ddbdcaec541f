"""Writing to MLflow, and reading one alias. Jobs import it; the console never does (nor `mlflow_reading`).

MLflow's alias is a mirror for others: (name, alias, version), with no actor, time or history. Nothing of
ours follows it; the deployment record decides what serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.registry.mlflow_database import prepare_database
from backend.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION_ALIAS = "champion"


def mlflow_client() -> MlflowClient:
    """A client on `MLFLOW_TRACKING_URI`, or on the embedded store in WARRANT_HOME."""
    from mlflow import MlflowClient

    prepare_database(settings().mlflow)
    return MlflowClient(tracking_uri=settings().mlflow, registry_uri=settings().mlflow)


def mirror_champion(model: str, version: int) -> None:
    """Point the alias `champion` at a version. Doing it again does nothing."""
    mlflow_client().set_registered_model_alias(model, CHAMPION_ALIAS, str(version))


def remove_champion(model: str) -> None:
    """Take the alias `champion` away. Doing it again does nothing."""
    if champion_alias(model) is not None:
        mlflow_client().delete_registered_model_alias(model, CHAMPION_ALIAS)


def champion_alias(model: str) -> int | None:
    """The version MLflow's alias names, or None where there is no such alias."""
    aliases = mlflow_client().get_registered_model(model).aliases
    version = aliases.get(CHAMPION_ALIAS)
    return int(version) if version is not None else None
