"""Verdicts of monitors as levels of the theme, and the words for a window that has none."""

from __future__ import annotations

from app.theme import STATES

UNKNOWN_WORDS = {
    "not_computed": "not computed yet",
    "filling": "still filling",
    "open": "not over yet, too few rows so far",
    "complete": "no result is stored",
    "inconclusive": "inconclusive",
    "revised": "changed since; the verdict of then is not kept",
    "no_traffic": "no rows came",
    "no_traffic_expected": "no traffic expected",
}
# a verdict is a level of the theme; what monitors call their results maps onto it here
VERDICT_LEVELS = {
    "ok": "ok",
    "pass": "ok",
    "fine": "ok",
    "attention": "attention",
    "ticket": "attention",
    "fail": "attention",
    "alarm": "attention",
    "info": "attention",
    "drift": "attention",
    "page": "page",
    "injected": "injected",
}


def verdict_level(verdict: object) -> str:
    """The level a verdict is drawn at. Anything not known to be fine or alarming is "unknown", never "ok"."""
    return VERDICT_LEVELS.get(str(verdict), "unknown")


def verdict_word(level: str, verdict: object) -> str:
    """A level's word; what is not known says why in words of its own, and so does an alarm that calls nobody."""
    if verdict == "info":
        return "beyond its limit; calls nobody"
    if level != "unknown" or not isinstance(verdict, str):
        return STATES[level].word
    return UNKNOWN_WORDS.get(verdict, STATES[level].word)
