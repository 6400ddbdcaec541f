"""Objectives under the rules of a change: proposed, refused, and carried out by the worker."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from backend.database.session import reading, writing
from backend.errors import BadInput
from backend.governance.asking import preview_change
from backend.governance.errors import NothingToChange
from backend.governance.kinds import Asked
from backend.governance.kinds.monitor import apply_monitor
from backend.governance.tables import Change
from backend.slo.objectives_service import get_objective, list_objectives, objective_of
from backend.slo.openslo_writing import write_openslo
from tests.integration.slo.test_objectives import AVAILABLE, define, world
from tests.worlds import SYSTEM, World

__all__ = ["world"]


def propose(who: World, subject: dict[str, Any]) -> str:
    with reading() as session:
        return preview_change(
            session, who.on_call, Asked("monitor", "production", "toy", subject=subject)
        ).proposal.summary


def carry_out(subject: dict[str, Any]) -> str:
    with writing() as session:
        change = Change(id=7, kind="monitor", model="toy", environment="production", subject=subject)
        return apply_monitor(session, SYSTEM, change)


def test_an_objective_is_defined_revised_and_retired_by_changes(world: World) -> None:
    text = write_openslo([AVAILABLE])
    assert propose(world, {"objective": text}) == "the objective 'answers' of toy is defined in production"
    assert "revision 1" in carry_out({"objective": text})
    with reading() as session:
        [row] = list_objectives(session, SYSTEM, model="toy")
    stricter = replace(AVAILABLE, target=Decimal("0.999"))
    subject = {"objective": write_openslo([stricter]), "key": row.key}
    assert "is revised" in propose(world, subject)
    carry_out(subject)
    with reading() as session:
        assert objective_of(get_objective(session, SYSTEM, row.key)) == stricter
    with pytest.raises(NothingToChange):
        propose(world, subject)
    assert "is retired" in propose(world, {"key": row.key, "retire": True})
    assert "is retired" in carry_out({"key": row.key, "retire": True})


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        ({"retire": True}, "name the key"),
        ({"objective": write_openslo([replace(AVAILABLE, model="other")])}, "the change about toy"),
        ({"objective": write_openslo([AVAILABLE]), "state": "paused"}, "has no state"),
    ],
)
def test_what_is_no_objective_of_the_model_is_refused(
    world: World,
    subject: dict[str, Any],
    says: str,
) -> None:
    define(world)
    with pytest.raises(BadInput, match=says):
        propose(world, subject)
