"""`warrant policy` against a console that serves: the same rules as page and API, and files that go round."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.database.session import reading, writing
from backend.governance.policies import active_policy
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cli.conftest import warrant
from tests.worlds import make_world


def test_a_draft_is_checked_by_its_text_alone(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("rules: [{name: all, rule: {roles: {ml_lead: 2}}}]")
    said = warrant("policy", "check", str(file))
    assert (said.code, said.out.splitlines()[0]) == (0, f"{file} can be read: 1 rule, 0 freezes")
    assert "was not asked" in said.out
    file.write_text("rules:\n  - name: all\n    rule: {rolls: {ml_lead: 2}}\n")
    refused = warrant("policy", "check", str(file), "--json")
    assert refused.code == 2 and "in line 3" in refused.line and "roles" in refused.line
    assert "cannot be read" in warrant("policy", "check", str(tmp_path / "none.yaml")).line
    for command in ("show", "dry-run", "propose"):
        arguments = [] if command == "show" else [str(file)]
        assert "no API token" in warrant("policy", command, *arguments).line


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_policy_is_read_tried_and_asked_for(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path / "files")
    file = tmp_path / "policy.yaml"
    with writing() as session:
        token = create_token(session, world.lead, name="cli")[1]
        looking = create_token(session, world.viewer, name="cli")[1]
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        monkeypatch.setenv("WARRANT_TOKEN", token)
        shown = warrant("policy", "show")
        with reading() as session:
            assert shown.out == active_policy(session).document.as_yaml().rstrip("\n") + "\n"
        assert shown.err.startswith("revision 1, sha256:")
        assert warrant("policy", "show", "--revision", "1", "--json").document["revision"] == 1
        assert warrant("policy", "show", "--revision", "7").code == 2
        assert "installed with Warrant" in warrant("policy", "show", "--history").out
        file.write_text(shown.out)
        assert "it is the policy that is in force" in warrant("policy", "check", str(file)).out

        file.write_text("rules: [{name: all, rule: {roles: {ml_lead: 3}}}]")
        locked = warrant("policy", "check", str(file))
        assert (locked.code, "nobody could change the policy again" in locked.line) == (2, True)
        assert warrant("policy", "propose", str(file)).line == locked.line

        file.write_text("rules: [{name: all, rule: {roles: {compliance: 1}}}]")
        taken = warrant("policy", "check", str(file))
        assert (taken.code, "the console would take it" in taken.out) == (0, True)
        assert warrant("policy", "dry-run", str(file)).out.startswith("of 0 finished changes")
        seen = warrant("policy", "propose", str(file))
        assert "+rules: " in seen.out or "+  - " in seen.out, "the difference is shown"
        digest = warrant("policy", "propose", str(file), "--json").document["digest"]
        assert f"digest {digest}" in seen.out
        refused = warrant(
            "policy", "propose", str(file), "--digest", digest, "--reason", "r", "--token", looking
        )
        assert (refused.code, "governance:change:request" in refused.line) == (2, True)
        stale = warrant("policy", "propose", str(file), "--digest", "sha256:old", "--reason", "r")
        assert (stale.code, "changed since you looked" in stale.line) == (2, True)
        asked = warrant("policy", "propose", str(file), "--digest", digest, "--reason", "simpler", "--json")
        assert (asked.code, asked.document["state"], asked.document["kind"]) == (0, "waiting", "policy")
