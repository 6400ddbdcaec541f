"""What people vouch for about a model: validations, findings, exceptions, and what a change's decider sees of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from textwrap import shorten
from typing import Any, Final

import streamlit as st
from markupsafe import Markup

from app.components.listing import Column
from app.components.status import empty_state
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.formats import format_age, format_utc
from app.plain_text import plain
from app.words import count_of
from backend import clock
from backend.assurance.inventory import KINDS, Entry

OUTCOMES: Final = {"fit": "ok", "fit_with_conditions": "attention", "not_fit": "page"}
CONDITIONS: Final = {"open": "unknown", "met": "settled", "met late": "attention", "lapsed": "page"}
EXCEPTIONS: Final = {"asked": "attention", "granted": "attention", "refused": "unknown", "ended": "unknown",
                     "expired": "unknown"}  # fmt: skip
NEED: Final = {"page": "overdue", "attention": "due", "unknown": "not known", "ok": "nothing due"}


def day(moment: datetime | str | None) -> str:
    """The day of a moment, as the record has it."""
    if moment is None:
        return "–"
    found = clock.from_iso(moment) if isinstance(moment, str) else moment
    return f"{found:%-d %b %Y}"


def due_words(due_at: datetime | str, *, is_over: bool) -> Cell:
    """By when, and how long that is or was."""
    found = clock.from_iso(due_at) if isinstance(due_at, str) else due_at
    told = f"{format_age(found)} ago" if is_over else f"in {format_age(found)}"
    return lines(day(found), small(told))


def _known_by(one: Entry) -> Cell:
    return lines(
        anchor(one.title, "inventory_model", model=one.model), small(one.model), small(KINDS[one.kind])
    )


def _to_do(one: Entry) -> Cell:
    return lines(badge(NEED[one.level], one.level), small("; ".join(one.due[:3]) + _more(len(one.due) - 3)))


def _tier(one: Entry) -> Cell:
    return lines(
        one.tier,
        small(f"proposed: {one.proposed_tier}") if one.proposed_tier not in (None, one.tier) else None,
    )


def _purpose(one: Entry) -> Cell:
    return lines(
        shorten(one.purpose, 90, placeholder="…") or badge("not written", "unknown"),
        small(shorten(one.data, 80, placeholder="…")) if one.data else None,
    )


def _performs(one: Entry) -> Cell:
    word, _, why = one.health.partition(": ")
    return lines(badge(word, one.health_level), small(why) if why else None)


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def _validated(one: Entry) -> Cell:
    if one.validation is None:
        return badge("never", "unknown")
    found = one.validation
    told = f"v{found['version']}" if found["version"] else "as a whole"
    return lines(
        badge(found["outcome_words"], OUTCOMES[found["outcome"]]), small(f"{told}, {day(found['recorded_at'])}"),
        badge(f"{one.conditions_lapsed} lapsed", "page") if one.conditions_lapsed else None,
    )  # fmt: skip


def _findings(one: Entry) -> Cell:
    told = ", ".join(f"{count} {name}" for name, count in one.findings.items() if count)
    parts: list[Cell] = [told or "none open"]
    if one.findings_overdue:
        parts.append(badge(f"{one.findings_overdue} overdue", "page"))
    if one.exceptions:
        parts.append(small(count_of(len(one.exceptions), "exception")))
    return lines(*parts)


def paper(digest: str | None, name: str) -> Markup | None:
    """A link to a file that was handed in."""
    return link(name, f"/api/v1/documents/{digest}") if digest else None


def show_validations(found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        empty_state(
            "Nobody has validated it",
            "Somebody who neither built nor owns it hands in a report and says what they found.",
        )
        return
    rows: list[list[Cell]] = [
        [
            one["ref"],
            badge(one["outcome_words"], OUTCOMES[one["outcome"]]),
            lines(
                f"version {one['version']}" if one["version"] else "the model as a whole", small(one["scope"])
            ),
            lines(one["summary"], paper(one["report"], one["report_name"]), small(one["report"][:19] + "…")),
            lines(one["validator"], small(format_utc(one["recorded_at"]))),
            lines(*(_condition(condition) for condition in one["conditions"])) or "none",
        ]
        for one in found
    ]
    heads = ("validation", "outcome", "scope", "summary and report", "by", "conditions")
    table(heads, rows, caption="validations")


def _condition(one: Mapping[str, Any]) -> Cell:
    told = Markup("{} {}").format(badge(one["state"], CONDITIONS[one["state"]]), one["text"])
    return lines(
        told, small(f"by {day(one['due_at'])}" + (f": {one['evidence']}" if one["evidence"] else ""))
    )


def worst_first(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Overdue ones first, then by severity, then by day."""
    order = {"high": 0, "medium": 1, "low": 2}
    return sorted(found, key=lambda one: (not one["overdue"], order[one["severity"]], one["due_at"]))


def show_findings(found: Sequence[Mapping[str, Any]], *, empty: str = "No finding is open.") -> None:
    if not found:
        st.caption(plain(empty))
        return
    rows: list[list[Cell]] = [
        [
            lines(one["ref"], badge(one["severity"], _severity(one))),
            lines(one["title"], small(one["detail"])),
            lines(badge("overdue", "page") if one["overdue"] else one["state"]),
            one["owner"],
            due_words(one["due_at"], is_over=one["overdue"])
            if one["state"] != "closed"
            else day(one["due_at"]),
            _course(one),
        ]
        for one in found
    ]
    table(("finding", "what", "state", "owner", "due", "plan and evidence"), rows, caption="findings")


def _severity(one: Mapping[str, Any]) -> str:
    if one["state"] == "closed":
        return "unknown"
    return {"high": "page", "medium": "attention"}.get(one["severity"], "unknown")


def _course(one: Mapping[str, Any]) -> Cell:
    parts: list[Cell] = [one["plan"] or "no plan yet"]
    if one["answer"]:
        parts.append(small(f"answered: {one['answer']}"))
    if one["state"] == "closed":
        parts.append(small(f"closed by {one['closed_by']}: {one['evidence']}"))
        parts.append(paper(one["document"], "evidence"))
    return lines(*parts)


def show_exceptions(
    found: Sequence[Mapping[str, Any]], *, empty: str = "It is excepted from no gate."
) -> None:
    if not found:
        st.caption(plain(empty))
        return
    rows: list[list[Cell]] = [
        [
            one["ref"],
            one["gate"].replace("_", " "),
            lines(
                badge(
                    {"asked": "waits for a decision"}.get(one["state"], one["state"]),
                    EXCEPTIONS[one["state"]],
                ),
                small(one["not_here"]) if one.get("not_here") else None,
            ),
            lines(one["reason"], small(f"asked by {one['asked_by']}")),
            lines(one["comment"] or "–", small(f"by {one['decided_by']}") if one["decided_by"] else None),
            due_words(one["expires_at"], is_over=one["state"] == "expired"),
        ]
        for one in found
    ]
    table(("exception", "from gate", "state", "reason", "decision", "until"), rows, caption="exceptions")


def show_of_change(change: Mapping[str, Any]) -> None:
    """Validation and findings as they were when the change was asked for, folded unless they speak against it, and
    exceptions as they are now."""
    seen = change["assurance"]
    if seen is not None:
        newest, findings = seen["validation"], seen["findings"]
        said = "nobody has validated this version" if newest is None else newest["outcome_words"]
        told = f"{said}; {count_of(len(findings), 'open finding') if findings else 'no finding was open'}"
        is_against = any(one["overdue"] for one in findings) or (newest or {}).get("outcome") == "not_fit"
        with st.expander(f"Validation and findings: {plain(told)}", expanded=is_against):
            if newest is None:
                st.html(
                    f'<p class="w-lead">{badge("not validated", "unknown")} Nobody has validated this version.</p>'
                )
            else:
                show_validations([newest])
            show_findings(findings, empty="No finding was open.")
            st.caption(f"as it was when it was asked for, {format_utc(clock.from_iso(seen['at']))}")
    if change["exceptions"]:
        st.header("Exceptions from its gates", anchor=False)
        show_exceptions(change["exceptions"])


ENTRIES: Final[tuple[Column[Entry], ...]] = (
    Column("model", "model", _known_by, fixed=True),
    Column("to_do", "to do", _to_do),
    Column("tier", "tier", _tier),
    Column("owner", "owner", lambda one: one.owner or badge("nobody", "unknown")),
    Column("purpose", "purpose and data", _purpose),
    Column("validated", "validated", _validated),
    Column("findings", "findings", _findings),
    Column("review", "review",
           lambda one: day(one.next_review_at) if one.next_review_at else badge("not planned", "unknown")),
    Column("health", "health", _performs),
)  # fmt: skip
"""Models of the inventory: what is due first, then what is known"""
