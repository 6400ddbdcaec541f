"""`warrant controls` against a console process that serves: list, show, and sign."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.database.session import writing
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cli.conftest import Said, warrant
from tests.worlds import World, make_world

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database", ["sqlite"], indirect=True)]


@pytest.fixture
def world(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = make_world(tmp_path / "files")
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        yield made


def test_a_catalogue_is_shown_and_a_control_judged_by_commands(world: World, tmp_path: Path) -> None:
    with writing() as session:
        token = create_token(session, world.compliance, name="cli")[1]

    def controls(*arguments: str) -> Said:
        return warrant("controls", *arguments, WARRANT_TOKEN=token, WARRANT_PASSWORD="")

    listed = controls("list", "--json")
    assert "eu-ai-act-annex-iv" in {one["id"] for one in listed.document}
    shown = controls("show", "eu-ai-act-annex-iv", "--model", "toy")
    assert shown.code == 1
    assert "nobody has validated toy version 2" in shown.out
    document = controls("show", "eu-ai-act-annex-iv", "--model", "toy", "--json").document
    seen = next(one["digest"] for one in document["controls"] if one["control"] == "annex-iv.7")
    only = controls("show", "eu-ai-act-annex-iv", "--model", "toy", "--gaps", "--json").document
    assert all(one["gap"] for one in only["controls"])

    paper = tmp_path / "standards list.md"
    paper.write_text("# Standards\n")
    asked = ("judge", "eu-ai-act-annex-iv", "annex-iv.7", "--model", "toy", "--outcome", "met", "--text", "the list",
             "--attach", str(paper))  # fmt: skip
    signed = controls(
        *asked, "--valid-until", "2099-06-30", "--username", "compliance", "--seen", seen, "--json"
    )
    assert signed.code == 2  # more than ten years ahead
    given = ("--valid-until", "2028-06-30", "--username", "compliance", "--seen", seen)
    signed = controls(*asked, *given, "--json")
    assert signed.code == 0, signed.err
    assert (signed.document["number"], signed.document["attachment_name"]) == (1, "standards list.md")
    assert "[judged met]" in controls("show", "eu-ai-act-annex-iv", "--model", "toy").out

    for wrong, said in (
        (("--valid-until", "soon", "--username", "compliance", "--seen", seen), "is no day"),
        (("--valid-until", "2028-06-30", "--username", "lead", "--seen", seen), "own user name"),
        (
            ("--valid-until", "2028-06-30", "--username", "compliance", "--seen", f"sha256:{'0' * 64}"),
            "read it again",
        ),
    ):
        refused = controls(*asked, *wrong)
        assert refused.code == 2
        assert said in refused.err
    assert controls("show", "none", "--model", "toy").code == 2
