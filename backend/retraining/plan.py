"""What one retraining does: checked and complete, as it is previewed, approved and carried out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend import clock
from backend.canonical import canonical_json
from backend.errors import BadInput
from backend.monitoring.columns import Task
from backend.retraining.search import Search, check_search
from backend.retraining.trainers import PROGRAM_TRAINER, trainer_of

Trigger = Literal["by_hand", "schedule", "drift", "estimated", "realised", "labels"]
Device = Literal["cpu", "gpu"]
TRIGGER_WORDS: Final[dict[str, str]] = {
    "by_hand": "asked for by hand", "schedule": "by its schedule", "drift": "because its inputs drift",
    "estimated": "because its estimated performance fell", "realised": "because its realised performance fell",
    "labels": "because new labels came",
}  # fmt: skip
SLACK: Final = timedelta(minutes=5)  # clocks differ
QUEUE_OF: Final[dict[str, str]] = {"cpu": "training", "gpu": "gpu"}
LONGEST_TEXT: Final = 500


class Cause(BaseModel):
    """What set it off, and what makes that the same cause the next time it is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    on: Trigger = "by_hand"
    cause: str = Field("", max_length=200)
    text: str = Field("", max_length=LONGEST_TEXT)
    incident_id: int | None = None


BY_HAND: Final = Cause()


class Plan(BaseModel):
    """`as_of`: nothing that became known later is used. `from_`: training rows are of that time and later."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    trainer: str = Field(max_length=100)
    parameters: dict[str, Any] = Field(default_factory=dict)
    as_of: datetime
    from_: datetime = Field(alias="from")
    device: Device = "cpu"
    cpu_allowed: bool = False  # of a plan for a GPU: whether the worker may train on its processor instead
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 7
    deterministic: bool = False
    wall_s: Annotated[int, Field(ge=10, le=14 * 86_400)] = 3600
    memory_mb: Annotated[int, Field(ge=64, le=4_000_000)] = 4096
    least_labelled: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of rows that must have a label
    search: Search | None = None
    trigger: Cause = BY_HAND

    @property
    def hours(self) -> float:
        """What training costs at most; of a search, all its trials together."""
        return self.wall_s / 3600 if self.search is None else self.search.minutes / 60

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON: the subject of the change, what is bound, stored and shown."""
        found = self.model_dump(mode="json", by_alias=True, exclude={"search"})
        if self.search is not None:
            found["search"] = self.search.as_dict()
        return found | {"as_of": clock.to_iso(self.as_of), "from": clock.to_iso(self.from_)}


@dataclass(frozen=True)
class Wish:
    """What somebody writes, before defaults are filled in. `window` such as 90d counts back from `as_of`."""

    trainer: str
    parameters: dict[str, Any] | None = None
    as_of: datetime | None = None
    window_s: float = 365 * 86_400.0
    device: str = "cpu"
    cpu_allowed: bool = False
    seed: int = 7
    deterministic: bool = False
    wall_s: int = 3600
    memory_mb: int = 4096
    least_labelled: float = 0.0
    search: dict[str, Any] | None = None
    trigger: Cause = BY_HAND

    def plan(self) -> Plan:
        """Complete. Times are cut to the second, so that what is previewed and what is asked for are one plan."""
        as_of = (self.as_of or clock.now()).replace(microsecond=0)
        if self.window_s <= 0:
            raise BadInput("window: the window of training rows is longer than nothing", field="window")
        return read_plan(
            {
                "trainer": self.trainer, "parameters": self.parameters or {}, "as_of": as_of,
                "from": as_of - timedelta(seconds=self.window_s), "device": self.device,
                "cpu_allowed": self.cpu_allowed, "seed": self.seed, "deterministic": self.deterministic,
                "wall_s": self.wall_s, "memory_mb": self.memory_mb, "least_labelled": self.least_labelled,
                "trigger": self.trigger.model_dump(), "search": self.search,
            }
        )  # fmt: skip


def read_plan(subject: dict[str, Any]) -> Plan:
    """A stored or written plan. `BadInput` names the field, and what it accepts."""
    try:
        plan = Plan.model_validate(subject)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{place or 'plan'}: {first['msg']}", field=place or "plan") from error
    try:
        canonical_json(plan.parameters)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"parameters: they hold what has no digest, such as NaN, half a character or a number above 2^53: {error}",
            field="parameters",
        ) from error
    for name, moment in (("as_of", plan.as_of), ("from", plan.from_)):
        if moment.tzinfo is None:
            raise BadInput(
                f"{name}: the time has no zone; write one such as 2026-11-22T00:00:00Z", field=name
            )
    if plan.from_ >= plan.as_of:
        raise BadInput("from: training rows begin before the time up to which they are taken", field="from")
    return plan


def check_plan(plan: Plan, task: Task) -> None:
    """`BadInput` where no trainer here could carry it out for a model of this task, now."""
    trainer = trainer_of(plan.trainer)
    if task not in trainer.tasks:
        raise BadInput(f"trainer: {trainer.name} trains no {task} model", field="trainer")
    if plan.device not in trainer.devices:
        raise BadInput(
            f"device: {trainer.name} runs on {' or '.join(trainer.devices)}, not on {plan.device}",
            field="device",
        )
    if trainer.name == PROGRAM_TRAINER and (
        not isinstance(plan.parameters.get("program"), str)
        or plan.parameters.keys() - {"program", "settings"}
    ):
        raise BadInput(
            "parameters: name a `program` of WARRANT_TRAINER_PROGRAMS, and its `settings` where it reads any; what it "
            "runs is said on the worker's host alone",
            field="parameters",
        )
    if plan.search is not None:
        check_search(plan.search, task, settings_of(plan))
    if plan.as_of > clock.now() + SLACK:
        raise BadInput("as_of: the time up to which rows are taken lies in the future", field="as_of")


def settings_of(plan: Plan) -> dict[str, Any]:
    """The parameters that are set; of a program, what it reads itself."""
    found = plan.parameters.get("settings", {}) if plan.trainer == PROGRAM_TRAINER else plan.parameters
    return found if isinstance(found, dict) else {}


def with_trigger(plan: Plan, trigger: Cause) -> Plan:
    """The same plan for another reason."""
    return read_plan(plan.as_dict() | {"trigger": trigger.model_dump()})


def plan_lines(plan: Plan) -> list[str]:
    """The plan as people read it, one fact a line."""
    parameters = ", ".join(f"{name}={value}" for name, value in sorted(plan.parameters.items()))
    device = plan.device + (
        ", or the processor where no GPU fits" if plan.cpu_allowed and plan.device == "gpu" else ""
    )
    because = TRIGGER_WORDS[plan.trigger.on] + (f": {plan.trigger.text}" if plan.trigger.text else "")
    return [
        f"trainer: {plan.trainer}", f"parameters: {parameters or 'its defaults'}",
        *([plan.search.line()] if plan.search is not None else []),
        f"rows: {plan.from_:%Y-%m-%d %H:%M:%S} to {plan.as_of:%Y-%m-%d %H:%M:%S} UTC, with labels known by then",
        f"device: {device}",
        f"costs at most: {plan.hours:.3g} h of training, {plan.memory_mb} MB of memory",
        f"seed: {plan.seed}" + (", deterministic" if plan.deterministic else ""),
        f"reason: {because}",
    ]  # fmt: skip
