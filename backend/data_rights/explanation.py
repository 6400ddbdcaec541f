"""Why one prediction came out as it did: what went in, what came out, by which version, and who let it decide.

Read from the observation store on request, never while a page is merely drawn. Contributions of the inputs are computed
by a job when somebody asks for them, and kept as long as the model's rule says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import or_, select

from backend import clock
from backend.audit.actions import Action
from backend.audit.log import record
from backend.cards.versions import approved_card, newest_card
from backend.data_rights.handing_out import FORMS, contributions_table, shown
from backend.data_rights.tables import PredictionExplanation
from backend.database.session import ReadSession, WriteSession
from backend.deployment.tables import Deployment
from backend.documents import Block, Heading, Paragraph, Sheet, Table, plain, standalone_html
from backend.errors import BadInput, NotFound
from backend.explain.tables import ShapSummary
from backend.governance.digests import digest_of
from backend.governance.tables import Change
from backend.identity.actor import Actor
from backend.identity.people import names_of
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

    viewer.require(Permission.EXPLAIN_PREDICTION)
    found = get_model(session, viewer, model)
    if not 0 < len(prediction_id) <= LONGEST_ID:
        raise BadInput("write the id of one prediction", field="prediction_id")
    row = one_prediction(observations, model, prediction_id)
    if row is None:
        raise NotFound(
            f"no prediction {prediction_id!r} of {model} is stored: it came within the last seconds, was erased, or "
            "its days of retention are over"
        )
    deployment = _deployment_of(session, model, row)
    change = session.get(Change, deployment.change_id) if deployment and deployment.change_id else None
    stored = session.get(PredictionExplanation, (model, prediction_id))
    summary = session.get(ShapSummary, (model, row["version"]))
    version = int(row["version"])
    card = approved_card(session, model, version) or newest_card(session, model, version)
    task = parse_spec(found.spec).task
    cutoff = deployment.cutoff if deployment is not None and task == "binary" else None
    registered = session.get(Version, (model, version))
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
        contributions=tuple(stored.contributions) if stored is not None else (),
        method=stored.method if stored is not None else "",
        usual=tuple(one["column"] for one in summary.features[:5]) if summary is not None else (),
    )  # fmt: skip


def request_explanation(session: WriteSession, actor: Actor, *, model: str, prediction_id: str) -> JobRun:
    """Have a job compute what moved one prediction. The same again is the same run until it is over."""
    actor.require(Permission.EXPLAIN_PREDICTION)
    get_model(session, actor, model)
    open_runs = select(JobRun).where(
        JobRun.name == EXPLAIN_PREDICTION.name,
        JobRun.subject == model,
        JobRun.state.in_(("queued", "running")),
    )
    for run in session.scalars(open_runs):
        if run.arguments.get("prediction_id") == prediction_id:
            return run
    run = request_job(
        session, EXPLAIN_PREDICTION, subject=model, arguments={"prediction_id": prediction_id},
        requested_by=actor.person_row,
    )  # fmt: skip
    record(session, actor, Action.PREDICTION_EXPLAINED, object_kind="model", object_id=model,
           payload={"run": run.id})  # fmt: skip
    return run


def keep_explanation(
    session: WriteSession, actor: Actor, *, model: str, prediction_id: str, version: int, method: str,
    contributions: list[dict[str, Any]],
) -> None:  # fmt: skip
    """Keep what a job computed, in place of an earlier one."""
    actor.require(Permission.COMPUTE_METRICS)
    row = session.get(PredictionExplanation, (model, prediction_id))
    if row is None:
        row = PredictionExplanation(model=model, prediction_id=prediction_id)
        session.add(row)
    row.version, row.computed_at, row.method = version, clock.now(), method
    row.contributions = sorted(contributions, key=lambda one: (-abs(one["contribution"]), one["column"]))
    session.flush()


def explanation_document(explained: Explained, form: str) -> tuple[bytes, str]:
    """The explanation as HTML, PDF or JSON, and its media type."""
    if form not in FORMS:
        raise NotFound(f"an explanation is handed out as {', '.join(FORMS)}, not as {form}")
    document = json.loads(json.dumps(explained.as_dict(), default=_plain))
    if form == "json":
        return json.dumps(document, indent=1, ensure_ascii=False).encode(), FORMS[form]
    sheet = Sheet(
        f"How a decision of {explained.model} came about",
        explained.prediction_id[:60],
        digest_of(document),
        clock.now(),
    )
    if form == "html":
        return standalone_html(sheet, blocks_of(explained)).encode(), FORMS[form]
    from backend.documents.pdf import pdf_of

    return pdf_of(sheet, blocks_of(explained)), FORMS[form]


def blocks_of(explained: Explained) -> list[Block]:
    """The document, for somebody who has never seen Warrant."""
    facts = explained.facts
    blocks: list[Block] = [
        Heading(1, plain(f"How a decision of {explained.title} came about")),
        Paragraph(plain(explained.decision, bold=True)),
        Paragraph(
            plain(
                f"Prediction {explained.prediction_id} was made on {utc(facts['ts'])} by version {explained.version}, "
                f"in {facts['environment']} as {facts['role']}. {_label_words(facts)}"
            )
        ),
        Heading(2, plain("What went in")),
        _pairs(explained.inputs),
        Heading(2, plain("What moved it")),
    ]
    if explained.contributions:
        blocks += [Paragraph(plain(explained.method)), contributions_table(explained.contributions)]
    else:
        usual = ", ".join(explained.usual)
        blocks.append(
            Paragraph(
                plain(
                    "What moved this single prediction has not been computed. "
                    + (f"In general this version looks most at: {usual}." if usual else "")
                )
            )
        )
    blocks += [Heading(2, plain("Who let this version decide")), *_who(explained)]
    return blocks


def utc(moment: datetime | None) -> str:
    """As records write times."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment is not None else "no time that is recorded"


def _who(explained: Explained) -> list[Block]:
    change, blocks = explained.change, list[Block]()
    if change is None:
        blocks.append(Paragraph(plain(NO_CHANGE)))
    else:
        blocks.append(
            Paragraph(
                plain(f"{change['ref']} ({change['summary']}) was executed on {utc(change['executed_at'])}.")
            )
        )
        blocks.append(
            Table(
                (plain("who"), plain("in the role"), plain("verdict"), plain("when")),
                tuple(
                    (plain(one["person"]), plain(one["role"]), plain(one["verdict"]), plain(utc(one["at"])))
                    for one in explained.approvals
                ),
            )
            if explained.approvals
            else Paragraph(plain(NOBODY_BEFORE))
        )
    if explained.trained_by:
        blocks.append(Paragraph(plain(f"Trained by {explained.trained_by}.")))
    if explained.card:
        state = explained.card["state"]
        blocks.append(Paragraph(plain(f"Its model card is number {explained.card['number']} ({state}).")))
    return blocks


def _pairs(values: Mapping[str, Any]) -> Table:
    return Table(
        (plain("input"), plain("value")),
        tuple((plain(name), plain(shown(value))) for name, value in values.items()),
    )


def _decision(score: float | None, prediction: str | None, cutoff: float | None) -> str:
    if score is None or cutoff is None:
        return f"The answer was {prediction}." if prediction is not None else f"The score was {shown(score)}."
    side = "at or above" if score >= cutoff else "below"
    if prediction is None:
        said = f"The score was {score:.4g}, {side} the cut-off {cutoff:g}."
        return f"{said} Which answer was given is not recorded: only the score was sent."
    return f"The score was {score:.4g}, {side} the cut-off {cutoff:g}, so the answer was {prediction}."


def _label_words(facts: Mapping[str, Any]) -> str:
    if facts["label_status"] == "known":
        return f"What came true, known since {utc(facts['label_ts'])}: {facts['label']}."
    if facts["label_status"] == "will_not_come":
        return "What came true will not become known."
    return "What came true is not known yet."


def _deployment_of(session: ReadSession, model: str, row: Mapping[str, Any]) -> Deployment | None:
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


def _plain(value: Any) -> str:
    return clock.to_iso(value) if isinstance(value, datetime) else str(value)
