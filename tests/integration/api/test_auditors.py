"""An external auditor reads what concerns the named models, until a day; of the others they learn nothing."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update
from starlette.applications import Starlette
from starlette.routing import Mount

from app import (
    analysis_downloads,
    cost_downloads,
    data_downloads,
    downloads,
    registry_downloads,
    series_downloads,
)
from backend import clock
from backend.alerting.service import Firing, fire
from backend.api.app import create_api
from backend.assurance.documents import add_document
from backend.assurance.exceptions import ask_exception
from backend.assurance.facts import keep_facts
from backend.assurance.findings import open_finding
from backend.assurance.validations import record_validation
from backend.audit.checkpoints import sign_head
from backend.audit.tables import AuditEntry
from backend.cards.service import write_card
from backend.database.session import reading, writing
from backend.database.tables import Base
from backend.errors import NotFound
from backend.governance.delegations import delegate
from backend.governance.registry_moves import add_move
from backend.holds.service import place_hold
from backend.identity import reach
from backend.identity.actor import Actor
from backend.identity.auditors import invite_auditor
from backend.identity.people import person_by_id
from backend.identity.roles import GRANTS, Role
from backend.identity.sessions import actor_of
from backend.identity.tables import Person
from backend.identity.tokens import create_token
from backend.monitoring.monitors_service import create_monitor
from backend.registry.inventory import FoundModel, FoundVersion, import_registry
from backend.registry.service import list_models
from backend.registry.tables import Model
from tests.integration.api.conftest import Callers
from tests.integration.api.test_permissions import MONITOR
from tests.watched import cookie_of
from tests.worlds import SYSTEM, add_model, person

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

HIDDEN = "hush-hush"
LATER = timedelta(days=30)


@pytest.fixture
def auditor(callers: Callers) -> Iterator[Actor]:
    """Somebody from outside who may see `toy`, in a world where as much is known of another model."""
    add_model(callers.world, HIDDEN)
    for model in ("toy", HIDDEN):
        fill(callers, model)
    with writing() as session:
        made = invite_auditor(
            session, callers.actors["admin"], username="ext", display_name="Ext Ernal", password_hash="x",
            models=["toy"], expires_at=clock.now() + LATER, why="the yearly audit",
        )  # fmt: skip
        actor = actor_of(made, session_id=None)
        callers.tokens["auditor"] = create_token(session, actor, name="tests")[1]
    yield actor


def fill(callers: Callers, model: str) -> None:
    """Something of every kind about a model, with its name in the texts."""
    world, soon = callers.world, clock.now() + LATER
    preview = callers.get("other_lead", "/changes/preview", kind="rollback", model=model).json()
    asked = callers.post(
        "other_lead", "/changes",
        {"kind": "rollback", "model": model, "reason": f"{model} degraded", "digest": preview["digest"]},
    )  # fmt: skip
    assert asked.status_code == 201
    with writing() as session:
        import_registry(
            session, SYSTEM, registry="https://mlflow.example",
            found=[FoundModel(model, f"{model} as MLflow says", {}, {"champion": 2}, None, None,
                              (FoundVersion(2, "r", "s3://x", "READY", "", {}, None),))],
        )  # fmt: skip
        add_move(
            session,
            SYSTEM,
            session.get_one(Model, model),
            alias="champion",
            before=2,
            after=1,
            state="observed",
        )
        fire(
            session, SYSTEM,
            Firing(model, "production", 2, "realised", "page", f"AUC of {model} fell", "roc_auc", clock.now(), {}),
        )  # fmt: skip
        create_monitor(session, world.lead, model=model, environment="production", definition=MONITOR)
        keep_facts(
            session, world.lead, model=model, why="so", purpose=f"{model} for this", next_review_at=soon
        )
        report = add_document(session, world.lead, name=f"{model}.md", data=model.encode()).digest
        made = record_validation(
            session, world.lead, model=model, version=1, scope=f"{model} v1", outcome="fit", summary=f"{model} does",
            report=report,
        )  # fmt: skip
        open_finding(
            session, world.lead, model=model, title=f"{model} leaks", detail="so", severity="high",
            owner_id=world.engineer.person_id, due_at=soon, validation_id=made.id,
        )  # fmt: skip
        ask_exception(
            session,
            world.lead,
            model=model,
            gate="findings_settled",
            reason=f"{model} first",
            expires_at=soon,
        )
        place_hold(
            session, world.compliance, kind="predictions", object_id=model, reason=f"{model} is", model=model
        )


def test_who_wrote_the_card_of_their_model_is_in_the_log_they_read(callers: Callers, auditor: Actor) -> None:
    with writing() as session:
        for model in ("toy", HIDDEN):
            write_card(session, callers.world.lead, model=model, version=1, text=f"# {model}", based_on=0)
    entries = callers.get("auditor", "/audit/entries", limit=500).json()["entries"]
    assert [one["object_id"] for one in entries if one["object_kind"] == "card"] == ["toy/1/1"]
    assert {one["object_id"] for one in entries if one["object_kind"] == "monitor"} == _keys("toy")


def _keys(model: str) -> set[str]:
    from backend.monitoring.monitor_tables import MonitorVersion

    with reading() as session:
        return {row.key for row in session.query(MonitorVersion).filter(MonitorVersion.model == model)}


def ids_of(table: type[Any]) -> list[int]:
    with reading() as session:
        return [row.id for row in session.query(table)]


def test_every_answer_of_the_api_is_silent_about_other_models(callers: Callers, auditor: Actor) -> None:
    paths = [
        path for path, methods in create_api().openapi()["paths"].items() if "get" in methods
    ]  # fmt: skip
    with reading() as session:
        documents = [row.digest for row in session.execute(_documents())]
        hidden = session.query(AuditEntry.seq).filter(AuditEntry.object_id.startswith(HIDDEN)).limit(5).all()
    fillings: dict[str, list[str]] = {
        "model": ["toy", HIDDEN], "version": ["1"], "digest": documents, "start": ["2026-03-02T00:00:00Z"],
        "key": ["mon_x"], "revision": ["1"], "run_id": ["x"], "seq": [str(row.seq) for row in hidden],
    }  # fmt: skip
    numbers = [str(number) for number in range(1, 6)]
    said, seen = [], 0
    for path in paths:
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        for filled in _each(names, fillings, numbers):
            for query in ({}, {"model": "toy"}, {"model": HIDDEN}, {"kind": "rollback", "model": HIDDEN}):
                answer = callers.get("auditor", path.format(**filled), **query)
                asked = {*filled.values(), *query.values()}
                seen += answer.status_code == 200 and "toy" in answer.text
                if HIDDEN in answer.text and not (answer.is_error and HIDDEN in asked):
                    said.append((path, filled, query, answer.text[:200]))
    assert said == []
    assert seen > 20  # of the model they are to look at they do read


def _documents() -> Any:
    from sqlalchemy import select

    from backend.assurance.tables import Document

    return select(Document.digest)


def _each(names: list[str], fillings: dict[str, list[str]], numbers: list[str]) -> Iterator[dict[str, str]]:
    if not names:
        yield {}
        return
    first, *rest = names
    for value in fillings.get(first, numbers):
        for others in _each(rest, fillings, numbers):
            yield {first: value, **others}


def test_what_is_not_theirs_is_not_there(callers: Callers, auditor: Actor) -> None:
    for path in (
        f"/models/{HIDDEN}",
        f"/inventory/{HIDDEN}",
        f"/models/{HIDDEN}/assurance",
        "/changes/2",
        "/findings/2",
    ):
        assert callers.get("lead", path).status_code == 200, path
        assert callers.get("auditor", path).status_code == 404, path
    for path in ("/models/toy", "/inventory/toy", "/changes/1", "/findings/1"):
        assert callers.get("auditor", path).status_code == 200, path
    assert [one["model"] for one in callers.get("auditor", "/inventory").json()["models"]] == ["toy"]
    assert callers.get("auditor", "/inventory").json()["known"] == 1


def test_the_log_shows_what_was_done_about_their_models_and_nothing_else(
    callers: Callers, auditor: Actor
) -> None:
    entries = callers.get("auditor", "/audit/entries", limit=500).json()["entries"]
    kinds = {one["object_kind"] for one in entries}
    assert {
        "model",
        "version",
        "change",
        "incident",
        "alert",
        "validation",
        "finding",
        "exception",
        "hold",
    } <= kinds
    assert kinds.isdisjoint({"person", "token", "session", "document", "registry"})
    every = callers.get("compliance", "/audit/entries", limit=500).json()["entries"]
    theirs = {one["seq"] for one in entries}
    hidden = [one for one in every if one["object_id"].startswith(HIDDEN)]
    assert hidden
    assert theirs.isdisjoint(one["seq"] for one in hidden)
    assert callers.get("auditor", f"/audit/entries/{hidden[0]['seq']}").status_code == 404
    proved = callers.get("auditor", f"/audit/entries/{min(theirs)}")
    assert proved.status_code == 200
    assert proved.json()["proof"] is not None


def test_exports_are_silent_too(callers: Callers, auditor: Actor) -> None:
    token = cookie_of(auditor)
    routes = [
        *downloads.routes(), *registry_downloads.routes(), *series_downloads.routes(), *analysis_downloads.routes(),
        *data_downloads.routes(), *cost_downloads.routes(),
    ]  # fmt: skip
    known = 0
    with TestClient(Starlette(routes=[Mount("/", routes=routes)]), raise_server_exceptions=False) as client:
        for route in routes:
            path = route.path  # type: ignore[attr-defined]
            for query in ({}, {"model": "toy"}, {"model": HIDDEN}):
                for form in ("csv", "json"):
                    address = path.replace("{form}", form).replace("{report_id}", "x")
                    answer = client.get(address, params=query, headers={"Cookie": f"warrant_session={token}"})
                    known += answer.status_code == 200 and "toy" in answer.text
                    silent = HIDDEN not in answer.text or (answer.is_error and HIDDEN in query.values())
                    assert silent, (address, query, answer.text[:300])
    assert known >= 6


def test_they_change_nothing(callers: Callers, auditor: Actor) -> None:
    allowed = {
        "/changes/{change_id}/look",
        "/sessions/revocation",  # of their own
        "/token-exchange",  # asks nobody who they are: a job shows its own token
        "/changes/preview",
        "/policy/dry-run",
        "/models/{model}/monitors/replay",
    }
    for path, methods in create_api().openapi()["paths"].items():
        for method in set(methods) - {"get"}:
            if path in allowed:
                continue
            filled = path.format_map(_Filled())
            answer = callers.send("auditor", method.upper(), filled, json={})
            assert answer.status_code in (403, 404, 422), (path, answer.status_code, answer.text[:200])
    granted = GRANTS[Role.AUDITOR]
    assert {one.value for one in granted} == {
        "registry:model:read",
        "audit:entry:read",
        "assurance:pack:make",  # a way to read: of the named models, and what they may read of them
        "identity:token:manage",
    }


class _Filled(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "toy" if name == "model" else "1"


def test_the_account_ends_by_itself_at_once(callers: Callers, auditor: Actor) -> None:
    assert callers.get("auditor", "/models").status_code == 200
    with writing() as session:
        session.execute(
            update(Person)
            .where(Person.id == auditor.person_id)
            .values(expires_at=clock.now() - timedelta(seconds=1))
        )
    assert callers.get("auditor", "/models").status_code == 401


def test_other_models_and_another_day_hold_from_the_next_request_on(callers: Callers, auditor: Actor) -> None:
    later = clock.to_iso(clock.now() + timedelta(days=3))
    given = {"models": [HIDDEN], "expires_at": later, "why": "the second part"}
    path = f"/auditors/{auditor.person_id}/limits"
    assert callers.post("lead", path, given).status_code == 403
    assert callers.post("admin", path, given).status_code == 201
    assert [one["name"] for one in callers.get("auditor", "/models").json()["models"]] == [HIDDEN]


def test_they_get_no_other_right_by_roles_services_loans_or_findings(
    callers: Callers, auditor: Actor
) -> None:
    them, path = auditor.person_id, f"/people/{auditor.person_id}/roles"
    assert callers.post("admin", path, {"roles": ["viewer"], "why": "so"}).status_code == 422
    someone = callers.actors["viewer"].person_id
    roles = {"roles": ["auditor"], "why": "so"}
    assert callers.post("admin", f"/people/{someone}/roles", roles).status_code == 422
    now = clock.now()
    with pytest.raises(NotFound), writing() as session:
        delegate(
            session,
            callers.world.lead,
            to_person=them,
            starts_at=now,
            ends_at=now + timedelta(days=1),
            reason="away",
        )
    owned = {
        "model": "toy", "title": "so", "detail": "so", "severity": "low", "owner_id": them,
        "due_at": clock.to_iso(now + LATER),
    }  # fmt: skip
    assert callers.post("lead", "/findings", owned).status_code == 422
    invited = {
        "username": "two", "display_name": "Two", "password": "a long first password", "models": ["toy"],
        "expires_at": clock.to_iso(now + timedelta(days=3650)), "why": "for ever",
    }  # fmt: skip
    assert callers.post("admin", "/auditors", invited).status_code == 422


def test_an_auditor_of_whom_no_model_is_known_sees_none(callers: Callers) -> None:
    with writing() as session:
        nobody = person(session, "nobody", Role.AUDITOR)
        actor = actor_of(person_by_id(session, nobody.person_id), session_id=None)
    with reading() as session:
        assert list_models(session, actor) == []


def test_a_session_is_only_ever_narrowed(callers: Callers, auditor: Actor) -> None:
    with reading() as session:
        assert [one.name for one in list_models(session, auditor)] == ["toy"]
        assert [one.name for one in list_models(session, callers.world.lead)] == ["toy"]
        assert session.get(Model, HIDDEN) is None


OPEN = {
    "teams", "team_members",
    "persons", "person_roles", "sign_in_sessions", "api_tokens", "set_up_links", "sign_in_attempts", "oidc_flows",
    "oidc_sessions", "oidc_logouts", "oidc_claims", "role_rules", "idempotency_keys", "trust_rules", "used_job_tokens",
    "policies", "delegations", "questionnaires", "serious_rules", "access_reviews",
    "access_items", "worker_beats", "leases", "subject_keys", "gateway_hours", "gateway_minutes", "channel_tests",
    "rota_shifts",
    "saved_views",  # one's own; those that are shared only for who sees every model, by backend.fleet.views
    "documents",  # handed out for a model that may be seen, by backend.assurance.reading
}  # fmt: skip


def test_every_table_is_narrowed_or_says_nothing_of_models() -> None:
    """A table that is added is narrowed by its column `model`, or is named here or in `backend.identity.reach`."""
    loose = {
        mapper.class_.__tablename__
        for mapper in Base.registry.mappers
        if not hasattr(mapper.class_, "model")
        and mapper.class_.__tablename__ not in reach._HANGING
        and mapper.class_.__tablename__ not in reach._HOUSE
    }
    log = {name for name in loose if name.startswith("audit_")}  # narrowed where it is read: entries_in_reach
    assert loose - log - OPEN <= {"models", "job_runs"}


def test_a_receipt_of_an_entry_about_another_model_is_not_there(callers: Callers, auditor: Actor) -> None:
    sign_head()
    with reading() as session:
        theirs = session.query(AuditEntry.seq).filter_by(object_kind="model", object_id="toy").first()
        hidden = session.query(AuditEntry.seq).filter_by(object_kind="model", object_id=HIDDEN).first()
    assert theirs is not None
    assert hidden is not None
    assert callers.get("compliance", f"/audit/entries/{hidden.seq}/receipt").status_code == 200
    assert callers.get("auditor", f"/audit/entries/{theirs.seq}/receipt").status_code == 200
    assert callers.get("auditor", f"/audit/entries/{hidden.seq}/receipt").status_code == 404
