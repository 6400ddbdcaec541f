"""`warrant compare` and the engine below it: verdicts, bad input, types, and the document of the outside contract."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow.csv import write_csv
from pyarrow.parquet import write_table

from backend.errors import BadInput
from backend.monitoring.compare import Comparison, compare_files, compare_tables
from backend.monitoring.peers import PEERS
from backend.monitoring.statistics import REGISTRY

KEYS = {"column", "statistic", "value", "threshold", "verdict", "rows_reference", "rows_current", "reason"}


def frame(rows: int, seed: int, **changed: Any) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    data: dict[str, Any] = {
        "amount": random.lognormal(3, 1, rows),
        "age": random.normal(40, 12, rows),
        "score": random.random(rows),
        "visits": random.integers(0, 500, rows),
        "plan": random.choice(["free", "basic", "pro"], rows, p=[0.6, 0.3, 0.1]),
        "region": np.array([f"r{i:02d}" for i in range(20)])[random.integers(0, 20, rows)],
        "active": random.random(rows) < 0.4,
    }
    return pd.DataFrame(data | changed)


def compare(reference: pd.DataFrame, current: pd.DataFrame, **options: Any) -> list[Comparison]:
    tables = [duckdb.connect().from_df(side) for side in (reference, current)]
    return compare_tables(*tables, **options)


def alarmed(rows: list[Comparison]) -> set[str]:
    return {row.column for row in rows if row.verdict == "alarm"}


def verdicts(rows: list[Comparison], column: str) -> dict[str, str]:
    return {row.statistic: row.verdict for row in rows if row.column == column}


def test_unchanged_data_raise_nothing_and_every_column_is_looked_at() -> None:
    rows = compare(frame(3000, 0), frame(800, 1))
    assert alarmed(rows) == set()
    assert {row.column for row in rows} == set(frame(1, 0).columns)
    assert {row.verdict for row in rows} == {"ok"}


@pytest.mark.parametrize("rows", [200, 1000])
def test_a_quarter_of_a_standard_deviation_is_seen_in_one_column_alone(rows: int) -> None:
    now = frame(rows, 1)
    now["age"] += 0.25 * 12 if rows == 1000 else 0.5 * 12
    assert alarmed(compare(frame(5000, 0), now)) == {"age"}


def test_a_shift_hidden_behind_one_wild_value_is_seen() -> None:
    now = frame(300, 1)
    now["age"] += 2 * 12
    now.loc[0, "age"] = 1e6
    found = compare(frame(5000, 0), now)
    assert alarmed(found) == {"age"}
    assert {"psi", "kolmogorov_smirnov", "mean_shift"} <= {r.statistic for r in found if r.verdict == "alarm"}
    distances = {r.column: r for r in found if r.statistic == "wasserstein"}
    assert "outside the reference's range" in distances.pop("age").text
    assert distances and not any("outside the reference" in row.text for row in distances.values())


@pytest.mark.parametrize("rows", [500, 5000])
def test_numbers_over_hundreds_of_orders_of_magnitude_have_a_defined_answer(rows: int) -> None:
    random = np.random.default_rng(0)
    then, now = (frame(rows, seed, wide=np.exp(random.normal(size=rows) * 200)) for seed in (0, 1))
    found = compare(then, now)
    assert {row.verdict for row in found} == {"ok"}
    assert "kolmogorov_smirnov" in verdicts(found, "wide")
    now["wide"] = np.exp(random.normal(1, 0.5, rows) * 200)
    assert alarmed(compare(then, now)) == {"wide"}


def test_a_tiny_change_in_a_large_file_is_no_alarm() -> None:
    random = np.random.default_rng(0)
    then = pd.DataFrame({"x": random.normal(size=200_000), "c": random.choice(list("ab"), 200_000)})
    now = pd.DataFrame(
        {"x": random.normal(0.02, 1, 200_000), "c": random.choice(list("ab"), 200_000, p=[0.51, 0.49])}
    )
    assert alarmed(compare(then, now)) == set()


def test_the_threshold_is_what_the_value_is_held_against() -> None:
    now = frame(400, 1)
    now["plan"] = "pro"
    for row in compare(frame(2000, 0), now):
        if row.verdict in ("ok", "alarm"):
            assert row.value is not None
            assert row.threshold is not None
            assert (row.verdict == "alarm") == (row.value > row.threshold), row


def test_a_milder_limit_holds_where_many_columns_move() -> None:
    names = [f"x{i}" for i in range(20)]
    random = np.random.default_rng(3)
    then = pd.DataFrame({name: random.normal(size=2000) for name in names})
    one = pd.DataFrame({name: random.normal(0.3 if name == "x0" else 0, 1, 500) for name in names})
    limits = []
    for now in (one, one + 0.3):
        rows = {(r.column, r.statistic): r for r in compare(then, now)}
        limits.append(rows["x0", "kolmogorov_smirnov"].threshold or 0)
    assert limits[1] < limits[0]


def test_every_name_can_be_asked_for() -> None:
    then, now = frame(300, 0), frame(200, 1)
    rows = compare(then, now, statistics=[*REGISTRY, *PEERS])
    assert {row.statistic for row in rows} == {*REGISTRY, *PEERS}
    assert all(row.reason for row in rows if row.verdict == "inconclusive")
    chi = next(r for r in rows if (r.column, r.statistic) == ("age", "chi_squared"))
    assert "is for categorical columns" in str(chi.reason)


def test_repeated_rows_are_counted_and_what_two_files_cannot_tell_is_said() -> None:
    then, now = frame(3000, 0), frame(300, 1)
    asked = ["duplicates", "volume", "freshness"]
    rows = {row.statistic: row for row in compare(then, now, statistics=asked)}
    assert set(rows) == set(asked)
    assert {row.column for row in rows.values()} == {""}
    assert (rows["duplicates"].verdict, rows["duplicates"].value) == ("ok", 0.0)
    assert all("two files do not tell" in str(rows[name].reason) for name in asked[1:])
    (twice,) = compare(then, pd.concat([now, now[:60]]), statistics=["duplicates"])
    assert (twice.verdict, twice.value, twice.level) == ("alarm", pytest.approx(60 / 360), "ticket")


def test_rows_that_repeat_by_chance_are_no_duplicates_in_a_larger_file() -> None:
    random = np.random.default_rng(0)
    then, now = (pd.DataFrame({"a": random.integers(0, 300, rows)}) for rows in (200, 5000))
    (row,) = compare(then, now, statistics=["duplicates"])
    assert row.verdict == "ok"
    assert row.rows_current == 200
    twice = pd.concat([now[:100]] * 50)
    (row,) = compare(then, twice, statistics=["duplicates"])
    assert row.verdict == "alarm"


def test_peers_answer_by_their_own_rules() -> None:
    then, now = frame(900, 0), frame(900, 1)
    rows = {
        (r.column, r.statistic): r
        for r in compare(then, now, statistics=["evidently:default", "nannyml:chi2"])
    }
    assert rows["age", "evidently:default"].threshold == 0.05
    assert "(ks)" in rows["age", "evidently:default"].text
    assert rows["age", "nannyml:chi2"].verdict == "inconclusive"
    assert rows["plan", "nannyml:chi2"].verdict in ("ok", "alarm")


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_missing_values_that_vanish_are_a_ticket(kind: str) -> None:
    random = np.random.default_rng(0)
    values: Any = random.normal(size=2000) if kind == "numeric" else random.choice(list("abc"), 2000)
    then = pd.DataFrame({"x": pd.Series(values).where(random.random(2000) < 0.05)})
    found = {row.statistic: row for row in compare(then, pd.DataFrame({"x": values[:500]}))}
    row = found["missing_rate"]
    assert (row.verdict, row.level, row.value) == ("alarm", "ticket", 0.0)
    assert re.match(r"Missing values of x from 9[45](\.\d)? % to 0 % \(lower limit", row.text)
    assert 0.5 < (row.threshold or 0) < 0.95, "a value below the threshold alarms"
    same = pd.DataFrame({"x": pd.Series(values[:500]).where(random.random(500) < 0.06)})
    assert alarmed(compare(then, same)) == set()
    assert next(r for r in compare(same, then) if r.statistic == "missing_rate").verdict == "ok"


@pytest.mark.parametrize(("then", "now"), [("amount", "Amount"), ("unit_price", "unit price")])
def test_a_column_by_nearly_the_same_name_is_told(then: str, now: str) -> None:
    rows = compare(
        frame(300, 0).rename(columns={"amount": then}), frame(300, 1).rename(columns={"amount": now})
    )
    (gone,) = [row for row in rows if row.column == then and row.statistic == "schema_change"]
    (new,) = [row for row in rows if row.column == now]
    assert gone.verdict == "alarm" and repr(now) in gone.text and "probably the same" in gone.text
    assert new.verdict == "inconclusive" and repr(then) in str(new.reason)


def test_a_rate_that_fell_says_on_which_side_of_its_threshold_it_alarms() -> None:
    then = frame(1000, 0)
    then.loc[:499, "amount"] = np.nan
    rows = compare(then, frame(1000, 1), statistics=["missing_rate"])
    sides = {row.column: (row.verdict, row.side) for row in rows}
    assert sides["amount"] == ("alarm", "below") and sides["age"] == ("ok", "above")


def test_ids_texts_and_times_are_left_out_with_the_reason() -> None:
    def extended(rows: int, seed: int) -> pd.DataFrame:
        return frame(rows, seed, customer_id=np.arange(rows) + seed * 10**6,
                     token=[f"{seed}-{i:08x}" for i in range(rows)],
                     note=[f"the customer said number {i} and went away again" for i in range(rows)],
                     at=pd.date_range("2026-01-01", periods=rows, freq="h") + pd.Timedelta(days=99 * seed))  # fmt: skip

    rows = compare(extended(600, 0), extended(300, 1))
    left = {row.column: row for row in rows if row.statistic == "proposal"}
    assert set(left) == {"customer_id", "token", "note", "at"}
    assert {row.verdict for row in left.values()} == {"inconclusive"}
    assert "identifier" in str(left["token"].reason)
    assert "free text" in str(left["note"].reason)
    assert alarmed(rows) == set()
    assert alarmed(compare(extended(600, 0), extended(300, 1), columns=["customer_id"])) == {"customer_id"}


def test_whole_numbers_with_few_values_are_proposed_as_categories_unless_a_person_says_numbers() -> None:
    random = np.random.default_rng(0)
    then, now = (pd.DataFrame({"grade": random.integers(1, 7, 900)}) for _ in range(2))
    assert {r.kind for r in compare(then, now)} == {"categorical"}
    assert all(0.5 <= (r.confidence or 0) < 0.9 for r in compare(then, now))
    assert {r.kind for r in compare(then, now, kinds={"grade": "numeric"})} == {"numeric"}


def test_bad_columns_have_their_own_answer_and_do_not_stop_the_others() -> None:
    then = frame(2000, 0, extra=1.5)
    now = frame(400, 1, added=[str(i) for i in range(400)])
    now["amount"] = np.nan
    now["visits"] = "unknown"
    now["region"] = [f"new{i}" for i in range(400)]
    now.loc[:60, "score"] = np.inf
    now["plan"] = None
    rows = compare(then, now)
    assert alarmed(rows) == {"amount", "visits", "region", "score", "plan", "extra"}
    assert verdicts(rows, "amount")["missing_rate"] == "alarm"
    assert verdicts(rows, "visits")["missing_rate"] == "alarm"
    assert verdicts(rows, "region")["unseen_rate"] == "alarm"
    assert verdicts(rows, "score")["out_of_range_rate"] == "alarm"
    assert verdicts(rows, "extra")["missing_rate"] == "alarm"
    assert verdicts(rows, "added") == {"schema_change": "inconclusive"}
    assert set(verdicts(rows, "age").values()) == {"ok"}
    assert all(row.value is None or np.isfinite(row.value) for row in rows)


def test_a_reference_of_thirty_rows_and_an_empty_table_have_defined_answers() -> None:
    small = compare(frame(30, 0), frame(30, 1))
    assert alarmed(small) == set()
    assert {row.verdict for row in small if row.column == "age"} == {"ok"}
    far = frame(30, 1)
    far["age"] += 5 * 12
    assert alarmed(compare(frame(30, 0), far)) == {"age"}
    few = compare(frame(300, 0), frame(5, 1))
    assert {row.verdict for row in few} == {"inconclusive"}
    assert "5 usable rows and 20 are needed" in str(few[0].reason)
    assert {row.verdict for row in compare(frame(300, 0), frame(0, 1))} == {"no_data"}
    assert {row.verdict for row in compare(frame(0, 0), frame(300, 1))} == {"inconclusive"}


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_files_of_both_kinds_say_the_same(tmp_path: Path, ending: str) -> None:
    paths = []
    for name, side in (("then", frame(500, 0)), ("now", frame(200, 1))):
        side.loc[:20, "age"] = None
        path = tmp_path / f"{name}.{ending}"
        side.to_csv(path, index=False) if ending == "csv" else side.to_parquet(path)
        paths.append(path)
    rows = compare_files(*paths)
    assert {row.column: row.kind for row in rows} == {
        "amount": "numeric", "age": "numeric", "score": "numeric", "visits": "numeric",
        "plan": "categorical", "region": "categorical", "active": "categorical",
    }  # fmt: skip
    assert next(r for r in rows if r.column == "age" and r.statistic == "psi").rows_current == 179


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_columns_of_one_name_are_told_and_the_first_is_compared(tmp_path: Path, ending: str) -> None:
    paths = []
    for seed, extra in enumerate((["X", "a_1"], ["a_1"])):
        random = np.random.default_rng(seed)
        names = ["x", "a", *extra]
        table = pa.table([pa.array(random.normal(size=300)) for _ in names], names=names)
        path = tmp_path / f"{seed}.{ending}"
        write_csv(table, path) if ending == "csv" else write_table(table, path)
        paths.append(path)
    rows = compare_files(*paths)
    assert {row.column for row in rows} == {"x", "a", "a_1"}
    (told,) = (row for row in rows if row.statistic == "proposal")
    assert (told.column, told.verdict) == ("x", "inconclusive")
    assert "2 columns of the reference file are named X" in str(told.reason)
    assert "the first was compared" in str(told.reason)
    assert alarmed(rows) == set()


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good.parquet"
    frame(30, 0).to_parquet(good)
    broken, empty, other = tmp_path / "b.parquet", tmp_path / "e.csv", tmp_path / "x.xlsx"
    broken.write_bytes(b"PAR1 no")
    empty.touch()
    other.write_text("x")
    for path, words in ((tmp_path / "no.csv", "no file"), (broken, "cannot be read"), (empty, "is empty"),
                        (other, "Parquet or CSV"), (tmp_path, "folder")):  # fmt: skip
        with pytest.raises(BadInput, match=words) as caught:
            compare_files(good, path)
        assert str(path) in caught.value.message


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "backend.cli", "compare", *arguments],
                          capture_output=True, text=True, check=False)  # fmt: skip


def test_the_command_prints_the_document_of_the_contract(tmp_path: Path) -> None:
    then, now = tmp_path / "then.parquet", tmp_path / "now.parquet"
    frame(600, 0).to_parquet(then)
    frame(300, 1, age=90.0).to_parquet(now)
    done = run(str(then), str(now), "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["statistics"]
    assert all(set(row) >= KEYS for row in rows)
    assert all(row["column"] in row["reason"] for row in rows), "every verdict says why"
    assert {row["column"] for row in rows if row["verdict"] == "alarm"} == {"age"}
    told = run(str(then), str(now), "--column", "age", "--statistic", "psi")
    assert told.returncode == 0
    assert "ALARM" in told.stdout
    for arguments, words in (
        ((str(then), "nowhere.csv"), "no file nowhere.csv"),
        ((str(then), str(now), "--statistic", "ks"), "kolmogorov_smirnov"),
        ((str(then), str(now), "--column", "agee"), "no column 'agee'|neither file has a column 'agee'"),
    ):
        refused = run(*arguments)
        assert refused.returncode == 2
        assert len(refused.stderr.strip().splitlines()) == 1
        assert any(word in refused.stderr for word in words.split("|"))


def test_comparing_files_prints_nothing_and_does_not_wait_for_pandas(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(pa.table({"x": list(range(100)), "w": list("abcde") * 20}), path)
    code = (
        "import sys; from backend.monitoring.compare import compare_files; "
        f"found = compare_files({str(path)!r}, {str(path)!r}); assert found and 'pandas' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
