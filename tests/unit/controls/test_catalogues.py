"""The catalogues that are shipped hold what they say they hold, and a file that is wrong is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.controls.catalogues import BadCatalogue, catalogue_named, catalogues, read_catalogue, read_folder
from backend.controls.queries.registry import queries
from backend.errors import NotFound

NIST = {"govern": 6, "map": 5, "measure": 4, "manage": 4}
GOOD = """schema: 1
id: ours
title: Ours
source: The house
edition: first
caveat: none
controls:
  - id: one
    title: One
    citation: section 1
    asks: somebody owns it
    evidence:
      - query: owner_named
      - {query: windows_fresh, with: {max_age_days: 3}}
"""


def test_annex_iv_has_its_nine_points() -> None:
    cited = {one.citation.split(",")[1].split()[1] for one in catalogue_named("eu-ai-act-annex-iv").controls}
    assert cited == {str(number) for number in range(1, 10)}


def test_every_article_that_is_named_is_there() -> None:
    cited = {int(one.id.split("-")[1]) for one in catalogue_named("eu-ai-act-articles").controls}
    assert cited == {*range(9, 20), 26, 27, 72, 73, 86}


def test_every_category_of_the_four_functions_is_there() -> None:
    named = {
        one.id.split("-", 1)[0] + one.id.split("-", 1)[1][0]
        for one in catalogue_named("nist-ai-rmf").controls
    }
    assert named == {
        f"{function}{number}" for function, last in NIST.items() for number in range(1, last + 1)
    }


def test_the_topics_of_sr_26_2_are_there() -> None:
    cited = " ".join(one.citation for one in catalogue_named("sr-26-2").controls)
    for topic in ("materiality", "development and use", "validation and monitoring", "outcomes analysis",
                  "governance and controls", "inventory", "documentation", "vendor"):  # fmt: skip
        assert topic in cited


def test_the_three_rights_are_there() -> None:
    cited = {one.id.split("-")[1] for one in catalogue_named("gdpr").controls}
    assert cited == {"15", "17", "22"}


def test_every_query_is_asked_by_some_control_and_explains_itself() -> None:
    asked = {look.query for one in catalogues().values() for each in one.controls for look in each.evidence}
    assert asked == set(queries())
    assert all(one.explanation for one in queries().values())


def test_a_claim_of_being_covered_is_in_no_catalogue() -> None:
    for one in catalogues().values():
        assert one.caveat
        text = one.model_dump_json().lower()
        assert "fulfils" not in text
        assert "certif" not in text


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("query: owner_named", "query: owner_nmaed", "line 8.*'owner_nmaed'"),
        ("max_age_days: 3", "max_age: 3", "no parameter 'max_age'; there are: max_age_days"),
        ("max_age_days: 3", "max_age_days: soon", "takes float"),
        ("max_age_days: 3", "max_age_days: true", "takes float"),
        ("max_age_days: 3", "max_age_days: 0", "above zero"),
        ("    title: One\n", "", "line 8.*controls.0.title"),
        ("    asks: somebody", "    aks: so\n    asks: somebody", "line 11.*aks"),
        ("    asks:", "    title: Two\n    asks:", "line 11: the key 'title' is written twice"),
        ("id: one", "id: One Two", "controls.0.id"),
        ("schema: 1", "schema: 2", "schema"),
        ("controls:", "controls: []\nothers:", "written|others|controls"),
        ("title: Ours", "title: [Ours", "no YAML"),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused_with_its_place(before: str, after: str, said: str) -> None:
    text = GOOD.replace(before, after, 1)
    assert text != GOOD
    with pytest.raises(BadCatalogue, match=said) as refused:
        read_catalogue(text, name="ours.yaml")
    assert refused.value.message.startswith("ours.yaml")


def test_a_control_that_asks_nothing_says_what_is_to_be_judged() -> None:
    bare = GOOD[: GOOD.index("    evidence")]
    with pytest.raises(BadCatalogue, match="say in `beyond`"):
        read_catalogue(bare)
    assert read_catalogue(bare + "    beyond: attach it\n").controls[0].evidence == ()


def test_a_control_of_the_house_asks_nothing_of_a_model() -> None:
    with pytest.raises(BadCatalogue, match="is about the house, and owner_named is asked of a model"):
        read_catalogue(GOOD.replace("    asks:", "    scope: system\n    asks:", 1))


def test_the_same_control_or_query_twice_is_refused() -> None:
    again = GOOD[GOOD.index("  - id: one") :]
    with pytest.raises(BadCatalogue, match="two controls are named one"):
        read_catalogue(GOOD + again)
    with pytest.raises(BadCatalogue, match="asks the same query twice"):
        read_catalogue(GOOD + "      - query: owner_named\n")


def test_a_catalogue_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(GOOD)
    assert list(read_folder(tmp_path)) == ["ours"]
    (tmp_path / "theirs.yaml").write_text(GOOD)
    with pytest.raises(BadCatalogue, match=r"theirs\.yaml: there is a catalogue ours already"):
        read_folder(tmp_path)
    (tmp_path / "theirs.yaml").write_text("- not a mapping\n")
    with pytest.raises(BadCatalogue, match=r"theirs\.yaml is no catalogue"):
        read_folder(tmp_path)


def test_another_wording_is_another_control() -> None:
    first, second = read_catalogue(GOOD), read_catalogue(GOOD.replace("somebody owns", "a person owns"))
    assert first.controls[0].digest != second.controls[0].digest
    assert first.digest != second.digest
    assert first.digest == read_catalogue(GOOD).digest
    with pytest.raises(NotFound, match="no control 'two'"):
        first.control("two")
