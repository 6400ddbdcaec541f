import re
from pathlib import Path

from backend.monitoring.statistics import REGISTRY

PAGE = Path(__file__).parents[3] / "docs" / "statistics.md"


def test_the_page_of_statistics_lists_the_registry_with_kinds_and_units() -> None:
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGE.read_text(), re.MULTILINE)
    listed = {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in rows}
    assert set(listed) == set(REGISTRY)
    for name, (_, kinds, family, unit, _floor) in listed.items():
        statistic = REGISTRY[name]
        assert kinds == ", ".join(statistic.applies_to), name
        assert (family, unit) == (statistic.family, statistic.unit), name
