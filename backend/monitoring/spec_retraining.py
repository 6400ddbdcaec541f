"""The key `retraining` of a model spec: how the model is retrained, what sets it off, how often, and for how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from backend.errors import BadInput
from backend.retraining.search import Search, read_search

Trigger = Literal["schedule", "drift", "estimated", "realised", "labels"]
TRIGGERS: Final[tuple[Trigger, ...]] = ("schedule", "drift", "estimated", "realised", "labels")
DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class TriggerRule:
    """on: what sets it off. every_s: of a schedule. new: of `labels`, how many have come since the last training."""

    on: Trigger
    every_s: float = 0.0
    new: int = 0


@dataclass(frozen=True)
class RetrainingRule:
    """What a trigger asks for; by hand anything can be asked for.

    cooldown_s       so long after a retraining was asked for, no trigger asks for another
    runs_per_week    of the model, whoever asked for them; likewise the hours of training
    least_labelled   share of rows that must have a label
    search           of hyper-parameters, by each retraining
    """

    trainer: str
    triggers: tuple[TriggerRule, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    device: Literal["cpu", "gpu"] = "cpu"
    cpu_allowed: bool = False
    window_s: float = 365 * DAY_S
    wall_s: int = 3600
    memory_mb: int = 4096
    least_labelled: float = 0.0
    cooldown_s: float = 3 * DAY_S
    runs_per_week: int = 2
    hours_per_week: float = 4.0
    search: Search | None = None


_KEYS: Final = (
    "trainer", "parameters", "device", "cpu_allowed", "window", "limits", "least_labelled", "triggers", "cooldown",
    "budget", "search",
)  # fmt: skip


def read_retraining(value: Any, duration: Any) -> RetrainingRule | None:
    """From the mapping under `retraining`; `duration` reads texts such as 7d, as the spec's other keys."""
    if value is None:
        return None
    _mapping(value, "retraining", _KEYS)
    trainer = value.get("trainer")
    if not isinstance(trainer, str) or not trainer:
        raise BadInput("retraining.trainer: name the trainer, such as sklearn_boosting")
    device = value.get("device", "cpu")
    if device not in ("cpu", "gpu"):
        raise BadInput(f"retraining.device: {device!r} is not one of cpu, gpu")
    limits, budget = value.get("limits") or {}, value.get("budget") or {}
    _mapping(limits, "retraining.limits", ("hours", "memory_mb"))
    _mapping(budget, "retraining.budget", ("runs_per_week", "hours_per_week"))
    parameters = value.get("parameters") or {}
    _mapping(parameters, "retraining.parameters", None)
    return RetrainingRule(
        trainer=trainer, triggers=_triggers(value.get("triggers"), duration), parameters=dict(parameters),
        device=device, cpu_allowed=bool(value.get("cpu_allowed", False)),
        window_s=duration(value.get("window", "365d"), "retraining.window"),
        wall_s=int(_number(limits, "limits", "hours", 1.0) * 3600),
        memory_mb=int(_number(limits, "limits", "memory_mb", 4096)),
        least_labelled=_number(value, "", "least_labelled", 0.0, least=0.0, most=1.0),
        cooldown_s=duration(value.get("cooldown", "3d"), "retraining.cooldown"),
        runs_per_week=int(_number(budget, "budget", "runs_per_week", 2)),
        hours_per_week=_number(budget, "budget", "hours_per_week", 4.0),
        search=read_search(value["search"], "retraining.search") if value.get("search") is not None else None,
    )  # fmt: skip


def _triggers(value: Any, duration: Any) -> tuple[TriggerRule, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadInput("retraining.triggers: write a list, such as [{on: drift}, {on: schedule, every: 7d}]")
    found = []
    for number, one in enumerate(value):
        where = f"retraining.triggers[{number}]"
        _mapping(one, where, ("on", "every", "new"))
        on = one.get("on", one.get(True))  # YAML 1.1 reads a bare `on` as true
        if on not in TRIGGERS:
            raise BadInput(f"{where}.on: {on!r} is not one of {', '.join(TRIGGERS)}")
        if on == "schedule" and "every" not in one:
            raise BadInput(f"{where}.every: say how often, such as 7d")
        new = one.get("new", 0)
        if on == "labels" and (isinstance(new, bool) or not isinstance(new, int) or new < 1):
            raise BadInput(f"{where}.new: say after how many new labels, such as 5000")
        found.append(
            TriggerRule(
                on, every_s=duration(one["every"], f"{where}.every") if "every" in one else 0.0, new=int(new)
            )
        )
    return tuple(found)


def _mapping(value: Any, where: str, known: tuple[str, ...] | None) -> None:
    if not isinstance(value, Mapping):
        raise BadInput(f"{where}: write a mapping of keys, not {type(value).__name__}")
    unknown = [str(key) for key in value if known is not None and key not in known and key is not True]
    if unknown:
        raise BadInput(f"{where}: {', '.join(unknown)} is not one of {', '.join(known or ())}")


def _number(
    value: Mapping[str, Any], part: str, key: str, default: float, *, least: float = 1e-9, most: float = 1e9
) -> float:
    found = value.get(key, default)
    if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
        place = ".".join(word for word in ("retraining", part, key) if word)
        raise BadInput(f"{place}: {found!r} is no number from {least:g} to {most:g}")
    return float(found)
