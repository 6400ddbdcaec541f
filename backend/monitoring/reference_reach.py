"""What a reference is too small to tell: how far a metric must fall before any window can page."""

from __future__ import annotations

from backend.monitoring.budget import LEAST_SIGMA, sigmas
from backend.monitoring.falls import Baseline, standard_error
from backend.monitoring.performance import DEFINITIONS

FAR = 5.0
"""Margins: from so many on, a fall that the reference's own error hides is worth a word."""
BY_CHANCE = {"roc_auc": 0.5}
"""What a model comes to that knows nothing; nothing falls below it by more than chance. Of other rates it is 0."""


def tell_reach(baseline: Baseline, primary: str, alpha: float, min_labels: int) -> list[str]:
    """A sentence where the reference lets the primary metric page late or never; else none.

    alpha  as for `falls.judge_realised`

    The limit is that of a window of endless rows: real ones have an error of their own besides.
    """
    then, definition = baseline.metrics[primary], DEFINITIONS[primary]
    if then.value is None:
        return [f"realised {primary} cannot page: the reference has none: {then.reason}"]
    if then.rows < min_labels:
        return [
            f"realised {primary} cannot page: the reference has {then.rows} labelled rows, and {min_labels} are needed"
        ]
    acceptable, error = definition.worst_acceptable(then.value), standard_error(then)
    if acceptable is None or error is None:
        return []
    chance = max(sigmas(alpha), LEAST_SIGMA) * error
    if chance <= FAR * abs(acceptable - then.value):
        return []
    limit = then.value + chance if definition.lower_is_better else then.value - chance
    known = f"the reference's {then.rows:,} labelled rows tell its own {then.value:.3f} only to ± {1.96 * error:.3f}"
    never = limit > 1 if definition.lower_is_better else limit <= BY_CHANCE.get(primary, 0.0)
    if definition.unit == "share" and never:
        return [f"realised {primary} cannot page: {known}; more reference rows are needed"]
    side = "above" if definition.lower_is_better else "below"
    reach = f"realised {primary} pages {side} {limit:.3f} at the earliest"
    return [f"{reach}: {known}; more reference rows make it sooner"]
