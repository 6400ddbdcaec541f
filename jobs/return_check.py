"""Whether the version to return to scores the rows that are asked about now: tried before an agreed return moves."""

from __future__ import annotations

import math
from typing import Any, Final

from backend.addresses import without_credentials
from backend.database.session import reading
from backend.errors import WarrantError
from backend.governance import errors
from backend.holds.artefacts import held_artefacts
from backend.monitoring.columns import parse_spec
from backend.observations.schema import feature_columns
from backend.registry.tables import Model, Version
from backend.settings import settings

ROWS: Final = 1000
ROWS_PER_PASS: Final = 200


def check_return(model: str, environment: str, to_version: int) -> int:
    """Score the last 1,000 live rows (or as many as there are) with the version; gives how many it scored.

    Raises `ReturnCannotScore` with the reason where there is no row, the version cannot be loaded, or a row gets no
    score. Rows that still wait in the spool are not among them.
    """
    from backend.observations import reader
    from backend.serving.loader import Loader

    with reading() as session:
        version = session.get_one(Version, (model, to_version))
        spec = parse_spec(session.get_one(Model, model).spec)
        held = {one.digest for one in held_artefacts(session)}
    where = reader.Filter(environments=[environment], roles=["champion", "canary"])
    rows = reader.recent(settings().observations, model, ROWS, where)
    if not rows.num_rows:
        raise errors.ReturnCannotScore(
            f"no prediction of {model} in {environment} is stored, so nothing shows that version {to_version} scores "
            "what is asked now; ask for a rollback instead"
        )
    features = {column.name: column.kind for column in spec.features}
    loader = Loader(settings().resolved_home() / "worker" / "artefacts", tracking_uri=settings().mlflow)
    try:
        predictor = loader.load(version.uri, version.artefact_digest)
        predictor.check_fits(features, spec.task)
    except Exception as failure:
        raise errors.ReturnCannotScore(
            f"version {to_version} cannot be loaded: {_words(failure)}"
        ) from failure
    loader.prune({version.artefact_digest, *held})
    stored = feature_columns(rows.schema)
    asked = [
        {name: row[name] for name in features if name in stored and row[name] is not None}
        for row in rows.to_pylist()
    ]
    for first in range(0, len(asked), ROWS_PER_PASS):
        _score(predictor, asked[first : first + ROWS_PER_PASS], features, spec.task, version)
    return len(asked)


def _score(
    predictor: Any, asked: list[dict[str, Any]], features: dict[str, Any], task: Any, version: Version
) -> None:
    try:
        scored = predictor.score(asked, features=features, task=task, cutoff=version.cutoff)
    except Exception as failure:
        raise errors.ReturnCannotScore(
            f"version {version.version} fails on live rows: {_words(failure)}"
        ) from failure
    for one in scored:
        value = float(one.prediction) if task == "regression" else one.score
        if value is None or not math.isfinite(value):
            raise errors.ReturnCannotScore(
                f"version {version.version} gives a live row the score {value}, which is no number"
            )


def _words(failure: Exception) -> str:
    return without_credentials(
        failure.message if isinstance(failure, WarrantError) else f"{type(failure).__name__}: {failure}"[:300]
    )
