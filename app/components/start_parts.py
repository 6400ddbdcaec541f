"""Bringing in a model, the parts that are read: what a file holds, what is proposed and will happen, how far it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import data
from app.components import empty_state, headline, job_progress
from app.components.policy_parts import rule_row
from app.components.tables import badge, lines, small, table
from app.formats import format_count, format_decimal, format_metric, format_share
from app.plain_text import plain
from app.session import live, page_link, viewer
from app.words import count_of
from backend.onboarding.arriving import Arrival
from backend.onboarding.choosing import LEFT_OUT
from backend.onboarding.comparing import Difference

if TYPE_CHECKING:
    from backend.onboarding.previewing import Preview

ROLE_WORDS: Mapping[str, str] = {
    "ts": "time of the prediction",
    "prediction_id": "id of the prediction",
    "score": "score",
    "prediction": "prediction",
    "label": "label",
    "label_ts": "time of the label",
}
STEPS = ("Connect data", "Say what the columns are", "Set the reference", "Choose what is watched", "Confirm")
SURE, GUESSED = 0.8, 0.5
PARTS = {"tier_answers": "answers about the tier"}
STATES = {
    "added": ("new", "settled"), "changed": ("changes", "attention"), "waits": ("waits", "unknown"),
    "only_there": ("stays as it is", "unknown"),
}  # fmt: skip


def step(number: int) -> None:
    st.header(plain(f"{number} · {STEPS[number - 1]}"), anchor=f"step-{number}")


def what_a_file_needs() -> None:
    """For somebody who looks for the right file."""
    table(
        ("one row for each prediction, with", "needed", "for example"),
        [
            ["the time of the prediction", "yes", "ts, timestamp, created_at"],
            ["a score, a prediction, or both", "yes", "score, probability, y_pred, forecast"],
            ["what the model read", "yes, one column or more", "age, country, amount"],
            ["the label that became known", "for performance", "label, y_true, outcome; empty: not yet"],
            ["an id, and when the label came", "better with", "prediction_id, label_ts"],
        ],
        caption="what a file needs",
    )


def show_columns(
    document: Mapping[str, Any], grounds: Mapping[str, tuple[float, str]], preview: Preview,
    said: Mapping[str, str],
) -> None:  # fmt: skip
    """Every column with what it is taken for, how sure that is and why, and its first values. said: by the person."""
    roles = {column: role for role, column in document["history"]["columns"].items()}
    features = document["spec"]["features"]
    rows = []
    for name, examples in preview.columns.items():
        if name in roles:
            taken = f"{ROLE_WORDS[roles[name]]}"
            sure, why = grounds.get(f"history.columns.{roles[name]}", (1.0, "named"))
        elif name in said:
            taken, sure, why = said[name], 1.0, "you said so"
        elif name in features:
            taken = features[name]
            sure, why = grounds.get(f"spec.features.{name}", (1.0, "named"))
        else:
            taken, sure, why = LEFT_OUT, 1.0, "a name that the observation store needs for itself"
        shown = ", ".join(one or "(empty)" for one in examples[:3])
        word, level = _how_sure(sure)
        rows.append([name, taken, lines(badge(word, level), small(format_decimal(sure))), why, small(shown)])
    rows.sort(key=lambda row: row[0] not in roles)
    table(("column", "taken for", "how sure", "because", "first values"), rows, caption="columns")


def _how_sure(confidence: float) -> tuple[str, str]:
    if confidence >= SURE:
        return "sure", "settled"
    return ("check it", "attention") if confidence >= GUESSED else ("a guess", "page")


def show_periods(preview: Preview, until: datetime) -> None:
    """What the rows say by period: so that a reference is a time in which the model did well."""
    rows = [
        [
            one.start.strftime("%d %b %Y"),
            "reference" if one.start < until else "watched",
            format_count(one.rows),
            format_share(one.labelled),
            format_metric(one.predicted),
            format_metric(one.was),
            format_metric(one.error),
        ]
        for one in preview.periods
    ]
    table(
        (
            f"{preview.of_which} from",
            "is",
            "rows",
            "with a label",
            "mean predicted",
            "mean label",
            "mean error",
        ),
        rows,
        caption="rows by period",
    )


def show_tier(scope: data.Scope, tier: str) -> None:
    """What the policy in force asks of whoever wants to promote a version of this tier."""
    st.caption(f"What the policy asks before a version of tier {plain(tier)} goes into service here:")
    table(
        ("rule", "who agrees", "gates", "rollout", "valid for", "breaks the glass"),
        [rule_row(data.rule_of_tier(scope, tier))],
        caption="what the policy asks",
    )


def show_differences(found: Iterable[Difference]) -> None:
    """What applying would do, part by part."""
    rows = []
    for one in found:
        word, level = STATES[one.state]
        how = "asked for as a change: others decide" if one.by_change else "recorded at once"
        if one.part == "history":
            how = "a worker imports it"
        told = how if one.is_open else ""
        rows.append(
            [PARTS.get(one.part, one.part), one.name, badge(word, level), lines(told, small(one.says))]
        )
    table(("part", "name", "it", "what happens"), rows, caption="what will happen")


def show_lacks(document: Mapping[str, Any], unanswered: Sequence[str]) -> None:
    """What nobody has said yet, and what that means."""
    lacking = []
    if not document["model"].get("owner"):
        lacking.append("nobody answers for the model: name an owner")
    if unanswered:
        lacking.append(
            f"{count_of(len(unanswered), 'question')} about the risk tier unanswered: it counts as said"
        )
    if "label" not in document["history"]["columns"]:
        lacking.append("no label: drift and quality are computed, performance once labels are sent")
    lacking.append("the card is a skeleton: each blank heading counts as a gap until somebody writes it")
    st.caption("Open afterwards: " + plain("; ".join(lacking)) + ".")


@live(run_every=2)
def follow(model: str, run_id: str | None) -> None:
    """How far a model has come in, until there is a first page to look at."""
    found = data.arrival(data.scope_of(viewer()), model, run_id)
    _say_how_far(model, found)
    if found.state in ("queued", "running", "failed"):
        job_progress(
            "Import of the history", found.state, share=found.progress, step=found.step, since=found.since,
            reason=found.error or None,
        )  # fmt: skip
    rows = [
        ["Recorded: model, columns, monitors, objectives, card", badge("done", "settled")],
        ["History imported", _state(found.state == "succeeded", found.state or "none asked for")],
        ["Version registered with its reference", _state(found.version is not None, "waits")],
        [
            "First windows computed",
            lines(
                _state(found.is_shown, "waits"),
                small(f"{found.computed:,} of {found.computed + found.due:,} windows")
                if found.computed
                else "",
            ),
        ],
    ]
    table(("step", "state"), rows, caption="steps until the first dashboard", cards=False)
    if found.version is not None:
        _lead_on(model, found)


def _say_how_far(model: str, found: Arrival) -> None:
    if found.state == "failed":
        headline(
            f"{model} is recorded, and its history could not be imported", "attention",
            detail="Correct what is named below, then bring the file in again: what is stored is not stored twice.",
        )  # fmt: skip
    elif found.is_shown:
        rest = f"; {count_of(found.due, 'window')} follow" if found.due else ""
        headline(f"{model} is here: {count_of(found.computed, 'window')} computed{rest}", "ok")
    elif found.state == "queued":
        headline(
            f"{model} is recorded; its history waits for a worker", "unknown",
            detail="Nothing moves? Then no worker runs: `make run` starts one, and so does `warrant worker`.",
        )  # fmt: skip
    else:
        headline(
            f"{model} is recorded; its history comes in", "unknown",
            detail="This page follows it by itself. You can leave: nothing is lost.",
        )  # fmt: skip


def _state(done: bool, otherwise: str) -> Any:
    return (
        badge("done", "settled") if done else badge(otherwise, "page" if otherwise == "failed" else "unknown")
    )


def _lead_on(model: str, found: Arrival) -> None:
    if not found.is_shown:
        empty_state(
            "The first figures are on their way",
            "Windows are computed as rows reach the store, newest first.",
        )
        return
    st.header("Look at it", anchor=False)
    with st.container(horizontal=True):
        page_link("performance", "First dashboard: performance", icon=":material/monitoring:", model=model)
        page_link("drift", "Drift", icon=":material/compare_arrows:", model=model)
        page_link("model", "The model", icon=":material/deployed_code:", model=model)
        page_link("card", "Write its card", icon=":material/edit_note:", model=model)
    st.caption(
        "Nothing serves by this. Put the version into service by a change, so that its alerts reach somebody."
    )
    page_link(
        "request_change", f"Ask for v{found.version} to go into service", icon=":material/approval:",
        kind="promote", model=model, to=found.version,
    )  # fmt: skip
