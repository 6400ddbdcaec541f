"""Two consoles on one database and one home, on two ports or on one: any request may go to either."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from app.uploads import SharedUploads
from backend.api.security import COOKIE
from backend.commands import start
from backend.database.session import writing
from backend.errors import BadInput
from backend.identity.people import create_person
from backend.identity.roles import Role
from backend.identity.sessions import csrf_of
from backend.supervisor import Child
from tests.processes import START_S, ConsoleProcess, wait_until
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


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_several_console_processes_share_one_port(database: str, tmp_path: Path) -> None:
    """As `WARRANT_CONSOLES=2 warrant up` starts them: both get connections, and one goes on when the other ends."""
    make_world(tmp_path / "files")
    one = ConsoleProcess(tmp_path / "one.log", share_port=True)
    other = ConsoleProcess(tmp_path / "other.log", beside=one)
    with one.start():
        first = who_answers(one.wait_ready())
        with other.start():
            wait_until(
                lambda: who_answers(one) != first, within_s=START_S, what="an answer of the second process"
            )
            wait_until(lambda: who_answers(one) == first, within_s=30, what="an answer of the first process")
            other.stop()
            assert {who_answers(one) for _ in range(20)} == {first}


def who_answers(console: ConsoleProcess) -> float:
    """When the process began that is given the next connection."""
    told = httpx.get(f"{console.url}/metrics", timeout=30).text
    return float(
        next(line for line in told.splitlines() if line.startswith("process_start_time_seconds")).split()[1]
    )


def test_one_process_needs_no_shared_port_and_several_say_so() -> None:
    (alone,) = consoles_of(1)
    assert (alone.name, "--share-port" in alone.argv) == ("console", False)
    several = consoles_of(3)
    assert [one.name for one in several] == ["console", "console-2", "console-3"]
    assert all("--share-port" in one.argv for one in several)


def test_several_are_refused_where_a_port_cannot_be_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(BadInput, match="only Linux"):
        consoles_of(2)


def consoles_of(number: int) -> list[Child]:
    return start.consoles(number, "http://127.0.0.1:1/healthz")
