"""What a page says of objectives: how each stands, the windows that alert, maintenance, months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.charts import sparkline_uri
from app.components.links import href, viewer_zone, when
from app.components.status import banner, empty_state, headline
from app.components.tables import Cell, anchor, badge, image, lines, link, small, table
from app.formats import format_age, format_count, format_metric, format_share, format_when
from app.plain_text import plain
from app.words import ALERT_LEVELS, OBJECTIVE_WORDS, count_of
from backend import clock
from backend.slo.budget_history import MonthReport
from backend.slo.left_out import LeftOut
from backend.slo.objectives import Objective
from backend.slo.reading import Detail, Standing, budget_of, counts_of
from backend.slo.sentences import allowance_words, events_words
from backend.slo.wording import span_words, target_words

ROW_WORDS = {
    "fires": ("fires", "page"), "ok": ("ok", "ok"), "too_few": ("too few events", "unknown"),
    "no_data": ("no data", "unknown"),
}  # fmt: skip
LOW = 0.25
"""The share of a budget below which what is left is marked, though nothing fires."""


def name_of(objective: Objective) -> str:
    return objective.title or objective.name


def level_of(one: Standing) -> str:
    """A page only where a row that pages fires, or the budget is gone; else a ticket."""
    if one.word != "breach":
        return OBJECTIVE_WORDS[one.word][1]
    rows = one.state.figures.get("rows", []) if one.state is not None else []
    fires = [row["severity"] for row in rows if row["state"] == "fires"]
    return "page" if "page" in fires else "attention"


def objective_cell(one: Standing) -> Cell:
    return lines(
        anchor(name_of(one.objective), "slos", objective=one.revision.key),
        small(f"{one.revision.model} · {target_words(one.objective)}"),
    )


def state_cell(one: Standing) -> Cell:
    word = gone_word(one) or OBJECTIVE_WORDS[one.word][0]
    judged = one.state is not None and one.state.judged_at is not None
    since = f"for {format_age(one.state.since)}" if one.state is not None and judged else "not judged yet"
    return lines(badge(word, level_of(one)), small(since))


def left_cell(one: Standing) -> Cell:
    excluded = counts_of(one.state.figures.get("period") if one.state is not None else None).excluded_s
    return lines(
        _left_words(one), small(f"{span_words(excluded)} of maintenance left out" if excluded else "")
    )


def spark_cell(one: Standing) -> Cell:
    values = [value for value in one.spark if value is not None]
    return image(sparkline_uri(one.spark), f"budget left on {len(values)} days") if values else ""


def burn_words(one: Standing) -> str:
    burn = None if one.state is None else one.state.burn
    if burn is None:
        return "not known"
    return f"{format_metric(burn)}× the allowed rate" if burn > 0 else "nothing"


def budget_words(one: Standing) -> str:
    """What the budget comes to in bad events, and how many of them were used."""
    return (
        allowance_words(one.objective, budget_of(one.objective, one.state)) if one.state is not None else ""
    )


def gone_word(one: Standing) -> str:
    """`budget gone`, or of a calendar period that may still keep it `ahead of budget`; empty where neither is so."""
    if one.state is None or one.state.remaining is None or one.state.remaining >= 0:
        return ""
    found = budget_of(one.objective, one.state).allowance(Fraction(one.objective.target))
    return "budget gone" if found is None or found.is_spent or not found.is_forecast else "ahead of budget"


def _left_words(one: Standing) -> str:
    remaining = None if one.state is None else one.state.remaining
    if remaining is None:
        return "not known"
    return f"{format_share(remaining)}" if remaining >= 0 else f"overspent by {format_share(-remaining)}"


def lasts_words(one: Standing) -> str:
    state = one.state
    if state is None or state.judged_at is None or state.remaining is None:
        return "not known"
    if state.remaining <= 0:
        return "gone" if gone_word(one) != "ahead of budget" else "ahead of its pace"
    if state.exhausted_at is None:
        return "not burning" if state.burn is not None else "not known"
    left = state.exhausted_at - state.judged_at
    lasts = budget_of(one.objective, state).outlasts
    return "the whole period" if lasts else span_words(left.total_seconds())


def say_objective(one: Standing) -> None:
    """The headline of one objective, and what its source says."""
    state, row = one.state, one.revision
    judged = f"; judged {format_when(state.judged_at, viewer_zone())}" if state and state.judged_at else ""
    word = {"breach": "in danger", "ok": "holds"}.get(one.word, "no data")
    about = f"{row.model} in {row.environment}: {target_words(one.objective)}{judged}"
    headline(f"{name_of(one.objective)}, {word}: {one.says}", level_of(one), detail=about)
    if state is not None and state.judged_at and (told := budget_words(one)) not in one.says:
        st.caption(plain(f"{told[:1].upper()}{told[1:]}."))
    if state is not None and state.problem and state.problem != one.says:
        banner(state.problem, "attention", word="its source says")


def show_rows(detail: Detail) -> None:
    """The pairs of windows: each fires while both exceed its threshold."""
    state, objective = detail.standing.state, detail.standing.objective
    rows = state.figures.get("rows", []) if state is not None else []
    if not rows:
        empty_state("Nothing alerts", "This objective has no alert rows, or has not been judged yet.")
        return

    def window(row: Mapping[str, Any], name: str) -> Cell:
        counts = counts_of(row[name])
        error = counts.error
        told = "no event" if error is None else f"{format_share(float(error))} bad"
        seconds = int(row[f"{name}_s"])
        seen = counts.observed_s / seconds if seconds else 0.0
        part = f"; {format_share(seen)} of it observed" if seen < 0.99 else ""
        of = f": {events_words(objective, counts)}" if error is not None else ""
        return lines(told, small(f"{span_words(seconds)}{of}{part}"))

    table(
        ("alerts as", "now", "long window", "short window", "fires above"),
        [
            [
                badge(row["severity"], ALERT_LEVELS[row["severity"]]),
                badge(*_row_word(row)),
                window(row, "long"),
                window(row, "short"),
                lines(
                    format_share(row["threshold"]) if row["threshold"] < 1 else "never: above all events",
                    small(f"{format_metric(row['factor'])}× the allowed rate"),
                ),
            ]
            for row in rows
        ],
        caption="windows by which it alerts",
    )


def _row_word(row: Mapping[str, Any]) -> tuple[str, str]:
    word, level = ROW_WORDS[str(row["state"])]
    return (word, ALERT_LEVELS[str(row["severity"])]) if row["state"] == "fires" else (word, level)


def show_revisions(revisions: Sequence[Mapping[str, Any]]) -> None:
    """Who set and changed it, when and why."""
    table(
        ("revision", "made", "by", "state", "why"),
        [
            [f"{one['number']}", one["made_at"], one["made_by_name"] or "Warrant",
             one["state"], one["why"]]
            for one in revisions
        ],
        caption="revisions of the objective",
    )  # fmt: skip


_ABOUT = {
    "objective": "this objective, whose alerts do not page", "model": "all of the model, whose alerts do not page",
    "planned work": "planned work of the model, whose alerts do not page",
}  # fmt: skip


def show_maintenance(detail: Detail) -> None:
    """Times that do not count, and why."""
    if detail.standing.objective.counts_maintenance:
        st.caption("Planned work on the model counts for this objective.")
    if not detail.left_out:
        return
    now = clock.now()
    running = [one for one in detail.left_out if one.starts_at <= now < one.ends_at]
    if running:
        last = max(running, key=lambda one: one.ends_at)
        until = format_when(last.ends_at, viewer_zone())
        st.info(
            plain(
                f"Alerts do not page until {until}: {last.reason}. What fires then, and does not stop, pages."
            ),
            icon=":material/notifications_paused:",
        )

    def word(one: LeftOut) -> tuple[str, str]:
        if one.starts_at <= now < one.ends_at:
            return "now", "attention"
        return ("planned", "unknown") if one.starts_at > now else ("over", "unknown")

    table(
        ("maintenance", "state", "about", "why"),
        [
            [
                Markup("{} to {}").format(when(one.starts_at), when(one.ends_at)),
                badge(*word(one)),
                _ABOUT[one.about],
                one.reason,
            ]
            for one in detail.left_out
        ],
        caption="times that do not count",
    )


def show_month(detail: Detail, **of_file: str) -> None:
    """What the last calendar month came to, beside this one so far. `of_file`: from when to when the files go."""
    key = detail.standing.revision.key
    table(
        ("month", "target", "events", "budget used", "observed", "worst day", "alerts"),
        [_month(detail.standing.objective, detail.past_month, over=True),
         _month(detail.standing.objective, detail.this_month, over=False)],
        caption="months",
    )  # fmt: skip
    st.html(
        '<div class="w-take">'
        + str(link("Report of last month", f"/export/slo-report.md?objective={key}"))
        + " · "
        + str(link("budget as CSV", href("export/slo.csv", objective=key, **of_file)))
        + " · "
        + str(link("JSON", href("export/slo.json", objective=key, **of_file)))
        + "</div>"
    )


def _month(objective: Objective, one: MonthReport, *, over: bool) -> list[Cell]:
    first = format_when(one.start, one.zone).split(",")[0]
    met = {
        True: badge("met", "ok"), False: badge("missed", "page"), None: badge("no data", "unknown"),
    }[one.met]  # fmt: skip
    pages = sum(level == "page" for level, *_ in one.alerts)
    return [
        lines(f"from {first}", small("until its end" if over else "so far")),
        met,
        events_words(objective, one.counts) if one.counts.total else "none",
        "not known" if one.spent is None else format_share(one.spent),
        format_share(one.observed),
        lines(
            format_when(one.worst_day, one.zone).split(",")[0],
            small(f"{format_count(one.worst_day_bad)} bad"),
        )
        if one.worst_day
        else "none",
        f"{count_of(pages, 'page')}, {count_of(len(one.alerts) - pages, 'ticket')}",
    ]


def show_objectives_card(standings: Sequence[Standing], model: str) -> None:
    """The objectives of one model on its page."""
    if not standings:
        empty_state(
            "No objective is set for this model",
            "Say which share of its requests and windows must be good.",
            ("Define one", href("slos", model=model)),
        )
        return
    table(
        ("objective", "state", "budget left", "lasts", "says"),
        [
            [objective_cell(one), state_cell(one), left_cell(one), lasts_words(one), one.says]
            for one in standings
        ],
        caption="service-level objectives",
    )
