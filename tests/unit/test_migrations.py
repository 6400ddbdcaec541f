"""Migrations that a roll of consoles survives: expand first, contract a release later; and what a release needs."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from backend.database.upgrade import head_revision
from tests.releases import VERSIONS, migration_digests, write_manifest

ROOT = Path(__file__).resolve().parents[2]
TAKES_AWAY = {"drop_column", "drop_table", "rename_table", "drop_constraint", "drop_index"}
WORDS = ("DROP ", "RENAME ", "TRUNCATE ", "DELETE ")


def release_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "deploy" / "release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {one.arg: one.value for one in call.keywords if one.arg}


def _is_new_and_must_be_given(call: ast.Call) -> bool:
    """A column that rows of the release before would lack."""
    column = next((one for one in call.args if isinstance(one, ast.Call)), None)
    given = _keywords(column) if column is not None else {}
    nullable = given.get("nullable")
    must = isinstance(nullable, ast.Constant) and nullable.value is False
    return must and "server_default" not in given


def breaks(source: str) -> list[str]:
    """What in a migration a process of the release before could stumble over, by line."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, said = node.func.attr, ast.unparse(node)
        narrowed = {"new_column_name", "type_", "nullable"} & set(_keywords(node))
        wrong = (
            name in TAKES_AWAY
            or (name == "alter_column" and narrowed)
            or (name == "add_column" and _is_new_and_must_be_given(node))
            or (name == "execute" and any(word in said.upper() for word in WORDS))
        )
        if wrong:
            found.append(f"{node.lineno}: {said[:80]}")
    return found


def unused_since(source: str) -> str | None:
    """The release that a migration names as the first that no longer uses what it takes away."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "unused_since":
            return str(ast.literal_eval(node.value))
    return None


def judged(sources: dict[str, str], changelog: str) -> list[str]:
    """Migrations after the first that take something away, without a release between that had stopped using it."""
    out = release_module().released(changelog)
    wrong = []
    for name, source in sorted(sources.items())[1:]:
        found, since = breaks(source), unused_since(source)
        if found and since not in out:
            wrong.append(f"{name} takes away what the release before uses: {'; '.join(found)}")
    return wrong


def test_no_migration_breaks_the_release_before() -> None:
    sources = {path.name: path.read_text() for path in VERSIONS.glob("[0-9]*.py")}
    assert judged(sources, (ROOT / "CHANGELOG.md").read_text()) == []


@pytest.mark.parametrize(
    ("line", "is_fine"),
    [
        ('op.drop_column("persons", "mail")', False),
        ('op.drop_table("persons")', False),
        ('op.rename_table("persons", "people")', False),
        ('op.alter_column("persons", "mail", new_column_name="email")', False),
        ('op.alter_column("persons", "mail", nullable=False)', False),
        ('op.add_column("persons", sa.Column("age", sa.Integer(), nullable=False))', False),
        ('op.execute("ALTER TABLE persons DROP COLUMN mail")', False),
        ('op.add_column("persons", sa.Column("age", sa.Integer(), nullable=True))', True),
        (
            'op.add_column("persons", sa.Column("age", sa.Integer(), nullable=False, server_default="0"))',
            True,
        ),
        ('op.create_table("teams", sa.Column("id", sa.Text(), nullable=False))', True),
        ('op.create_index("ix", "persons", ["mail"])', True),
        ('op.execute("UPDATE persons SET mail = lower(mail)")', True),
    ],
)
def test_what_counts_as_taking_away(line: str, is_fine: bool) -> None:
    first, second = "revision = '0001'", f"def upgrade():\n    {line}\n"
    found = judged({"0001_a.py": first, "0002_b.py": second}, "## 0.1.0 (2026-12-01)")
    assert (found == []) is is_fine
    named = f"unused_since = '0.1.0'\n{second}"
    assert judged({"0001_a.py": first, "0002_b.py": named}, "## 0.1.0 (2026-12-01)") == []
    assert (judged({"0001_a.py": first, "0002_b.py": named}, "## 0.1.0 (not released)") == []) is is_fine


def tree(folder: Path, changelog: str) -> Path:
    """A checkout in which a release could be made."""
    (folder / "CHANGELOG.md").write_text(changelog)
    (folder / "pyproject.toml").write_text('version = "0.1.0"\n')
    migrations = folder / "backend/database/migrations/versions"
    migrations.mkdir(parents=True)
    for path in VERSIONS.glob("[0-9]*.py"):
        (migrations / path.name).write_bytes(path.read_bytes())
    (folder / "deploy").mkdir()
    (folder / "deploy/release.py").write_bytes((ROOT / "deploy/release.py").read_bytes())
    return folder


def tag(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "deploy/release.py"), "0.1.0"]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_a_release_is_tagged_only_with_the_fixture_of_its_schema(tmp_path: Path) -> None:
    here = tree(tmp_path, "## 0.1.0 (2026-12-01)\n")
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"],
    ):
        subprocess.run(["git", *words], cwd=here, check=True)
    subprocess.run(["git", "config", "user.email", "a@b"], cwd=here, check=True)
    subprocess.run(["git", "config", "user.name", "a"], cwd=here, check=True)
    refused = tag(here)
    assert refused.returncode == 1
    assert "python -m tests.releases 0.1.0" in refused.stderr
    folder = here / "tests/fixtures/schemas/0.1.0"
    write_manifest(folder, "0.1.0", {})
    for name in ("sqlite.db.gz", "postgresql.sql"):
        (folder / name).write_text("")
    assert tag(here).returncode == 0
    listed = subprocess.run(["git", "tag"], cwd=here, capture_output=True, text=True, check=True).stdout
    assert listed == "v0.1.0\n"


def test_a_release_that_the_changelog_does_not_have_is_not_tagged(tmp_path: Path) -> None:
    here = tree(tmp_path, "## 0.1.0 (not released)\n")
    assert 'CHANGELOG.md has no "## 0.1.0 (DATE)"' in tag(here).stderr


def test_an_edited_migration_of_a_release_is_found(tmp_path: Path) -> None:
    here = tree(tmp_path, "## 0.1.0 (2026-12-01)\n")
    folder = here / "tests/fixtures/schemas/0.1.0"
    write_manifest(folder, "0.1.0", {})
    for name in ("sqlite.db.gz", "postgresql.sql"):
        (folder / name).write_text("")
    assert release_module().problems(here, "0.1.0") == []
    edited = next((here / "backend/database/migrations/versions").glob("0001*.py"))
    edited.write_text(edited.read_text() + "\n")
    assert "is not as release 0.1.0 had it" in release_module().problems(here, "0.1.0")[0]


def test_every_release_in_the_changelog_has_its_fixture() -> None:
    out = release_module().released((ROOT / "CHANGELOG.md").read_text())
    for version in out:
        assert release_module()._of_fixture(ROOT, version) == []


def test_a_fixture_names_the_migrations_it_was_made_by(tmp_path: Path) -> None:
    made = write_manifest(tmp_path, "0.1.0", {"persons": 6})
    assert json.loads((tmp_path / "manifest.json").read_text())["migrations"] == migration_digests()
    assert made.revision == head_revision()
