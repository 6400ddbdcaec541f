"""Whether everybody is told; channels, routes, rotas and notices as tables; tests, and trying a notice again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit as st
from markupsafe import Markup

from app.components.actions import action_form
from app.components.links import href, viewer_zone, when, when_html
from app.components.status import empty_state
from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_when
from app.plain_text import plain
from app.session import perform, viewer
from app.words import count_of
from backend.identity.roles import Permission
from backend.notifications.channels import KINDS
from backend.notifications.service import retry_notice
from backend.notifications.trying import ask_test

SHOWN_REFS: Final = 5
TESTS_IN_A_ROW: Final = 4
_TESTS: Final = {"queued": ("waits", "unknown"), "passed": ("passed", "ok"), "failed": ("failed", "page")}
_STATES = {"sent": ("sent", "settled"), "queued": ("waits", "unknown"), "refused": ("refused", "page")}


def channel_level(channel: Mapping[str, Any]) -> tuple[str, str]:
    """(word, level) of a channel. One that was never used is unknown, not well."""
    if channel["refused"]:
        return f"{count_of(channel['refused'], 'notice')} refused", "page"
    if channel["slow_since"]:
        return "does not answer", "attention"
    if channel["problem"]:
        return "cannot be reached", "attention"
    if channel["deaf"]:
        return "deaf", "attention"
    if channel["sent_at"] is None and channel["test"] == "":
        return "never used", "unknown"
    if channel["test"] == "failed" and (
        channel["sent_at"] is None or channel["test_at"] > channel["sent_at"]
    ):
        return "its test failed", "page"
    return ("being tested", "unknown") if channel["test"] == "queued" else ("works", "ok")


def answer(found: Mapping[str, Any]) -> tuple[str, str, str]:
    """(sentence, level, detail): is everybody told? Green only where somebody sends and nothing is owed."""
    sending, untold, channels = found["sending"], found["untold"], found["channels"]
    owed = sorted({one["incident_id"] for one in untold})
    if sending["problem"]:
        since = f"since {format_when(sending['since'], viewer_zone())}" if sending["since"] else ""
        sentence = f"Nobody has sent notices {since}" if since else "Nobody sends notices"
        waits = f" {count_of(len(owed), 'incident')} should be told: {_refs(owed)}." if owed else ""
        level = "page" if owed else "attention"
        return sentence, level, f"{sending['problem']}{waits} {sending['to_do']}"
    bad = [one["name"] for one in channels if channel_level(one)[1] in ("page", "attention")]
    if bad:
        waits = f"Not told to everybody: {_refs(owed)}." if owed else ""
        return f"{count_of(len(bad), 'channel')} of {len(channels)} cannot be relied on", "page", waits
    late = sorted({one["incident_id"] for one in untold if one["late"]})
    if late:
        return (
            f"{count_of(len(late), 'incident')} not told to everybody",
            "page",
            f"{_refs(late)}; see below.",
        )
    if owed:
        return "Notices are on their way", "unknown", f"About {_refs(owed)}."
    nowhere = f"No route leads anywhere with {_refs(found['unrouted'])}." if found["unrouted"] else ""
    if not any(channel_level(one)[1] == "ok" for one in channels):
        return "No channel was ever used", "unknown", f"Send a test to find out whether one works. {nowhere}"
    if nowhere:
        return "Some open incidents reach nobody", "attention", nowhere
    unused = [one["name"] for one in channels if channel_level(one)[1] == "unknown"]
    detail = f"Looked at {format_when(sending['since'], viewer_zone(), seconds=True)}."
    if unused:
        detail += f" Whether {', '.join(unused)} would get through is not known: send a test."
    return "Everybody who is to be told was told", "ok", detail


def heartbeat_words(heartbeat: Mapping[str, Any]) -> tuple[str, str]:
    """(sentence, level): would somebody outside notice that Warrant is dead?"""
    if not heartbeat["is_on"]:
        return "Nobody outside would notice that Warrant is dead", "attention"
    if heartbeat["problem"]:
        return "No heartbeat leaves Warrant", "page"
    return "A heartbeat leaves Warrant", "ok"


def show_heartbeat(heartbeat: Mapping[str, Any]) -> None:
    """Whether each receiver of the heartbeat hears from Warrant, and what to do where none is named."""
    sentence, level = heartbeat_words(heartbeat)
    passed = heartbeat["passed_at"]
    look = Markup("The last look that passed: {}").format(when_html(passed)) if passed else None
    st.html(lines(badge(sentence, level), heartbeat["problem"], look))
    if heartbeat["is_on"]:
        table(
            ("receiver", "last told", "problem"),
            [(one["receiver"], one["sent_at"], one["problem"] or "none") for one in heartbeat["beats"]],
            caption="Who is told that Warrant works",
        )
        return
    st.caption(
        "Name a dead man's switch in `WARRANT_HEARTBEAT`: it is told every minute that Warrant looked at itself and "
        "all of it worked, and pages when nothing comes (docs/notifications.md)."
    )


def _refs(incidents: Sequence[int]) -> str:
    more = f" and {len(incidents) - SHOWN_REFS} more" if len(incidents) > SHOWN_REFS else ""
    return ", ".join(f"INC-{one}" for one in incidents[:SHOWN_REFS]) + more


def show_untold(untold: Sequence[Mapping[str, Any]]) -> None:
    """What is owed, the longest first; nothing where nothing is."""
    if not untold:
        return
    st.header("Not told yet", anchor=False)
    table(
        ("incident", "channel", "since", "why it is to be told"),
        [
            (
                lines(
                    anchor(f"INC-{one['incident_id']}", "incident", id=one["incident_id"]),
                    small(f"SEV-{one['severity']}"),
                ),
                lines(one["channel"], badge(*(("not told", "page") if one["late"] else ("on its way", "unknown")))),
                one["since"],
                lines(one["why"], small(one["problem"]) if one["problem"] else None),
            )
            for one in sorted(untold, key=lambda one: one["since"])[:50]
        ],
        caption="What was not told yet",
    )  # fmt: skip


def show_channels(channels: Sequence[Mapping[str, Any]], *, is_sent: bool) -> None:
    """`is_sent`: whether anybody sends; where nobody does, what worked is not known to work."""
    table(
        ("channel", "state", "last told", "last test", "what is wrong"),
        [
            (
                lines(one["name"], small(KINDS[one["kind"]].title)),
                lines(
                    badge(*_shown_level(one, is_sent=is_sent)),
                    small(f"{one['waiting']} waiting") if one["waiting"] else None,
                ),
                one["sent_at"] or "never",
                _test_cell(one),
                _wrong(one),
            )
            for one in channels
        ],
        caption="Channels and how they do",
    )


def _shown_level(channel: Mapping[str, Any], *, is_sent: bool) -> tuple[str, str]:
    word, level = channel_level(channel)
    return ("worked", "unknown") if level == "ok" and not is_sent else (word, level)


def _test_cell(channel: Mapping[str, Any]) -> Cell:
    if not channel["test"]:
        return "none"
    word, level = _TESTS[channel["test"]]
    said = channel["test_said"] if channel["test"] == "passed" else ""
    return lines(
        badge(word, level),
        small(when(channel["test_at"])),
        small(said) if said else None,
    )


def _wrong(channel: Mapping[str, Any]) -> str:
    if channel["slow_since"]:
        return (
            f"it has not answered since {format_when(channel['slow_since'], viewer_zone())}; the others go on"
        )
    if channel["problem"]:
        return str(channel["problem"])
    if channel["deaf"]:
        return f"nothing can be heard there: {channel['deaf']}"
    if channel["test"] == "failed":
        return f"the test: {channel['test_said']}"
    return "nothing" if channel_level(channel)[1] == "ok" else "not known"


def offer_tests(channels: Sequence[Mapping[str, Any]]) -> None:
    """A test for each channel: what it does is said before it is sent."""
    refused = None if viewer().may(Permission.ACKNOWLEDGE) else "Your role cannot send tests."
    columns = st.columns(min(len(channels), TESTS_IN_A_ROW))
    for number, one in enumerate(channels):
        with (
            columns[number % len(columns)],
            st.popover(plain(f"Send a test to {one['name']}…"), use_container_width=True),
        ):
            st.caption(
                plain(
                    f"The notifier tells {one['name']} of an incident that is none, then that it is over. "
                    "Whoever is on call there may be woken."
                )
            )
            sent = action_form(
                "test", label=f"Send the test to {one['name']}", object_id=one["name"],
                digest=str(one["test_at"]), disabled_because=refused,
            )  # fmt: skip
            if sent is not None and _ask(sent.object_id) is not None:
                st.rerun()


def _ask(channel: str) -> object:
    return perform(
        lambda session, actor: ask_test(session, actor, channel),
        done=f"The test of {channel} was asked for; what came of it is said beside the channel within seconds.",
    )


def show_routes(routes: Sequence[Mapping[str, Any]]) -> None:
    """Who is told of what, in the order of the file."""
    if not routes:
        empty_state("No route is written", "A channel that no route leads to is told of nothing.")
        return
    table(
        ("route", "incidents", "told at once", "while nobody acknowledges"),
        [
            (
                one["name"],
                _when_words(one["when"]),
                ", ".join(one["to"]),
                "; ".join(f"after {step['after_min']} min {', '.join(step['to'])}" for step in one["then"])
                or "nobody else",
            )
            for one in routes
        ],
        caption="Routes",
    )


def show_reminders(reminders: Sequence[Mapping[str, Any]]) -> None:
    """Who is told of changes that have waited for long."""
    if not reminders:
        st.caption(
            "No channel is told of changes that wait for a decision: they are marked where they are listed."
        )
        return
    table(
        ("changes that wait for a decision", "told, once"),
        [(_when_words(one["when"]), ", ".join(one["to"])) for one in reminders],
        caption="Reminders",
    )


def _when_words(when: Mapping[str, Any]) -> str:
    asked = ("severity", "tier", "model", "environment", "team")
    said = [f"{key}: {', '.join(when[key])}" for key in asked if when.get(key)]
    hours = when.get("hours")
    if hours:
        days = "" if len(hours["days"]) == 7 else f" {', '.join(hours['days'])}"
        said.append(f"from {hours['from']} to {hours['to']}{days} ({hours['zone']})")
    return "; ".join(said) or "all"


def show_on_call(rotas: Sequence[Mapping[str, Any]]) -> None:
    for one in rotas:
        who = ", ".join(one["people"]) or ("not known" if one["problem"] else "nobody")
        until = f" until {format_when(one['until'], viewer_zone())}" if one["until"] else ""
        problem = f" ({one['problem']})" if one["problem"] else ""
        st.text(f"{one['rota']}: {who}{until}{problem}")
    if not rotas:
        st.caption(
            "The contacts name no rota: `rotas` takes calendars as PagerDuty, Opsgenie and others export them."
        )


def show_told(told: Mapping[str, Any]) -> None:
    """Of one incident: each notice with what was answered, and who is on call."""
    if told["on_call"]:
        show_on_call(told["on_call"])
    if told["notices"]:
        show_notices(told["notices"])
    elif told["problem"]:
        empty_state("Nobody is told of incidents", told["problem"], ("Notifications", href("notifications")))
    elif told["sending"]["problem"]:
        sending = told["sending"]
        empty_state(
            "Nobody was told of it yet", f"{sending['problem']} {sending['to_do']}",
            ("Notifications", href("notifications")),
        )  # fmt: skip
    elif told["wanted"]:
        names = ", ".join(told["wanted"])
        empty_state(
            "Nobody was told of it yet", f"A worker tells {names} within seconds, unless all of its alerts are muted.",
            ("Notifications", href("notifications")),
        )  # fmt: skip
    else:
        empty_state(
            "Nobody was told of it",
            "No route of the contacts fits it.",
            ("Notifications", href("notifications")),
        )


def show_notices(notices: Sequence[Mapping[str, Any]]) -> None:
    if not notices:
        empty_state(
            "Nobody was told of anything yet", "The next incident that a route fits is told within seconds."
        )
        return
    rows: list[tuple[Cell, ...]] = [
        (
            anchor(_ref(one), _page_of(one)[0], id=_page_of(one)[1]),
            one["channel"],
            lines(badge(*_STATES[one["state"]]), small(_attempts(one)) if one["attempts"] > 1 else None),
            when(one["sent_at"] or one["created_at"], seconds=True),
            lines(one["why"], small(one["problem"] or one["receipt"])),
        )
        for one in notices
    ]
    table(("about", "channel", "state", "when", "why, and what was answered"), rows, caption="Notices")
    for one in notices:
        if one["state"] == "refused":
            _retry_button(one)


def _ref(notice: Mapping[str, Any]) -> str:
    return f"CHG-{notice['change_id']}" if notice["incident_id"] is None else f"INC-{notice['incident_id']}"


def _page_of(notice: Mapping[str, Any]) -> tuple[str, int]:
    """(page, number) of what it tells of."""
    about = notice["incident_id"]
    return ("change", notice["change_id"]) if about is None else ("incident", about)


def _attempts(notice: Mapping[str, Any]) -> str:
    return count_of(notice["attempts"], "attempt")


def _retry_button(notice: Mapping[str, Any]) -> None:
    if not viewer().may(Permission.ACKNOWLEDGE):
        return
    label = f"Tell {notice['channel']} of {_ref(notice)} again"
    if st.button(plain(label), key=f"notice:{notice['id']}", icon=":material/refresh:"):
        again = perform(
            lambda session, actor: retry_notice(session, actor, notice["id"]),
            done="It is tried again within seconds.",
        )
        if again is not None:
            st.rerun()
