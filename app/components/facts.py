"""Facts side by side: a list of names and values, and a before/after table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.components.links import viewer_zone, when
from app.formats import UNKNOWN, format_change, format_count, format_metric, format_when


def value_text(value: Any) -> str:
    """A value as people read it: unknown is `–`, times are in the viewer's zone, lists are joined."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return format_count(value)
    if isinstance(value, float):
        return format_metric(value)
    if isinstance(value, datetime):
        return format_when(value, viewer_zone())
    if isinstance(value, (list, tuple, set, frozenset)):
        return ", ".join(value_text(item) for item in value) or "none"
    return str(value)


def key_values(facts: Mapping[str, Any]) -> None:
    """A dense list of names and values, in the order given. A value that is `Markup` (a link of ours) is drawn as it
    is; all others are escaped."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{_value_html(value)}</dd>" for name, value in facts.items())
    st.html(f'<dl class="w-facts">{rows}</dl>')


def _value_html(value: Any) -> str:
    if isinstance(value, Markup):
        return str(value)
    return str(when(value)) if isinstance(value, datetime) else escape(value_text(value))


def diff_html(
    before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str] = ("now", "proposed")
) -> str:
    """The table of `diff_table`; equal rows are counted in its last line, not shown."""
    rows, same = [], 0
    for name in dict.fromkeys([*before, *after]):
        old, new = before.get(name), after.get(name)
        if name in before and name in after and old == new:
            same += 1
            continue
        cells = (
            _shortened(old, new) if name in before else "absent",
            _shortened(new, old) if name in after else "absent",
            escape(_difference(old, new, name in before, name in after)),
        )
        labelled = (
            f'<td data-label="{escape(label)}"><div>{cell}</div></td>'
            for label, cell in zip((*names, "difference"), cells, strict=True)
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(labelled)}</tr>')
    if not rows:
        return f'<p class="w-detail">No difference in {same} compared facts.</p>'
    foot = f'<tfoot><tr><td colspan="4">{same} more are equal</td></tr></tfoot>' if same else ""
    head = "<td></td>" + "".join(f'<th scope="col">{escape(t)}</th>' for t in (*names, "difference"))
    return (
        '<div class="w-scroll" tabindex="0" role="group" aria-label="what differs">'
        f'<table class="w-table w-cards"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody>{foot}</table></div>"
    )


def _shortened(value: Any, beside: Any) -> str:
    """A value as HTML: a digest as its first 12 digits, a time as its date where `beside` is not of the same day; the
    whole of it as a title."""
    text = value_text(value)
    if isinstance(value, str) and (digest := _DIGEST.fullmatch(value)):
        short = f"{digest[1][:12]}…"
    elif isinstance(value, str) and (moment := _iso_moment(value)):
        short = format_when(moment, viewer_zone())
        other = _iso_moment(beside) if isinstance(beside, str) else None
        if other is None or other.date() != moment.date():
            short = short.split(", ")[0]
    else:
        return escape(text)
    return f'<span class="w-nowrap" title="{escape(text)}">{escape(short)}</span>'


_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def _iso_moment(text: str) -> datetime | None:
    """A moment with its zone; None for any other text, also for a bare date, which is short as it is."""
    if len(text) < 20 or text[10:11] not in ("T", " "):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None


def diff_table(
    before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str] = ("now", "proposed")
) -> None:
    """What would change: one row a fact that differs, with the difference of numbers."""
    st.html(diff_html(before, after, names=names))


def _difference(old: Any, new: Any, was: bool, is_now: bool) -> str:
    if not was:
        return "added"
    if not is_now:
        return "removed"
    numbers = (int, float)
    if isinstance(old, numbers) and isinstance(new, numbers) and not isinstance(old, bool):
        return format_change(old, new)
    return "changed"
