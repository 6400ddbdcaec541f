"""How long the restore drill of the demo takes, and what the restored demo lacks.

`measure()` works on a copy of a demo that has been loaded (`WARRANT_HOME`, else `.warrant`): a backup, as
`warrant backup` makes it, then the drill, from the encrypted file to an installation whose log, tables and artefacts
were verified.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final
from unittest.mock import patch

from benchmarks.figures import Figure, figure, not_measured
from benchmarks.installation import NoLoadedHome, copy_home, loaded_home

TARGET_S: Final = 300
NAME: Final = "restore drill of the demo (RTO)"
LACKS: Final = "entries and rows that the restored demo lacks"


def measure() -> list[Figure]:
    """Seconds of the drill, what it lacks, and seconds and size of the backup."""
    try:
        source = loaded_home()
    except NoLoadedHome as missing:
        return not_measured(NAME, "s", str(missing), target=TARGET_S)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        copy_home(source, here / "home")
        set_to = {"HOME": here / "home", "BACKUP_FOLDER": here / "kept", "BACKUP_KEY_FILE": here / "key"}
        with patch.dict(os.environ, {f"WARRANT_{name}": str(value) for name, value in set_to.items()}):
            return _measured(here / "key")


def _measured(key: Path) -> list[Figure]:
    from backend.backups.contents import table_versions
    from backend.backups.drill import run_drill
    from backend.backups.keys import new_key
    from backend.backups.making import make_backup
    from backend.database.engine import use_database
    from backend.identity.actor import system_actor
    from backend.settings import settings

    settings.cache_clear()
    use_database(None)
    try:
        new_key(key)
        made = make_backup(system_actor("benchmark"))
        found = run_drill()
        if not found.ok or found.entries_since is None:
            return not_measured(NAME, "s", f"the drill failed: {found.problem}", target=TARGET_S)
        saved = sum(one["rows"] for one in made.manifest.tables.values())
        rows = sum(one.rows for one in table_versions(settings().observations))
        lacks = (
            rows - saved + found.entries_since - 1
        )  # the entry of the backup itself comes after its moment
    finally:
        use_database(None)
        settings.cache_clear()
    return [
        figure(NAME, found.rto_s, "s", rows=saved, target=TARGET_S),
        figure(LACKS, lacks, "rows", rows=saved, target=0),
        figure("backup of the demo, read again", made.took_s, "s", rows=saved),
        figure("backup of the demo, its size", made.bytes / 1e6, "MB", rows=saved),
    ]
