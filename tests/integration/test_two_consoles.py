"""Two consoles on one database and one home: any request may go to either."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from app.uploads import SharedUploads
from backend.api.security import COOKIE
from backend.database.session import writing
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.sessions import csrf_of
from tests.processes import ConsoleProcess
from tests.worlds import SYSTEM, make_world

pytestmark = pytest.mark.slow
PASSWORD = "correct horse battery"


@pytest.fixture
def consoles(database: str, tmp_path: Path) -> Iterator[tuple[str, str]]:
    make_world(tmp_path / "files")
    with writing() as session:
        create_person(
            session, SYSTEM, username="ada", display_name="Ada", roles={Role.ADMIN}, password=PASSWORD
        )
    one, other = (ConsoleProcess(tmp_path / f"{name}.log") for name in ("one", "other"))
    with one.start(), other.start():
        yield one.wait_ready().url, other.wait_ready().url


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_begins_at_one_goes_on_at_the_other(consoles: tuple[str, str]) -> None:
    one, other = consoles
    with httpx.Client(timeout=30) as browser:  # cookies go by host, and both are this one
        form = browser.get(f"{one}/signin")
        csrf = form.text.split('name="csrf" value="')[1].split('"')[0]
        sent = {"csrf": csrf, "username": "ada", "password": PASSWORD, "next": "/"}
        assert browser.post(f"{other}/signin", data=sent, headers={"Origin": other}).status_code == 303
        for where in consoles:
            assert browser.get(f"{where}/").status_code == 200
            me = browser.get(f"{where}/api/v1/me")
            assert (me.status_code, me.json()["name"]) == (200, "Ada")
        assert (
            browser.get(f"{one}/export/changes.json").json()
            == browser.get(f"{other}/export/changes.json").json()
        )

        page, file, token = str(uuid.uuid4()), str(uuid.uuid4()), generate_xsrf_token_string()
        browser.cookies.set("_streamlit_xsrf", token, domain="127.0.0.1")
        taken = browser.put(
            f"{other}/uploads/{page}/{file}", files={"f": ("a.pdf", b"%PDF", "application/pdf")},
            headers={"X-Xsrftoken": token},
        )  # fmt: skip
        assert taken.status_code == 204
        assert [one.data for one in SharedUploads().get_files(page, [file])] == [b"%PDF"]

        csrf = csrf_of(browser.cookies[COOKIE])
        left = browser.post(f"{other}/signout", data={"csrf": csrf}, headers={"Origin": other})
        assert left.status_code == 303
        assert browser.get(f"{one}/api/v1/me").status_code == 401
