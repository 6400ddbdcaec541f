"""The list of what is compared with the log names columns that there are."""

from __future__ import annotations

from backend.audit.compared import COMPARED
from backend.database.tables import Base


def test_every_column_of_the_list_exists_once() -> None:
    tables = Base.metadata.tables
    named = [(one.table, name) for one in COMPARED for name in one.columns]
    assert [pair for pair in named if pair[0] not in tables or pair[1] not in tables[pair[0]].columns] == []
    assert len(named) == len(set(named))


def test_the_list_says_by_which_module_each_is_compared() -> None:
    from pathlib import Path

    import backend

    root = Path(backend.__file__).parent
    modules = {path.name for path in root.rglob("*.py")}
    for one in COMPARED:
        for check in one.check.replace("`", "").split(", "):
            assert check.rsplit("/", 1)[-1] in modules, check
