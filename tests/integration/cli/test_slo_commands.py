"""`warrant slo check` and `export`: files of objectives, asking nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli import app
from backend.database.session import writing
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cli.conftest import Said
from tests.integration.cli.conftest import warrant as in_a_process
from tests.promtool import check_rules
from tests.worlds import make_world

GOOD = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: availability
  annotations: {warrant/minimum-events: "100"}
spec:
  service: flight-delay
  indicator:
    metadata: {name: failures}
    spec:
      ratioMetric:
        bad: {metricSource: {type: Warrant, spec: {events: failed_requests}}}
        total: {metricSource: {type: Warrant, spec: {events: requests}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - target: 0.999
"""
QUALITY = """\
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: auc}
spec:
  service: flight-delay
  indicator:
    metadata: {name: auc}
    spec:
      thresholdMetric: {metricSource: {type: Warrant, spec: {metric: auc}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - {op: gte, value: 0.7, target: 0.9}
"""


def warrant(*arguments: str) -> Said:
    """In this process: nothing here depends on settings, and starting Python takes longer than all of it."""
    done = CliRunner().invoke(app, arguments)
    return Said(done.exit_code, done.stdout, done.stderr)


def file_of(folder: Path, text: str, name: str = "slo.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_check_says_what_the_rows_mean_and_what_is_warned_of(tmp_path: Path) -> None:
    said = warrant("slo", "check", file_of(tmp_path, GOOD), "--retention", "30d")
    assert (said.code, said.err) == (0, "")
    assert "flight-delay/production availability: availability, 99.9 % over any 30 days" in said.out
    assert "14.4x what the budget allows, which spends 2 % of the 30 days' budget in 1 hour" in said.out
    assert said.out.endswith("1 objective in 1 document: 0 errors, 0 warnings, 0 notes\n")

    low = warrant("slo", "check", file_of(tmp_path, GOOD.replace("0.999", "0.9")), "--json")
    assert low.code == 1
    (objective,) = low.document["objectives"]
    assert [row["factor"] for row in objective["rows"]] == [14.4, 6, 3, 1]
    found = [one for one in low.document["findings"] if one["rule"] == "row-never-fires"]
    assert [(one["line"], one["column"], one["objective"]) for one in found] == [(4, 3, "availability")]


def test_check_names_file_line_and_reason_of_what_cannot_be_taken(tmp_path: Path) -> None:
    bad = file_of(tmp_path, GOOD.replace("target: 0.999", "target: 99.9"))
    said = warrant("slo", "check", bad)
    assert said.code == 2
    assert said.err.startswith(f"{bad}:17:7: error: availability: target lies from 0 to below 1, not 99.9")
    refused = warrant("slo", "export", bad)
    assert (refused.code, refused.line[:31]) == (2, "warrant: objectives refused: /t"[:31])
    assert ":17:7: target lies from 0" in refused.line


def test_exported_rules_pass_promtool_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    out = tmp_path / "rules.yml"
    said = warrant("slo", "export", file_of(tmp_path, GOOD), "--format", "prometheus", "--out", str(out))
    assert (said.code, said.out, said.err) == (0, "", f"1 objective written to {out}\n")
    check_rules(tmp_path, out.read_text())

    both = file_of(tmp_path, GOOD + QUALITY)
    partly = warrant("slo", "export", both)
    assert partly.code == 1
    assert partly.out == out.read_text()
    assert partly.err.startswith("warrant: left out: auc: quality is measured by Warrant from its own store")

    none = warrant("slo", "export", file_of(tmp_path, QUALITY))
    assert none.code == 1
    assert none.line.startswith("warrant: not exportable: auc: quality is measured")


def test_openslo_comes_out_as_it_went_in(tmp_path: Path) -> None:
    first = warrant("slo", "export", file_of(tmp_path, GOOD + QUALITY), "--format", "openslo")
    again = warrant("slo", "export", file_of(tmp_path, first.out), "--format", "openslo")
    assert (first.code, first.out) == (0, again.out)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_objectives_are_applied_once_revised_where_they_differ_and_listed(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path / "files")
    with writing() as session:
        tokens = {name: create_token(session, actor, name="cli")[1]
                  for name, actor in (("lead", world.lead), ("viewer", world.viewer))}  # fmt: skip
    both = file_of(tmp_path, (GOOD + QUALITY).replace("flight-delay", "toy"))
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        monkeypatch.setenv("WARRANT_TOKEN", tokens["lead"])
        assert in_a_process("slo", "list").out.startswith("there are no objectives")
        assert in_a_process("slo", "apply", both, "--dry-run").out == (
            "toy/production availability: would be defined\ntoy/production auc: would be defined\n"
        )
        first = in_a_process("slo", "apply", both, "--why", "agreed with the team", "--json")
        assert [(one["name"], one["did"], one["revision"]) for one in first.document["objectives"]] == [
            ("availability", "defined", 1), ("auc", "defined", 1),
        ]  # fmt: skip
        Path(both).write_text(Path(both).read_text().replace("target: 0.999", "target: 0.9995"))
        assert in_a_process("slo", "apply", both).out == (
            "toy/production availability: revised, revision 2\ntoy/production auc: unchanged, revision 1\n"
        )
        assert in_a_process("slo", "apply", both).out.count("unchanged") == 2
        listed = in_a_process("slo", "list", "--model", "toy", "--json").document["objectives"]
        assert {(one["name"], one["revision"]) for one in listed} == {("availability", 2), ("auc", 1)}
        monkeypatch.setenv("WARRANT_TOKEN", tokens["viewer"])
        Path(both).write_text(Path(both).read_text().replace("target: 0.9995", "target: 0.99"))
        assert in_a_process("slo", "apply", both).line.startswith("warrant: not allowed:")
