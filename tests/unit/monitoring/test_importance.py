import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from backend.monitoring.cells import place_rows
from backend.monitoring.columns import Column
from backend.monitoring.effects import count_losses, estimate_effects, score_edges
from backend.monitoring.grids import freeze_grids
from backend.monitoring.importance import fit_importance, share_shap
from backend.monitoring.outcomes import Outcomes, read_outcomes
from backend.monitoring.profiles import profile_table

COLUMNS = [Column("spread", "numeric"), Column("useless", "numeric"), Column("still", "numeric"),
           Column("city", "categorical")]  # fmt: skip
CITIES = ["Lyon", "Oslo", "Rome"]


def drawn(rows: int, seed: int, *, spread: float = 0.0, useless: float = 0.0) -> pd.DataFrame:
    """`spread` and `still` decide how hard a row is; `spread` and `useless` can drift."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "spread": random.normal(spread, 1, rows),
            "useless": random.normal(useless, 1, rows),
            "still": random.normal(0, 1, rows),
            "city": random.choice(CITIES, rows, p=[0.5, 0.3, 0.2]),
        }
    )


def answered(frame: pd.DataFrame, metric: str, seed: int) -> Outcomes:
    random = np.random.default_rng(seed)
    hard = (frame["spread"].fillna(0) + frame["still"]).to_numpy()
    if metric == "mae":
        error = random.normal(0, np.exp(0.4 * hard))
        return read_outcomes("regression", "mae", score=None, prediction=error, label=np.zeros(len(frame)))
    logit = random.normal(0, 2, len(frame))
    label = random.random(len(frame)) < 1 / (1 + np.exp(-logit * np.exp(-0.6 * hard)))
    score = 1 / (1 + np.exp(-logit))
    return read_outcomes("binary", metric, score=score, prediction=None, label=label.astype(int))


def reference_with(metric: str, rows: int = 10_000, seed: int = 0):
    frame = drawn(rows, seed)
    grids = freeze_grids(pa.Table.from_pandas(frame), COLUMNS)
    placed = place_rows(frame, grids)
    outcomes = answered(frame, metric, seed + 1)
    return grids, placed, outcomes, count_losses(placed, outcomes)


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "log_loss", "mae"])
def test_drift_that_matters_ranks_above_larger_drift_that_does_not(metric: str) -> None:
    grids, _, reference, losses = reference_with(metric)
    later = drawn(5000, 50, spread=0.7, useless=1.5)
    effects = estimate_effects(losses, profile_table(pa.Table.from_pandas(later), grids))
    by_name = {effect.column: effect for effect in effects}
    assert effects[0].column == "spread" and effects[0].significant
    assert by_name["useless"].distance > by_name["spread"].distance
    for name in ("useless", "still", "city"):
        assert abs(by_name[name].effect or 0) < 0.25 * abs(effects[0].effect or 0), name
    # What came true: the later rows' own labels.
    realised, before = answered(later, metric, 51).value(), reference.value()
    assert realised is not None and before is not None
    worse = realised - before if metric in ("log_loss", "mae") else before - realised
    assert effects[0].effect == pytest.approx(worse, rel=0.3)


def test_a_profile_and_the_rows_themselves_give_the_same_effect() -> None:
    grids, _, _, losses = reference_with("roc_auc")
    later = drawn(3000, 60, spread=0.5)
    from_rows = estimate_effects(losses, place_rows(later, grids))
    assert from_rows == estimate_effects(losses, profile_table(pa.Table.from_pandas(later), grids))


def test_quiet_columns_have_no_significant_effect_most_of_the_time() -> None:
    grids, _, _, losses = reference_with("roc_auc", rows=5000)
    named = [
        effect.significant
        for seed in range(40)
        for effect in estimate_effects(losses, place_rows(drawn(1000, 100 + seed), grids))
    ]
    assert np.mean(named) <= 0.08


def test_losses_of_parts_add_up_to_the_losses_of_the_whole() -> None:
    frame = drawn(4000, 70)
    grids = freeze_grids(pa.Table.from_pandas(frame), COLUMNS)
    outcomes = answered(frame, "roc_auc", 71)
    edges = score_edges(outcomes)
    whole = count_losses(place_rows(frame, grids), outcomes, edges)
    first, second = outcomes_of(outcomes, slice(0, 1500)), outcomes_of(outcomes, slice(1500, None))
    merged = count_losses(place_rows(frame[:1500], grids), first, edges)["spread"].merge(
        count_losses(place_rows(frame[1500:], grids), second, edges)["spread"]
    )
    np.testing.assert_array_equal(merged.positives, whole["spread"].positives)
    np.testing.assert_array_equal(merged.rows, whole["spread"].rows)
    with pytest.raises(ValueError, match="different cells"):
        merged.merge(whole["still"])


def outcomes_of(outcomes: Outcomes, part: slice) -> Outcomes:
    return Outcomes(outcomes.metric, outcomes.usable[part], outcomes.point[part], outcomes.outcome[part])


def test_missing_values_are_a_cell_with_its_own_losses() -> None:
    frame = drawn(10_000, 80)
    gone = np.random.default_rng(81).random(10_000) < 0.1
    frame.loc[gone, "spread"] = np.nan
    grids = freeze_grids(pa.Table.from_pandas(frame), COLUMNS)
    error = np.random.default_rng(82).exponential(np.where(gone, 3.0, 1.0))
    outcomes = read_outcomes("regression", "mae", score=None, prediction=error, label=np.zeros(10_000))
    losses = count_losses(place_rows(frame, grids), outcomes)
    later = drawn(5000, 83)
    later.loc[np.random.default_rng(84).random(5000) < 0.4, "spread"] = np.nan
    first = estimate_effects(losses, place_rows(later, grids))[0]
    assert first.column == "spread" and first.cells[0][0] == "missing"
    assert first.effect == pytest.approx(0.3 * 2.0, rel=0.2)


def test_values_that_the_reference_never_had_count_as_the_column_lost() -> None:
    grids, placed, outcomes, losses = reference_with("roc_auc")
    later = drawn(5000, 90)
    later.loc[:2499, "city"] = "Ghent"
    output = np.where(placed["city"].codes == 0, 0.9, 0.1) + 0.01 * outcomes.point
    importances = fit_importance(placed, COLUMNS, output, outcomes=outcomes)
    without = {e.column: e for e in estimate_effects(losses, place_rows(later, grids))}["city"]
    with_them = {e.column: e for e in estimate_effects(losses, place_rows(later, grids), importances)}["city"]
    assert without.unknown_share == with_them.unknown_share == pytest.approx(0.5, abs=0.02)
    assert with_them.importance == importances.shares["city"]
    assert "no outcomes for" in with_them.text
    assert (with_them.effect or 0) - (without.effect or 0) == pytest.approx(
        0.5 * importances.if_lost["city"], abs=0.01
    )


def test_a_surrogate_finds_the_columns_that_decide_the_score() -> None:
    frame = drawn(8000, 110)
    placed = place_rows(frame, freeze_grids(pa.Table.from_pandas(frame), COLUMNS))
    score = 1 / (1 + np.exp(-2 * frame["spread"] - (frame["city"] == "Rome")))
    found = fit_importance(placed, COLUMNS, score)
    assert [one.column for one in found.columns[:2]] == ["spread", "city"]
    assert found.shares["spread"] > 0.6 and found.shares["useless"] < 0.05
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert found.fit is not None and found.fit > 0.9
    assert found == fit_importance(placed, COLUMNS, score)


def test_a_surrogate_reads_predicted_classes() -> None:
    frame = drawn(4000, 120)
    placed = place_rows(frame, freeze_grids(pa.Table.from_pandas(frame), COLUMNS))
    said = np.where(frame["still"] > 0.5, "high", np.where(frame["still"] < -0.5, "low", "middle"))
    assert fit_importance(placed, COLUMNS, said).columns[0].column == "still"


def test_an_output_that_never_changes_has_a_reason() -> None:
    frame = drawn(500, 130)
    placed = place_rows(frame, freeze_grids(pa.Table.from_pandas(frame), COLUMNS))
    assert "never changes" in str(fit_importance(placed, COLUMNS, np.full(500, 0.5)).reason)
    assert "100 are needed" in str(fit_importance(placed, COLUMNS, np.full(500, np.nan)).reason)


def test_a_column_without_any_value_does_not_stop_the_others() -> None:
    frame = drawn(2000, 140).assign(useless=np.nan).drop(columns="city")
    placed = place_rows(frame, freeze_grids(pa.Table.from_pandas(drawn(2000, 141)), COLUMNS))
    found = fit_importance(placed, COLUMNS, frame["still"].to_numpy())
    assert found.columns[0].column == "still"
    assert found.shares["city"] == found.shares["useless"] == 0


def test_stored_shap_summaries_become_shares() -> None:
    found = share_shap({"a": 3.0, "b": 1.0, "c": float("nan")})
    assert found.shares == {"a": 0.75, "b": 0.25} and found.source == "shap"


def test_thirty_columns_take_seconds() -> None:
    random = np.random.default_rng(150)
    frame = pd.DataFrame({f"x{i}": random.normal(size=30_000) for i in range(30)})
    columns = [Column(name, "numeric") for name in frame]
    placed = place_rows(frame, freeze_grids(pa.Table.from_pandas(frame), columns))
    started = time.process_time()
    fit_importance(placed, columns, (frame["x0"] + 0.5 * frame["x1"] ** 2).to_numpy())
    assert time.process_time() - started < 10  # of both cores together


def test_empty_windows_and_foreign_grids_have_a_reason() -> None:
    grids, _, _, losses = reference_with("mae", rows=500)
    empty = estimate_effects(losses, profile_table(pa.Table.from_pandas(drawn(0, 1)), grids))
    assert all(effect.effect is None and effect.reason == "the window has no rows" for effect in empty)
    foreign = estimate_effects(losses, {"spread": np.array([1, 2, 3])})
    assert foreign[0].reason == "the window was counted on another grid"


@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_a_lost_column_costs_what_the_model_takes_from_it(task: str) -> None:
    random = np.random.default_rng(3)
    columns = [Column(name, "numeric") for name in ("strong", "weak", "none")]
    frame = pd.DataFrame({column.name: random.normal(size=6000) for column in columns})
    signal = 3 * frame["strong"] + 0.7 * frame["weak"]
    if task == "regression":
        output, metric = signal, "mae"
        label = signal + random.normal(size=6000)
    else:
        output = pd.Series(np.select([signal < -1, signal > 1], ["low", "high"], "middle"))
        metric, label = "accuracy", output.where(random.random(6000) < 0.8, "middle")
    placed = place_rows(frame, freeze_grids(pa.Table.from_pandas(frame), columns))
    outcomes = read_outcomes(task, metric, score=None, prediction=output, label=label)  # type: ignore[arg-type]
    lost = fit_importance(placed, columns, output, outcomes=outcomes).if_lost
    assert lost["strong"] > 3 * lost["weak"] > 0
    assert lost["none"] < 0.02
