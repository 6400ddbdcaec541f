"""What runs in the background: queued, running with progress, failed with the reason and a way to try again."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import banner, empty_state, headline, job_progress, viewer_zone
from app.components.tables import badge, small, table
from app.formats import format_age, format_when
from app.session import live, perform, viewer
from app.words import count_of
from backend import clock
from backend.identity.roles import Permission
from backend.jobs_service import retry
from backend.queue import JOBS


def title(run: dict[str, Any]) -> str:
    job = JOBS.get(run["name"])
    name = job.title if job else run["name"]
    return f"{name}: {run['subject']}" if run["subject"] else name


def retry_button(run: dict[str, Any]) -> None:
    """The button's identity holds the run's id; what it retries does not depend on the list's order."""
    job = JOBS.get(run["name"])
    if job is None or not job.retryable or not viewer().may(Permission.RETRY_JOBS):
        return
    if st.button("Run it again", key=f"retry:{run['id']}", icon=":material/refresh:"):
        again = perform(
            lambda session, actor: retry(session, actor, run["id"]), done=f"{title(run)} is queued again."
        )
        if again is not None:
            st.rerun()


@live(run_every=2)
def state_of_jobs() -> None:
    found = data.jobs(data.scope_of(viewer()))
    runs, workers = found["runs"], found["workers"]
    open_runs = [run for run in runs if run["state"] in ("queued", "running")]
    done_again = {run["id"].removesuffix("-again") for run in runs if run["id"].endswith("-again")}
    failed = [run for run in runs if run["state"] == "failed" and run["id"] not in done_again][:10]
    alive = [worker for worker in workers if worker["alive"]]
    said = f"{count_of(len(alive), 'worker')} alive, {len(open_runs)} queued or running, {len(failed)} failed of late"
    if not alive:
        headline(
            "No worker is alive: nothing is computed or carried out",
            "page",
            detail="Start one with `warrant worker`.",
        )
    else:
        headline(said, "attention" if failed else "ok", detail=writer_words(found["writer"], alive))
    say_writer_trouble(found["writer"])
    for run in sorted(open_runs, key=lambda run: run["state"] == "queued"):
        job_progress(
            title(run), run["state"], share=run["progress"], step=run["step"],
            since=run["started_at"] or run["requested_at"],
        )  # fmt: skip
    if not open_runs:
        empty_state(
            "Nothing is queued or running", "Jobs come by schedule, and from the buttons of a model's page."
        )
    if failed:
        st.subheader("Failed", anchor=False)
        for run in failed:
            job_progress(
                title(run),
                "failed",
                since=run["finished_at"],
                reason=run["error"] or "no reason was recorded",
            )
            retry_button(run)
    with st.expander("Finished", expanded=not open_runs and not failed):
        finished(runs)
    with st.expander("Workers"):
        table(
            ("worker", "state", "queues", "host", "last sign of life"),
            [
                [worker["worker_id"], badge("alive", "ok") if worker["alive"] else badge("gone", "unknown"),
                 worker["queues"], f"{worker['host']}, process {worker['pid']}", f"{format_age(worker['seen_at'])} ago"]
                for worker in workers
            ],
        )  # fmt: skip


def writer_words(writer: dict[str, Any] | None, alive: list[dict[str, Any]]) -> str:
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


def say_writer_trouble(writer: dict[str, Any] | None) -> None:
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


def finished(runs: list[dict[str, Any]]) -> None:
    done = [run for run in runs if run["finished_at"] and run["state"] != "failed"]
    if not done:
        empty_state("No run has finished yet", "Start one from a model's page.")
        return
    table(
        ("job", "state", "took", "finished", "asked by"),
        [
            [title(run), badge(run["state"], "ok" if run["state"] == "succeeded" else "unknown"),
             format_age(run["finished_at"] - (run["started_at"] or run["requested_at"])),
             format_when(run["finished_at"], viewer_zone(), seconds=True), small(run["requested_by_name"])]
            for run in done[:40]
        ],
    )  # fmt: skip


state_of_jobs()
