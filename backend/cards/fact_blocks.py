"""One function for each fact block: what it says, or why that is unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select

from backend import clock
from backend.alerting.service import alerts_of_version, recent_incidents
from backend.cards.live import Pooled
from backend.cards.tables import CardReview, CardVersion
from backend.database.session import ReadSession
from backend.deployment.service import history
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.monitoring import words
from backend.monitoring.columns import parse_spec
from backend.monitoring.fairness.standing import standing, why_not_compared
from backend.monitoring.performance.registry import metrics_of
from backend.monitoring.tables import JUDGED, MetricPoint, WindowState
from backend.registry.tables import ImportedVersion, Model, Version

Found = tuple[Sequence["Fact"], str]
_MOST: Final = 40


@dataclass(frozen=True)
class Fact:
    """One line of a block. at: when it was so, or was recorded; None where it is the version's own."""

    label: str
    text: str
    at: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        return {"label": self.label, "text": self.text, "at": clock.to_iso(self.at) if self.at else None}


def figure_words(figures: Mapping[str, Any]) -> str:
    """`0.842 (95 % 0.831 to 0.853, 1,000 rows)`, with what of it is known."""
    value = figures.get("value")
    if value is None:
        return "unknown"
    parts = []
    if figures.get("low") is not None and figures.get("high") is not None:
        parts.append(f"95 % {_number(figures['low'])} to {_number(figures['high'])}")
    if figures.get("rows"):
        parts.append(f"{int(figures['rows']):,} rows")
    return _number(value) + (f" ({', '.join(parts)})" if parts else "")


def metric_word(name: str) -> str:
    """As the label of a fact."""
    word = words.metric_word(name)
    return word[:1].upper() + word[1:]


def recorded_metrics(
    registered: Version | None, imported: ImportedVersion | None
) -> dict[str, Mapping[str, Any]]:
    """Held-out metrics by name. Of an import: the run's, without intervals."""
    if registered is not None:
        return {
            name: figures if isinstance(figures, dict) else {"value": figures}
            for name, figures in registered.metrics.items()
        }
    run = imported.run if imported is not None else None
    return {name: {"value": value} for name, value in (run or {}).get("metrics", {}).items()}


def metric_facts(model: Model, registered: Version | None, imported: ImportedVersion | None) -> Found:
    metrics = recorded_metrics(registered, imported)
    if registered is not None:
        at = registered.trained_at
        rows = [Fact(metric_word(name), figure_words(one), at) for name, one in metrics.items()]
        return rows, "" if rows else "no held-out metric was recorded with the version"
    told = [
        Fact(metric_word(name), f"{figure_words(one)}, of the training run; nobody checked it")
        for name, one in sorted(metrics.items())[:_MOST]
    ]
    return told, "" if told else f"{model.name} is known from an import alone, and its run recorded no metric"


def data_facts(registered: Version | None) -> Found:
    if registered is None:
        return [], "the version is known from an import alone; its training data were never named"
    training = registered.training
    facts = []
    if training.get("from") or training.get("to"):
        facts.append(
            Fact("Trained on", f"{str(training.get('from'))[:10]} to {str(training.get('to'))[:10]}")
        )
    for key, label in (("rows", "Training rows"), ("held_out_rows", "Held-out rows")):
        if isinstance(training.get(key), int):
            facts.append(Fact(label, f"{training[key]:,}"))
    if training.get("held_out"):
        facts.append(Fact("Held out", str(training["held_out"])))
    if training.get("digest"):
        facts.append(Fact("Digest of the training data", str(training["digest"])))
    facts.append(Fact("Digest of the reference data", registered.reference_digest or "unknown"))
    return facts, ""


def parameter_facts(registered: Version | None, imported: ImportedVersion | None) -> Found:
    run = imported.run if imported is not None else None
    parameters = registered.parameters if registered is not None else (run or {}).get("parameters", {})
    facts = [Fact(str(name), str(value)[:200]) for name, value in sorted(parameters.items())]
    if len(facts) > _MOST:
        facts = [*facts[:_MOST], Fact("and more", f"{len(facts) - _MOST} that are on the model's page")]
    return facts, "" if facts else "no parameter was recorded"


def lineage_facts(
    session: ReadSession, viewer: Actor, model: Model, version: int, registered: Version | None,
    imported: ImportedVersion | None, environment: str,
) -> Found:  # fmt: skip
    facts = []
    run = registered.run_id if registered is not None else imported.run_id if imported is not None else ""
    facts.append(Fact("Training run", run or "unknown"))
    if registered is not None:
        names = names_of(session, {registered.trained_by})
        facts.append(
            Fact("Trained", f"by {names.get(registered.trained_by or '', 'unknown')}", registered.trained_at)
        )
        facts.append(Fact("Digest of the files", registered.artefact_digest))
    for one in history(session, viewer, model.name, environment):
        if one.version == version:
            until = f"until {_moment(one.ended_at)}" if one.ended_at else "and still does"
            change = f" by CHG-{one.change_id}" if one.change_id is not None else ""
            facts.append(
                Fact(f"Served in {environment}", f"as {one.role}{change}, since {_moment(one.started_at)} {until}",
                     one.started_at)
            )  # fmt: skip
    return facts[:_MOST], ""


def live_facts(model: Model, live: Mapping[tuple[str, str], Pooled]) -> Found:
    if not model.described:
        return [], "the model is not described yet (task and features), so nothing is measured"
    facts = [
        Fact(metric_word(name), pooled_words(live[name, ""]), live[name, ""].end)
        for name in metrics_of(parse_spec(model.spec).task)
        if (name, "") in live
    ]
    return facts, "" if facts else "no labelled window of this version has been measured"


def pooled_words(one: Pooled) -> str:
    """A pooled figure with interval, rows, windows and days, in words."""
    windows = f"{one.windows} window{'s' if one.windows != 1 else ''}"
    left_out = f", {one.left_out} more could not be judged" if one.left_out else ""
    mean = f"mean of {windows}" if one.windows > 1 else windows
    return (
        f"{_number(one.value)} (95 % {_number(one.low)} to {_number(one.high)}, {one.rows:,} labelled rows; {mean}, "
        f"{_moment(one.start)} to {_moment(one.end)}{left_out})"
    )


def drift_facts(session: ReadSession, model: Model, version: int, environment: str) -> Found:
    if not model.described:
        return [], "the model is not described yet (task and features), so nothing is measured"
    size = parse_spec(model.spec).window
    window = session.scalars(
        select(WindowState)
        .where(
            WindowState.model == model.name, WindowState.environment == environment, WindowState.size == size,
            WindowState.version == version, WindowState.state == "complete", WindowState.computed_at.is_not(None),
        )
        .order_by(WindowState.start.desc(), WindowState.number.desc())
        .limit(1)
    ).one_or_none()  # fmt: skip
    if window is None:
        return [], "no finished window of this version has been computed"
    points = session.scalars(
        select(MetricPoint).where(
            MetricPoint.window_id == window.id, MetricPoint.kind == "drift", MetricPoint.segment == ""
        )
    ).all()
    judged = {point.column for point in points if point.verdict in JUDGED}
    if not judged:
        return [], f"no column could be judged in the window to {_moment(window.end)}"
    drifting = sorted({point.column for point in points if point.verdict == "alarm"})
    named = f": {', '.join(drifting[:10])}{' and more' if len(drifting) > 10 else ''}" if drifting else ""
    span = f"window {_moment(window.start)} to {_moment(window.end)}, {window.rows:,} rows"
    return [
        Fact("Drifting columns", f"{len(drifting)} of {len(judged)} judged{named}; {span}", window.end)
    ], ""


def fairness_facts(
    session: ReadSession, model: Model, version: int, environment: str, live: Mapping[tuple[str, str], Pooled]
) -> Found:
    """Gaps between groups as monitoring stored them, then the metric of each group."""
    if not model.described:
        return [], "the model is not described yet (task and features), so nothing is measured"
    spec = parse_spec(model.spec)
    if not spec.protected:
        return [], "no protected column is declared for this model, so no group was compared"
    gaps = [
        Fact(
            f"{metric_word(one.point.statistic)}, {one.point.column}",
            f"{one.point.text}; window {_moment(one.window.start)} to {_moment(one.window.end)}, "
            f"{one.point.rows:,} rows",
            one.window.end,
        )
        for one in standing(session, model=model.name, environment=environment, spec=spec, version=version)
    ]
    metric = next((name for name in metrics_of(spec.task) if (name, "") in live), None)
    groups = sorted(
        (one for (name, segment), one in live.items()
         if name == metric and segment.partition("=")[0] in spec.protected),
        key=lambda one: one.segment,
    )  # fmt: skip
    if not gaps and (metric is None or not groups):
        if spec.task != "binary":
            return [], f"{why_not_compared(spec)}, and no group of it has enough labelled rows yet"
        return [], f"no group of {', '.join(spec.protected)} has enough labelled rows to be measured"
    told = [Fact(f"{metric_word(str(metric))}, {one.segment}", pooled_words(one), one.end) for one in groups]
    return [*gaps, *told][:_MOST], ""


def approval_facts(session: ReadSession, viewer: Actor, model: str, version: int) -> Found:
    from backend.governance.reading import list_changes  # its gates ask for cards

    facts = []
    changes = [one for one in list_changes(session, viewer, model=model) if one.to_version == version]
    people = {one.requested_by for one in changes} | {
        one.person_id for each in changes for one in each.counted
    }
    reviews = session.execute(
        select(CardReview, CardVersion)
        .join(CardVersion, CardVersion.id == CardReview.card_version_id)
        .where(CardVersion.model == model, CardVersion.version == version)
        .order_by(CardReview.id.desc())
    ).all()
    names = names_of(session, people | {review.reviewer_id for review, _ in reviews})
    for change in changes[:_MOST]:
        said = [f"{names.get(one.person_id, 'somebody')} said {one.verdict}" for one in change.counted]
        decided = "; ".join(said) or "nobody has decided"
        facts.append(Fact(f"CHG-{change.id} ({change.kind})", f"{change.state.replace('_', ' ')}; {decided}",
                          change.finished_at or change.requested_at))  # fmt: skip
    for review, card in reviews[:_MOST]:
        who = names.get(review.reviewer_id or "", "Warrant")
        word = "approved" if review.verdict == "approve" else "returned"
        facts.append(Fact(f"Card version {card.number}", f"{word} by {who}", review.reviewed_at))
    return facts, "" if facts else "no change to this version and no card of it was decided on here"


def incident_facts(
    session: ReadSession,
    viewer: Actor,
    model: str,
    version: int,
    environment: str,
    registered: Version | None,
) -> Found:
    named = {
        one.incident_id for one in alerts_of_version(session, model, environment, version) if one.incident_id
    }
    facts = []
    for one in recent_incidents(session, viewer, model=model, limit=200):
        if one.id in named:
            state = f"closed {_moment(one.closed_at)}" if one.closed_at else "open"
            facts.append(Fact(f"INC-{one.id}", f"{one.title}; {state}", one.opened_at))
    if facts:
        return facts[:10], ""
    if registered is None:
        return [], "nothing that serves elsewhere is watched here"
    return [Fact("Incidents", "none that named this version")], ""


def stale_days(live: Mapping[tuple[str, str], Pooled]) -> float | None:
    """How many days ago the newest labelled window ended; None where there is none."""
    ends = [one.end for one in live.values()]
    return (clock.now() - max(ends)).total_seconds() / 86400 if ends else None


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def _moment(moment: datetime | None) -> str:
    return clock.to_words(moment) if moment is not None else "unknown"
