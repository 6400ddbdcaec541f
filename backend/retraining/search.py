"""A search of hyper-parameters as a plan asks for it: over what, by which figure, for how long. Pure."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from backend.canonical import canonical_json
from backend.errors import BadInput
from backend.monitoring.spec_fields import Task

Goal = Literal["minimize", "maximize"]
Metric = Literal["log_loss", "roc_auc", "brier", "accuracy", "rmse", "mae", "r2"]
Pruner = Literal["median", "hyperband", "none"]
BINARY: Final = ("log_loss", "roc_auc", "brier", "accuracy")
METRICS_OF: Final[dict[str, tuple[str, ...]]] = {
    "binary": BINARY, "multiclass": ("log_loss", "accuracy"), "regression": ("rmse", "mae", "r2"),
}  # fmt: skip
"""Metrics of the validation rows that a search may go by; the first one is the default."""
UPWARDS: Final = frozenset({"roc_auc", "accuracy", "r2"})
MOST_DIMENSIONS: Final = 30
MOST_CHOICES: Final = 50


class Dimension(BaseModel):
    """One parameter: numbers from `low` to `high` (drawn on a logarithmic scale where `log`), or one of `choices`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["float", "int", "categorical"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="after")
    def _whole(self) -> Dimension:
        if self.type == "categorical":
            self._check_choices()
        else:
            self._check_range()
        return self

    def _check_choices(self) -> None:
        if self.low is not None or self.high is not None or self.log:
            raise ValueError("a categorical parameter has choices, and neither low, high nor log")
        if not self.choices or len(self.choices) > MOST_CHOICES:
            raise ValueError(f"name 1 to {MOST_CHOICES} choices")
        texts = [canonical_json(one) for one in self.choices]
        if len(set(texts)) < len(texts):
            raise ValueError("a choice is there twice")

    def _check_range(self) -> None:
        if self.choices is not None:
            raise ValueError("numbers have low and high; choices are those of a categorical parameter")
        if self.low is None or self.high is None:
            raise ValueError("name low and high")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError("low has to be below high, both finite")
        if self.log and self.low <= 0:
            raise ValueError("on a logarithmic scale low has to be above 0")
        if self.type == "int" and (self.low % 1 or self.high % 1):
            raise ValueError("low and high of type int are whole numbers")

    def ends(self) -> tuple[Any, ...]:
        """The values that a trainer has to take for the whole dimension to be possible."""
        if self.type == "categorical":
            return self.choices or ()
        kind = int if self.type == "int" else float
        return kind(self.low or 0), kind(self.high or 0)

    def words(self) -> str:
        if self.type == "categorical":
            return "one of " + ", ".join(map(str, self.choices or ()))
        return f"{self.low:g} to {self.high:g}" + (", logarithmic" if self.log else "")


class Search(BaseModel):
    """`trials` and `minutes` bound it, whichever is over first; of the clock, all trials together.

    metric   of the validation rows; None: the loss of the task. The held-out rows take no part
    pruner   ends a trial early whose curve falls behind those before it
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    space: Annotated[dict[str, Dimension], Field(min_length=1, max_length=MOST_DIMENSIONS)]
    trials: Annotated[int, Field(ge=1, le=200)] = 20
    minutes: Annotated[float, Field(gt=0, le=14 * 1440)] = 60.0
    metric: Metric | None = None
    pruner: Pruner = "median"

    def metric_for(self, task: Task) -> str:
        return self.metric or METRICS_OF[task][0]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, without what is not said."""
        return self.model_dump(mode="json", exclude_none=True)

    def line(self) -> str:
        """As people read it."""
        space = "; ".join(f"{name} {one.words()}" for name, one in sorted(self.space.items()))
        pruned = (
            "no trial is ended early"
            if self.pruner == "none"
            else f"the {self.pruner} pruner ends trials early"
        )
        return (
            f"search: up to {self.trials} trials within {self.minutes:g} min by {self.metric or 'the loss'} of the "
            f"validation rows ({pruned}) over {space}"
        )


def goal_of(metric: str) -> Goal:
    return "maximize" if metric in UPWARDS else "minimize"


def read_search(value: Any, where: str = "search") -> Search:
    """From a mapping that somebody wrote. `BadInput` names the field below `where`, and what it accepts."""
    try:
        return Search.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (where, *first["loc"]))
        raise BadInput(f"{place}: {first['msg']}", field=place) from error


def check_search(search: Search, task: Task, parameters: dict[str, Any]) -> None:
    """`BadInput` where it does not fit a model of this task, or the parameters that are set already."""
    if search.metric is not None and search.metric not in METRICS_OF[task]:
        raise BadInput(
            f"search.metric: a {task} model has no {search.metric}; write one of {', '.join(METRICS_OF[task])}",
            field="search",
        )
    if both := sorted(set(search.space) & set(parameters)):
        raise BadInput(
            f"search.space: {', '.join(both)} is also set in parameters; take it out of one of the two",
            field="search",
        )
