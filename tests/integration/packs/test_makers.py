"""As whom a pack is made: who asked, no further than what it was asked for with, and about its own model alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.assurance.as_of import house_as_of
from backend.audit.actions import Action
from backend.audit.erasure import erase_payloads
from backend.audit.log import record
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.errors import NotAllowed
from backend.identity.roles import Permission
from backend.identity.tables import PersonRole
from backend.packs.service import maker_of, request_pack
from backend.packs.tables import EvidencePack
from backend.registry.tables import Model
from tests.worlds import SYSTEM, World, add_model, make_world


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def test_a_pack_holds_payloads_where_it_was_asked_for_so_and_where_they_may_be_read_still(
    world: World,
) -> None:
    made_for = frozenset({Permission.READ_MODELS, Permission.READ_AUDIT, Permission.MAKE_PACKS})
    by_token = replace(world.compliance, session_id="tok_1", scopes=made_for)
    with writing() as session:
        plain = request_pack(session, by_token, kind="model", model="toy", reason="so").id
        whole = request_pack(session, world.compliance, kind="model", model="toy", reason="so").id
    with reading() as session:
        maker = maker_of(session, session.get_one(EvidencePack, plain))
        assert not maker.may(Permission.READ_AUDIT_PAYLOAD)
        assert maker.may(Permission.READ_AUDIT)
        assert maker_of(session, session.get_one(EvidencePack, whole)).may(Permission.READ_AUDIT_PAYLOAD)
    with writing() as session:
        session.execute(
            update(PersonRole)
            .where(PersonRole.person_id == world.compliance.person_id)
            .values(role="ml_lead")
        )
    with reading() as session:
        maker_of(session, session.get_one(EvidencePack, plain))
        with pytest.raises(NotAllowed, match="what may be read of the log changed"):
            maker_of(session, session.get_one(EvidencePack, whole))


def test_the_house_as_it_was_for_one_model_names_no_other(world: World) -> None:
    add_model(world, "secret")
    moment = clock.now() - timedelta(seconds=1)
    with writing() as session:
        for model in ("toy", "secret"):
            record(
                session, SYSTEM, Action.TIER_CHANGED, object_kind="model", object_id=model,
                payload={"before": "low", "after": "medium", "change": 1},
            )  # fmt: skip
        session.execute(update(Model).values(created_at=moment - timedelta(days=1)))
        told = select(AuditEntry.seq).where(AuditEntry.action == Action.TIER_CHANGED.value)
        erase_payloads(session, SYSTEM, list(session.scalars(told)), why="too old")
    with reading() as session:
        whole = house_as_of(session, world.compliance, moment)
        one = house_as_of(session, world.compliance, moment, model="toy")
    assert "secret" in "".join(whole.notes)
    assert "tier of toy" in "".join(one.notes)
    assert "secret" not in "".join(one.notes)
    assert [each.name for each in one.models] == ["toy"]
