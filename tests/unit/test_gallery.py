"""The gallery knows every page; what was taken of a page is whole, listed, belongs to a page, and is small enough."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.nav import PAGES
from tests.gallery import shots
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
    shown_pages,
    tour_picture,
)


def pictures(paths: list[str]) -> set[Path]:
    return {picture(path, scheme, width) for path in paths for scheme in SCHEMES for width in WIDTHS}


def taken() -> list[Path]:
    return [*FOLDER.glob("*"), *(DOCS / "images").glob("tour-*")]


def test_every_page_has_its_sentence_and_no_other() -> None:
    assert set(SHOTS) == {row.path for row in PAGES}


def test_a_page_that_is_shown_has_all_its_pictures_and_every_picture_a_page() -> None:
    there = set(FOLDER.glob("*"))
    assert sorted(pictures(shown_pages()) - there) == [], "run `make gallery`"
    assert sorted(there - pictures(shown_pages())) == [], "these belong to no page of app/nav.py"


def test_the_pictures_are_small_and_are_pictures() -> None:
    for one in taken():
        head = one.read_bytes()[:12]
        assert (head[:4], head[8:]) == (b"RIFF", b"WEBP"), one.name
        assert one.stat().st_size <= LARGEST_BYTES, one.name
    assert sum(one.stat().st_size for one in taken()) <= MOST_BYTES


def test_the_document_lists_what_there_is() -> None:
    assert DOCUMENT.exists() == bool(shown_pages()), "docs/gallery.md goes with its pictures"
    if shown_pages():
        assert DOCUMENT.read_text() == document(), "run `python -m tests.gallery --document`"


def test_the_readme_tells_the_story_with_the_pictures_that_there_are() -> None:
    shown = re.findall(r"docs/images/(tour-[^)]+)\)", (DOCS.parent / "README.md").read_text())
    assert shown == [tour_picture(one).name for one in TOUR if tour_picture(one).exists()]
    assert set(shown) == {one.name for one in (DOCS / "images").glob("tour-*")}


def test_a_document_shows_a_page_once_it_has_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shots, "FOLDER", tmp_path)
    assert shots.shown_pages() == []
    assert "<img" not in shots.document()
    for one in sorted(path.name for path in pictures(["jobs"])):
        (tmp_path / one).touch()
    assert shots.shown_pages() == ["jobs"]
    assert "## Jobs" in shots.document()
    assert shots.document().count("<img") == len(SCHEMES) * len(WIDTHS)
