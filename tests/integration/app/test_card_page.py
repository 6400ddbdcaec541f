"""The page of a model card: what speaks against it on top, review by another person, and an edit that is never lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app.card_downloads import routes
from backend.cards.versions import get_card_version
from backend.database.engine import use_database
from backend.database.session import reading
from tests.integration.app.test_pages import Open, open_page, text_of
from tests.integration.app.test_registry_pages import fetch
from tests.integration.cards.conftest import CARD, approve, realise, submit, write
from tests.worlds import World, make_world

__all__ = ["open_page"]
EDITED = CARD.replace("Sorting toys.", "Sorting wooden toys.")


@pytest.fixture
def world(migrated_home: Path, tmp_path: Path) -> Iterator[World]:
    st.cache_data.clear()
    yield make_world(tmp_path / "files")
    use_database(None)


def press(page: AppTest, label: str) -> AppTest:
    return next(one for one in page.button if one.label == label).click().run()


def state(world: World, number: int) -> str:
    with reading() as session:
        return get_card_version(session, world.viewer, "toy", 2, number).state


def test_a_file_is_shown_as_what_it_is(world: World, open_page: Open) -> None:
    said = text_of(open_page(world.viewer, "card", model="toy", version="2"))
    assert "file, not reviewed" in said
    assert "No version is kept yet" in said
    assert "Your role lacks cards:version:write." in said or "lacks" in said


def test_what_telemetry_contradicts_stands_above_the_text(world: World, open_page: Open) -> None:
    approve(world)
    realise(0.5, days_ago=2)
    said = text_of(open_page(world.viewer, "card", model="toy", version="2"))
    assert "100 % complete" not in said
    assert "contradicted in 1 place" in said
    assert said.index("live it is 0.500") < said.index("Sorting toys.")
    assert "(from the system, " in said
    assert "0.500 (95 % 0.490 to 0.510, 1,000 labelled rows" in said


def test_a_draft_is_sent_to_review_and_another_person_approves_it(world: World, open_page: Open) -> None:
    write(world.engineer)
    press(open_page(world.engineer, "card", model="toy", version="2"), "Send version 1 to review")
    assert state(world, 1) == "in_review"
    st.cache_data.clear()
    page = press(open_page(world.compliance, "card", model="toy", version="2"), "Approve version 1")
    assert state(world, 1) == "approved"
    assert "approved by Compliance" in text_of(page)


def test_a_writer_is_told_why_they_cannot_approve(world: World, open_page: Open) -> None:
    write(world.lead)
    submit(world.lead, 1)
    page = open_page(world.lead, "card", model="toy", version="2")
    button = next(one for one in page.button if one.label == "Approve version 1")
    assert button.disabled
    assert any("you wrote some of what it says" in one.value for one in page.caption)


def test_returning_needs_words(world: World, open_page: Open) -> None:
    write(world.engineer)
    submit(world.engineer, 1)
    page = press(open_page(world.compliance, "card", model="toy", version="2"), "Return it to its writers")
    assert "What has to change" in page.error[0].value
    assert state(world, 1) == "in_review"


def test_an_edit_is_previewed_compared_and_saved(world: World, open_page: Open) -> None:
    write(world.engineer)
    page = open_page(world.lead, "card", model="toy", version="2")
    page = page.text_area[0].set_value(EDITED).run()
    assert "Sorting wooden toys." in text_of(page)
    assert "+Sorting wooden toys." in text_of(page)
    press(page, "Save as card version 2")
    assert (state(world, 1), state(world, 2)) == ("superseded", "draft")


def test_an_error_in_the_text_names_its_line_and_nothing_is_saved(world: World, open_page: Open) -> None:
    write(world.engineer)
    page = open_page(world.lead, "card", model="toy", version="2")
    page = page.text_area[0].set_value(CARD.replace("license: mit", "license: [")).run()
    page = press(page, "Save as card version 2")
    assert "this is no valid model card: line " in page.error[0].value.replace("\\", "").lower()
    assert page.text_area[0].value == CARD.replace("license: mit", "license: [")


def test_the_text_of_a_second_editor_is_kept_and_the_others_change_shown(
    world: World, open_page: Open
) -> None:
    write(world.engineer)
    page = open_page(world.lead, "card", model="toy", version="2")
    mine = CARD.replace("Sorting toys.", "Sorting all toys.")
    page = page.text_area[0].set_value(mine).run()
    write(world.engineer, EDITED, on=1)
    page = press(page, "Save as card version 2")
    assert "Engineer saved card version 2" in page.error[0].value
    page = page.run()
    assert "Version 2 was saved since you began from version 1" in text_of(page)
    assert "+Sorting wooden toys." in text_of(page)
    assert page.text_area[0].value == mine
    page = press(page, "I have merged version 2: go on from it")
    press(page, "Save as card version 3")
    assert state(world, 3) == "draft"


def test_the_models_page_says_how_the_card_stands(world: World, open_page: Open) -> None:
    assert "file, not reviewed" in text_of(open_page(world.viewer, "model", model="toy"))
    approve(world)
    st.cache_data.clear()
    said = text_of(open_page(world.viewer, "model", model="toy"))
    assert "Read the card of v2" in said
    assert "points</span>" in said


def test_a_card_is_taken_away_by_who_is_signed_in_and_runs_nothing(world: World) -> None:
    approve(world)
    address = "/export/card/html?model=toy&version=2"
    answer = fetch(world.viewer, address, routes())
    assert answer.headers["content-disposition"] == 'attachment; filename="toy-v2-card1.html"'
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert fetch(world.viewer, "/export/card/pdf?model=toy&version=2&number=1", routes()).content.startswith(
        b"%PDF"
    )
    assert fetch(world.viewer, "/export/card/docx?model=toy&version=2", routes()).status_code == 422
    assert fetch(world.viewer, "/export/card/pdf?model=toy", routes()).status_code == 422
    assert fetch(None, address, routes()).status_code == 401
