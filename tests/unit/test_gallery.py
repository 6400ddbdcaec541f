"""The gallery shows every page, nothing else, and is small enough to be cloned."""

from __future__ import annotations

import re

from app.nav import PAGES
from tests.gallery.shots import (
    DOCS,
    DOCUMENT,
    FOLDER,
    LARGEST_BYTES,
    MOST_BYTES,
    SCHEMES,
    SHOTS,
    TOUR,
    WIDTHS,
    document,
    picture,
    tour_picture,
)


def wanted() -> set[str]:
    return {picture(row.path, scheme, width).name for row in PAGES for scheme in SCHEMES for width in WIDTHS}


def test_every_page_has_its_sentence_and_no_other() -> None:
    assert set(SHOTS) == {row.path for row in PAGES}


def test_every_page_has_its_pictures_and_every_picture_a_page() -> None:
    there = {one.name for one in FOLDER.iterdir()}
    assert sorted(wanted() - there) == [], "run `make gallery`"
    assert sorted(there - wanted()) == [], "these belong to no page of app/nav.py"


def test_the_pictures_are_small_and_are_pictures() -> None:
    files = [*FOLDER.iterdir(), *map(tour_picture, TOUR)]
    for one in files:
        head = one.read_bytes()[:12]
        assert (head[:4], head[8:]) == (b"RIFF", b"WEBP"), one.name
        assert one.stat().st_size <= LARGEST_BYTES, one.name
    assert sum(one.stat().st_size for one in files) <= MOST_BYTES


def test_the_document_lists_what_there_is() -> None:
    assert DOCUMENT.read_text() == document(), "run `python -m tests.gallery --document`"


def test_the_readme_tells_the_story_with_its_pictures() -> None:
    shown = re.findall(r"docs/images/(tour-[^)]+)\)", (DOCS.parent / "README.md").read_text())
    assert shown == [tour_picture(one).name for one in TOUR]
