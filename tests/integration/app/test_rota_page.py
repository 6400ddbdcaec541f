"""Putting somebody on call from the notifications page, and taking them off."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.database.session import reading
from backend.notifications.shifts import list_shifts
from backend.settings import settings
from tests.integration.app.test_pages import Open, open_page, text_of, world
from tests.worlds import World

__all__ = ["open_page", "world"]


def test_somebody_is_put_on_call_and_taken_off(
    world: World, open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "contacts.yaml"
    file.write_text("channels: {pager: {kind: alertmanager, url: 'http://pager'}}")
    monkeypatch.setenv("WARRANT_CONTACTS", str(file))
    settings.cache_clear()
    test = open_page(world.on_call, "notifications")
    test.text_input(key="add-shift:rota:who").input("Ada")
    test.text_input(key="add-shift:rota:zone").input("Europe/Berlin")
    next(one for one in test.button if one.label == "Put on call").click().run()
    assert not test.exception
    assert "Ada" in text_of(test) and "00:00 to 24:00 (Europe/Berlin)" in text_of(test)
    with reading() as session:
        (row,) = list_shifts(session, world.viewer)
    assert (row.rota, row.document["who"], row.route) == ("primary", "Ada", None)
    next(one for one in test.button if one.label.startswith("Remove Ada")).click().run()
    with reading() as session:
        assert list_shifts(session, world.viewer) == []
    assert open_page(world.viewer, "notifications").button
