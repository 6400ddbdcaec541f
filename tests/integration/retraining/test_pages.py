"""The pages of retraining: what to do while there is none, a run that goes on, cancelling it, and asking for one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.charts.search import trials_figure
from app.charts.training import curve_figures
from app.components.retraining_parts import duration
from app.formats import NARROW
from backend import clock
from backend.database.session import writing
from backend.governance.group_rates import Share, gaps
from backend.retraining.steps import begin_step, end_step, note_step
from backend.retraining.tables import RetrainingRun, RetrainingStep
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.retraining.conftest import ask, begin, run_of, step_of, world
from tests.worlds import World

__all__ = ["open_page", "world"]

SAME: dict[str, Any] = {
    "known": True, "where": "90 rows of the reference of version 3", "segments": {
        "looked_at": 3, "unknown": 0, "metric": "roc_auc",
        "worse": [{"column": "carrier", "name": "AA", "protected": False, "before": 0.81, "after": 0.72,
                   "value": -0.09, "low": -0.14, "high": -0.04, "rows": 40}],
    },
    "metrics": [{"metric": "roc_auc", "before": 0.8242, "after": 0.8794, "value": 0.0552, "low": 0.0296,
                 "high": 0.0795, "reason": "", "says": "better"}],
}  # fmt: skip


def advance(run_id: str) -> None:
    """As a worker leaves it in the middle of training."""
    checks = [
        {
            "name": "drift",
            "verdict": "warn",
            "text": "drifted against the training rows: distance",
            "column": "",
        }
    ]
    results = {
        "extract": {"rows": 1200, "labelled": 1080, "completeness": 0.9, "digest": "sha256:0f3a"},
        "validate": {"checks": checks},
        "split": {"train": {"rows": 756}, "valid": {"rows": 162}, "test": {"rows": 162}},
    }  # fmt: skip
    with writing() as session:
        session.get_one(RetrainingRun, run_id).state = "running"
        session.get_one(RetrainingRun, run_id).started_at = clock.now() - timedelta(minutes=4)
        for name, result in results.items():
            begin_step(session, run_id, name)
            note_step(session, run_id, name, lines=[f"{name} is told"])
            end_step(session, run_id, name, "finished", seconds=2.5, result=result)
        begin_step(session, run_id, "train")
        session.get_one(RetrainingStep, (run_id, "train")).started_at = clock.now() - timedelta(minutes=3)
        note_step(
            session, run_id, "train", progress=0.4, lines=["40 of 100 trees"], peak_memory_bytes=310 * 2**20,
            points=[{"step": at, "metrics": {"valid_log_loss": 0.7 - at / 200, "valid_roc_auc": 0.6 + at / 200}}
                    for at in range(5, 45, 5)],
        )  # fmt: skip


def test_a_model_that_was_never_retrained_is_told_how(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.viewer, "retraining", model="toy"))
    assert "toy was never retrained here" in said
    assert "Toy was never retrained here" in said, "the headline says it first"
    assert "It moves nothing into service" in said
    assert "Your role cannot ask for changes" in said


def test_the_headline_says_what_the_newest_run_came_to(world: World, open_page: Open) -> None:
    run = begin(ask(world.engineer))
    with writing() as session:
        found = session.get_one(RetrainingRun, run.id)
        found.state, found.version, found.promote_change_id = "finished", 4, run.change_id
    said = text_of(open_page(world.viewer, "retraining", model="toy"))
    assert "The newest retraining of Toy, asked for" in said
    assert f"it asks to promote v4 by CHG-{run.change_id}" in said


def test_a_run_shows_steps_curve_and_cost_and_is_cancelled_with_a_confirmation(
    world: World, open_page: Open
) -> None:
    run = begin(ask(world.engineer))
    advance(run.id)
    page = open_page(world.on_call, "retraining_run", id=run.id)
    said = text_of(page)
    for told in (
        "Take the rows out of the store",
        "label completeness",
        "drifted against the training rows",
        f"325.1{NARROW}MB",
        "CHG-1",
    ):
        assert told in said, told
    assert "is being retrained already" in text_of(open_page(world.engineer, "retraining", model="toy"))
    page = open_page(world.on_call, "retraining_run", id=run.id)
    button = next(one for one in page.button if one.label == f"Cancel {run.id}")
    button.click().run()
    assert "Still needed" in text_of(page)
    assert run_of(run.id).cancel_asked_at is None
    page.checkbox(key=f"cancel:{run.id}:sure").check()
    next(one for one in page.button if one.label == f"Cancel {run.id}").click().run()
    assert run_of(run.id).cancel_asked_by == world.on_call.person_id


def test_the_page_of_a_run_that_no_worker_has_begun_waits_for_it(world: World, open_page: Open) -> None:
    change = ask(world.engineer)
    page = open_page(world.on_call, "retraining_run", id=f"retrain-{change.id}")
    said = text_of(page)
    assert "Retraining toy has not begun" in said
    assert f"CHG-{change.id}, which it will carry out" in said
    run = begin(change)
    page.run()
    assert "Retraining toy has not begun" not in text_of(page)
    assert f"Cancel {run.id}" in {one.label for one in page.button}


@pytest.mark.parametrize("address", ["retrain-7", "retrain-99999999999999999999", "retrain-", "bogus"])
def test_a_run_that_is_never_to_be_is_not_found(world: World, open_page: Open, address: str) -> None:
    assert "There is no retraining" in text_of(open_page(world.on_call, "retraining_run", id=address))


def test_a_run_shows_segments_groups_and_what_the_candidate_leans_on(world: World, open_page: Open) -> None:
    run = begin(ask(world.engineer))
    shares = {name: dict.fromkeys(("favourable", "true_positive", "false_positive"), Share(hits, 100))
              for name, hits in (("AA", 20), ("UA", 60))}  # fmt: skip
    column = {
        "column": "carrier", "before": gaps(shares), "after": gaps(shares),
        "groups": [{"name": name, "rows": 100, **{side: {rate: one.as_dict() for rate, one in found.items()}
                    for side in ("before", "after")}} for name, found in shares.items()],
    }  # fmt: skip
    groups = {
        "schema": 1, "known": True, "where": "90 rows of the reference", "rows": 200, "labelled_where": "90 rows",
        "level": 0.95, "fewest": 30, "favourable": "positive", "columns": [column], "missing": [],
    }  # fmt: skip
    leans = {"known": True, "rows": 90, "method": "shap TreeExplainer, exact", "base_value": 0.1,
             "contributions": [{"column": "distance", "mean_abs": 0.4, "direction": 0.9, "se": 0.02}]}  # fmt: skip
    with writing() as session:
        for name, result in (("evaluate", {"same_rows": SAME, "groups": groups}), ("explain", leans)):
            begin_step(session, run.id, name)
            end_step(session, run.id, name, "finished", seconds=2.5, result=result)
    said = text_of(open_page(world.viewer, "retraining_run", id=run.id))
    for told in ("1 of 3 segments is worse", "carrier = AA", "carrier below four fifths", "AA against UA",
                 "What it leans on", "shap TreeExplainer, exact; over 90 rows that were held out"):  # fmt: skip
        assert told in said, told


def test_a_search_shows_its_trials_the_one_that_is_taken_and_that_held_out_rows_take_no_part(
    world: World, open_page: Open
) -> None:
    run = begin(ask(world.engineer))
    drawn = [{"number": number, "state": state, "value": value, "parameters": {"learning_rate": 0.1 * (number + 1)},
              "seconds": 2.0, "step": 40, "note": note}
             for number, (state, value, note) in enumerate(
                 [("complete", 0.41, ""), ("complete", 0.39, ""), ("pruned", 0.6, ""),
                  ("failed", None, "the trainer ended with exit code 3")])]  # fmt: skip
    found = {"metric": "log_loss", "goal": "minimize", "pruner": "median", "trials": drawn, "planned": 4, "minutes": 30,
             "seconds": 8.0, "chosen": 1, "ended": "all trials were run", "digest": "sha256:0"}  # fmt: skip
    with writing() as session:
        begin_step(session, run.id, "train")
        note_step(session, run.id, "train", found={"search": found}, gpu_seconds=2.5)
    assert step_of(run.id, "train").gpu_seconds == 2.5
    said = text_of(open_page(world.viewer, "retraining_run", id=run.id))
    for told in ("Search of parameters", "4 of 4 trials", "1 ended early by the median pruner", "taken",
                 "learning_rate 0.2", "exit code 3", "the held-out rows take no part"):  # fmt: skip
        assert told in said, told
    figure = trials_figure(drawn, metric="log loss", upwards=False)
    assert figure is not None
    assert list(figure.data[-1].y) == [0.41, 0.39], "the best so far"
    assert trials_figure(drawn[3:], metric="log loss", upwards=False) is None


def test_a_retraining_is_asked_for_on_the_page(world: World, open_page: Open) -> None:
    page = open_page(world.engineer, "retraining", model="toy")
    assert "It goes ahead at once" in text_of(page)
    page.text_area(key="retrain:toy:reason").set_value("the year is over")
    next(one for one in page.button if one.label == "Retrain toy").click().run()
    from backend.database.session import reading
    from backend.governance.tables import Change

    with reading() as session:
        (change,) = session.query(Change).filter(Change.kind == "retrain")
    assert (change.state, change.reason) == ("approved", "the year is over")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.44, "0.4 s"), (12.2, "12 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, words: str) -> None:
    assert duration(seconds).replace(NARROW, " ") == words
    assert duration(seconds).count(NARROW) == sum(words.count(unit) for unit in (" s", " min", " h"))


def test_curves_put_training_and_validation_rows_of_a_metric_into_one_figure() -> None:
    figures = curve_figures(
        [
            {
                "step": 1,
                "metrics": {"valid_log_loss": 0.6, "train_log_loss": 0.5, "lr": 0.1, "valid_note": "text"},
            }
        ]
    )
    assert list(figures) == ["log_loss", "lr"]
    assert [trace.name for trace in figures["log_loss"].data] == ["validation rows", "training rows"]
    assert curve_figures([]) == {}
