"""Statistics: one file each. Importing this package fills the registry.

>>> from backend.monitoring.statistics import REGISTRY
>>> REGISTRY["psi"].compute(reference_profile, current_profile).value
"""

from backend.monitoring.statistics import (
    chi_squared,
    constant_value,
    jensen_shannon,
    kolmogorov_smirnov,
    l_infinity,
    missing_rate,
    out_of_range_rate,
    psi,
    unseen_rate,
    wasserstein,
)
from backend.monitoring.statistics._core import REGISTRY, Result, Statistic, find_statistic, statistics_for

__all__ = [
    "REGISTRY",
    "Result",
    "Statistic",
    "chi_squared",
    "constant_value",
    "find_statistic",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "l_infinity",
    "missing_rate",
    "out_of_range_rate",
    "psi",
    "statistics_for",
    "unseen_rate",
    "wasserstein",
]
