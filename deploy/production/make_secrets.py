"""Make the secrets of the production shape: standard library only. What exists stays as it is.

    python3 deploy/production/make_secrets.py            beside this file, in secrets/

Two addresses are yours to write: `pager_url`, where alerts go, and `silence_watch_url`, which pages when no heartbeat
comes. The key of the backups belongs to the containers' user, who alone may read it: without root's rights, say as it
asks. Keep a copy of it where the backups are not.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"
PASSWORDS = (
    "database_password", "mlflow_database_password", "keycloak_database_password", "keycloak_admin_password",
    "oidc_client_secret", "objects_password",
)  # fmt: skip
YOURS = ("pager_url", "silence_watch_url")
CONTAINERS_USER = 10001


def keep(path: Path, text: str) -> str:
    """The secret of this file, which is made where it is not there. The folder alone keeps others out: containers have
    users of their own, and see nothing of the folder but the files that they are given."""
    if not path.exists():
        path.write_text(f"{text}\n")
        path.chmod(0o444)
    return path.read_text().strip()


def keep_key(path: Path) -> bool:
    """The key of the backups, in a file that its owner alone reads. Returns whether that is the containers' user."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(f"{secrets.token_hex(32)}\n")
        path.chmod(0o400)
        if os.geteuid() == 0:
            os.chown(path, CONTAINERS_USER, CONTAINERS_USER)
    return path.stat().st_uid == CONTAINERS_USER


def main(folder: Path) -> int:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = {name: keep(folder / name, secrets.token_hex(24)) for name in PASSWORDS}
    keep(
        folder / "database_url",
        f"postgresql+psycopg://warrant:{made['database_password']}@postgres:5432/warrant",
    )
    keep(
        folder / "mlflow_database_url",
        f"postgresql+psycopg://mlflow:{made['mlflow_database_password']}@postgres:5432/mlflow",
    )
    credentials = f"[default]\naws_access_key_id = mlflow\naws_secret_access_key = {made['objects_password']}"
    keep(folder / "objects_credentials", credentials)
    is_given = keep_key(folder / "backup_key")
    if not is_given:
        given = f"sudo chown {CONTAINERS_USER}:{CONTAINERS_USER} {folder / 'backup_key'}"
        sys.stderr.write(f"give the key of the backups to the containers' user: {given}\n")
    missing = [name for name in YOURS if not (folder / name).exists()]
    for name in missing:
        sys.stderr.write(f"write the address into {folder / name}\n")
    return 1 if missing or not is_given else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
