"""Lengths, periods and alert rows in words, for people who define objectives: what 14.4x means, of whose budget.

What is said of counted events is in `sentences.py`.
"""

from __future__ import annotations

from decimal import Decimal

from backend.slo.alert_row_text import plain
from backend.slo.objectives import BurnRow, Objective
from backend.slo.windows import Calendar

_UNITS = {"M": "month", "Q": "quarter", "Y": "year", "w": "week", "d": "day"}


def span_words(seconds: float) -> str:
    """`5 minutes`, `6 hours`, `3 days`, `2.1 days`: a length as people say it.

    >>> span_words(300), span_words(3600), span_words(181440)
    ('5 minutes', '1 hour', '2.1 days')
    """
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length * (2 if unit == "day" else 1) or unit == "minute":
            count = seconds / length
            written = f"{count:.0f}" if abs(count - round(count)) < 0.05 or count >= 10 else f"{count:.1f}"
            return f"{written} {unit}{'' if written == '1' else 's'}"
    return ""


def row_words(row: BurnRow, objective: Objective) -> str:
    """`pages when more than 1.44 % are bad over 1 hour and over 5 minutes: 14.4x what the budget allows, which spends
    2 % of the 30 days' budget in 1 hour`. Of a row that no error ratio reaches it says that it never fires.
    """
    long, short = span_words(row.long_s), span_words(row.short_s)
    if row.threshold >= 1:
        return (
            f"never {_verb(row, 'page', 'open a ticket')}: {factor_words(row.factor)} what the budget allows is "
            f"{_percent(row.threshold)} of all events"
        )
    return (
        f"{_verb(row, 'pages', 'opens a ticket')} when more than {_percent(row.threshold)} are bad over {long} and "
        f"over {short}: {factor_words(row.factor)} what the budget allows, which spends {_percent(row.budget_share)} "
        f"of {period_words(objective)} budget in {long}"
    )


def _verb(row: BurnRow, page: str, ticket: str) -> str:
    return page if row.severity == "page" else ticket


def factor_words(factor: Decimal) -> str:
    """`14.4x`; at most three digits after the point."""
    return f"{plain(factor.quantize(Decimal('0.001')))}x"


def period_words(objective: Objective) -> str:
    """Whose budget it is: `the month's`, `the 30 days'`, `the 12 hours'`."""
    length = _length_words(objective)
    return f"the {length}'" if length.endswith("s") else f"the {length}'s"


def _length_words(objective: Objective) -> str:
    """`30 days`, `month`."""
    window = objective.window
    if isinstance(window, Calendar):
        count, unit = window.count, _UNITS[window.unit]
    else:
        count, unit = (window.hours // 24, "day") if window.hours % 24 == 0 else (window.hours, "hour")
    return unit if count == 1 else f"{count} {unit}s"


def target_words(objective: Objective) -> str:
    """`99.9 % over any 30 days`, `99.9 % in each month, by the clocks of Europe/Berlin`."""
    target = f"{plain(objective.target * 100)} %"
    time = _length_words(objective)
    if isinstance(objective.window, Calendar):
        return f"{target} in each {time}, by the clocks of {objective.window.zone}"
    return f"{target} over any {time}"


def _percent(share: Decimal) -> str:
    """With the digits that count: 1.44 %, 0.09333 %, 10 %."""
    return f"{plain(Decimal(f'{share * 100:.4g}'))} %"
