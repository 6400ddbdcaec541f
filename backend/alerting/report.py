"""The post-incident report: filled from the record, as Markdown and PDF; blanks are for people."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Final

from backend import clock
from backend.alerting.brief import Brief, read_brief
from backend.alerting.incidents import acknowledged_milder, on_it
from backend.alerting.phases import CAUSES, WORDS
from backend.alerting.timeline import Event, timeline
from backend.database.session import ReadSession
from backend.documents.blocks import Block, Sheet
from backend.documents.chart import Chart, Line
from backend.documents.markdown import blocks_of
from backend.identity.actor import Actor
from backend.monitoring.words import named_in_words

BLANK: Final = "*(to be written by a person)*"
FIGURES: Final = "## Figures"


def report_markdown(session: ReadSession, viewer: Actor, incident_id: int) -> str:
    """Every fact the record holds, each with its time in UTC. The same incident at rest gives the same text."""
    brief = read_brief(session, viewer, incident_id)
    return "\n".join(_lines(brief, timeline(session, viewer, incident_id)))


def report_pdf(session: ReadSession, viewer: Actor, incident_id: int) -> bytes:
    """The same as PDF/A, with a chart for each figure."""
    from backend.documents.pdf import pdf_of  # font and image libraries, for this alone

    brief = read_brief(session, viewer, incident_id)
    text = "\n".join(_lines(brief, timeline(session, viewer, incident_id)))
    head, _, rest = text.partition(FIGURES)
    blocks: list[Block] = [*blocks_of(head), *blocks_of(FIGURES), *_charts(brief), *blocks_of(rest)]
    digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    sheet = Sheet(
        f"Incident INC-{incident_id}", f"INC-{incident_id}", digest, brief.incident.closed_at or clock.now()
    )
    return pdf_of(sheet, blocks)


def _lines(brief: Brief, events: list[Event]) -> list[str]:
    one = brief.incident
    names: dict[str | None, str] = {None: "nobody"}
    names.update(brief.names)
    return [
        f"# Incident INC-{one.id}: {_text(one.title)}", "",
        f"State: {WORDS[one.phase]}, SEV-{one.severity}. What a person has to judge is marked.", "",
        _text(brief.sentence), "",
        "## In short", "",
        f"- Concerns: {f'`{one.model}`' if one.model else 'the installation'} in {one.environment}",
        f"- Began: {_time(brief.began)}; opened {_time(one.opened_at)} by "
        + (_text(names.get(one.opened_by, "somebody")) if one.opened_by else "the rule"),
        f"- Acknowledged: {_time(one.acknowledged_at)} by {_text(on_it(one, brief.names) or 'nobody')}"
        + (f", after {_span(one.acknowledged_at - one.opened_at)}" if one.acknowledged_at else "")
        + (f" ({milder})" if (milder := acknowledged_milder(one)) else ""),
        f"- Mitigated: {_time(one.mitigated_at) if one.mitigated_at or one.state == 'open' else 'not marked'}"
        + (f" by CHG-{one.mitigated_by_change}" if one.mitigated_by_change else "")
        + (f", after {_span(one.mitigated_at - one.opened_at)}" if one.mitigated_at else ""),
        f"- Over: {_time(one.closed_at)}"
        + (f", after {_span(one.closed_at - one.opened_at)}" if one.closed_at else ""),
        f"- Cause: {CAUSES.get(one.cause, BLANK)}",
        f"- Because: {_text(one.closed_because) or BLANK}",
        *([f"- Ended by CHG-{one.closed_by_change}"] if one.closed_by_change else []), "",
        "## Impact", "", *(f"- {_text(what)}: {_text(told)}" for what, told in brief.impact),
        f"- What people noticed: {BLANK}", "",
        FIGURES, "", *_figures(brief), "",
        "## Causes that were looked into", "",
        *(f"- {suspect.verdict.replace('_', ' ')}: {_text(suspect.name)}; {_text(suspect.evidence)}"
          for suspect in brief.suspects), "",
        "## Timeline", "", *(_event(event) for event in events), "",
        "## Alerts", "", *_how_many(brief),
        *(f"- {_text(alert.title)} ({alert.level}, {brief.state_of(alert)}), fired {_time(alert.fired_at)}, resolved "
          f"{_time(alert.resolved_at)}" + (", a false alarm" if alert.false_alarm_at else "")
          for alert in brief.alerts), "",
        "## What we learnt", "", f"- Root cause: {BLANK}", f"- What went well: {BLANK}", f"- What did not: {BLANK}", "",
        "## What we will do", "", f"- {BLANK}", "",
    ]  # fmt: skip


def _how_many(brief: Brief) -> list[str]:
    """Nothing where each alert is named."""
    left = brief.tally.total - len(brief.alerts)
    return [f"{brief.tally.total:,} alerts came; {left:,} of them are not named here.", ""] if left else []


def _figures(brief: Brief) -> list[str]:
    """First, at its worst, and last of each; the PDF draws them."""
    series = [*brief.answers, *brief.series]
    if not series:
        return ["No window is stored, and no gateway was heard of around it."]
    rows = ["| figure | first | before it began | last | beyond its limit |", "|---|---|---|---|---|"]
    for one in series:
        known = [(at, value) for at, value, *_ in one.points if value is not None]
        if not known:
            rows.append(f"| {_text(one.name)} | not known | not known | not known | 0 points |")
            continue
        before = [value for at, value in known if at < brief.began]
        alarms = sum(verdict == "alarm" for *_, verdict in one.points)
        told = f"{before[-1]:.4g}" if before else "not known"
        rows.append(
            f"| {_text(one.name)} | {known[0][1]:.4g} | {told} | {known[-1][1]:.4g} | {alarms} points |"
        )
    return rows


def _charts(brief: Brief) -> list[Block]:
    return [
        Chart(
            name,
            (Line(name, tuple((at.timestamp(), value) for at, value, *_ in series.points)),),
            tuple((at.timestamp(), value) for at, value, _, _, verdict in series.points
                  if verdict == "alarm" and value is not None),
            alt=f"{name} over time",
        )
        for series in [*brief.answers, *brief.series]
        for name in (named_in_words(series.name),)
        if any(value is not None for _, value, *_ in series.points)
    ]  # fmt: skip


def _event(event: Event) -> str:
    by = f" (by {_text(event.by)})" if event.by else ""
    kind = event.kind.replace("_", " ")
    told = event.text if event.text.startswith(kind) else f"{kind}: {event.text}"
    return f"- {_time(event.at)}, {_text(told)}{by}"


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 2:
        return f"{span.total_seconds():.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "not yet"


def _text(text: str) -> str:
    """Words on one line, metrics by the names that pages give them, without marks that Markdown or HTML would take for
    their own."""
    plain = " ".join(named_in_words(text).split())
    return "".join(f"\\{char}" if char in r"\`*_[]<>#|!" else char for char in plain)
