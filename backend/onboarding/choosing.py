"""A proposed document with what a person decided about it: pure, from one document to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from backend import clock

LEFT_OUT: Final = "left out"
COMPARED: Final = ("numeric", "categorical")
TYPES: Final = ("numeric", "categorical", "text", "time", "id", LEFT_OUT)


@dataclass(frozen=True)
class Choices:
    """What a person says. Left at its default, the proposal stands.

    types     column to one of `TYPES`; monitors, objectives: the places of those that are kept, None: all
    answers   of the questionnaire about the tier, question to option; they count once all are given
    """

    title: str = ""
    description: str = ""
    owner: str = ""
    tier: str = ""
    window: str = ""
    types: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None
    until: datetime | None = None
    timezone: str = ""
    trained_by: str = ""
    monitors: Sequence[int] | None = None
    objectives: Sequence[int] | None = None
    answers: Mapping[str, str | None] | None = None


def confirm(document: Mapping[str, Any], choices: Choices) -> dict[str, Any]:
    """The document as it would be applied. A column that is no feature any more takes what watches it along."""
    made: dict[str, Any] = deepcopy(dict(document))
    for key in ("title", "description", "owner", "tier"):
        if said := getattr(choices, key).strip():
            made["model"][key] = said
    _retype(made, choices.types)
    if choices.window and choices.window != made["spec"]["window"]:
        made["spec"]["window"] = choices.window
        made["spec"].pop("live_window", None)
        for one in made.get("objectives") or ():
            one["spec"]["indicator"]["spec"]["ratioMetric"]["good"]["metricSource"]["spec"]["size"] = (
                choices.window
            )
    _keep(made, "monitors", choices.monitors)
    _keep(made, "objectives", choices.objectives)
    if choices.answers is not None:
        made["tier_answers"] = dict(choices.answers)
    if choices.trained_by.strip():
        made["version"]["trained_by"] = choices.trained_by.strip()
    history = made["history"]
    history["timezone"] = choices.timezone.strip() or history["timezone"]
    if choices.until is not None:
        history["reference"] = {"until": clock.to_iso(choices.until)}
        if choices.since is not None:
            history["reference"]["since"] = clock.to_iso(choices.since)
    _watch_what_is_there(made)
    return made


def _retype(made: dict[str, Any], types: Mapping[str, str]) -> None:
    features = made["spec"]["features"]
    for column, kind in types.items():
        if kind == LEFT_OUT:
            features.pop(column, None)
        else:
            features[column] = kind


def _keep(made: dict[str, Any], part: str, places: Sequence[int] | None) -> None:
    if places is not None and part in made:
        made[part] = [one for place, one in enumerate(made[part]) if place in places]


def _watch_what_is_there(made: dict[str, Any]) -> None:
    spec = made["spec"]
    compared = {name for name, kind in spec["features"].items() if kind in COMPARED}
    segments = [name for name in spec.get("segments", ()) if spec["features"].get(name) == "categorical"]
    spec.pop("segments", None)
    if segments:
        spec["segments"] = segments
    if "monitors" in made:
        made["monitors"] = [one for one in made["monitors"] if one["when"].get("column") in compared | {None}]
