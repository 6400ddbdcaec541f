"""How often the API may be asked: by one account, and from one address."""

from __future__ import annotations

import pytest

from app.server import sign_in_forms
from backend.api.rates import ADDRESS_SHARE, MOST_KEPT, Buckets
from backend.settings import settings
from tests.integration.api.conftest import Callers
from tests.integration.identity.conftest import TestClient


@pytest.fixture
def slow(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> Callers:
    """An API that takes 6 requests a minute from an account."""
    monkeypatch.setenv("WARRANT_API_REQUESTS_PER_MIN", "6")
    settings.cache_clear()
    return callers


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_account_that_asks_too_often_waits_and_others_do_not(slow: Callers) -> None:
    assert [slow.get("viewer", "/me").status_code for _ in range(6)] == [200] * 6
    refused = slow.get("viewer", "/me")
    assert refused.status_code == 429
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert "6 requests a minute from this account" in refused.json()["detail"]
    assert slow.get("lead", "/me").status_code == 200


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_address_that_guesses_tokens_is_stopped_before_anything_is_looked_up(slow: Callers) -> None:
    guessed = {"Authorization": "Bearer wrt_guess"}
    answers = [slow.send(None, "GET", "/me", headers=guessed).status_code for _ in range(6 * ADDRESS_SHARE)]
    assert set(answers) == {401}
    refused = slow.send(None, "GET", "/me", headers=guessed)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_sign_in_forms_count_a_line_of_ipv6_as_one_address(slow: Callers) -> None:
    forms = sign_in_forms()

    def ask(address: str) -> int:
        with TestClient(forms, client=(address, 4711)) as browser:
            return int(browser.get("/signin").status_code)

    assert [ask(f"2001:db8::{number:x}") for number in range(6 * ADDRESS_SHARE)] == [200] * 6 * ADDRESS_SHARE
    assert ask("2001:db8::ffff") == 429
    assert ask("2001:db8:0:1::1") == 200


def test_a_bucket_fills_evenly_and_forgets_the_oldest_callers() -> None:
    now = [0.0]
    buckets = Buckets(clock=lambda: now[0])
    assert [buckets.take("a", 60) for _ in range(61)] == [0] * 60 + [1]
    now[0] = 2.0
    assert [buckets.take("a", 60) for _ in range(3)] == [0, 0, 1]
    for number in range(MOST_KEPT):
        buckets.take(f"other {number}", 60)
    assert len(buckets._left) == MOST_KEPT
    assert buckets.take("a", 60) == 0
