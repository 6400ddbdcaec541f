"""The list of models: health as on the overview, filtered, counted, sorted and cut by the database, and narrowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text

from backend import clock
from backend.alerting.service import Firing, fire
from backend.database.engine import database as present_database
from backend.database.session import WriteSession, reading, writing
from backend.deployment.tables import Deployment
from backend.errors import BadInput
from backend.fleet.listing import NONE, Wanted, choices, list_fleet, names_matching
from backend.fleet.tags import tag_model
from backend.identity.actor import Actor
from backend.identity.people import person_by_id
from backend.identity.roles import Role
from backend.identity.sessions import actor_of
from backend.identity.teams import make_team, move_model, set_team_roles
from backend.monitoring.health import overview
from backend.monitoring.standings import keep_standings, models_without_standing
from backend.monitoring.tables import MetricPoint, ModelStanding, WindowState
from backend.registry.tables import Model
from tests.integration.monitoring.fleet import make_fleet
from tests.worlds import SYSTEM, person

PRODUCTION = "production"


@pytest.fixture
def names(database: str) -> list[str]:
    """Twelve models that hold, with standings."""
    found = make_fleet(12, windows=3)
    with writing() as session:
        # Their newest windows are settled like the others: `make_fleet` leaves them to be judged.
        session.query(MetricPoint).update({"verdict": "ok", "value": 0.8})
    note_all()
    return found


def note_all() -> None:
    with writing() as session:
        keep_standings(session, session.query(Model).order_by(Model.name).all(), PRODUCTION)


def alarm(session: WriteSession, model: str, level: str = "page", value: float = 0.58) -> None:
    fire(
        session, SYSTEM,
        Firing(model, PRODUCTION, 1, "realised", level, f"AUC of {model} fell", "roc_auc", clock.now(),
               {"column": "", "statistic": "roc_auc", "value": value, "threshold": 0.64}),
    )  # fmt: skip


def listed(wanted: Wanted = Wanted(), viewer: Actor = SYSTEM, **more: int) -> list[str]:  # noqa: B008 - frozen
    with reading() as session:
        return [one.model for one in list_fleet(session, viewer, PRODUCTION, wanted, **more).rows]


def make_trouble(names: list[str]) -> None:
    """Of each way in which a model can be, one."""
    late = clock.now() - timedelta(days=9)
    with writing() as session:
        alarm(session, names[0])
        alarm(session, names[1], "ticket")
        session.query(Deployment).filter(Deployment.model == names[2]).update(
            {"state": "failed", "reason": "no"}
        )
        session.query(Deployment).filter(Deployment.model == names[3]).update({"ended_at": clock.now()})
        mine = session.query(WindowState).filter(WindowState.model == names[4])
        for back, one in enumerate(mine.order_by(WindowState.start.desc())):
            one.start, one.end = late - timedelta(days=back + 1), late - timedelta(days=back)
        session.query(MetricPoint).filter(MetricPoint.model == names[5]).update(
            {"verdict": "alarm", "level": "ticket", "value": 0.5}
        )
        session.query(MetricPoint).filter(MetricPoint.model == names[6]).update({"kind": "estimated"})
        session.query(WindowState).filter(WindowState.model == names[7]).update({"computed_at": None})
        session.query(Deployment).filter(Deployment.model == names[8]).update({"version": 2})


def test_the_list_says_of_each_model_what_the_overview_says(names: list[str]) -> None:
    make_trouble(names)
    note_all()
    with reading() as session:
        there = {
            one.model: (one.level, one.word, one.because, one.since)
            for one in overview(session, SYSTEM, PRODUCTION)
        }
        page = list_fleet(session, SYSTEM, PRODUCTION, Wanted())
    assert {one.model: (one.level, one.word, one.because, one.since) for one in page.rows} == there
    assert [one.model for one in page.rows] == list(there), "and in its order"
    began = {name: said[3] for name, said in there.items()}
    assert listed(Wanted(sort="since")) == sorted(
        names, key=lambda name: (began[name] is None, began[name] or clock.now(), name)
    )
    assert {level for level, _, _, since in there.values() if since} >= {"page", "attention", "unknown"}
    assert len({said[:2] for said in there.values()}) >= 7, "the scene has every way to be"
    assert sum(page.levels.values()) == page.total == page.known == len(names)
    for level, count in page.levels.items():
        found = listed(Wanted(health=(level,)))
        assert sorted(found) == sorted(one for one, said in there.items() if said[0] == level)
        assert len(found) == count


def test_what_fires_ends_or_grows_old_shows_without_a_new_standing(names: list[str]) -> None:
    with writing() as session:
        alarm(session, names[3], "ticket")
        session.query(Deployment).filter(Deployment.model == names[4]).update({"ended_at": clock.now()})
        session.query(Deployment).filter(Deployment.model == names[5]).update({"version": 2})
        session.get_one(ModelStanding, (names[6], PRODUCTION)).stale_at = clock.now() - timedelta(minutes=1)
    with reading() as session:
        page = list_fleet(session, SYSTEM, PRODUCTION, Wanted())
    said = {one.model: (one.level, one.word) for one in page.rows}
    assert [said[names[at]] for at in (3, 4, 5, 6, 7)] == [
        ("attention", "realised alert"), ("unknown", "not serving"), ("unknown", "not judged"), ("unknown", "no data"),
        ("ok", "holds"),
    ]  # fmt: skip
    assert page.levels == {"attention": 1, "unknown": 3, "ok": 8}


def test_a_model_without_standing_is_not_known_and_is_noted_by_the_job(names: list[str]) -> None:
    with writing() as session:
        session.delete(session.get_one(ModelStanding, (names[0], PRODUCTION)))
        session.query(Deployment).filter(Deployment.model == names[1]).update({"version": 2})
    with reading() as session:
        assert [one.model for one in list_fleet(session, SYSTEM, PRODUCTION, Wanted(health=("unknown",))).rows] == [
            names[1], names[0]
        ] or listed(Wanted(health=("unknown",), sort="name")) == names[:2]  # fmt: skip
    with writing() as session:
        missing = models_without_standing(session, PRODUCTION)
        assert [one.name for one in missing] == names[:2]
        keep_standings(session, missing, PRODUCTION)
        assert models_without_standing(session, PRODUCTION) == []
    with reading() as session:
        assert {one.model: one.level for one in list_fleet(session, SYSTEM, PRODUCTION, Wanted()).rows} == {
            one.model: one.level for one in overview(session, SYSTEM, PRODUCTION)
        }


def test_filters_are_conditions_and_their_values_alternatives(names: list[str]) -> None:
    with writing() as session:
        keeper, owner = person(session, "keeper", Role.ML_LEAD), person(session, "ona", Role.VIEWER)
        team = make_team(session, person(session, "root", Role.ADMIN), name="Pricing")
        for name in names[:3]:
            session.get_one(Model, name).owner_id = owner.person_id
            move_model(session, person_admin(session), model=name, team_id=team.id, why="theirs")
        session.get_one(Model, names[1]).tier = "high"
        session.get_one(Model, names[4]).title = "100% of _fares_"
        tag_model(session, keeper, names[2], add=["eu", "loans"])
        tag_model(session, keeper, names[5], add=["eu"])
    for asked, found in (
        (Wanted(owner=("ona",)), names[:3]),
        (Wanted(owner=(NONE,)), names[3:]),
        (Wanted(owner=("ona", NONE)), names),
        (Wanted(team=("Pricing",), tier=("high", "prohibited")), [names[1]]),
        (Wanted(team=(NONE,)), names[3:]),
        (Wanted(tag=("eu",)), [names[2], names[5]]),
        (Wanted(tag=("eu",), owner=("ona",)), [names[2]]),
        (Wanted(text="LOANS"), [names[2]]),
        (Wanted(text="m0011"), [names[11]]),
        (Wanted(text="%"), [names[4]]),
        (Wanted(text="_"), [names[4]]),
        (Wanted(text="nothing"), []),
    ):
        wanted = replace(asked, sort="name")
        assert listed(wanted) == found, wanted
        with reading() as session:
            assert names_matching(session, SYSTEM, PRODUCTION, wanted) == found
            assert list_fleet(session, SYSTEM, PRODUCTION, wanted, limit=1).total == len(found)
    with reading() as session:
        there = choices(session, SYSTEM)
    assert there == {
        "owner": [("ona", "Ona")], "team": [("Pricing", "Pricing")], "tag": [("eu", "eu"), ("loans", "loans")],
    }  # fmt: skip


def person_admin(session: WriteSession) -> Actor:
    from backend.identity.tables import Person

    row = session.query(Person).filter(Person.username == "root").one()
    return actor_of(row, session_id=None)


def test_the_worst_comes_first_and_every_page_is_cut_in_order(names: list[str]) -> None:
    with writing() as session:
        alarm(session, names[7], "ticket")
        alarm(session, names[9])
        session.get_one(Model, names[3]).tier = "prohibited"
    assert listed()[:2] == [names[9], names[7]]
    assert listed(Wanted(sort="tier"))[0] == names[3]
    assert listed(Wanted(sort="name", descending=True)) == names[::-1]
    assert listed(Wanted(sort="incidents"))[0] == names[9]
    assert [one for first in (0, 5, 10) for one in listed(offset=first, limit=5)] == listed()
    with pytest.raises(BadInput, match="sort"):
        listed(Wanted(sort="colour"))


def test_the_worst_figure_is_that_of_the_alert_else_of_the_newest_windows(names: list[str]) -> None:
    with writing() as session:
        alarm(session, names[0], value=0.51)
        window = (
            session.query(WindowState)
            .filter(WindowState.model == names[1])
            .order_by(WindowState.start.desc())[0]
        )
        for column, value in (("near", 0.31), ("far", 0.9)):
            session.add(
                MetricPoint(
                    window_id=window.id, model=names[1], environment=PRODUCTION, size="1d", window_start=window.start,
                    kind="drift", column=column, statistic="psi", value=value, threshold=0.2, verdict="alarm",
                    level="ticket", first_computed_at=clock.now(), computed_at=clock.now(),
                )
            )  # fmt: skip
    note_all()
    with reading() as session:
        rows = {one.model: one for one in list_fleet(session, SYSTEM, PRODUCTION, Wanted()).rows}
    said = {
        at: (one.statistic, one.column, one.value, one.threshold)
        for at in range(3)
        if (one := rows[names[at]].figure) is not None
    }
    assert said == {
        0: ("roc_auc", "", 0.51, 0.64), 1: ("psi", "far", 0.9, 0.2), 2: ("roc_auc", "", 0.8, 0.7),
    }  # fmt: skip
    assert [value for value, _ in rows[names[2]].history] == [0.8, 0.8, 0.8]


def test_a_member_of_a_team_finds_counts_and_chooses_among_its_models_alone(names: list[str]) -> None:
    make_trouble(names)
    with writing() as session:
        admin = person(session, "root", Role.ADMIN)
        keeper, theirs = person(session, "keeper", Role.ML_LEAD), person(session, "rival", Role.VIEWER)
        for name, models in (("Ours", names[:2]), ("Theirs", names[2:])):
            team = make_team(session, admin, name=name)
            for model in models:
                move_model(session, admin, model=model, team_id=team.id, why="so")
            if name == "Ours":
                member = person(session, "member").person_id
                set_team_roles(session, admin, team.id, member, {Role.VIEWER})
        session.get_one(Model, names[5]).owner_id = theirs.person_id
        tag_model(session, keeper, names[5], add=["secret"])
        tag_model(session, keeper, names[0], add=["open"])
    with reading() as session:
        viewer = actor_of(person_by_id(session, member), session_id=None)
    with reading() as session:
        page = list_fleet(session, viewer, PRODUCTION, Wanted())
    with reading() as session:
        there = choices(session, viewer)
    assert sorted(one.model for one in page.rows) == names[:2]
    assert (page.total, page.known, sum(page.levels.values())) == (2, 2, 2)
    assert there == {"owner": [], "team": [("Ours", "Ours")], "tag": [("open", "open")]}
    for wanted in (
        Wanted(tag=("secret",)),
        Wanted(team=("Theirs",)),
        Wanted(text=names[5]),
        Wanted(owner=("rival",)),
    ):
        assert listed(wanted, viewer) == [], wanted
        with reading() as session:
            assert names_matching(session, viewer, PRODUCTION, wanted) == []


@pytest.fixture
def statements(database: str) -> Iterator[list[str]]:
    said: list[str] = []

    def hear(_c: object, _k: object, statement: str, *_rest: object) -> None:
        said.append(statement)

    engine = present_database().read_engine
    event.listen(engine, "before_cursor_execute", hear)
    yield said
    event.remove(engine, "before_cursor_execute", hear)


def test_a_page_asks_as_much_of_many_models_as_of_few_and_reads_no_window(
    names: list[str], statements: list[str]
) -> None:
    asked = []
    for limit in (2, 12):
        statements.clear()
        listed(limit=limit)
        asked.append(len(statements))
        assert not any("windows" in one or "metric_points" in one for one in statements)
    assert asked[0] == asked[1] <= 7


def test_health_is_asked_of_indexes(migrated_home: Path) -> None:
    """The plan of SQLite, which is the same on every machine: no table of alerts or incidents is read whole."""
    make_fleet(2)
    note_all()
    asked: list[tuple[str, object]] = []
    engine = present_database().read_engine

    def hear(_c: object, _k: object, statement: str, parameters: object, *_rest: object) -> None:
        asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", hear)
    listed(Wanted(health=("page",)))
    event.remove(engine, "before_cursor_execute", hear)
    plans = []
    with engine.connect() as connection:
        for statement, parameters in asked:
            if "FROM models" in statement:
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
                plans += [str(row[3]) for row in rows]
        connection.execute(text("SELECT 1"))
    touched = [
        one
        for one in plans
        if any(name in one for name in ("alerts", "incidents", "model_standings", "deployments"))
    ]
    assert touched
    assert [one for one in touched if one.startswith("SCAN")] == []


def test_judging_keeps_the_standing(names: list[str]) -> None:
    from backend.monitoring.columns import parse_spec
    from backend.monitoring.judgement import judge

    with writing() as session:
        session.query(ModelStanding).delete()
        model = session.get_one(Model, names[0])
        judge(session, SYSTEM, model=model, environment=PRODUCTION, spec=parse_spec(model.spec))
        kept = session.query(ModelStanding).one()
    assert (kept.model, kept.level, kept.version) == (names[0], "ok", 1)
