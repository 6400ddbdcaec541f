"""The parts of a change's page: gates, who flips, what is new, the plan, and who is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st
from markupsafe import Markup

from app.components.change_effects import blast_radius, risk_words
from app.components.code_block import difference_block
from app.components.facts import key_values
from app.components.links import href, viewer_zone, when
from app.components.plan_words import plan_words
from app.components.status import empty_state
from app.components.tables import Cell, badge, lines, link, long_text, small, table
from app.formats import (
    format_age,
    format_count,
    format_metric,
    format_share,
    format_utc,
    format_when,
    written,
)
from app.plain_text import plain
from app.session import page_link
from app.words import count_of, rollout_of
from backend import clock
from backend.governance.evaluations import EVALUATIONS, tries_of

GATE_LEVELS = {"pass": "ok", "fail": "page", "inconclusive": "inconclusive"}
PLAIN = ("share", "none", "nats")  # units that a number of this size does not need to be followed by
FLIPS = {
    "stays_negative": "stays negative", "stays_positive": "stays positive", "becomes_positive": "becomes positive",
    "becomes_negative": "becomes negative", "stays": "stays the same", "changes": "changes class",
    "rises": "rises by more than 10 %", "falls": "falls by more than 10 %",
}  # fmt: skip
VERDICT_LEVELS = {"approve": "settled", "reject": "page", "ask": "attention"}
VERDICT_WORDS = {"approve": "approved", "reject": "rejected", "ask": "asked for changes"}


def show_gates(change: Mapping[str, Any]) -> None:
    """Every gate: what it asks, what it found, on how many rows, how old."""
    wanted = change["policy"]["gates"]
    if not wanted:
        st.caption(f"The rule “{plain(change['policy']['name'])}” names no gate.")
        return
    if not change["gates"]:
        names = ", ".join(gate["gate"].replace("_", " ") for gate in wanted)
        empty_state(
            "The gates are being evaluated", f"They are {names}. This page shows them as soon as they are in."
        )
        return
    rows: list[list[Cell]] = [
        [
            lines(result["title"], small("required" if result["required"] else "for information")),
            lines(
                badge(result["verdict"], GATE_LEVELS.get(result["verdict"], "unknown")),
                _exception_of(result, change),
            ),
            long_text(written(result["text"])),
            lines(_gate_value(result), _rule_of(result)),
            format_count(result["rows"]) if result["rows"] is not None else "–",
            _gate_age(result, change.get("shown_at")),
        ]
        for result in change["gates"]
    ]
    table(("gate", "says", "because", "value", "rows", "data of"), rows, caption="gates")
    _show_tries(change)


def _show_tries(change: Mapping[str, Any]) -> None:
    """How often the gates were evaluated, and what each said where that was not always the same."""
    tried = change["evidence"].get(EVALUATIONS, ())
    if len(tried) < 2:
        return
    earlier = sorted({one["change"] for one in tried} - {change["id"]})
    told = f"Evaluated {len(tried)} times"
    if earlier:
        told += f", also for {', '.join(f'CHG-{number}' for number in earlier)}, which asked for the same"
    said = [
        f"{result['gate'].replace('_', ' ')} said {', '.join(tries)}"
        for result in change["gates"]
        if len(set(tries := tries_of(change["evidence"], result["gate"]))) > 1
    ]
    st.caption(plain(f"{told}: {'; '.join(said) or 'each gate said the same each time'}."))


def _exception_of(result: Mapping[str, Any], change: Mapping[str, Any]) -> Cell:
    """The exception that is signed with this result; or that it no longer lets the change past the gate."""
    named = result.get("exception")
    if named is None:
        return None
    counts = result["gate"] in change.get("gates_excepted", ())
    return small(f"excepted by {named['ref']}" if counts else f"{named['ref']} is over by now")


def _rule_of(result: Mapping[str, Any]) -> Cell:
    words = _rule_words(result["rule"] or "")
    return small(f"rule: {words}") if words else None


def _gate_value(result: Mapping[str, Any]) -> str:
    if result["value"] is None:
        return "–"
    if result["unit"].startswith("share of "):
        return _gate_share(result, result["unit"].removeprefix("share of "))
    unit = "" if result["unit"] in PLAIN else result["unit"]
    shown = format_metric(result["value"], unit)
    if result["low"] is not None and result["high"] is not None:
        shown += f" [{format_metric(result['low'])}, {format_metric(result['high'])}]"
    if result["limit"] is not None:
        shown += f", limit {format_metric(result['limit'], unit)}"
    return shown


def _gate_share(result: Mapping[str, Any], of: str) -> str:
    """`50.0 % of features, limit 30.0 %`."""
    limit = f", limit {format_share(result['limit'])}" if result["limit"] is not None else ""
    return f"{format_share(result['value'])} of {of}{limit}"


def _gate_age(result: Mapping[str, Any], then: datetime | None) -> Cell:
    """How old the newest data are that it looked at, or were `then`; when that was, on hovering."""
    moment = clock.from_iso(result["data_until"] or result["at"])
    told = Markup('<span class="w-nowrap" title="{}">{} ago</span>')
    return told.format(format_utc(moment), format_age(moment, then))


def _rule_words(rule: str) -> str:
    """The parameters of a gate, without those that are left open."""
    parts = [part for part in rule.split(", ") if not part.endswith((" None", " ()", " "))]
    return written(", ".join(parts))


def show_flips(change: Mapping[str, Any]) -> None:
    """Who is decided otherwise: counts that sum to the rows, outcomes, segments, examples; or why nobody counted."""
    evidence = change["evidence"]
    flips = evidence.get("flips")
    if flips:
        _show_counted(flips)
        return
    rule = change["policy"]
    if rule["gates"]:
        counting = change["state"] in ("draft", "checking")
        st.caption(
            "Who flips is counted when the gates are evaluated."
            if counting
            else "Who flips was not counted: the change ended before its gates were evaluated."
        )
        return
    st.caption(
        f"Nobody counted who flips for this change: the rule “{plain(rule['name'])}” names no gate, and both versions "
        "score the same rows only when gates are evaluated. So a decision need not wait for it."
    )
    earlier = evidence.get("compared_before")
    if earlier:
        _show_earlier(change, earlier)
    elif evidence.get("before") is not None:
        st.caption("No earlier change compared the same two at these cut-offs either.")


def _show_earlier(change: Mapping[str, Any], earlier: Mapping[str, Any]) -> None:
    """The same two, as an earlier change counted them."""
    moved = f"v{earlier['from_version']} to v{earlier['to_version']}"
    way = f"the other way round, from {moved}" if earlier["reverse"] else f"from {moved}"
    when = format_when(clock.from_iso(earlier["at"]), viewer_zone())
    with st.container(border=True, key="flips-before"):
        page_link("change", f"CHG-{earlier['change_id']} compared the same two", id=earlier["change_id"])
        st.caption(f"On {plain(when)}, {plain(way)}: the rows of that day.")
        _show_counted(earlier["flips"])


def _show_counted(flips: Mapping[str, Any]) -> None:
    if not flips["known"]:
        st.caption(f"Who flips is not known: {plain(flips['why'])}.")
        return
    counts = flips["counts"]
    moved = sum(number for name, number in counts.items() if not name.startswith("stays"))
    share = moved / flips["rows"] if flips["rows"] else None
    st.markdown(
        f"**{format_count(moved)} of {format_count(flips['rows'])} rows flip** ({format_share(share)})"
    )
    table(
        ("decision", "rows", "share", "outcome rate where labels are known"),
        [
            [FLIPS.get(name, name), format_count(number),
             format_share(number / flips["rows"] if flips["rows"] else None),
             _outcome(flips["outcomes"][name], flips["task"])]
            for name, number in counts.items()
        ],
        caption="who flips",
    )  # fmt: skip
    cut = (
        f"; cut-offs {flips['before']['cutoff']:g} and {flips['after']['cutoff']:g}"
        if flips["task"] == "binary"
        else ""
    )
    st.caption(
        f"The same rows, decided by both: {plain(written(flips['where']))}{plain(cut)}. "
        f"{plain(_reasons(flips['reasons']))}"
    )
    _show_segments(flips)
    _show_examples(flips)


def _outcome(found: Mapping[str, Any], task: str) -> str:
    if found["rate"] is None:
        return "no labels"
    if task == "regression":
        return f"{format_metric(found['rate'])} on average ({format_count(found['labelled'])} labels)"
    around = (
        f" [{format_share(found['low'])}, {format_share(found['high'])}]" if found["low"] is not None else ""
    )
    return f"{format_share(found['rate'])}{around} ({format_count(found['labelled'])} labels)"


def _reasons(reasons: Mapping[str, Any]) -> str:
    if reasons["share"] is None:
        return f"Whether the first reason of adverse cases changes is not known: {reasons['why']}."
    return f"The first reason changes for {format_share(reasons['share'])} of the adverse cases."


def _show_segments(flips: Mapping[str, Any]) -> None:
    if not flips["segments"]:
        return
    with st.expander(f"By segment ({count_of(len(flips['segments']), 'part')})"):
        rows: list[list[Cell]] = []
        for part in flips["segments"]:
            moved = sum(n for name, n in part["counts"].items() if not name.startswith("stays"))
            share = moved / part["rows"] if part["rows"] else None
            name = f"{part['column']} = {part['value']}"
            rows.append(
                [lines(name, small("protected") if part["protected"] else None), format_count(part["rows"]),
                 format_share(share), *(format_count(n) for n in part["counts"].values())]
            )  # fmt: skip
        heads = ("segment", "rows", "flip", *(FLIPS.get(name, name) for name in flips["counts"]))
        table(heads, rows, caption="who flips, by segment")


def _show_examples(flips: Mapping[str, Any]) -> None:
    if not flips["examples"]:
        return
    with st.expander(f"{count_of(len(flips['examples']), 'example')} of rows that flip"):
        keys = list(flips["examples"][0])
        table(
            tuple(key.replace("_", " ") for key in keys),
            [[_plain(example[key]) for key in keys] for example in flips["examples"]],
            caption="examples",
        )


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return format_metric(value)
    return "–" if value is None else str(value)


def show_news(news: Mapping[str, Any] | None) -> None:
    """What differs from what this person decided on, or else saw last."""
    if not news:
        return
    moment = f"{format_age(news['since'])} ago, {format_when(news['since'], viewer_zone())}"
    if news["decided"]:
        st.header("Changed since you decided", anchor=False)
        st.caption(plain(f"You decided {moment}."))
    else:
        st.header("Changed since you last looked", anchor=False)
        st.caption(plain(f"You looked {moment}."))
    rows: list[list[Cell]] = []
    if news["state"]:
        rows.append(["state", news["state"][0], news["state"][1]])
    rows += [[part["part"], _plain(part["before"]), _plain(part["after"])] for part in news["parts"]]
    if rows:
        table(("part", "then", "now"), rows, caption="what is new")


def show_plan(change: Mapping[str, Any]) -> None:
    """What is at risk a day, how it comes into service, and the way back; nothing of a change that moves no version."""
    rollout, way = rollout_of(change), change.get("way_back")
    facts: dict[str, Any] = {}
    risk = risk_words(change)
    if risk is not None:
        facts["at risk"] = risk
    reach = blast_radius(change["evidence"])
    if reach is not None:
        facts["blast radius"] = reach
    if change["kind"] in ("promote", "rollback", "cutoff"):
        facts["rollout"] = plan_words(rollout if change["kind"] == "promote" else {"strategy": "all_at_once"})
    if way and change["kind"] == "promote":
        until = f", until {format_when(way['expires_at'], viewer_zone())}" if way.get("expires_at") else ""
        used = f", taken with CHG-{way['used_by']}" if way.get("used_by") else ""
        facts["way back"] = (
            f"to v{way['to_version']}, agreed with this change for {way['days']:g} days{until}{used}; "
            "one person takes it"
        )
    elif change["kind"] == "promote":
        facts["way back"] = "none is agreed: going back needs a decision"
    if facts:
        st.header("At risk, plan and way back", anchor=False)
        key_values(facts)


def show_people(change: Mapping[str, Any]) -> None:
    """Who asked, who trained, who decided, who still can."""
    can = [f"{one['name']} ({one['role'].replace('_', ' ')})" for one in change["can_still_decide"]]
    facts: dict[str, Any] = {
        "why it is asked": change["reason"],
        "asked by": Markup("{}, {}").format(
            change["requested_by"], when(change["requested_at"], seconds=True)
        ),
    }
    if change["trained_by"]:
        facts["trained by"] = change["trained_by"]
    elif change["to_version"] is not None:
        facts["trained by"] = "nobody by the record: whoever did is not excluded by that"
    if change["data_owner"]:
        facts["owns the data"] = change["data_owner"]
    elif change["to_version"] is not None and "data_owner" in change["policy"].get("excluded", ()):
        facts["owns the data"] = "nobody by the record: the rule excludes the owner, and so nobody by that"
    if change["state"] == "waiting":
        facts["can still decide"] = ", ".join(can) or "nobody: ask an administrator for the role"
    key_values(facts)
    decided: list[list[Cell]] = [
        [
            lines(one["person"], small(f"for {one['on_behalf_of']}") if one["on_behalf_of"] else None),
            lines(
                badge(
                    VERDICT_WORDS[one["verdict"]],
                    VERDICT_LEVELS[one["verdict"]] if one["counts"] else "unknown",
                ),
                None if one["counts"] else small(_why_it_does_not_count(one)),
            ),
            one["role"].replace("_", " "),
            lines(
                long_text(one["comment"]) if one["comment"] else None,
                small(f"accepted: {', '.join(one['accepted'])}") if one["accepted"] else None,
            ),
            lines(
                when(one["decided_at"], seconds=True),
                _signed_in(one["signed_in_at"]),
                link("what was shown", href("change", id=change["id"], shown=one["seen_digest"])),
            ),
        ]
        for one in change["decisions"]
    ]
    if decided:
        table(("who", "decided", "as", "comment", "when"), decided, caption="decisions")


def _signed_in(at: datetime | None) -> Markup | None:
    if at is None:
        return None
    return Markup('<span class="w-detail">signed in freshly at {}</span>').format(when(at, seconds=True))


def _why_it_does_not_count(decision: Mapping[str, Any]) -> str:
    if decision["retracted_at"]:
        return f"taken back {format_utc(decision['retracted_at'])}: {decision['retracted_because']}"
    return "on an earlier revision; does not count"


def show_texts(evidence: Mapping[str, Any]) -> None:
    """Both texts of a change of the record, as a difference."""
    import difflib

    before, after = (evidence["texts"][side].splitlines() for side in ("before", "after"))
    diff: Sequence[str] = list(difflib.unified_diff(before, after, "in force", "asked for", lineterm="", n=4))
    difference_block(diff)


def format_stand(end: datetime | None) -> str:
    """A sentence on how long what the broken glass did stands or stood; nothing where it has no end."""
    if end is None:
        return ""
    when = format_when(end, viewer_zone())
    return f" What it did stands until {when}." if end > clock.now() else f" Its time was over at {when}."


def show_review(change: Mapping[str, Any]) -> None:
    """That the glass was broken, and what somebody else said of it."""
    review = change["review"]
    if review is None:
        return
    end = review["stands_until"]
    if review["verdict"]:
        word = review["verdict"].replace("_", " ")
        said = f"The glass was broken. {review['reviewed_by']} reviewed it: {word}. {review['comment']}"
        if review["verdict"] == "not_justified" and end is not None:
            st.error(
                f"{plain(said)} Nobody approved it: return to what served before, or ask for an ordinary change."
                f"{format_stand(end)}",
                icon=":material/gavel:",
            )
            return
        st.info(plain(said), icon=":material/fact_check:")
    else:
        st.warning(
            "The glass was broken: nobody approved this change. Somebody else has to review it by "
            f"{format_when(review['due_at'], viewer_zone())}; until then the team gets no release approved."
            f"{format_stand(end)}",
            icon=":material/warning:",
        )
