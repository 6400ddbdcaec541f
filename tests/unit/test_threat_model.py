"""The threat model names every process, all of STRIDE for each, and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LETTERS = [
    "spoofing", "tampering", "repudiation", "information disclosure", "denial of service", "elevation of privilege",
]  # fmt: skip
PROCESSES = (
    "Console", "Gateway", "Worker", "Notifier and outbox", "Trainer subprocess", "Model process", "Database",
    "Home folder and stores", "Command line", "MLflow", "Prometheus",
)  # fmt: skip


def rows(process: str) -> list[list[str]]:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    section = text.split(f"\n## {process}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@cache
def functions_of(path: Path) -> frozenset[str]:
    return frozenset(
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)
    )


def test_no_process_is_left_out() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "threat-model.md").read_text(), re.MULTILINE)
    assert tuple(headings) == PROCESSES


@pytest.mark.parametrize("process", PROCESSES)
def test_every_letter_has_a_threat_a_control_and_a_test_or_is_accepted(process: str) -> None:
    found = rows(process)
    letters = [row[0] for row in found]
    assert list(dict.fromkeys(letters)) == LETTERS and letters == sorted(letters, key=LETTERS.index)
    for letter, threat, control, tests in found:
        assert len(threat) > 10 and len(control) > 10, (process, letter)
        if tests == "accepted":
            assert "Accepted: " in control, (process, letter)
            continue
        for named in re.findall(r"`([^`]+)`", tests):
            path, _, name = named.partition("::")
            assert (ROOT / path).is_file(), named
            assert name.startswith("test_") and name in functions_of(ROOT / path), named
