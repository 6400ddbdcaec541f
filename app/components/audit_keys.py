"""The keys of the log, in a table: which, since when, until when."""

from __future__ import annotations

import streamlit as st

from app.components.tables import Cell, anchor, badge, lines, small, table
from app.formats import format_utc
from app.plain_text import plain
from app.words import count_of
from backend.audit.key_periods import KeyPeriod, KeysInUse


def show_keys(keys: KeysInUse) -> None:
    """Signing keys, oldest first; below, the key that marks appends and those that seal people."""
    if keys.signing:
        table(("key", "since", "until"), [_row(one) for one in keys.signing], caption="keys that sign heads")
    st.caption(plain(" · ".join(_others(keys))))


def _row(one: KeyPeriod) -> list[Cell]:
    changed = anchor(f"entry {one.entry:,}", "audit_entry", seq=one.entry) if one.entry is not None else ""
    return [
        lines(one.key.key_id.hex(), small(one.key.name)),
        lines(format_utc(one.since) if one.since else "no head is signed yet", changed),
        format_utc(one.until) if one.until else badge("signs now", "settled"),
    ]


def _others(keys: KeysInUse) -> list[str]:
    said = [f"Appends are marked with key {keys.marks}"] if keys.marks else []
    if keys.first_made is not None:
        people = count_of(keys.held, "key of an account seals", "keys of accounts seal")
        said.append(f"{people} names and addresses in entries, the first since {format_utc(keys.first_made)}")
    if keys.last_destroyed is not None:
        gone = count_of(keys.destroyed, "was destroyed by an erasure", "were destroyed by erasures")
        said.append(f"{gone}, the last on {format_utc(keys.last_destroyed)}")
    return said
