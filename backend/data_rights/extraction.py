"""The rows of a model that something may learn from. Training data are extracted here and nowhere else.

Only for a purpose that is recorded for the model, and without the rows of anybody who opted out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from backend.data_rights.rules import PURPOSES, opted_out, rule_of
from backend.database.session import ReadSession
from backend.errors import BadInput, Conflict
from backend.identity.actor import Actor
from backend.monitoring.columns import parse_spec
from backend.observations.pseudonyms import pseudonym, require_key
from backend.observations.reader import Filter, read
from backend.registry.service import get_model


class NoPurpose(Conflict):
    """The data of this model are not recorded for that use."""

    title = "Not for this purpose"


@dataclass(frozen=True)
class Extract:
    """Rows as `observations.reader.read` gives them, and how many were left out because a person opted out."""

    rows: pa.Table
    opted_out: int
    purpose: str


def extract_rows(
    session: ReadSession,
    actor: Actor,
    *,
    model: str,
    observations: Path,
    where: Filter | None = None,
    columns: Sequence[str] | None = None,
    purpose: str = "retraining",
) -> Extract:
    """Predictions with labels for `purpose`. Raises `NoPurpose` where none of that kind is recorded, and `BadInput`.

    Where people opted out and the subject column is not stored, nobody could be left out: that is `NoPurpose` too, and
    `Conflict` where the key is gone under which they are known.
    """
    if purpose not in PURPOSES:
        raise BadInput(f"{purpose!r} is no purpose; those are {', '.join(PURPOSES)}")
    spec = parse_spec(get_model(session, actor, model).spec)
    rule = rule_of(session, actor, model)
    if rule is None or purpose not in rule.purposes:
        raise NoPurpose(
            f"the data of {model} are not recorded for {purpose} ({PURPOSES[purpose]}); compliance records purposes on "
            "the Data rights page, with the ground for it"
        )
    out = opted_out(session, model)
    if not out:
        return Extract(read(observations, model, where, columns=columns), 0, purpose)
    if not spec.subject:
        raise NoPurpose(
            f"{len(out)} people opted out of {model}, whose spec no longer says by which column they are known"
        )
    require_key(model)
    wanted = None if columns is None else list(dict.fromkeys([*columns, spec.subject]))
    rows = read(observations, model, where, columns=wanted)
    subjects = rows.column(spec.subject).cast(pa.string())
    refused = pa.array(
        [one for one in pc.unique(subjects).to_pylist() if one is not None and pseudonym(model, one) in out],
        pa.string(),
    )
    kept = rows.filter(pc.invert(pc.is_in(subjects, refused)))
    return Extract(kept if columns is None else kept.select(columns), len(rows) - len(kept), purpose)
