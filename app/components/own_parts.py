"""Warrant's own objectives on the page Jobs."""

from __future__ import annotations

from collections.abc import Sequence

from app.components.status import banner
from app.components.tables import badge, table
from app.formats import UNKNOWN, format_decimal, format_share
from app.words import count_of
from backend.own_objectives import Reading

LEVELS = {"met": ("met", "ok"), "missed": ("missed", "attention"), "unknown": ("unknown", "unknown")}


def in_words(value: float | None, unit: str) -> str:
    if value is None:
        return UNKNOWN
    if unit == "share":
        return format_share(value)
    return format_decimal(value, 1, unit)


def show_objectives(found: Sequence[Reading]) -> None:
    missed = [one for one in found if one.state == "missed"]
    if missed:
        banner(f"{count_of(len(missed), 'objective')} of Warrant's own missed.", "attention", word="missed")
    table(
        ("Warrant itself", "now", "at most", ""),
        [
            [each.title, in_words(one.value, each.unit), in_words(each.limit, each.unit), badge(*LEVELS[one.state])]
            for one in found
            for each in [one.objective]
        ],
        caption="Warrant's own objectives",
    )  # fmt: skip
