"""What a worker imports sooner or later, imported once by the server that the tests' workers are forked from."""

import backend.settings
from backend.queue import QUEUES
from jobs.worker import warm_up

warm_up(QUEUES)

import httpx  # noqa: E402, F401
import mlflow  # noqa: E402
import mlflow.store.model_registry.sqlalchemy_store  # noqa: E402, F401
import pyarrow.parquet  # noqa: E402, F401

import backend.registry.mlflow_adapter  # noqa: E402, F401
