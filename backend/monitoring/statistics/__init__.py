"""Statistics: one file each. Importing this package fills the registry.

>>> from backend.monitoring.statistics import REGISTRY
>>> REGISTRY["psi"].compute(reference_profile, current_profile).value
"""

from backend.monitoring.statistics import (
    chi_squared,
    constant_value,
    duplicates,
    freshness,
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
    schema_change,
    total_variation,
    two_proportion_z,
    unseen_rate,
    volume,
    wasserstein,
)
from backend.monitoring.statistics._core import (
    REGISTRY,
    VALUED,
    Result,
    Statistic,
    compute,
    find_statistic,
    statistics_for,
    tell_failure,
)
from backend.monitoring.statistics._table import TABLE_REGISTRY, TableFacts, TableStatistic

__all__ = [
    "REGISTRY",
    "TABLE_REGISTRY",
    "VALUED",
    "Result",
    "Statistic",
    "TableFacts",
    "TableStatistic",
    "chi_squared",
    "compute",
    "constant_value",
    "duplicates",
    "find_statistic",
    "freshness",
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
    "schema_change",
    "statistics_for",
    "tell_failure",
    "total_variation",
    "two_proportion_z",
    "unseen_rate",
    "volume",
    "wasserstein",
]
