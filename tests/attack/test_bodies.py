"""Bodies that are meant to break whoever reads them: deep, huge, malformed, packed, or not what they say."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette

from app import server
from tests.integration.api.conftest import Callers, TestClient

DEEP = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
HOSTILE = {
    "deep objects": DEEP,
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "a number of a million digits": b'{"text": ' + b"9" * 1_000_000 + b"}",
    "an exponent beyond any": b'{"number": 1e999999999}',
    "NaN": b'{"number": NaN, "other": Infinity}',
    "invalid UTF-8": b'{"text": "\xff\xfe\x80"}',
    "half a surrogate": b'{"text": "\\ud800"}',
    "NUL": b'{"text": "a\\u0000b"}',
    "one key twice": b'{"verdict": "approve", "verdict": "reject", "digest": "x"}',
    "a list for an object": b"[1, 2, 3]",
    "a word": b'"text"',
    "nothing": b"",
    "no JSON": b"{",
    "UTF-16": '{"text": "a"}'.encode("utf-16"),
    "a prototype": b'{"__proto__": {"admin": true}, "constructor": {"prototype": {}}}',
}
ROUTES = (
    "/changes", "/changes/1/decisions", "/incidents/1/acknowledgement", "/models/toy/monitors",
    "/models/toy/predictions", "/findings", "/silences", "/policy", "/me/tokens",
)  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_body_is_refused_and_not_an_error_of_ours(api: Callers, what: str) -> None:
    for route in ROUTES:
        answer = api.send(
            "lead", "POST", route, content=HOSTILE[what], headers={"Content-Type": "application/json"}
        )
        assert 400 <= answer.status_code < 500, (route, answer.status_code, answer.text[:300])
        assert answer.headers["content-type"] == "application/problem+json", (route, answer.text[:300])


def test_a_packed_body_is_not_unpacked(api: Callers) -> None:
    """A few kilobytes that say they are gzip of a gigabyte are read as the bytes that they are."""
    bomb = gzip.compress(b" " * (64 << 20))
    for encoding, body in (("gzip", bomb), ("deflate", zlib.compress(b" " * (64 << 20))), ("br", bomb)):
        tracemalloc.start()
        answer = api.send(
            "lead", "POST", "/changes", content=body,
            headers={"Content-Type": "application/json", "Content-Encoding": encoding},
        )  # fmt: skip
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert 400 <= answer.status_code < 500, (encoding, answer.text[:300])
        assert peak < 16 << 20, encoding


def test_a_length_that_lies_is_refused(api: Callers) -> None:
    answer = api.send("lead", "POST", "/changes", content=b"{}", headers={"Content-Length": str(1 << 40)})
    assert answer.status_code == 413


def test_a_chunked_body_without_end_is_cut_off(api: Callers) -> None:
    sent = 0

    def endless() -> object:
        nonlocal sent
        while sent < 8 << 20:
            sent += 1 << 16
            yield b" " * (1 << 16)

    answer = api.send(
        "lead", "POST", "/changes", content=endless(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/teams/x/members/predictions"), ("POST", "/changes/1/checks/labels"), ("PUT", "/objectives/documents"),
     ("POST", "/models/toy/x/predictions")],
)  # fmt: skip
def test_a_name_that_ends_like_a_batch_takes_no_larger_body(api: Callers, method: str, path: str) -> None:
    """Nobody is signed in: what is read before that is asked has the limit of every other body."""
    body = b" " * ((1 << 20) + 1)
    answer = api.send(None, method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text[:300]


@pytest.mark.parametrize("path", ["/signin", "/signin/again", "/setup", "/oidc/backchannel-logout/x"])
def test_a_form_of_strangers_has_the_limit_of_every_other_body(api: Callers, path: str) -> None:
    many = b"&".join(b"f%d=%s" % (number, b"x" * 9000) for number in range(120))
    routes = [
        one for one in server._routes() if getattr(one, "path", "").startswith(("/sign", "/setup", "/oidc"))
    ]
    with TestClient(Starlette(routes=routes), raise_server_exceptions=False) as browser:
        answer = browser.post(
            path, content=many, headers={"Content-Type": "application/x-www-form-urlencoded"}
        )
    assert answer.status_code == 413, answer.text[:300]


def test_a_batch_that_unpacks_to_more_than_is_kept_is_refused_by_its_own_footer(
    api: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.api.routes.observations.LARGEST_UNPACKED_BYTES", 1 << 20)
    table = pa.table({"prediction_id": pa.array(["x" * 4000] * 1000, pa.string())})
    file = io.BytesIO()
    pq.write_table(table, file, compression="zstd", use_dictionary=False)
    assert len(file.getvalue()) < 1 << 17
    answer = api.send(
        "lead", "POST", "/models/toy/predictions", content=file.getvalue(),
        headers={"Content-Type": "application/vnd.apache.parquet"},
    )  # fmt: skip
    assert answer.status_code == 422
    assert "unpacked" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"])
def test_a_batch_that_is_not_what_it_says_is_refused(api: Callers, kind: str) -> None:
    for body in (b"", b"PAR1" + b"\x00" * 64 + b"PAR1", b"\xff" * 1000, json.dumps({"a": 1}).encode()):
        answer = api.send(
            "lead", "POST", "/models/toy/predictions", content=body, headers={"Content-Type": kind}
        )
        assert 400 <= answer.status_code < 500, answer.text[:300]


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd.pdf", "..\\..\\x.pdf", "/etc/x.pdf", "a/../../b.pdf", "x.pdf\r\nSet-Cookie: a=b.pdf",
     "\u202efdp.exe.pdf"],
)  # fmt: skip
def test_a_files_name_never_leads_out_of_its_folder(api: Callers, name: str) -> None:
    answer = api.send(
        "lead", "POST", "/documents", params={"name": name}, content=b"%PDF-1.7\n" + name.encode()
    )
    if answer.status_code < 300:
        kept = answer.json()["name"]
        assert "/" not in kept
        assert "\\" not in kept
        assert kept.isprintable()
    else:
        assert answer.status_code == 422


@pytest.mark.parametrize(
    "path",
    ["/documents/..%2f..%2fwarrant.db", "/documents/sha256:../../x", "/models/..%2f..%2fetc", "/packs/..%2fx/file",
     "/models/toy%00/versions"],
)  # fmt: skip
def test_no_path_of_a_request_leads_to_a_file(api: Callers, path: str) -> None:
    answer = api.get("admin", path)
    assert answer.status_code in (404, 405, 422), answer.text[:300]


def test_what_is_handed_in_is_what_its_name_says(api: Callers) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "a")
    for name, body in (
        ("report.pdf", b"<html><script>alert(1)</script>"), ("picture.png", b"%PDF-1.7"), ("all.zip", b"MZ\x90\x00"),
        ("notes.txt", b"a\x00b"), ("notes.md", b"\xff\xfe"), ("data.json", b"{"),
    ):  # fmt: skip
        answer = api.send("lead", "POST", "/documents", params={"name": name}, content=body)
        assert answer.status_code == 422, (name, answer.text)
    for name, body in (
        ("report.pdf", b"%PDF-1.7\n"), ("all.zip", packed.getvalue()), ("notes.md", "für".encode()),
        ("data.json", b"{}"),
    ):  # fmt: skip
        assert api.send("lead", "POST", "/documents", params={"name": name}, content=body).status_code < 300
