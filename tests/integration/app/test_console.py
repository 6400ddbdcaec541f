"""The console over HTTP: who gets in, what is refused, what is told to machines, what can be downloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.headers import headers_for, policy
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import writing
from backend.database.upgrade import upgrade
from backend.identity.actor import Actor
from backend.identity.sessions import revoke_all
from backend.registry.artefacts import ArtefactAltered
from backend.settings import settings
from tests.console import Console, running_console
from tests.watched import cookie_of, watch
from tests.worlds import SYSTEM, World, make_world


@dataclass(frozen=True)
class Site:
    console: Console
    world: World

    def get(self, who: Actor | None, path: str, **headers: str) -> httpx.Response:
        cookies = {"warrant_session": cookie_of(who)} if who else None
        return httpx.get(self.console.url + path, cookies=cookies, headers=headers, timeout=20)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One console for the module; each test only reads, or ends sessions of its own."""
    from backend.database.engine import use_database

    folder = tmp_path_factory.mktemp("console")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARRANT_HOME", str(folder / "home"))
        settings.cache_clear()
        use_database(None)
        upgrade()
        world = make_world(folder / "files")
        watch(world)
        with running_console(folder) as console:
            yield Site(console, world)
        use_database(None)
    settings.cache_clear()


@pytest.mark.parametrize(
    "path", ["/", "/model?model=toy&size=1d", "/change?id=7", "/files/rep_1", "/no-such-page"]
)
def test_a_signed_out_page_request_leads_to_signing_in_and_back(site: Site, path: str) -> None:
    answer = site.get(None, path)
    assert answer.status_code == 303
    where = httpx.URL(answer.headers["location"])
    assert where.path == "/signin"
    assert where.params.get("next", "/") == path


def test_a_signed_in_page_request_gets_the_frame_with_security_headers(site: Site) -> None:
    answer = site.get(site.world.viewer, "/drift?model=toy")
    assert answer.status_code == 200
    assert '<div id="root">' in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    scripts = re.search(r"script-src ([^;]*)", policy)
    assert scripts is not None
    assert "'unsafe-inline'" not in scripts[1]
    assert scripts[1].count("'sha256-") == len(re.findall(r"<script>", answer.text))
    host = site.console.url.removeprefix("http://")
    assert re.findall(r"connect-src ([^;]*)", policy) == [f"'self' ws://{host} wss://{host}"]
    assert "http" not in policy.replace("http-equiv", "")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "strict-transport-security" not in answer.headers, "the console speaks HTTP here"


def test_behind_https_browsers_are_told_to_keep_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARRANT_PUBLIC_URL", "https://warrant.example")
    settings.cache_clear()
    assert headers_for("warrant.example")["Strict-Transport-Security"] == "max-age=31536000"
    monkeypatch.undo()
    settings.cache_clear()


def test_a_host_that_is_none_adds_nothing_to_the_policy() -> None:
    assert "connect-src 'self';" in policy("evil; script-src *")


def test_streamlits_way_for_programs_is_closed_to_everyone(site: Site) -> None:
    for path in ("/_stcore/agent/openapi.json", "/_stcore/agent/interact", "/_stcore/agent/mcp"):
        assert site.get(site.world.viewer, path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/change?id=1"])
def test_a_page_is_told_where_it_is_served_from_and_need_not_guess(site: Site, path: str) -> None:
    answer = site.get(site.world.viewer, path)
    assert "BACKEND_BASE_URL:window.location.origin" in answer.text
    assert answer.text.rstrip().endswith("</html>"), "the page is whole"
    assert "etag" not in answer.headers


def test_media_and_uploads_need_a_session_too(site: Site) -> None:
    assert site.get(None, "/media/0123.png").status_code == 401
    assert httpx.put(f"{site.console.url}/_stcore/upload_file/a/b").status_code == 401


def test_a_websocket_without_a_cookie_or_from_another_site_is_refused(site: Site) -> None:
    address = site.console.url.replace("http", "ws") + "/_stcore/stream"
    cookie = {"Cookie": f"warrant_session={cookie_of(site.world.viewer)}"}
    with pytest.raises(InvalidStatus):
        connect(address)
    with pytest.raises(InvalidStatus):
        connect(address, additional_headers={"Cookie": "warrant_session=x"}, subprotocols=["streamlit"])  # type: ignore[list-item]
    with pytest.raises(InvalidStatus):
        connect(address, additional_headers=cookie, origin="https://elsewhere.example")  # type: ignore[arg-type]
    with connect(address, additional_headers=cookie, subprotocols=["streamlit"]) as socket:  # type: ignore[list-item]
        assert socket.state.name == "OPEN"


def test_a_session_ended_elsewhere_no_longer_opens_pages(site: Site) -> None:
    token = cookie_of(site.world.compliance)
    url = f"{site.console.url}/audit"
    assert httpx.get(url, cookies={"warrant_session": token}).status_code == 200
    with writing() as session:
        revoke_all(session, site.world.compliance, site.world.compliance.person_id)
    assert httpx.get(url, cookies={"warrant_session": token}).status_code == 303


def test_health_and_metrics_are_told_without_a_session(site: Site) -> None:
    assert site.get(None, "/healthz").json() == {"status": "ok"}
    text = site.get(None, "/metrics").text
    assert 'warrant_firing_alerts{level="page"} 1.0' in text
    assert "warrant_open_incidents 1.0" in text
    assert "process_resident_memory_bytes" in text
    assert "toy" not in text


def test_the_api_is_mounted_and_checks_its_own_callers(site: Site) -> None:
    document = site.get(None, "/api/v1/openapi.json").json()
    assert "/models" in document["paths"]
    refused = site.get(None, "/api/v1/models")
    assert refused.status_code == 401
    assert refused.headers["content-type"] == "application/problem+json"
    assert site.get(site.world.viewer, "/api/v1/models").status_code == 200


def test_the_api_page_lists_every_route_and_loads_nothing_from_elsewhere(site: Site) -> None:
    answer = site.get(site.world.viewer, "/api/v1/docs")
    assert answer.status_code == 200
    paths = site.get(None, "/api/v1/openapi.json").json()["paths"]
    assert all(path.split("{")[0] in answer.text for path in paths)
    assert "://" not in answer.text.replace("http://www.w3.org", "")


def test_static_files_are_sent_compressed_and_cached_for_good(site: Site) -> None:
    page = site.get(site.world.viewer, "/").text
    script = page.split('src="./static/js/')[1].split('"')[0]
    packed = httpx.get(f"{site.console.url}/static/js/{script}", headers={"Accept-Encoding": "gzip"})
    plain = httpx.get(f"{site.console.url}/static/js/{script}", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content) / 2


@pytest.mark.parametrize(
    "path", ["/static/../app/server.py", "/static/%2e%2e/index.html", "/static//etc/passwd"]
)
def test_static_serving_stays_in_its_folder(site: Site, path: str) -> None:
    answer = httpx.get(site.console.url + path, headers={"Accept-Encoding": "gzip"})
    assert "uvicorn" not in answer.text
    assert "root:" not in answer.text


def test_a_report_is_a_download_in_a_sandbox(site: Site) -> None:
    answer = site.get(site.world.viewer, "/files/rep_1")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    opened = site.get(site.world.viewer, "/files/rep_1?open=1")
    assert opened.headers["content-disposition"].startswith("inline")
    assert opened.headers["content-security-policy"].startswith("sandbox")


def test_a_report_that_is_not_there_is_a_plain_page(site: Site) -> None:
    answer = site.get(site.world.viewer, "/files/rep_none")
    assert answer.status_code == 404
    assert "there is no report" in answer.text


def test_a_report_that_was_altered_is_not_handed_out(site: Site) -> None:
    file = settings().artefacts / "reports" / "one.html"
    written = file.read_bytes()
    file.write_bytes(b"<h1>Another report</h1>")
    try:
        answer = site.get(site.world.viewer, "/files/rep_1?open=1")
    finally:
        file.write_bytes(written)
    assert answer.status_code == ArtefactAltered.status
    assert "altered after it was written" in answer.text
    assert "Another report" not in answer.text


def test_the_log_is_exported_to_those_who_may_read_it(site: Site) -> None:
    def exported(query: str) -> list[dict[str, Any]]:
        lines = site.get(site.world.compliance, f"/export/audit.jsonl{query}").text.splitlines()
        return [json.loads(line) for line in lines]

    assert site.get(site.world.viewer, "/export/audit.jsonl").status_code == 403
    rows = exported("?object_kind=version")
    assert {row["object_kind"] for row in rows} == {"version"}
    with writing() as session:
        record(session, SYSTEM, Action.WINDOW_COMPUTED, object_kind="window", object_id="routine")
    for query, told in (("", True), ("?routine=no", False)):
        assert ("monitoring:window:compute" in {row["action"] for row in exported(query)}) is told
    table = site.get(site.world.compliance, "/export/audit.csv").text.splitlines()
    assert table[0].startswith("seq,at,actor")
    assert len(table) > len(rows)
    assert site.get(site.world.compliance, "/export/audit.xlsx").status_code == 422


def test_changes_are_exported(site: Site) -> None:
    assert json.loads(site.get(site.world.viewer, "/export/changes.json").text) == []


def test_the_icon_is_ours(site: Site) -> None:
    assert site.get(None, "/favicon.png").headers["content-type"].startswith("image/svg+xml")


def test_one_signs_in_through_the_form_and_lands_where_one_wanted(site: Site, tmp_path: Path) -> None:
    from backend.identity.people import create_person
    from backend.identity.roles import Role
    from tests.worlds import SYSTEM

    with writing() as session:
        create_person(
            session, SYSTEM, username="newcomer", display_name="New Comer", password="correct horse battery",
            roles={Role.VIEWER},
        )  # fmt: skip
    with httpx.Client(base_url=site.console.url) as browser:
        form = browser.get("/signin", params={"next": "/drift?model=toy"})
        csrf = form.text.split('name="csrf" value="')[1].split('"')[0]
        filled = {
            "csrf": csrf,
            "next": "/drift?model=toy",
            "username": "newcomer",
            "password": "correct horse battery",
        }
        answer = browser.post("/signin", data=filled, headers={"Origin": site.console.url})
        assert (answer.status_code, answer.headers["location"]) == (303, "/drift?model=toy")
        assert browser.get("/drift?model=toy").status_code == 200


def test_the_overview_is_found_by_its_name_too(site: Site) -> None:
    answer = site.get(site.world.viewer, "/overview")
    assert (answer.status_code, answer.headers["location"]) == (307, "/")
