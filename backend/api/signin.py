"""Sign-in, sign-out, first set-up and single sign-on: plain HTML forms that need no JavaScript.

Whoever mounts the routes gives the function that renders a page, so the domain stays free of templates:

    app.include_router(sign_in_routes(render))

`render(name, **context)` gets  signin.html  csrf, next_path, error, oidc_url, oidc_name, accounts
                                setup.html   csrf, token, error
                                error.html   status, title, message, back_path, back_label
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from backend.api.security import (
    COOKIE,
    CsrfRefused,
    check_csrf,
    client_address,
    is_same_origin,
    request_id_of,
    same_text,
    signed_in,
)
from backend.database.session import reading, writing
from backend.errors import BadInput, NotSignedIn, WarrantError
from backend.identity.demo import demo_accounts
from backend.identity.passwords import hash_password
from backend.identity.sessions import OpenedSession, csrf_of, open_session, revoke, session_of, sign_in
from backend.identity.setup import check_set_up_link, use_set_up_link
from backend.settings import settings

PRE_COOKIE = "warrant_presession"  # binds a form to a browser that has no session yet
OIDC_COOKIE = "warrant_oidc"
Render = Callable[..., str]
Field = Annotated[str, Form(max_length=4096)]
_HEADERS = {
    "Cache-Control": "no-store",
    # Not "no-referrer": browsers then post forms with `Origin: null`, which cannot be told from another site.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'self' 'unsafe-inline'; font-src 'self' data:; "
    "img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


def safe_next(path: str | None) -> str:
    """`path` if it leads to a page of this site, else `/`: never another site, never back to signing in."""
    if not path or len(path) > 2000 or not path.startswith("/") or path.startswith("//"):
        return "/"
    if "\\" in path or not path.isprintable() or " " in path:
        return "/"
    try:
        parts = urlsplit(path)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or parts.path.split("/")[1] in ("signin", "signout", "setup", "oidc"):
        return "/"
    return path


def sign_in_routes(render: Render) -> APIRouter:
    """The routes, drawing their pages with `render`."""
    pages = _Pages(render)
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    router.get("/signin")(pages.show_sign_in)
    router.post("/signin")(pages.post_sign_in)
    router.post("/signout")(pages.post_sign_out)
    router.get("/setup/{token}")(pages.show_set_up)
    router.post("/setup")(pages.post_set_up)
    router.get("/oidc/start")(pages.start_sign_on)
    router.get("/oidc/callback")(pages.finish_sign_on)
    return router


class _Pages:
    """The handlers. Synchronous, so that hashing and the database run off the event loop."""

    def __init__(self, render: Render) -> None:
        self._render = render

    def show_sign_in(self, request: Request, next: str = "/") -> Response:
        if session_of(request.cookies.get(COOKIE)) is not None:
            return _redirect(safe_next(next))
        return self._sign_in_page(request, safe_next(next))

    def post_sign_in(
        self,
        request: Request,
        username: Field = "",
        password: Field = "",
        csrf: Field = "",
        next: Field = "/",
    ) -> Response:
        path = safe_next(next)
        try:
            _check_form(request, csrf)
            opened = sign_in(
                username=username,
                password=password,
                address=client_address(request),
                user_agent=request.headers.get("User-Agent"),
                request_id=request_id_of(request),
            )
        except WarrantError as error:
            return self._sign_in_page(request, path, error)
        return self._enter(request, opened, path)

    def post_sign_out(self, request: Request, csrf: Field = "") -> Response:
        try:
            found = signed_in(request)
            check_csrf(found, csrf)
        except NotSignedIn:
            return _drop(_redirect("/signin"), COOKIE)
        except WarrantError as error:
            return self._error_page(error)
        with writing() as session:
            revoke(session, found.actor, found.row.id)
        return _drop(_redirect("/signin"), COOKIE)

    def show_set_up(self, request: Request, token: str) -> Response:
        try:
            with reading() as session:
                check_set_up_link(session, token)
        except WarrantError as error:
            return self._error_page(error)
        return self._set_up_page(request, token)

    def post_set_up(
        self,
        request: Request,
        token: Field = "",
        username: Field = "",
        display_name: Field = "",
        password: Field = "",
        password_again: Field = "",
        csrf: Field = "",
    ) -> Response:
        try:
            with reading() as session:
                check_set_up_link(session, token)
        except WarrantError as error:
            return self._error_page(error)
        address, request_id = client_address(request), request_id_of(request)
        try:
            _check_form(request, csrf)
            if password != password_again:
                raise BadInput("the two passwords differ; type the same one twice")
            hashed = hash_password(password, username=username)
            with writing() as session:
                person = use_set_up_link(
                    session, token, username=username, display_name=display_name, password_hash=hashed,
                    address=address, request_id=request_id,
                )  # fmt: skip
                opened = open_session(
                    session, person, address=address, request_id=request_id, method="set-up link",
                    user_agent=request.headers.get("User-Agent"),
                )  # fmt: skip
        except WarrantError as error:
            return self._set_up_page(request, token, error)
        return self._enter(request, opened, "/")

    def start_sign_on(self, request: Request, next: str = "/") -> Response:
        from backend.identity import oidc

        try:
            begun = oidc.begin_sign_on(next_path=safe_next(next))
        except WarrantError as error:
            return self._error_page(error)
        response = RedirectResponse(begun.url, status_code=303, headers=_HEADERS)
        _set_cookie(response, OIDC_COOKIE, begun.browser, int(oidc.FLOW_VALID_FOR.total_seconds()), "/oidc")
        return response

    def finish_sign_on(
        self,
        request: Request,
        state: str | None = None,
        code: str | None = None,
        iss: str | None = None,
        error: str | None = None,
    ) -> Response:
        from backend.identity import oidc

        try:
            opened, path = oidc.finish_sign_on(
                state=state, code=code, issuer=iss, error=error, browser=request.cookies.get(OIDC_COOKIE),
                address=client_address(request), user_agent=request.headers.get("User-Agent"),
                request_id=request_id_of(request),
            )  # fmt: skip
        except WarrantError as refused:
            return _drop(self._error_page(refused), OIDC_COOKIE, "/oidc")
        return _drop(self._enter(request, opened, path), OIDC_COOKIE, "/oidc")

    def _enter(self, request: Request, opened: OpenedSession, path: str) -> Response:
        """Give the browser its new session; one it came with ends."""
        earlier = session_of(request.cookies.get(COOKIE), request_id=request_id_of(request))
        if earlier is not None:
            with writing() as session:
                revoke(session, earlier.actor, earlier.row.id, why="signed in again in the same browser")
        response = _redirect(path)
        _set_cookie(response, COOKIE, opened.token, settings().session_absolute_h * 3600)
        return _drop(response, PRE_COOKIE)

    def _sign_in_page(self, request: Request, path: str, error: WarrantError | None = None) -> Response:
        has_oidc = bool(settings().oidc_issuer and settings().oidc_client_id)
        return self._form_page(
            request, "signin.html", error,
            next_path=path,
            oidc_url=f"/oidc/start?next={quote(path, safe='')}" if has_oidc else None,
            oidc_name=settings().oidc_name,
            accounts=demo_accounts(),
        )  # fmt: skip

    def _set_up_page(self, request: Request, token: str, error: WarrantError | None = None) -> Response:
        return self._form_page(request, "setup.html", error, token=token)

    def _form_page(self, request: Request, name: str, error: WarrantError | None, **context: Any) -> Response:
        pre = request.cookies.get(PRE_COOKIE) or secrets.token_urlsafe(32)
        message = _sentence(error.message) if error else None
        response = HTMLResponse(
            self._render(name, csrf=csrf_of(pre), error=message, **context),
            status_code=error.status if error else 200,
            headers=_HEADERS,
        )
        if error and "retry_after_s" in error.details:
            response.headers["Retry-After"] = str(error.details["retry_after_s"])
        _set_cookie(response, PRE_COOKIE, pre, 3600)
        return response

    def _error_page(self, error: WarrantError) -> Response:
        return HTMLResponse(
            self._render(
                "error.html", status=error.status, title=error.title, message=_sentence(error.message),
                back_path="/signin", back_label="Sign in",
            ),
            status_code=error.status,
            headers=_HEADERS,
        )  # fmt: skip


def _check_form(request: Request, csrf: str) -> None:
    """A form posted before there is a session: its token must belong to this browser's cookie."""
    pre = request.cookies.get(PRE_COOKIE)
    if not pre or not csrf or not same_text(csrf, csrf_of(pre)) or not is_same_origin(request):
        raise CsrfRefused("this form was not sent from a page of this browser, or is out of date; try again")


def _redirect(path: str) -> Response:
    return RedirectResponse(path, status_code=303, headers=_HEADERS)


def _set_cookie(response: Response, name: str, value: str, max_age_s: int, path: str = "/") -> None:
    # Lax, not Strict: a link in a mail must arrive signed in. Nothing changes state on GET.
    response.set_cookie(
        name, value, max_age=max_age_s, path=path, httponly=True, samesite="lax", secure=_is_https()
    )


def _drop(response: Response, name: str, path: str = "/") -> Response:
    response.delete_cookie(name, path=path, httponly=True, samesite="lax", secure=_is_https())
    return response


def _is_https() -> bool:
    return (settings().public_url or "").startswith("https://")


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:]}."
