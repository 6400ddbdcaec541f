"""Columns, types and places of the observation store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa

from backend.errors import BadInput

Stream = Literal["predictions", "labels"]
Kind = Literal["numeric", "categorical"]
Task = Literal["binary", "multiclass", "regression"]

STREAMS: Final[tuple[Stream, ...]] = ("predictions", "labels")
ROLES: Final = ("champion", "canary", "shadow", "backfill")
SOURCES: Final = ("gateway", "api", "cli", "backfill")
STATUSES: Final = ("known", "will_not_come")

TIME: Final = pa.timestamp("us", tz="UTC")
KIND_TYPES: Final[Mapping[Kind, pa.DataType]] = {"numeric": pa.float64(), "categorical": pa.string()}

# What the caller supplies and the digest covers, in digest order.
PREDICTION_FIELDS: Final[Mapping[str, pa.DataType]] = {
    "prediction_id": pa.string(),
    "ts": TIME,
    "version": pa.int32(),
    "environment": pa.string(),
    "role": pa.string(),
    "injected": pa.string(),
    "score": pa.float64(),
    "prediction": pa.string(),
}
LABEL_FIELDS: Final[Mapping[str, pa.DataType]] = {
    "prediction_id": pa.string(),
    "label": pa.string(),
    "status": pa.string(),
    "label_ts": TIME,
}
# What the store adds. `day` is the partition: of `ts` for predictions, of `label_ts` for labels.
STORE_FIELDS: Final[Mapping[str, pa.DataType]] = {
    "row_digest": pa.string(),
    "source": pa.string(),
    "ingested_at": TIME,
    "day": pa.date32(),
}
# Names that a joined scan uses for the label's own columns.
SCAN_LABEL_COLUMNS: Final = ("label", "label_status", "label_ts", "label_ingested_at")

RESERVED: Final = frozenset(
    {*PREDICTION_FIELDS, *LABEL_FIELDS, *STORE_FIELDS, *SCAN_LABEL_COLUMNS, "features", "model"}
)

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")


def check_model(model: str) -> str:
    """The model's name, if it can be a folder name. Raises `BadInput`."""
    if not _MODEL.fullmatch(model):
        raise BadInput(
            f"{model!r} cannot be a model's name: use letters, digits, '-', '_' and '.', at most 200, "
            "starting with a letter or digit",
            model=model,
        )
    return model


SHADOW_MARK: Final = "~shadow"


def shadow_table(model: str) -> str:
    """Under which name a shadow's predictions of a model are stored: apart, so that no metric counts them."""
    return check_model(model) + SHADOW_MARK


def is_shadow_table(name: str) -> bool:
    return name.endswith(SHADOW_MARK)


def check_table(name: str) -> str:
    """The name of a model or of its shadows' table. Raises `BadInput`."""
    check_model(name.removesuffix(SHADOW_MARK))
    return name


def check_features(features: Mapping[str, Kind]) -> None:
    """Raise `BadInput` when a feature has a reserved name or an unknown kind."""
    for name, kind in features.items():
        if not name or len(name) > 200 or name.lower() in RESERVED:
            raise BadInput(
                f"a feature cannot be called {name!r}: the name is empty, too long, or one of the store's own "
                f"({', '.join(sorted(RESERVED))})",
                feature=name,
            )
        if kind not in KIND_TYPES:
            raise BadInput(
                f"feature {name!r} has kind {kind!r}; it must be numeric or categorical", feature=name
            )
    if len({name.lower() for name in features}) != len(features):
        raise BadInput("two features differ only in upper and lower case; SQL engines cannot tell them apart")


def table_path(observations: Path, model: str, stream: Stream) -> Path:
    """The folder of one Delta table. Raises `BadInput` for a path that the Delta library cannot open."""
    unfit = sorted(set(str(observations)) & set("%[\\]^|"))
    if unfit:
        raise BadInput(
            f"the observation store cannot lie in {observations}: Delta Lake cannot open a path with "
            f"{' '.join(unfit)}; choose another folder",
            path=str(observations),
        )
    return observations / check_table(model) / stream


def time_column(stream: Stream) -> str:
    """The column whose UTC date is the partition `day`."""
    return "ts" if stream == "predictions" else "label_ts"


def base_fields(stream: Stream) -> Mapping[str, pa.DataType]:
    """The columns that every table of this stream has, in storage order."""
    return {**(PREDICTION_FIELDS if stream == "predictions" else LABEL_FIELDS), **STORE_FIELDS}


def feature_columns(table_schema: pa.Schema) -> dict[str, Kind]:
    """The feature columns of a stored predictions table, from its Arrow schema."""
    base = base_fields("predictions")
    return {
        field.name: "categorical" if pa.types.is_string(field.type) else "numeric"
        for field in table_schema
        if field.name not in base
    }
