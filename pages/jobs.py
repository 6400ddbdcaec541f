"""What runs in the background: queued, running with progress, failed with the reason and a way to try again."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import empty_state, headline, job_progress
from app.components.backup_parts import show_backups
from app.components.job_parts import say_writer_trouble, show_finished, show_workers, title_of, writer_words
from app.components.own_parts import show_objectives
from app.session import live, perform, viewer
from app.words import count_of
from backend.identity.roles import Permission
from backend.jobs_service import retry
from backend.queue import JOBS


def retry_button(run: dict[str, Any]) -> None:
    """The button's identity holds the run's id; what it retries does not depend on the list's order."""
    job = JOBS.get(run["name"])
    if job is None or not job.retryable or not viewer().may(Permission.RETRY_JOBS):
        return
    if st.button("Run it again", key=f"retry:{run['id']}", icon=":material/refresh:"):
        again = perform(
            lambda session, actor: retry(session, actor, run["id"]), done=f"{title_of(run)} is queued again."
        )
        if again is not None:
            st.rerun()


def open_and_failed(runs: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What is queued or runs, and what failed of late and was not done again."""
    done_again = {run["id"].removesuffix("-again") for run in runs if run["id"].endswith("-again")}
    failed = [run for run in runs if run["state"] == "failed" and run["id"] not in done_again][:10]
    return [run for run in runs if run["state"] in ("queued", "running")], failed


@live(run_every=2)
def state_of_jobs(*, quiet: bool) -> None:
    """`quiet`: whether nothing was open or had failed when the page was opened. What is unfolded follows that alone, so
    that a job that ends opens and shuts nothing under somebody's eyes."""
    found = data.jobs(data.scope_of(viewer()))
    runs, workers = found["runs"], found["workers"]
    open_runs, failed = open_and_failed(runs)
    alive = [worker for worker in workers if worker["alive"]]
    said = f"{count_of(len(alive), 'worker')} alive, {len(open_runs)} queued or running, {len(failed)} failed of late"
    with st.container():  # however much is in it, what can be unfolded below keeps its place
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
                title_of(run), run["state"], share=run["progress"], step=run["step"],
                since=run["started_at"] or run["requested_at"],
            )  # fmt: skip
        if not open_runs:
            empty_state(
                "Nothing is queued or running",
                "Jobs come by schedule, and from the buttons of a model's page.",
            )
        if failed:
            st.header("Failed", anchor=False)
            for run in failed:
                job_progress(
                    title_of(run),
                    "failed",
                    since=run["finished_at"],
                    reason=run["error"] or "no reason was recorded",
                )
                retry_button(run)
    with st.expander("Finished", expanded=quiet):
        show_finished(runs)
    with st.expander("Workers"):
        show_workers(workers)


state_of_jobs(quiet=not any(open_and_failed(data.jobs(data.scope_of(viewer()))["runs"])))
st.header("Warrant itself", anchor=False)
show_objectives(data.own_objectives(data.scope_of(viewer())))
st.header("Backups and restore drills", anchor=False)
show_backups(data.backups(data.scope_of(viewer())))
