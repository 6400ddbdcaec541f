"""How numbers and times are written, the same on every page. Unknown is an en dash, never zero."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from backend import clock

UNKNOWN = "–"
MINUS = "\u2212"
NARROW = "\u202f"  # between a number and its unit
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


def format_metric(value: float | None, unit: str = "") -> str:
    """Three significant digits with the unit: `0.643`, `12.3 min`, `1,234 ms`, `0.00012`."""
    if value is None or _is_unknown(value):
        return UNKNOWN
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
