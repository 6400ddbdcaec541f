"""Statistics: one file each. Importing this package fills the registry.

>>> from backend.monitoring.statistics import REGISTRY
>>> REGISTRY["psi"].compute(reference_profile, current_profile).value
"""

from backend.monitoring.statistics import (
    chi_squared,
    constant_value,
    hellinger,
    jensen_shannon,
    kl_divergence,
    kolmogorov_smirnov,
    l_infinity,
    mean_shift,
    missing_rate,
    out_of_range_rate,
    psi,
    quantile_shift,
    total_variation,
    two_proportion_z,
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
    "hellinger",
    "jensen_shannon",
    "kl_divergence",
    "kolmogorov_smirnov",
    "l_infinity",
    "mean_shift",
    "missing_rate",
    "out_of_range_rate",
    "psi",
    "quantile_shift",
    "statistics_for",
    "total_variation",
    "two_proportion_z",
    "unseen_rate",
    "wasserstein",
]
