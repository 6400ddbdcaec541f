"""Who has packs made and takes them, what is recorded of it, and when their files go."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from backend import clock
from backend.audit.actions import Action
from backend.audit.checkpoints import sign_head
from backend.audit.erasure import destroy_key, erase_payloads
from backend.audit.findings import open_findings
from backend.audit.log import record
from backend.audit.reading import search_entries
from backend.audit.reconciliation import reconcile
from backend.audit.retention import erase_old_payloads
from backend.audit.signers import verifier_keys
from backend.audit.tables import AuditPayload
from backend.data_rights.people import erase_person
from backend.data_rights.requests import request_rows
from backend.data_rights.rules import set_rule
from backend.database.session import reading, writing
from backend.errors import BadInput, NotAllowed, NotFound
from backend.explain.reports import forget_reports
from backend.holds.service import place_hold
from backend.holds.tables import Hold
from backend.identity.actor import Actor
from backend.identity.auditors import invite_auditor
from backend.identity.people import set_roles
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.packs.keeping import KEPT_DAYS, folder
from backend.packs.letting_go import forget_packs
from backend.packs.making import making_of
from backend.packs.service import (
    NotMadeYet,
    PackGone,
    get_pack,
    list_packs,
    pack_views,
    record_made,
    request_pack,
    store_file,
    take_pack,
)
from backend.packs.tables import EvidencePack
from backend.packs.verifying import verify_body
from backend.queue import JobRun
from backend.settings import settings
from tests.integration.data_rights.conftest import write_report_file
from tests.integration.packs.conftest import (
    WORKER,
    House,
    ask_pack,
    built,
    files_of,
    make_pack,
)
from tests.worlds import add_model, person

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the same rows, the same code


@ON_SQLITE
def test_making_and_taking_are_entries_and_name_the_manifest(house: House) -> None:
    body = make_pack(house.world.compliance, kind="model", model="toy")
    with reading() as session:
        (pack,) = list_packs(session, house.world.compliance)
        view = pack_views(session, [pack])[0]
    assert (view["state"], view["bytes"], view["about"]) == ("made", len(body), "model toy")
    with writing() as session:
        _, path = take_pack(session, house.world.compliance, pack.id)
    assert path.read_bytes() == body
    with reading() as session:
        found = {one.action: one.payload or {} for one in search_entries(
            session, house.world.compliance, object_kind="pack", object_id=pack.id)}  # fmt: skip
    assert set(found) == {Action.PACK_REQUESTED, Action.PACK_MADE, Action.PACK_TAKEN}
    manifest = f"sha256:{hashlib.sha256(files_of(body)['manifest.json']).hexdigest()}"
    assert found[Action.PACK_MADE]["manifest"] == found[Action.PACK_TAKEN]["manifest"] == manifest
    with writing() as session:
        reconcile(session, WORKER)
        titles = [one.title for one in open_findings(session)]
    assert [one for one in titles if "evidence pack with entries of the log was taken away" in one]


@ON_SQLITE
def test_an_altered_or_lost_file_is_never_handed_out(house: House) -> None:
    make_pack(house.world.lead, kind="model", model="toy")
    waiting = ask_pack(house.world.lead, kind="model", model="toy")
    with reading() as session:
        pack = next(one for one in list_packs(session, house.world.lead) if one.id != waiting)
    path = folder() / pack.file
    assert path.stat().st_mode & 0o077 == 0
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with writing() as session, pytest.raises(PackGone, match="is not the one that was made"):
        take_pack(session, house.world.lead, pack.id)
    path.unlink()
    with writing() as session, pytest.raises(PackGone):
        take_pack(session, house.world.lead, pack.id)
    with writing() as session, pytest.raises(NotMadeYet):
        take_pack(session, house.world.lead, waiting)


@ON_SQLITE
def test_who_may_ask_and_who_may_take(house: House) -> None:
    world = house.world
    for who in (world.viewer, world.on_call, world.engineer):
        with writing() as session, pytest.raises(NotAllowed):
            ask_pack_in(session, who)
        with reading() as session, pytest.raises(NotAllowed):
            list_packs(session, who)
    make_pack(world.compliance, kind="model", model="toy")
    with reading() as session:
        (pack,) = list_packs(session, world.lead)
    with writing() as session, pytest.raises(NotAllowed, match="audit:payload:read"):
        take_pack(session, world.lead, pack.id)
    for wrong in ({"kind": "planet"}, {"kind": "model"}, {"kind": "version", "model": "toy"},
                  {"kind": "period", "period": "soon"}, {"kind": "model", "model": "toy", "version": 1},
                  {"kind": "model", "model": "toy", "as_of": clock.now() + timedelta(days=1)}):  # fmt: skip
        with pytest.raises(BadInput):
            ask_pack(world.lead, **wrong)
    for absent in ({"kind": "model", "model": "no"}, {"kind": "change", "change": 99},
                   {"kind": "version", "model": "toy", "version": 9}):  # fmt: skip
        with pytest.raises(NotFound):
            ask_pack(world.lead, **absent)


def ask_pack_in(session: Any, who: Actor) -> None:
    request_pack(session, who, kind="model", model="toy", reason="so")


@pytest.mark.slow
def test_an_auditor_has_packs_of_named_models_only_and_learns_nothing_of_others(house: House) -> None:
    add_model(house.world, "hush-hush")
    with writing() as session:
        admin = person(session, "admin", Role.ADMIN)
        auditor = actor_of(
            invite_auditor(session, admin, username="ext", display_name="Ext", password_hash="x", models=["toy"],
                           expires_at=clock.now() + timedelta(days=9), why="the audit"),
            session_id=None,
        )  # fmt: skip
    body = make_pack(auditor, kind="period", period=f"{clock.now():%Y}", model="toy")
    assert b"hush" not in body
    with pytest.raises(NotFound):
        ask_pack(auditor, kind="model", model="hush-hush")
    with pytest.raises(NotAllowed, match="name one of them"):
        ask_pack(auditor, kind="period", period="2026")
    make_pack(house.world.lead, kind="model", model="hush-hush")
    make_pack(house.world.lead, kind="period", period="2026")
    with reading() as session:
        assert {one.model for one in list_packs(session, auditor)} == {"toy"}
        for other in session.query(EvidencePack.id).filter(EvidencePack.model.is_distinct_from("toy")).all():
            with reading() as narrowed, pytest.raises(NotFound):
                get_pack(narrowed, auditor, other.id)


@ON_SQLITE
def test_a_pack_is_not_made_for_who_lost_the_right_meanwhile(house: House) -> None:
    pack = ask_pack(house.world.lead, kind="model", model="toy")
    with writing() as session:
        set_roles(
            session,
            person(session, "admin", Role.ADMIN),
            house.world.lead.person_id,
            [Role.VIEWER],
            why="left",
        )
    with pytest.raises(NotAllowed):
        built(pack)


@ON_SQLITE
def test_packs_are_let_go_in_time_unless_a_hold_keeps_them(house: House) -> None:
    make_pack(house.world.lead, kind="model", model="toy")
    with writing() as session:
        pack = session.query(EvidencePack).one()
        assert forget_packs(session, WORKER) == 0
        pack.made_at = clock.now() - timedelta(days=KEPT_DAYS + 1)
    with writing() as session:
        # The serious incident of this house holds the log of toy.
        assert forget_packs(session, WORKER) == 0
        session.execute(update(Hold).values(released_at=clock.now()))
        hold = place_hold(
            session, house.world.compliance, kind="pack", object_id=pack.id, reason="the court asked"
        )
    with writing() as session:
        assert forget_packs(session, WORKER) == 0
        session.get_one(Hold, hold.id).released_at = clock.now()
    path = folder() / pack.file
    with writing() as session:
        assert (forget_packs(session, WORKER), forget_packs(session, WORKER)) == (1, 0)
    assert not path.exists()
    with (
        writing() as session,
        pytest.raises(PackGone, match=r"its time was over at .* kept for 365 days: nothing else is set"),
    ):
        take_pack(session, house.world.lead, pack.id)


@ON_SQLITE
def test_a_pack_that_names_somebody_who_is_erased_is_let_go(house: House) -> None:
    make_pack(house.world.lead, kind="model", model="toy")
    with writing() as session:
        session.execute(update(Hold).values(released_at=clock.now()))
        assert house.world.on_call.person_id in session.query(EvidencePack).one().people
    with writing() as session:
        destroy_key(session, WORKER, house.world.on_call.person_id, why="asked", request="erq_9")
    with writing() as session:
        assert forget_packs(session, WORKER) == 1
        assert "erased" in session.query(EvidencePack).one().forgotten_because


def test_a_pack_that_holds_a_payload_that_is_erased_later_is_let_go(house: House) -> None:
    make_pack(house.world.compliance, kind="model", model="toy")
    make_pack(house.world.lead, kind="model", model="toy")  # without payloads
    with reading() as session:
        entries = search_entries(session, house.world.compliance, object_kind="change", limit=10)
        packs = {one.clear: one.id for one in session.query(EvidencePack)}
    with writing() as session:
        session.execute(update(Hold).values(released_at=clock.now()))
    with writing() as session:
        assert forget_packs(session, WORKER) == 0
        erase_payloads(session, WORKER, [entries[-1].seq], why="it names somebody", subject="erq_3")
    with writing() as session:
        assert forget_packs(session, WORKER) == 1
        assert (
            session.get_one(EvidencePack, packs[True]).forgotten_because
            == "a payload of the log that it holds was erased on request"
        )
        assert session.get_one(EvidencePack, packs[False]).forgotten_at is None


@ON_SQLITE
def test_a_pack_with_a_report_goes_when_rows_of_its_model_are_erased(house: House) -> None:
    _release_holds()
    with writing() as session:
        forget_reports(session, "toy")
    make_pack(house.world.lead, kind="model", model="toy")  # without a report
    write_report_file("toy")
    make_pack(house.world.compliance, kind="model", model="toy")
    with writing() as session:
        asked = request_rows(
            session, house.world.compliance, kind="erase", model="toy", prediction_ids=["p1"], reason="wrote"
        )
        assert forget_packs(session, WORKER) == 0
        record(session, WORKER, Action.DATA_ERASED, object_kind="data_request", object_id=asked.id)
    with writing() as session:
        assert forget_packs(session, WORKER) == 1
        told = {one.clear: one.forgotten_because for one in session.query(EvidencePack)}
    assert told == {True: "rows that a report in it may draw were erased", False: ""}


@ON_SQLITE
@pytest.mark.parametrize("rule", ["of the house", "of the model"])
def test_a_pack_outlives_retention_of_the_payloads_in_it_and_verifies(house: House, rule: str) -> None:
    make_pack(house.world.compliance, kind="model", model="toy")
    _release_holds()
    with reading() as session:
        (pack,) = list_packs(session, house.world.compliance)
        entries = session.scalars(select(AuditPayload.seq)).all()
    with writing() as session:
        if rule == "of the house":
            later = clock.now() + timedelta(days=2)
            count = erase_old_payloads(session, WORKER, before=later)
        else:
            old = [one for one in entries if one != pack.entry][:3]
            count = len(erase_payloads(session, WORKER, old, why="kept for 1 day", subject="retention-toy"))
    assert count
    with writing() as session:
        assert forget_packs(session, WORKER) == 0
    with writing() as session:
        _, path = take_pack(session, house.world.compliance, pack.id)
    sign_head()
    with reading() as session:
        assert "salt" in making_of(session, house.world.compliance, pack.id)
    verify_body(path.read_bytes(), [one.statement for one in verifier_keys()])
    with writing() as session:  # once it is let go, nothing keeps the text of the entry of its making
        session.get_one(EvidencePack, pack.id).made_at = clock.now() - timedelta(days=400)
    with writing() as session:
        assert forget_packs(session, WORKER) == 1
        if rule == "of the house":
            erase_old_payloads(session, WORKER, before=clock.now() + timedelta(days=2))
            assert session.get(AuditPayload, pack.entry) is None


@ON_SQLITE
def test_for_how_long_a_pack_is_kept_follows_the_shortest_rule_about_what_it_holds(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pack(house.world.compliance, kind="model", model="toy")
    make_pack(house.world.lead, kind="model", model="toy")  # without payloads

    def until() -> dict[bool, tuple[int, str]]:
        with reading() as session:
            packs = list_packs(session, house.world.compliance)
            return {
                one["with_payloads"]: ((one["kept_until"] - one["made_at"]).days, one["kept_because"])
                for one in pack_views(session, packs)
            }

    assert until()[True] == until()[False] == (365, "kept for 365 days: nothing else is set")
    monkeypatch.setenv("WARRANT_AUDIT_KEEP_PAYLOADS_DAYS", "90")
    settings.cache_clear()
    assert (until()[True][0], until()[False][0]) == (90, 365)
    with writing() as session:
        set_rule(session, house.world.compliance, model="toy", purposes=["prediction"], basis="contract",
                 payloads_days=30, why="less is more")  # fmt: skip
    assert until()[True] == (
        30, "kept for 30 days: it holds payloads, which the rule of toy keeps no longer",
    )  # fmt: skip
    monkeypatch.setenv("WARRANT_KEEP_PACKS_DAYS", "700")
    settings.cache_clear()
    assert until()[True] == until()[False] == (700, "kept for 700 days: the settings say so of all packs")


@pytest.mark.slow
@ON_SQLITE
def test_a_pack_about_one_model_holds_nothing_of_the_whole_house(house: House) -> None:
    add_model(house.world, "hush-hush")  # whom nobody owns: what is asked of the whole inventory names it
    body = make_pack(house.world.compliance, kind="model", model="toy")
    found = files_of(body)
    assert [name for name, content in found.items() if b"hush" in content] == []
    (of_toy,) = (content for name, content in found.items() if name.endswith("toy/sr-26-2.json"))
    sr = json.loads(of_toy)
    answers = {each["query"]: each for one in sr["controls"] for each in one["evidence"]}
    assert answers["inventory_whole"]["state"] == "not_shown"
    whole = files_of(make_pack(house.world.compliance, kind="period", period=f"{clock.now():%Y}"))
    assert b"hush" in whole["controls/house/sr-26-2.json"]


def _release_holds() -> None:
    with writing() as session:
        session.execute(update(Hold).values(released_at=clock.now()))


def _erase(*people: Actor) -> None:
    for one in people:
        with writing() as session:
            erase_person(session, WORKER, one.person_id, why="asked", request="dsr_9")


@ON_SQLITE
def test_who_is_erased_while_a_pack_is_made_is_not_in_one_that_is_offered(house: House) -> None:
    _release_holds()
    pack = ask_pack(house.world.lead, kind="model", model="toy")
    made = built(pack)
    file = store_file(pack, made)
    _erase(house.world.on_call)
    with pytest.raises(PackGone, match="somebody whom it named was erased"), writing() as session:
        record_made(session, WORKER, pack, made.as_written(file))
    assert not (folder() / file).exists()
    again = files_of(built(pack).body)
    assert [name for name, content in again.items() if b"Oncall" in content] == []


@ON_SQLITE
def test_a_pack_is_not_handed_out_from_the_moment_somebody_in_it_is_erased(house: House) -> None:
    _release_holds()
    make_pack(
        house.world.other_lead, kind="change", change=house.waiting
    )  # who is in no file but as its maker
    with reading() as session:
        (pack,) = list_packs(session, house.world.lead)
        assert house.world.other_lead.person_id in pack.people
    _erase(house.world.other_lead)
    with writing() as session, pytest.raises(PackGone, match="somebody whom it named was erased"):
        take_pack(session, house.world.lead, pack.id)
    with writing() as session:
        assert forget_packs(session, WORKER) == 1
    assert not (folder() / pack.file).exists()


@ON_SQLITE
def test_files_that_no_offered_pack_names_are_swept_up(house: House) -> None:
    make_pack(house.world.lead, kind="model", model="toy")
    failed, going = (ask_pack(house.world.lead, kind="model", model="toy") for _ in range(2))
    for one in (failed, going):
        (folder() / f"{one}.zip").write_bytes(b"a copy")
    for name in (f".{failed}.zip.draft", "pack_00.zip", "notes.txt"):
        (folder() / name).write_bytes(b"a copy")
    with writing() as session:
        session.execute(update(JobRun).where(JobRun.id == f"make-{failed}").values(state="failed"))
        hold = place_hold(session, house.world.compliance, kind="pack", object_id=failed, reason="asked for")
    with writing() as session:
        assert forget_packs(session, WORKER) == 0
        assert (folder() / f"{failed}.zip").exists()
        session.get_one(Hold, hold.id).released_at = clock.now()
    with writing() as session:
        offered = session.scalars(select(EvidencePack.file).where(EvidencePack.made_at.is_not(None))).one()
    with writing() as session:
        assert forget_packs(session, WORKER) == 0
    assert {one.name for one in folder().iterdir()} == {offered, f"{going}.zip", "notes.txt"}
