"""What other hosts answer is read with care: odd digits and endless answers stop nobody's signing."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from backend.audit.anchors.base import AnchorAway, AnchorRefused, Head, tree_size
from backend.audit.anchors.git_tag import GitTag
from backend.audit.anchors.witness import LONGEST_ANSWER, WitnessAnchor
from backend.audit.notes import SigningKey
from backend.audit.witness_server import WitnessServer, serve
from backend.audit.witnesses import Witness

KEY = SigningKey.generate("host-b.example/witness").verifier.timed()
HEAD = Head(3, "00" * 32, "a note\n")


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def answering(status: int, body: bytes) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


@pytest.mark.parametrize("text", ["²", "٣", "1" * 5000, "-1", "01", "", "1 "])
def test_no_size_is_no_size(text: str) -> None:
    assert tree_size(text) is None


@pytest.mark.parametrize("said", ["²", "9" * 5000, "4"])
def test_a_witness_that_names_no_size_of_ours_refuses(said: str) -> None:
    with serving(answering(409, said.encode())) as url, pytest.raises(AnchorRefused, match="has a head of"):
        WitnessAnchor(Witness(url, KEY)).keep(HEAD, lambda _: [])


def test_a_witness_that_answers_without_end_is_away() -> None:
    endless = answering(200, b"x" * (LONGEST_ANSWER + 1))
    with serving(endless) as url, pytest.raises(AnchorAway, match="more than 65536 bytes"):
        WitnessAnchor(Witness(url, KEY)).keep(HEAD, lambda _: [])


def test_a_tag_that_names_no_size_is_none_of_ours(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y", *arguments],
            check=True, capture_output=True,
        )  # fmt: skip

    git("init", "--quiet")
    git("commit", "--allow-empty", "-m", "one")
    git("tag", "warrant-audit/²")
    assert GitTag(tmp_path)._newest_size() is None


def test_the_witness_answers_a_length_that_is_none(tmp_path: Path) -> None:
    with serving(serve(WitnessServer(tmp_path, "b.example/w", []), "127.0.0.1", 0)) as url:
        for length in (b"\xb2", b"1" * 5000):
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as plain:
                plain.sendall(b"POST /add-checkpoint HTTP/1.0\r\nContent-Length: " + length + b"\r\n\r\n")
                assert b" 413 " in plain.recv(200)
