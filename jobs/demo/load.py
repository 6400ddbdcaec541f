"""`warrant demo load`: load the demo workload unless it is loaded. `python -m jobs.demo.load`

What loads it is imported only where there is something to load: every start of the demo comes through here.
"""

from __future__ import annotations

import logging
import os
import sys

from backend.demo_state import loaded_marker
from backend.settings import settings


def main() -> int:
    """Exit 0 when the demo is loaded, 2 with one line that says why not."""
    from backend.errors import WarrantError

    os.environ["WARRANT_DEMO"] = "true"
    settings.cache_clear()
    for library in ("alembic", "mlflow", "nannyml"):  # their lines would break ours
        logging.getLogger(library).setLevel(logging.WARNING)
    if loaded_marker().exists():
        return 0
    from jobs.demo.stages import load

    try:
        load()
    except WarrantError as error:
        sys.stderr.write(f"\nwarrant: {error.title.lower()}: {error.message}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
