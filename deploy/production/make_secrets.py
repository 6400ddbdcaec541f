"""Make the secrets of the production shape: standard library only. What exists stays as it is.

    python3 deploy/production/make_secrets.py            beside this file, in secrets/

Two addresses are yours to write: `pager_url`, where alerts go, and `silence_watch_url`, which pages when no heartbeat
comes.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"
PASSWORDS = (
    "database_password", "mlflow_database_password", "keycloak_database_password", "keycloak_admin_password",
    "oidc_client_secret", "objects_password",
)  # fmt: skip
YOURS = ("pager_url", "silence_watch_url")


def keep(path: Path, text: str) -> str:
    """The secret of this file, which is made where it is not there. The folder alone keeps others out: containers have
    users of their own, and see nothing of the folder but the files that they are given."""
    if not path.exists():
        path.write_text(f"{text}\n")
        path.chmod(0o444)
    return path.read_text().strip()


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
    missing = [name for name in YOURS if not (folder / name).exists()]
    for name in missing:
        sys.stderr.write(f"write the address into {folder / name}\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
