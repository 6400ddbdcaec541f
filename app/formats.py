"""How numbers and times are written, the same on every page. Unknown is an en dash, never zero.

AUC has three decimals and PSI two, rates one with what they are of; changes of shares are told in points, latency in
ms.
No page, component or chart writes a number in another way; `tests/unit/app/test_number_formats.py` reads them all.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend import clock

UNKNOWN = "–"
MINUS = "\u2212"
NARROW = "\u202f"  # between a number and its unit
AUC, PSI = frozenset({"roc_auc", "AUC"}), frozenset({"psi", "evidently:psi", "PSI"})
"""What these are called in code and in words."""
HOVER, HOVER_SIGNED, HOVER_SHARE, HOVER_AMOUNT = ".3~g", "+.3~g", ".1%", ",.2f"
"""How plotly writes a number that a figure did not write itself (d3-format)."""
TICK_SHARE, TICK_TENTH, TICK_FINE = ".0%", ".1%", ".6~%"
"""The same for an axis of shares: whole per cents, tenths where it is that fine, and as many digits as tell places
apart that are all nearly whole."""
_NEGATIVE = re.compile(r"(?<![\w.)\]-])-(?=\d)")  # before a number, not between two parts of a date or a name
_PER_CENT = re.compile(r"(\d) ?%(?!\w)")


def _is_unknown(value: float | int | None) -> bool:
    return value is None or not math.isfinite(value)


def format_count(value: float | int | None) -> str:
    """`41,203`; unknown as `–`."""
    return UNKNOWN if value is None or _is_unknown(value) else f"{round(value):,}"


def format_share(value: float | None) -> str:
    """A share of one as per cent: `0.0312` is `3.1 %`, `0.00004` is `<0.1 %`, `0.9999` is `>99.9 %`.

    Only exactly nothing reads `0 %` and only exactly everything `100 %`.
    """
    if value is None or _is_unknown(value):
        return UNKNOWN
    if value in (0, 1):
        return f"{int(value) * 100}{NARROW}%"
    if 0 < value < 0.0005:
        return f"<0.1{NARROW}%"
    if 0.9995 <= value < 1:
        return f">99.9{NARROW}%"
    return f"{value * 100:.1f}{NARROW}%".replace("-", MINUS)


def format_fine_share(value: float | None) -> str:
    """A share that is nearly whole, with as many decimals as tell it from the whole: `99.953 %`, `99.9 %`, `81.2 %`."""
    if value is None or _is_unknown(value):
        return UNKNOWN
    rest = abs(1 - value) * 100
    if rest < 1e-9:
        return f"100{NARROW}%"
    digits = min(6, max(1, 1 - math.floor(math.log10(rest)))) if rest < 1 else 1
    whole, _, decimals = f"{value * 100:.{digits}f}".partition(".")
    decimals = decimals[:1] + decimals[1:].rstrip("0")
    return f"{whole}.{decimals}{NARROW}%".replace("-", MINUS) if value else f"0{NARROW}%"


def format_rate(part: int | None, whole: int | None) -> str:
    """A rate with what it is of: `3.1 % (23 of 741)`; unknown of nothing."""
    if part is None or not whole:
        return UNKNOWN
    return f"{format_share(part / whole)} ({format_count(part)} of {format_count(whole)})"


def format_metric(value: float | None, unit: str = "", *, of: str = "") -> str:
    """Three significant digits with the unit: `0.643`, `12.3 min`, `1,234 ms`, `0.00012`.

    `of` is the name or word of what the value is of: AUC has three decimals whatever it is (`1.000`), PSI two.
    """
    if value is None or _is_unknown(value):
        return UNKNOWN
    if of in AUC:
        return format_decimal(value, 3)
    if of in PSI:
        return (
            format_decimal(value)
            if value == 0 or abs(value) >= 0.005
            else "<0.01"
            if value > 0
            else f"{MINUS}0.00"
        )
    size = float(f"{abs(value):.3g}")
    if size == 0:
        text = "0"
    elif size >= 1000:
        text = f"{value:,.0f}"
    elif size >= 1:
        text = f"{value:.{max(0, 2 - int(math.log10(size)))}f}"
    elif size >= 0.001:
        text = f"{value:.3f}"
    else:
        text = f"{value:.2g}"
    if text.startswith("-"):
        text = MINUS + text[1:]
    return f"{text}{NARROW}{unit}" if unit else text


def format_decimal(value: float | None, digits: int = 2, unit: str = "") -> str:
    """So many decimals: `0.18`, `1,204.50 EUR`, `0.642`."""
    if value is None or _is_unknown(value):
        return UNKNOWN
    text = f"{value:,.{digits}f}".replace("-", MINUS)
    return f"{text}{NARROW}{unit}" if unit else text


def format_plain(value: float | None) -> str:
    """A number that somebody set, no longer than it was written: `0.5`, `14`, `0.42`."""
    return UNKNOWN if value is None or _is_unknown(value) else f"{value:g}".replace("-", MINUS)


def format_signed(value: float | None, unit: str = "") -> str:
    """A difference with its sign: `+0.012`, `−0.062`, `0`."""
    if value is None or _is_unknown(value):
        return UNKNOWN
    sign = "+" if value > 0 else MINUS if value < 0 else ""
    return sign + format_metric(abs(value), unit)


def format_points(before: float | None, after: float | None) -> str:
    """A change of a share in points, hundredths of the whole: `+1.2 points`, `−6.2 points`, `no change`."""
    if before is None or after is None or _is_unknown(before) or _is_unknown(after):
        return UNKNOWN
    points = (after - before) * 100
    if points == 0:
        return "no change"
    shown = f"{abs(points):.1f}"
    size = "<0.1" if shown == "0.0" else shown
    return f"{'+' if points > 0 else MINUS}{size} points"


def gini_beside(value: float | None, *, of: str, wished: bool) -> str:
    """` (Gini 0.286)` behind an AUC where it is wished: 2 AUC - 1, the accuracy ratio of credit scoring (Engelmann,
    Hayden and Tasche 2003). Nothing behind any other figure."""
    if not wished or of not in AUC or value is None or _is_unknown(value):
        return ""
    return f" (Gini {format_decimal(2 * value - 1, 3)})"


def format_latency(seconds: float | None) -> str:
    """A latency in ms, three significant digits: `182 ms`, `4.21 ms`."""
    return format_metric(None if seconds is None else seconds * 1000, "ms")


def format_seconds(seconds: float | None, digits: int = 1) -> str:
    """How long something took: `1.3 s`."""
    return format_decimal(seconds, digits, "s")


def format_bytes(count: float | None) -> str:
    """A size in decimal units: `640 B`, `41 kB`, `1.2 MB`, `3.4 GB`."""
    if count is None or _is_unknown(count):
        return UNKNOWN
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return format_decimal(count / scale, 1, unit)
    return format_decimal(count / 1e3, 0, "kB") if count >= 1e3 else f"{format_count(count)}{NARROW}B"


def written(text: str) -> str:
    """A sentence of a service with numbers as the console writes them: `−0.02`, `95 %`."""
    return _PER_CENT.sub(rf"\1{NARROW}%", _NEGATIVE.sub(MINUS, text))


def format_change(before: float | None, after: float | None) -> str:
    """The difference with its sign: `+0.012`, `−0.062`, `no change`; unknown if either is."""
    if before is None or after is None or _is_unknown(before) or _is_unknown(after):
        return UNKNOWN
    change = after - before
    if change == 0:
        return "no change"
    return ("+" if change > 0 else MINUS) + format_metric(abs(change))


def whole_number(text: str | None) -> int | None:
    """The number that an address names, as a row can have it; None for whatever else stands there."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def format_age(value: datetime | timedelta | None, now: datetime | None = None) -> str:
    """How long ago, or how long: `40 s`, `23 min`, `3 h`, `2 d 4 h`, `5 w`. A moment ahead counts as its
    distance.
    """
    if value is None:
        return UNKNOWN
    span = value if isinstance(value, timedelta) else (now or clock.now()) - value
    seconds = abs(span.total_seconds())
    if seconds < 90:
        return f"{seconds:.0f}{NARROW}s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f}{NARROW}min"
    hours = seconds / 3600
    if hours < 24:
        return f"{int(hours)}{NARROW}h"
    days, rest = int(hours // 24), int(hours % 24)
    if days < 14:
        return f"{days}{NARROW}d" + (f" {rest}{NARROW}h" if rest and days < 4 else "")
    return f"{days // 7}{NARROW}w" if days < 364 else f"{days / 365.25:.1f}{NARROW}y"


def zone(name: str | None) -> ZoneInfo:
    """The viewer's zone by its IANA name; UTC when the browser did not say or the name is unknown here."""
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else ZoneInfo("UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def format_when(moment: datetime | None, tz: str | None = None, *, seconds: bool = False) -> str:
    """`Mon 2 Mar 2026, 09:05 CET`: the viewer's zone, and which zone it is.

    Raises `ValueError` for a time without a zone.
    """
    if moment is None:
        return UNKNOWN
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone cannot be shown: {moment!r}")
    local = moment.astimezone(zone(tz))
    clock_part = local.strftime("%H:%M:%S" if seconds else "%H:%M")
    return f"{local:%a} {local.day} {local:%b %Y}, {clock_part} {zone_label(local)}"


def format_utc(moment: datetime | None) -> str:
    """`2026-11-22 23:55:03 UTC`: a time on a record, the same for whoever reads it. Raises `ValueError` for a time
    without a zone."""
    return "unknown" if moment is None else clock.to_words(moment)


def zone_label(local: datetime) -> str:
    """`CET`, `UTC`, or `UTC+05:30` where the zone has no letters of its own."""
    name = local.tzname() or "UTC"
    return f"UTC{local:%z}"[:6] + ":" + f"{local:%z}"[3:5] if name[0] in "+-" else name
