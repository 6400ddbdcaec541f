"""What moved a prediction, and what a version leans on."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import JSONResponse

from backend.api.security import current_actor
from backend.database.session import reading, writing
from backend.explain.asking import ask, look_up
from backend.explain.views import leaning_view
from backend.explain.windows import list_leanings
from backend.identity.actor import Actor
from backend.settings import settings

router = APIRouter(tags=["models"])
Caller = Annotated[Actor, Depends(current_actor)]
LOOK_AGAIN_S = 2
MOST_WINDOWS = 500


@router.get(
    "/predictions/{prediction_id:path}/explanation", responses={202: {"description": "being computed"}}
)
def prediction_explanation(
    actor: Caller,
    prediction_id: str,
    model: Annotated[str | None, Query(description="needed where ids do not tell it")] = None,
) -> Response:
    """SHAP values and reason codes of one prediction. 200 where they are stored; else a job is asked for once, and the
    answer is 202 with its progress: ask again after `Retry-After` seconds."""
    with reading() as session:
        found = look_up(session, actor, prediction_id=prediction_id, model=model)
        if found.stored is not None:
            return JSONResponse(found.stored.view())
    with writing() as session:
        run = found.run or ask(session, actor, prediction_id=prediction_id, model=found.model)
        told = {"run_id": run.id, "state": run.state, "progress": run.progress, "step": run.step}
    return JSONResponse(
        {"model": found.model, **told}, status_code=202, headers={"Retry-After": f"{LOOK_AGAIN_S}"}
    )


@router.get("/models/{model}/attributions")
def attributions(actor: Caller, model: str, environment: str | None = None) -> dict[str, Any]:
    """What versions leant on, window by window and segment by segment: mean |SHAP| with intervals, and how far the
    order of columns has moved from the version's own explanation (NDCG). The newest 500 windows."""
    with reading() as session:
        found = list_leanings(session, actor, model, environment or settings().environment, most=MOST_WINDOWS)
        return {"model": model, "windows": leaning_view(session, found)}
