"""Documents for data subjects: all rows of a request, and the explanation of one prediction."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.downloads import as_file, guarded
from backend.data_rights.explanation import explain_prediction
from backend.data_rights.explanation_document import explanation_document
from backend.data_rights.handing_out import open_document
from backend.database.session import reading
from backend.errors import BadInput, NotFound
from backend.explain.asking import look_up
from backend.explain.differences import compare_explanations
from backend.explain.rows import compare_cohort, importance, list_values
from backend.explain.views import leaning_view
from backend.explain.windows import list_leanings
from backend.identity.actor import Actor
from backend.registry.service import get_model
from backend.settings import settings

SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def routes() -> list[BaseRoute]:
    return [
        Route("/export/data-request/{form}", guarded(send_rows)),
        Route("/export/explanation/{form}", guarded(send_explanation)),
        Route("/export/contributions.{form}", guarded(export_contributions)),
        Route("/export/importance.{form}", guarded(export_importance)),
        Route("/export/attributions.{form}", guarded(export_attributions)),
        Route("/export/shap-values.{form}", guarded(export_values)),
        Route("/export/cohort.{form}", guarded(export_cohort)),
        Route("/export/explanations-apart.{form}", guarded(export_explanations_apart)),
    ]


def send_rows(request: Request, viewer: Actor) -> Response:
    """The document of an access request."""
    with reading() as session:
        content, media_type = open_document(
            session, viewer, request.query_params.get("id", ""), request.path_params["form"]
        )
    return _file("rows", request.path_params["form"], content, media_type)


def send_explanation(request: Request, viewer: Actor) -> Response:
    """Why one prediction came out as it did."""
    query = request.query_params
    if not query.get("model") or not query.get("prediction"):
        raise BadInput("model and prediction are needed in the address")
    with reading() as session:
        found = explain_prediction(
            session, viewer, model=query["model"], prediction_id=query["prediction"],
            observations=settings().observations,
        )  # fmt: skip
    content, media_type = explanation_document(found, request.path_params["form"])
    return _file("explanation", request.path_params["form"], content, media_type)


def export_contributions(request: Request, viewer: Actor) -> Response:
    """The stored contributions of one `prediction` of `model`."""
    query = request.query_params
    with reading() as session:
        found = look_up(
            session, viewer, prediction_id=query.get("prediction", ""), model=query.get("model") or None
        ).stored
    if found is None:
        raise NotFound("what moved this prediction has not been computed; ask for it on its page")
    opinion = found.second_opinion or {}
    weights = {one["column"]: one["weight"] for one in opinion.get("weights", ())}
    rows = [one | ({"lime": weights.get(one["column"])} if weights else {}) for one in found.contributions]
    return as_file("contributions", request.path_params["form"], rows)


def export_importance(request: Request, viewer: Actor) -> Response:
    """Mean |SHAP| of each column of `model` and `version` over its sampled predictions, with intervals."""
    query = request.query_params
    with reading() as session:
        found = importance(session, viewer, query.get("model", ""), _number(query.get("version", "")))
    if found is None:
        raise NotFound("no sampled prediction of this version is explained")
    rows = [{**one, "rows": found["rows"], "unit": found["unit"]} for one in found["columns"]]
    return as_file("importance", request.path_params["form"], rows)


def export_attributions(request: Request, viewer: Actor) -> Response:
    """What was leant on in each window and segment of `model`, a row for each column."""
    with reading() as session:
        found = list_leanings(session, viewer, request.query_params.get("model", ""), settings().environment)
        windows = leaning_view(session, found)
    rows = [
        {**{name: one[name] for name in ("start", "end", "version", "segment", "rows", "ndcg")}, **column}
        for one in windows
        for column in one["columns"]
    ]
    return as_file("attributions", request.path_params["form"], rows)


def export_values(request: Request, viewer: Actor) -> Response:
    """What the columns held and what moved in each sampled prediction of `model` and `version`; no ids."""
    query = request.query_params
    with reading() as session:
        found = list_values(session, viewer, query.get("model", ""), _number(query.get("version", "")))
    if found is None:
        raise NotFound("no sampled prediction of this version is explained")
    rows = [
        {**dict(zip(found.columns, given, strict=True)),
         **{f"shap {name}": value for name, value in zip(found.columns, moved, strict=True)}}
        for given, moved in zip(found.inputs, found.values.tolist(), strict=True)
    ]  # fmt: skip
    return as_file("shap-values", request.path_params["form"], rows)


def export_cohort(request: Request, viewer: Actor) -> Response:
    """Mean SHAP of the rows of which `column` holds `value` beside all others."""
    query = request.query_params
    with reading() as session:
        found = compare_cohort(
            session, viewer, query.get("model", ""), _number(query.get("version", "")),
            column=query.get("column", ""), value=query.get("value", ""),
        )  # fmt: skip
    rows = [{**one, "rows": found["rows"], "others": found["others"]} for one in found["columns"]]
    return as_file("cohort", request.path_params["form"], rows)


def export_explanations_apart(request: Request, viewer: Actor) -> Response:
    """Each column's share of the mean |SHAP| in the versions `before` and `after` of `model`."""
    query = request.query_params
    before, after = (_number(query.get(name, "")) for name in ("before", "after"))
    with reading() as session:
        get_model(session, viewer, query.get("model", ""))
        found = compare_explanations(session, query["model"], before, after)
    if found is None or not found["known"]:
        raise NotFound(found["why"] if found else "both are one version")
    return as_file("explanations-apart", request.path_params["form"], found["columns"])


def _number(text: str) -> int:
    if not text.isdigit():
        raise BadInput("version: write its number")
    return int(text)


def _file(name: str, form: str, content: bytes, media_type: str) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{form}"',
        "Content-Security-Policy": SANDBOX,
    }
    return Response(content, media_type=media_type, headers=headers)
