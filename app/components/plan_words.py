"""A rollout in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from app.formats import NARROW, format_age
from backend.deployment.segments import in_words


def plan_words(rollout: Mapping[str, Any]) -> str:
    """A rollout in one line."""
    strategy = rollout["strategy"]
    bake = rollout.get("bake_s") or 0
    watched = f", watched for {format_age(timedelta(seconds=bake))} each" if bake else ""
    if strategy == "canary":
        steps = ", ".join(f"{step * 100:g}{NARROW}%" for step in rollout["steps"])
        return f"canary: {steps}{_of_segments(rollout)}{watched}"
    words = {
        "all_at_once": "all at once", "shadow_first": "first in the shadow of what serves, then all at once",
        "blue_green": "blue-green: both loaded, then switched",
        "ab": f"A/B between champion and challenger{_of_segments(rollout)}",
    }  # fmt: skip
    return words.get(strategy, strategy) + watched.removesuffix(" each")


def _of_segments(rollout: Mapping[str, Any]) -> str:
    if rollout.get("segments"):
        then = ", then of all rows" if rollout["strategy"] == "canary" else ""
        return f" of rows of {in_words(rollout['segments'])}{then}"
    return " of rows of segments that the request may name" if rollout.get("segments_on_request") else ""
