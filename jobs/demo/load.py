"""`warrant demo load`: load the demo workload unless it is loaded. `python -m jobs.demo.load`

What loads it is imported only where there is something to load: every start of the demo comes through here.
"""

from __future__ import annotations

import logging
import os
import sys

from backend.demo_state import load_lock, loaded_marker
from backend.durable import locked
from backend.settings import settings


def main() -> int:
    """Exit 0 when the demo is loaded, 2 with one line that says why not."""
    from backend.errors import WarrantError

    os.environ["WARRANT_DEMO"] = "true"
    settings.cache_clear()
    for library in ("alembic", "nannyml"):  # their lines would break ours
        logging.getLogger(library).setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # its import sets its logger's level anew
    if loaded_marker().exists():
        return 0
    try:
        with locked(load_lock(), on_wait=_say_waiting):
            if not loaded_marker().exists():
                from jobs.demo.stages import load

                load()
    except WarrantError as error:
        sys.stderr.write(f"\nwarrant: {error.title.lower()}: {error.message}\n")
        return 2
    return 0


def _say_waiting() -> None:
    sys.stdout.write("  demo      another process is loading it; waiting for that one\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
