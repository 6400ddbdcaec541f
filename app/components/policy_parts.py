"""A rule of the policy as a row, and two revisions of the policy side by side."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from app.components.code_block import difference_block
from app.components.plan_words import plan_words
from app.components.tables import Cell, lines, small
from app.plain_text import plain


def rule_row(entry: dict[str, Any]) -> list[Cell]:
    """What it governs, who agrees, gates, rollout, how long it is valid, who may break the glass. A rule that allows
    nothing has none of it but why."""
    rule, matched = entry["rule"], _matched(entry["for"])
    named = lines(entry["name"], small(matched) if matched != entry["name"] else "")
    if not rule["allowed"]:
        return [named, lines(_who(rule)), *[""] * 4]
    return [
        named,
        lines(_who(rule), *_who_besides(rule)),
        lines(_named(rule["gates"]) or "none", *_while_it_serves(rule)),
        _rollout(entry),
        lines(f"{rule['lifetime_h']:g} h", *_asked_again(rule)),
        lines(*_glass(rule["break_glass"])),
    ]


def freeze_row(freeze: Mapping[str, Any]) -> list[Cell]:
    """When it holds, by the clock of its zone; in which environments; and for which kinds it does not."""
    if freeze["weekly"]:
        begin, end = (moment.capitalize() for moment in freeze["weekly"])
        when = f"every week from {begin} to {end}"
    else:
        moments = map(datetime.fromisoformat, freeze["dates"])
        begin, end = (f"{one.day} {one:%b %Y}, {one:%H:%M}" for one in moments)
        when = f"from {begin} to {end}"
    return [
        freeze["name"], lines(when, small(f"by the clock of {freeze['zone']}")),
        ", ".join(freeze["environments"]) or "everywhere", ", ".join(freeze["except_kinds"]) or "nothing",
    ]  # fmt: skip


BREACHES = {"ticket": "opens a ticket", "page": "calls on-call", "return": "takes the agreed way back"}


def _named(gates: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(
        gate["gate"].replace("_", " ") + ("" if gate["required"] else " (for information)") for gate in gates
    )


def _who_besides(rule: Mapping[str, Any]) -> list[Cell]:
    """Who may not, and that there is no other way."""
    told: list[Cell] = [small(f"not: {', '.join(rule['excluded']).replace('_', ' ')}")]
    if rule["accounts"]:
        told.append(small("service accounts decide, too"))
    if rule["tokens"]:
        told.append(small("people decide by API token, too, where the risk is high"))
    if "approve" in rule["comment_required_to"]:
        told.append(small("approving needs a comment"))
    if rule["only_by_change"]:
        told.append(small("monitors are changed in no other way"))
    if rule["envelope"] is not None:
        told.append(small(f"without a decision: {_within(rule['envelope'])}"))
    return told


def _within(envelope: Mapping[str, Any]) -> str:
    """What retraining goes ahead by itself: `by sklearn boosting on cpu, at most 1 h and 16,384 MB a run, …`."""
    trainers = ", ".join(one.replace("_", " ") for one in envelope["trainers"])
    triggers = ", ".join(one.replace("_", " ") for one in envelope["triggers"])
    return (
        f"training by {trainers} on {' or '.join(envelope['devices'])}"
        + (f", set off by {triggers}" if triggers else "")
        + f", at most {envelope['hours']:g} h and {envelope['memory_mb']:,} MB a run, "
        f"and of each model {envelope['runs_per_week']} runs and "
        f"{envelope['hours_per_week']:g} h a week"
    )


def _while_it_serves(rule: Mapping[str, Any]) -> list[Cell]:
    """What has to go on holding, and what a breach does."""
    if not rule["conditions"]:
        return []
    return [
        small(f"while it serves: {_named(rule['conditions'])}; a breach {BREACHES[rule['on_breach']]}"),
    ]


def _asked_again(rule: Mapping[str, Any]) -> list[Cell]:
    """When what serves has to be approved again."""
    after, on = rule["reapprove_after_days"], rule["reapprove_on"]
    when = [f"after {after:g} days in service"] if after else []
    when += [f"when {' or '.join(on)} changes"] if on else []
    return [small(f"to be approved again {', and '.join(when)}")] if when else []


def _glass(glass: Mapping[str, Any] | None) -> list[Cell]:
    """Who may act without approval, for what, and by when somebody else looks at it."""
    if glass is None:
        return ["nobody"]
    return [
        ", ".join(role.replace("_", " ") for role in glass["roles"]),
        small(f"for: {', '.join(glass['kinds'])}"),
        small(
            f"reviewed within {glass['review_within_h']:g} h; stands {glass['lasts_h']:g} h, then "
            + ("what served before comes back" if glass["when_over"] == "return" else "somebody is called")
        ),
    ]


def show_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Two revisions of the policy as one difference of their texts."""
    names = [f"revision {one['revision']}" for one in (before, after)]
    told = list(
        difflib.unified_diff(
            before["text"].splitlines(), after["text"].splitlines(), names[0], names[1], lineterm="", n=3
        )
    )
    if told:
        difference_block(told)
    else:
        st.caption(plain(f"{names[0].capitalize()} and {names[1]} say the same."))


def _rollout(entry: dict[str, Any]) -> Cell:
    """How a version comes into service under the rule, and the way back. Only a promotion has either: returns and
    cut-offs move at once, and the other kinds move no version."""
    kinds, rule = entry["for"]["kinds"], entry["rule"]
    if not kinds or "promote" in kinds:
        days = rule["way_back_days"]
        return lines(
            plan_words(rule["rollout"]),
            small(f"way back for {days:g} days" if days else "no way back agreed"),
        )
    if set(kinds) & {"rollback", "cutoff"}:
        return plan_words({"strategy": "all_at_once"})
    return small("moves no version")


def _who(rule: dict[str, Any]) -> str:
    if not rule["allowed"]:
        return f"not allowed: {rule['because']}"
    return ", ".join(f"{count} × {role.replace('_', ' ')}" for role, count in rule["roles"].items())


def _matched(scope_of_rule: dict[str, Any]) -> str:
    parts = [
        f"{name}: {', '.join(values)}"
        for name, values in (
            ("kind", scope_of_rule["kinds"]),
            ("tier", scope_of_rule["tiers"]),
            ("environment", scope_of_rule["environments"]),
        )
        if values
    ]
    return "; ".join(parts) or "everything else"
