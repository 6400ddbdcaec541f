"""The frame around every page: who is signed in, what is not real, where one can go."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import banner, empty_state, use_style, viewer_zone
from app.components.actions import offer_kept
from app.components.range_bar import start_page
from app.components.search_field import search_field
from app.formats import format_when
from app.nav import PAGES, page_file
from app.plain_text import plain
from app.session import (
    SIGN_OUT_THERE,
    address,
    looked_up,
    perform,
    rendering_errors,
    say_what_was_done,
    show_error,
    signed_in,
    viewer,
)
from app.turns import taking_turns
from backend.database.session import WriteSession, reading
from backend.errors import NotSignedIn
from backend.identity.actor import Actor
from backend.identity.oidc_logout import rests_on_provider
from backend.identity.sessions import revoke
from backend.identity.stepping_up import forget_typed, typed_in
from backend.identity.ways_in import whom_to_ask
from backend.settings import settings

NAV_LINKS = ("stTopNavLink", "stSidebarNavLink")


def top_bar(actor: Actor, here: str) -> None:
    """Environment on the left, then the search field, as the page `here` has it; on the right who acts, with which
    roles, and the way out."""
    roles = ", ".join(sorted(role.value.replace("_", " ") for role in actor.every_role))
    with st.container(
        horizontal=True, horizontal_alignment="distribute", key="top-bar", vertical_alignment="center"
    ):
        st.html(f'<span class="w-detail">environment {settings().environment}</span>', width="content")
        search_field(data.scope_of(actor), here)
        with st.popover(
            f"{plain(actor.display_name)} ({plain(roles)})", icon=":material/person:", type="tertiary"
        ):
            ending = len(data.tokens_ending(data.scope_of(actor)))
            st.page_link(
                page_file("account"),
                label="Sessions and API tokens" + (f" ({ending} ending soon)" if ending else ""),
                icon=":material/key:",
            )
            st.button("Sign out", key="sign-out", on_click=_sign_out, icon=":material/logout:")


def _sign_out() -> None:
    found = signed_in()

    def end(session: WriteSession, actor: Actor) -> bool:
        revoke(session, actor, found.row.id)
        return rests_on_provider(session, found.row.id) is not None

    st.session_state[SIGN_OUT_THERE] = perform(end, done="")


def _take_up_typed(actor: Actor) -> None:
    """What waited while they signed in again is in its form once more: asked for once, when the page is opened."""
    if "_typed_asked" in st.session_state:
        return
    st.session_state["_typed_asked"] = True
    with reading() as session:
        typed = typed_in(session, actor)
    if typed is not None:
        offer_kept(typed["form"], typed["values"])
        forget_typed(actor)


def banners() -> None:
    fault = data.injected_fault()
    if fault is not None:
        until = f" until {format_when(fault.until, viewer_zone())}" if fault.until else ""
        banner(
            f"The fault “{fault.name}” is switched on in the replay since "
            f"{format_when(fault.since, viewer_zone())}{until}. What follows from it is not the model's doing.",
            "injected", word="injected fault",
        )  # fmt: skip


def mark_parent(path: str) -> None:
    """Mark the entry of the menu that a page without one belongs to, as Streamlit marks that of a page with one."""
    if not path:
        return
    address = "/" if next(row for row in PAGES if row.path == path).default else f"/{path}"
    links = ", ".join(f'[data-testid="{kind}"][href$="{address}"]' for kind in NAV_LINKS)
    here = f":is({links})"
    st.html(
        f"<style>{here} {{ background: color-mix(in srgb, currentColor 12%, transparent); }} "
        f"{here} p {{ font-weight: 600; }}</style>"
    )


def without_role(actor: Actor) -> None:
    """For somebody who was let in and has no role: whom to ask, and the way out."""
    with reading() as session:
        names = whom_to_ask(session)
    asked = ", ".join(names) or "an administrator of Warrant"
    st.title("You have no role yet", anchor=False)
    empty_state(
        f"You are signed in as {actor.display_name}, and see nothing here until somebody gives you a role",
        f"Ask {asked} for a role, or for a place in a team. It holds from your next click on.",
    )
    with st.container(horizontal=True):
        st.button("Look again", icon=":material/refresh:")
        st.button("Sign out", on_click=_sign_out, icon=":material/logout:")


def main() -> None:
    st.set_page_config(page_title="Warrant", layout="wide")
    use_style()
    try:
        looked_up()  # before a turn is waited for: whoever is refused takes none
    except NotSignedIn as error:
        refuse(error)
        return
    with taking_turns():
        try:
            actor = viewer()  # looked up anew where the turn was long in coming
        except NotSignedIn as error:
            refuse(error)
        else:
            draw(actor)


def refuse(refused: NotSignedIn) -> None:
    here = address()
    page = st.Page(lambda: show_error(refused, here=here), title="Sign in", default=True)
    st.navigation([page], position="hidden").run()


def draw(actor: Actor) -> None:
    if not actor.every_role:
        page = st.Page(lambda: without_role(actor), title="No role yet", default=True)
        with rendering_errors():
            st.navigation([page], position="hidden").run()
        return
    _take_up_typed(actor)
    scope = data.scope_of(actor)
    waiting = len(data.inbox(scope))
    rows = {"" if row.default else row.path: row for row in PAGES}
    pages = [
        st.Page(
            row.file,
            title=f"{row.title} ({waiting})" if row.path == "approvals" and waiting else row.title,
            url_path=row.path,
            default=row.default,
            visibility="visible" if row.in_menu and actor.may(row.needs) else "hidden",
        )
        for row in PAGES
    ]
    page = st.navigation(pages, position="top")
    start_page(rows[page.url_path].path)
    mark_parent(rows[page.url_path].parent)
    top_bar(actor, rows[page.url_path].path)
    banners()
    say_what_was_done()
    with rendering_errors():
        actor.require_some(rows[page.url_path].needs)
        page.run()


main()
