"""The inputs of an objective, as a form or as OpenSLO; and what is done to one: revise, retire, maintenance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import streamlit as st

from app.components import Field, action_form, banner
from app.components.tables import badge, lines, small, table
from app.session import go, perform
from backend import clock
from backend.errors import BadInput
from backend.governance.asking import preview_change, request_change
from backend.governance.kinds import Asked
from backend.serving.outcomes import EDGES_S
from backend.settings import settings
from backend.slo import maintenance as times
from backend.slo import objectives_service as service
from backend.slo.findings import Finding
from backend.slo.objectives import (
    Availability,
    Completeness,
    Freshness,
    Kind,
    Latency,
    Objective,
    Quality,
    Sli,
    default_minimum_events,
    default_rows,
)
from backend.slo.openslo import parse_openslo
from backend.slo.openslo_writing import write_openslo
from backend.slo.tables import ObjectiveRevision
from backend.slo.windows import Calendar, Rolling, Window

KINDS = {
    Kind.AVAILABILITY: "requests are answered", Kind.LATENCY: "requests are answered in time",
    Kind.QUALITY: "a figure of the model stays inside bounds", Kind.FRESHNESS: "labels or figures are fresh",
    Kind.COMPLETENESS: "labels are complete",
}  # fmt: skip
PERIODS = {
    "any 28 days": Rolling(28 * 24), "any 30 days": Rolling(30 * 24), "any 7 days": Rolling(7 * 24),
    "each calendar month": None, "each calendar quarter": None,
}  # fmt: skip
LEVELS = {"error": "page", "warning": "attention", "note": "unknown"}


def objective_document(key: str, model: str, environment: str, *, zone: str | None) -> str:
    """Draw the inputs of a new objective; its OpenSLO text. Raises `BadInput` for what cannot be."""
    if st.toggle(
        "Write it as OpenSLO", key=f"{key}:yaml", help="YAML, OpenSLO v1; the form shows what is usual"
    ):
        example = write_openslo([_example(model, environment)])
        return str(st.text_area("OpenSLO", example, height=340, key=f"{key}:text", max_chars=100_000))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.selectbox(
            "What has to hold", list(KINDS), format_func=KINDS.__getitem__, key=f"{key}:kind", width=330
        )
        target = st.number_input(
            "of how many, %", 0.0, 99.9999, 99.0, 0.1, format="%.4g", key=f"{key}:target", width=150
        )
        period = st.selectbox("Over", list(PERIODS), index=1, key=f"{key}:period", width=190)
    sli = _sli(key, kind)
    title = st.text_input(
        "What people call it", _title_of(sli), key=f"{key}:title:{kind}", max_chars=100, width=420
    )
    least = st.number_input(
        "Fewest events before anything fires", 0, 1_000_000, default_minimum_events(kind), key=f"{key}:least:{kind}",
        width=260, help="With few events one bad one is a high rate: below this number no row fires or resolves.",
    )  # fmt: skip
    counts = st.checkbox(
        "Planned work on the model counts", key=f"{key}:maintenance",
        help="Otherwise maintenance, of alerts or of objectives, is left out of the budget.",
    )  # fmt: skip
    objective = Objective(
        name=_slug(f"{model}-{title}"), model=model, environment=environment, sli=sli, title=title.strip(),
        target=Decimal(str(target)) / 100, window=_window(period, zone), rows=default_rows(kind),
        minimum_events=int(least), counts_maintenance=counts,
    )  # fmt: skip
    return write_openslo([objective])


def _sli(key: str, kind: Kind) -> Sli:
    if kind is Kind.AVAILABILITY:
        return Availability()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if kind is Kind.LATENCY:
            edges = [f"{edge * 1000:g}" for edge in EDGES_S]
            edge = st.selectbox("Within, ms", edges, index=edges.index("250"), key=f"{key}:edge", width=150,
                                help="Edges of the gateway's histogram: between them nothing was counted.")  # fmt: skip
            return Latency(Decimal(edge))
        if kind is Kind.FRESHNESS:
            of = st.selectbox("What", ["labels", "metrics"], key=f"{key}:of", width=150)
            hours = st.number_input("At most so old, hours", 0.1, 8760.0, 24.0, key=f"{key}:hours", width=180)
            return Freshness("metrics" if of == "metrics" else "labels", round(hours * 3600))
        if kind is Kind.COMPLETENESS:
            share = st.number_input(
                "At least of the labels, %", 0.0, 100.0, 90.0, key=f"{key}:share", width=200
            )
            return Completeness(Decimal(str(share)) / 100)
        metric = st.text_input("Figure", "roc_auc", key=f"{key}:metric", width=180, max_chars=100,
                               help="a metric or a statistic as the pages of the model name it in exports")  # fmt: skip
        column = st.text_input("Column (of drift)", "", key=f"{key}:column", width=160, max_chars=100)
        segment = st.text_input("Among (column=value)", "", key=f"{key}:segment", width=180, max_chars=100)
        low = st.text_input("At least", "", key=f"{key}:low", width=110, max_chars=20)
        high = st.text_input("At most", "", key=f"{key}:high", width=110, max_chars=20)
    return Quality(
        metric.strip(), at_least=_decimal(low, "At least"), at_most=_decimal(high, "At most"),
        column=column.strip(), segment=segment.strip(),
    )  # fmt: skip


def _decimal(text: str, label: str) -> Decimal | None:
    if not text.strip():
        return None
    try:
        number = Decimal(text.strip().replace(",", "."))
    except ArithmeticError as error:
        raise BadInput(f"“{label}” is a number such as 0.7, not {text!r}") from error
    if not number.is_finite():
        raise BadInput(f"“{label}” is a number such as 0.7, not {text!r}")
    return number


def _window(period: str, zone: str | None) -> Window:
    known = PERIODS[period]
    unit = "Q" if "quarter" in period else "M"
    return known or Calendar(unit, datetime(2026, 1, 1), zone or "UTC")  # type: ignore[arg-type]  # noqa: DTZ001


def _title_of(sli: Sli) -> str:
    match sli:
        case Latency():
            return f"Answers within {sli.threshold_ms} ms"
        case Freshness():
            return f"Fresh {sli.of}"
        case Completeness():
            return "Complete labels"
        case Quality():
            return f"{sli.metric} inside bounds"
        case _:
            return "Requests are answered"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "objective"


def _example(model: str, environment: str) -> Objective:
    return Objective(
        name=_slug(f"{model}-answers"), model=model, environment=environment, sli=Availability(),
        target=Decimal("0.99"), window=Rolling(30 * 24), title="Requests are answered", minimum_events=20,
    )  # fmt: skip


def show_findings(findings: tuple[Finding, ...]) -> None:
    """What a definition is warned of, with the line where it stands."""
    if not findings:
        banner(
            "nothing to remark: every row can fire, and what it counts can be counted", "ok", word="checked"
        )
        return
    table(
        ("level", "what", "where"),
        [
            [badge(one.level, LEVELS[one.level]), lines(one.text, small(one.rule)),
             f"line {one.place.line}" if one.place.line else ""]
            for one in findings
        ],
        caption="what the definition is warned of",
    )  # fmt: skip


def offer_definition(
    model: str,
    document: str,
    *,
    row: ObjectiveRevision | None,
    by_change: str | None,
    disabled_because: str | None,
) -> None:
    """The button that stores the text, or asks for it where the policy wants a decision."""
    subject = f"{row.key}/{row.number}" if row is not None else model
    verb = "Revise" if row is not None else "Define"
    sent = action_form(
        "define-objective", object_id=subject, digest=document,
        label=f"Ask to {verb.lower()} it" if by_change else f"{verb} it",
        fields=[Field("why", "Why", required=True)], disabled_because=disabled_because,
    )  # fmt: skip
    if sent is None:
        return
    why = str(sent.values["why"])
    if by_change:
        _ask(model, {"objective": sent.digest} | ({"key": row.key} if row is not None else {}), why)
        return
    [objective] = parse_openslo(sent.digest)
    if row is not None:
        done = perform(
            lambda session, me: service.revise_objective(
                session, me, row.key, objective=objective, seen=row.number, why=why
            ),
            done="It is revised; it is judged by this from the next minute on.",
        )
    else:
        done = perform(
            lambda session, me: service.define_objective(session, me, objective=objective, why=why),
            done="It is defined; it is counted and judged from the next minute on.",
        )
    if done is not None:
        go("slos", objective=done.key)


def offer_retirement(row: ObjectiveRevision, *, by_change: str | None, disabled_because: str | None) -> None:
    """Stop judging it."""
    sent = action_form(
        "retire-objective", label=f"Retire “{row.name}”", object_id=f"{row.key}/{row.number}",
        digest=str(row.number), danger=True, fields=[Field("why", "Why", required=True)],
        disabled_because=disabled_because,
    )  # fmt: skip
    if sent is None:
        return
    if by_change:
        _ask(row.model, {"key": row.key, "retire": True}, str(sent.values["why"]))
    elif perform(
        lambda session, me: service.retire_objective(
            session, me, row.key, seen=int(sent.digest), why=str(sent.values["why"])
        ),
        done="It is retired, and what it fired is resolved.",
    ):
        go("slos")


def offer_maintenance(
    row: ObjectiveRevision, running: Mapping[int, str], *, disabled_because: str | None
) -> None:
    """Declare a time that does not count, or end one that runs or is planned (`running`: their words by id)."""
    sent = action_form(
        "declare-maintenance", label="Leave this time out", object_id=row.key, digest=str(row.number),
        fields=[
            Field("start", "From, UTC (2026-03-01 02:00)", required=True, value=_now_text(), max_chars=20),
            Field("hours", "Hours", "number", required=True, value=1.0),
            Field("all", "All objectives of the model", "checkbox", value=True,
                  help="then no alert of the model pages meanwhile; else none of this objective"),
            Field("reason", "Why it does not count", required=True),
        ],
        disabled_because=disabled_because,
    )  # fmt: skip
    if sent is not None:
        values: dict[str, Any] = sent.values
        try:
            start = datetime.fromisoformat(str(values["start"]).strip()).replace(tzinfo=UTC)
        except ValueError:
            st.error("Nothing was sent. Write the start as 2026-03-01 02:00, in UTC.")
            return
        hours = min(max(float(values["hours"]), 0.0), 24.0 * 366)
        if perform(
            lambda session, me: times.declare_maintenance(
                session, me, model=row.model, environment=row.environment, starts_at=start,
                ends_at=start + timedelta(hours=hours), reason=str(values["reason"]),
                objective=None if values["all"] else row.key,
            ),
            done="That time does not count, and alerts do not page in it; budgets say so from the next minute on.",
        ):  # fmt: skip
            st.rerun()
    for number, words in running.items():
        ended = action_form(
            "end-maintenance", label=f"End it now: {words}", object_id=str(number), digest=words, danger=True,
            disabled_because=disabled_because,
        )  # fmt: skip
        if ended is not None and perform(
            lambda session, me, number=number: times.end_maintenance(session, me, number),  # type: ignore[misc]
            done="It has ended.",
        ):
            st.rerun()


def _now_text() -> str:
    return clock.now().strftime("%Y-%m-%d %H:%M")


def _ask(model: str, subject: dict[str, Any], why: str) -> None:
    """Ask for a change of what watches a model, where the policy lets nobody do it directly."""
    asked = Asked("monitor", settings().environment, model, subject=subject)
    change = perform(
        lambda session, me: request_change(
            session, me, asked, reason=why, seen_digest=preview_change(session, me, asked).digest
        ),
        done="The change is asked for; it waits for a decision by somebody else.",
    )
    if change is not None:
        go("change", id=change.id)
