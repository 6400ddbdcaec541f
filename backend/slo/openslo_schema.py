"""The documents of OpenSLO v1 as its specification describes them, field by field. What they mean here: `openslo.py`.

https://github.com/OpenSLO/OpenSLO#specification. A key that the specification does not have is refused, since a slip
such as `targt` would otherwise change nothing and say nothing.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from backend.slo.durations import read_duration

VERSION: Final = "openslo/v1"
LONGEST_DESCRIPTION: Final = 1050
MOST: Final = Decimal("1e15")
"""Numbers stay below it: their digits then survive the binary fractions that YAML libraries read"""


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"it is a number, not {str(value)[:40]!r}")  # noqa: TRY004 - pydantic reports this one
    number = Decimal(str(value))
    if not number.is_finite() or abs(number) >= MOST:
        raise ValueError(f"it is a number below {MOST:g}, not {str(value)[:40]}")
    return number  # as it is written: 0.999, not its nearest binary fraction


def _text(value: Any) -> Any:
    if isinstance(value, bool | int | float | date):
        raise ValueError(f"it is a text: write {str(value)!r} in quotes")  # noqa: TRY004
    return value


def _moment(value: Any) -> Any:
    """`2022-01-01 12:00:00`, which YAML reads as a time where it is not in quotes."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{value!r} is no time; write one such as 2026-01-01 00:00:00") from error
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the time zone stands beside it
    if isinstance(value, datetime) and value.tzinfo is not None:
        raise ValueError("it is a local time without an offset; timeZone says where")
    return value


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        read_duration_or_say(value)
        return value
    raise ValueError(f"{str(value)[:40]!r} is no duration; write a number and a unit, such as 30d")


def read_duration_or_say(value: str) -> None:
    """Raise what pydantic reports with its place."""
    from backend.errors import BadInput

    try:
        read_duration(value)
    except BadInput as error:
        raise ValueError(error.message) from error


def _slice(value: Any) -> Any:
    """A number alone is minutes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return _duration(f"{value}m")
    return _duration(value)


Number = Annotated[Decimal, BeforeValidator(_number)]
Text = Annotated[str, BeforeValidator(_text), Field(max_length=10_000)]
Name = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=255)]
Description = Annotated[str, BeforeValidator(_text), Field(max_length=LONGEST_DESCRIPTION)]
Duration = Annotated[str, BeforeValidator(_duration)]
Slice = Annotated[str, BeforeValidator(_slice)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Operator = Literal["lte", "gte", "lt", "gt"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Metadata(_Part):
    """The name of a document and what people say about it."""

    name: Name
    display_name: Text = ""
    labels: dict[str, Text | list[Text]] = {}
    annotations: dict[str, Text] = {}


class MetricSource(_Part):
    """What is asked and how; `spec` is what that source understands."""

    metric_source_ref: Text = ""
    type: Text = ""
    spec: dict[str, Any] | None = None


class Metric(_Part):
    """One query."""

    metric_source: MetricSource


class RatioMetric(_Part):
    """Good or bad events of a total, or a ratio that is stored."""

    counter: bool = False
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw_type: Literal["success", "failure"] | None = None
    raw: Metric | None = None


class SliSpec(_Part):
    """One of both metrics."""

    description: Description = ""
    threshold_metric: Metric | None = None
    ratio_metric: RatioMetric | None = None


class InlineIndicator(_Part):
    """An SLI written where it is used."""

    metadata: Metadata
    spec: SliSpec


class CalendarStart(_Part):
    """From when, by which clocks."""

    start_time: Moment
    time_zone: Name


class TimeWindow(_Part):
    """Rolling, or of the calendar."""

    duration: Duration
    is_rolling: bool | None = None
    calendar: CalendarStart | None = None


class ObjectiveSpec(_Part):
    """One target."""

    display_name: Text = ""
    op: Operator | None = None
    value: Number | None = None
    target: Number | None = None
    target_percent: Number | None = None
    time_slice_target: Number | None = None
    time_slice_window: Slice | None = None


class ConditionTerms(_Part):
    """How fast the budget may burn, over which time."""

    kind: Literal["burnrate"] = "burnrate"
    op: Operator
    threshold: Number
    lookback_window: Duration
    alert_after: Annotated[
        str, BeforeValidator(lambda value: value if value == "0m" else _duration(value))
    ] = "0m"


class AlertConditionSpec(_Part):
    """When to alert."""

    description: Description = ""
    severity: Name
    condition: ConditionTerms


class InlineCondition(_Part):
    """An alert condition written where it is used, or named."""

    condition_ref: Name | None = None
    api_version: Literal["openslo/v1"] = "openslo/v1"
    kind: Literal["AlertCondition"] | None = None
    metadata: Metadata | None = None
    spec: AlertConditionSpec | None = None


class AlertTargetSpec(_Part):
    """Whom to tell."""

    description: Description = ""
    target: Name


class InlineTarget(_Part):
    """A target written where it is used, or named."""

    target_ref: Name | None = None
    api_version: Literal["openslo/v1"] = "openslo/v1"
    kind: Literal["AlertNotificationTarget"] | None = None
    metadata: Metadata | None = None
    spec: AlertTargetSpec | None = None


class AlertPolicySpec(_Part):
    """When to alert and whom to tell."""

    description: Description = ""
    alert_when_no_data: bool = False
    alert_when_resolved: bool = False
    alert_when_breaching: bool = False
    conditions: list[InlineCondition] = Field(min_length=1, max_length=1)
    notification_targets: list[InlineTarget] = []


class InlinePolicy(_Part):
    """An alert policy written where it is used, or named."""

    alert_policy_ref: Name | None = None
    api_version: Literal["openslo/v1"] = "openslo/v1"
    kind: Literal["AlertPolicy"] | None = None
    metadata: Metadata | None = None
    spec: AlertPolicySpec | None = None


class SloSpec(_Part):
    """What has to hold of one service."""

    description: Description = ""
    service: Name
    indicator: InlineIndicator | None = None
    indicator_ref: Name | None = None
    time_window: list[TimeWindow] = Field(default=[], max_length=1)
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"]
    objectives: list[ObjectiveSpec] = Field(min_length=1)
    alert_policies: list[Name | InlinePolicy] | None = None


class DataSourceSpec(_Part):
    """How a metric source is reached. What is in `connectionDetails` is not kept: it may hold secrets."""

    description: Description = ""
    type: Name
    connection_details: Any = None


class ServiceSpec(_Part):
    """What objectives are about."""

    description: Description = ""


class AnyDocument(_Part):
    """What every document has."""

    api_version: Literal["openslo/v1"]
    metadata: Metadata


class Slo(AnyDocument):
    kind: Literal["SLO"]
    spec: SloSpec


class SliDocument(AnyDocument):
    kind: Literal["SLI"]
    spec: SliSpec


class DataSource(AnyDocument):
    kind: Literal["DataSource"]
    spec: DataSourceSpec


class AlertPolicy(AnyDocument):
    kind: Literal["AlertPolicy"]
    spec: AlertPolicySpec


class AlertCondition(AnyDocument):
    kind: Literal["AlertCondition"]
    spec: AlertConditionSpec


class AlertNotificationTarget(AnyDocument):
    kind: Literal["AlertNotificationTarget"]
    spec: AlertTargetSpec


class Service(AnyDocument):
    kind: Literal["Service"]
    spec: ServiceSpec = ServiceSpec()


Document = Slo | SliDocument | DataSource | AlertPolicy | AlertCondition | AlertNotificationTarget | Service
DOCUMENTS: Final[dict[str, type[AnyDocument]]] = {
    "SLO": Slo, "SLI": SliDocument, "DataSource": DataSource, "AlertPolicy": AlertPolicy,
    "AlertCondition": AlertCondition, "AlertNotificationTarget": AlertNotificationTarget, "Service": Service,
}  # fmt: skip
