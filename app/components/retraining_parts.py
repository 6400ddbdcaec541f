"""Retraining on pages: runs, one run step by step, what sets them off, and the form that asks for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st

from app.charts.attributions import importance_figure
from app.charts.training import curve_figures
from app.components.change_effects import show_segments
from app.components.charts import draw
from app.components.facts import key_values
from app.components.group_parts import show_groups
from app.components.links import viewer_zone
from app.components.status import banner, empty_state
from app.components.tables import anchor, badge, folded, lines, long_text, small, table
from app.formats import (
    NARROW,
    format_age,
    format_bytes,
    format_decimal,
    format_metric,
    format_plain,
    format_seconds,
    format_share,
    format_signed,
    format_when,
)
from app.plain_text import plain
from app.words import metric_word
from backend.explain.figures import with_intervals
from backend.retraining.plan import TRIGGER_WORDS

LEVELS: Final = {
    "succeeded": "settled", "finished": "settled", "failed": "page", "cancelled": "unknown", "running": "attention",
    "queued": "unknown", "waiting": "unknown",
}  # fmt: skip
MARKS: Final = {"pass": "ok", "warn": "attention", "fail": "page"}


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, with narrow spaces before units."""
    if seconds < 10:
        return format_seconds(seconds)
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NARROW}s"
    if whole < 3600:
        return f"{whole // 60}{NARROW}min {whole % 60}{NARROW}s"
    return f"{whole // 3600}{NARROW}h {whole % 3600 // 60}{NARROW}min"


def cost_words(cost: Mapping[str, Any]) -> str:
    """What a run took so far."""
    parts = [duration(cost["seconds"])]
    if cost["gpu_seconds"]:
        parts.append(f"{duration(cost['gpu_seconds'])} of a GPU")
    if cost["peak_memory_bytes"]:
        parts.append(f"{format_bytes(cost['peak_memory_bytes'])} at most")
    return ", ".join(parts)


def say_runs(title: str, runs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The page's sentence: what the newest run came to, and its level."""
    if not runs:
        return f"{title} was never retrained here", "settled"
    newest = runs[0]
    came = (
        f": it asks to promote v{newest['version']} by CHG-{newest['promote_change_id']}"
        if newest["promote_change_id"] else ""
    )  # fmt: skip
    asked = f"asked for {format_age(newest['requested_at'])} ago"
    return f"The newest retraining of {title}, {asked}: {newest['state_words']}{came}", LEVELS[
        newest["state"]
    ]


def show_runs(runs: Sequence[Mapping[str, Any]], model: str) -> None:
    """The newest runs of a model, or what a first one would bring."""
    if not runs:
        empty_state(
            f"{model} was never retrained here",
            "Ask for it here, or name triggers in the model's spec: a schedule, drift, a fall of performance, labels. "
            "A run takes rows whose labels are known, checks them before anything is spent, trains, compares with what "
            "serves on the same rows, and ends by asking for a promotion. It moves nothing into service.",
        )
        return
    table(
        ("run", "state", "why", "result", "took"),
        [
            [anchor(run["id"], "retraining_run", id=run["id"]),
             lines(badge(run["state_words"], LEVELS[run["state"]]), small(run["step"])),
             lines(TRIGGER_WORDS[run["trigger"]], small(run["trigger_text"])),
             lines(anchor(f"CHG-{run['promote_change_id']} promotes v{run['version']}", "change",
                          id=run["promote_change_id"]) if run["promote_change_id"] else None,
                   long_text(run["outcome"]) if run["outcome"] and not run["promote_change_id"] else None),
             lines(cost_words(run["cost"]), small(f"{format_age(run['requested_at'])} ago, {run['requested_by']}"))]
            for run in runs
        ],
    )  # fmt: skip


def show_triggers(found: Mapping[str, Any]) -> None:
    """What the spec declares, what the week has cost, and the causes that were seen."""
    if found["declared"] is None:
        st.caption(
            "Nothing sets it off by itself: the model's spec has no `retraining`. It names the trainer, the window of "
            "rows, and triggers such as `{on: drift}` or `{on: schedule, every: 7d}`."
        )
        return
    week = found["week"]
    told = [
        f"{one['on']}" + (f", every {one['every_s'] / 86_400:g} days" if one["every_s"] else "")
        + (f", from {one['new']:,} on" if one["new"] else "")
        for one in found["triggers"]
    ]  # fmt: skip
    key_values(
        {
            "triggers": "; ".join(told) or "none",
            "this week": f"{week['runs']} of {week['most_runs']} runs, "
            f"{format_decimal(week['hours'], 1)} of {format_plain(week['most_hours'])} h",
            "cool-down": f"{found['cooldown_s'] / 86_400:g} days",
        }
    )
    if found["causes"]:
        table(
            ("cause", "seen", "what came of it"),
            [
                [lines(one["cause"], small(one["text"])), format_when(one["seen_at"], viewer_zone()),
                 anchor(f"CHG-{one['change_id']}", "change", id=one["change_id"]) if one["change_id"]
                 else f"held: {one['held_because']}"]
                for one in found["causes"][:20]
            ],
        )  # fmt: skip


def show_steps(run: Mapping[str, Any]) -> None:
    """Each step with its state, what it took, and its lines."""
    table(
        ("step", "state", "took", "memory", "log"),
        [
            [step["title"], lines(badge(step["state_words"], LEVELS[step["state"]]), _share(step)),
             duration(step["seconds"]) if step["attempts"] else "",
             format_bytes(step["peak_memory_bytes"]) if step["peak_memory_bytes"] else "",
             folded(step["log"][-1][:120], *step["log"][-60:]) if step["log"] else ""]
            for step in run["steps"]
        ],
    )  # fmt: skip


def _share(step: Mapping[str, Any]) -> str:
    told = [format_share(step["progress"])] if step["state"] == "running" and step["progress"] else []
    told += [f"attempt {step['attempts']}"] if step["attempts"] > 1 else []
    return small(", ".join(told)) if told else ""


def show_curve(run: Mapping[str, Any]) -> None:
    """The live curve of the trainer; nothing before it has written a line."""
    points = next(step["curve"] for step in run["steps"] if step["name"] == "train")
    figures = curve_figures(points)
    if not figures:
        return
    st.header("While it learns", anchor=False)
    for place, (name, figure) in zip(st.columns(2) * 2, figures.items(), strict=False):
        with place:
            st.markdown(f"**{metric_word(name)}**")
            draw(figure, f"{metric_word(name)} while {run['id']} learns", key=f"curve:{run['id']}:{name}")


def show_findings(run: Mapping[str, Any]) -> None:
    """What validation and comparison found, where they have."""
    results = {step["name"]: step["result"] for step in run["steps"]}
    rows, checks = results["extract"], results["validate"].get("checks", ())
    if rows:
        st.header("Rows", anchor=False)
        parts = results["split"]
        key_values(
            {
                "rows": f"{rows['labelled']:,} with a known label, of {rows['rows']:,}",
                "label completeness": format_share(rows["completeness"]),
                "split": ", ".join(f"{name} {parts[name]['rows']:,}" for name in ("train", "valid", "test"))
                if parts
                else None,
                "digest": rows["digest"],
            }
        )
    if checks:
        table(
            ("check", "says", "found"),
            [[one["name"], badge(one["verdict"], MARKS[one["verdict"]]), one["text"]] for one in checks],
        )
    _show_comparison(results["evaluate"])
    _show_explanation(run, results["explain"])


def _show_explanation(run: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """On what the candidate leans; or why that is not known."""
    if not found:
        return
    st.header("What it leans on", anchor=False)
    if not found["known"]:
        st.caption(plain(f"It was not explained: {found['why']}"))
        return
    figure = importance_figure(
        with_intervals(found["contributions"]), unit="the model's output", rows=found["rows"]
    )
    draw(figure, f"what the candidate of {run['id']} leans on", key=f"leans:{run['id']}")
    st.caption(plain(f"{found['method']}; over {found['rows']:,} rows that were held out"))


def _show_comparison(found: Mapping[str, Any]) -> None:
    same = found.get("same_rows")
    if not same:
        return
    st.header("Against what serves, on the same rows", anchor=False)
    if not same["known"]:
        st.caption(plain(f"Nothing was compared: {same['why']}"))
        return
    st.caption(plain(same["where"]))
    told = {"worse": "page", "better": "ok", "alike": "unknown", "unknown": "unknown"}
    table(
        ("metric", "champion", "candidate", "difference, 95 %", "says"),
        [
            [metric_word(one["metric"]), format_metric(one["before"]), format_metric(one["after"]),
             _interval(one), badge(one["says"], told[one["says"]])]
            for one in same["metrics"]
        ],
    )  # fmt: skip
    show_segments(same["segments"], "champion", "candidate")
    show_groups(found, named=("champion", "candidate"))
    cost, calibration = found.get("cost"), found.get("calibration")
    facts = {}
    if calibration and calibration["before"] is not None and calibration["after"] is not None:
        facts["calibration error"] = (
            f"{format_metric(calibration['before'])}, candidate {format_metric(calibration['after'])}"
        )
    if cost and cost["before"]["latency_ms"] and cost["after"]["latency_ms"]:
        facts["time of a row"] = (
            f"{format_metric(cost['before']['latency_ms'], 'ms')}, candidate "
            f"{format_metric(cost['after']['latency_ms'], 'ms')}"
        )
    size = found.get("size") or {}
    if size.get("after"):
        before = f"{format_bytes(size['before'])}, " if size.get("before") else ""
        facts["size of the files"] = f"{before}candidate {format_bytes(size['after'])}"
    if facts:
        key_values(facts)


def _interval(one: Mapping[str, Any]) -> str:
    if one["value"] is None:
        return one["reason"] or "unknown"
    if one["low"] is None:
        return format_signed(one["value"])
    return f"{format_signed(one['value'])} ({format_signed(one['low'])} to {format_signed(one['high'])})"


def show_plan(run: Mapping[str, Any]) -> None:
    key_values(dict(line.split(": ", 1) for line in run["plan_words"]) | {"asked by": run["requested_by"]})


def say_outcome(run: Mapping[str, Any]) -> None:
    if run["state"] == "failed":
        banner(
            f"{run['outcome']}. What had finished is kept: begun again, it goes on there.",
            "page",
            word="failed",
        )
