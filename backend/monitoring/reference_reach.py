"""What a reference is too small to tell: inputs it has too few rows of, and falls of a metric that cannot page."""

from __future__ import annotations

from backend.monitoring.budget import LEAST_SIGMA, sigmas
from backend.monitoring.columns import ModelSpec
from backend.monitoring.falls import Baseline, standard_error
from backend.monitoring.performance import DEFINITIONS
from backend.monitoring.references import Measured

FAR = 5.0
"""Margins: from so many on, a fall that the reference's own error hides is worth a word."""
BY_CHANCE = {"roc_auc": 0.5}
"""What a model comes to that knows nothing; nothing falls below it by more than chance. Of other rates it is 0."""


def tell_inputs(spec: ModelSpec, reference: Measured) -> list[str]:
    """A sentence where the reference has too few rows for any window to be held against it, or of some columns."""
    if spec.reference.kind != "fixed":
        return []
    if reference.rows < spec.min_rows:
        return [
            f"no input is judged: the reference has {reference.rows:,} rows, and {spec.min_rows} are needed"
        ]
    known = {c.name: reference.profiles[c.name].known for c in spec.columns if c.name in reference.profiles}
    short = [f"{name} ({rows:,})" for name, rows in known.items() if rows < spec.min_rows]
    if not short:
        return []
    return [
        f"drift not judged, as the reference has fewer than {spec.min_rows} usable rows: {', '.join(short)}"
    ]


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
