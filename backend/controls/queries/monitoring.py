"""How up to date the watch over a model is, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select

from backend.cards.fact_blocks import metric_word
from backend.controls.evidence import Evidence, Link, Question
from backend.controls.queries.answers import (
    aged,
    count,
    is_older,
    missing,
    model_link,
    no_version,
    not_shown,
    utc,
    version_link,
)
from backend.controls.queries.registry import query
from backend.explain.tables import ShapSummary
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.fairness.standing import why_not_compared
from backend.monitoring.monitor_tables import MonitorVersion
from backend.monitoring.performance import PRIMARY
from backend.monitoring.tables import JUDGED, MetricPoint, WindowState
from backend.slo.tables import ObjectiveRevision, ObjectiveState

SPEAKS_AGAINST = ("page", "ticket")


def spec_of(asked: Question) -> ModelSpec | Evidence:
    """What the model reads; else that nothing of it is measured here."""
    if asked.model is None or not asked.model.described:
        return missing(
            f"{asked.name} is not described here (task and features), so nothing of it is measured",
            model_link(asked.name),
        )
    return parse_spec(asked.model.spec)


def _link(asked: Question, start: datetime) -> Link:
    return Link("window", f"{asked.name}/{start:%Y-%m-%dT%H:%M:%SZ}", f"window of {utc(start)}")


def _newest(
    asked: Question, spec: ModelSpec, *kinds: str
) -> tuple[WindowState, Sequence[MetricPoint]] | None:
    """The newest finished window with judged points of these kinds, as it was known by then, and those points."""
    of_model = (
        MetricPoint.model == asked.name, MetricPoint.environment == asked.environment, MetricPoint.size == spec.window,
        MetricPoint.kind.in_(kinds), MetricPoint.verdict.in_(JUDGED), MetricPoint.first_computed_at <= asked.at,
    )  # fmt: skip
    newest = (
        select(MetricPoint.window_start).where(*of_model).order_by(MetricPoint.window_start.desc()).limit(1)
    )
    start = asked.session.scalar(newest)  # backwards through the index: a maximum would read every point
    if start is None:
        return None
    points = asked.session.scalars(
        select(MetricPoint).where(*of_model, MetricPoint.window_start == start)
    ).all()
    return asked.session.get_one(WindowState, points[0].window_id), points


def _recomputed(asked: Question, points: Sequence[MetricPoint]) -> str:
    """That what is stored was computed again after the day asked about."""
    later = [one.computed_at for one in points if one.computed_at > asked.at]
    return f"; computed again on {utc(max(later))}" if later and not asked.is_now else ""


def _judged(asked: Question, max_age_days: float, what: str, *kinds: str) -> Evidence:
    """The newest judged window of some kinds: out of date, beyond its limits, or fine."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    found = _newest(asked, spec, *kinds)
    if found is None:
        return missing(f"no window has been judged for {what}", model_link(asked.name))
    window, points = found
    alarms = [one for one in points if one.verdict == "alarm" and one.level in SPEAKS_AGAINST]
    told = f"window to {utc(window.end)}, {window.rows:,} rows{_recomputed(asked, points)}"
    link = _link(asked, window.start)
    if is_older(asked, window.end, max_age_days):
        return aged(asked, window.end, max_age_days, f"the newest judged {told}", links=(link,))
    if alarms:
        worst = alarms[0].text or f"{alarms[0].column} {alarms[0].statistic}".strip()
        more = f" and {len(alarms) - 1} more" if len(alarms) > 1 else ""
        return Evidence("contradicted", f"{worst}{more}; {told}", window.end, (link,), str(window.start))
    return Evidence(
        "present", f"nothing beyond its limit of {count(len(points), 'figure')}; {told}", window.end, (link,)
    )  # fmt: skip


@query("windows_fresh", "Monitored up to the last {max_age_days} days")
def windows_fresh(asked: Question, *, max_age_days: float = 3) -> Evidence:
    """The newest finished window that was computed, whatever it found."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    window = asked.session.scalars(
        select(WindowState)
        .where(
            WindowState.model == asked.name, WindowState.environment == asked.environment,
            WindowState.size == spec.window, WindowState.end <= asked.at, WindowState.computed_at.is_not(None),
            WindowState.state == "complete",
        )
        .order_by(WindowState.start.desc())
        .limit(1)
    ).first()  # fmt: skip
    if window is None:
        return missing("no finished window with rows has been computed", model_link(asked.name))
    told = f"the newest window ended {utc(window.end)}, {window.rows:,} rows"
    return aged(asked, window.end, max_age_days, told, links=(_link(asked, window.start),))


@query("drift", "Input and output drift judged")
def drift(asked: Question, *, max_age_days: float = 7) -> Evidence:
    """Whether inputs and predictions of the newest judged window are as the reference has them."""
    return _judged(asked, max_age_days, "drift", "drift", "prediction")


@query("data_quality", "Data quality judged")
def data_quality(asked: Question, *, max_age_days: float = 7) -> Evidence:
    """Missing, unseen and impossible values of the newest judged window."""
    return _judged(asked, max_age_days, "data quality", "quality")


@query("realised_performance", "Performance on labels that came")
def realised_performance(asked: Question, *, max_age_days: float = 45) -> Evidence:
    """The primary metric on the newest window whose labels speak, beside its limit. The days count from when labels
    normally are known."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    primary = PRIMARY[spec.task]
    found = _newest(asked, spec, "realised")
    whole = [one for one in found[1] if not one.segment and one.statistic == primary] if found else []
    if found is None or not whole:
        return missing("no window has enough labels to be judged", model_link(asked.name))
    window, point = found[0], whole[0]
    days = max_age_days + (spec.label_delay_s or 0) / 86400
    value = point.first_value if point.computed_at > asked.at and not asked.is_now else point.value
    told = f"{metric_word(primary)} {value:.3f}" if value is not None else metric_word(primary)
    told += f" on the window to {utc(window.end)}, {point.rows:,} labelled rows{_recomputed(asked, whole)}"
    link = _link(asked, window.start)
    if point.verdict == "alarm" and not is_older(asked, window.end, days):
        return Evidence("contradicted", f"{told}: {point.text or 'beyond its limit'}", window.end, (link,),
                        str(window.start))  # fmt: skip
    return aged(asked, window.end, days, told, links=(link,))


@query("group_performance", "Performance by protected group")
def group_performance(asked: Question, *, max_age_days: float = 45) -> Evidence:
    """Realised figures of groups by protected columns: measured or not, and whether one is beyond its limit."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    if not spec.protected:
        return missing("no protected column is declared, so no group is compared", model_link(asked.name))
    found = _newest(asked, spec, "realised")
    groups = [one for one in found[1] if one.segment.partition("=")[0] in spec.protected] if found else []
    if found is None or not groups:
        named = ", ".join(spec.protected)
        return missing(
            f"no group of {named} has been judged in the newest labelled window", model_link(asked.name)
        )
    window = found[0]
    days = max_age_days + (spec.label_delay_s or 0) / 86400
    worse = sorted({one.segment for one in groups if one.verdict == "alarm"})
    told = (
        f"{count(len({one.segment for one in groups}), 'group')} measured in the window to {utc(window.end)}"
    )
    link = _link(asked, window.start)
    if worse and not is_older(asked, window.end, days):
        return Evidence(
            "contradicted", f"beyond its limit: {', '.join(worse[:5])}; {told}", window.end, (link,), str(window.start)
        )  # fmt: skip
    return aged(asked, window.end, days, told + _recomputed(asked, groups), links=(link,))


@query("fairness_within_bounds", "Fairness between protected groups")
def fairness_within_bounds(asked: Question, *, max_age_days: float = 45) -> Evidence:
    """Stored gaps between groups that have a bound in the model's description: beyond it, within it, or not known."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    if why := why_not_compared(spec):
        return missing(why, model_link(asked.name))
    found = _newest(asked, spec, FAIRNESS)
    points = [one for one in found[1] if not one.segment and one.threshold is not None] if found else []
    if found is None or not points:
        return missing("no gap with a bound could be judged in a finished window", model_link(asked.name))
    window = found[0]
    told = f"{count(len(points), 'gap')} with a bound in the window to {utc(window.end)}{_recomputed(asked, points)}"
    link = _link(asked, window.start)
    beyond = [one for one in points if one.verdict == "alarm"]
    if beyond and not is_older(asked, window.end, max_age_days):
        return Evidence("contradicted", f"{beyond[0].text}; {told}", window.end, (link,), str(window.start))
    within = sum(one.verdict == "ok" for one in points)
    return aged(asked, window.end, max_age_days, f"{within} within it of {told}", links=(link,))


@query("protected_declared", "Protected columns declared", moment="now")
def protected_declared(asked: Question) -> Evidence:
    """Columns by which groups of people are compared."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    if not spec.protected:
        return missing("no protected column is declared in its description", model_link(asked.name))
    return Evidence(
        "present", ", ".join(spec.protected), None, (model_link(asked.name),), ",".join(spec.protected)
    )


@query("own_monitors", "Monitors that people set")
def own_monitors(asked: Question) -> Evidence:
    """Monitors of people beside the built-in ones."""
    rows = asked.session.scalars(
        select(MonitorVersion).where(
            MonitorVersion.model == asked.name, MonitorVersion.environment == asked.environment,
            MonitorVersion.made_at <= asked.at,
            (MonitorVersion.superseded_at.is_(None)) | (MonitorVersion.superseded_at > asked.at),
        )
    ).all()  # fmt: skip
    active = [one for one in rows if one.state == "active"]
    if not active:
        paused = sum(one.state == "paused" for one in rows)
        told = f"; {count(paused, 'monitor')} paused" if paused else ""
        return missing(f"nobody has set a monitor of it{told}", model_link(asked.name))
    names = ", ".join(one.name for one in active[:5])
    return Evidence(
        "present", f"{count(len(active), 'monitor')}: {names}", max(one.made_at for one in active),
        tuple(Link("monitor", one.key, one.name) for one in active[:10]),
    )  # fmt: skip


@query("service_levels", "Service-level objectives kept", moment="now")
def service_levels(asked: Question, *, max_age_days: float = 1) -> Evidence:
    """Objectives of serving, as last judged: one that is missed speaks against it, and one of which nothing is
    known leaves it open."""
    rows = asked.session.execute(
        select(ObjectiveRevision.name, ObjectiveState)
        .outerjoin(ObjectiveState, ObjectiveState.objective == ObjectiveRevision.key)
        .where(
            ObjectiveRevision.model == asked.name, ObjectiveRevision.environment == asked.environment,
            ObjectiveRevision.superseded_at.is_(None), ObjectiveRevision.state == "active",
        )
        .order_by(ObjectiveRevision.name)
    ).all()  # fmt: skip
    judged = [(name, state) for name, state in rows if state is not None and state.judged_at is not None]
    known = [(name, state) for name, state in judged if state.state != "no_data"]
    if not known:
        why = next((f": {state.problem}" for _, state in judged if state.problem), "")
        told = "of no objective anything is known" if rows else "nobody has set an objective for it"
        return missing(f"{told}{why}", model_link(asked.name))
    oldest = min(state.judged_at for _, state in known if state.judged_at is not None)
    names, link = ", ".join(name for name, _ in known[:5]), model_link(asked.name)
    told = f"{count(len(known), 'objective')}: {names}"
    if is_older(asked, oldest, max_age_days):
        return aged(asked, oldest, max_age_days, told, links=(link,))
    missed = [name for name, state in known if state.state == "breach"]
    if missed:
        return Evidence("contradicted", f"{told}; missed: {', '.join(missed[:5])}", oldest, (link,))
    told_of = {name for name, _ in known}
    unknown = [name for name, _ in rows if name not in told_of]
    if unknown:
        return not_shown(f"{told}; nothing is known of {', '.join(unknown[:5])}", link)
    return Evidence("present", told, oldest, (link,))


@query("version_explained", "What drives its answers was computed")
def version_explained(asked: Question, *, max_age_days: float = 730) -> Evidence:
    """How much each input moves the version's output (SHAP), as a job computed it."""
    if asked.version is None:
        return no_version(asked)
    found = asked.session.get(ShapSummary, (asked.name, asked.version))
    link = version_link(asked.name, asked.version)
    if found is None:
        return missing(f"nobody has had version {asked.version} explained", link)
    if found.computed_at > asked.at:
        return not_shown(
            f"it was computed on {utc(found.computed_at)}; whether also before is not kept", link
        )
    told = f"{count(len(found.features), 'input')}, from {found.rows:,} rows"
    return aged(asked, found.computed_at, max_age_days, told, links=(link,), mark=str(found.computed_at))
