"""Why the gateway does not answer with a prediction. Each kind is a value of `warrant_request_errors_total`.

UnknownModel    404   no model of that name is registered
BadFeature      422   the body does not fit the model's spec; says which row, field and why
BodyTooLarge    413
SlowBody        408   the body did not arrive in time
IdTaken         409   the prediction_id was used with other content
Overloaded      429   the bounded queue is full
NotServing      503   no version is loaded, or none is deployed
TimedOut        504   no answer in time
ScoringFailed   500   the model itself failed on this row
"""

from __future__ import annotations

from backend.errors import BadInput, Conflict, NotFound, TooMany, Unavailable, WarrantError


class UnknownModel(NotFound):
    title = "Unknown model"


class BadFeature(BadInput):
    """`field` is a feature or a key of the body, `row` counts from 0 within `instances`.

    `expected` and `got` say in words what stands there and what should; they are for the client and never logged.
    """

    title = "Bad request body"

    def __init__(
        self, field: str, reason: str, *, row: int | None = None, expected: str = "", got: str = ""
    ) -> None:
        where = f"{field}: " if row is None else f"instances[{row}] {field}: "
        super().__init__(
            where + reason, field=field, column=field, reason=reason, row=row, expected=expected, got=got
        )


class BodyTooLarge(BadInput):
    status = 413
    title = "Body too large"


class SlowBody(BadInput):
    status = 408
    title = "Body not received in time"


class IdTaken(Conflict):
    title = "Prediction id taken"


class Overloaded(TooMany):
    title = "Queue full"


class NotServing(Unavailable):
    title = "No version is serving"


class TimedOut(Unavailable):
    """The answer took too long. The prediction may still become durable: the same id gets it when it is asked again."""

    status = 504
    title = "Timed out"


class ScoringFailed(WarrantError):
    title = "Scoring failed"


class NotLoadable(WarrantError):
    """The artefact cannot be served: it is not there, of a kind the gateway does not run, or does not fit the spec."""

    title = "Version not loadable"
