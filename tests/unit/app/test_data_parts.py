"""How requests of data subjects stand: none that waits is taken for one that is over."""

from __future__ import annotations

import pytest

from app.components.data_parts import is_open
from backend.governance import machine


@pytest.mark.parametrize("state", machine.STATES)
def test_a_request_is_open_as_long_as_its_change_is(state: str) -> None:
    assert is_open({"state": state}) == (state in machine.OPEN)
