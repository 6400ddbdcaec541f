"""A draft of the policy as forms: one rule at a time, and the freezes. What is entered goes into the draft's text."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel

from app.components.policy_fields import (
    Sheet,
    button,
    choice,
    default_of,
    edit,
    environments,
    many,
    number,
    spoken,
    text,
    tick,
)
from app.components.policy_freezes import freeze_inputs
from app.components.policy_parts import BREACHES
from app.plain_text import plain
from backend.errors import BadInput
from backend.governance import policy_edits
from backend.governance.gates import Gate, gates
from backend.governance.policy_edits import Place
from backend.governance.policy_rules import (
    AB_METRICS,
    ALWAYS_EXCLUDED,
    EXCLUDABLE,
    KINDS,
    TIERS,
    Analysis,
    BreakGlass,
    Rollout,
    Rule,
    acting_roles,
    deciding_roles,
)
from backend.governance.rollout_plan import STRATEGIES

GLASS_KINDS: Final = get_args(get_args(BreakGlass.model_fields["kinds"].annotation)[0])
REAPPROVE_ON: Final = get_args(get_args(Rule.model_fields["reapprove_on"].annotation)[0])
ANALYSIS_LABELS: Final = {
    "minimum_requests": "Fewest requests", "error_rate": "Failed requests, share",
    "latency_ratio": "p95 over the champion's", "score_shift": "Mean scores apart",
}  # fmt: skip
WHEN_OVER: Final = {"page": "somebody is called", "return": "what served before comes back"}


def policy_form(slot: str) -> None:
    """The text that the session keeps in `slot`, as inputs."""
    try:
        sheet = Sheet.of(slot)
    except BadInput as error:
        st.info(
            f"{plain(error.message[:1].upper() + error.message[1:])}. Correct it as YAML; then its form is here."
        )
        return
    notes = st.container(gap="xsmall")
    _rules(sheet)
    freeze_inputs(sheet)
    with notes:
        sheet.tell_rest()


def _rules(sheet: Sheet) -> None:
    rules, chosen = sheet.document["rules"], f"{sheet.slot}:rule"
    names = [str(rule.get("name", "")) for rule in rules]
    st.session_state[chosen] = min(st.session_state.get(chosen, 0), len(rules) - 1)
    at = st.selectbox(
        "Rule", range(len(rules)), key=chosen, format_func=lambda at: f"{at + 1}. {names[at]}", width=420,
        help="The first rule that matches a change governs it.",
    )  # fmt: skip
    last = at == len(rules) - 1
    with st.container(horizontal=True):
        button("Add a rule before it", f"{sheet.slot}:add", _copy, (sheet.slot, at))
        button("Remove it", f"{sheet.slot}:remove", _remove, (sheet.slot, at), off=last)
        button("Move it up", f"{sheet.slot}:up", _move, (sheet.slot, at, -1), off=last or at == 0)
        button("Move it down", f"{sheet.slot}:down", _move, (sheet.slot, at, 1), off=at >= len(rules) - 2)
    wrong = st.container(gap="xsmall")
    _scope(sheet, ("rules", at), last=last)
    rule: Place = ("rules", at, "rule")
    if sheet.at((*rule, "allowed"), True):
        for part in (_agreeing, _gates, _rollout, _glass, _again):
            with st.container(border=True):
                part(sheet, rule)
    with wrong:
        sheet.tell(("rules", at))


def _scope(sheet: Sheet, entry: Place, *, last: bool) -> None:
    with st.container(border=True):
        _heading("What it is for")
        with st.container(horizontal=True):
            text(sheet, (*entry, "name"), "Name")
            if not last:
                many(sheet, (*entry, "for", "kinds"), "Kinds of change", KINDS, placeholder="all")
                many(sheet, (*entry, "for", "tiers"), "Risk tiers", TIERS, placeholder="all", width=300)
                many(sheet, (*entry, "for", "environments"), "Environments", environments(sheet.document),
                     placeholder="all; write the name of another", new=True, width=300)  # fmt: skip
        if last:
            st.caption("The last rule is for every change that no other rule is for.")
        rule: Place = (*entry, "rule")
        tick(sheet, (*rule, "allowed"), "Such a change may be asked for", True)
        if not sheet.at((*rule, "allowed"), True):
            text(sheet, (*rule, "because"), "Why not", width=620)


def _agreeing(sheet: Sheet, rule: Place) -> None:
    _heading("Who agrees")
    given = sheet.at((*rule, "roles"), default_of(Rule, "roles"))
    with st.container(horizontal=True):
        for role in [*deciding_roles(), *(role for role in given if role not in deciding_roles())]:
            _quorum(sheet, rule, role, given)
    sheet.tell((*rule, "roles"))
    st.caption("Who asks, and who trained the version, never decides, nor anybody who acts for them.")
    tick(
        sheet, (*rule, "excluded"), "Nor does the owner of the data",
        shown="data_owner" in sheet.at((*rule, "excluded"), []),
        take=lambda on: list(EXCLUDABLE if on else ALWAYS_EXCLUDED),
    )  # fmt: skip
    tick(sheet, (*rule, "accounts"), "Service accounts decide, too")
    tick(sheet, (*rule, "tokens"), "People decide by API token, too, where the risk is high")
    tick(
        sheet, (*rule, "comment_required_to"), "Approving needs a comment, as rejecting does",
        shown="approve" in sheet.at((*rule, "comment_required_to"), []),
        take=lambda on: ["approve", "reject"] if on else None,
    )  # fmt: skip
    tick(sheet, (*rule, "only_by_change"), "Monitors are changed in no other way")
    with st.container(horizontal=True):
        number(
            sheet,
            (*rule, "lifetime_h"),
            "An approval is valid for, hours",
            default_of(Rule, "lifetime_h"),
            width=230,
        )
        number(
            sheet,
            (*rule, "remind_after"),
            "Reminded after, share of it",
            default_of(Rule, "remind_after"),
            width=230,
        )


def _quorum(sheet: Sheet, rule: Place, role: str, given: Mapping[str, int]) -> None:
    """A number that is entered writes all of them; 0 is none."""
    count = given.get(role, 0)

    def take(value: int | None) -> dict[str, int]:
        counts = {**given, role: value or 0}
        return {name: count for name, count in counts.items() if count}

    with st.container(width=170):
        st.number_input(
            plain(f"Approvals by {spoken(role)}"), value=None, step=1, format="%d",
            **sheet.bound((*rule, "roles"), count if isinstance(count, int) else None, take, role),
        )  # fmt: skip
        sheet.tell((*rule, "roles", role))


def _gates(sheet: Sheet, rule: Place) -> None:
    _heading("Gates")
    known = gates()
    _gate_list(sheet, (*rule, "gates"), "Asked of the change", list(known))
    _gate_list(
        sheet, (*rule, "conditions"), "Have to go on holding while it serves",
        [name for name, gate in known.items() if gate.condition],
    )  # fmt: skip
    if sheet.at((*rule, "conditions"), []):
        choice(sheet, (*rule, "on_breach"), "A breach", tuple(BREACHES), "ticket", words=BREACHES, width=260)


def _gate_list(sheet: Sheet, place: Place, label: str, offered: Sequence[str]) -> None:
    rows = [one for one in sheet.at(place, []) if isinstance(one, dict)]
    names = [str(one.get("gate", "")) for one in rows]

    def take(chosen: list[str]) -> list[dict[str, Any]]:
        kept = dict(zip(names, rows, strict=True))
        return [kept.get(name, {"gate": name}) for name in chosen]

    st.multiselect(
        plain(label), [*offered, *(name for name in dict.fromkeys(names) if name not in offered)], format_func=spoken,
        placeholder="none", **sheet.bound(place, list(dict.fromkeys(names)), take),
    )  # fmt: skip
    for at, name in enumerate(names):
        _gate(sheet, (*place, at), name, gates().get(name))
    sheet.tell(place)


def _gate(sheet: Sheet, place: Place, name: str, gate: Gate | None) -> None:
    """Whether it stands in the way, and what it asks."""
    wrong = any(one.place[: len(place)] == place for one in sheet.untold)
    told = "" if sheet.at((*place, "required"), True) else " (for information)"
    with st.expander(plain(spoken(name) + told), expanded=wrong):
        if gate is not None:
            st.caption(plain(gate.explanation))
        if place[-2] == "gates":
            tick(sheet, (*place, "required"), "It stands in the way; else it is shown alone", True)
        with st.container(horizontal=True):
            for parameter in gate.parameters.model_fields if gate is not None else ():
                _parameter(sheet, (*place, "parameters", parameter), gate.parameters, parameter)  # type: ignore[union-attr]
        sheet.tell(place)


def _parameter(sheet: Sheet, place: Place, model: type[BaseModel], name: str) -> None:
    """An input of the kind that the gate declares."""
    kind, default = model.model_fields[name].annotation, default_of(model, name)
    inner = [one for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) in (Union, types.UnionType) and len(inner) == 1:
        kind, inner = inner[0], list(get_args(inner[0]))
    label = spoken(name).capitalize()
    if kind is bool:
        tick(sheet, place, label, default)
    elif kind in (int, float):
        number(sheet, place, label, default, whole=kind is int)
    elif kind is str:
        text(sheet, place, label, default or "", take=lambda given: given.strip() or None)
    elif get_origin(kind) is tuple:
        options = get_args(inner[0]) if get_origin(inner[0]) is Literal else ()
        many(sheet, place, label, options, default, new=not options)
    else:
        st.caption(plain(f"{label}: written as YAML alone."))


def _rollout(sheet: Sheet, rule: Place) -> None:
    _heading("Rollout and way back")
    place: Place = (*rule, "rollout")
    strategy = sheet.at((*place, "strategy"), "all_at_once")
    seconds = default_of(Rollout, "longest_s")
    with st.container(horizontal=True):
        _strategy(sheet, place, strategy)
        if strategy in ("canary", "ab"):
            text(
                sheet, (*place, "steps"), "Steps, % of requests" if strategy == "canary" else "Challenger's share, %",
                show=_percents, take=_shares, width=220,
            )  # fmt: skip
        number(sheet, (*place, "bake_s"), "Watched at each step, seconds", 0.0, width=230)
        if strategy == "ab":
            choice(sheet, (*place, "metric"), "Decided by", tuple(AB_METRICS), "", width=180)
            number(
                sheet,
                (*place, "significance"),
                "Significance",
                default_of(Rollout, "significance"),
                width=150,
            )
            number(sheet, (*place, "longest_s"), "Undecided it stops after, seconds", seconds, width=250)
        number(
            sheet,
            (*rule, "way_back_days"),
            "A return is agreed for, days",
            default_of(Rule, "way_back_days"),
            width=230,
        )
    if strategy in STRATEGIES:
        st.caption(plain(f"{strategy}: {STRATEGIES[strategy]}"))
    many(sheet, (*place, "skip"), "May skip a stage alone", deciding_roles(), placeholder="nobody")
    with st.expander("What live traffic has to show"), st.container(horizontal=True):
        for name, label in ANALYSIS_LABELS.items():
            known = Analysis.model_fields[name]
            number(sheet, (*place, "analysis", name), label, default_of(Analysis, name),
                   whole=known.annotation is int, help=known.description)  # fmt: skip
    sheet.tell(place)


def _strategy(sheet: Sheet, place: Place, strategy: str) -> None:
    """Another strategy takes the steps of the one before away, which it may not have."""

    def take(chosen: str) -> dict[str, Any]:
        kept = {name: one for name, one in sheet.at(place, {}).items() if name not in ("steps", "metric")}
        first = {"canary": {"steps": [0.05, 0.2, 0.5, 1]}, "ab": {"steps": [0.5], "metric": "accuracy"}}
        return {**kept, "strategy": chosen, **(first.get(chosen, {}))}

    with st.container(width=220):
        st.selectbox(
            "Strategy", [*STRATEGIES, *([strategy] if strategy not in STRATEGIES else [])], format_func=spoken,
            **sheet.bound(place, strategy, take, "strategy"),
        )  # fmt: skip
        sheet.tell((*place, "strategy"))


def _percents(steps: Any) -> str:
    if not isinstance(steps, list):
        return str(steps or "")
    return ", ".join(f"{one * 100:g}" if isinstance(one, int | float) else str(one) for one in steps)


def _shares(written: str) -> list[float | str]:
    return [_share(one.strip().removesuffix("%").strip()) for one in written.split(",") if one.strip()]


def _share(written: str) -> float | str:
    try:
        return round(float(written) / 100, 6)
    except ValueError:
        return written


def _glass(sheet: Sheet, rule: Place) -> None:
    _heading("Breaking the glass")
    place: Place = (*rule, "break_glass")
    broken = value_of(sheet, place) is not None
    tick(sheet, place, "In an emergency one person may act without approval", shown=broken,
         take=lambda on: {} if on else None)  # fmt: skip
    if not broken:
        return
    with st.container(horizontal=True):
        many(sheet, (*place, "roles"), "Who", acting_roles(), default_of(BreakGlass, "roles"))
        many(sheet, (*place, "kinds"), "For", GLASS_KINDS, default_of(BreakGlass, "kinds"), width=300)
        for name, label in (
            ("review_within_h", "Reviewed within, hours"),
            ("lasts_h", "It stands for, hours"),
        ):
            number(sheet, (*place, name), label, default_of(BreakGlass, name))
        choice(sheet, (*place, "when_over"), "Then", tuple(WHEN_OVER), "page", words=WHEN_OVER, width=280)
    sheet.tell(place)


def value_of(sheet: Sheet, place: Place) -> Any:
    return policy_edits.value_at(sheet.document, place)


def _again(sheet: Sheet, rule: Place) -> None:
    _heading("To be approved again")
    with st.container(horizontal=True):
        number(sheet, (*rule, "reapprove_after_days"), "After days in service", None)
        many(sheet, (*rule, "reapprove_on"), "When this changes", REAPPROVE_ON, placeholder="never")


def _heading(words: str) -> None:
    st.markdown(f"**{plain(words)}**")


def _copy(slot: str, at: int) -> None:
    edit(slot, lambda text: policy_edits.with_rule_before(text, at))


def _remove(slot: str, at: int) -> None:
    edit(slot, lambda text: policy_edits.without_rule(text, at))


def _move(slot: str, at: int, by: int) -> None:
    edit(slot, lambda text: policy_edits.with_rule_moved(text, at, by))
    st.session_state[f"{slot}:rule"] = at + by
