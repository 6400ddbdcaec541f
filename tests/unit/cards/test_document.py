"""A model card's text: what is wrong with it and where, what is missing, and that filled facts are never its text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.cards.completeness import score_card
from backend.cards.document import (
    BLOCKS,
    GAP,
    gaps_of,
    parse_card,
    placeholders,
    read_card_source,
    source_of,
    without_comments,
)
from backend.cards.sections import WANTED, answers_of, missing_parts
from backend.errors import BadInput

CARDS = Path(__file__).parents[3] / "models_cards"
CARD = """---
language: en
license: mit
tags: [tabular]
model-index:
  - name: toy
    results:
      - task: {type: tabular-classification}
        dataset: {type: toys, name: Toys}
        metrics:
          - {type: roc_auc, value: 0.84}
warrant:
  owner: Lena
  risk_tier: high
---

# Toy

## Uses

### Direct Use

Sorting toys.
"""


def first_error(text: str) -> str:
    return str(parse_card(text).errors[0])


def test_a_sound_card_has_no_errors_and_its_sections_have_lines() -> None:
    card = parse_card(CARD)
    assert card.errors == ()
    assert [(one.level, one.title) for one in card.sections] == [(1, "Toy"), (2, "Uses"), (3, "Direct Use")]
    direct = card.section("direct use")
    assert direct is not None
    assert (direct.line, direct.text) == (21, "Sorting toys.")
    assert CARD.split("\n")[direct.line - 1] == "### Direct Use"


@pytest.mark.parametrize(
    ("before", "after", "line", "reason"),
    [
        ("license: mit", "license: [mit", 4, "the front matter is no YAML"),
        ("license: mit", "license: {a: 1}", 3, "license: a text is wanted"),
        ("tags: [tabular]", "tags: tabular", 4, "tags: a list is wanted, not str 'tabular'"),
        ("{type: tabular-classification}", "{name: x}", 8, "model-index.0.results.0.task.type: is needed"),
        ("{type: toys, name: Toys}", "{type: toys}", 9, "dataset.name: is needed and not there"),
        (", value: 0.84", "", 11, "metrics.0.value: is needed and not there"),
        ("owner: Lena", "ower: Lena", 13, "warrant.ower: is no field; those are owner, risk_tier"),
        ("risk_tier: high", "risk_tier: huge", 14, "a tier is one of low, medium, high, prohibited, not 'huge'"),
        ("license: mit", "license: mit\nlicense: gpl", 4, "license is written twice"),
        ("language: en", "language: &a en\nmore: *a", 2, "anchors and aliases of YAML are not taken"),
        ("Sorting toys.", "Sorting {{ metrik auc }}.", 23, "{{ metrik auc }} stands for nothing"),
        ("Sorting toys.", "{{ facts metrcs }}", 23, "there are no facts 'metrcs'; there are metrics, data"),
        ("Sorting toys.", "x {{ facts live }}", 23, "the facts 'live' stand on a line of their own"),
        ("Sorting toys.", "{{ facts live }}\n{{ facts live }}", 24, "'live' stand here a second time"),
        ("Sorting toys.", "<!-- warrant:facts live -->", 23, "a mark of filled facts has lost its other half"),
        ("Sorting toys.", "Sorting\x00 toys.", 23, "a control character"),
    ],
)  # fmt: skip
def test_an_error_names_line_and_reason(before: str, after: str, line: int, reason: str) -> None:
    found = first_error(CARD.replace(before, after))
    assert found.startswith(f"line {line}: "), found
    assert reason in found
    with pytest.raises(BadInput, match=f"line {line}: "):
        read_card_source(CARD.replace(before, after))


def test_front_matter_that_never_ends_is_an_error_and_none_at_all_is_missing() -> None:
    assert first_error(CARD.replace("high\n---", "high")) == (
        "line 1: the front matter begins here and has no closing line `---`"
    )
    bare = parse_card("# Toy\n\nVersion 1.\n")
    assert bare.errors == ()
    assert bare.problems[0].kind == "missing"


def test_a_card_that_is_too_long_is_refused_with_both_lengths() -> None:
    assert "at most 200,000 characters, and this one has 250,001" in first_error("x" * 250_000)


def test_headings_in_code_are_no_sections() -> None:
    card = parse_card("# A\n\n```\n# no heading\n```\n\n## B\n")
    assert [one.title for one in card.sections] == ["A", "B"]


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.md")), ids=lambda path: path.stem)
def test_the_cards_we_ship_are_valid_and_have_every_heading_and_block(path: Path) -> None:
    card = read_card_source(path.read_text())
    assert [one.reason for one in missing_parts(card) if one.line == 0] == []
    assert {name for _, name in placeholders(card.body) if name.startswith("facts ")} == {
        f"facts {name}" for name in BLOCKS
    }


def test_the_template_is_all_blanks_and_a_written_card_answers_nearly_everything() -> None:
    template = answers_of(read_card_source((CARDS / "TEMPLATE.md").read_text()))
    assert all(one.share < 1 for one in template if one.name in ("Prohibited Use", "Direct Use", "warrant"))
    written = answers_of(read_card_source((CARDS / "flight-delay.md").read_text()))
    assert [one.name for one in written if one.share < 1] == ["Model Card Contact"]


def test_a_missing_heading_an_empty_one_and_a_blank_are_told_apart() -> None:
    card = parse_card(
        CARD + f"\n### Prohibited Use\n\n### Human Oversight\n\nAsk Lena. {GAP}\n\n### Fairness\n\n{GAP}\n"
    )
    told = {one.name: (one.share, one.reason) for one in answers_of(card)}
    assert told["Prohibited Use"] == (
        0,
        "Prohibited Use: nothing is written there (what nobody may use it for)",
    )
    assert told["Human Oversight"] == (0.5, f"Human Oversight: {GAP} is left in it")
    assert told["Fairness"][0] == 0
    assert told["Monitoring Plan"][1].startswith("no heading Monitoring Plan")
    assert told["Direct Use"] == (1, "")
    assert len(gaps_of(card)) == 2


def test_an_optional_heading_of_the_stock_template_counts_as_its_section() -> None:
    card = parse_card("## Model Examination [optional]\n\nWe looked.\n\n## Citation [optional]\n")
    assert {one.name for one in answers_of(card) if one.share == 1} == {"Model Examination"}


def test_filled_facts_become_placeholders_again_whatever_somebody_wrote_into_them() -> None:
    filled = CARD.replace(
        "value: 0.84}", 'value: 0.99}  # warrant:source - {type: roc_auc, value: "{{ metric roc_auc }}"}'
    )
    filled = filled.replace(
        "Sorting toys.",
        "AUC <!-- warrant:fact metric roc_auc -->0.99<!-- /warrant:fact -->.\n\n"
        "<!-- warrant:facts live, as of 2026-03-01T00:00:00Z -->\n**AUC** 0.99, perfect\n<!-- /warrant:facts live -->",
    )  # fmt: skip
    source = source_of(filled)
    assert "0.99" not in source
    assert 'value: "{{ metric roc_auc }}"}\n' in source
    assert "AUC {{ metric roc_auc }}.\n\n{{ facts live }}\n" in source
    assert source_of(source) == source
    assert parse_card(filled).errors == ()


def test_line_ends_do_not_change_the_digest() -> None:
    assert parse_card(CARD).digest == parse_card(CARD.replace("\n", "\r\n") + "\r\n").digest


def test_comments_leave_the_lines_where_they_are() -> None:
    assert without_comments("a <!-- b\nc --> d\n<!-- e") == "a \n d\n"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "hostile",
    ["<!--" * 40_000, "{{" + " " * 150_000, "# " + "# " * 90_000, "<!-- warrant:fact a -->" * 8_000,
     "<!-- warrant:facts live -->\n" * 6_000, "---\n" + "a: [" * 40_000 + "\n---\n",
     "---\n" + " " * 150_000 + "\n---\n",
     "---\n" + "[" * 9_000 + "]" * 9_000 + "\n---\n", "{{ facts " * 20_000],
    ids=["comments", "spaces", "hashes", "facts", "blocks", "yaml", "yaml-spaces", "yaml-nested", "half-blocks"],
)  # fmt: skip
def test_a_hostile_text_is_taken_apart_in_a_moment(hostile: str) -> None:
    assert parse_card(hostile).problems  # read in the square of its length it takes minutes


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="-#{}<>!:ab \n\t\"'[]&*|`", max_size=300))
def test_no_text_breaks_the_parser_and_taking_facts_out_twice_changes_nothing(text: str) -> None:
    source = parse_card("---\n" + text).source
    assert source_of(source) == source


def test_every_wanted_heading_asks_for_something_and_is_named_once() -> None:
    titles = [one.title for one in WANTED]
    assert len(titles) == len(set(titles))
    assert all(one.asks for one in WANTED)


FILLERS = (
    "x", "TBD", "TBD.", "n/a", "N/A", "TODO", "TODO: ask Lena", "-", "...", "?", "to be written", "xxx", "none", "",
    "To be determined by the team", "Lorem", "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    "Coming soon!", "Not applicable.", "**TBD**", "_tbc_",
)  # fmt: skip


@pytest.mark.parametrize("filler", FILLERS)
def test_a_template_whose_blanks_hold_words_that_say_nothing_is_not_complete(filler: str) -> None:
    text = (CARDS / "TEMPLATE.md").read_text().replace(GAP, filler)
    answers = {one.name: one for one in answers_of(parse_card(text))}
    for title in (
        "Description",
        "Direct Use",
        "Prohibited Use",
        "Human Oversight",
        "Fairness",
        "Monitoring Plan",
    ):
        assert answers[title].share < 1, answers[title]
        assert answers[title].reason.startswith(title)
    assert score_card(parse_card(text), None).score < 0.5


@pytest.mark.parametrize(
    "text",
    ["Sorting toys.", "Not applicable: no person is judged by it.", "None of the groups was treated worse.",
     "To be written off, a plane must be older than that.", "Unknown airports get the mean.", "`pip install x`",
     "- **License:** MIT\n- **Model type:** n/a"],
)  # fmt: skip
def test_short_answers_and_reasoned_ones_count_in_full(text: str) -> None:
    card = parse_card(f"### Direct Use\n\n{text}\n")
    assert {one.name: one.share for one in answers_of(card)}["Direct Use"] == 1


def test_the_same_words_below_many_headings_answer_none_of_them() -> None:
    card = parse_card(
        "".join(f"### {one.title}\n\nAs agreed with the house.\n\n" for one in WANTED if one.weight)
    )
    answers = {one.name: one for one in answers_of(card)}
    assert answers["Fairness"].share == 0
    assert "the same words stand below" in answers["Fairness"].reason


def test_what_is_left_to_be_written_beside_an_answer_counts_half() -> None:
    card = parse_card(
        "### Direct Use\n\nSorting toys.\n\nTODO: say which\n\n### Fairness\n\n{{ facts fairness }}\n"
    )
    answers = {one.name: one for one in answers_of(card)}
    assert (answers["Direct Use"].share, answers["Fairness"].share) == (0.5, 0.5)
    assert answers["Direct Use"].reason == 'Direct Use: "TODO: say which" is left in it'
    assert "nobody's judgement" in answers["Fairness"].reason
