"""How far the audit log is signed and kept elsewhere, in plain words, with the proofs folded below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from app.components.audit_keys import show_keys
from app.components.code_block import copied_text
from app.components.status import headline
from app.components.tables import Cell, anchor, badge, lines, link, small, table
from app.formats import format_age, format_count, format_utc
from backend import clock
from backend.audit.key_periods import KeysInUse
from backend.audit.receipts import ReceiptLine
from backend.audit.state import Kept, LogState

NOT_SIGNED = "heads are signed every five minutes while a worker runs"


def place_words(kept: Kept) -> str:
    """`witnessed by host-b.example/witness`, `kept in git at /srv/tags`."""
    if kept.kind == "witness":
        name, key_id, *_ = [*kept.place.split("+"), ""]
        return f"witnessed by {name} (key {key_id})"
    return f"kept in {kept.kind} at {kept.place}"


def record_words(state: LogState, published: Mapping[str, Any]) -> tuple[str, str]:
    """The sentence on top of the audit page, and its level."""
    if published["problem"]:
        return "The published head of the log cannot be read", "page"
    if (published["published_size"] or 0) > state.size:
        return (
            f"The log was cut: {published['published_size']:,} entries were published, {state.size:,} are there",
            "page",
        )
    if state.checked is not None and not state.checked.ok:
        return "The record is not as it was written", "page"
    gravest = next((one for one in state.findings if one.level == "page"), None)
    if gravest is not None:
        return "The record needs a person: " + gravest.title.split(":")[0], "page"
    if state.signed_at is None:
        return f"{format_count(state.size)} entries, none of them in a signed head yet", "unknown"
    kept, intact = state.newest_kept, "intact" if state.checked is not None else "signed"
    if kept is None:
        return f"Record {intact} to {format_utc(state.signed_at)}, witnessed by nobody", "attention"
    sentence = f"Record {intact} to {format_utc(kept.signed_at)}, {place_words(kept)}"
    return sentence, "attention" if state.is_kept_late or state.is_late else "ok"


def record_details(state: LogState, published: Mapping[str, Any], now: datetime) -> str:
    facts = [f"{format_count(state.size)} entries"]
    if published["problem"]:
        facts.insert(0, published["problem"])
    if state.checked is not None:
        what = "found intact" if state.checked.ok else state.checked.problem
        facts.append(f"recomputed {format_age(state.checked.at, now)} ago: {what}")
    else:
        facts.append("not recomputed yet; `warrant audit verify` recomputes every hash")
    if state.signed_at is None:
        facts.append(NOT_SIGNED)
    elif state.newest_kept is None and state.kept:
        facts.append("what is said to keep it is no place that the settings name")
    elif state.newest_kept is None:
        facts.append("no witness and no repository is set up: docs/audit.md says how")
    elif state.unanchored:
        facts.append(f"{_entries(state.unanchored)} not kept elsewhere yet")
    if state.is_late and state.signed_at is not None:
        facts.append(f"the last head was signed {format_age(state.signed_at, now)} ago: does a worker run?")
    return " · ".join(facts)


def show_record(
    state: LogState, published: Mapping[str, Any], keys: Sequence[str], used: KeysInUse | None
) -> None:
    now = clock.now()
    sentence, level = record_words(state, published)
    headline(sentence, level, detail=record_details(state, published, now))
    with st.expander("Signed heads, who keeps them, and what a verifier needs"):
        rows: list[list[Cell]] = [
            [
                lines(
                    place_words(one),
                    badge("the settings name no such place: it shows nothing", "attention")
                    if not one.known
                    else "",
                ),
                format_utc(one.signed_at),
                format_count(one.size),
                badge("nothing is missing", "ok") if one.size == state.size
                else badge(f"{_entries(state.size - one.size)} behind", "attention"),
            ]
            for one in state.kept
        ]  # fmt: skip
        if rows:
            table(("kept by", "newest head, signed at", "entries", "behind the log"), rows, caption="anchors")
        else:
            st.caption(
                "No anchor holds a signed head: nobody but this site could show that the log was rewritten."
            )
        if state.findings:
            table(
                ("open finding", "since"),
                [[lines(_badge(one.level), one.title), format_utc(one.opened_at)]
                 for one in state.findings],
                caption="open findings",
            )  # fmt: skip
        if used is not None:
            show_keys(used)
        st.caption(
            "Verifier keys of this log, oldest first. Give them to those who verify receipts, by another way."
        )
        copied_text("\n".join(keys) or "nothing was signed yet")
        st.caption(f"Root over all {format_count(state.size)} entries")
        copied_text(state.root or "no entries")


def show_receipts(found: Sequence[ReceiptLine], names: Mapping[str, str]) -> None:
    """Decisions and executions of a change, each with the file that proves it."""
    rows: list[list[Cell]] = [
        [
            anchor(f"{line.seq:,}", "audit_entry", seq=line.seq),
            " ".join(reversed(line.action.split(":")[1:])).replace("_", " "),
            names.get(line.actor, line.actor),
            f"{line.at[:19].replace('T', ' ')} UTC",
            link("receipt", receipt_address(line.seq)) if line.signed else small("within five minutes"),
        ]
        for line in found
    ]
    table(("entry", "what", "who", "when", "receipt"), rows, caption="receipts")
    st.caption(
        "A receipt verifies without Warrant and offline: `python tools/verify_receipt.py RECEIPT KEY`."
    )


def receipt_address(seq: int) -> str:
    return f"/receipt/{seq}"


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{format_count(count)} entries"


def _badge(level: str) -> Cell:
    shown = {"page": "page", "ticket": "attention"}.get(level)
    return badge(None, shown) if shown else badge("for information", "unknown")
