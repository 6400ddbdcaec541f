"""What a command writes with `--json`: the document, whatever is in it, and lines that a person can follow."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from backend import clock
from backend.commands.output import utc, write_json

DOCUMENTS: list[Any] = [
    {},
    [],
    3,
    None,
    {"a": 1, "b": [1.5, None, True], "c": {"d": 'x\n"y" ü', "e": []}},
    {"rows": [{"x": 1}, {"x": {"y": [1, [2, [3]]]}}, []], "empty": {}, "none": None},
    [[1, 2], {"k": {"l": {}}}],
    {1: "a", None: {"b": [True]}, 2.5: 0},
    {"when": datetime(2026, 1, 1, tzinfo=UTC), "tuple": (1, (2, 3))},
]


def test_times_are_written_as_records_have_them() -> None:
    assert utc("2026-03-02T09:05:07.123456+01:00") == "2026-03-02 08:05:07 UTC"
    assert utc(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01 00:00:00 UTC"
    assert (utc(None), utc("until it is mended")) == ("not known", "until it is mended")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_is_written_is_the_document(document: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(document)
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(document, default=clock.to_iso))


def test_plain_values_share_a_line_and_everything_around_them_is_indented(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_json({"model": "m", "points": [{"x": 1, "y": 2}, {"x": 3, "y": []}]})
    assert capsys.readouterr().out.splitlines() == [
        "{",
        '  "model": "m",',
        '  "points": [',
        '    {"x": 1, "y": 2},',
        "    {",
        '      "x": 3,',
        '      "y": []',
        "    }",
        "  ]",
        "}",
    ]
