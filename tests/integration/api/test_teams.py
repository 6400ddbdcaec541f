"""Who has roles in a team alone sees and changes what concerns its models; the others are not there for them."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import Route

from app import server
from backend import clock
from backend.api.app import create_api
from backend.assurance.tables import Document
from backend.audit.actions import Action
from backend.audit.log import record
from backend.audit.standing_checks import unset_standing
from backend.audit.tables import AuditEntry
from backend.database.session import reading, writing
from backend.database.tables import Base
from backend.errors import NotAllowed, NotFound
from backend.governance.account_record import accounts_otherwise
from backend.governance.deciding import decide
from backend.identity.actor import Actor
from backend.identity.people import person_by_id
from backend.identity.roles import GIVEN_IN_TEAMS, Permission, Role, permissions_in_team
from backend.identity.sessions import actor_of
from backend.identity.tables import TeamMember, TeamModel
from backend.identity.teams import list_teams, make_team, move_model, set_team_roles
from backend.identity.tokens import create_token
from backend.monitoring.requests import request_metrics
from tests.integration.api.conftest import Callers
from tests.integration.api.test_auditors import HIDDEN, _each, fill
from tests.integration.api.test_permissions import TABLE, VENDOR
from tests.watched import cookie_of
from tests.worlds import SYSTEM, add_model, person

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

RIVALS = "Rival squad"
# A look at what is there, and what is one's own: with an effect on nobody else.
HARMLESS = {
    "/changes/preview", "/policy/dry-run", "/policy/as-code", "/objectives/check", "/models/{model}/monitors/replay",
    "/audit/searches", "/audit/searches/{name}", "/documents",
}  # fmt: skip


@dataclass(frozen=True)
class Teams:
    ours: str
    theirs: str


@pytest.fixture
def callers(sqlite_callers: Callers) -> Callers:
    return sqlite_callers


@pytest.fixture
def teams(callers: Callers) -> Iterator[Teams]:
    """`member` is ML lead of the team that has `toy`, and nothing else; `mixed` is also a viewer of the house."""
    add_model(callers.world, HIDDEN)
    for model in ("toy", HIDDEN):
        fill(callers, model)
    admin = callers.actors["admin"]
    with writing() as session:
        ours, theirs = make_team(session, admin, name="Our squad"), make_team(session, admin, name=RIVALS)
        move_model(session, admin, model="toy", team_id=ours.id, why="theirs")
        move_model(session, admin, model=HIDDEN, team_id=theirs.id, why="theirs")
        for name, roles in (("member", ()), ("mixed", (Role.VIEWER,))):
            row = person(session, name, *roles)
            set_team_roles(session, admin, ours.id, row.person_id, {Role.ML_LEAD, Role.COMPLIANCE})
            callers.actors[name] = actor_of(person_by_id(session, row.person_id), session_id=None)
            every = [one for one in Permission if callers.actors[name].may(one)]
            callers.tokens[name] = create_token(session, callers.actors[name], name="tests", scopes=every)[1]
        made = Teams(ours.id, theirs.id)
    yield made


def now(callers: Callers, who: str) -> Actor:
    with reading() as session:
        return actor_of(person_by_id(session, callers.actors[who].person_id), session_id=None)


def fillings(teams: Teams) -> dict[str, list[str]]:
    """What stands for each part of a path: of the model that is not theirs as well as of theirs."""
    with reading() as session:
        documents = list(session.scalars(select(Document.digest)))
        hidden = session.scalars(
            select(AuditEntry.seq).where(AuditEntry.object_id.startswith(HIDDEN)).limit(5)
        ).all()
        tables = {one.class_.__tablename__: one.class_ for one in Base.registry.mappers}

        def ids(table: str, column: str = "id") -> list[str]:
            return [str(one) for one in session.scalars(select(getattr(tables[table], column)))]

        return {
            "model": ["toy", HIDDEN], "version": ["1"], "digest": documents, "start": ["2026-03-02T00:00:00Z"],
            "key": ids("monitors", "key"), "objective": ids("slo_objectives", "key"), "revision": ["1"],
            "run_id": ids("job_runs") or ["x"], "seq": [str(one) for one in hidden], "pack_id": ids("evidence_packs"),
            "team_id": [teams.ours, teams.theirs], "person_id": ["nobody"], "request_id": ["dsr_none"],
            "catalogue": ["eu-ai-act-annex-iv"], "control": ["annex-iv.7"], "channel": ["none"], "name": ["ci"],
            "prediction_id": ["absent"],
        }  # fmt: skip


def test_every_answer_of_the_api_is_silent_about_other_teams(callers: Callers, teams: Teams) -> None:
    said, seen, known = [], 0, fillings(teams)
    numbers = [str(number) for number in range(1, 5)]
    for path, methods in create_api().openapi()["paths"].items():
        if "get" not in methods:
            continue
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        for filled in _each(names, known, numbers):
            for query in ({}, {"model": HIDDEN}):
                if query and HIDDEN in filled.values():
                    continue
                answer = callers.get("member", path.format(**filled), **query)
                asked = {*filled.values(), *query.values()}
                seen += answer.status_code == 200 and "toy" in answer.text
                echo = answer.is_error and HIDDEN in asked
                if answer.status_code >= 500 or RIVALS in answer.text or (HIDDEN in answer.text and not echo):
                    said.append((path, filled, query, answer.status_code, answer.text[:300]))
                if HIDDEN in filled.values() and answer.status_code not in (403, 404, 422):
                    said.append((path, filled, query, answer.status_code, answer.text[:300]))
    assert said == []
    assert seen > 20  # of the models of their team they do read


def test_no_request_changes_what_is_another_teams(callers: Callers, teams: Teams) -> None:
    """Every route that changes something, named with the ids of the other team's things, by a lead of this team."""
    known, numbers = fillings(teams), ["2", "1"]

    def state() -> dict[str, Any]:
        with reading() as session:
            mine = {one.class_.__tablename__: one.class_ for one in Base.registry.mappers}
            rows = {
                name: sorted(
                    str({column.name: getattr(row, column.key, None) for column in one.__table__.columns})
                    for row in session.scalars(select(one).where(one.model == HIDDEN))
                )
                for name, one in mine.items()
                if hasattr(one, "model")
            }
            entries = session.scalars(
                select(AuditEntry.seq).where(AuditEntry.object_id.startswith(HIDDEN))
            ).all()
            return {**rows, "entries": entries}

    before, wrong = state(), []
    for (method, path), (_, _, query, body) in TABLE.items():
        if method == "GET":
            continue
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        theirs = {**known, "model": [HIDDEN], "team_id": [teams.theirs]}
        document = (
            json.loads(json.dumps(body, default=str).replace("toy", HIDDEN)) if body is not None else None
        )
        asked = {key: HIDDEN if value == "toy" else value for key, value in (query or {}).items()}
        for filled in _each(names, theirs, numbers):
            answer = callers.send(
                "member", method, path.format(**filled), params=asked or None, json=document
            )
            if "model" in filled and answer.status_code not in (403, 404, 422):
                wrong.append((method, path, filled, answer.status_code, answer.text[:200]))
            if RIVALS in answer.text or answer.status_code >= 500:
                wrong.append((method, path, filled, answer.status_code, answer.text[:200]))
    after = state()
    assert wrong == []
    assert {name: rows for name, rows in after.items() if rows != before[name]} == {}


def test_what_is_not_theirs_is_not_there_and_what_is_theirs_they_handle(
    callers: Callers, teams: Teams
) -> None:
    for path in (
        f"/models/{HIDDEN}",
        f"/inventory/{HIDDEN}",
        "/changes/2",
        "/findings/2",
        f"/teams/{teams.theirs}",
    ):
        assert callers.get("member", path).status_code == 404, path
    for path in ("/models/toy", "/inventory/toy", "/changes/1", "/findings/1", f"/teams/{teams.ours}"):
        assert callers.get("member", path).status_code == 200, path
    assert callers.get("member", "/inventory").json()["known"] == 1
    seen = callers.get("member", "/changes/1").json()
    assert seen["cannot_decide"] is None, seen["cannot_decide"]
    digest = seen["digest"]
    decided = callers.post(
        "member", "/changes/1/decisions", {"verdict": "approve", "digest": digest, "comment": "yes"}
    )
    assert decided.status_code == 201, decided.text
    with writing() as session:
        assert request_metrics(session, now(callers, "member"), model="toy").subject == "toy"
    with pytest.raises(NotFound), writing() as session:
        request_metrics(session, now(callers, "mixed"), model=HIDDEN)
    foreign = callers.get("lead", "/changes/2").json()["digest"]
    for who in ("member", "mixed"):
        answer = callers.post(
            who, "/changes/2/decisions", {"verdict": "reject", "digest": foreign, "comment": "no"}
        )
        assert answer.status_code in (403, 404), answer.text
    with pytest.raises(NotFound), writing() as session:  # as a page calls it
        decide(session, now(callers, "member"), 2, verdict="reject", comment="no", seen_digest=foreign)
    assert callers.get("lead", "/changes/2").json()["state"] == "waiting"


def test_who_reads_the_whole_house_acts_in_their_team_alone(callers: Callers, teams: Teams) -> None:
    assert {one["name"] for one in callers.get("mixed", "/models").json()["models"]} == {"toy", HIDDEN}
    note = {"text": "looked at it"}
    numbers = {one["model"]: one["id"] for one in callers.get("lead", "/incidents").json()["incidents"]}
    assert callers.post("mixed", f"/incidents/{numbers['toy']}/notes", note).status_code == 201
    assert callers.post("mixed", f"/incidents/{numbers[HIDDEN]}/notes", note).status_code == 404
    entries = callers.get("mixed", "/audit/entries", limit=500).json()["entries"]
    assert any(one["object_id"] == "toy" for one in entries)
    assert not any(one["object_id"].startswith(HIDDEN) for one in entries)


def test_a_taken_name_is_no_way_to_learn_of_a_model(callers: Callers, teams: Teams) -> None:
    """Who registers new models has that right for the house: in a team a new name and a foreign one are told alike."""
    said = set()
    for name in (HIDDEN, HIDDEN.upper(), "brand-new"):
        told = {**VENDOR, "name": name, "owner_id": callers.actors["engineer"].person_id}
        answer = callers.post("member", "/inventory", told)
        said.add((answer.status_code, answer.text.replace(name, "NAME").split("request")[0]))
    assert len(said) == 1, said
    assert next(iter(said))[0] in (403, 404)


def test_a_membership_holds_and_ends_with_the_next_request(callers: Callers, teams: Teams) -> None:
    admin, member = callers.actors["admin"], callers.actors["member"].person_id
    path = f"/teams/{teams.theirs}/members/{member}"
    assert callers.post("lead", path, {"roles": ["viewer"], "why": "so"}).status_code == 403
    assert callers.post("admin", path, {"roles": ["viewer"], "why": "so"}).status_code == 201
    assert callers.get("member", f"/models/{HIDDEN}").status_code == 200
    note = {"text": "so"}
    hidden = next(
        one["id"] for one in callers.get("lead", "/incidents").json()["incidents"] if one["model"] == HIDDEN
    )
    assert (
        callers.post("member", f"/incidents/{hidden}/notes", note).status_code == 404
    )  # viewer there, lead here
    assert callers.post("admin", path, {"roles": [], "why": "so"}).status_code == 201
    assert callers.get("member", f"/models/{HIDDEN}").status_code == 404
    with writing() as session:
        set_team_roles(session, admin, teams.ours, member, set())
    assert callers.get("member", "/models").status_code == 403


def test_a_model_changes_hands_by_who_may_on_both_sides(callers: Callers, teams: Teams) -> None:
    to = {"team": teams.theirs, "why": "reorganised"}
    assert (
        callers.post("member", "/models/toy/team", to).status_code == 404
    )  # the other team is not there for them
    assert callers.post("member", "/models/toy/team", {"team": None, "why": "so"}).status_code == 403
    assert (
        callers.post("member", f"/models/{HIDDEN}/team", {"team": teams.ours, "why": "so"}).status_code == 404
    )
    with writing() as session:
        set_team_roles(
            session, callers.actors["admin"], teams.theirs, callers.actors["member"].person_id, {Role.ML_LEAD}
        )
    assert callers.post("member", "/models/toy/team", to).status_code == 201
    with reading() as session:
        assert session.get_one(TeamModel, "toy").team_id == teams.theirs
        entry = session.scalars(select(AuditEntry).order_by(AuditEntry.seq.desc()).limit(1)).one()
        assert (entry.action, entry.object_id) == ("identity:team:move_model", "toy")


def test_what_concerns_more_than_a_team_no_role_in_a_team_gives(callers: Callers, teams: Teams) -> None:
    given = frozenset().union(*(permissions_in_team(role) for role in GIVEN_IN_TEAMS))
    assert given.isdisjoint(
        {Permission.MANAGE_PEOPLE, Permission.REVIEW_ACCESS, Permission.SET_ASSURANCE_RULES}
    )
    with writing() as session:
        with pytest.raises(NotAllowed):
            make_team(session, now(callers, "member"), name="Mine")
        assert [one.name for one in list_teams(session, now(callers, "member"))] == ["Our squad"]
    with pytest.raises(NotFound), writing() as session:
        from backend.assurance.findings import open_finding
        from tests.integration.api.test_auditors import LATER, clock

        open_finding(
            session, now(callers, "member"), model=HIDDEN, title="so", detail="so", severity="low",
            owner_id=callers.actors["engineer"].person_id, due_at=clock.now() + LATER,
        )  # fmt: skip
    house = {"comment": "all of it", "until": "2100-01-01T00:00:00Z", "environment": "production"}
    assert callers.post("member", "/silences", house).status_code in (403, 404, 422)


def test_files_and_plain_pages_are_silent_too(callers: Callers, teams: Teams) -> None:
    token = cookie_of(now(callers, "member"))
    routes = [
        one
        for one in server._routes()
        if isinstance(one, Route) and not one.path.startswith(("/sign", "/setup", "/oidc"))
    ]
    numbers = {"number": ["1", "2"], "form": ["csv", "json", "html", "md"], "report_id": ["x"]}
    known, said = 0, []
    with TestClient(Starlette(routes=routes), raise_server_exceptions=False) as client:
        for route in routes:
            names = [part[1:-1].split(":")[0] for part in re.findall(r"{[^}]*}", route.path)]
            for filled in _each(names, {**fillings(teams), **numbers}, ["1", "2"]):
                path = re.sub(r"{(\w+)[^}]*}", lambda found, by=filled: by[found.group(1)], route.path)
                for query in ({}, {"model": HIDDEN}, {"model": "toy"}):
                    answer = client.get(path, params=query, headers={"Cookie": f"warrant_session={token}"})
                    known += answer.status_code == 200 and "toy" in answer.text
                    asked = HIDDEN in {*filled.values(), *query.values()}
                    if RIVALS in answer.text or (HIDDEN in answer.text and not (answer.is_error and asked)):
                        said.append((path, query, answer.status_code, answer.text[:300]))
    assert said == []
    assert known >= 6


def test_a_role_in_a_team_that_nobody_gave_counts_for_nothing_and_is_told(
    callers: Callers, teams: Teams
) -> None:
    """Who writes to the database puts somebody into a team, or a model under another one."""
    with writing() as session:
        row = person(session, "intruder", Role.VIEWER)
        session.add(
            TeamMember(team_id=teams.ours, person_id=row.person_id, role="ml_lead", since=clock.now())
        )
        record(
            session, SYSTEM, Action.PERSON_CREATED, object_kind="person", object_id=row.person_id,
            payload={"roles": ["viewer"]},
        )  # fmt: skip
    with reading() as session:
        told = [one.title for one in unset_standing(session) if row.person_id in one.title]
        assert accounts_otherwise(session, [(row.person_id, "ml_lead")], model="toy")
        member = callers.actors["member"].person_id
        assert not accounts_otherwise(session, [(member, "ml_lead")], model="toy")
    assert len(told) == 1
    assert "the log says none" in told[0]
    with writing() as session:
        session.get_one(TeamModel, "toy").team_id = teams.theirs
    with reading() as session:
        assert any("toy is in another team" in one.title for one in unset_standing(session))
