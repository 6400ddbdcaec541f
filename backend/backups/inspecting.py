"""Whether what was restored is sound: asked in a process of its own, whose home and database are the restored ones.

`python -m backend.backups.inspecting MANIFEST [PAYLOAD]` prints one JSON document. With a payload, and where all is
sound, the restored log gets the entry that says where it comes from, and browsers have to sign in again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from backend.backups.archive import Manifest, manifest_from
from backend.backups.errors import BackupDamaged
from backend.errors import WarrantError

if TYPE_CHECKING:
    from backend.backups.restoring import Places

# What would lead the inspection elsewhere, or is none of its business.
_NOT_PASSED: Final = (
    "WARRANT_DATABASE_URL", "WARRANT_BACKUP_KEY", "WARRANT_BACKUP_KEY_FILE", "WARRANT_BACKUP_FOLDER",
    "MLFLOW_TRACKING_URI",
)  # fmt: skip


@dataclass
class Inspection:
    """What was found: entries that verify, rows of the store, artefacts with their recorded digest, and problems."""

    entries: int = 0
    rows: int = 0
    artefacts: int = 0
    problems: list[str] = field(default_factory=list)

    def require_sound(self) -> None:
        if self.problems:
            raise BackupDamaged(f"what was restored is not sound: {'; '.join(self.problems)}")


def inspect_elsewhere(place: Places, manifest: Path, *, record: dict[str, Any] | None) -> Inspection:
    """Inspect a restored place. Raises `BackupDamaged` where the inspection itself ends without an answer."""
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    environment |= {
        "WARRANT_HOME": str(place.home),
        "WARRANT_OBSERVATIONS_URL": str(place.observations),
        "WARRANT_AUDIT_KEYS": str(place.keys),
    }
    if place.database_url is not None:
        environment["WARRANT_DATABASE_URL"] = place.database_url
    command = [sys.executable, "-m", "backend.backups.inspecting", str(manifest)]
    if record is not None:
        command.append(json.dumps(record))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    try:
        return Inspection(**json.loads(done.stdout.splitlines()[-1]))
    except (ValueError, TypeError, IndexError) as error:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise BackupDamaged(f"what was restored could not be inspected: {said}") from error


def inspect(manifest: Manifest) -> Inspection:
    """Everything in the places of this process's settings, compared with the manifest."""
    from backend.settings import settings

    found = Inspection()
    for ask in (_log, _tables, _artefacts, _registry):
        try:
            ask(found, manifest, settings().resolved_home())
        except WarrantError as error:
            found.problems.append(error.message)
        except Exception as error:  # noqa: BLE001 - whatever is raised is what is wrong with it
            found.problems.append(f"{type(error).__name__}: {error}")
    return found


def _log(found: Inspection, manifest: Manifest, _home: Path) -> None:
    from backend.audit.verification import verify

    told = verify()
    found.entries = told.size
    if told.problem is not None:
        found.problems.append(f"the audit log does not verify: {told.problem.message}")
    elif told.size != manifest.log_size or (told.size and told.root != manifest.log_root):
        found.problems.append(
            f"the audit log has {told.size} entries, and {manifest.log_size} with another root were saved"
        )


def _tables(found: Inspection, manifest: Manifest, _home: Path) -> None:
    from deltalake import DeltaTable

    from backend.settings import settings

    for name, saved in manifest.tables.items():
        table = DeltaTable(str(settings().observations / name))
        rows = int(table.count())
        found.rows += rows
        if (table.version(), rows) != (saved["version"], saved["rows"]):
            found.problems.append(
                f"the table {name} has {rows} rows in version {table.version()}, and {saved['rows']} in version "
                f"{saved['version']} were saved"
            )


def _artefacts(found: Inspection, manifest: Manifest, home: Path) -> None:
    from backend.registry.artefacts import check_artefact

    for one in manifest.artefacts:
        if one["path"] is not None:
            check_artefact(home / one["path"], one["digest"])
            found.artefacts += 1


def _registry(found: Inspection, manifest: Manifest, home: Path) -> None:
    path = home / "mlflow.db"
    if "home/mlflow.db" not in manifest.files:
        return
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as stored:
        answer = stored.execute("PRAGMA integrity_check").fetchone()[0]
    if answer != "ok":
        found.problems.append(f"MLflow's database is damaged: {answer}")


def _record(told: dict[str, Any]) -> None:
    from backend.audit.actions import Action
    from backend.audit.log import record
    from backend.database.session import writing
    from backend.identity.command_line import at_command_line
    from backend.identity.sessions import revoke_everybodys

    actor = at_command_line()
    with writing() as session:
        record(
            session, actor, Action.BACKUP_RESTORED, object_kind="backup", object_id=told["backup"],
            payload=told["payload"],
        )  # fmt: skip
        revoke_everybodys(session, actor, why="restored from a backup")  # some had been ended since


def main(manifest: Path, told: str = "") -> None:
    found = inspect(manifest_from(manifest.read_bytes()))
    if told and not found.problems:
        _record(json.loads(told))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
