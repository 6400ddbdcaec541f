"""What comes in now, and how far a change reaches: evidence of every change of what serves, whatever its rule asks."""

from __future__ import annotations

import pytest

from backend.governance.kinds import Asked
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.governance.conftest import ask, now
from tests.integration.governance.test_gates import window
from tests.worlds import World

__all__ = ["open_page"]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_return_shows_drift_and_blast_radius_though_no_gate_asks(world: World, open_page: Open) -> None:
    window(
        points={("drift", "distance", "wasserstein"): "ok", ("drift", "carrier", "jensen_shannon"): "alarm"}
    )
    change = ask(world.on_call, Asked("rollback", "production", "toy", 2))
    found = now(change).evidence
    assert not change.policy["gates"]
    assert (found["drift"]["drifting"], found["drift"]["judged"]) == (["carrier"], 2)
    assert found["drift"]["features"][0]["column"] == "carrier", "what drifts stands first"
    assert found["decisions_a_day"] > 0
    page = text_of(open_page(world.lead, "change", id=change.id))
    assert "Drift when it was asked: 1 of 2 judged features" in page
    assert "decisions a day; how many of them are decided otherwise is not known" in page
    shown = text_of(open_page(world.lead, "change", id=change.id, shown=now(change).digest))
    assert "Drift when it was asked: 1 of 2 judged features" in shown
    asking = text_of(open_page(world.on_call, "request_change", kind="rollback", model="toy", to=2))
    assert "blast radius" in asking
    assert "1 of 2 judged features" in asking
