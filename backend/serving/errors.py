"""Why the gateway does not answer with a prediction. Each kind is a value of `warrant_request_errors_total`.

UnknownModel    404   no model of that name is registered
BadFeature      422   the body does not fit the model's spec; says which row, field and why
BodyTooLarge    413
IdTaken         409   the prediction_id was used with other content
Overloaded      429   the bounded queue is full
NotServing      503   no version is loaded, or none is deployed
ScoringFailed   500   the model itself failed on this row
"""

from __future__ import annotations

from backend.errors import BadInput, Conflict, NotFound, TooMany, Unavailable, WarrantError


class UnknownModel(NotFound):
    title = "Unknown model"


class BadFeature(BadInput):
    """`field` is a feature or a key of the body, `row` counts from 0 within `instances`."""

    title = "Bad request body"

    def __init__(self, field: str, reason: str, *, row: int | None = None) -> None:
        where = f"{field}: " if row is None else f"instances[{row}] {field}: "
        super().__init__(where + reason, field=field, reason=reason, row=row)


class BodyTooLarge(BadInput):
    status = 413
    title = "Body too large"


class IdTaken(Conflict):
    title = "Prediction id taken"


class Overloaded(TooMany):
    title = "Queue full"


class NotServing(Unavailable):
    title = "No version is serving"


class ScoringFailed(WarrantError):
    title = "Scoring failed"


class NotLoadable(WarrantError):
    """The artefact cannot be served: it is not there, of a kind the gateway does not run, or does not fit the spec."""

    title = "Version not loadable"
