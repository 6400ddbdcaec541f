"""What somebody who was woken reads first: what is wrong, for whom, since when, what changed, what they can do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from app import data
from app.charts.answers import figures_over_time
from app.components.incident_parts import advice, situation, standing
from backend import clock
from backend.alerting import handling
from backend.alerting.brief import read_brief
from backend.alerting.incident_alerts import tally_alerts
from backend.alerting.mitigation import settle_by_change
from backend.alerting.service import Firing, close_by_hand, fire
from backend.alerting.tables import Alert, Incident
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.session import WriteSession, reading, writing
from backend.identity.actor import Actor
from backend.identity.tables import Person
from backend.monitoring.page_points import Series
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.watched import watch
from tests.worlds import SYSTEM, World

__all__ = ["open_page", "world"]


def opened(world: World, kind: str, **details: Any) -> dict[str, Any]:
    """An incident of `toy` by one page of this kind, as the page reads it."""
    watched = watch(world)
    told = {"window": watched.last_window.isoformat(), "size": "1d", "rows": 300, **details}
    with writing() as session:
        alert = fire(
            session, SYSTEM,
            Firing("toy", "production", 2, kind, "page", "something moved", "x", watched.last_window, told),
        )  # fmt: skip
        assert alert.incident_id is not None
        number = alert.incident_id
    return data.incident(data.scope_of(world.on_call), number)


def only(found: dict[str, Any], kind: str) -> dict[str, Any]:
    return found | {"alerts": [one for one in found["alerts"] if one["kind"] == kind]}


def test_the_page_answers_before_it_shows(world: World, open_page: Open) -> None:
    found = opened(world, "quality", column="distance", columns=["distance"])
    said = text_of(open_page(world.on_call, "incident", id=str(found["id"])))
    for question in ("for whom", "since", "serves", "performance", "what changed", "what to do"):
        assert f"<dt>{question}</dt>" in said
    assert "nobody is on it" in said
    assert said.index("<dt>what to do</dt>") < said.index("What fired")


def test_the_page_tells_figures_budget_deciders_and_what_was_like_it(world: World, open_page: Open) -> None:
    found = opened(world, "slo", name="answers", remaining=0.25)
    with writing() as session:
        settle_all(session, found["id"])
        close_by_hand(session, world.on_call, found["id"], why="the feed was mended", cause="data")
    with writing() as session:
        details = {
            "name": "answers",
            "remaining": 0.25,
            "window": found["opened_at"].isoformat(),
            "size": "1d",
        }
        alert = fire(
            session, SYSTEM,
            Firing("toy", "production", 2, "slo", "page", "answers fail", "y", found["opened_at"], details),
        )  # fmt: skip
        lead = session.get_one(Person, world.lead.person_id).display_name
    assert alert.incident_id not in (None, found["id"])
    said = text_of(open_page(world.on_call, "incident", id=str(alert.incident_id)))
    assert "Answers fail, since " in said and "whether callers see errors" in said
    assert "answers: 25.0% left" in said
    assert lead in said.split("<dt>can approve now</dt>")[1][:300]
    assert f"INC-{found['id']}" in said.split("Similar incidents before")[1] and "the feed was mended" in said
    assert said.count("Figures over time") == 1 and "Requests around it" not in said


def settle_all(session: WriteSession, number: int) -> None:
    for alert in session.scalars(select(Alert).where(Alert.incident_id == number)):
        alert.state, alert.resolved_at = "resolved", clock.now()


def test_figures_have_a_band_and_one_axis() -> None:
    start = clock.now().replace(microsecond=0)
    days = [start + timedelta(days=day) for day in range(3)]
    auc = Series("AUC by labels", tuple((day, 0.7, 0.65, 0.75, "ok") for day in days))
    asked = Series("requests", tuple((day, 100.0, None, None, "") for day in days))
    figure = figures_over_time([auc, asked], opened_at=days[1])
    band, *shown, _mark = figure.data
    assert [one.name for one in shown] == ["AUC by labels", "requests"]
    assert list(band.y) == [0.75] * 3 + [0.65] * 3 and band.yaxis == "y"
    assert figure.layout.yaxis.rangemode == "normal" and figure.layout.yaxis2.rangemode == "tozero"


def test_figures_are_of_a_range_about_the_opening_and_name_what_happened(
    world: World, open_page: Open
) -> None:
    found = opened(world, "quality", column="distance")
    with writing() as session:
        record(
            session, SYSTEM, Action.FAULT_INJECTED, object_kind="workload", object_id="toy",
            payload={"fault": "unit-change", "description": "miles become kilometres"},
        )  # fmt: skip
        ends = (clock.now() - timedelta(days=20), clock.now() + timedelta(days=1))
    read = data.incident_figures(data.scope_of(world.on_call), found["id"], *ends)
    names = {one.name: one for one in read["series"]}
    assert "requests of each window" in names
    assert all(ends[0] <= at <= ends[1] for at, *_ in names["requests of each window"].points)
    assert names["requests of each window"].length == timedelta(days=1)

    def figure(who: Actor, **query: str) -> str:
        page = open_page(who, "incident", id=str(found["id"]), **query)
        assert not page.exception
        return str(next(one.proto.spec for one in page.main if one.type == "plotly_chart"))

    usual = figure(world.compliance)
    assert (
        f"INC-{found['id']} opened" in usual and "unit-change" in usual and "requests of each window" in usual
    )
    assert "unit-change" not in figure(world.viewer), "who may not read the log"
    span = {"from": "2026-01-01T00:00Z", "to": "2026-01-02T00:00Z"}
    assert "Not measured" in figure(world.compliance, **span)
    page = open_page(world.compliance, "incident", id=str(found["id"]), **span)
    assert "None of the windows of 1d begins in this range" in text_of(page)
    assert f"/incident?id={found['id']}&amp;range=28d" in text_of(page)


def test_a_long_list_of_alerts_has_pages(world: World, open_page: Open) -> None:
    number = opened(world, "quality", column="distance")["id"]
    with writing() as session:
        for index in range(60):
            session.add(
                Alert(
                    fingerprint=f"toy/{index}", model="toy", environment="production", version=2, source="monitor",
                    kind="quality", level="ticket", state="firing", title=f"column {index} is missing",
                    details={"column": f"c{index}"}, since=clock.now(), fired_at=clock.now(),
                    last_seen_at=clock.now(), incident_id=number,
                )
            )  # fmt: skip
    with reading() as session:
        total = tally_alerts(session, world.on_call, number).total
    data.incident.clear()
    first = text_of(open_page(world.on_call, "incident", id=str(number)))
    assert f"1 to 50 of {total} alerts, those that fire first" in first
    assert f"{total} alerts firing" in first
    assert f'href="/incident?id={number}&amp;alerts=2"' in first
    second = text_of(open_page(world.on_call, "incident", id=str(number), alerts="2"))
    assert f"51 to {total} of {total} alerts" in second
    for odd in ("0", "99", "x"):  # the nearest page that there is
        said = text_of(open_page(world.on_call, "incident", id=str(number), alerts=odd))
        assert f"of {total} alerts, those that fire first" in said


def test_an_incident_that_a_change_mitigated_says_what_happens_next_everywhere(
    world: World, open_page: Open
) -> None:
    found = opened(world, "quality", column="distance", columns=["distance"])
    with writing() as session:
        row = session.get_one(Incident, found["id"])
        settle_by_change(session, SYSTEM, row, change_id=4, summary="toy returns to v1")
    data.incident.clear()
    said = text_of(open_page(world.on_call, "incident", id=str(found["id"])))
    assert "production · mitigated, open for " in said
    assert (
        "CHG-4 was executed. It closes by itself once nothing fires; if something still fires after " in said
    )
    assert "mitigated: CHG-4 executed: toy returns to v1; " in said, "the timeline"


def test_whom_it_concerns_counts_all_rows_of_the_window(world: World) -> None:
    found = only(opened(world, "quality", rows=984, window_rows=987), "quality")
    scope = data.scope_of(world.on_call)
    facts = situation(found, data.model(scope, "toy"), data.health_of(scope, "toy"), "1d")
    assert facts["for whom"].startswith("every prediction: 987 in the window from ")


def test_it_says_whom_it_concerns_since_when_and_how_the_model_does(world: World) -> None:
    found = only(opened(world, "quality", segment="carrier=AA"), "quality")
    scope = data.scope_of(world.on_call)
    facts = situation(found, data.model(scope, "toy"), data.health_of(scope, "toy"), "1d")
    assert facts["for whom"].startswith("predictions of carrier=AA: 300 in the window from ")
    assert facts["for whom"].endswith("(windows of 1d)")
    assert "noticed" in facts["since"]
    assert facts["performance"].startswith("AUC 0.520 (−20.0 points to the reference), from labels of ")
    assert standing(found).startswith("production · open for ")


@pytest.mark.parametrize(
    ("kind", "details", "served_days", "says"),
    [
        ("quality", {"columns": ["distance"]}, 90, "every version reads distance: ask who delivers them"),
        ("quality", {"columns": ["distance"], "injected_rows": 20}, 90, "switch it off"),
        ("realised", {}, 2, "return to v1 first"),
        ("realised", {}, 90, "look at what changed below before you return to v1"),
    ],
)
def test_what_to_do_follows_from_what_fired_and_how_long_the_version_has_served(
    world: World, kind: str, details: dict[str, Any], served_days: int, says: str
) -> None:
    found = only(opened(world, kind, **details), kind)
    health = data.health_of(data.scope_of(world.on_call), "toy")
    since = clock.now() - timedelta(days=served_days)
    assert says in advice(found, replace(health, serving_since=since))


def test_without_an_alert_that_fires_it_is_to_be_closed(world: World) -> None:
    found = opened(world, "quality")
    over = found | {"alerts": [one | {"state": "resolved"} for one in found["alerts"]]}
    assert "close it" in advice(over, data.health_of(data.scope_of(world.on_call), "toy"))


def test_an_injected_fault_began_when_it_was_switched_on_not_with_its_window(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = opened(world, "quality", column="distance")
    start = clock.from_iso(found["alerts"][0]["details"]["window"])
    switched = start + timedelta(hours=13, minutes=42)
    with monkeypatch.context() as then, writing() as session:
        then.setattr(clock, "now", lambda: switched)
        record(session, SYSTEM, Action.FAULT_INJECTED, object_kind="workload", object_id="toy")
    told = data.happened(data.scope_of(world.on_call), "toy", "1d", start, "production")
    assert told is not None
    assert [one["at"] for one in told[1] if one["kind"] == "fault"] == [switched]


def test_everywhere_an_alert_is_as_old_as_its_notice(world: World, open_page: Open) -> None:
    found = opened(world, "quality", column="distance", columns=["distance"])
    (health,) = data.overview(data.scope_of(world.on_call))
    fired = {one["fired_at"] for one in found["alerts"]}
    assert health.since in fired
    said = text_of(open_page(world.on_call, "incident", id=str(found["id"])))
    assert ">noticed<" in said


def test_the_page_tells_the_causes_one_timeline_and_what_mutes_and_offers_every_act(
    world: World, open_page: Open
) -> None:
    found = opened(world, "quality", column="distance", columns=["distance"])
    number = int(found["id"])
    with writing() as session:
        handling.add_note(session, world.on_call, number, text="asked the *team*")
        handling.silence_incident(session, world.on_call, number, comment="known")
    data.incident.clear()
    page = open_page(world.on_call, "incident", id=str(number))
    said = text_of(page)
    for told in ("ruled out", "likely", "suppressed", "muted by silence", "note: asked the *team*", "SEV-3"):
        assert told in said, told
    assert f"/i/{number}/report.md" in said
    offered = {one.label for one in page.button}
    assert {"Mark mitigated", "Mark a false alarm", "Write the note", "Assign"} <= offered
    assert "Silence what fires" not in offered, "it is silent already"


def test_an_incident_of_the_whole_installation_has_a_page(world: World, open_page: Open) -> None:
    with writing() as session:
        alert = fire(
            session, SYSTEM,
            Firing("", "production", None, "gateway", "page", "the gateway is down", "answers", clock.now(), {}),
        )  # fmt: skip
    said = text_of(open_page(world.on_call, "incident", id=str(alert.incident_id)))
    assert "SEV-1 installation: the gateway is down" in said
    assert "INC-" in text_of(open_page(world.on_call, "overview"))


def test_the_page_of_silences_lists_what_is_muted_and_by_whom(world: World, open_page: Open) -> None:
    found = opened(world, "quality", column="distance")
    assert "Nothing is silenced" in text_of(open_page(world.viewer, "silences"))
    with writing() as session:
        handling.silence_incident(session, world.on_call, int(found["id"]), comment="a known feed")
    data.silences.clear()
    data.firing.clear()
    said = text_of(open_page(world.viewer, "silences"))
    assert "a known feed" in said
    assert "Oncall" in said
    assert "Your role cannot silence alerts." in said


def test_the_figure_of_an_incident_tells_what_was_predicted(world: World) -> None:
    number = int(opened(world, "quality", column="distance")["id"])
    with reading() as session:
        series = {one.name: one for one in read_brief(session, world.on_call, number).series}
    shares = [value for _, value, *_ in series["share predicted 1"].points]
    assert len(shares) >= 4 and all(value is not None and 0 < value < 1 for value in shares)
