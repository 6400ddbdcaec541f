"""The script of what people have to find is what its document says."""

from __future__ import annotations

from tests.browser.usability import DOCUMENT, ROLES, document


def test_each_role_has_ten_steps_that_ask_different_things() -> None:
    for _, steps in ROLES.values():
        assert len({one.find for one in steps}) == 10


def test_the_document_is_what_is_tried() -> None:
    assert DOCUMENT.read_text() == document(), "run `python -m tests.browser.usability`"
