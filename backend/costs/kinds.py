"""What is counted, in which unit, from where, and what of it has a price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

GB: Final = 1e9
HOUR_S: Final = 3600.0
DAYS_A_MONTH: Final = 365.25 / 12
Unit = Literal["h", "GB"]


@dataclass(frozen=True)
class Kind:
    """One thing that is counted. `group` names the sum that it is a part of, `price` the price that it has."""

    name: str
    title: str
    unit: Unit
    group: str
    price: str | None
    source: str


KINDS: Final[dict[str, Kind]] = {
    one.name: one
    for one in (
        Kind("job_processor", "jobs, processor time", "h", "compute", "compute_hour",
             "the thread that ran each job run, not of retraining, as the system counts it; threads of libraries are "
             "not in it"),
        Kind("training", "training, time on the clock", "h", "compute", "compute_hour",
             "the steps of retraining runs that ended, all their attempts"),
        Kind("gateway_processor", "gateways, processor time", "h", "compute", "compute_hour",
             "gateway processes, which serve all models: not told apart by model"),
        Kind("gpu", "GPU time", "h", "gpu", "gpu_hour", "the time for which retraining held GPUs, each counted"),
        Kind("job_clock", "jobs, time on the clock", "h", "job_clock", None,
             "from the start of each job run to its end"),
        Kind("requests", "requests, time on the clock", "h", "requests", None,
             "from a request's arrival at a gateway to its answer; not processor time"),
        Kind("observations", "observation store", "GB", "storage", "storage_gb_month",
             "files of predictions, labels and shadows"),
        Kind("artefacts", "artefacts", "GB", "storage", "storage_gb_month",
             "files of versions and their reference data, where they lie in a folder of this host"),
        Kind("packs", "evidence packs", "GB", "storage", "storage_gb_month", "packs that are kept"),
        Kind("backups", "backups", "GB", "storage", "storage_gb_month", "files in the backup folder; of all models"),
        Kind("database", "database", "GB", "storage", "storage_gb_month", "of all models"),
    )
}  # fmt: skip
GROUPS: Final[dict[str, tuple[str, Unit]]] = {
    "compute": ("Compute", "h"),
    "gpu": ("GPU", "h"),
    "storage": ("Storage", "GB"),
    "requests": ("Requests, on the clock", "h"),
    "job_clock": ("Jobs, on the clock", "h"),
}
PRICES: Final = ("compute_hour", "gpu_hour", "storage_gb_month")
BUDGETS: Final[dict[str, str]] = {
    "compute": "hours of compute a month",
    "gpu": "hours of GPU a month",
    "storage": "GB held",
    "money": "money a month",
}


def in_unit(kind: str, amount: float) -> float:
    """Seconds as hours, bytes as GB (10^9)."""
    return amount / (HOUR_S if KINDS[kind].unit == "h" else GB)


def kinds_of(group: str) -> list[str]:
    return [one.name for one in KINDS.values() if one.group == group]
