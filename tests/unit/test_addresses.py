"""Passwords and tokens of addresses: in no text that is kept or shown, and nothing else of the text is lost."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from backend.addresses import (
    CleanFormatter,
    all_without_credentials,
    clean_logging,
    without_credentials,
    without_secrets,
)
from backend.errors import Unavailable
from backend.logs import JsonFormatter
from jobs.runtime import reason_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://bob:secret@mlflow.example/x", "https://mlflow.example/x"),
        ("API request to http://u:s%40e@h:1/a failed: b@c.d", "API request to http://h:1/a failed: b@c.d"),
        ("'postgresql+psycopg://w:p@ss@db/warrant'", "'postgresql+psycopg://db/warrant'"),
        ("https://token@h, then http://a:b@i", "https://h, then http://i"),
        ("GET https://h/x?token=abc&page=2", "GET https://h/x?token=***&page=2"),
        ("url: /api?page=2&api_key=abc (refused)", "url: /api?page=2&api_key=*** (refused)"),
        ("https://h/a@b?monkey=1", "https://h/a@b?monkey=1"),
        ("write to bob@example.com", "write to bob@example.com"),
    ],
)
def test_addresses_lose_their_credentials_and_nothing_else(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_all_texts_of_data_are_cleaned() -> None:
    data = {"a": ["http://u:p@h", 3, None], "b": {"c": "http://u:p@h"}}
    assert all_without_credentials(data) == {"a": ["http://h", 3, None], "b": {"c": "http://h"}}


def test_errors_and_what_runs_say_of_them_are_cleaned() -> None:
    error = Unavailable("http://u:p@h does not answer")
    assert str(error) == error.message == "http://h does not answer"
    assert reason_of(ValueError("http://u:p@h")) == "ValueError: http://h"


def test_tracebacks_in_logs_are_cleaned() -> None:
    try:
        int("http://u:p@h")
    except ValueError:
        failure = sys.exc_info()
    line = CleanFormatter("%(message)s").format(
        logging.LogRecord("x", logging.WARNING, "x.py", 1, "%s is away", ("http://u:p@h",), failure)
    )
    assert "http://h is away" in line
    assert "base 10: 'http://h'" in line
    assert "u:p@h" not in line


TOKEN = "wrt_" + "a1B2c3D4" * 4
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (f"refused {TOKEN} of alice", "refused wrt_*** of alice"),
        (f"Authorization: Bearer {TOKEN}", "Authorization: ***"),
        (
            "{'authorization': 'Basic dXNlcjpwYXNz', 'accept': '*/*'}",
            "{'authorization': '***', 'accept': '*/*'}",
        ),
        (f"sent bearer {'x' * 40} twice", "sent bearer *** twice"),
        (f"id_token {JWT} expired", "id_token *** expired"),
        ("Cookie: warrant_session=abc; other=1", "Cookie: ***"),
        ("password=hunter22 for alice", "password=*** for alice"),
        ('{"client_secret": "s3cret", "name": "a"}', '{"client_secret": "***", "name": "a"}'),
        ("WARRANT_WEBHOOK_SECRET=abcdef", "WARRANT_WEBHOOK_SECRET=***"),
        ("glpat-abcdefghijklmnop and ghp_abcdefghijklmnop", "glpat-*** and ghp_***"),
        ("the token of alice expired; basic figures hold", "the token of alice expired; basic figures hold"),
    ],
)
def test_log_lines_hold_no_token_header_cookie_or_password(line: str, kept: str) -> None:
    assert without_secrets(line) == kept


def test_lines_for_machines_lose_the_same() -> None:
    token = f"wrt_{'A' * 49}"
    line = "sent Authorization: Bearer %s, cookie: warrant_session=%s"
    raised = ValueError(f"password=hunter22 and {token}")
    record = logging.LogRecord("x", logging.ERROR, "", 1, line, (token, "abcdef"), (ValueError, raised, None))
    said = JsonFormatter("console").format(record)
    for secret in (token, "abcdef", "hunter22"):
        assert secret not in said
    assert json.loads(said)["message"] == without_secrets(line % (token, "abcdef"))


def test_every_handler_that_there_is_writes_clean_lines() -> None:
    library, handler = logging.getLogger("warrant.tests.library"), logging.StreamHandler()
    library.addHandler(handler)
    try:
        clean_logging()
        assert isinstance(handler.formatter, CleanFormatter)
    finally:
        library.removeHandler(handler)
