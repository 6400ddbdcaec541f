"""An installation where every page has something to show, and the addresses at which it shows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import delete

from app.nav import PAGES
from backend.database.session import writing
from backend.explain.tables import ShapSummary
from backend.identity.actor import Actor
from backend.identity.roles import Role
from backend.identity.setup import create_set_up_link
from tests.browser.house import open_house
from tests.explained import store_explained, store_windows
from tests.integration.retraining.conftest import ask, begin, describe
from tests.integration.retraining.test_pages import advance
from tests.watched import watch
from tests.worlds import SYSTEM, person

OF_A_MODEL: Final = (
    "model", "drift", "performance", "quality", "slices", "fairness", "explanations", "monitors", "slos", "timeline",
    "card", "retraining", "inventory_model",
)  # fmt: skip
QUERIES: Final = {
    **{page: {"model": "toy"} for page in OF_A_MODEL},
    "request_change": {"kind": "rollback", "model": "toy"},
    "change": {"id": "1"},
    "retraining_run": {"id": "retrain-2"},
    "incident": {"id": "1"},
    "search": {"q": "toy"},
    "prediction": {"model": "toy", "prediction": "p1"},
    "audit_entry": {"seq": "3"},
}
PAGE_ADDRESSES: Final = {
    row.path: ("/" if row.default else f"/{row.path}")
    + (f"?{urlencode(QUERIES[row.path])}" if row.path in QUERIES else "")
    for row in PAGES
}
PLAIN_ADDRESSES: Final = {
    "incident on a phone": "/i/1",
    "change on a phone": "/c/1",
    "sign in again": "/signin/again",
    "another password": "/signin/password",
    "what is not there": "/i/99",
}
"""Of our own HTML, to whoever has signed in."""

ROLES: Final = (Role.ON_CALL, Role.ML_ENGINEER, Role.ML_LEAD, Role.COMPLIANCE, Role.ADMIN)


@dataclass(frozen=True)
class Scene:
    """`who` may open every page; `strangers` are addresses for somebody who has not signed in."""

    console: str
    who: Actor
    strangers: dict[str, str]


@contextmanager
def open_scene(folder: Path) -> Iterator[Scene]:
    """In the home that the environment names."""
    with open_house(folder) as house:
        assert house.ask("rollback") == 1
        describe(house.world)
        watch(house.world)
        with writing() as session:
            session.execute(
                delete(ShapSummary)
            )  # what `store_windows` says of the same version takes its place
            store_windows(session)
            store_explained(session, "p1", because="complaint")
            everybody = person(session, "everybody", *ROLES)
            link = create_set_up_link(session, SYSTEM, break_glass=True)
        run = begin(ask(house.world.engineer))
        assert run.id == QUERIES["retraining_run"]["id"]
        advance(run.id)
        yield Scene(house.console, everybody, {"sign in": "/signin", "first set-up": f"/setup/{link}"})
