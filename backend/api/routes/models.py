"""Models, versions, deployments, windows and points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from backend import clock
from backend.api.idempotency import body_of, once
from backend.api.pages import MOST, Cut, Part
from backend.api.parameters import BehindPoint, Moment, RowId
from backend.api.security import current_actor
from backend.database.session import WriteSession, reading
from backend.deployment.service import history, shares_at
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.governance.asking import LONGEST_TEXT
from backend.governance.data_owners import declare_data_owner
from backend.identity.actor import Actor
from backend.identity.people import names_of
from backend.identity.teams import team_names
from backend.monitoring.columns import parse_spec
from backend.monitoring.fairness import KIND as FAIRNESS
from backend.monitoring.fairness.standing import why_not_compared
from backend.monitoring.point_pages import Place, page_of_points
from backend.monitoring.requests import request_metrics, request_report
from backend.registry.lineage import attach_lineage, source_view, sources_of
from backend.registry.service import get_model, list_models, list_versions
from backend.registry.tables import Model, Version
from backend.settings import settings

router = APIRouter(tags=["models"])
Caller = Annotated[Actor, Depends(current_actor)]
Body = Annotated[bytes, Depends(body_of)]


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": model.name, "title": model.title, "description": model.description, "tier": model.tier,
        "spec": model.spec, "notice": model.notice, "created_at": model.created_at,
    }  # fmt: skip


class LineageRequest(BaseModel):
    file: str = Field(
        min_length=1, max_length=500, pattern=r"^[^\x00]*$", description="its name, such as dvc.lock"
    )
    text: str = Field(max_length=200_000, description="what is in it")
    repository: str = Field(
        "", max_length=500, description="where it lies, such as https://git.example/flights"
    )
    revision: str = Field("", max_length=200, description="at which commit or tag")


class DataOwnerRequest(BaseModel):
    username: str = Field("", max_length=200, description="whose the data are; empty: nobody's here")
    why: str = Field(max_length=LONGEST_TEXT)


def _version(version: Version, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "version": version.version, "run_id": version.run_id, "artefact_digest": version.artefact_digest,
        "reference_digest": version.reference_digest, "card_digest": version.card_digest,
        "trained_at": version.trained_at, "cutoff": version.cutoff, "parameters": version.parameters,
        "metrics": version.metrics, "training": version.training,
        "data_owner": names.get(version.data_owner or ""),
    }  # fmt: skip


def _deployment(deployment: Deployment) -> dict[str, Any]:
    return {
        "id": deployment.id, "version": deployment.version, "environment": deployment.environment,
        "role": deployment.role, "share": deployment.share, "segments": deployment.segments, "state": deployment.state,
        "started_at": deployment.started_at, "serving_at": deployment.serving_at, "ended_at": deployment.ended_at,
        "change_id": deployment.change_id, "reason": deployment.reason,
    }  # fmt: skip


@router.get("/models")
def models(
    actor: Caller, part: Part, team: Annotated[str | None, Query(max_length=200)] = None
) -> dict[str, Any]:
    with reading() as session:
        found = list_models(session, actor, team=team, **part.more)
        teams = team_names(session, (one.name for one in found))
        return part.answer("models", found, lambda one: _model(one) | {"team": teams.get(one.name)})


@router.get("/models/{model}")
def model_detail(actor: Caller, model: str, part: Part) -> dict[str, Any]:
    with reading() as session:
        found = get_model(session, actor, model)
        versions = list_versions(session, actor, model, **part.more)
        names = names_of(session, {one.data_owner for one in versions})
        teams = team_names(session, [model])
        return {
            **_model(found),
            "team": teams.get(model),
            **part.answer("versions", versions, lambda one: _version(one, names)),
        }


@router.post("/models/{model}/versions/{version}/data-owner", status_code=201)
def data_owner(
    request: Request, actor: Caller, body: Body, model: str, version: RowId, asked: DataOwnerRequest
) -> Response:
    """Declare whose the training data of a version are. What people decide on about that version is void."""

    def act(session: WriteSession) -> dict[str, Any]:
        found = declare_data_owner(session, actor, model, version, username=asked.username, why=asked.why)
        return _version(found, names_of(session, {found.data_owner}))

    return once(request, actor, body, act, status=201)


@router.get("/models/{model}/versions/{version}/lineage")
def lineage(actor: Caller, model: str, version: RowId, part: Part) -> dict[str, Any]:
    """What a version came from, by the files of DVC and Feast that were attached to it."""
    with reading() as session:
        return part.answer("sources", sources_of(session, actor, model, version, **part.more), source_view)


@router.post("/models/{model}/versions/{version}/lineage", status_code=201)
def attach(
    request: Request, actor: Caller, body: Body, model: str, version: RowId, asked: LineageRequest
) -> Response:
    """Attach a file of DVC or Feast. It is read, never executed; a malformed one is refused with its line."""

    def act(session: WriteSession) -> dict[str, Any]:
        new = attach_lineage(
            session, actor, model=model, version=version, name=asked.file, data=asked.text.encode(),
            repository=asked.repository, revision=asked.revision,
        )  # fmt: skip
        return {"new": [source_view(one) for one in new]}

    return once(request, actor, body, act, status=201)


@router.get("/models/{model}/deployments")
def deployments(
    actor: Caller, model: str, part: Part, environment: str | None = None, at: Moment | None = None
) -> dict[str, Any]:
    """Every deployment; with `at` those of that moment, the champion first, each with the share it then had."""
    environment = environment or settings().environment
    with reading() as session:
        get_model(session, actor, model)
        if at is not None:
            if at.tzinfo is None:
                raise BadInput("at: write the time with its zone, as 2026-03-01T09:05:00Z")
            found = shares_at(session, actor, model, environment, at)
            return {"deployments": [{**_deployment(one.deployment), "share": one.share} for one in found]}
        return part.answer(
            "deployments", history(session, actor, model, environment, **part.more), _deployment
        )


@router.get("/models/{model}/points")
def points(
    actor: Caller,
    model: str,
    environment: str | None = None,
    size: str | None = None,
    statistic: str | None = None,
    kind: str | None = None,
    before: BehindPoint = None,
    limit: Annotated[int, Query(ge=1, le=5000)] = 500,
) -> dict[str, Any]:
    """Metric points, those of the newest windows first. Pass `next` of an answer as `before` for the following page.
    `why_none`: why points of kind `fairness` are not counted for this model."""
    with reading() as session:
        found = get_model(session, actor, model)
        why_none = why_not_compared(parse_spec(found.spec)) if kind == FAIRNESS and found.described else ""
        rows, following = page_of_points(
            session, actor, model, environment or settings().environment, size=size, statistic=statistic, kind=kind,
            before=Place.read(before) if before is not None else None, limit=limit,
        )  # fmt: skip
        return {
            "why_none": why_none,
            "points": [
                {
                    "window_start": window.start, "window_end": window.end, "window_state": window.state,
                    "version": window.version, "size": point.size, "segment": point.segment, "kind": point.kind,
                    "column": point.column,
                    "statistic": point.statistic, "value": point.value, "low": point.low, "high": point.high,
                    "threshold": point.threshold, "verdict": point.verdict, "reason": point.reason,
                    "rows": point.rows, "rows_reference": point.rows_reference, "completeness": point.completeness,
                    "effect": point.effect, "effect_se": point.effect_se, "importance": point.importance,
                    "first_value": point.first_value, "computed_at": point.computed_at,
                }
                for point, window in rows
            ],
            "next": None if following is None else str(following),
        }  # fmt: skip


@router.post("/models/{model}/metrics", status_code=202)
def compute_metrics(request: Request, actor: Caller, body: Body, model: str) -> Response:
    """Compute every due window of a model now; answers with the job's run id."""
    return once(
        request,
        actor,
        body,
        lambda session: {"run_id": request_metrics(session, actor, model=model).id},
        status=202,
    )


@router.post("/models/{model}/report", status_code=202)
def write_report(
    request: Request, actor: Caller, body: Body, model: str, window_start: Moment, size: str | None = None
) -> Response:
    """Have an Evidently report of one window written; answers with the job's run id."""
    if window_start.tzinfo is None:
        raise BadInput("window_start: write the time with its zone, as 2026-03-01T09:05:00Z")
    return once(
        request, actor, body,
        lambda session: {
            "run_id": request_report(session, actor, model=model, window_start=window_start, size=size).id
        },
        status=202,
    )  # fmt: skip


@router.get("/served")
def served(
    actor: Caller, model: str, environment: str | None = None, at: Moment | None = None
) -> dict[str, Any]:
    """What served at a moment (default: now) with which share of the requests, and by which change."""
    return deployments(actor, model, Cut(0, MOST), environment, at or clock.now())
