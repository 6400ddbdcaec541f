"""A data subject's request to which somebody asked for changes: it is sent again, withdrawn or rejected by who may."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from backend.audit.change_checks import unrecorded_changes
from backend.data_rights.requests import request_erasure_of_person, request_rows
from backend.data_rights.tables import DataRequest
from backend.database.session import reading, writing
from backend.errors import Conflict, NotAllowed
from backend.governance.asking import cancel_change
from backend.governance.errors import ChangeNotWaiting, DecidedAlready
from backend.governance.sending_again import preview_again, resubmit_change
from backend.governance.tables import Change
from backend.governance.views import change_detail
from backend.identity.actor import Actor
from tests.integration.data_rights.conftest import approve, carry_out, change_of, move_spool, send
from tests.integration.governance.conftest import put_in_force, say
from tests.worlds import World


@pytest.fixture
def request_(world: World) -> DataRequest:
    """Of rows, sent back to compliance, who asked for it."""
    send({"p1": "Ada", "p2": "Bob"})
    move_spool()
    with writing() as session:
        made = request_rows(
            session, world.compliance, kind="erase", model="toy", prediction_ids=["p1"], reason="wrote"
        )
    assert say(world.lead, change_of(made.change_id or 0), "ask", comment="which letter?").state == "draft"
    return made


def offers(world: World, actor: Actor, number: int) -> tuple[bool, bool, bool]:
    """Whether this person can send it again, withdraw it, reject it."""
    with reading() as session:
        told = change_detail(session, actor, session.get_one(Change, number))
    return told["can_resubmit"], told["can_cancel"], told["cannot_reject"] is None


def test_who_asked_sends_it_again_and_it_is_carried_out(world: World, request_: DataRequest) -> None:
    number = request_.change_id or 0
    assert offers(world, world.compliance, number) == (True, True, False)
    assert offers(world, world.lead, number) == (False, False, True)
    with reading() as session:
        seen = preview_again(session, world.compliance, number).digest
    with writing() as session:
        sent = resubmit_change(session, world.compliance, number, reason="of 3 May", seen_digest=seen)
    assert (sent.state, sent.revision) == ("waiting", 2)
    approve(world, request_)
    assert carry_out(number).state == "executed"


def test_who_asked_withdraws_it_and_is_free_to_ask_anew(world: World, request_: DataRequest) -> None:
    number = request_.change_id or 0
    for somebody in (world.lead, world.engineer):
        with pytest.raises(NotAllowed), writing() as session:
            cancel_change(session, somebody, number, reason="mine")
    with writing() as session:
        assert cancel_change(session, world.compliance, number, reason="twice").state == "cancelled"
    with reading() as session, pytest.raises(ChangeNotWaiting, match="cancelled; only a draft is sent"):
        preview_again(session, world.compliance, number)


@pytest.mark.parametrize("by", ["lead", "other_lead"])
def test_who_decides_rejects_what_was_sent_back(world: World, request_: DataRequest, by: str) -> None:
    """Also who asked for the changes; nobody has to wait for whoever asked for it."""
    number = request_.change_id or 0
    actor = getattr(world, by)
    assert say(actor, change_of(number), "reject", comment="no letter came").state == "rejected"
    assert say(actor, change_of(number), "reject", comment="no letter came").state == "rejected"  # once
    with pytest.raises(DecidedAlready):
        say(actor, change_of(number), "reject", comment="another one")
    with reading() as session:
        assert list(unrecorded_changes(session)) == []


def test_a_draft_takes_no_other_decision(world: World, request_: DataRequest) -> None:
    for verdict in ("approve", "ask"):
        with pytest.raises(ChangeNotWaiting, match="it can be rejected, and is decided on once it was sent"):
            say(world.other_lead, change_of(request_.change_id or 0), verdict, comment="so")


def test_who_approved_rejects_it_after_somebody_else_sent_it_back(world: World) -> None:
    with writing() as session:
        put_in_force(session, world, "rules: [{name: two, rule: {roles: {ml_lead: 2}}}]")
        made = request_rows(
            session, world.compliance, kind="access", model="toy", prediction_ids=["p1"], reason="wrote"
        )
    number = made.change_id or 0
    say(world.lead, change_of(number))
    say(world.other_lead, change_of(number), "ask", comment="which?")
    assert say(world.lead, change_of(number), "reject", comment="enough").state == "rejected"


def test_a_request_that_was_sent_back_is_open(world: World) -> None:
    with reading() as session:
        about = world.viewer.person_id
    with writing() as session:
        made = request_erasure_of_person(session, world.compliance, person_id=about, reason="left")
    say(world.lead, change_of(made.change_id or 0), "ask", comment="when?")
    with pytest.raises(Conflict, match="is open already"), writing() as session:
        request_erasure_of_person(session, world.compliance, person_id=about, reason="left")
    with reading() as session:
        assert len(session.scalars(select(DataRequest)).all()) == 1
