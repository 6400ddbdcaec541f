"""Populations and samples of changes, and the house as it was on a day."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import streamlit as st

from app.components.code_block import copied_text
from app.components.status import empty_state, headline
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_count, format_utc
from app.plain_text import plain
from app.session import perform
from app.words import count_of
from backend import clock
from backend.assurance.as_of import HouseThen
from backend.audit.population import Population, draw_sample

KEPT = "_sample"


def quarter_of(day: date) -> str:
    return f"{day.year}Q{(day.month + 2) // 3}"


def end_of_day(day: Any) -> datetime | None:
    """The moment at which a day of UTC is over; None for today, which is not, and for no day."""
    if not isinstance(day, date) or day >= clock.now().date():
        return None
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def show_population(found: Population) -> None:
    """Whether the log and the table of changes agree, in a sentence."""
    said = count_of(len(found.in_log), "change")
    period = f"requested from {format_utc(found.period.start)} until {format_utc(found.period.end)}"
    if found.equal:
        headline(
            f"{said} in {found.period.name}; the log and the table of changes agree", "ok",
            detail=f"{period} · {format_count(len(found.in_log))} entries in the log, "
            f"{format_count(found.in_table)} changes in the table · as of {format_utc(found.as_of)}",
        )  # fmt: skip
    else:
        apart = [
            f"{len(numbers)} {words}: {', '.join(f'CHG-{one}' for one in numbers[:10])}"
            for numbers, words in (
                (found.without_entry, "without an entry"),
                (found.without_row, "only in the log"),
            )
            if numbers
        ]
        if found.unplaced:
            apart.append(f"{found.unplaced} of which nothing says any more what they are about")
        headline(
            f"{said} in {found.period.name}, and the table of changes disagrees",
            "page",
            detail=" · ".join(apart),
        )
    if found.beyond:
        st.caption(
            f"The log has {count_of(found.beyond, 'more change')} of this period, of what your account does not see."
        )
    with st.expander("What this population is, so that it can be told again"):
        st.caption(f"SHA-256 over its {plain(said)}, one number a line")
        copied_text(found.digest)


def offer_sample(found: Population, *, as_of: datetime | None) -> None:
    """Draw a sample; each draw is an entry. The last one drawn for this population stays on the page."""
    if not found.in_log:
        empty_state("No change was requested in this period", "Choose another period or a later as-of date.")
        return
    with st.form("draw-sample", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        n = st.number_input("Changes", min_value=1, max_value=1000, value=25, step=1, width=140)
        seed = st.number_input("Seed", min_value=0, max_value=2**53 - 1, value=7, step=1, width=180)
        sent = st.form_submit_button("Draw the sample", type="primary")
    if sent:
        drawn = perform(
            lambda session, me: draw_sample(
                session, me, period=found.period.name, n=int(n), seed=int(seed), as_of=as_of
            ).as_dict(),
            done="The sample is drawn, and the log says so.",
        )
        if drawn is not None:
            st.session_state[KEPT] = drawn
            st.rerun()
    drawn = st.session_state.get(KEPT)
    if drawn is not None and (drawn["period"], drawn["population_digest"]) == (
        found.period.name,
        found.digest,
    ):
        _show_sample(drawn)
    else:
        st.caption(
            "The same period, as-of date and seed draw the same changes, here and by `warrant audit sample`."
        )


def _show_sample(drawn: Mapping[str, Any]) -> None:
    rows: list[list[Cell]] = [
        [
            anchor(f"CHG-{one['change']}", "change", id=one["change"]),
            lines(one["summary"], small(" · ".join(part for part in (one["kind"], one["model"]) if part))),
            lines(one["requested_by_name"], small(format_utc(one["requested_at"]))),
            lines(one["state"], small("by break-glass") if one["broke_glass"] else ""),
            f"{one['approvals']} for, {one['rejections']} against",
            lines(
                anchor(f"entry {one['entries'][0]:,}", "audit_entry", seq=one["entries"][0]),
                small(count_of(len(one["entries"]), "entry", "entries")),
            ),
        ]
        for one in drawn["rows"]
    ]
    table(("change", "what", "asked by", "state then", "decisions", "in the log"), rows, caption="sample")
    st.caption(
        f"{drawn['n']:,} of {drawn['population']:,} with seed {drawn['seed']:d}, "
        f"as of {plain(format_utc(drawn['as_of']))}, recorded as entry {drawn['entry']:,}. "
        f"Again: `warrant audit sample --period {plain(drawn['period'])} "
        f"--n {drawn['n']:d} --seed {drawn['seed']:d} --as-of {plain(clock.to_iso(drawn['as_of']))}`"
    )


def show_house(then: HouseThen, names: Mapping[str, str]) -> None:
    """Inventory, tiers, policy, roles and findings as they were."""
    headline(
        f"As it was at {format_utc(then.as_of)}", "unknown" if then.notes else "settled",
        detail=f"{count_of(len(then.models), 'model')} · "
        f"{count_of(len(then.findings), 'finding')} not closed · {_policy(then)}",
    )  # fmt: skip
    for note in then.notes:
        st.caption(f"Not known: {plain(note)}")
    if not then.models:
        empty_state("There was no model yet", "Choose a later day.")
        return
    models: list[list[Cell]] = [
        [
            lines(anchor(one.title, "inventory_model", model=one.name), small(one.name)),
            lines(one.tier, small("observed only") if one.enforcement == "observe" else ""),
            names.get(one.owner, one.owner) if one.owner else badge("nobody", "attention"),
            lines(*one.serving) if one.serving else "nothing",
            lines(one.validation_outcome.replace("_", " "), small(format_utc(one.last_validation)))
            if one.last_validation else "never",
            str(one.open_findings),
        ]
        for one in then.models
    ]  # fmt: skip
    st.header("Inventory and tiers", anchor=False)
    table(
        ("model", "tier", "owner", "served", "last validation", "findings"), models, caption="inventory then"
    )
    if then.findings:
        st.header("Findings", anchor=False)
        table(
            ("finding", "severity", "state", "owner", "due"),
            [
                [lines(one.title, small(one.model or "the whole house")), one.severity, one.state,
                 names.get(one.owner, one.owner), f"{one.due[:19].replace('T', ' ')} UTC"]
                for one in then.findings
            ],
            caption="findings then",
        )  # fmt: skip
    if then.people is None:
        st.caption("Roles are shown to those who may read payloads of the log.")
        return
    st.header("Roles", anchor=False)
    table(
        ("account", "roles"),
        [
            [lines(names.get(one.person_id, one.person_id), small(one.kind)),
             ", ".join(one.roles).replace("_", " ") or "none"]
            for one in then.people if not one.disabled
        ],
        caption="roles then",
    )  # fmt: skip


def _policy(then: HouseThen) -> str:
    if then.policy is None:
        return "the policy that Warrant comes with"
    return f"policy revision {then.policy}, since {format_utc(then.policy_since)}"
