"""`/i/INCIDENT` and `/c/CHANGE`: plain HTML of our own routes, for a phone at night. No script, no other request.

What notifications link to. Forms carry the session's CSRF token, obey the same services as every other page, and
without a session lead to sign-in, which comes back to the same address (`app.gate`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app import phone_change, phone_incident
from app.downloads import guarded
from app.phone_forms import Typed, require_row
from app.templates import render
from app.theme import STATES, stylesheet
from backend.api.security import CsrfRefused, check_csrf, is_same_origin, signed_in
from backend.errors import NotSignedIn, WarrantError
from backend.identity.sessions import SignedIn

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
        form = await request.form() if request.method == "POST" else {}
        typed = Typed(
            {name: str(form.get(name, ""))[:4000] for name in form},
            [str(one)[:200] for one in (form.getlist("accept") if hasattr(form, "getlist") else [])],
        )
        return await run_in_threadpool(_answer, request, typed, template, show, act)

    return answer


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
            except WarrantError as refused:
                error = refused
        context = show(found, number)
    except NotSignedIn:
        return RedirectResponse(f"/signin?next={request.url.path}", 303, headers=HEADERS)
    except WarrantError as refused:
        page = render(
            "error.html", status=refused.status, title=refused.title, message=refused.message, back_path="/",
            back_label="Back to the overview",
        )  # fmt: skip
        return HTMLResponse(page, refused.status, headers=HEADERS)
    page = render(
        template, **context, csrf=found.csrf, path=request.url.path, who=found.actor.display_name,
        done=DONE.get(request.query_params.get("done", ""), "") if error is None else "",
        error=_sentence(error.message) if error else "", typed=typed, shapes=_shapes(),
        phone_stylesheet=stylesheet("phone"),
    )  # fmt: skip
    return HTMLResponse(page, error.status if error else 200, headers=HEADERS)


def _check(request: Request, found: SignedIn, typed: Typed) -> None:
    check_csrf(found, typed.get("csrf"))
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


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."
