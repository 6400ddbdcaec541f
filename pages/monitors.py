"""Monitors that people write: what each watches, and an editor that shows when one would have fired before it is
stored.
"""

from __future__ import annotations

import hashlib
import json

import streamlit as st

from app import data
from app.components import banner, headline
from app.components.monitor_actions import show_actions, show_false_alarms, show_versions, store_monitor
from app.components.monitor_form import by_label, monitor_inputs
from app.components.monitor_parts import (
    replay_sentence,
    say_quiet,
    show_monitors,
    show_replay,
    show_wrong_alarms,
)
from app.components.pickers import pick, pick_model
from app.data import monitors as read
from app.plain_text import plain
from app.session import show_error, viewer
from app.words import count_of, readable
from backend.errors import BadInput
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec

actor = viewer()
scope = data.scope_of(actor)
model = pick_model(data.models(scope))
if model is None:
    st.stop()
facts = data.model(scope, model)
spec = parse_spec(facts["spec"])
monitors = read.monitors(scope, model)
allowed = read.false_alarms(scope, model)
by_key = {row["key"]: row for row in monitors}
cannot_write = (
    "" if actor.may(Permission.WRITE_MONITORS) else "Your role may try monitors out, not store them."
)
by_change = read.only_by_change(scope, model)
if by_change and actor.may(Permission.WRITE_MONITORS) and not actor.may(Permission.REQUEST_CHANGE):
    cannot_write = by_change
budget_by_change = read.budget_only_by_change(scope, model)
needed = Permission.REQUEST_CHANGE if budget_by_change else Permission.REGISTER_VERSIONS
cannot_register = "" if actor.may(needed) else "Your role cannot change a model's spec."

if facts["notice"]:
    banner(facts["notice"], "injected", word="about these data")
firing = [row for row in monitors if row["alert"] and row["alert"]["state"] == "firing"]
if firing:
    loudest = min(firing, key=lambda row: ("page", "ticket", "info").index(row["alert"]["level"]))
    headline(
        f"{len(firing)} of {count_of(len(monitors), 'monitor')} fires: {readable(loudest['alert']['title'])}",
        "page" if loudest["alert"]["level"] == "page" else "attention",
    )
else:
    said, level = say_quiet(model, monitors)
    headline(said, level, detail=f"{model}; beside the limits that Warrant calibrates itself")
show_monitors(model, monitors)

words = {"new": "a new monitor"} | {key: f"“{row['name']}”" for key, row in by_key.items()}
chosen = pick("Write or change", list(words), key="monitor", words=words.__getitem__, width=420) or "new"
row = by_key.get(chosen)
key = f"monitor:{model}:{chosen}:{row['number'] if row else 0}"


def edit() -> None:
    """The inputs, the replay of what they say, and the way to store it."""
    try:
        definition = monitor_inputs(
            key, row["definition"] if row else None, sizes=spec.sizes, min_rows=spec.min_rows,
            figures=lambda size: read.figures(scope, model, size),
        )  # fmt: skip
        # A proposal is tried out before it has a name.
        named = definition | {"name": definition.get("name") or "not named yet"}
        monitor, found = read.replayed(scope, model, json.dumps(named, sort_keys=True))
    except BadInput as error:
        written = bool(st.session_state.get(f"{key}:yaml"))
        show_error(BadInput(f"in the definition, {error.message}" if written else by_label(error.message)))
        return
    st.header("When it would have fired", anchor=False)
    sentence, level = replay_sentence(monitor, found, allowed)
    banner(sentence, level, word="replay")
    st.caption(f"It says: {plain(readable(monitor.words()))}.")
    show_replay(monitor, found, key=f"{key}:replay")
    if by_change:
        st.caption(plain(by_change[:1].upper() + by_change[1:] + "."))
    store_monitor(
        model, data.environment(), row, definition, sentence=sentence, disabled_because=cannot_write or None,
        by_change=by_change is not None,
        digest=hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest(),
    )  # fmt: skip


edit()
if row is not None:
    show_actions(row, cannot_write or None, by_change=by_change is not None)
    show_versions(row, read.monitor_versions(scope, chosen), cannot_write or by_change)
show_false_alarms(
    model, allowed, lambda **wanted: read.budget_change(scope, model, **wanted), cannot_register or None,
    environment=data.environment(), by_change=budget_by_change,
)  # fmt: skip
show_wrong_alarms(data.wrong_alarms(scope, model), allowed.per_month)
