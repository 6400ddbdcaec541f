"""What holds keep of a model's rows: predictions, labels, shadows' rows and explanations.

A hold on the model's `predictions` keeps every row; one on a data subject the rows of that person, whoever names them
by their prediction ids and however old they are. Rows are looked through only while somebody is on hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backend.database.session import ReadSession
from backend.holds.service import held, held_subjects, open_holds
from backend.holds.tables import EVERYTHING, Hold
from backend.monitoring.columns import parse_spec
from backend.observations.pseudonyms import pseudonym
from backend.registry.tables import Model
from backend.settings import settings


@dataclass(frozen=True)
class KeptRows:
    """What retention leaves alone of a model. `hold`: it keeps every row; `ids`: else the predictions it keeps."""

    hold: Hold | None = None
    ids: frozenset[str] = frozenset()


def kept_rows(session: ReadSession, model: str) -> KeptRows:
    """What is held of the rows of a model."""
    every, people = _holds_on(session, model)
    if every is not None or not people:
        return KeptRows(every)
    from backend.observations.erasing import ids_of_subjects

    where = settings()
    tokens = held_subjects(session, model).keys()
    ids = ids_of_subjects(
        where.observations, where.spool, model, _subject_column(session, model),
        lambda value: pseudonym(model, value) in tokens,
    )  # fmt: skip
    return KeptRows(None, ids)


def hold_on_rows(
    session: ReadSession, model: str, *, prediction_ids: Iterable[str] = (), values: Iterable[str] = ()
) -> Hold | None:
    """The hold on any of these rows, or None. `values`: what the subject column holds for whose rows they are."""
    every, people = _holds_on(session, model)
    if every is not None or not people:
        return every
    named, ids = set(values), sorted(set(prediction_ids))
    column = _subject_column(session, model)
    if ids and column:
        from backend.observations.erasing import subjects_of

        named |= subjects_of(settings().observations, settings().spool, model, ids, column)
    tokens = held_subjects(session, model)
    found = (tokens.get(pseudonym(model, value)) for value in sorted(named))
    return next((one for one in found if one is not None), None)


def count_held(session: ReadSession, hold: Hold) -> int | None:
    """How many predictions a hold on a data subject keeps now, so that a misspelt value is noticed."""
    column = _subject_column(session, hold.model) if hold.model and hold.kind == "person" else ""
    if not hold.model or not column or hold.object_id == EVERYTHING:
        return None
    from backend.observations.erasing import ids_of_subjects

    model, token = hold.model, pseudonym(hold.model, hold.object_id)
    where = settings()
    return len(
        ids_of_subjects(
            where.observations, where.spool, model, column, lambda value: pseudonym(model, value) == token
        )
    )


def any_hold_on_rows(session: ReadSession, model: str) -> Hold | None:
    """A hold on some rows of the model at least."""
    every, people = _holds_on(session, model)
    return every or next(iter(people), None)


def _holds_on(session: ReadSession, model: str) -> tuple[Hold | None, list[Hold]]:
    """The hold on all rows of a model, and those on people who may have some."""
    people = [one for one in open_holds(session, "person") if one.model in (None, model)]
    every = held(session, "predictions", model) or next(
        (one for one in people if one.object_id == EVERYTHING), None
    )
    if every is None and not _subject_column(session, model):
        # The spec said whose rows are whose when this hold was placed, and does not any more: nobody can tell.
        every = next((one for one in people if one.model == model and one.object_id.startswith("psn_")), None)
        people = []
    return every, people


def _subject_column(session: ReadSession, model: str) -> str:
    row = session.get(Model, model)
    return parse_spec(row.spec).subject if row is not None and row.spec else ""
