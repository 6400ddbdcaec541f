"""Files chosen on a page are kept where every console finds them, and nowhere else."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.web.server.starlette.starlette_app_utils import generate_xsrf_token_string

from app import uploads
from app.uploads import LARGEST_BYTES, SharedUploads
from backend.api.security import COOKIE
from backend.database.session import writing
from tests.integration.api.conftest import TestClient
from tests.watched import cookie_of
from tests.worlds import person

PAGE, FILE = "7b1f6f3e-2f0c-4d0e-9d6a-0c1f5a1f7a11", "5a0c8b52-6d3b-4b5e-8f27-3e9a4f0f6c22"


@pytest.fixture
def client(migrated_home: Path) -> TestClient:
    return client_of("ada")


def client_of(name: str) -> TestClient:
    """The browser of somebody who is signed in."""
    token = generate_xsrf_token_string()
    with writing() as session:
        who = person(session, name)
    return TestClient(
        Starlette(routes=uploads.routes()), headers={"X-Xsrftoken": token},
        cookies={"_streamlit_xsrf": token, COOKIE: cookie_of(who)},
    )  # fmt: skip


def put(
    client: TestClient, data: bytes = b"%PDF", *, page: str = PAGE, file: str = FILE, **options: Any
) -> Any:
    return client.put(
        f"/uploads/{page}/{file}", files={"f": ("a report.pdf", data, "application/pdf")}, **options
    )


def test_what_one_console_takes_another_one_reads(client: TestClient, home: Path) -> None:
    assert put(client).status_code == 204
    assert SharedUploads().get_files(PAGE, [FILE, str(uuid.uuid4())]) == [
        UploadedFileRec(FILE, "a report.pdf", "application/pdf", b"%PDF")
    ]
    assert client.delete(f"/uploads/{PAGE}/{FILE}").status_code == 204
    assert SharedUploads().get_files(PAGE, [FILE]) == []


def test_the_page_is_told_where_to_send_its_file() -> None:
    (told,) = SharedUploads.get_upload_urls(object.__new__(SharedUploads), PAGE, ["a.pdf"])
    assert told.upload_url == told.delete_url == f"/uploads/{PAGE}/{told.file_id}"


def test_a_page_that_ends_takes_its_files_along(client: TestClient, home: Path) -> None:
    put(client)
    SharedUploads().remove_session_files("../..")
    assert (home / "uploads" / PAGE / FILE).is_file()
    SharedUploads().remove_session_files(PAGE)
    assert list((home / "uploads").iterdir()) == []


def test_files_of_a_console_that_was_killed_go_after_a_day(client: TestClient, home: Path) -> None:
    put(client)
    os.utime(home / "uploads" / PAGE, (0, 0))
    SharedUploads()
    assert list((home / "uploads").iterdir()) == []


def test_an_account_keeps_so_much_and_others_are_not_in_its_way(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MOST_FILES", 3)
    pages = [str(uuid.uuid4()) for _ in range(3)]
    assert [put(client, page=one).status_code for one in pages] == [204] * 3
    refused = put(client)
    assert (refused.status_code, "3 chosen files" in refused.text) == (413, True)
    other = client_of("bob")
    assert put(other).status_code == 204
    assert put(other, page=pages[0]).status_code == 404, "a page is of who sent its first file"
    assert other.delete(f"/uploads/{pages[0]}/{FILE}").status_code == 404
    monkeypatch.setattr(uploads, "MOST_BYTES", 200)
    client.delete(f"/uploads/{pages[0]}/{FILE}")
    assert put(client, b"x" * 300, page=pages[0]).status_code == 413
    assert sorted(one.name for one in (home / "uploads").iterdir()) == sorted([*pages[1:], PAGE])
    assert put(client, page=pages[0]).status_code == 204


def test_a_volume_that_is_nearly_full_takes_no_files(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "ROOM_KEPT", 1 << 60)
    assert put(client).status_code == 507
    assert not (home / "uploads").exists()


def test_whose_session_has_ended_sends_nothing(client: TestClient, home: Path) -> None:
    client.cookies.delete(COOKIE)
    assert put(client).status_code == 401


@pytest.mark.parametrize("page", ["..", "x", "%2e%2e", PAGE.upper()])
def test_nothing_but_ids_comes_near_a_path(client: TestClient, home: Path, page: str) -> None:
    assert put(client, page=page).status_code == 404
    with pytest.raises(ValueError, match="not the id"):
        SharedUploads().remove_file(page, FILE)


def test_another_site_cannot_send_one(client: TestClient, home: Path) -> None:
    assert put(client, headers={"X-Xsrftoken": generate_xsrf_token_string()}).status_code == 403
    assert not (home / "uploads").exists()


def test_a_file_that_is_too_large_is_not_kept(
    client: TestClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LARGEST_BYTES > 1 << 20
    monkeypatch.setattr(uploads, "LARGEST_BYTES", 10)
    assert put(client, b"x" * 11).status_code == 413
    monkeypatch.setattr(uploads, "FRAMING", 100)
    assert put(client, b"x" * 1000).status_code == 413
    assert put(client, b"x" * 10).status_code in (204, 413)
    assert client.put(f"/uploads/{PAGE}/{FILE}", data={"a": "b"}).status_code == 400
