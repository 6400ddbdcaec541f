"""The pages about a registry that others keep, and about what served when."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import streamlit as st
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from app.registry_downloads import routes
from backend import clock
from backend.database.engine import use_database
from backend.database.session import reading, writing
from backend.deployment.service import open_beside
from backend.governance.kinds import Asked
from backend.governance.registry_moves import note_aliases
from backend.governance.tables import Change, RegistryMove
from backend.identity.actor import Actor
from backend.queue import JobRun
from backend.registry.inventory import FoundModel, FoundVersion, import_registry
from backend.registry.service import register_model
from backend.registry.tables import Model
from jobs.mirror_registry import compare_alias
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.governance.conftest import UNGATED, ask, carry_out, put_in_force, say
from tests.watched import cookie_of
from tests.worlds import SPEC, SYSTEM, World, make_world

__all__ = ["open_page"]
FIRST = datetime(2026, 1, 31, tzinfo=UTC)  # when version 1 of `toy` began to serve


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    """`toy`, version 3 serving, enforced; `taxis` and `=cmd` known from an import alone."""
    st.cache_data.clear()
    made = make_world(tmp_path / "files", versions=3)
    with writing() as session:
        put_in_force(session, made, UNGATED)
    yield made
    use_database(None)


def fetch(who: Actor | None, address: str, served: Sequence[BaseRoute] = ()) -> httpx.Response:
    """A download as somebody's browser asks for it."""
    cookies = {"warrant_session": cookie_of(who)} if who else None

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=served or routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies=cookies) as client:
            return await client.get(address)

    return asyncio.run(asked())


def bring_in(*names: str) -> None:
    """An import of models with two versions each, and a first look at their aliases."""
    versions = tuple(FoundVersion(number, "", "s3://m", "READY", "", {}, None) for number in (1, 2))
    found = [FoundModel(name, "", {}, {}, None, None, versions) for name in names]
    with writing() as session:
        import_registry(session, SYSTEM, registry="https://mlflow.example.com", found=found)
        note_aliases(session, SYSTEM, {name: {"champion": 1} for name in names})


def move_alias(model: str, version: int) -> None:
    with writing() as session:
        note_aliases(session, SYSTEM, {model: {"champion": version}})


def move_enforced(version: int) -> RegistryMove:
    """Others point the alias of `toy`, whose rules are enforced, elsewhere."""
    with writing() as session:
        compare_alias(session, SYSTEM, model="toy", alias=version)
        return session.scalars(select(RegistryMove).where(RegistryMove.state == "open")).one()


def test_without_an_import_the_registry_page_says_how_to_make_one(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.viewer, "registry"))
    assert "No registry has been imported" in said
    assert "warrant import mlflow" in said
    assert "No move was found" in said


def test_a_note_in_the_code_of_a_page_is_not_drawn(world: World, open_page: Open) -> None:
    source = Path(__file__).parents[3] / "pages" / "registry.py"
    (note,) = re.findall(r'^"""(.+)"""$', source.read_text().split("MOST_OPEN", 1)[1], re.MULTILINE)
    assert note not in text_of(open_page(world.lead, "registry"))


def test_gaps_are_shown_as_not_known_and_the_report_counts_the_moves(world: World, open_page: Open) -> None:
    bring_in("taxis")
    for version in (2, 1, 2):
        move_alias("taxis", version)
    page = open_page(world.viewer, "registry", about="taxis")
    said = text_of(page)
    assert "history before Warrant: unknown" in said
    assert "artefact digest: not taken" in said
    assert "3 of 3 moves would have been refused, by these rules: forth 3 (approval 3)" in said
    assert "known from MLflow alone" in said
    assert "No move of the registry waits" in said
    assert "No move was found" in text_of(open_page(world.viewer, "registry", of="toy"))


def test_one_click_enforces_and_observing_again_is_asked_for(world: World, open_page: Open) -> None:
    bring_in("taxis")
    page = open_page(world.lead, "registry", about="taxis")
    next(one for one in page.button if one.label == "Enforce the rules of taxis").click().run()
    page = open_page(world.lead, "registry", about="taxis")
    with reading() as session:
        assert session.get_one(Model, "taxis").enforcement == "enforce"
    page.text_area(key="observe:taxis:reason").set_value("we learn")
    next(one for one in page.button if one.label == "Ask to only observe it").click().run()
    assert [one.value for one in (*page.error, *page.exception)] == []
    with reading() as session:
        assert session.get_one(Model, "taxis").enforcement == "enforce"
        *_, change = session.scalars(select(Change).order_by(Change.id))
    assert (change.kind, change.state) == ("observe", "waiting")


def test_a_viewer_cannot_enforce_and_reads_who_can(world: World, open_page: Open) -> None:
    bring_in("taxis")
    page = open_page(world.viewer, "registry", about="taxis")
    assert "Those who decide on changes" in text_of(page)


def test_an_open_move_is_put_back_by_one_click(world: World, open_page: Open) -> None:
    found = move_enforced(1)
    page = open_page(world.on_call, "registry")
    assert "1 move made elsewhere waits for an answer" in text_of(page)
    next(one for one in page.button if one.label == "Put champion of toy back").click().run()
    with reading() as session:
        assert session.get_one(JobRun, f"restore-{found.id}").state == "queued"
    assert "the move" not in text_of(open_page(world.viewer, "approvals"))
    assert "waits for an answer" in str(
        [one.proto.label for one in open_page(world.viewer, "approvals").main if one.type == "page_link"]
    )


def test_an_open_move_is_regularised_by_the_promotion_it_took_for_granted(
    world: World, open_page: Open
) -> None:
    found = move_enforced(1)
    page = open_page(world.engineer, "registry")
    links = {one.proto.label: one.proto for one in page.main if one.type == "page_link"}
    assert "Ask for the promotion of v1…" in links
    asking = open_page(
        world.engineer, "request_change", kind="promote", model="toy", to="1", move=str(found.id)
    )
    assert "It answers the move of the alias" in text_of(asking)
    asking.text_area(key="request:toy/1:reason").input("it was tried by hand")
    next(one for one in asking.button if one.label == "Ask for the promotion to v1").click().run()
    assert not asking.exception
    with reading() as session:
        move = session.get_one(RegistryMove, found.id)
        assert move.change_id is not None
        assert session.get_one(Change, move.change_id).reason == "it was tried by hand"
    again = open_page(world.engineer, "registry")
    assert f"CHG-{move.change_id} asks for it" in [
        one.proto.label for one in again.main if one.type == "page_link"
    ]


def test_the_timeline_answers_for_now_and_for_a_moment_of_the_address(world: World, open_page: Open) -> None:
    change = carry_out(
        say(world.lead, ask(world.engineer, Asked("promote", "production", "toy", to_version=1)))
    )
    said = text_of(open_page(world.viewer, "timeline", model="toy"))
    assert "Version 1 serves 100\u202f% at " in said
    assert f"because of CHG-{change.id}, approved by Lead" in said
    assert "cut-off 0.5" in said
    at = FIRST + timedelta(hours=1)
    earlier = text_of(open_page(world.viewer, "timeline", model="toy", at=clock.to_iso(at)))
    assert (
        "Version 1 served 100\u202f% at Sat 31 Jan 2026, 01:00:00 UTC, without a change on record (history)"
        in earlier
    )
    before = text_of(open_page(world.viewer, "timeline", model="toy", at="2025-01-01T00:00:00Z"))
    assert "Nothing is known of toy in production at" in before
    wrong = open_page(world.viewer, "timeline", model="toy", at="yesterday")
    assert "is not a time" in wrong.warning[0].value


def test_the_timeline_shows_the_range_and_the_moment_stays_what_it_is(world: World, open_page: Open) -> None:
    now = text_of(open_page(world.viewer, "timeline", model="toy"))
    ends = {"from": "2026-01-31T12:00Z", "to": "2026-02-01T13:00Z"}
    page = open_page(world.viewer, "timeline", model="toy", **ends)
    said = text_of(page)
    assert "Version 3 serves 100" in said
    assert "this sentence is of now" in said
    assert "this sentence is of now" not in now
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["xaxis"]["range"] == ["2026-01-31T12:00:00", "2026-02-01T13:00:00"]
    assert {one["name"] for one in figure["data"] if one["type"] == "bar"} == {"v1"}
    assert said.count("v3 champion") < now.count("v3 champion"), "stretches of later are not listed"
    stretch = next(one for one in said.split('href="') if one.startswith("/timeline?") and "at=" in one)
    assert "from=2026-01-31T12%3A00Z" in stretch, "another moment of the same range"
    nothing = text_of(
        open_page(
            world.viewer, "timeline", model="toy", **{"from": "2020-01-01T00:00Z", "to": "2020-02-01T00:00Z"}
        )
    )
    assert "Nothing is on record of Wed 1 Jan 2020" in nothing
    assert "/timeline?model=toy&amp;environment=production&amp;range=3y" in nothing


def test_a_canary_and_a_shadow_are_told_with_their_shares(world: World, open_page: Open) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=1))
    for version, role, share in ((1, "canary", 0.05), (2, "shadow", 0.0)):
        with writing() as session:
            open_beside(
                session, SYSTEM, model="toy", environment="production", version=version, cutoff=0.5, role=role,
                share=share, change_id=change.id, reason="tried",
            )  # fmt: skip
    page = open_page(world.viewer, "timeline", model="toy", range="1h")
    said = text_of(page)
    assert "Version 3 serves 95.0\u202f%, version 1 serves 5.0\u202f% at" in said
    assert "no gateway had reported it yet" in said
    assert "shadow" in said
    assert not page.exception


def test_a_model_that_never_served_says_what_to_do(world: World, open_page: Open) -> None:
    with writing() as session:
        register_model(session, SYSTEM, name="taxis", title="Taxis", description="", tier="low", spec=SPEC)
    assert "taxis has never served in production" in text_of(
        open_page(world.viewer, "timeline", model="taxis")
    )


def test_choosing_another_moment_keeps_it_in_the_address(world: World, open_page: Open) -> None:
    page = open_page(world.viewer, "timeline", model="toy")
    page.datetime_input(key="moment").set_value(
        datetime(2026, 2, 1, 12, tzinfo=UTC).replace(tzinfo=None)
    ).run()
    assert page.query_params["at"] == "2026-02-01T12:00Z"
    assert "Version 1 served 100\u202f% at Sun 1 Feb 2026, 12:00:00 UTC" in text_of(page)
    ahead = (clock.now() + timedelta(days=3)).replace(tzinfo=None)
    page.datetime_input(key="moment").set_value(ahead).run()
    assert "at" not in page.query_params
    assert "Version 3 serves" in text_of(page)


def test_an_inventory_of_many_models_is_found_by_name_and_turned_by_pages(
    world: World, open_page: Open
) -> None:
    bring_in(*(f"forecast-{number:03d}" for number in range(120)), "churn")

    def listed(**query: str) -> tuple[list[str], str]:
        page = open_page(world.viewer, "registry", about="toy", **query)
        assert not page.exception
        tables = [one.proto.body for one in page.get("html") if "models of the inventory" in one.proto.body]
        return re.findall(r'scope="row"><a[^>]*about=([\w-]+)"', tables[-1]), text_of(page)

    first, said = listed()
    assert (len(first), first[:2]) == (50, ["churn", "forecast-000"])
    assert "1 to 50 of 122 models" in said
    last, said = listed(part="3")
    assert (last[-1], len(last)) == ("toy", 22)
    assert "101 to 122 of 122 models" in said
    assert listed(part="99")[0] == last
    assert listed(part="x")[0] == first
    found, said = listed(find="CAST-01")
    assert found == [f"forecast-01{number}" for number in range(10)]
    assert "10 of 122 models" in said
    page = open_page(world.viewer, "registry", find="nobody", part="3")
    assert "No model has such a name" in text_of(page)
    page.text_input(key="find").set_value("forecast-11").run()
    assert "part" not in page.query_params
    assert "10 of 122 models" in text_of(page)


def test_files_of_moves_and_inventory_hold_no_formula(world: World) -> None:
    bring_in("taxis")
    move_alias("taxis", 2)
    with writing() as session:
        found = session.scalars(select(RegistryMove)).one()
        found.reasons = [{"check": "=cmd", "says": "refused", "text": "x"}]
        session.get_one(Model, "taxis").tier = "=1+1"

    def rows(name: str, query: str = "") -> list[dict[str, str]]:
        answer = fetch(world.viewer, f"/export/{name}.csv{query}")
        assert answer.status_code == 200
        return list(csv.DictReader(io.StringIO(answer.text)))

    (move,) = rows("registry-moves")
    assert (move["model"], move["to_version"], move["would_be"]) == ("taxis", "2", "refused")
    assert move["reasons"].startswith("'=cmd")
    assert rows("registry-moves", "?until=2026-01-01T00:00:00Z") == []
    taxis = [row for row in rows("inventory") if row["model"] == "taxis"]
    assert [row["version"] for row in taxis] == ["2", "1"]
    assert {row["tier"] for row in taxis} == {"'=1+1"}
    assert "history before Warrant: unknown" in taxis[0]["gaps_of_model"]
    assert sorted({row["version"] for row in rows("timeline", "?model=toy")}) == ["1", "2", "3"]
    assert fetch(world.viewer, "/export/registry-moves.csv?since=soon").status_code == 422
    assert fetch(None, "/export/inventory.csv").status_code == 401


def test_a_change_says_its_effect_what_is_unresolved_and_what_a_day_is_at_risk(
    world: World, open_page: Open
) -> None:
    change = ask(world.engineer, Asked("promote", "production", "toy", to_version=1))
    assert "not known: it is measured together with the gates, and the rule names none" in text_of(
        open_page(world.lead, "change", id=str(change.id))
    )
    metric = {"rows": 600, "before": 0.8, "reason": ""}
    part = {"column": "carrier", "name": "AA", "protected": True, "rows": 90, "before": 0.8, "after": 0.6,
            "value": -0.2, "low": -0.3, "high": -0.1}  # fmt: skip
    better = {"metric": "roc_auc", "after": 0.82, "value": 0.02, "low": 0.01, "high": 0.03, "says": "better"}
    worse = {"metric": "recall", "after": 0.7, "value": -0.1, "low": -0.2, "high": -0.05, "says": "worse"}
    measured = {
        "same_rows": {
            "known": True, "where": "600 live rows", "source": "live", "level": 0.95, "cutoffs": [0.5, 0.5],
            "metrics": [metric | better, metric | worse],
            "segments": {"metric": "roc_auc", "looked_at": 38, "unknown": 2, "worse": [part]},
        },
        "at_risk": {"value": 1100.0, "low": -1900.0, "high": 4100.0, "unit": "EUR", "decisions": 41_000.0,
                    "flipped_share": None, "why": ""},
    }  # fmt: skip
    with writing() as session:
        stored = session.get_one(Change, change.id)
        stored.evidence = {**stored.evidence, **measured}
    st.cache_data.clear()
    page = open_page(world.lead, "change", id=str(change.id))
    said = text_of(page)
    assert not page.exception
    assert "v1: AUC +0.020 (95 % +0.010 to +0.030); −1,900 to +4,100 EUR a day." in said
    assert "recall is worse than what serves, on the same rows" in said
    assert "worse on the same rows in carrier = AA" in said
    assert "**1 of 38 segments is worse** by AUC" in said
    assert "41,000 decisions a day" in said
    order = [said.index(text) for text in ("v1: AUC", "unresolved", "at risk", "can still decide")]
    assert order == sorted(order)
    assert f"You sign {change.digest.removeprefix('sha256:')[:12]}" in said
