"""An agreed return is tried on what is asked now before anything moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from backend import clock
from backend.database.engine import use_database
from backend.governance.errors import ReturnCannotScore
from backend.observations.schema import shadow_table
from backend.observations.spool_log import SpoolLog
from backend.observations.store import accept, gateway_row
from backend.observations.validation import label_batch, prediction_row
from backend.observations.writer import commit_spool
from backend.settings import settings
from jobs.return_check import check_return
from jobs.watching import compare_arms
from tests.worlds import World, make_world

FEATURES = {"distance": "numeric", "carrier": "categorical"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Version 1 is a model, version 2 is none; no test writes to the database."""
    from backend.database.upgrade import upgrade

    folder = tmp_path_factory.mktemp("return")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WARRANT_HOME", str(folder / "home"))
        settings.cache_clear()
        use_database(None)
        upgrade()
        yield make_world(folder / "files", trained=(1,))
    use_database(None)
    settings.cache_clear()


@pytest.fixture(autouse=True)
def empty_store(trained: World) -> None:
    shutil.rmtree(settings().observations, ignore_errors=True)


def store(rows: list[dict[str, Any]], *, table: str = "toy") -> None:
    now = clock.now()
    with SpoolLog(settings().spool) as spool:
        for number, given in enumerate(rows):
            row = {"prediction_id": f"r{number}", "ts": now - timedelta(seconds=number), "version": 2,
                   "environment": "production", "role": "champion", "score": 0.4, "prediction": "0",
                   "features": {"distance": 700.0, "carrier": "UA"}} | given  # fmt: skip
            checked = prediction_row(FEATURES, row, now=now, task="binary")  # type: ignore[arg-type]
            spool.append("predictions", table, gateway_row(checked, now=now))
    commit_spool(settings().observations, settings().spool)


def test_the_version_scores_the_live_rows(trained: World) -> None:
    store([{}, {"features": {"distance": 12.0}}, {"features": {"carrier": "never seen"}}])
    assert check_return("toy", "production", 1) == 3


def test_a_thousand_rows_are_enough_and_only_live_ones_count(trained: World) -> None:
    store([{}] * 1010)
    assert check_return("toy", "production", 1) == 1000


def test_without_live_rows_it_is_refused(trained: World) -> None:
    store([{"role": "backfill"}, {"environment": "staging", "prediction_id": "s"}])
    store([{"role": "shadow"}], table=shadow_table("toy"))
    with pytest.raises(ReturnCannotScore, match="no prediction of toy in production is stored"):
        check_return("toy", "production", 1)


def test_a_version_that_cannot_be_loaded_is_refused(trained: World) -> None:
    store([{}])
    with pytest.raises(ReturnCannotScore, match=r"version 2 cannot be loaded.*MLmodel"):
        check_return("toy", "production", 2)


def test_a_version_that_asks_for_what_is_no_longer_sent_is_refused(trained: World) -> None:
    """The column of text became numbers: the model fails on every row."""
    from backend.database.session import writing
    from backend.registry.tables import Model

    store([{}])
    with writing() as session:
        model = session.get_one(Model, "toy")
        spec = dict(model.spec)
        model.spec = {**spec, "features": {"distance": "numeric"}}
    try:
        with pytest.raises(ReturnCannotScore, match="the artefact needs carrier"):
            check_return("toy", "production", 1)
    finally:
        with writing() as session:
            session.get_one(Model, "toy").spec = spec


def test_an_ab_metric_is_taken_from_labelled_rows_of_both_versions(trained: World) -> None:
    """The canary is right on 36 of 40 rows and the champion on 28 of 40; others do not count."""
    now = clock.now()
    rows = [
        {"version": 3, "role": "canary", "prediction": "1", "score": 0.9,
         "features": {"distance": 1.0, "carrier": "AA" if number < 30 else "UA"}}
        for number in range(40)
    ]  # fmt: skip
    of_aa = {"distance": 1.0, "carrier": "AA"}
    rows += [{"prediction": "1", "score": 0.9, "features": of_aa} for _ in range(40)]
    rows += [{"prediction_id": f"unlabelled{number}"} for number in range(10)]
    rows += [{"prediction_id": "old", "ts": now - timedelta(days=2)}]
    rows += [{"prediction_id": "elsewhere", "environment": "staging"}]
    store(rows)
    right = [number < 36 if number < 40 else number < 68 for number in range(80)]
    labels = [(f"r{number}", "1" if good else "0") for number, good in enumerate(right)]
    labels += [("old", "1"), ("elsewhere", "1")]
    table = label_batch(
        [
            {"prediction_id": name, "label": value, "status": "known", "label_ts": clock.to_iso(now)}
            for name, value in labels
        ],
        now=now,
    )
    accept(settings().observations, settings().spool, "toy", "labels", table, source="api", now=now)
    commit_spool(settings().observations, settings().spool)
    since = now - timedelta(days=1)
    found = compare_arms("toy", "production", "accuracy", 3, 2, since=since)
    assert found is not None
    assert (found.challenger.rows, found.challenger.mean) == (40, 0.9)
    assert (found.champion.rows, found.champion.mean) == (40, 0.7)
    brier = compare_arms("toy", "production", "brier", 3, 2, since=since)
    assert brier is not None and brier.better > 0
    assert brier.challenger.mean == pytest.approx(0.9 * 0.01 + 0.1 * 0.81)
    assert compare_arms("toy", "production", "accuracy", 4, 2, since=since) is None
    kept = compare_arms(
        "toy", "production", "accuracy", 3, 2, since=since, segments={"carrier": ["AA", "it's"]}
    )
    assert kept is not None and (kept.challenger.rows, kept.champion.rows) == (30, 40)


@pytest.mark.parametrize(
    ("words", "positive"),
    [
        (("late", "on time"), "late"),
        (("True", "False"), None),
        (("it's", "fine"), "it's"),
        (("late", "fine"), None),
    ],
)
def test_an_ab_metric_knows_the_positive_class_by_the_words_of_its_labels(
    trained: World, words: tuple[str, str], positive: str | None
) -> None:
    """Labels are often words: by `label = '1'` every row was negative, and whoever scored lower won."""
    from backend.database.session import writing
    from backend.registry.tables import Model

    now = clock.now()
    says_no: dict[str, Any] = {"version": 3, "role": "canary", "prediction": "0", "score": 0.1}
    says_yes: dict[str, Any] = {"version": 2, "role": "champion", "prediction": "1", "score": 0.8}
    store([says_no] * 40 + [says_yes] * 40)
    table = label_batch(
        [
            {"prediction_id": f"r{number}", "label": words[number % 4 == 0], "status": "known",
             "label_ts": clock.to_iso(now)}
            for number in range(80)
        ],
        now=now,
    )  # fmt: skip
    accept(settings().observations, settings().spool, "toy", "labels", table, source="api", now=now)
    commit_spool(settings().observations, settings().spool)
    with writing() as session:
        model = session.get_one(Model, "toy")
        spec = dict(model.spec)
        model.spec = {**spec, "positive_label": positive} if positive is not None else spec
    try:
        since = now - timedelta(days=1)
        found, brier = (
            compare_arms("toy", "production", metric, 3, 2, since=since) for metric in ("accuracy", "brier")
        )
    finally:
        with writing() as session:
            session.get_one(Model, "toy").spec = spec
    if words == ("late", "fine"):  # nobody said which is positive
        assert (found, brier) == (None, None)
        return
    assert found is not None and (found.challenger.mean, found.champion.mean) == (0.25, 0.75)
    assert brier is not None and brier.better < 0
