"""What is measured of groups, by the names of fairlearn where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CROSS: Final = " × "
"""Between the columns of an intersection: `SEX × RAC1P`."""
AND: Final = " & "
"""Between the values of an intersection: `SEX=1 & RAC1P=2`."""
NO_BOUND: Final = "no bound is declared for it under fairness.limits"


@dataclass(frozen=True)
class Measure:
    """A figure of one group, or a gap between the groups of an attribute.

    labels  whether it needs labels
    below   of a gap: values below the limit are beyond it
    """

    name: str
    title: str
    labels: bool
    explanation: str
    below: bool = False


GROUP_MEASURES: Final[Mapping[str, Measure]] = {
    one.name: one
    for one in (
        Measure("selection_rate", "selection rate", False,
                "Share of rows that are decided favourably (positively, where the spec declares no favourable "
                "decision)."),
        Measure("true_positive_rate", "true positive rate", True,
                "Share decided positively of those whose label is positive."),
        Measure("false_positive_rate", "false positive rate", True,
                "Share decided positively of those whose label is negative."),
        Measure("precision", "precision", True,
                "Share whose label is positive of those decided positively."),
        Measure("calibration", "calibration", True,
                "Mean of label less score: above 0 more came true than the scores said."),
        Measure("labelled_share", "labels known", False,
                "Share of rows whose label is known, of those whose label can come."),
    )
}  # fmt: skip

GAPS: Final[Mapping[str, Measure]] = {
    one.name: one
    for one in (
        Measure("demographic_parity_ratio", "demographic parity ratio", False,
                "Smallest selection rate divided by the largest: 1 is alike, below 0.8 breaks the four-fifths rule.",
                below=True),
        Measure("demographic_parity_difference", "demographic parity difference", False,
                "Largest selection rate less the smallest."),
        Measure("equalized_odds_difference", "equalised odds difference", True,
                "The larger of the differences of true and of false positive rates."),
        Measure("equal_opportunity_difference", "equal opportunity difference", True,
                "Largest true positive rate less the smallest."),
        Measure("predictive_parity_difference", "predictive parity difference", True,
                "Largest precision less the smallest."),
        Measure("calibration_difference", "calibration difference", True,
                "Largest calibration less the smallest."),
    )
}  # fmt: skip

MEASURES: Final[Mapping[str, Measure]] = {**GROUP_MEASURES, **GAPS}


def needs_labels(statistic: str) -> bool:
    """Whether a stored fairness figure says nothing before labels come."""
    return MEASURES[statistic].labels if statistic in MEASURES else False


def attribute_name(columns: tuple[str, ...]) -> str:
    """How an attribute or an intersection is called: `SEX`, `SEX × RAC1P`."""
    return CROSS.join(columns)


def group_name(columns: tuple[str, ...], values: tuple[str, ...]) -> str:
    """How a group is called: `SEX=1 & RAC1P=2`."""
    return AND.join(f"{column}={value}" for column, value in zip(columns, values, strict=True))
