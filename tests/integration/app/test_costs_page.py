"""The page Costs: a sentence, what stands out, budgets set on it; and the rows behind it as CSV."""

from __future__ import annotations

from datetime import timedelta

from starlette.applications import Starlette

from app import cost_downloads
from backend import clock
from backend.api.security import COOKIE
from backend.costs.budgets import set_budget
from backend.costs.counting import day_of
from backend.costs.tables import UsageDay
from backend.database.session import writing
from backend.identity.actor import Actor
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.integration.identity.conftest import TestClient
from tests.watched import cookie_of
from tests.worlds import World

__all__ = ["open_page", "world"]


def use(hours: float, *, days_ago: int = 0) -> None:
    with writing() as session:
        day = day_of(clock.now()) - timedelta(days=days_ago)
        session.merge(UsageDay(model="toy", kind="gpu", day=day, amount=hours * 3600))


def test_it_says_how_much_which_budget_is_exceeded_and_what_stands_out(world: World, open_page: Open) -> None:
    for days in range(1, 20):
        use(1.0, days_ago=days)
    use(30.0, days_ago=1)
    use(5.0)
    with writing() as session:
        set_budget(session, world.lead, model="toy", kind="gpu", amount=2, why="so")
    test = open_page(world.lead, "costs")
    assert not test.exception
    said = text_of(test)
    assert "53.00\u202fh of GPU in the last 30 days" in said
    assert "1 budget exceeded · 1 day out of the ordinary" in said
    assert "exceeded" in said
    assert any("toy: 30.0 h of GPU" in one.value for one in test.warning)
    assert "/export/costs.csv?since=" in said


def test_before_anything_was_counted_it_says_what_counts(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.viewer, "costs"))
    assert "Nothing was counted in the last 30 days" in said
    assert "A worker counts job runs as they end" in said
    assert "Your role does not set budgets." in [
        one.value for one in open_page(world.viewer, "costs").caption
    ]


def test_the_rows_are_exported_to_whom_they_may_concern(world: World) -> None:
    use(5.0)
    with TestClient(Starlette(routes=cost_downloads.routes())) as client:

        def export(who: Actor, form: str, **query: str) -> tuple[int, str]:
            client.cookies.set(COOKIE, cookie_of(who))
            answer = client.get(f"/export/costs.{form}", params=query)
            return answer.status_code, answer.text

        today = f"{clock.now():%Y-%m-%d}"
        status, text = export(world.viewer, "csv")
        assert (status, text.splitlines()) == (200, ["model,group,day,amount,unit", f"toy,gpu,{today},5.0,h"])
        assert '"gpu_h": 5.0' in export(world.viewer, "json")[1]
        assert export(world.viewer, "csv", since="soon")[0] == 422
        assert export(world.viewer, "csv", since="2026-02-01", until="2026-01-01")[0] == 422
