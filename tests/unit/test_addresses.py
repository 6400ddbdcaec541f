"""Passwords and tokens of addresses: in no text that is kept or shown, and nothing else of the text is lost."""

from __future__ import annotations

import logging
import sys

import pytest

from backend.addresses import CleanFormatter, all_without_credentials, without_credentials
from backend.errors import Unavailable
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
