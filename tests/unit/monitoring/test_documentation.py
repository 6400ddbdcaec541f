import re
from pathlib import Path

from backend.monitoring.peers import PEERS
from backend.monitoring.statistics import REGISTRY, TABLE_REGISTRY
from tests.documentation import rewritten

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


def test_the_page_of_statistics_lists_the_registries_as_they_are() -> None:
    text = PAGE.read_text()
    assert rewritten(text) == text, "run `python -m tests.documentation`"
    listed = set(re.findall(r"^\| `([\w:]+)` \|", text, re.MULTILINE))
    assert listed == {*REGISTRY, *TABLE_REGISTRY, *PEERS}


def test_every_statistic_says_its_formula_and_has_a_law_under_no_change() -> None:
    for statistic in REGISTRY.values():
        assert len(statistic.formula) > 40, statistic.name
        assert statistic.law is not None, statistic.name
        assert statistic.weight > 0, statistic.name
    for kind in ("numeric", "categorical"):
        assert sum(s.default for s in REGISTRY.values() if kind in s.applies_to) >= 7
    assert not set(REGISTRY) & set(TABLE_REGISTRY)
