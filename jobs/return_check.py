"""Whether the version to return to scores the rows that are asked about now: tried before an agreed return moves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from backend.addresses import without_credentials
from backend.database.session import reading
from backend.errors import WarrantError
from backend.governance import errors
from backend.monitoring.columns import ModelSpec, parse_spec
from backend.observations.schema import feature_columns
from backend.registry.tables import Model, Version
from backend.settings import settings
from jobs.models import ModelProcess, ModelRaised, open_model

if TYPE_CHECKING:
    import pandas as pd

ROWS: Final = 1000


def check_return(model: str, environment: str, to_version: int) -> int:
    """Score the last 1,000 live rows (or as many as there are) with the version; gives how many it scored.

    Raises `ReturnCannotScore` with the reason where there is no row, the version cannot be loaded, or a row gets no
    score. Rows that still wait in the spool are not among them.
    """
    from backend.observations import reader

    with reading() as session:
        version = session.get_one(Version, (model, to_version))
        spec = parse_spec(session.get_one(Model, model).spec)
    where = reader.Filter(environments=[environment], roles=["champion", "canary"])
    rows = reader.recent(settings().observations, model, ROWS, where)
    if not rows.num_rows:
        raise errors.ReturnCannotScore(
            f"no prediction of {model} in {environment} is stored, so nothing shows that version {to_version} scores "
            "what is asked now; ask for a rollback instead"
        )
    names = [one.name for one in spec.features if one.name in feature_columns(rows.schema)]
    asked = rows.select(names).to_pandas()
    try:
        with open_model(version.uri, version.artefact_digest) as opened:
            opened.check_fits(spec)
            _score(opened, asked, spec, version)
    except errors.ReturnCannotScore:
        raise
    except Exception as failure:
        raise errors.ReturnCannotScore(
            f"version {to_version} cannot be loaded: {_words(failure)}"
        ) from failure
    return len(asked)


def _score(opened: ModelProcess, asked: pd.DataFrame, spec: ModelSpec, version: Version) -> None:
    try:
        scored = opened.score(opened.send(asked), spec, version.cutoff)
    except Exception as failure:
        raise errors.ReturnCannotScore(
            f"version {version.version} fails on live rows: {_words(failure)}"
        ) from failure
    for one in scored:
        value = float(one.prediction) if spec.task == "regression" else one.score
        if value is None or not math.isfinite(value):
            raise errors.ReturnCannotScore(
                f"version {version.version} gives a live row the score {value}, which is no number"
            )


def _words(failure: Exception) -> str:
    if isinstance(failure, WarrantError | ModelRaised):
        return without_credentials(failure.message)
    return without_credentials(f"{type(failure).__name__}: {failure}"[:300])
