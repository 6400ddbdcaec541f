"""`/i/INCIDENT` and `/c/CHANGE`: plain HTML of our own routes, for a phone at night. No script, no other request.

What notifications link to. Forms carry the session's CSRF token, obey the same services as every other page, and
without a session lead to sign-in, which comes back to the same address (`app.gate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app import phone_change, phone_incident
from app.downloads import guarded
from app.phone_forms import Typed, require_row
from app.templates import render
from app.theme import STATES, stylesheet
from backend.api.security import CsrfRefused, check_csrf, is_same_origin, signed_in
from backend.database.session import reading
from backend.errors import BadInput, NotSignedIn, WarrantError
from backend.identity.freshness import PAGE, SignInAgain
from backend.identity.sessions import SignedIn
from backend.identity.stepping_up import forget_typed, keep_typed, typed_in

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
}
Show = Callable[[SignedIn, int], Mapping[str, Any]]
Act = Callable[[SignedIn, int, Typed], str]


def routes() -> list[BaseRoute]:
    return [
        Route("/i/{number:int}", _page("incident.html", phone_incident.show, phone_incident.act),
              methods=["GET", "POST"]),
        Route("/i/{number:int}/report.{form}", guarded(phone_incident.send_report)),
        Route("/c/{number:int}", _page("change.html", phone_change.show, phone_change.act), methods=["GET", "POST"]),
    ]  # fmt: skip


def _page(template: str, show: Show, act: Act) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        try:
            typed = await _typed(request) if request.method == "POST" else Typed()
        except BadInput as refused:
            return _refusal(refused)
        return await run_in_threadpool(_answer, request, typed, template, show, act)

    return answer


async def _typed(request: Request) -> Typed:
    """What the form sent. Raises `BadInput` for what is no form, and for text that no database takes."""
    try:
        form = await request.form()
    except HTTPException as error:
        raise BadInput("this form cannot be read; open the page again") from error
    fields = {name: str(form.get(name, ""))[:4000] for name in form}
    if any("\x00" in text for text in fields.values()):
        raise BadInput("what was written holds a NUL character, which cannot be kept; write it without")
    return Typed(fields, [str(one)[:200] for one in form.getlist("accept")])


def _refusal(refused: WarrantError) -> Response:
    page = render(
        "error.html", status=refused.status, title=refused.title, message=refused.message, back_path="/",
        back_label="Back to the overview",
    )  # fmt: skip
    return HTMLResponse(page, refused.status, headers=HEADERS)


def _answer(request: Request, typed: Typed, template: str, show: Show, act: Act) -> Response:
    number = int(request.path_params["number"])
    try:
        found = signed_in(request)
        require_row(number)
        error: WarrantError | None = None
        if request.method == "POST":
            try:
                _check(request, found, typed)
                return RedirectResponse(act(found, number, typed), 303, headers=HEADERS)
            except SignInAgain:
                return _sign_in_again(request, found, typed)
            except WarrantError as refused:
                error = refused
        else:
            typed = _kept(request, found)
        context = show(found, number)
    except NotSignedIn:
        return RedirectResponse(f"/signin?next={request.url.path}", 303, headers=HEADERS)
    except WarrantError as refused:
        return _refusal(refused)
    page = render(
        template, **context, csrf=found.csrf, path=request.url.path, who=found.actor.display_name,
        done=DONE.get(request.query_params.get("done", ""), "") if error is None else "",
        error=_sentence(error) if error else "", typed=typed, shapes=_shapes(),
        phone_stylesheet=stylesheet("phone"),
    )  # fmt: skip
    return HTMLResponse(page, error.status if error else 200, headers=HEADERS)


def _sign_in_again(request: Request, found: SignedIn, typed: Typed) -> Response:
    """Away to sign in again, and back to this form with what was written."""
    keep_typed(found.actor, request.url.path, {"act": typed.act, "why": typed.why})
    return RedirectResponse(f"{PAGE}?next={request.url.path}", 303, headers=HEADERS)


def _kept(request: Request, found: SignedIn) -> Typed:
    with reading() as session:
        kept = typed_in(session, found.actor)
    if kept is None or kept["form"] != request.url.path:
        return Typed()
    forget_typed(found.actor)
    return Typed(kept["values"])


def _check(request: Request, found: SignedIn, typed: Typed) -> None:
    try:
        check_csrf(found, typed.get("csrf"))
    except CsrfRefused as error:
        raise CsrfRefused("this form is of an earlier session; look at it and send it again") from error
    if not is_same_origin(request):
        raise CsrfRefused("this form was not sent from a page of ours; open the page again")


DONE: Final = {
    "acknowledge": "You are on it.", "silence": "Silenced; it ends by itself.", "note": "The note is kept.",
    "step": "The step is marked as done.",
    "mitigate": "Marked mitigated.", "resolve": "Resolved.", "false_alarm": "Marked a false alarm.",
    "approve": "You approved.", "reject": "You rejected.", "ask": "You asked for changes.", "asked": "It is asked for.",
    "way_back": "The return runs.",
}  # fmt: skip


@cache
def _shapes() -> dict[str, str]:
    return {level: state.shape for level, state in STATES.items()}


def _sentence(error: WarrantError) -> str:
    """Without the name of a field, which is for programs: the form has its own words beside it."""
    said = error.message.removeprefix(f"{error.details.get('field')}: ")
    return f"{said[:1].upper()}{said[1:]}."
