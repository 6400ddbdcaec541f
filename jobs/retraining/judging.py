"""What the trained model is worth: held-out figures, the champion on the same rows, and what moves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from backend import clock
from backend.database.session import reading
from backend.governance.flips import count_flips, unknown_flips
from backend.governance.group_rates import compare_groups, unknown_groups
from backend.governance.live_facts import decisions_a_day
from backend.governance.pairs import Answers, PairedRows
from backend.governance.same_rows import compare_rows, risk_a_day, unknown_comparison
from backend.monitoring.performance import measure
from backend.registry.artefacts import artefact_digest, file_digest
from backend.registry.tables import Version
from jobs.models import ModelEnded, open_model
from jobs.models.explaining import prepared_there
from jobs.paired_rows import answers_to, score_rows
from jobs.retraining.rows import TARGET, ensure_parts
from jobs.retraining.work import REFERENCE, Work

MOST_HELD_OUT: Final = 100_000  # the newest; the version's reference


def candidate_of(work: Work, number: int = 0) -> Version:
    """The trained files as a version that nobody has registered yet."""
    trained, parts = work.found["train"], work.found["split"]
    reference = work.file(REFERENCE)
    return Version(
        model=work.model.name, version=number or (work.parent.version + 1 if work.parent else 1),
        run_id=work.retraining.id, uri=trained["artefact"], artefact_digest=trained["digest"],
        cutoff=_cutoff(work), parameters=trained["parameters"], metrics={},
        training={"from": parts["train"]["from"], "to": parts["test"]["from"]},
        reference_path=str(reference), reference_digest=file_digest(reference) if reference.is_file() else "",
        card_path="", card_digest="", trained_at=clock.now(),
    )  # fmt: skip


def _cutoff(work: Work) -> float:
    return work.parent.cutoff if work.parent is not None else work.spec.cutoff


def evaluate(work: Work) -> dict[str, Any]:
    """Score the held-out rows, then champion and candidate on the same rows: what decides on a promotion later, too."""
    ensure_parts(work)
    metrics = write_reference(work)
    work.tell(*(f"held out: {name} {one['value']:.4f}" for name, one in metrics.items()), progress=0.3)
    candidate = candidate_of(work)
    scored = score_rows(
        work.spec, work.retraining.environment, before=work.parent,
        before_cutoff=work.parent.cutoff if work.parent else None, after=candidate, after_cutoff=candidate.cutoff,
    )  # fmt: skip
    if scored.answers is False:
        raise ValueError(scored.answers_not)
    compared = _compared(work, scored.pairs, scored.missing, scored.reasons)
    for one in compared["same_rows"].get("metrics", ()):
        if one["value"] is not None:
            low, high = one["low"], one["high"]
            span = f", between {low:+.4f} and {high:+.4f}" if low is not None else ""
            work.tell(
                f"{one['metric']}: {one['before']:.4f} to {one['after']:.4f} ({one['value']:+.4f}{span})"
            )
    return {"metrics": metrics, "reference_rows": _rows(work), **compared, "size": _sizes(work, candidate)}


def write_reference(work: Work) -> dict[str, dict[str, float | None]]:
    """The held-out rows with the candidate's answers: its reference; gives the held-out metrics with intervals."""
    import pandas as pd

    frame = pd.read_parquet(work.file("test.parquet")).tail(MOST_HELD_OUT).reset_index(drop=True)
    found = answers_to(work.spec, candidate_of(work), _cutoff(work), frame)
    if work.spec.task != "regression":
        frame["score"] = found.score
    frame["prediction"] = (
        pd.to_numeric(pd.Series(found.prediction)) if work.spec.task == "regression" else found.prediction
    )
    draft = work.file(f".{REFERENCE}")
    # It stays as long as the version does, also after an erasure: no id leads from a row to whose it is.
    frame.drop(columns=["prediction_id", "label_ts"]).to_parquet(draft, index=False)
    draft.replace(work.file(REFERENCE))
    return {
        name: {"value": one.value, "low": one.low, "high": one.high, "rows": one.rows}
        for name, one in measure(work.spec, frame).metrics.items()
        if one.value is not None and np.isfinite(one.value)
    }


def _rows(work: Work) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(work.file(REFERENCE)).num_rows)


def _compared(
    work: Work, pairs: PairedRows | None, missing: str, reasons: dict[str, Any] | None
) -> dict[str, Any]:
    if pairs is None:
        return {
            "same_rows": unknown_comparison(missing), "groups": unknown_groups(missing),
            "flips": unknown_flips(missing), "at_risk": None, "calibration": None, "cost": None,
        }  # fmt: skip
    same, flips = compare_rows(work.spec, pairs), count_flips(work.spec, pairs, reasons=reasons)
    with reading() as session:
        a_day = decisions_a_day(session, work.spec, work.model.name, work.retraining.environment)
    return {
        "same_rows": same, "groups": compare_groups(work.spec, pairs), "flips": flips,
        "at_risk": risk_a_day(work.spec, same, flips, a_day=a_day),
        "calibration": _calibration(work, pairs.judged or pairs), "cost": _cost(pairs),
    }  # fmt: skip


def _calibration(work: Work, pairs: PairedRows) -> dict[str, Any] | None:
    """Expected calibration error of both on the labelled rows; None for a regression."""
    import pandas as pd

    if work.spec.task == "regression":
        return None
    known = pairs.labelled

    def error_of(side: Answers) -> float | None:
        rows = pd.DataFrame(
            {"score": side.score[known], "prediction": side.prediction[known], TARGET: pairs.label[known]}
        )
        found = measure(work.spec, rows).metrics.get("ece")
        return found.value if found is not None else None

    return {"before": error_of(pairs.before), "after": error_of(pairs.after), "rows": int(known.sum())}


def _cost(pairs: PairedRows) -> dict[str, Any]:
    """Median time of one row and most memory of all rows, of both, on this machine."""
    found = {}
    for name, side in (("before", pairs.before), ("after", pairs.after)):
        taken = side.measured
        found[name] = {
            "latency_ms": float(np.median(taken.latency_ms)) if taken.latency_ms else None,
            "memory_bytes": max(taken.memory_bytes, default=None),
            "loaded_bytes": taken.loaded_bytes,
        }
    return found


def _sizes(work: Work, candidate: Version) -> dict[str, int | None]:
    return {
        "before": _size(Path(work.parent.uri.removeprefix("file://"))) if work.parent is not None else None,
        "after": _size(Path(candidate.uri)),
    }


def _size(folder: Path) -> int | None:
    return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file()) if folder.is_dir() else None


def explain(work: Work) -> dict[str, Any]:
    """Global SHAP values over the held-out rows. A model for which there are none goes on without, and says why."""
    import pandas as pd

    from jobs.compute_shap import explain as explain_rows

    candidate = candidate_of(work)
    if artefact_digest(Path(candidate.uri)) != candidate.artefact_digest:
        raise ValueError("the trained files changed since training ended")
    reference = pd.read_parquet(work.file(REFERENCE))
    try:
        with open_model(candidate.uri, candidate.artefact_digest) as opened:
            prepared = prepared_there(opened, reference, work.spec)
            found = explain_rows(
                prepared, reference, work.spec, model=work.model.name, version=candidate.version
            )
    except ModelEnded:
        raise
    except Exception as error:  # noqa: BLE001 - shap and models raise anything; a promotion does not need it
        why = str(getattr(error, "message", "")) or f"{type(error).__name__}: {error}"
        work.tell(f"not explained: {why}")
        return {"known": False, "why": why}
    work.tell(f"{found.rows:,} rows, {found.method}")
    return {
        "known": True, "rows": found.rows, "method": found.method, "base_value": found.base_value,
        "contributions": [
            {"column": one.column, "mean_abs": one.mean_abs, "direction": one.direction, "se": one.se}
            for one in found.contributions
        ],
    }  # fmt: skip
