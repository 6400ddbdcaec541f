"""Realised performance of a classifier of several classes.

    accuracy             Wilson's score interval
    macro_*              from the confusion matrix C (true x predicted), with the infinitesimal jackknife over its
                         cells: variance Σ C_ab (∂T/∂C_ab)²
    roc_auc              mean over classes of one against the rest; variance from the classes' summed influences
    log_loss, brier, top_brier   mean of per-row losses ± 1.96 standard errors
    ece                  of the predicted class, as for a binary classifier

A class that was never seen before is a class like any other: its rows count as errors. Rows of a class without
a probability column are left out of the log loss (it would be infinite), and the metric says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from backend.monitoring.performance._core import Codes, Floats, Metric, undefined
from backend.monitoring.performance.binary import CLIP, area_of, calibration_error, infinite_note
from backend.monitoring.performance.intervals import Ranking, bounded, mean_of, rate

_MACROS = ("macro_precision", "macro_recall", "macro_f1")
_FROM_PROBABILITIES = ("roc_auc", "log_loss", "brier")
_FROM_SCORE = ("top_brier", "ece")
SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class Outcomes:
    """The rows of a window as arrays.

    score          (n,) probability of the predicted class; NaN where there is none
    prediction     (n,) codes into `names`, −1 where there is none
    label          (n,) likewise
    probabilities  {place in names: (n,) probability of that class}
    """

    names: tuple[str, ...]
    score: Floats
    prediction: Codes
    label: Codes
    probabilities: Mapping[int, Floats]

    def take(self, index: Codes) -> Outcomes:
        """Some of the rows."""
        return Outcomes(
            self.names, self.score[index], self.prediction[index], self.label[index],
            {code: values[index] for code, values in self.probabilities.items()},
        )  # fmt: skip


def multiclass_metrics(outcomes: Outcomes) -> dict[str, Metric]:
    """Every metric of a multiclass model. Rows without a label are left out."""
    known = outcomes.take(np.flatnonzero(outcomes.label >= 0))
    return {**_from_classes(known), **_from_probabilities(known), **_from_score(known)}


def _from_classes(rows: Outcomes) -> dict[str, Metric]:
    classed = np.flatnonzero(rows.prediction >= 0)
    if not classed.size:
        return dict.fromkeys(("accuracy", *_MACROS), undefined(0, "no row has prediction and label"))
    label, prediction = rows.label[classed], rows.prediction[classed]
    size = len(rows.names)
    cells = (
        np.bincount(label * size + prediction, minlength=size * size).reshape(size, size).astype(np.float64)
    )
    present = (cells.sum(axis=0) + cells.sum(axis=1)) > 0
    cells = cells[np.ix_(present, present)]
    total = int(classed.size)
    return {"accuracy": rate(float(np.trace(cells)), total, total, ""), **_macros(cells, total)}


def _macros(cells: Floats, rows: int) -> dict[str, Metric]:
    """Macro averages over the classes in labels or predictions. cells: (k, k) counts, true x predicted."""
    right, true, predicted = np.diag(cells), cells.sum(axis=1), cells.sum(axis=0)
    precision, recall = _share(right, predicted), _share(right, true)
    f1 = _share(2 * right, true + predicted)
    hit = np.eye(right.size)
    of_class, of_prediction = np.maximum(true, 1), np.maximum(predicted, 1)
    both = np.maximum(true + predicted, 1)
    gradients = {
        "macro_precision": (hit - precision[None, :]) / of_prediction[None, :],
        "macro_recall": (hit - recall[:, None]) / of_class[:, None],
        "macro_f1": 2 * hit / both[:, None] - (f1 / both)[:, None] - (f1 / both)[None, :],
    }
    found = {}
    for name, by_class in zip(_MACROS, (precision, recall, f1), strict=True):
        variance = float((cells * (gradients[name] / right.size) ** 2).sum())
        found[name] = bounded(float(by_class.mean()), math.sqrt(variance), rows)
    return found


def _from_probabilities(rows: Outcomes) -> dict[str, Metric]:
    if not rows.label.size:
        return dict.fromkeys(_FROM_PROBABILITIES, undefined(0, "no row has a label"))
    if len(rows.probabilities) < 2:
        reason = "there are no probabilities by class (columns score_<class>)"
        return dict.fromkeys(_FROM_PROBABILITIES, undefined(0, reason))
    codes = list(rows.probabilities)
    p = np.stack([rows.probabilities[code] for code in codes], axis=1)
    finite = np.isfinite(p).all(axis=1)
    note = infinite_note(int(np.isinf(p).any(axis=1).sum()), "probability")
    p, label = p[finite], rows.label[finite]
    if not label.size:
        reason = note or "no row has probabilities and label"
        return dict.fromkeys(_FROM_PROBABILITIES, undefined(0, reason))
    found = {"roc_auc": _macro_area(p, label, codes, rows.names)}
    sums = p.sum(axis=1)
    if np.any((p < 0) | (p > 1)) or np.any(np.abs(sums - 1) > SUM_TOLERANCE):
        outside = undefined(label.size, "some rows' probabilities do not lie between 0 and 1 and sum to 1")
        found |= dict.fromkeys(("log_loss", "brier"), outside)
    else:
        found |= _losses(p / sums[:, None], label, codes)
    return {name: _with_note(metric, note) for name, metric in found.items()}


def _losses(p: Floats, label: Codes, codes: list[int]) -> dict[str, Metric]:
    truth = label[:, None] == np.asarray(codes)[None, :]
    covered = truth.any(axis=1)
    brier = ((p - truth) ** 2).sum(axis=1) + ~covered  # a class without a column had probability 0
    left = int((~covered).sum())
    note = f"{left} rows of classes without a probability left out" if left else None
    if left == label.size:
        log_loss = undefined(0, "no label is of a class with a probability")
    else:
        chosen = np.clip(p[covered][truth[covered]], CLIP, 1)
        log_loss = mean_of(-np.log(chosen), reason=note)
    return {"log_loss": log_loss, "brier": mean_of(brier)}


def _macro_area(p: Floats, label: Codes, codes: list[int], names: tuple[str, ...]) -> Metric:
    areas: list[Metric] = []
    influence = np.zeros(label.size)
    absent = []
    for place, code in enumerate(codes):
        ones = (label == code).astype(np.float64)
        ranking = Ranking(p[:, place], ones)
        area = area_of(ranking)
        if area.value is None:
            absent.append(names[code])
            continue
        areas.append(area)
        influence += ranking.influence(ones, area.value)
    if not areas:
        return undefined(label.size, "labels of at least two classes are needed")
    reason = None
    if absent:
        named = ", ".join(repr(name) for name in absent[:3]) + (", …" if len(absent) > 3 else "")
        reason = f"mean over {len(areas)} of {len(codes)} classes; no labels to compare for {named}"
    if len(areas) == 1:
        return replace(areas[0], reason=reason)
    value = float(np.mean([area.value for area in areas]))
    se = math.sqrt(float((influence**2).sum())) / len(areas)
    return bounded(value, se, int(label.size), reason)


def _from_score(rows: Outcomes) -> dict[str, Metric]:
    """Of the predicted class alone: its probability, and whether it was right."""
    score = _top_scores(rows)
    usable = (rows.prediction >= 0) & np.isfinite(score)
    note = infinite_note(int(np.isinf(score).sum()), "score")
    if not usable.any():
        return dict.fromkeys(_FROM_SCORE, undefined(0, note or "no row has score, prediction and label"))
    p = score[usable]
    if np.any((p < 0) | (p > 1)):
        outside = undefined(p.size, "some scores are not probabilities between 0 and 1")
        return dict.fromkeys(_FROM_SCORE, outside)
    right = (rows.prediction[usable] == rows.label[usable]).astype(np.float64)
    return {
        "top_brier": _with_note(mean_of((p - right) ** 2), note),
        "ece": _with_note(calibration_error(p, right), note),
    }


def _top_scores(rows: Outcomes) -> Floats:
    """The score where there is one, else the predicted class's own probability."""
    score = rows.score.copy()
    for code, values in rows.probabilities.items():
        chosen = np.isnan(score) & (rows.prediction == code)
        score[chosen] = values[chosen]
    return score


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0))


def _with_note(metric: Metric, note: str | None) -> Metric:
    if note is None:
        return metric
    return replace(metric, reason=f"{metric.reason}; {note}" if metric.reason else note)
