"""Jobs on pages: the button that queues one; what a run is called, what finished, the workers, and what their writer
last did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from app.components.links import when
from app.components.status import banner, empty_state
from app.components.tables import badge, small, table
from app.formats import format_age
from app.plain_text import plain
from app.session import perform, viewer
from app.words import count_of
from backend import clock
from backend.identity.roles import Permission
from backend.queue import JOBS


def offer_job(label: str, key: str, needs: Permission, action: Callable[..., Any]) -> None:
    """A button that queues a job; its identity (`key`) names what it is about."""
    allowed = viewer().may(needs)
    because = None if allowed else f"Your role lacks {needs.value}."
    if st.button(
        plain(label), key=key, disabled=not allowed, help=plain(because), width="stretch"
    ) and perform(action, done=f"{label}: queued."):
        st.rerun()


def title_of(run: Mapping[str, Any]) -> str:
    """A run in words: its job and what it is about."""
    job = JOBS.get(run["name"])
    name = job.title if job else run["name"]
    return f"{name}: {run['subject']}" if run["subject"] else name


def writer_words(writer: Mapping[str, Any] | None, alive: Sequence[Mapping[str, Any]]) -> str:
    """Who moves the spool into the observation store, and what the last pass did. The lease is held for the length of
    a pass only, so that nobody holds it says nothing."""
    last = (writer or {}).get("status") or {}
    ago = f"{format_age(clock.from_iso(last['at']))} ago" if last.get("at") else ""
    if not any("writer" in worker["queues"].split(",") for worker in alive):
        before = f"; the last pass was {ago}" if ago else ""
        return (
            "no live worker serves the queue “writer”: new predictions stay in the spool until one does "
            f"(`warrant worker`){before}"
        )
    if last.get("error"):
        return f"the writer could not move the spool {ago}; the rows are kept"
    if "rows" in last:
        return f"the writer moved {count_of(last['rows'], 'row')} {ago}"
    return "the writer is alive and has moved nothing yet"


def say_writer_trouble(writer: Mapping[str, Any] | None) -> None:
    """What kept the last pass from moving all it found, and what to do."""
    last = (writer or {}).get("status") or {}
    if last.get("error"):
        banner(
            f"The spool could not be moved into the observation store: {last['error']}. Nothing is lost: the rows stay "
            "in the spool and every pass tries again. See that there is disk space; the worker's log says more.",
            "page",
            word="writer failed",
        )
    if last.get("rows_rejected"):
        banner(
            f"The last pass set {count_of(last['rows_rejected'], 'row')} aside: other content has their id, or "
            "a feature changed its kind. No window counts them. They are kept in the folder “rejected” of the model in "
            "the observation store; correct what sends them, and send them again under new ids.",
            "attention",
            word="rows set aside",
        )


def show_finished(runs: Sequence[Mapping[str, Any]]) -> None:
    """The newest runs that ended without failing."""
    done = [run for run in runs if run["finished_at"] and run["state"] != "failed"]
    if not done:
        empty_state("No run has finished yet", "Start one from a model's page.")
        return
    table(
        ("job", "state", "took", "finished", "asked by"),
        [
            [title_of(run), badge(run["state"], "settled" if run["state"] == "succeeded" else "unknown"),
             format_age(run["finished_at"] - (run["started_at"] or run["requested_at"])),
             when(run["finished_at"], seconds=True), small(run["requested_by_name"])]
            for run in done[:40]
        ],
    )  # fmt: skip


def show_workers(workers: Sequence[Mapping[str, Any]]) -> None:
    """Who works, on which queues, and when it last said so."""
    table(
        ("worker", "state", "queues", "host", "last sign of life"),
        [
            [worker["worker_id"], badge("alive", "ok") if worker["alive"] else badge("gone", "unknown"),
             worker["queues"], f"{worker['host']}, process {worker['pid']}", f"{format_age(worker['seen_at'])} ago"]
            for worker in workers
        ],
    )  # fmt: skip
