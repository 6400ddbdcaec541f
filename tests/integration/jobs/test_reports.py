"""Evidently's report of one window: written, recorded, checked when opened, and calling nobody."""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from backend import clock
from backend.audit.actions import Action
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.explain.reports import list_reports, open_report, request_report
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.monitoring.columns import parse_spec
from backend.observations.store import accept
from backend.observations.validation import prediction_batch
from backend.registry.artefacts import ArtefactAltered
from backend.settings import settings
from jobs.write_report import render
from tests.integration.jobs.conftest import Start, run_of, wait_for
from tests.integration.jobs.test_workers import entries
from tests.requirements import require

FEATURES = {"carrier": "categorical", "distance": "numeric", "temp": "numeric"}
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
VIEWER = Actor("system:test", "system", frozenset({Role.VIEWER}))
ON_CALL = Actor("system:test", "system", frozenset({Role.ON_CALL}))


def frame(count: int, shift: float) -> pd.DataFrame:
    draw = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "carrier": draw.choice(list("ABC"), count).astype(object),
            "distance": draw.normal(size=count) + shift,
            "temp": np.full(count, np.nan),
            "score": draw.uniform(size=count),
            "prediction": draw.choice(["0", "1"], count).astype(object),
        }
    )


@pytest.fixture(scope="module")
def page() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Evidently's imports use what its libraries deprecate
        return render(
            frame(400, 1.0), frame(900, 0.0), parse_spec({"task": "binary", "features": FEATURES}),
            heading="flights version 1 <b>",
        )  # fmt: skip


@pytest.mark.slow
def test_the_page_says_what_it_compares_and_names_no_outside_resource(page: str) -> None:
    assert "flights version 1 &lt;b&gt;" in page
    assert "400 rows of the window and 900 of the reference" in page
    assert "left out, empty on one side: temp" in page
    assert "Content-Security-Policy" in page.split("<style", 1)[0]
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?!data:|#)", page)


@pytest.mark.slow
@pytest.mark.browser
def test_a_browser_draws_the_page_and_asks_nobody_for_anything(page: str, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    program = require("chromium")
    (tmp_path / "report.html").write_text(page)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        asked: list[str] = []
        errors: list[str] = []
        tab = browser.new_page()
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        tab.goto((tmp_path / "report.html").as_uri())
        tab.get_by_text("Dataset Drift").first.wait_for(timeout=30_000)
        browser.close()
    assert [url[:60] for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert errors == []


@pytest.mark.slow
def test_nothing_to_compare_is_said(page: str) -> None:
    empty = frame(10, 0.0)[["temp"]]
    with pytest.raises(BadInput, match="nothing to compare"):
        render(empty, empty, parse_spec({"task": "binary", "features": FEATURES}), heading="")


@pytest.mark.slow
def test_the_job_writes_a_report_that_is_checked_when_it_is_opened(
    database: str, start_worker: Start, registered_version
) -> None:
    from jobs.commit_spool import commit_once

    registered_version(object(), frame(500, 0.0), FEATURES)
    rows = [
        {"prediction_id": f"p{number}", "ts": clock.to_iso(NOW + timedelta(seconds=number)), "version": 1,
         "score": float(row.score), "prediction": row.prediction,
         "features": {"carrier": row.carrier, "distance": float(row.distance)}}
        for number, row in enumerate(frame(200, 1.0).itertuples())
    ]  # fmt: skip
    batch = prediction_batch(FEATURES, rows, now=NOW + timedelta(hours=1))  # type: ignore[arg-type]
    accept(settings().observations, settings().spool, "flights", "predictions", batch, source="api", now=NOW)
    commit_once("test")
    with writing() as session:
        window = {"start": NOW, "end": NOW + timedelta(hours=1)}
        run_id = request_report(session, ON_CALL, model="flights", environment="production", **window).id
        empty = {"start": NOW - timedelta(days=9), "end": NOW - timedelta(days=8)}
        nothing = request_report(session, ON_CALL, model="flights", environment="production", **empty).id
        with pytest.raises(NotAllowed):
            request_report(session, VIEWER, model="flights", environment="production", **window)
        with pytest.raises(BadInput, match="ends before"):
            request_report(session, ON_CALL, model="flights", environment="production", start=NOW, end=NOW)
    start_worker("a")
    wait_for(lambda: run_of(run_id).state in ("succeeded", "failed"), within_s=120)
    assert run_of(run_id).error == ""
    wait_for(lambda: run_of(nothing).state == "failed", within_s=30)
    assert "flights has no prediction in production from 2026-02-23" in run_of(nothing).error
    with reading() as session:
        (report,) = list_reports(session, VIEWER, "flights")
        same, path = open_report(session, VIEWER, report.id)
        assert (same.id, same.bytes) == (f"rep_{run_id}", path.stat().st_size)
    assert [entry["sha256"] for entry in entries(Action.REPORT_WRITTEN)] == [report.sha256]
    path.write_text(path.read_text() + " ")
    with reading() as session, pytest.raises(ArtefactAltered):
        open_report(session, VIEWER, report.id)
    path.unlink()
    with reading() as session, pytest.raises(NotFound, match="ask for the report again"):
        open_report(session, VIEWER, report.id)
    with reading() as session, pytest.raises(NotFound):
        open_report(session, VIEWER, "rep_unknown")
