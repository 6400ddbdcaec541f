"""The stages of a rollout, from the policy's rule. Pure.

While a new champion is watched the version before it stays loaded, so that a return needs no loading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from backend.deployment.segments import Segments, in_words
from backend.governance.policy_rules import Rollout

# What each strategy does; docs/changes.md is made from it.
STRATEGIES: Final[dict[str, str]] = {
    "all_at_once": "the version becomes the champion, and is watched for `bake_s`",
    "canary": "it answers each share below 1 for `bake_s`, then becomes the champion, and is watched for `bake_s`",
    "shadow_first": "it scores what the champion answers for `bake_s`, then becomes the champion",
    "blue_green": "it is loaded beside the champion, then becomes the champion, and is watched for `bake_s`",
    "ab": "it answers its share until `metric` decides, after `bake_s` at the earliest and `longest_s` at the latest; "
    "then it becomes the champion",
}


@dataclass(frozen=True)
class Stage:
    """One stage. `share` of the requests; `bake_s` seconds for which it is watched, 0: it is not."""

    number: int
    role: Literal["canary", "shadow", "champion"]
    share: float
    bake_s: float
    longest_s: float | None = None
    """A/B: when it ends undecided, in seconds"""
    segments: Segments = field(default_factory=dict)
    """the share is one of their rows alone; empty: of all rows"""

    @property
    def words(self) -> str:
        if self.role == "shadow":
            return "as a shadow"
        if self.role == "champion":
            return "at 100 %"
        if not self.share:
            return "loaded beside the champion"
        return f"at {self.share * 100:g} %" + (f" of {in_words(self.segments)}" if self.segments else "")


def stages_of(rule: Mapping[str, Any], *, replaces: bool) -> list[Stage]:
    """The stages of a stored rule. Where nothing serves (`replaces` is False) there is nothing to be beside.

    A canary that is kept to segments comes to all of their rows before it becomes the champion of every row.
    """
    rollout = Rollout.model_validate(rule)
    before: list[tuple[Literal["canary", "shadow"], float, float, float | None]] = []
    watched_s = rollout.bake_s
    if not replaces:
        pass
    elif rollout.strategy == "canary":
        steps = rollout.steps if rollout.segments else rollout.steps[:-1]
        before = [("canary", share, rollout.bake_s, None) for share in steps]
    elif rollout.strategy == "shadow_first":
        before, watched_s = [("shadow", 0.0, rollout.bake_s, None)], 0.0
    elif rollout.strategy == "blue_green":
        before = [("canary", 0.0, 0.0, None)]
    elif rollout.strategy == "ab":
        longest_s = max(rollout.longest_s, rollout.bake_s)
        before, watched_s = [("canary", rollout.steps[0], rollout.bake_s, longest_s)], 0.0
    kept = {column: list(values) for column, values in rollout.segments.items()}
    stages = [Stage(number, *one, kept) for number, one in enumerate(before, start=1)]
    return [*stages, Stage(len(stages) + 1, "champion", 1.0, watched_s)]
