"""A rollout that runs: its stages, what was seen of each, and what a person tells it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app import data
from app.components.actions import Field, action_form
from app.components.tables import Cell, badge, folded, lines, open_point, small, table
from app.formats import format_age, format_count, format_metric, format_share, format_utc, written
from app.plain_text import plain
from app.session import live, perform, viewer
from app.words import metric_word, share_words, told_failure
from backend.governance.rollout_commands import tell_rollout

VERDICT_LEVELS = {"success": "ok", "failure": "page", "inconclusive": "inconclusive", "skipped": "unknown"}
LABELS = {"pause": "Pause", "resume": "Go on", "skip": "Skip this stage", "abort": "Abort and put back"}
HELP = {
    "pause": "it stays where it is",
    "resume": "watch on from here",
    "skip": "go to the next stage without what this one would have shown",
    "abort": "what served before comes back",
}


def show_rollout(change: Mapping[str, Any]) -> None:
    """What a target was told again, and the stages, drawn again while they run; a change all at once has none."""
    show_targets(change)
    if change["kind"] != "promote" or change["policy"]["rollout"]["strategy"] == "all_at_once":
        return
    if change["state"] == "executing":
        _running(change["id"])
    elif change["state"] in ("executed", "failed"):
        _draw(data.rollout(data.scope_of(viewer()), change["id"]))


def show_targets(change: Mapping[str, Any]) -> None:
    """What did not follow the record in time, and when it was told again."""
    for one in change.get("targets", ()):
        name = "MLflow's alias" if one["target"] == "mlflow" else f"The target {one['target']}"
        again = one["told_again_at"]
        words = f"told again {format_age(again)} ago" if again else "not as the record says"
        if one["settled_at"] is not None:
            st.caption(f"{plain(name)}: {plain(words)}, and is as the record says since.")
        else:
            problem, reported = told_failure(one["problem"])
            open_point(f"{name}: {words}. {problem}")
            if reported and reported not in (change["outcome"] or ""):  # once on a page
                st.html(str(folded("the error as it was reported", reported)))


@live(run_every=2)
def _running(change_id: int) -> None:
    found = data.rollout(data.scope_of(viewer()), change_id)
    _draw(found)
    _offer(found)


def _draw(found: Mapping[str, Any]) -> None:
    if not found["stages"]:
        return
    st.header("Rollout", anchor=False)
    if found["paused"]:
        st.warning("It waits for a person: go on, skip this stage, or abort.", icon=":material/pause_circle:")
    rows: list[list[Cell]] = [
        [
            lines(
                f"{stage['number']}. {stage['role']}", small(share_words(stage["share"], stage["segments"]))
            ),
            _state(stage),
            lines(*analysis_lines(stage["analysis"])),
            lines(
                stage["started_at"],
                small(f"watched until {format_utc(stage['bake_until'])}")
                if stage["bake_until"] and not stage["finished_at"]
                else None,
            ),
        ]
        for stage in found["stages"]
    ]
    table(("stage", "says", "what was seen", "since"), rows, caption="stages of the rollout")


def _state(stage: Mapping[str, Any]) -> Cell:
    if stage["verdict"]:
        return badge(stage["verdict"], VERDICT_LEVELS.get(stage["verdict"], "unknown"))
    return badge("watched" if stage["started_at"] else "to come", "unknown")


def analysis_lines(analysis: Mapping[str, Any]) -> list[Cell]:
    """The candidate beside the champion in the same minutes, as it was stored with the stage."""
    parts: list[Cell] = [written(str(analysis["why"]))] if analysis.get("why") else []
    for side in ("candidate", "champion"):
        counted = analysis.get(side)
        if counted is not None:
            parts.append(small(f"{side}: {_figures(counted)}"))
    compared = analysis.get("comparison")
    if compared is not None:
        better = format_metric(compared["better"])
        named = metric_word(compared["metric"])
        parts.append(small(f"{named}: challenger better by {better}, p {format_metric(compared['p_value'])}"))
    return parts or ["nothing yet"]


def _figures(counted: Mapping[str, Any]) -> str:
    p95_s = counted["p95_s"]
    return ", ".join(
        (
            f"{format_count(counted['rows'])} rows",
            f"{format_share(counted['error_share'])} failed",
            f"p95 {format_metric(None if p95_s is None else p95_s * 1000, 'ms')}",
            f"mean score {format_metric(counted['mean_score'])}",
        )
    )


def _help(found: Mapping[str, Any], command: str) -> str:
    if command == "skip" and not found["skip"]["enough"]:
        return f"{HELP['skip']}, once somebody else says so, too"
    return HELP[command]


def _offer(found: Mapping[str, Any]) -> None:
    said = (found["skip"] or {}).get("said_by", ())
    if said:
        st.info(
            f"{plain(' and '.join(said))} said to skip this stage. Its rule asks for two approvals: somebody else who "
            "could decide on it has to say so, too.",
            icon=":material/fast_forward:",
        )
    for command in found["can_tell"]:
        sent = action_form(
            f"rollout_{command}", label=LABELS[command], object_id=str(found["change"]), digest=found["step"] or "-",
            fields=[Field("reason", f"Why ({_help(found, command)})", required=command in ("skip", "abort"))],
            danger=command in ("skip", "abort"),
        )  # fmt: skip
        if sent is None:
            continue
        reason = sent.values["reason"] or ""
        told = perform(
            lambda session, me, said=command, why=reason: tell_rollout(
                session, me, found["change"], command=said, reason=why
            ),
            done=f"The rollout is told: {LABELS[command].lower()}.",
        )
        if told is not None:
            st.rerun()
