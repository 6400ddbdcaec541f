"""What a decider is shown of a change, the same before it is asked for and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from app.charts import sparkline_uri
from app.components.code_block import difference_block
from app.components.facts import diff_table, key_values
from app.components.status import empty_state
from app.components.tables import Cell, badge, image, table
from app.formats import NARROW, format_metric, format_share
from app.plain_text import plain
from app.words import metric_change, metric_word, readable
from backend import clock
from backend.governance.evaluations import tries_of

FOR_INFORMATION = {"fail": "failed", "inconclusive": "could not tell"}  # gates that stand in nobody's way


def unresolved(change: Mapping[str, Any]) -> list[str]:
    """What a decider should know is not known, or speaks against it. First on the page."""
    evidence = change["evidence"]
    found = [f"gate {name.replace('_', ' ')} failed" for name in change.get("gates_failed", ())]
    found += [f"gate {name.replace('_', ' ')} could not tell" for name in change.get("gates_unclear", ())]
    found += [
        f"gate {one['gate'].replace('_', ' ')}: {one['verdict']}; {one['exception']['ref']} lets the change past it"
        for one in change.get("gates", ())
        if one["gate"] in change.get("gates_excepted", ())
    ]
    found += [
        f"gate {one['gate'].replace('_', ' ')}, for information, {FOR_INFORMATION[one['verdict']]}"
        for one in change.get("gates", ())
        if not one["required"] and one["verdict"] in FOR_INFORMATION
    ]
    for one in change.get("gates", ()):
        tries = tries_of(evidence, one["gate"])
        if one["required"] and one["verdict"] == "pass" and "fail" in tries:
            times = tries.count("fail")
            found.append(
                f"gate {one['gate'].replace('_', ' ')} passed at evaluation {len(tries)}, after it had failed {times} "
                f"time{'s' if times > 1 else ''}"
            )
    found += evidence.get("cautions", ())
    if "after" not in evidence:
        return found
    after = evidence["after"]["version"]
    live = [point for point in evidence["live"]["after"] if point["kind"] == "realised"]
    judged = [point for point in live if point["verdict"] in ("ok", "alarm")]
    if not judged:
        found.append(f"v{after} has no judged window in service: how it does on today's data is not known")
    elif any(point["verdict"] == "alarm" for point in judged):
        count = sum(point["verdict"] == "alarm" for point in judged)
        found.append(f"v{after} was beyond its limit in {count} of its last {len(judged)} judged windows")
    compared = evidence.get("same_rows") or {}
    worse = [metric_word(row["metric"]) for row in compared.get("metrics", ()) if row["says"] == "worse"]
    if worse:
        verb = "is" if len(worse) == 1 else "are"
        found.append(f"{' and '.join(worse)} {verb} worse than what serves, on the same rows")
    parts = [
        f"{part['column']} = {part['name']}" for part in (compared.get("segments") or {}).get("worse", ())
    ]
    if parts:
        told = ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "")
        found.append(f"worse on the same rows in {told}")
    for row in () if compared.get("known") else filter(_is_worse, evidence["metrics"]):
        change = metric_change(row["metric"], _value(row["before"]), _value(row["after"]))
        found.append(f"{metric_word(row['metric'])} is worse on held-out rows ({change})")
    if evidence["before"] is None:
        found.append("nothing serves now, so there is nothing to compare with")
    return found


_LOWER = ("log_loss", "brier", "ece")


def _value(metric: Any) -> float | None:
    return metric.get("value") if isinstance(metric, Mapping) else metric


def _is_worse(row: Mapping[str, Any]) -> bool:
    """Beyond both intervals where there are intervals: a third digit is no news."""
    before, after = row["before"], row["after"]
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return False
    ends = (before.get("low"), before.get("high"), after.get("low"), after.get("high"))
    if None in ends:
        return False
    return bool(after["low"] > before["high"] if row["metric"] in _LOWER else after["high"] < before["low"])


def moves_cutoff_alone(evidence: Mapping[str, Any]) -> bool:
    """Whether the same version goes on with another cut-off: nothing that is measured of scores moves."""
    before = evidence.get("before")
    return before is not None and bool(before["version"] == evidence["after"]["version"])


PENDING = ("draft", "checking", "waiting", "approved")  # states of a change in which "before" still serves


def show_metrics(evidence: Mapping[str, Any], *, pending: bool = True) -> None:
    """Held-out metrics side by side with their intervals. `pending`: the change has not been carried out or ended."""
    if moves_cutoff_alone(evidence):
        st.caption(
            "The version stays as it is, and its held-out metrics of scores, such as AUC and log loss, with it. What "
            "the other cut-off does to decisions is under “Who flips”, where it was counted."
        )
        return
    after = f"v{evidence['after']['version']}"
    now = f"v{evidence['before']['version']}" if evidence["before"] else "nothing"
    if not pending:
        now, after = f"before ({now})", f"after ({after})"
    else:
        now, after = f"{now} (serves)" if evidence["before"] else now, f"{after} (proposed)"

    def words(metric: Any) -> str | None:
        value = _value(metric)
        if value is None:
            return None
        if isinstance(metric, Mapping) and metric.get("low") is not None:
            return (
                f"{format_metric(value)}  [{format_metric(metric['low'])}, {format_metric(metric['high'])}]"
            )
        return format_metric(value)

    table(
        ("held-out metric", now, after, "difference", ""),
        [
            [metric_word(row["metric"]), words(row["before"]), words(row["after"]),
             metric_change(row["metric"], _value(row["before"]), _value(row["after"])),
             badge("worse", "attention") if _is_worse(row) else ""]
            for row in sorted(evidence["metrics"], key=lambda row: row["metric"] != "roc_auc")
        ],
    )  # fmt: skip
    st.caption(
        "Each version's own held-out rows, 95 % intervals in brackets: not the same rows where training data differ."
    )


def show_live(evidence: Mapping[str, Any], *, pending: bool = True) -> None:
    """How both versions did in service, by their last windows when it was asked."""
    rows: list[list[Cell]] = []
    sides = {"before": "serves now" if pending else "before", "after": "proposed" if pending else "after"}
    for side, word in sides.items():
        version = evidence[side]
        if version is None:
            continue
        points = [point for point in reversed(evidence["live"][side]) if point["kind"] == "realised"]
        judged = [point for point in points if point["verdict"] in ("ok", "alarm")]
        last = judged[-1] if judged else None
        bad = sum(point["verdict"] == "alarm" for point in judged)
        state = badge("never judged in service", "unknown")
        if judged:
            state = badge(
                f"{bad} of {len(judged)} beyond limit" if bad else f"held in {len(judged)}",
                "attention" if bad else "ok",
            )
        rows.append(
            [
                f"v{version['version']}, {word}" if pending else f"{word} (v{version['version']})", state,
                format_metric(last["value"]) if last else None,
                clock.from_iso(last["window"]) if last else None,
                f"{last['rows']:,} rows, labels {format_share(last['completeness'])}" if last else None,
                image(sparkline_uri([p["value"] for p in points], [p["verdict"] for p in points]), "last windows")
                if points else None,
            ]
        )  # fmt: skip
    table(("version", "in service", "last value", "window from", "from", "windows"), rows)


def show_differences(evidence: Mapping[str, Any], *, pending: bool = True) -> None:
    """Parameters, training data and card: what differs; equal facts are counted."""
    for title, rows in (("Parameters", evidence["parameters"]), ("Training data", evidence["data"])):
        st.subheader(plain(title), anchor=False)
        diff_table({row["name"]: row["before"] for row in rows if row["before"] is not None},
                   {row["name"]: row["after"] for row in rows if row["after"] is not None},
                   names=("now", "proposed") if pending else ("before", "after"))  # fmt: skip
    st.subheader("Model card", anchor=False)
    diff: Sequence[str] = evidence["card_diff"]
    if diff:
        difference_block(diff)
    else:
        st.caption("The two cards are the same.")


def show_alert(evidence: Mapping[str, Any]) -> None:
    """The alert that this change answers."""
    alert = evidence.get("alert")
    if not alert:
        return
    facts = {
        str(key).replace("_", " "): value
        for key, value in alert["details"].items()
        if not isinstance(value, (dict, list))
    }
    key_values({alert["level"]: readable(alert["title"]), **facts})


def show_policy(policy: Mapping[str, Any], bound: Mapping[str, str], digest: str) -> None:
    """Who must agree, and what a signature covers."""
    facts = {"policy": f"{policy['name']}, revision {policy['revision']}"}
    if policy["allowed"]:
        who = ", ".join(f"{count} × {role.replace('_', ' ')}" for role, count in policy["roles"].items())
        excluded = " and ".join(role.replace("_", " ") for role in policy["excluded"])
        lasts = f"{policy['lifetime_h']:g}{NARROW}h"
        hands = "people and service accounts" if policy.get("accounts") else "people, no service account"
        facts |= {"needs": who, "who decides": hands, "cannot decide": f"the {excluded}", "valid for": lasts}
    else:
        facts["not allowed"] = policy["because"]
    key_values({**facts, "signed digest": digest, **{f"  {k}": v for k, v in bound.items()}})
    if not bound:
        empty_state("Nothing is bound", "This change was made by an earlier version of Warrant.")
