"""Realised performance: what a model's predictions were worth once labels came, each number with an interval.

measure(spec, rows)            every metric of the spec's task, of one window
measure_performance(...)       the eight oldest of a binary classifier, from arrays
DEFINITIONS                    every metric, described
"""

from backend.monitoring.performance._core import Metric, Performance, Rest, class_name, read_classes
from backend.monitoring.performance.binary import METRICS, measure_performance, roc_auc
from backend.monitoring.performance.intervals import wilson
from backend.monitoring.performance.measurement import measure, primary_metric
from backend.monitoring.performance.registry import (
    DEFINITIONS,
    LOWER_IS_BETTER,
    PRIMARY,
    Definition,
    lies_beyond,
    metrics_of,
)
from backend.monitoring.performance.segments import measure_segments, segments_of

__all__ = [
    "DEFINITIONS",
    "LOWER_IS_BETTER",
    "METRICS",
    "PRIMARY",
    "Definition",
    "Metric",
    "Performance",
    "Rest",
    "class_name",
    "lies_beyond",
    "measure",
    "measure_performance",
    "measure_segments",
    "metrics_of",
    "primary_metric",
    "read_classes",
    "roc_auc",
    "segments_of",
    "wilson",
]
