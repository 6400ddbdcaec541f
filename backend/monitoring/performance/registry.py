"""Every metric, described: what docs, pages and rules enumerate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from backend.monitoring.columns import ModelSpec, Task


@dataclass(frozen=True)
class Definition:
    """One metric.

    tasks            the tasks it is measured for
    lower_is_better  None where either direction is worse (bias)
    unit             "share", "nats", "label" (the label's own unit), "relative", "none", "value"
    interval         how its 95 % interval comes about
    margin           the smallest worsening that matters in practice: in the metric's own unit, or, `relative`,
                     as a share of the reference's value; None where no margin says anything
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    lower_is_better: bool | None
    unit: str
    formula: str
    interval: str
    margin: float | None
    relative: bool = False

    def worst_acceptable(self, reference: float) -> float | None:
        """The value beyond which a window is worse than the reference by the practical margin."""
        if self.margin is None or self.lower_is_better is None:
            return None
        step = self.margin * abs(reference) if self.relative else self.margin
        return reference + step if self.lower_is_better else reference - step


POINTS = 0.02
"""Two points of AUC, accuracy and their like."""
SHARE = 0.10
"""A tenth of an error or a loss."""

_BINARY: tuple[Task, ...] = ("binary",)
_CLASSES: tuple[Task, ...] = ("binary", "multiclass")
_MULTI: tuple[Task, ...] = ("multiclass",)
_NUMBERS: tuple[Task, ...] = ("regression",)
_WILSON = "Wilson's score interval"
_MEAN = "± 1.96 standard errors of the mean"
_JACKKNIFE = "infinitesimal jackknife on the logit scale"

_ALL = (
    Definition("roc_auc", "AUC", _CLASSES, False, "share",
               "share of pairs of a positive and a negative in the right order, ties half; multiclass: mean over "
               "classes of one against the rest", "DeLong; multiclass: its influence values averaged over classes",
               POINTS),
    Definition("average_precision", "Average precision", _BINARY, False, "share",
               "Σ (recall step × precision), from the highest score down", _JACKKNIFE, POINTS),
    Definition("log_loss", "Log loss", _CLASSES, True, "nats",
               "mean of −ln(probability of the true class), probabilities clipped at 1e-15", _MEAN, SHARE, True),
    Definition("brier", "Brier score", _CLASSES, True, "none",
               "mean of (probability − outcome)²; multiclass: summed over the classes", _MEAN, SHARE, True),
    Definition("top_brier", "Brier score of the predicted class", _MULTI, True, "none",
               "mean of (probability of the predicted class − whether it was right)²", _MEAN, SHARE, True),
    Definition("accuracy", "Accuracy", _CLASSES, False, "share",
               "share of rows whose predicted class is the true one", _WILSON, POINTS),
    Definition("precision", "Precision", _BINARY, False, "share",
               "share of rows predicted positive that are", _WILSON, POINTS),
    Definition("recall", "Recall", _BINARY, False, "share",
               "share of positive rows that were predicted so", _WILSON, POINTS),
    Definition("f1", "F1", _BINARY, False, "share",
               "2·tp / (2·tp + fp + fn)", "percentile bootstrap of the confusion counts", POINTS),
    Definition("macro_precision", "Macro precision", _MULTI, False, "share",
               "mean over classes of the share of rows predicted so that are; 0 for a class never predicted",
               _JACKKNIFE, POINTS),
    Definition("macro_recall", "Macro recall", _MULTI, False, "share",
               "mean over classes of the share of its rows predicted so; 0 for a class without rows",
               _JACKKNIFE, POINTS),
    Definition("macro_f1", "Macro F1", _MULTI, False, "share",
               "mean over classes of F1 of one against the rest", _JACKKNIFE, POINTS),
    Definition("ece", "Expected calibration error", _CLASSES, True, "share",
               "Σ share of bin × |mean probability − share that came true| over 10 equal bins; multiclass: of the "
               "predicted class", "down by what calibrated scores reach by chance, up by 1.96 standard errors", POINTS),
    Definition("mae", "Mean absolute error", _NUMBERS, True, "label",
               "mean of |prediction − label|", _MEAN, SHARE, True),
    Definition("rmse", "Root mean squared error", _NUMBERS, True, "label",
               "√ mean of (prediction − label)²", "delta method on the log scale", SHARE, True),
    Definition("mape", "Mean absolute percentage error", _NUMBERS, True, "relative",
               "mean of |prediction − label| / |label|, rows with label 0 left out", _MEAN, SHARE, True),
    Definition("r2", "R²", _NUMBERS, False, "none",
               "1 − Σ (label − prediction)² / Σ (label − mean label)²", "infinitesimal jackknife", POINTS),
    Definition("bias", "Bias", _NUMBERS, None, "label", "mean of prediction − label", _MEAN, None),
    Definition("quantile_loss", "Quantile loss", _NUMBERS, True, "label",
               "mean of max(q·(label − prediction), (q − 1)·(label − prediction)), q the model's quantile",
               _MEAN, SHARE, True),
    Definition("value_per_prediction", "Value per prediction", _CLASSES, False, "value",
               "mean of the cost matrix' value of (true class, predicted class)", _MEAN, SHARE, True),
    Definition("value_total", "Total value", _CLASSES, False, "value",
               "value per prediction × labelled rows", "of the value per prediction, times the rows", None),
)  # fmt: skip

DEFINITIONS: Mapping[str, Definition] = {one.name: one for one in _ALL}
LOWER_IS_BETTER = frozenset(one.name for one in _ALL if one.lower_is_better)


def lies_beyond(metric: str, value: float, limit: float) -> bool:
    """Whether a value of the metric is worse than its limit."""
    return value > limit if metric in LOWER_IS_BETTER else value < limit


Primary = Literal["roc_auc", "accuracy", "mae"]
PRIMARY: Mapping[Task, Primary] = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}
"""The metric a task is judged by. Multiclass: `primary_metric` gives roc_auc where there are probabilities."""

BUSINESS = ("value_per_prediction", "value_total")


def unit_of(metric: str, spec: ModelSpec) -> str:
    """The unit a value of the metric is written with; "" where it has none or the spec does not say."""
    definition = DEFINITIONS.get(metric)
    return {"label": spec.label_unit, "value": spec.costs_unit}.get(definition.unit if definition else "", "")


def metrics_of(task: Task) -> tuple[str, ...]:
    """The names of a task's metrics, in the registry's order; those of business value apply with a cost matrix."""
    return tuple(one.name for one in _ALL if task in one.tasks)
