"""Images of others are pinned by what their registries say, all or none."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.pin_images import FILES, ROOT, address_of, digest_of, main, pinned, without_digest

DIGEST = f"sha256:{'ab' * 32}"


class Registry(BaseHTTPRequestHandler):
    """A registry that wants a token first, as Docker Hub does."""

    def do_HEAD(self) -> None:
        host = self.headers["Host"]
        if self.headers.get("Authorization") != "Bearer granted":
            self.send_response(401)
            scope = 'scope="repository:team/tool:pull"'
            self.send_header("WWW-Authenticate", f'Bearer realm="http://{host}/token",service="here",{scope}')
        elif self.path == "/v2/team/tool/manifests/1.2" and "image.index" in self.headers["Accept"]:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", DIGEST)
        else:
            self.send_response(404)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.path == "/token?service=here&scope=repository%3Ateam%2Ftool%3Apull":
            self.wfile.write(json.dumps({"token": "granted"}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_registry_is_asked_with_the_token_that_it_wants(registry: str) -> None:
    assert digest_of(f"{registry}/team/tool", "1.2") == DIGEST


def test_an_image_without_a_host_is_docker_hubs() -> None:
    assert address_of("postgres") == ("https://registry-1.docker.io", "library/postgres")
    assert address_of("prom/prometheus") == ("https://registry-1.docker.io", "prom/prometheus")
    assert address_of("quay.io/keycloak/keycloak") == ("https://quay.io", "keycloak/keycloak")


def test_every_image_of_others_gets_its_digest_and_keeps_its_tag() -> None:
    for name in FILES:
        text = (ROOT / name).read_text()
        once = pinned(text, lambda _name, _tag: DIGEST)
        assert without_digest(once) == []
        assert once.replace(f"@{DIGEST}", "") == re.sub(r"@sha256:\w+", "", text)
        assert pinned(once, lambda _name, _tag: f"sha256:{'cd' * 32}").count("cd" * 32) == once.count(DIGEST)
    assert "FROM python:3.11-slim-bookworm@" in pinned((ROOT / "Dockerfile").read_text(), lambda *_: DIGEST)


def test_our_own_images_are_built_here_and_have_none() -> None:
    assert pinned("  image: warrant:0.1.0\n", lambda *_: DIGEST) == "  image: warrant:0.1.0\n"


def test_what_cannot_be_asked_changes_nothing(
    copy: Path, registry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "Dockerfile").write_text(f"FROM {registry}/team/tool:1.2 AS build\nFROM {registry}/team/tool:9\n")
    before = {name: (copy / name).read_text() for name in FILES}
    assert main([], copy) == 1
    assert {name: (copy / name).read_text() for name in FILES} == before
    assert "nothing was written" in capsys.readouterr().err


def test_what_has_no_digest_is_named(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in FILES:
        (copy / name).write_text(pinned((copy / name).read_text(), lambda *_: DIGEST))
    assert main(["--check"], copy) == 0
    with (copy / "docker-compose.yml").open("a") as file:
        file.write("    image: registry.example.org:5000/other/thing:2\n")
    assert main(["--check"], copy) == 1
    assert "docker-compose.yml: registry.example.org:5000/other/thing:2" in capsys.readouterr().out
