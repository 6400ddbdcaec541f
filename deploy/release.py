"""Tag a release, if all that its users rely on is there: standard library only.

python3 deploy/release.py 0.1.0            look, and tag it
python3 deploy/release.py 0.1.0 --check    only look
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADING = re.compile(r"^## (\d+\.\d+\.\d+)(?: \((.+)\))?$", re.MULTILINE)


def released(changelog: str) -> dict[str, str]:
    """Release to what the changelog says of when, of those that are out."""
    return {version: said for version, said in HEADING.findall(changelog) if said != "not released"}


def problems(root: Path, version: str) -> list[str]:
    """Why this release cannot be tagged."""
    found = []
    if version not in released((root / "CHANGELOG.md").read_text()):
        found.append(f'CHANGELOG.md has no "## {version} (DATE)"')
    if f'version = "{version}"' not in (root / "pyproject.toml").read_text():
        found.append(f'pyproject.toml does not say version = "{version}"')
    for each in sorted({*released((root / "CHANGELOG.md").read_text()), version}):
        found += _of_fixture(root, each)
    return found


def _of_fixture(root: Path, version: str) -> list[str]:
    """Whether an upgrade from this release can be tried, and begins with the migrations that it had."""
    folder = root / "tests" / "fixtures" / "schemas" / version
    missing = [
        name for name in ("manifest.json", "sqlite.db.gz", "postgresql.sql") if not (folder / name).is_file()
    ]
    if missing:
        return [
            f"{folder.relative_to(root)} lacks {', '.join(missing)}: "
            f".venv/bin/python -m tests.releases {version}, on the code of that release"
        ]
    migrations = root / "backend" / "database" / "migrations" / "versions"
    recorded = json.loads((folder / "manifest.json").read_text())["migrations"]
    return [
        f"migration {name} is not as release {version} had it: what was released is not edited, write another one"
        for name, digest in sorted(recorded.items())
        if not (migrations / name).is_file()
        or hashlib.sha256((migrations / name).read_bytes()).hexdigest() != digest
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description="Tag a release.")
    parser.add_argument("version", help="such as 0.1.0")
    parser.add_argument("--check", action="store_true", help="only look")
    chosen = parser.parse_args()
    found = problems(ROOT, chosen.version)
    for one in found:
        sys.stderr.write(f"{one}\n")
    if found:
        return 1
    if not chosen.check:
        tag = ["git", "tag", "--annotate", f"v{chosen.version}", "--message", f"Warrant {chosen.version}"]
        return subprocess.run(tag, cwd=ROOT, check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
