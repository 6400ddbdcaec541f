"""Verdicts of monitors as levels of the theme, and the words for a window that has none."""

from __future__ import annotations

from app.theme import STATES

NOTHING_STORED = "no result is stored"
UNKNOWN_WORDS = {
    "not_computed": "not computed yet",
    "filling": "still filling",
    "open": "not over yet, too few rows so far",
    "complete": NOTHING_STORED,
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


def so_far(level: str, still: object) -> str:
    """Behind the word of an alarm: that its window is `still` not over."""
    return ", so far: the window is not over yet" if level in ("attention", "page") and still else ""


def unknown_word(verdict: object) -> str:
    """Why a cell has no verdict, for a legend; one without any point has nothing stored."""
    if not isinstance(verdict, str):
        return NOTHING_STORED
    return UNKNOWN_WORDS.get(verdict, STATES["unknown"].word)


def because(level: str, reason: object) -> str:
    """Behind the word of what was not judged: the stored reason, where there is one."""
    return f": {reason}" if level == "unknown" and isinstance(reason, str) and reason else ""
