"""Whether rows are fit to train on: schema, nulls, ranges, labels, drift against the last training set, hints of leaks.

A check passes, warns (it is told and stands on the page) or fails. One that fails ends the run before anything is
trained.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from backend.monitoring.columns import ModelSpec
from jobs.retraining.rows import TARGET, ensure_rows, read_labels
from jobs.retraining.work import ValidationFailed, Work

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["pass", "warn", "fail"]
LEAST_ROWS: Final = 200
LEAST_OF_A_CLASS: Final = 10
MOST_LOOKED_AT: Final = 500_000  # the newest; the schema is checked on these, too
NULLS_MORE: Final = 0.2  # share of rows
OUTSIDE: Final = 0.05  # share of rows beyond what the last training set held
GIVES_AWAY: Final = 0.99  # AUC, or correlation, of a single feature
TOO_EARLY: Final = 0.01  # share of labels that were known before the prediction


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `column`: empty for all."""

    name: str
    verdict: Verdict
    text: str
    column: str = ""


def validate(work: Work) -> dict[str, Any]:
    """`ValidationFailed` with every check that failed; what was found is kept in both cases."""
    import pandas as pd

    frame = pd.read_parquet(ensure_rows(work)).tail(MOST_LOOKED_AT).reset_index(drop=True)
    before, named = last_training_set(work)
    checks = [
        *check_labels(frame, work.spec, work.found["extract"]["completeness"], work.plan.least_labelled),
        *check_schema(frame, work.spec),
        *check_against(frame, before, work.spec, named),
        *check_leaks(frame, work.spec),
    ]
    drift = drift_between(before, frame, work.spec) if before is not None else []
    checks += _drift_check(drift, named)
    result = {"checks": [asdict(one) for one in checks], "drift": drift, "compared_with": named}
    for one in checks:
        if one.verdict != "pass":
            work.tell(f"{one.verdict}: {one.text}")
    failed = [one.text for one in checks if one.verdict == "fail"]
    work.tell(f"{len(checks)} checks, {len(failed)} failed")
    if failed:
        raise ValidationFailed(f"the rows are not fit to train on: {'; '.join(failed)}", result=result)
    return result


def last_training_set(work: Work) -> tuple[pd.DataFrame | None, str]:
    """What is kept of the data that the version that serves was trained on: its reference; and what that is."""
    import pandas as pd

    if work.parent is None:
        return None, "nothing: no version serves"
    reference = Path(work.parent.reference_path)
    if reference.is_file():
        return pd.read_parquet(reference).tail(
            MOST_LOOKED_AT
        ), f"the reference rows of version {work.parent.version}"
    return None, f"nothing: the data of version {work.parent.version} are gone"


def check_labels(frame: pd.DataFrame, spec: ModelSpec, completeness: float, least: float) -> list[Check]:
    """Rows enough, labels enough, and of every class enough."""
    checks = [
        Check("rows", "pass" if len(frame) >= LEAST_ROWS else "fail",
              f"{len(frame):,} labelled rows; {LEAST_ROWS} are needed"),
        Check("label completeness", "pass" if completeness >= least else "fail",
              f"{completeness:.1%} of the rows have a label; {least:.0%} are needed"),
    ]  # fmt: skip
    labels = read_labels(frame[TARGET], spec)
    if labels.isna().any():
        checks.append(Check("labels", "fail", f"{int(labels.isna().sum()):,} labels are no numbers", TARGET))
    if spec.task != "regression":
        counts = labels.value_counts()
        few = [f"{name} ({count})" for name, count in counts.items() if count < LEAST_OF_A_CLASS]
        if len(counts) < 2:
            checks.append(Check("classes", "fail", "all labels are the same", TARGET))
        elif few:
            checks.append(Check("classes", "fail" if spec.task == "binary" else "warn",
                                f"fewer than {LEAST_OF_A_CLASS} rows of {', '.join(few)}", TARGET))  # fmt: skip
    return checks


def check_schema(frame: pd.DataFrame, spec: ModelSpec) -> list[Check]:
    """Columns in their kinds, ids once, times there, and no feature without any value."""
    import pandera.pandas as pa

    columns: dict[str, Any] = {
        "prediction_id": pa.Column(nullable=False, unique=True),
        "ts": pa.Column(nullable=False),
        TARGET: pa.Column(nullable=False),
    }
    some = pa.Check(
        lambda values: bool(values.notna().any()), ignore_na=False, error="it has no value at all"
    )
    for column in spec.features:
        kind = pa.Check(_all_numbers if column.kind == "numeric" else _all_plain, error=_KINDS[column.kind])
        columns[column.name] = pa.Column(nullable=True, checks=[some, kind])
    try:
        pa.DataFrameSchema(columns).validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        found = error.failure_cases[["column", "check"]].astype(str).drop_duplicates()
        return [
            Check("schema", "fail", f"{column}: {_SCHEMA_WORDS.get(check, check)}", column)
            for column, check in found.itertuples(index=False)
        ]
    return [Check("schema", "pass", f"{len(columns)} columns are what the model's spec says")]


_KINDS: Final = {"numeric": "not every value is a finite number", "categorical": "not every value is a text"}
_SCHEMA_WORDS: Final = {
    "not_nullable": "a value is missing", "field_uniqueness": "an id is there twice",
    "column_in_dataframe": "the column is missing",
}  # fmt: skip


def _all_numbers(values: pd.Series) -> bool:
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    return bool(np.isfinite(numbers[values.notna()]).all())


def _all_plain(values: pd.Series) -> bool:
    return bool(values.dropna().map(lambda one: isinstance(one, str | int | float | bool)).all())


def check_against(
    frame: pd.DataFrame, before: pd.DataFrame | None, spec: ModelSpec, named: str
) -> list[Check]:
    """Missing values and values beyond the range, as against what was learned from last."""
    import pandas as pd

    if before is None:
        return [Check("ranges", "warn", f"there is nothing to hold ranges against ({named})")]
    checks: list[Check] = []
    for column in spec.features:
        if column.name not in before:
            checks.append(Check("new feature", "warn", f"{column.name} is new: {named} lack it", column.name))
            continue
        now, then = frame[column.name], before[column.name]
        more = float(now.isna().mean() - then.isna().mean())
        if more > NULLS_MORE:
            checks.append(
                Check("nulls", "warn", f"{column.name} is missing in {now.isna().mean():.0%} of the rows, "
                      f"{more:.0%} more than in {named}", column.name)
            )  # fmt: skip
        if column.kind == "numeric":
            values, known = (
                pd.to_numeric(now, errors="coerce").dropna(),
                pd.to_numeric(then, errors="coerce").dropna(),
            )
            outside = (
                float(((values < known.min()) | (values > known.max())).mean())
                if len(known) and len(values)
                else 0.0
            )
        else:
            values = now.dropna().astype(str)
            outside = float((~values.isin(set(then.dropna().astype(str)))).mean()) if len(values) else 0.0
        if outside > OUTSIDE:
            checks.append(
                Check("ranges", "warn", f"{column.name}: {outside:.0%} of the values are beyond those of {named}",
                      column.name)
            )  # fmt: skip
    return checks or [Check("ranges", "pass", f"missing values and ranges are as in {named}")]


def drift_between(before: pd.DataFrame, now: pd.DataFrame, spec: ModelSpec) -> list[dict[str, Any]]:
    """Every drift statistic of the features, from profiles as monitoring takes them: the worst of each column first."""
    import pyarrow as pa

    from backend.monitoring.evaluate import evaluate_window
    from backend.monitoring.grids import freeze_grids
    from backend.monitoring.profiles import profile_table

    names = [column.name for column in spec.features if column.name in before]
    kinds = [column for column in spec.features if column.name in names]
    then, current = (pa.Table.from_pandas(_typed(one, kinds), preserve_index=False) for one in (before, now))
    grids = freeze_grids(then, kinds)
    points = evaluate_window(
        spec, grids, profile_table(then, grids), profile_table(current, grids), columns=kinds
    )
    return [
        {"column": one.column, "statistic": one.statistic, "value": one.value, "threshold": one.threshold,
         "verdict": one.verdict, "text": one.text}
        for one in points
        if one.family == "drift" and one.value is not None
    ]  # fmt: skip


def _typed(frame: pd.DataFrame, columns: Any) -> pd.DataFrame:
    import pandas as pd

    found = {}
    for column in columns:
        values = frame[column.name]
        found[column.name] = (
            pd.to_numeric(values, errors="coerce").astype("float64")
            if column.kind == "numeric"
            else values.astype("object").where(values.notna(), None)
        )
    return pd.DataFrame(found)


def _drift_check(drift: list[dict[str, Any]], named: str) -> list[Check]:
    moved = sorted({str(one["column"]) for one in drift if one["verdict"] == "alarm"})
    if not drift:
        return []
    if moved:
        return [Check("drift", "warn", f"drifted against {named}: {', '.join(moved)}")]
    return [Check("drift", "pass", f"no feature drifted against {named}")]


def check_leaks(frame: pd.DataFrame, spec: ModelSpec) -> list[Check]:
    """Hints that rows tell what only the label could: a feature that alone decides it, a label that came too early."""
    checks: list[Check] = []
    labels = read_labels(frame[TARGET], spec)
    for column in spec.features:
        if column.kind == "categorical" and bool(
            (frame[column.name].astype(str) == labels.astype(str)).all()
        ):
            checks.append(Check("leak", "fail", f"{column.name} is the label in every row", column.name))
        elif (alone := _strength(frame[column.name], labels, spec)) >= GIVES_AWAY:
            checks.append(
                Check("leak", "warn", f"{column.name} alone tells the label ({alone:.3f}): does it know the future?",
                      column.name)
            )  # fmt: skip
    early = float((frame["label_ts"] < frame["ts"]).mean())
    if early > TOO_EARLY:
        checks.append(
            Check("leak", "warn", f"{early:.0%} of the labels were known before the prediction was made")
        )
    return checks or [Check("leak", "pass", "no feature gives the label away by itself")]


def _strength(values: pd.Series, labels: pd.Series, spec: ModelSpec) -> float:
    """How well a single numeric column tells the label: AUC or |correlation| of ranks; 0 where that has no meaning."""
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    known = numbers.notna() & labels.notna()
    if known.sum() < LEAST_ROWS or numbers[known].nunique() < 2:
        return 0.0
    ranks = numbers[known].rank()
    if spec.task == "binary":
        positive = (labels[known] == "1").to_numpy()
        ones, others = int(positive.sum()), int((~positive).sum())
        if not ones or not others:
            return 0.0
        area = (ranks.to_numpy()[positive].sum() - ones * (ones + 1) / 2) / (ones * others)
        return float(max(area, 1 - area))
    if spec.task == "regression":
        return float(abs(np.corrcoef(ranks, labels[known].rank())[0, 1]))
    return 0.0
