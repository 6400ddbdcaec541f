"""Why one prediction came out as it did: what went in, what came out, by which version, and who let it decide.

Read from the observation store on request, never while a page is merely drawn. Contributions of the inputs are computed
by a job when somebody asks for them, and kept as long as the model's rule says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import or_, select

from backend.audit.actions import Action
from backend.audit.log import record
from backend.cards.versions import approved_card, newest_card
from backend.data_rights.handing_out import shown
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment
from backend.errors import BadInput, NotFound
from backend.explain.predictions import Stored, find_stored, mark_complaint
from backend.explain.reasons import is_declined, is_positive
from backend.explain.tables import ShapSummary
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.reach import allow
from backend.identity.roles import Permission
from backend.monitoring.columns import parse_spec
from backend.queue import EXPLAIN_PREDICTION, JobRun, request_job
from backend.registry.service import get_model
from backend.registry.tables import Version

LONGEST_ID: Final = 1024
NO_CHANGE: Final = (
    "No change is recorded that brought this version into service, and so nobody who let it decide."
)
NOBODY_BEFORE: Final = "Nobody approved the change before it was executed."
OUTCOMES: Final = ("score", "prediction")
FACTS: Final = ("ts", "version", "environment", "role", "source", "label", "label_status", "label_ts")


@dataclass(frozen=True)
class Explained:
    """Everything that is known of one prediction. Times are UTC.

    cutoff      at or above it the score was the positive class; None where no deployment of that time is recorded
    approvals   who agreed to the change that brought the version into service, with verdict, role and time
    contributions  what moved this prediction, largest first; empty where no job has computed it
    explanation    the stored explanation as the API answers it; None where no job has computed it
    declined       the decision is the one that is not good for whom it is about, as the spec says
    is_of_answer   False where the stored explanation is of another score than the recorded one
    usual       what moves this version's predictions in general: columns, largest first
    """

    model: str
    title: str
    prediction_id: str
    inputs: dict[str, Any]
    facts: dict[str, Any]
    score: float | None
    prediction: str | None
    cutoff: float | None
    decision: str
    deployment_id: int | None
    change: dict[str, Any] | None
    approvals: tuple[dict[str, Any], ...]
    trained_by: str | None
    card: dict[str, Any] | None
    contributions: tuple[dict[str, Any], ...]
    method: str
    usual: tuple[str, ...]
    explanation: dict[str, Any] | None = None
    declined: bool = False
    is_of_answer: bool = True

    @property
    def reasons(self) -> tuple[dict[str, Any], ...] | None:
        """The top adverse reasons of a declined case; None where none are declared or stored."""
        stored = self.explanation["reason_codes"] if self.explanation is not None else None
        return None if stored is None else tuple(stored)

    @property
    def version(self) -> int:
        return int(self.facts["version"])

    def as_dict(self) -> dict[str, Any]:
        """As the API answers it."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def explain_prediction(
    session: ReadSession, viewer: Actor, *, model: str, prediction_id: str, observations: Path
) -> Explained:
    """What is known of one prediction. Raises `NotFound`: it is not stored (yet, or any more)."""
    from backend.observations.reader import one_prediction  # duckdb and deltalake, for whoever asks

    allow(session, viewer, Permission.EXPLAIN_PREDICTION)
    found = get_model(session, viewer, model)
    if not 0 < len(prediction_id) <= LONGEST_ID:
        raise BadInput("write the id of one prediction", field="prediction_id")
    row = one_prediction(observations, model, prediction_id)
    if row is None:
        raise NotFound(
            f"no prediction {prediction_id!r} of {model} is stored: it came within the last seconds, was erased, or "
            "its days of retention are over"
        )
    deployment = deployment_of(session, model, row)
    change = session.get(Change, deployment.change_id) if deployment and deployment.change_id else None
    stored = find_stored(session, model, prediction_id)
    summary = session.get(ShapSummary, (model, row["version"]))
    version = int(row["version"])
    card = approved_card(session, model, version) or newest_card(session, model, version)
    spec = parse_spec(found.spec)
    cutoff = deployment.cutoff if deployment is not None and spec.task == "binary" else None
    registered = session.get(Version, (model, version))
    usual = registered.cutoff if registered is not None else spec.cutoff
    score = row["score"] if spec.task == "binary" else None
    positive = is_positive(spec, row["prediction"], row["score"], usual if cutoff is None else cutoff)
    trained_by = (change.trained_by if change else None) or (registered.trained_by if registered else None)
    names = names_of(
        session, {trained_by, *(one.person_id for one in (change.decisions if change is not None else ()))}
    )
    hidden = {
        *OUTCOMES,
        *FACTS,
        "prediction_id",
        "injected",
        "ingested_at",
        "row_digest",
        "label_ingested_at",
    }
    return Explained(
        model=model, title=found.title, prediction_id=prediction_id,
        inputs={name: value for name, value in row.items() if name not in hidden},
        facts={name: row[name] for name in FACTS},
        score=row["score"], prediction=row["prediction"], cutoff=cutoff,
        decision=_decision(row["score"], row["prediction"], cutoff),
        deployment_id=deployment.id if deployment is not None else None,
        change=_change(change), approvals=_approvals(change, names),
        trained_by=names.get(trained_by or ""),
        card={"number": card.number, "state": card.state} if card is not None else None,
        contributions=stored.contributions if stored is not None else (),
        method=method_words(stored, score) if stored is not None else "",
        is_of_answer=stored is None or stored.is_of(score),
        explanation=stored.view() if stored is not None else None,
        declined=spec.task == "binary" and is_declined(spec, positive),
        usual=tuple(one["column"] for one in summary.features[:5]) if summary is not None else (),
    )  # fmt: skip


def request_explanation(
    session: WriteSession, actor: Actor, *, model: str, prediction_id: str, complaint: bool = False
) -> JobRun:
    """Have a job compute what moved one prediction. The same again is the same run until it is over.

    complaint  somebody complained of the decision; the stored explanation says so
    """
    allow(session, actor, Permission.EXPLAIN_PREDICTION)
    get_model(session, actor, model)
    if complaint:
        mark_complaint(session, model, prediction_id)
    run = find_run(session, model, prediction_id, ("queued", "running"))
    if run is not None and (not complaint or run.arguments.get("complaint")):
        return run
    run = request_job(
        session, EXPLAIN_PREDICTION, subject=model,
        arguments={"prediction_id": prediction_id, **({"complaint": True} if complaint else {})},
        requested_by=actor.person_row,
    )  # fmt: skip
    record(session, actor, Action.PREDICTION_EXPLAINED, object_kind="model", object_id=model,
           payload={"run": run.id, "complaint": complaint})  # fmt: skip
    return run


def find_run(
    session: ReadSession, model: str, prediction_id: str, states: Sequence[str], since: datetime | None = None
) -> JobRun | None:
    """The newest run that explains, or explained, this prediction; `since`: that was over after then."""
    query = (
        select(JobRun)
        .where(JobRun.name == EXPLAIN_PREDICTION.name, JobRun.subject == model, JobRun.state.in_(states))
        .order_by(JobRun.requested_at.desc())
    )
    if since is not None:
        query = query.where(JobRun.finished_at > since)
    return next(
        (run for run in session.scalars(query) if run.arguments.get("prediction_id") == prediction_id), None
    )


def method_words(stored: Stored, score: float | None) -> str:
    """How the stored values were computed, against what, whether they add up, and to what was answered, for people."""
    explainer, row = stored.explainer, stored.row
    usual = (
        f"{explainer.background_rows} rows of its reference data ({explainer.background_digest[:19]}…)"
        if explainer.background_rows
        else "the rows it was trained on"
    )
    whole = (
        f"They add up: {row.base_value:.4g} as a rule and the contributions give {row.output:.4g}."
        if stored.adds_up
        else f"They do not add up: {row.gap:+.4g} of the output {row.output:.4g} is not accounted for, so do not rely "
        "on them."
    )
    other = (
        ""
        if stored.is_of(score)
        else f" But they explain another answer: to the stored inputs the version answers {stored.answered:.4g}, and "
        f"{score:.4g} was recorded. Somebody else scored this row, or its inputs changed on their way."
    )
    return (
        f"By how much each input moved the model's output ({explainer.unit}) away from what is usual in {usual}. "
        f"{explainer.method}. {whole}{other}"
    )


def _decision(score: float | None, prediction: str | None, cutoff: float | None) -> str:
    if score is None or cutoff is None:
        return f"The answer was {prediction}." if prediction is not None else f"The score was {shown(score)}."
    side = "at or above" if score >= cutoff else "below"
    if prediction is None:
        said = f"The score was {score:.4g}, {side} the cut-off {cutoff:g}."
        return f"{said} Which answer was given is not recorded: only the score was sent."
    return f"The score was {score:.4g}, {side} the cut-off {cutoff:g}, so the answer was {prediction}."


def deployment_of(session: ReadSession, model: str, row: Mapping[str, Any]) -> Deployment | None:
    """The period of service in which the prediction was made. Rows that others sent name none: the version decides."""
    at = row["ts"]
    query = (
        select(Deployment)
        .where(
            Deployment.model == model,
            Deployment.environment == row["environment"],
            Deployment.version == row["version"],
            Deployment.started_at <= at,
            or_(Deployment.ended_at.is_(None), Deployment.ended_at > at),
        )
        .order_by((Deployment.role == row["role"]).desc(), Deployment.id.desc())
        .limit(1)
    )
    return session.scalars(query).first()


def cutoff_at(session: ReadSession, model: str, row: Mapping[str, Any], *, otherwise: float) -> float:
    """What the score of a prediction was held against in its time; `otherwise` where no service is recorded of it."""
    served = deployment_of(session, model, row)
    return otherwise if served is None else served.cutoff


def _change(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "id": change.id, "ref": f"CHG-{change.id}", "summary": change.summary, "executed_at": change.finished_at,
        "requested_at": change.requested_at,
    }  # fmt: skip


def _approvals(change: Change | None, names: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    if change is None:
        return ()
    return tuple(
        {"person": names[one.person_id], "role": one.role.replace("_", " "), "verdict": one.verdict,
         "at": one.decided_at}
        for one in change.counted
    )  # fmt: skip
