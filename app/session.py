"""Who is signed in, in the words of a page: checked at every run and in every fragment.

Errors of `backend.errors` reach people here and nowhere else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import streamlit as st
from sqlalchemy.exc import OperationalError

from app.components import Submission, empty_state
from app.components.links import with_range
from app.data.scope import look_again
from app.nav import page_file
from app.plain_text import plain
from app.turns import taking_turns
from backend.api.security import COOKIE
from backend.database.base import new_id
from backend.database.refusals import unavailable
from backend.database.session import WriteSession, writing
from backend.errors import (
    BadInput,
    ChangedSinceSeen,
    Conflict,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Unavailable,
    WarrantError,
)
from backend.identity.actor import Actor
from backend.identity.freshness import PAGE, SignInAgain
from backend.identity.sessions import SignedIn, session_of, touch
from backend.identity.stepping_up import keep_typed
from backend.logs import about
from backend.tracing import span

Result = TypeVar("Result")
_SAID = "_said"
_found = threading.local()  # whom the run of this thread found, and when
FOUND_S: Final = 1.0
SIGN_OUT_THERE = "_sign_out_there"  # whether the session that was just ended here is open at a provider
_WHAT_TO_DO: dict[type[WarrantError], str] = {
    ChangedSinceSeen: "Nothing was sent. This page now shows the present state: read it again, then decide.",
    Conflict: "Nothing was changed. Reload the page to see what happened meanwhile.",
    NotAllowed: "Nothing was changed. Ask somebody with that role, or an administrator for the role.",
    NotFound: "Check the address, or go back to the overview.",
    BadInput: "Nothing was changed. Correct it and send again.",
    Unavailable: "Nothing is lost. Try again in a moment.",
}


def signed_in() -> SignedIn:
    """The session of this browser, its idle clock moved on. Raises `NotSignedIn`."""
    token = st.context.cookies.get(COOKIE)
    found = session_of(token if isinstance(token, str) else None)
    if found is None:
        raise NotSignedIn("your session has ended")
    touch(found)
    return found


def viewer() -> Actor:
    """Who looks at the page, looked up once for a run of its script. Raises `NotSignedIn`.

    Whoever acts is looked up anew, by `perform`.
    """
    token = st.context.cookies.get(COOKIE)
    if (
        token is not None
        and getattr(_found, "token", None) == token
        and time.monotonic() - _found.at < FOUND_S
    ):
        actor: Actor = _found.actor
        return actor
    return looked_up().actor


def looked_up() -> SignedIn:
    """`signed_in`, which holds for the rest of this run."""
    _found.token = None
    found = signed_in()
    _found.token, _found.at, _found.actor = st.context.cookies.get(COOKIE), time.monotonic(), found.actor
    return found


@contextmanager
def rendering_errors() -> Iterator[None]:
    """Draw an error of ours in place of what would have been drawn; anything else goes on."""
    try:
        yield
    except WarrantError as error:
        show_error(error)


def show_error(error: WarrantError, *, here: str | None = None) -> None:
    """Say what happened and what to do. For a session that ended: only how to sign in and come back `here`."""
    if isinstance(error, NotSignedIn):
        empty_state(
            "Your session has ended", "Nothing on this page is shown any more.",
            ("Sign in again", f"/signin?next={quote(here or address(), safe='')}"),
        )  # fmt: skip
        if st.session_state.get(SIGN_OUT_THERE):
            empty_state(
                "You are still signed in at your sign-on provider", "Others at this browser could come in again.",
                ("Sign out there, too", "/oidc/signout"),
            )  # fmt: skip
        return
    if isinstance(error, SignInAgain):
        _ask_to_sign_in(error, here or address())
        return
    advice = next((text for kind, text in _WHAT_TO_DO.items() if isinstance(error, kind)), "")
    message = error.message[:1].upper() + error.message[1:]
    st.error(f"**{plain(error.title)}.** {plain(message)}  \n{plain(advice)}", icon=":material/error:")


def _ask_to_sign_in(error: SignInAgain, here: str) -> None:
    message = error.message[:1].upper() + error.message[1:]
    st.warning(
        f"**Nothing was done yet.** {plain(message)}. You come back here.", icon=":material/lock_clock:"
    )
    st.link_button("Sign in again", f"{PAGE}?next={quote(here, safe='')}", type="primary")


def address() -> str:
    """Path and query of the page that is shown. Ask before `st.navigation`, which drops the query of a page that it
    does not know."""
    query = urlencode(st.query_params.to_dict())
    return quote(urlsplit(st.context.url or "/").path or "/") + (f"?{query}" if query else "")


def perform(
    action: Callable[[WriteSession, Actor], Result], *, done: str, sent: Submission | None = None
) -> Result | None:
    """Run one service call in one transaction, as the person signed in now; None when it was refused.

    `done` is said after the next rerun. The services check permission and digest; nothing is decided here. Where the
    service asks for a fresh sign-in, what was `sent` is kept until the person comes back.
    """
    try:
        _found.token = None  # who acts is looked up anew
        actor = viewer()
        request_id = actor.request_id or new_id("req")
        with (
            about(request_id=request_id),
            span("an action on a page", kind="server", request_id=request_id),
            writing() as session,
        ):
            result = action(session, actor)
    except SignInAgain as error:
        if sent is not None:
            keep_typed(actor, sent.form, sent.to_keep())
        show_error(error)
        return None
    except WarrantError as error:
        show_error(error)
        return None
    except OperationalError as error:
        show_error(unavailable(error))
        return None
    st.session_state[_SAID] = done
    look_again(actor)
    return result


def say_what_was_done() -> None:
    """Show what the last action did, once."""
    said = st.session_state.pop(_SAID, None)
    if said:
        st.success(plain(said), icon=":material/check_circle:")


def live(run_every: float | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A fragment that reruns every `run_every` seconds, and stops showing anything once the session has ended."""

    def wrap(draw: Callable[..., None]) -> Callable[..., None]:
        def checked(*args: Any, **kwargs: Any) -> None:
            with rendering_errors():
                looked_up()  # before a turn is waited for: whoever is refused takes none
                with taking_turns():
                    draw(*args, **kwargs)

        checked.__qualname__ = f"live.{draw.__module__}.{draw.__qualname__}"
        checked.__module__ = draw.__module__
        return st.fragment(checked, run_every=run_every)

    return wrap


def go(page: str, **query: object) -> None:
    """Leave for another page; never returns."""
    kept = {name: str(value) for name, value in with_range(page, query).items() if value is not None}
    st.switch_page(page_file(page), query_params=kept)


def page_link(page: str, label: str, *, icon: str | None = None, **query: object) -> None:
    """A link to one of our pages that keeps the session, and the range of time where that page shows one."""
    kept = {name: str(value) for name, value in with_range(page, query).items() if value is not None}
    st.page_link(page_file(page), label=label, icon=icon, query_params=kept or None)
