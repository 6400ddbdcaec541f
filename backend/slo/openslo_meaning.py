"""What an OpenSLO document means here: an SLO, with what it refers to, as objectives.

Metric sources of type `Warrant` name what Warrant measures itself; those of type `Prometheus` hold PromQL. A source
that Warrant cannot read makes an SLO refused: an objective that nobody evaluates would look kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backend.errors import BadInput
from backend.slo.alert_row_text import read_rows
from backend.slo.durations import read_duration, seconds_of
from backend.slo.objectives import (
    NAME,
    AlertRow,
    Budgeting,
    Objective,
    Sli,
    default_minimum_events,
    default_rows,
)
from backend.slo.openslo_schema import (
    AnyDocument,
    CalendarStart,
    DataSource,
    MetricSource,
    ObjectiveSpec,
    SliDocument,
    SliSpec,
    Slo,
)
from backend.slo.openslo_sources import prometheus_sli, warrant_sli
from backend.slo.windows import NOMINAL_DAYS, Calendar, Rolling, Window

ENVIRONMENT: Final = "warrant/environment"
ALERT_ROWS: Final = "warrant/alert-rows"
MINIMUM_EVENTS: Final = "warrant/minimum-events"
MAINTENANCE: Final = "warrant/maintenance"
COUNTED: Final = {"excluded": False, "counted": True}  # what the annotation says: whether it counts
ANNOTATIONS: Final = (ENVIRONMENT, ALERT_ROWS, MINIMUM_EVENTS, MAINTENANCE)
READ: Final = ("prometheus", "warrant")  # types of metric sources, in lower case
DEFAULT_WINDOW: Final = Rolling(30 * 24)
_ENVIRONMENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
Path = tuple[object, ...]
Remark = tuple[Path, str, str]  # where, rule, text


class Misfit(BadInput):
    """A part of a document that is well formed and cannot be taken; `path` leads to it from the document."""

    def __init__(self, path: Path, text: str, rule: str = "refused") -> None:
        super().__init__(text)
        self.path, self.text, self.rule = path, text, rule


@dataclass
class Library:
    """What the documents of the same files offer to each other, by name."""

    slis: dict[str, list[SliSpec]] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)  # the types of data sources

    @classmethod
    def of(cls, documents: Iterable[AnyDocument]) -> Library:
        library = cls()
        for one in documents:
            if isinstance(one, SliDocument):
                library.slis.setdefault(one.metadata.name, []).append(one.spec)
            elif isinstance(one, DataSource):
                library.sources.setdefault(one.metadata.name, []).append(one.spec.type)
        return library


def objectives_of(slo: Slo, library: Library) -> tuple[list[Objective], list[Remark]]:
    """The objectives of one SLO, one for each target, and what in it is not used. Raises `Misfit`."""
    if not NAME.fullmatch(slo.metadata.name):
        raise Misfit(
            ("metadata", "name"),
            f"the name of an SLO is made of a-z, 0-9 and -, at most 63 characters; not {slo.metadata.name!r}",
        )
    remarks: list[Remark] = []
    indicator, path = _indicator(slo, library)
    window = _window(slo, remarks)
    _note_policies(slo, remarks)
    made = []
    for number, spec in enumerate(slo.spec.objectives):
        where: Path = ("spec", "objectives", number)
        sli = _sli(indicator, path, spec, where, library)
        made.append(_objective(slo, number, spec, where, sli, window))
    return made, remarks


def _objective(
    slo: Slo, number: int, spec: ObjectiveSpec, where: Path, sli: Sli, window: Window
) -> Objective:
    name, title = slo.metadata.name, slo.metadata.display_name or spec.display_name
    if len(slo.spec.objectives) > 1:
        name = f"{name}-{_slug(spec.display_name) or number + 1}"[:63].rstrip("-")
        title = f"{slo.metadata.display_name or slo.metadata.name}: {spec.display_name or number + 1}"
    slice_s, slice_target = _slices(slo, spec, where)
    try:
        return Objective(
            name=name, model=slo.spec.service, sli=sli, target=_target(spec, where), window=window,
            environment=_environment(slo), title=title, description=slo.spec.description,
            budgeting=Budgeting(slo.spec.budgeting_method), slice_s=slice_s, slice_target=slice_target,
            rows=_rows(slo, sli), minimum_events=_minimum_events(slo, sli), labels=_labels(slo),
            counts_maintenance=_counts_maintenance(slo),
        )  # fmt: skip
    except Misfit:
        raise
    except BadInput as error:
        raise Misfit(where, error.message) from error


def _indicator(slo: Slo, library: Library) -> tuple[SliSpec, Path]:
    """The SLI, and the path to it; to what names it where it stands in a document of its own."""
    if (slo.spec.indicator is None) == (slo.spec.indicator_ref is None):
        raise Misfit(("spec",), "an SLO has either an indicator or an indicatorRef")
    if slo.spec.indicator is not None:
        return slo.spec.indicator.spec, ("spec", "indicator", "spec")
    path, name = ("spec", "indicatorRef"), slo.spec.indicator_ref or ""
    found = library.slis.get(name, [])
    if len(found) != 1:
        said = f"there are {len(found)} SLI documents" if found else "there is no SLI document"
        raise Misfit(path, f"{said} named {name!r} in the files that were given", "reference")
    return found[0], path


def sources_of(indicator: SliSpec, path: Path) -> dict[str, MetricSource]:
    """The metric sources of an SLI by their part, once it is one that the specification allows. Raises `Misfit`."""
    ratio, threshold = indicator.ratio_metric, indicator.threshold_metric
    if (ratio is None) == (threshold is None):
        raise Misfit(path, "an SLI has either a thresholdMetric or a ratioMetric")
    if threshold is not None:
        return {"thresholdMetric": threshold.metric_source}
    parts = {"good": ratio.good, "bad": ratio.bad, "total": ratio.total, "raw": ratio.raw} if ratio else {}
    sources = {name: part.metric_source for name, part in parts.items() if part is not None}
    if set(sources) not in ({"good", "total"}, {"bad", "total"}, {"raw"}):
        raise Misfit(path, "a ratioMetric is good and total, or bad and total, or raw alone")
    if "raw" in sources and ratio is not None and ratio.raw_type is None:
        raise Misfit(path, "raw needs a rawType: success or failure")
    return sources


def unread_sources(indicator: SliSpec) -> list[str]:
    """The types that its metric sources name and Warrant does not read."""
    types = {source.type for source in sources_of(indicator, ()).values() if source.type}
    return sorted(one for one in types if one.lower() not in READ)


def _sli(indicator: SliSpec, path: Path, spec: ObjectiveSpec, where: Path, library: Library) -> Sli:
    sources = sources_of(indicator, path)
    if "thresholdMetric" not in sources and spec.value is not None:
        raise Misfit((*where, "value"), "value belongs to a thresholdMetric; this SLI is a ratio")
    if "thresholdMetric" in sources and (spec.op is None or spec.value is None):
        raise Misfit(where, "an objective on a thresholdMetric needs op and value")
    kinds = {_type_of(source, library, path) for source in sources.values()}
    if len(kinds) > 1:
        raise Misfit(path, f"an SLI has one source; this one asks {' and '.join(sorted(kinds))}")
    make = warrant_sli if kinds == {"warrant"} else prometheus_sli
    try:
        return make(indicator, spec, sources)
    except BadInput as error:
        raise Misfit(path, error.message) from error


def _type_of(source: MetricSource, library: Library, path: Path) -> str:
    """`prometheus` or `warrant`."""
    named = library.sources.get(source.metric_source_ref, []) if source.metric_source_ref else []
    types = {one.lower() for one in [*named, *([source.type] if source.type else [])]}
    if not types:
        said = (
            f"there is no DataSource named {source.metric_source_ref!r}" if source.metric_source_ref else ""
        )
        raise Misfit(path, f"{said + '; ' if said else ''}say the type of its metricSource", "reference")
    if len(types) > 1:
        raise Misfit(
            path, f"the metricSource says {source.type or 'nothing'}, its DataSource {', '.join(named)}"
        )
    kind = types.pop()
    if kind not in READ:
        raise Misfit(
            path, f"Warrant reads Prometheus and its own figures, not {source.type or named[0]}", "source"
        )
    return kind


def _target(spec: ObjectiveSpec, where: Path) -> Decimal:
    if (spec.target is None) == (spec.target_percent is None):
        raise Misfit(where, "an objective has either a target or a targetPercent")
    if spec.target is not None:
        key, given, target, end = "target", spec.target, spec.target, 1
    else:
        given = spec.target_percent or Decimal(0)
        key, target, end = "targetPercent", given / 100, 100
    if not 0 <= target < 1:
        why = f"; a target of {end} leaves no budget, so every failure would break it" if target == 1 else ""
        percent = ", or write it as targetPercent" if key == "target" and 1 < given < 100 else ""
        raise Misfit((*where, key), f"{key} lies from 0 to below {end}, not {given}{percent}{why}", "target")
    return target


def _window(slo: Slo, remarks: list[Remark]) -> Window:
    if not slo.spec.time_window:
        remarks.append((("spec",), "default-window", "there is no timeWindow: 30 days, rolling, are taken"))
        return DEFAULT_WINDOW
    given, path = slo.spec.time_window[0], ("spec", "timeWindow", 0)
    rolls = given.is_rolling if given.is_rolling is not None else given.calendar is None
    if rolls and given.calendar is not None:
        raise Misfit((*path, "calendar"), "a rolling window has no calendar; leave one of both out")
    if not rolls and given.calendar is None:
        raise Misfit(path, "a window that does not roll needs a calendar with startTime and timeZone")
    try:
        return (
            _rolling(given.duration) if given.calendar is None else _calendar(given.duration, given.calendar)
        )
    except BadInput as error:
        raise Misfit((*path, "duration"), error.message) from error


def _rolling(duration: str) -> Rolling:
    _, unit = read_duration(duration)
    if unit in "MQY":
        raise BadInput(f"a rolling window of {duration} has no fixed length; write days, such as 30d")
    if unit == "m":
        raise BadInput(f"a rolling window lasts an hour at least, not {duration}")
    return Rolling(seconds_of(duration) // 3600)


def _calendar(duration: str, calendar: CalendarStart) -> Calendar:
    count, unit = read_duration(duration)
    if unit not in NOMINAL_DAYS:
        raise BadInput(f"a calendar window lasts days or longer, not {duration}")
    return Calendar(unit, calendar.start_time, calendar.time_zone, count)


def _slices(slo: Slo, spec: ObjectiveSpec, where: Path) -> tuple[int | None, Decimal | None]:
    method = slo.spec.budgeting_method
    if method == "Occurrences":
        for key, given in (
            ("timeSliceWindow", spec.time_slice_window),
            ("timeSliceTarget", spec.time_slice_target),
        ):
            if given is not None:
                raise Misfit(
                    (*where, key), f"{key} belongs to Timeslices; the budgetingMethod is Occurrences"
                )
        return None, None
    if spec.time_slice_window is None:
        raise Misfit(where, f"{method} needs a timeSliceWindow")
    if (spec.time_slice_target is None) == (method == "Timeslices"):
        needs = "needs" if method == "Timeslices" else "has no"
        raise Misfit(where, f"{method} {needs} timeSliceTarget")
    try:
        return seconds_of(spec.time_slice_window), spec.time_slice_target
    except BadInput as error:
        raise Misfit((*where, "timeSliceWindow"), error.message) from error


def _environment(slo: Slo) -> str:
    name = slo.metadata.annotations.get(ENVIRONMENT, "production")
    if not _ENVIRONMENT_NAME.fullmatch(name):
        raise Misfit(("metadata", "annotations", ENVIRONMENT), f"{name!r} is no name of an environment")
    return name


def _rows(slo: Slo, sli: Sli) -> tuple[AlertRow, ...]:
    text = slo.metadata.annotations.get(ALERT_ROWS)
    if text is None:
        return default_rows(sli.kind)
    try:
        return read_rows(text)
    except BadInput as error:
        raise Misfit(("metadata", "annotations", ALERT_ROWS), error.message, "alert-rows") from error


def _minimum_events(slo: Slo, sli: Sli) -> int:
    text = slo.metadata.annotations.get(MINIMUM_EVENTS)
    if text is None:
        return default_minimum_events(sli.kind)
    if not re.fullmatch(r"\d{1,9}", text):
        raise Misfit(
            ("metadata", "annotations", MINIMUM_EVENTS), f"it is a whole number from 0, not {text!r}"
        )
    return int(text)


def _counts_maintenance(slo: Slo) -> bool:
    text = slo.metadata.annotations.get(MAINTENANCE, "excluded")
    if text not in COUNTED:
        raise Misfit(
            ("metadata", "annotations", MAINTENANCE),
            f"it is {' or '.join(COUNTED)}, not {text!r}",
            "maintenance",
        )
    return COUNTED[text]


def _labels(slo: Slo) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (name, (value,) if isinstance(value, str) else tuple(value))
        for name, value in sorted(slo.metadata.labels.items())
    )


def _note_policies(slo: Slo, remarks: list[Remark]) -> None:
    for name in slo.metadata.annotations:
        if name.startswith("warrant/") and name not in ANNOTATIONS:
            raise Misfit(
                ("metadata", "annotations", name),
                f"there is no annotation {name}; there are {', '.join(ANNOTATIONS)}",
            )
    if slo.spec.alert_policies:
        remarks.append((
            ("spec", "alertPolicies"), "not-used",
            "alertPolicies are not used: Warrant alerts by pairs of windows, which the annotation warrant/alert-rows "
            "names (without it, its usual rows)",
        ))  # fmt: skip


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
