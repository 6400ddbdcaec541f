"""What the people behind the data may ask for: erasure, access, opting out, and being told why."""

from __future__ import annotations

from datetime import timedelta
from statistics import median

from sqlalchemy import func, select

from backend.controls.evidence import Evidence, Link, Question
from backend.controls.queries.answers import aged, count, data_link, missing, moved_since, not_shown, utc
from backend.controls.queries.monitoring import spec_of
from backend.controls.queries.registry import query
from backend.data_rights.tables import DataRequest, DataRule, OptOut
from backend.explain.tables import PredictionExplanation
from backend.governance.tables import Change

ENDED = ("rejected", "expired", "void", "cancelled")


@query("subject_declared", "Rows can be found by person", moment="now")
def subject_declared(asked: Question) -> Evidence:
    """Whether the model's description names the column that says whom a row is about. Without it, rows are found by
    prediction id only."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    if not spec.subject:
        told = "its description names no subject column; rows are found by prediction id only"
        return missing(told, data_link(asked.name))
    return Evidence("present", f"by the column {spec.subject}", None, (data_link(asked.name),), spec.subject)


@query("pseudonyms", "The person is stored as a pseudonym", moment="now")
def pseudonyms(asked: Question) -> Evidence:
    """Whether the column that says whom a row is about is replaced before anything is stored."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    if not spec.subject:
        return missing("its description names no subject column", data_link(asked.name))
    if spec.subject not in spec.pseudonymise:
        return missing(f"{spec.subject} is stored as it comes", data_link(asked.name))
    return Evidence(
        "present", f"{', '.join(spec.pseudonymise)} stored as pseudonyms", None, (data_link(asked.name),),
        ",".join(spec.pseudonymise),
    )  # fmt: skip


@query("purposes_recorded", "Purposes and ground of its data are recorded")
def purposes_recorded(asked: Question) -> Evidence:
    """What the model's data may be used for, and on which ground. That it is written, not that it is right."""
    rule = asked.session.get(DataRule, asked.name)
    link = data_link(asked.name)
    if rule is None:
        return missing("no rule of its data is written", link)
    if rule.updated_at > asked.at:
        return moved_since(asked, "the rule of its data", rule.updated_at)
    if not rule.purposes or not rule.basis.strip():
        absent = " and ".join(
            name for name, value in (("purpose", rule.purposes), ("ground", rule.basis.strip())) if not value
        )
        return missing(f"its rule names no {absent}", link)
    mark = f"{rule.purposes} {rule.basis}"
    return Evidence(
        "present", f"{', '.join(rule.purposes)}: {rule.basis[:120]}", rule.updated_at, (link,), mark
    )


@query("retention_set", "How long its data are kept is set")
def retention_set(asked: Question) -> Evidence:
    """Whether an end is set for predictions and labels of the model."""
    rule = asked.session.get(DataRule, asked.name)
    link = data_link(asked.name)
    if rule is not None and rule.updated_at > asked.at:
        return moved_since(asked, "the rule of its data", rule.updated_at)
    if rule is None or not rule.predictions_days:
        return missing("no end is set for its predictions and labels", link)
    told = f"predictions and labels are kept {rule.predictions_days:,} days"
    return Evidence("present", told, rule.updated_at, (link,), str(rule.predictions_days))


@query("requests_answered", "Requests to {kind} answered within {within_days} days")
def requests_answered(asked: Question, *, kind: str, within_days: float = 30, days: float = 730) -> Evidence:
    """Requests of data subjects about the model's rows: whether each was carried out, or its change refused, in time.
    Without one there is nothing to see."""
    rows = asked.session.execute(
        select(DataRequest, Change.state, Change.finished_at)
        .outerjoin(Change, Change.id == DataRequest.change_id)
        .where(
            DataRequest.model == asked.name, DataRequest.kind == kind, DataRequest.requested_at <= asked.at,
            DataRequest.requested_at > asked.at - timedelta(days=days),
        )
        .order_by(DataRequest.requested_at)
    ).all()  # fmt: skip
    word = "erase rows" if kind == "erase" else "hand out rows"
    if not rows:
        told = f"nobody has asked to {word} in the {days:g} days before, so nothing shows how one is answered"
        return not_shown(told, data_link(asked.name))
    late, took, waiting = [], [], 0
    for request, state, finished in rows:
        over = request.done_at or (finished if state in ENDED else None)
        over = over if over is not None and over <= asked.at else None
        if ((over or asked.at) - request.requested_at) > timedelta(days=within_days):
            late.append(request)
        waiting += over is None
        if over is not None:
            took.append((over - request.requested_at).total_seconds() / 86400)
    newest = rows[-1][0].requested_at
    links = tuple(Link("data_request", one.id, one.id) for one in (late or [row[0] for row in rows])[:10])
    if late:
        told = f"{len(late)} of {count(len(rows), 'request')} to {word} took or takes longer than {within_days:g} days"
        return Evidence("contradicted", told, newest, links, ",".join(one.id for one in late))
    told = f"{count(len(rows), 'request')} to {word}, {waiting} under way"
    if took:
        told += f"; half were over within {median(took):.1f} days"
    return Evidence("present", told, newest, links)


@query("opt_outs", "Opting out is possible, and honoured by extraction", moment="now")
def opt_outs(asked: Question) -> Evidence:
    """Whether people can be told apart, so that rows of who opted out stay out of training data, and how many have."""
    spec = spec_of(asked)
    if isinstance(spec, Evidence):
        return spec
    if not spec.subject:
        return missing(
            "its description names no subject column, so nobody can opt out", data_link(asked.name)
        )
    number, last = asked.session.execute(
        select(func.count(), func.max(OptOut.since)).where(
            OptOut.model == asked.name, OptOut.withdrawn_at.is_(None)
        )
    ).one()
    told = f"{count(number, 'person', 'people')} opted out" if number else "nobody has opted out"
    return Evidence("present", told, last, (data_link(asked.name),), spec.subject)


@query("predictions_explained", "Single predictions were explained")
def predictions_explained(asked: Question, *, max_age_days: float = 365) -> Evidence:
    """Explanations of single predictions that were computed. The way to one exists for every prediction that is
    stored; that somebody was told is not shown."""
    number, last = asked.session.execute(
        select(func.count(), func.max(PredictionExplanation.computed_at)).where(
            PredictionExplanation.model == asked.name, PredictionExplanation.computed_at <= asked.at
        )
    ).one()
    if not number:
        return missing("no single prediction of it has been explained", data_link(asked.name))
    told = f"{count(number, 'prediction')} explained, the last on {utc(last)}"
    return aged(asked, last, max_age_days, told, links=(data_link(asked.name),))
