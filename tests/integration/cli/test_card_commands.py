"""Model cards by the command line: a file checked offline, and a card that goes out to git and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.database.session import writing
from backend.identity.tokens import create_token
from tests.console import running_console
from tests.integration.cards.conftest import CARD
from tests.integration.cli.conftest import warrant
from tests.worlds import make_world

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_a_file_is_checked_without_asking_anybody(tmp_path: Path, database: str) -> None:
    file = tmp_path / "card.md"
    file.write_text(CARD.replace("license: mit", "license: 3"))
    bad = warrant("card", "check", str(file), WARRANT_PUBLIC_URL="http://127.0.0.1:1", WARRANT_TOKEN="")
    assert bad.code == 1
    assert f"{file}: line 2: license: a text is wanted, not int '3'" in bad.out
    file.write_text(CARD)
    good = warrant("card", "check", str(file), "--json")
    assert (good.code, good.document["valid"], good.document["errors"]) == (0, True, [])
    assert {
        "line": 0,
        "reason": "the heading ### Prohibited Use is not there (what nobody may use it for)",
    } in (good.document["missing"])
    assert warrant("card", "check", str(file), "--minimum", "0.9").code == 1
    gone = warrant("card", "check", str(tmp_path / "gone.md"))
    assert (gone.code, "cannot be read" in gone.line) == (2, True)


@pytest.mark.slow
def test_a_card_goes_out_and_comes_back(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path / "files")
    with writing() as session:
        token = create_token(session, world.engineer, name="cli")[1]
    file = tmp_path / "toy.md"
    file.write_text(CARD)
    with running_console(tmp_path) as running:
        monkeypatch.setenv("WARRANT_PUBLIC_URL", running.url)
        monkeypatch.setenv("WARRANT_TOKEN", token)
        assert "toy version 2: card file, file" in warrant("card", "show", "toy", "2").out
        assert "card version 1 was made from" in warrant("card", "import", "toy", "2", str(file)).out
        assert "has this text already" in warrant("card", "import", "toy", "2", str(file)).out
        shown = warrant("card", "show", "toy", "2", "--number", "1", "--json").document
        assert (shown["number"], shown["state"]) == (1, "draft")
        source = warrant("card", "export", "toy", "2", "--form", "source", "--number", "1")
        assert source.out == CARD
        filled = tmp_path / "filled.md"
        out = warrant("card", "export", "toy", "2", "--number", "1", "--out", str(filled))
        assert out.code == 0
        assert "has this text already" in warrant("card", "import", "toy", "2", str(filled)).out
        pdf = tmp_path / "card.pdf"
        warrant("card", "export", "toy", "2", "--form", "pdf", "--number", "1", "--out", str(pdf))
        assert pdf.read_bytes().startswith(b"%PDF")
        refused = warrant("card", "export", "toy", "2", "--form", "pdf")
        assert (refused.code, "add --out FILE" in refused.line) == (2, True)
        lost = warrant("card", "import", "toy", "2", "--from", "mlflow")
        assert (lost.code, "warrant import mlflow" in lost.line) == (2, True)
