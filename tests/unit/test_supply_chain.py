"""What `make check` refuses of what we are made of: secrets, licences, known faults; and that it runs."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from deploy import supply_chain

ROOT = Path(__file__).resolve().parents[2]


def test_make_check_runs_every_command() -> None:
    check = (ROOT / "Makefile").read_text().split("\ncheck:")[1].split("\n\n")[0]
    assert "supply_chain.py secrets licences audit bill" in check
    assert "ruff check ." in check


def test_a_planted_secret_is_found_and_one_of_the_baseline_is_not_new(tmp_path: Path) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPL2"
    (tmp_path / "deploy.py").write_text(f'aws = "{key}"\n-----BEGIN RSA PRIVATE KEY-----\n')
    found = supply_chain.found_secrets(tmp_path, ["deploy.py"])
    named = supply_chain.new_secrets(found, {})
    assert sorted({one.partition(" ")[2] for one in named}) == ["AWS Access Key", "Private Key"]
    assert key not in json.dumps(found)
    known = {"deploy.py": [one["hashed_secret"] for one in found["deploy.py"]]}
    assert supply_chain.new_secrets(found, known) == []


def test_the_baseline_names_files_that_are_there() -> None:
    known = json.loads(supply_chain.BASELINE.read_text())
    assert [file for file in known if not (ROOT / file).is_file()] == []
    assert not [file for file in known if file.startswith(("app/", "backend/", "jobs/", "pages/"))]


@pytest.mark.parametrize(
    ("licence", "is_refused"),
    [
        ("MIT", False), ("Apache-2.0 OR GPL-3.0", False), ("BSD License; Apache Software License", False),
        ("GPL-3.0", True), ("AGPL-3.0-only", True), ("MIT AND GPL-2.0", True), ("UNKNOWN", True),
        ("Other/Proprietary License", True), ("MIT License\n\nPermission is hereby granted", False),
    ],
)  # fmt: skip
def test_unknown_licences_and_strong_copyleft_are_refused(licence: str, is_refused: bool) -> None:
    refused = supply_chain.refused_licences([{"Name": "some", "Version": "1", "License": licence}])
    assert bool(refused) is is_refused


def test_what_was_read_by_a_person_says_what_and_why() -> None:
    for name, one in supply_chain.rules()["licences"]["read"].items():
        assert (one["licence"] and len(one["why"]) > 10) or name == "warrant", name


def test_a_known_fault_is_lived_with_until_its_date_and_no_longer(capsys: pytest.CaptureFixture[str]) -> None:
    fault = {"id": "PYSEC-1", "fix_versions": ["2"], "aliases": ["CVE-1"]}
    packages = [{"name": "some", "version": "1", "vulns": [fault]}]
    finding = {"id": "CVE-1", "package": "some", "reason": "not reached", "until": date(2026, 12, 1)}
    assert supply_chain._judged(packages, [], date(2026, 11, 1)) == 1
    assert supply_chain._judged(packages, [finding], date(2026, 11, 1)) == 0
    assert supply_chain._judged(packages, [finding], date(2026, 12, 1)) == 1
    assert "some 1: PYSEC-1, fixed in 2" in capsys.readouterr().out


def test_an_index_that_knows_nothing_is_said_and_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert supply_chain._judged([{"name": "a", "skip_reason": "not found"}], [], date(2026, 11, 1)) == 0
    assert "audit: skipped, the index knows nothing of faults" in capsys.readouterr().out


def test_every_known_fault_has_a_reason_and_a_date() -> None:
    for one in supply_chain.rules().get("findings", []):
        assert one.keys() == {"id", "package", "reason", "until"}, one
        assert len(one["reason"]) > 20
        assert isinstance(one["until"], date)
