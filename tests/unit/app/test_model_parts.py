"""A card inside a page."""

from __future__ import annotations

from app.components.model_parts import demoted


def test_the_headings_of_a_card_lie_below_the_page() -> None:
    text = "# Title\n\ntext # not one\n\n   ## Data\n\n###### Deep\n#no heading"
    assert demoted(text, below=3) == (
        "#### Title\n\ntext # not one\n\n##### Data\n\n###### Deep\n#no heading"
    )


def test_code_in_a_card_stays_as_it_is() -> None:
    text = "````sh\n# a comment\n```\n# still code\n````\n# Title"
    assert demoted(text, below=3) == "````sh\n# a comment\n```\n# still code\n````\n#### Title"
