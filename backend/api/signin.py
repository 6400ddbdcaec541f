"""Sign-in, sign-out, first set-up and single sign-on: plain HTML forms that need no JavaScript.

Whoever mounts the routes gives the function that renders a page, so the domain stays free of templates:

    app.include_router(sign_in_routes(render))

`render(name, **context)` gets  signin.html      csrf, next_path, error, passwords, providers (name, url), accounts
                                setup.html       csrf, token, error
                                password.html    csrf, next_path, error, username, given
                                again.html       csrf, next_path, error, who, minutes, has_password, sign_on (name, url)
                                signed_out.html  provider, url
                                error.html       status, title, message, back_path, back_label
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from backend import clock
from backend.api.provider_threads import ProviderThreads
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
from backend.identity.freshness import PAGE
from backend.identity.oidc import FLOW_VALID_FOR, begin_sign_on, finish_sign_on
from backend.identity.oidc_logout import obey_logout_token, rests_on_provider, sign_out_there
from backend.identity.own_password import choose_password
from backend.identity.passwords import hash_password
from backend.identity.people import person_by_id
from backend.identity.providers import BY_VARIABLES, providers
from backend.identity.sessions import (
    ChooseAPassword,
    OpenedSession,
    SignedIn,
    csrf_of,
    open_session,
    revoke,
    session_of,
    sign_in,
)
from backend.identity.setup import check_set_up_link, use_set_up_link
from backend.identity.stepping_up import sign_in_again
from backend.identity.ways_in import has_local_password
from backend.settings import settings

PRE_COOKIE = "warrant_presession"  # binds a form to a browser that has no session yet
OIDC_COOKIE = "warrant_oidc"
_log = logging.getLogger(__name__)
_may_wait_for_a_provider = ProviderThreads()
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
    router.get("/signin/password")(pages.show_password)
    router.post("/signin/password")(pages.post_password)
    router.get(PAGE)(pages.show_again)
    router.post(PAGE)(pages.post_again)
    router.post("/signout")(pages.post_sign_out)
    router.get("/setup/{token}")(pages.show_set_up)
    router.post("/setup")(pages.post_set_up)
    router.get("/oidc/start")(pages.start_sign_on)
    router.get("/oidc/callback")(pages.finish_first)
    router.get("/oidc/callback/{provider}")(pages.finish_sign_on)
    router.get("/oidc/signout")(pages.sign_out_there)
    router.post("/oidc/backchannel-logout/{provider}")(pages.end_by_provider)
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
        except ChooseAPassword:
            return self._password_page(request, path, username=username, given=True)
        except WarrantError as error:
            return self._sign_in_page(request, path, error)
        return self._enter(request, opened, path)

    def show_password(self, request: Request, next: str = "/") -> Response:
        """Choosing another password: of whoever is signed in here, else of whoever knows the present one."""
        found = session_of(request.cookies.get(COOKIE))
        with reading() as session:
            name = person_by_id(session, found.actor.person_id).username if found is not None else ""
        return self._password_page(request, safe_next(next), username=name)

    def post_password(
        self,
        request: Request,
        username: Field = "",
        password: Field = "",
        new: Field = "",
        new_again: Field = "",
        given: Field = "",
        csrf: Field = "",
        next: Field = "/",
    ) -> Response:
        path = safe_next(next)
        try:
            _check_form(request, csrf)
            if new != new_again:
                raise BadInput("the two new passwords differ; type the same one twice")
            opened = choose_password(
                username=username, password=password, new=new, address=client_address(request),
                user_agent=request.headers.get("User-Agent"), request_id=request_id_of(request),
            )  # fmt: skip
        except WarrantError as error:
            return self._password_page(request, path, error, username=username, given=bool(given))
        return self._enter(request, opened, path)

    def show_again(self, request: Request, next: str = "/") -> Response:
        path = safe_next(next)
        try:
            found = signed_in(request)
        except NotSignedIn:
            return _redirect(f"/signin?next={quote(path, safe='')}")
        return self._again_page(found, path)

    def post_again(
        self, request: Request, password: Field = "", csrf: Field = "", next: Field = "/"
    ) -> Response:
        path = safe_next(next)
        try:
            found = signed_in(request)
        except NotSignedIn:
            return _redirect(f"/signin?next={quote(path, safe='')}")
        try:
            check_csrf(found, csrf)
            opened = sign_in_again(found, password=password)
        except WarrantError as error:
            return self._again_page(found, path, error)
        response = _redirect(path)
        _set_cookie(response, COOKIE, opened.token, _seconds_left(opened))
        return response

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
            elsewhere = rests_on_provider(session, found.row.id)
        if elsewhere:  # the cookie stays until that page has used it: it opens nothing any more
            return _redirect("/oidc/signout")
        return _drop(_redirect("/signin"), COOKIE)

    @_may_wait_for_a_provider
    def sign_out_there(self, request: Request) -> Response:
        """After a session has ended here: on to the provider, by a page of its own, because browsers let no form that
        was sent here lead elsewhere (form-action)."""
        there = sign_out_there(request.cookies.get(COOKIE))
        if there is None:
            response = _redirect("/signin")
        else:
            page = self._render("signed_out.html", provider=there.name, url=there.url)
            response = HTMLResponse(page, headers=_HEADERS | {"Referrer-Policy": "no-referrer"})
        if session_of(request.cookies.get(COOKIE)) is not None:  # not signed out: a link alone ends nothing
            return response
        return _drop(response, COOKIE)

    @_may_wait_for_a_provider
    def end_by_provider(self, request: Request, provider: str, logout_token: Field = "") -> Response:
        """Back-channel logout: the provider says that somebody signed out there."""
        try:
            obey_logout_token(
                provider=provider, token=logout_token, address=client_address(request),
                request_id=request_id_of(request),
            )  # fmt: skip
        except WarrantError as error:
            told = {"error": "invalid_request", "error_description": error.message}
            status = 400 if error.status < 500 else error.status
            return JSONResponse(told, status_code=status, headers=_HEADERS)
        return Response(status_code=200, headers=_HEADERS)

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

    @_may_wait_for_a_provider
    def start_sign_on(
        self, request: Request, next: str = "/", provider: str = BY_VARIABLES, again: bool = False
    ) -> Response:
        try:
            session_id = signed_in(request).row.id if again else None
            begun = begin_sign_on(
                next_path=safe_next(next),
                provider=provider,
                again=session_id,
                address=client_address(request),
            )
        except WarrantError as error:
            return self._error_page(error)
        response = RedirectResponse(begun.url, status_code=303, headers=_HEADERS)
        _set_cookie(response, OIDC_COOKIE, begun.browser, int(FLOW_VALID_FOR.total_seconds()), "/oidc")
        return response

    @_may_wait_for_a_provider
    def finish_first(
        self,
        request: Request,
        state: str | None = None,
        code: str | None = None,
        iss: str | None = None,
        error: str | None = None,
    ) -> Response:
        """Of the provider that variables set up; an address has no other way to name one."""
        return self._finish(request, BY_VARIABLES, state, code, iss, error)

    @_may_wait_for_a_provider
    def finish_sign_on(
        self,
        request: Request,
        provider: str,
        state: str | None = None,
        code: str | None = None,
        iss: str | None = None,
        error: str | None = None,
    ) -> Response:
        return self._finish(request, provider, state, code, iss, error)

    def _finish(
        self, request: Request, provider: str, state: str | None, code: str | None, iss: str | None,
        error: str | None,
    ) -> Response:  # fmt: skip
        try:
            opened, path = finish_sign_on(
                provider=provider, state=state, code=code, issuer=iss, error=error,
                browser=request.cookies.get(OIDC_COOKIE), address=client_address(request),
                user_agent=request.headers.get("User-Agent"), request_id=request_id_of(request),
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
        _set_cookie(response, COOKIE, opened.token, _seconds_left(opened))
        return _drop(response, PRE_COOKIE)

    def _sign_in_page(self, request: Request, path: str, error: WarrantError | None = None) -> Response:
        return self._form_page(
            request, "signin.html", error,
            next_path=path,
            providers=_buttons(path),
            passwords=settings().local_accounts,
            accounts=demo_accounts() if settings().local_accounts else (),
        )  # fmt: skip

    def _password_page(
        self,
        request: Request,
        path: str,
        error: WarrantError | None = None,
        *,
        username: str,
        given: bool = False,
    ) -> Response:
        return self._form_page(
            request, "password.html", error, next_path=path, username=username, given=given
        )

    def _again_page(self, found: SignedIn, path: str, error: WarrantError | None = None) -> Response:
        with reading() as session:
            has_password = has_local_password(person_by_id(session, found.actor.person_id))
            provider = rests_on_provider(session, found.row.id)
        page = self._render(
            "again.html", csrf=found.csrf, next_path=path, error=_sentence(error.message) if error else None,
            who=found.actor.display_name, minutes=settings().step_up_min, has_password=has_password,
            sign_on=None if has_password else _again_button(path, provider or BY_VARIABLES),
        )  # fmt: skip
        response = HTMLResponse(page, status_code=error.status if error else 200, headers=_HEADERS)
        if error and "retry_after_s" in error.details:
            response.headers["Retry-After"] = str(error.details["retry_after_s"])
        return response

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


def _seconds_left(opened: OpenedSession) -> int:
    return max(1, int((opened.expires_at - clock.now()).total_seconds()))


def _again_button(path: str, provider: str) -> dict[str, str] | None:
    """The button of the provider that a session rests on; None where it is not set up any more."""
    try:
        known = providers()[provider]
    except (WarrantError, KeyError):
        return None
    return {
        "name": known.name,
        "url": f"/oidc/start?again=true&next={quote(path, safe='')}&provider={provider}",
    }


def _buttons(path: str) -> list[dict[str, str]]:
    """A button for each provider. Where they cannot be read, none: passwords go on, and `warrant doctor` says why."""
    try:
        known = providers().values()
    except WarrantError as error:
        _log.error("no sign-on provider is offered: %s", error.message)
        return []
    which = {one.key: "" if one.key == BY_VARIABLES else f"&provider={one.key}" for one in known}
    start = f"/oidc/start?next={quote(path, safe='')}"
    return [{"name": one.name, "url": start + which[one.key]} for one in known]


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
