"""Alert rows as one line of text, for the annotation that OpenSLO leaves to its users.

`page 1h 5m 2%; ticket 3d 6h 10%`: severity, long window, short window, and the share of the budget that is spent when
the row fires; or, for a factor that is the same in every period, `page 1h 5m 14.4x`.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from backend.errors import BadInput
from backend.slo.durations import seconds_of, write_duration
from backend.slo.objectives import AlertRow, Severity


def read_rows(text: str) -> tuple[AlertRow, ...]:
    """The rows of an annotation; `none` is no row. Raises `BadInput` naming the row that cannot be read."""
    if text.strip() == "none":
        return ()
    rows = tuple(_read_row(part.strip()) for part in text.split(";") if part.strip())
    if not rows:
        raise BadInput("there is no row; write `none` for an objective that never alerts")
    pairs = [(row.long_s, row.short_s, row.severity) for row in rows]
    if len(set(pairs)) < len(pairs):
        raise BadInput("two rows have the same windows and severity")
    return rows


def write_rows(rows: tuple[AlertRow, ...]) -> str:
    """The same rows as text."""
    return "; ".join(_write_row(row) for row in rows) or "none"


def percent(share: Decimal) -> str:
    """A share as people write it: 0.02 is 2%."""
    return f"{plain(share * 100)}%"


def plain(number: Decimal) -> str:
    """Without trailing zeros and exponents: 5.60 is 5.6, 1E+2 is 100."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _write_row(row: AlertRow) -> str:
    when = (
        percent(row.budget_share) if row.budget_share is not None else f"{plain(row.factor or Decimal(0))}x"
    )
    return f"{row.severity} {write_duration(row.long_s)} {write_duration(row.short_s)} {when}"


def _read_row(text: str) -> AlertRow:
    words = text.split()
    if len(words) != 4 or words[0] not in ("page", "ticket"):
        raise BadInput(
            f"{text!r} is no alert row; write severity, long window, short window and share of the budget or factor, "
            "such as `page 1h 5m 2%` or `page 1h 5m 14.4x`"
        )
    severity: Severity = "page" if words[0] == "page" else "ticket"
    long_s, short_s = seconds_of(words[1]), seconds_of(words[2])
    number, unit = words[3][:-1], words[3][-1]
    try:
        value = Decimal(number)
    except InvalidOperation:
        unit = ""
    if unit == "%":
        return AlertRow(severity, long_s, short_s, budget_share=value / 100)
    if unit == "x":
        return AlertRow(severity, long_s, short_s, factor=value)
    raise BadInput(
        f"{words[3]!r} in {text!r} is neither a share of the budget such as 2% nor a factor such as 14.4x"
    )
