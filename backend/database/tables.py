"""Imports every table, so that the metadata is whole wherever it is used (migrations, tests)."""

from __future__ import annotations

from backend.alerting import tables as alerting
from backend.audit import tables as audit
from backend.database.base import Base
from backend.deployment import tables as deployment
from backend.explain import tables as explain
from backend.governance import tables as governance
from backend.identity import tables as identity
from backend.leases import Lease
from backend.monitoring import analysis_tables as analyses
from backend.monitoring import monitor_tables as monitors
from backend.monitoring import tables as monitoring
from backend.queue import JobRun, WorkerBeat
from backend.registry import tables as registry
from backend.slo import tables as slo

__all__ = [
    "Base", "JobRun", "Lease", "WorkerBeat", "alerting", "analyses", "audit", "deployment", "explain", "governance",
    "identity", "monitoring", "monitors", "registry", "slo",
]  # fmt: skip
