"""The only module of `backend` that talks to MLflow. Jobs import it; the console never does.

MLflow's alias is a mirror for others: (name, alias, version), with no actor, time or history. Nothing of
ours follows it; the deployment record decides what serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.settings import settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION_ALIAS = "champion"


def mlflow_client() -> MlflowClient:
    """A client on `MLFLOW_TRACKING_URI`, or on the embedded store in WARRANT_HOME."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=settings().mlflow, registry_uri=settings().mlflow)


def mirror_champion(model: str, version: int) -> None:
    """Point the alias `champion` at a version. Doing it again does nothing."""
    mlflow_client().set_registered_model_alias(model, CHAMPION_ALIAS, str(version))


def champion_alias(model: str) -> int | None:
    """The version MLflow's alias names, or None where there is no such alias."""
    aliases = mlflow_client().get_registered_model(model).aliases
    version = aliases.get(CHAMPION_ALIAS)
    return int(version) if version is not None else None
