"""Performance without labels: NannyML's CBPE and DLE, one chunk a window, and whether to trust them.

fit_estimator(spec, reference)   seconds; deterministic in the reference
estimate(fitted, frames)         every window of a batch in one call
assess(spec, reference)          how good it was on reference rows it had not seen

Nothing here imports NannyML before it is called.
"""

from backend.monitoring.estimation._core import METRICS, METRICS_OF, MIN_ROWS, Estimate, Fitted, Trust
from backend.monitoring.estimation.estimators import assess, estimate, fit_estimator

__all__ = [
    "METRICS",
    "METRICS_OF",
    "MIN_ROWS",
    "Estimate",
    "Fitted",
    "Trust",
    "assess",
    "estimate",
    "fit_estimator",
]
