"""The range of time that a page shows: one row below its headline, kept in the address, taken along by links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import streamlit as st
from markupsafe import escape

from app.components.links import carry, viewer_zone
from app.plain_text import plain
from app.ranges import (
    COMPARISONS,
    NAMES,
    PRESETS,
    WORDS,
    NoSuchRange,
    Range,
    Span,
    chosen_between,
    from_wall,
    read_comparison,
    read_range,
    span_words,
    to_wall,
)
from backend import clock

BETWEEN, NOTHING = "between", "nothing"
_PRESET, _SINCE, _UNTIL, _COMPARE = "range:preset", "range:from", "range:to", "range:compare"
_KEPT, _HERE, _SAID = "range:kept", "range:here", "range:said"
_REPLACED: Final = ("range", "from", "to", "window", "until")
"""What an address says no more once another range is chosen: a window of the one before is not in it."""


@dataclass(frozen=True)
class Moved:
    """Where the range that a page shows of itself lies instead of ending now, and why."""

    span: Span
    because: str


@dataclass(frozen=True)
class Shown:
    """The range that a page shows.

    chosen   somebody chose it, by hand or by the address; otherwise it is what the page shows of itself
    compare  the earlier span that it is compared with; `compared`, how that is called
    """

    range: Range
    span: Span
    now: datetime
    chosen: bool = False
    compare: Span | None = None
    compared: str = ""

    @property
    def is_past(self) -> bool:
        """Whether it ends before now, so that what holds now is not in it."""
        return self.span.until < self.now

    @property
    def words(self) -> str:
        """`the last 28 d`, or from when to when."""
        if self.range.preset and not self.is_past:
            return f"the last {WORDS[self.range.preset]}"
        return span_words(self.span, viewer_zone())


def pick_range(
    usual: str, *, page: str, about: datetime | None = None, comparable: bool = False, moved: Moved | None = None
) -> Shown:  # fmt: skip
    """The row of controls, and what they say.

    usual       the preset of an address that names none
    about       the moment that presets lie about; without one they end now
    comparable  the page can draw an earlier range beside this one
    moved       where the page's own range lies instead of ending now
    """
    now = clock.now()
    if about is None:
        take_up(page)
    chosen, compared = _asked()
    found = chosen or Range(preset=usual)
    if chosen is None and moved is not None:
        found, span = Range(span=moved.span), moved.span
    else:
        span = found.about(about or now, up_to=now if about is not None else None)
    compare = span.earlier(compared) if comparable and compared else None
    named = COMPARISONS.get(compared or "", "")
    shown = Shown(found, span, now, chosen is not None, compare, named)
    _draw(shown, compared, comparable=comparable, about=about is not None)
    if chosen is None and moved is not None:
        st.caption(plain(moved.because))
    if chosen is not None:
        kept = _address_of(shown, compared, about=about is not None)
        carry(kept)
        if about is None:
            st.session_state[_KEPT] = kept
    return shown


def asked_range() -> Range | None:
    """The range that the address asks for; None where it asks for none that there is."""
    try:
        return read_range(st.query_params.to_dict())
    except NoSuchRange:
        return None


def forget_range() -> None:
    """Take the range out of the address."""
    for name in ("range", "from", "to"):
        st.query_params.pop(name, None)


def _asked() -> tuple[Range | None, str | None]:
    """What the address asks for; of what cannot be, why, and nothing."""
    query = st.query_params.to_dict()
    chosen: Range | None = None
    compared: str | None = None
    try:
        chosen = read_range(query)
    except NoSuchRange as error:
        st.warning(f"The address {plain(str(error))}. Shown instead: what this page shows of itself.")
    try:
        compared = read_comparison(query)
    except NoSuchRange as error:
        st.warning(f"The address {plain(str(error))}. Nothing is compared.")
    return chosen, compared


def _address_of(shown: Shown, compared: str | None, *, about: bool) -> dict[str, str]:
    """What links take along: a preset about a moment is a span for pages that do not know the moment."""
    given = shown.range if not about else Range(span=shown.span)
    return given.address() | ({"compare": compared} if compared else {})


def start_page(path: str) -> None:
    """At the beginning of a run of any page: what was chosen for the one before is not yet this one's."""
    carry(None)
    if st.session_state.get(_HERE) != path:
        st.session_state.pop(_HERE, None)


def take_up(page: str) -> None:
    """On a page that was just opened from the menu, what was chosen on another one. A link that names a window, or a
    range, says itself what it is about."""
    state, query = st.session_state, st.query_params
    if state.get(_HERE) == page:
        return
    state[_HERE] = page
    kept: Mapping[str, str] = state.get(_KEPT) or {}
    if any(name in query for name in (*NAMES, "window", "at")):
        return
    for name, value in kept.items():
        query[name] = value


def _draw(shown: Shown, compared: str | None, *, comparable: bool, about: bool) -> None:
    state, tz, span = st.session_state, viewer_zone(), shown.span
    # Written anew at each run: the address alone says what is shown.
    state[_PRESET] = shown.range.preset or BETWEEN
    here, hidden = (tz, span), {"label_visibility": "collapsed"}
    with st.container(horizontal=True, vertical_alignment="center", key="range-bar"):
        st.selectbox(
            "Range", [*PRESETS, BETWEEN], key=_PRESET, width=120, on_change=_choose, args=here,
            format_func=lambda one: "from … to" if one == BETWEEN else WORDS[one], **hidden,
        )  # fmt: skip
        if shown.range.span is not None:
            for key, word, moment in ((_SINCE, "From", span.since), (_UNTIL, "To", span.until)):
                state[key] = _shown_wall(moment, tz)
                st.datetime_input(word, key=key, step=60, width=215, on_change=_write, args=here, **hidden)
        if comparable:
            state[_COMPARE] = compared or NOTHING
            st.selectbox(
                "Compare with", [NOTHING, *COMPARISONS], key=_COMPARE, width=205, on_change=_compare,
                format_func=lambda one: f"beside {COMPARISONS[one]}" if one in COMPARISONS else "beside nothing",
                **hidden,
            )  # fmt: skip
        said = f"{'about the moment: ' if about and shown.range.preset else ''}{span_words(span, tz)}"
        if shown.compare is not None:
            said += f", beside {span_words(shown.compare, tz)}"
        st.html(f'<span class="w-detail">{escape(said)}</span>', width="content")
    for told in state.pop(_SAID, ()):
        st.warning(plain(told))


def _shown_wall(moment: datetime, tz: str | None) -> datetime:
    return to_wall(moment, tz).replace(second=0, microsecond=0)


def _choose(tz: str | None, span: Span) -> None:
    chosen = str(st.session_state[_PRESET])
    _go(Range(span=span) if chosen == BETWEEN else Range(preset=chosen))


def _write(tz: str | None, span: Span) -> None:
    """Take what was written; the end that was not touched stays the moment it is, whatever clocks did there."""
    told: list[str] = []
    ends = {}
    for key, known, end in ((_SINCE, span.since, False), (_UNTIL, span.until, True)):
        wall = st.session_state.get(key)
        if wall is None or wall == _shown_wall(known, tz):
            ends[key] = known
            continue
        ends[key], said = from_wall(wall, tz, end=end)
        told += [said] if said else []
    try:
        _go(chosen_between(ends[_SINCE], ends[_UNTIL]))
    except NoSuchRange as error:
        told.append(f"What was written {error}. Shown is still {span_words(span, tz)}.")
    st.session_state[_SAID] = [one[:1].upper() + one[1:] for one in told]


def _compare() -> None:
    chosen = st.session_state[_COMPARE]
    if chosen == NOTHING:
        st.query_params.pop("compare", None)
    else:
        st.query_params["compare"] = chosen


def _go(found: Range) -> None:
    """Have the address name another range."""
    for name in _REPLACED:
        st.query_params.pop(name, None)
    st.session_state.pop("pick:window", None)
    for name, value in found.address().items():
        st.query_params[name] = value
