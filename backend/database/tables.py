"""Imports every table, so that the metadata is whole wherever it is used (migrations, tests)."""

from __future__ import annotations

from backend.access import tables as access
from backend.alerting import tables as alerting
from backend.assurance import inventory_tables as inventory
from backend.assurance import serious_tables as serious
from backend.assurance import tables as assurance
from backend.audit import tables as audit
from backend.backups import tables as backups
from backend.cards import tables as cards
from backend.controls import tables as controls
from backend.costs import tables as costs
from backend.data_rights import tables as data_rights
from backend.database.base import Base
from backend.deployment import tables as deployment
from backend.explain import tables as explain
from backend.fleet import tables as fleet
from backend.governance import tables as governance
from backend.holds import tables as holds
from backend.identity import tables as identity
from backend.leases import Lease
from backend.monitoring import analysis_tables as analyses
from backend.monitoring import monitor_tables as monitors
from backend.monitoring import tables as monitoring
from backend.notifications import tables as notifications
from backend.packs import tables as packs
from backend.queue import JobRun, WorkerBeat
from backend.registry import tables as registry
from backend.retraining import tables as retraining
from backend.serving import tables as serving
from backend.slo import tables as slo

__all__ = [
    "Base", "JobRun", "Lease", "WorkerBeat", "access", "alerting", "analyses", "assurance", "audit", "backups", "cards",
    "controls", "costs", "data_rights", "deployment", "explain", "fleet", "governance", "holds", "identity",
    "inventory", "monitoring", "monitors", "notifications", "packs", "registry", "retraining", "serious", "serving",
    "slo",
]  # fmt: skip
