"""Metric sources of OpenSLO as indicators, and back.

Type `Prometheus`: `spec.query` is PromQL. Type `Warrant`: `spec` names what Warrant counts or measures:

    ratioMetric      bad {events: failed_requests}, total {events: requests}         availability
                     good {events: windows_within_limit, metric: ...}, total {events: windows}    quality, own limit
    thresholdMetric  {metric: request_latency_ms} lte value                          latency
                     {metric: label_age_s | metrics_age_s} lte value                 freshness
                     {metric: label_completeness} gte value                          completeness
                     {metric: auc, column:, segment:, points:, size:} gte | lte value             quality
                     the same with at_most, and gte value                            quality between two bounds
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from backend.errors import BadInput
from backend.slo.objectives import (
    Availability,
    Completeness,
    Freshness,
    Latency,
    Quality,
    Queries,
    Sli,
    Threshold,
)
from backend.slo.openslo_schema import MetricSource, ObjectiveSpec, SliSpec

LATENCY: Final = "request_latency_ms"
LABEL_AGE, METRICS_AGE = "label_age_s", "metrics_age_s"
LABEL_COMPLETENESS: Final = "label_completeness"
_QUALITY_KEYS: Final = ("metric", "column", "segment", "points", "size")
Sources = Mapping[str, MetricSource]


def prometheus_sli(indicator: SliSpec, spec: ObjectiveSpec, sources: Sources) -> Sli:
    """PromQL. Raises `BadInput` where a query is missing or does not belong here."""
    names = {source.metric_source_ref for source in sources.values()}
    source = names.pop() if len(names) == 1 else ""
    queries = {name: _query(one) for name, one in sources.items()}
    ratio = indicator.ratio_metric
    if ratio is None:
        if spec.op is None or spec.value is None:
            raise BadInput("a thresholdMetric needs op and value")
        return Threshold(queries["thresholdMetric"], spec.op, spec.value, source)
    if ratio.raw is None and ratio.raw_type is not None:
        raise BadInput("rawType belongs to raw; good and bad say it themselves")
    return Queries(
        good=queries.get("good", ""), bad=queries.get("bad", ""), total=queries.get("total", ""),
        raw=queries.get("raw", ""), raw_type=ratio.raw_type or "", counter=ratio.counter and ratio.raw is None,
        source=source,
    )  # fmt: skip


def _query(source: MetricSource) -> str:
    spec = dict(source.spec or {})
    query = spec.pop("query", None)
    spec.pop("queryType", None)  # written by converters; always promql
    if not isinstance(query, str) or not query.strip():
        raise BadInput("the metricSource of a Prometheus needs spec.query, a PromQL text")
    if spec:
        raise BadInput(f"the metricSource of a Prometheus has no {', '.join(sorted(spec))}; it has query")
    return query.strip()


def warrant_sli(indicator: SliSpec, spec: ObjectiveSpec, sources: Sources) -> Sli:
    """What Warrant measures itself. Raises `BadInput` for what it does not measure."""
    asked = {name: dict(one.spec or {}) for name, one in sources.items()}
    if indicator.ratio_metric is not None:
        return _ratio(asked)
    if spec.value is None or spec.op not in ("lte", "gte"):
        raise BadInput("what Warrant measures is compared by lte or gte: a bound includes its end")
    return _threshold(asked["thresholdMetric"], spec.op, spec.value)


def _ratio(asked: dict[str, dict[str, Any]]) -> Sli:
    for bad, good in (("failed_requests", "answered_requests"),):
        total = asked.get("total") == {"events": "requests"} and len(asked) == 2
        if total and (asked.get("bad") == {"events": bad} or asked.get("good") == {"events": good}):
            return Availability()
    good_part = dict(asked.get("good") or {})
    if (
        asked.get("total") == {"events": "windows"}
        and good_part.pop("events", None) == "windows_within_limit"
    ):
        return _quality(good_part, None, None)
    raise BadInput(
        "Warrant counts bad {events: failed_requests} of total {events: requests}, and good {events: "
        "windows_within_limit, metric: ...} of total {events: windows}"
    )


def _threshold(asked: dict[str, Any], op: str, value: Decimal) -> Sli:
    metric = asked.get("metric")
    if metric in (LATENCY, LABEL_AGE, METRICS_AGE):
        _only(asked, "metric")
        if op != "lte" or value <= 0:
            raise BadInput(f"{metric} is compared by lte with a value above 0")
        if metric == LATENCY:
            return Latency(value)
        if value != int(value):
            raise BadInput(f"{metric} is compared with whole seconds, not {value}")
        return Freshness("labels" if metric == LABEL_AGE else "metrics", int(value))
    if metric == LABEL_COMPLETENESS:
        _only(asked, "metric", "size")
        if op != "gte" or not 0 < value <= 1:
            raise BadInput(f"{metric} is compared by gte with a share above 0 and at most 1")
        return Completeness(value, _word(asked, "size"))
    asked = dict(asked)
    at_most = asked.pop("at_most", None)
    if at_most is None:
        return _quality(asked, *((value, None) if op == "gte" else (None, value)))
    if isinstance(at_most, bool) or not isinstance(at_most, int | float) or op != "gte":
        raise BadInput("at_most is the upper of two bounds, a number; the lower one is gte value")
    if Decimal(str(at_most)) < value:
        raise BadInput(f"no metric is at least {value} and at most {at_most}")
    return _quality(asked, value, Decimal(str(at_most)))


def _quality(asked: dict[str, Any], at_least: Decimal | None, at_most: Decimal | None) -> Sli:
    _only(asked, *_QUALITY_KEYS)
    metric = _word(asked, "metric")
    if not metric:
        raise BadInput(
            f"say which metric: {LATENCY}, {LABEL_AGE}, {METRICS_AGE}, {LABEL_COMPLETENESS}, or one that Warrant "
            "computes for windows, such as auc or psi"
        )
    return Quality(
        metric=metric, at_least=at_least, at_most=at_most, column=_word(asked, "column"),
        segment=_word(asked, "segment"), points=_word(asked, "points"), size=_word(asked, "size"),
    )  # fmt: skip


def _only(asked: Mapping[str, Any], *known: str) -> None:
    other = sorted(set(asked) - set(known))
    if other:
        raise BadInput(
            f"the metricSource of Warrant has no {', '.join(other)} here; it has {', '.join(known)}"
        )


def _word(asked: Mapping[str, Any], key: str) -> str:
    value = asked.get(key, "")
    if not isinstance(value, str):
        raise BadInput(f"{key} is a text, not {value!r}")
    return value


def source_of(sli: Sli) -> tuple[dict[str, Any], dict[str, Any]]:
    """The `spec` of an SLI and the `op` and `value` of its objective, as OpenSLO writes them."""
    match sli:
        case Availability():
            return _events({"events": "failed_requests"}, {"events": "requests"}, "bad"), {}
        case Latency(threshold_ms=threshold):
            return _measured({"metric": LATENCY}), {"op": "lte", "value": float(threshold)}
        case Freshness(of=of, limit_s=limit):
            return _measured({"metric": LABEL_AGE if of == "labels" else METRICS_AGE}), {
                "op": "lte",
                "value": limit,
            }
        case Completeness(at_least=share, size=size):
            asked = {"metric": LABEL_COMPLETENESS} | ({"size": size} if size else {})
            return _measured(asked), {"op": "gte", "value": float(share)}
        case Quality():
            return _quality_source(sli)
        case Threshold(query=query, op=op, value=value):
            return {"thresholdMetric": _asked(query, sli.source)}, {"op": op, "value": float(value)}
        case Queries():
            parts = {name: getattr(sli, name) for name in ("good", "bad", "total", "raw")}
            ratio: dict[str, Any] = {"counter": True} if sli.counter else {}
            if sli.raw:
                ratio["rawType"] = sli.raw_type
            ratio |= {name: _asked(query, sli.source) for name, query in parts.items() if query}
            return {"ratioMetric": ratio}, {}


def _quality_source(sli: Quality) -> tuple[dict[str, Any], dict[str, Any]]:
    asked: dict[str, Any] = {key: getattr(sli, key) for key in _QUALITY_KEYS if getattr(sli, key)}
    if sli.at_least is None and sli.at_most is None:
        return _events({"events": "windows_within_limit", **asked}, {"events": "windows"}, "good"), {}
    if sli.at_least is None:
        return _measured(asked), {"op": "lte", "value": float(sli.at_most or 0)}
    if sli.at_most is not None:
        asked["at_most"] = float(sli.at_most)
    return _measured(asked), {"op": "gte", "value": float(sli.at_least)}


def _events(part: dict[str, Any], total: dict[str, Any], name: str) -> dict[str, Any]:
    return {"ratioMetric": {"counter": True, name: _measured(part)["thresholdMetric"],
                            "total": _measured(total)["thresholdMetric"]}}  # fmt: skip


def _measured(asked: dict[str, Any]) -> dict[str, Any]:
    return {"thresholdMetric": {"metricSource": {"type": "Warrant", "spec": asked}}}


def _asked(query: str, source: str) -> dict[str, Any]:
    named = {"metricSourceRef": source} if source else {}
    return {"metricSource": {**named, "type": "Prometheus", "spec": {"query": query}}}
