"""A first document from a file: roles by name and value, each proposal with its reason, nothing guessed in silence."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from backend.cli import app
from backend.errors import BadInput
from backend.onboarding.document import SpecRefused, read_document
from backend.onboarding.proposing import Draft, propose_document
from backend.onboarding.source_files import find_source, open_rows, source_digest
from backend.onboarding.writing import write_document

LOANS = """
    select 'r' || i as request_id, timestamptz '2026-01-01 00:00:00+00' + to_minutes(i * 10) as ts,
        (i * 37 % 100) / 100.0 as score, (i * 31 % 100 < 30)::int as label, i % 7 as grade,
        20.5 + i % 50 as age, case when i % 5 = 0 then 'north' else 'south' end as region, 'x' as source
    from range(3000) numbers(i)
"""


@pytest.fixture
def loans(home: Path, tmp_path: Path) -> Path:
    path = tmp_path / "loans.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"copy ({LOANS}) to '{path}' (format parquet)")
    return path


def reason(draft: Draft, *path: str) -> str:
    [found] = [one for one in draft.proposals if one.path == path]
    return found.reason


def test_roles_types_and_windows_are_proposed_each_with_its_reason(loans: Path) -> None:
    draft = propose_document(loans)
    document = draft.document
    assert document["history"]["columns"] == {
        "ts": "ts", "score": "score", "label": "label", "prediction_id": "request_id",
    }  # fmt: skip
    assert document["spec"]["task"] == "binary"
    assert document["spec"]["features"] == {"grade": "categorical", "age": "numeric", "region": "categorical"}
    assert (document["spec"]["window"], document["spec"].get("live_window")) == ("1d", None)
    assert document["spec"]["segments"] == ["region", "grade"]
    assert reason(draft, "spec", "task") == "label is 0 or 1"
    assert "'source' is left out" in reason(draft, "spec", "features")
    assert reason(draft, "model", "tier").startswith("unanswered, and unknown counts as high")
    assert set(document["tier_answers"].values()) == {None}
    written = read_document(draft.text)
    assert written.document.as_dict()["history"]["reference"]["until"].startswith("2026-01-13T00:00:00")
    assert all(one.reason and 0 <= one.confidence <= 1 for one in draft.proposals)


def test_the_text_says_why_beside_each_value_and_reads_back_as_the_document(loans: Path) -> None:
    draft = propose_document(loans)
    assert "\n    age: numeric  # 0.95, numbers with fractions, " in draft.text
    assert yaml.safe_load(draft.text) == yaml.safe_load(write_document(draft.document))


def test_a_column_that_nobody_can_tell_has_to_be_named(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "days.csv"
    path.write_text(
        "day,out,guess,temp\n" + "".join(f"2026-01-{d:02d},{d * 3 % 17},{d},{d / 7}\n" for d in range(1, 29))
    )
    with pytest.raises(
        BadInput, match=r"no column looks like what was predicted \(prediction\); name it, as `--column"
    ):
        propose_document(path)
    with pytest.raises(
        BadInput, match=r"prediction: there is no column 'gues'; there are day, out, guess, temp"
    ):
        propose_document(path, columns={"prediction": "gues"})
    draft = propose_document(path, columns={"prediction": "guess"})
    assert draft.document["history"]["columns"]["ts"] == "day"
    assert "drift and quality are computed, performance once labels are sent" in draft.text
    assert "a row is known by its number in the file" in draft.text
    assert "objectives" not in draft.document


def test_the_command_needs_neither_database_nor_console(loans: Path, home: Path) -> None:
    out = loans.parent / "warrant.yaml"
    done = CliRunner().invoke(app, ["init", str(loans), "-o", str(out), "--name", "loans", "--json"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["document"] == out.read_text()
    assert "before it is applied, put loans.parquet into" in done.stderr
    assert read_document(out.read_text()).name == "loans"
    assert not (home / "warrant.db").exists()


def test_files_are_read_below_the_named_folders_alone(
    loans: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backend.settings import settings

    folder = tmp_path / "offered"
    folder.mkdir()
    monkeypatch.setenv("WARRANT_SOURCE_FOLDERS", f"{tmp_path / 'nowhere'}, {folder}")
    settings.cache_clear()
    (folder / "loans.parquet").write_bytes(loans.read_bytes())
    (folder / "out").symlink_to(loans)
    assert find_source("loans.parquet") == find_source(str(folder / "loans.parquet"))
    for path in ("../loans.parquet", "out", str(loans), ".", "", "gone.csv", "a\0b"):
        with pytest.raises(BadInput, match="that the worker may read"):
            find_source(path)


def test_a_delta_table_is_read_as_it_is_now(loans: Path, tmp_path: Path) -> None:
    from deltalake import write_deltalake

    rows = duckdb.sql(f"from '{loans}'").to_arrow_table()
    write_deltalake(tmp_path / "table", rows.slice(0, 100))
    first = source_digest(tmp_path / "table")
    write_deltalake(tmp_path / "table", rows.slice(100), mode="append")
    assert source_digest(tmp_path / "table") != first
    assert open_rows(tmp_path / "table").aggregate("count(*)").fetchall() == [(3000,)]


GOOD = """\
apiVersion: warrant/v1
kind: Model
model: {name: loans, title: Loans, tier: low}
spec:
  task: binary
  features: {age: numeric}
"""
OTHERS_OBJECTIVE = """\
objectives:
  - apiVersion: openslo/v1
    kind: SLO
    metadata: {name: auc}
    spec:
      service: flights
      indicator:
        metadata: {name: auc}
        spec:
          thresholdMetric: {metricSource: {type: Warrant, spec: {metric: roc_auc}}}
      timeWindow: [{duration: 30d, isRolling: true}]
      budgetingMethod: Occurrences
      objectives: [{op: gte, value: 0.7, target: 0.9}]
"""
HISTORY = """\
version: {number: 1, trained_at: 2026-01-01T00:00:00Z}
history:
  path: a.csv
  columns: {ts: ts, score: s, label: age}
  reference: {until: 2026-02-01T00:00:00Z}
"""
CONDITION = "when: {kind: quality, column: agee, statistic: missing_rate, threshold: {kind: calibrated}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: [", "warrant.yaml:1:9: it is no YAML"),
        (f"{GOOD}---\n{GOOD}", "warrant.yaml:1:1: it holds 2 documents; write one model in one file"),
        (GOOD.replace("warrant/v1", "warrant/v2"), "warrant.yaml:1:1: apiVersion: it has to be 'warrant/v1'"),
        (GOOD.replace("age: numeric", "age: 5"), "warrant.yaml:6:14: spec.features.age: 5 is not one of numeric"),
        (GOOD.replace("tier: low", "teir: low"), "warrant.yaml:3:36: model.teir: there is no key 'teir' here"),
        (GOOD.replace("task", "live_window: 2h\n  task"), "warrant.yaml:5:3: spec.live_window: '2h' is not one of"),
        (f"{GOOD}card: text\n", "warrant.yaml:7:1: card: it is of a version"),
        (f"{GOOD}monitors:\n  - name: x\n    level: ticket\n    {CONDITION}\n",
         "warrant.yaml:10:27: monitors.0.when.column: the model has no column 'agee'; the nearest is 'age'"),
        (GOOD + OTHERS_OBJECTIVE, "warrant.yaml:10:16: the objective 'auc' is about the service 'flights', not about"),
        (GOOD + OTHERS_OBJECTIVE.replace("service", "servic"), "warrant.yaml:12:7: spec.servic: "),
        (f"{GOOD}kind: Model\n", "warrant.yaml:7:1: it is no YAML: the key 'kind' is there twice"),
    ],
)  # fmt: skip
def test_a_mistake_is_said_with_file_line_and_column(text: str, said: str) -> None:
    with pytest.raises(SpecRefused) as refused:
        read_document(text)
    assert said in refused.value.message


def test_a_label_that_the_model_reads_is_refused() -> None:
    with pytest.raises(
        SpecRefused, match=r"warrant.yaml:10:31: history.columns.label: 'age' is a feature too"
    ):
        read_document(GOOD + HISTORY)
