"""A real, embedded MLflow, made once and copied: its schema takes long to make."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from backend.settings import settings
from tests.integration.jobs.conftest import start_worker

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["start_worker"]


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own imports
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def mlflow(database: str, empty_mlflow: Path) -> Iterator[MlflowClient]:
    """A client on the embedded registry of this test's home."""
    shutil.copy(empty_mlflow, settings().resolved_home() / "mlflow.db")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from backend.registry.mlflow_adapter import mlflow_client

        yield mlflow_client()
