"""MLflow's embedded database, there as a whole or not at all. Jobs and commands only.

MLflow makes its tables in dozens of transactions that take seconds. A process that dies among them would leave a file
that MLflow can neither finish nor open, and two that begin at once meet each other's tables. So the tables are made in
a draft beside the file, by one process at a time.
"""

from __future__ import annotations

from pathlib import Path

from backend.durable import locked, sync_file, sync_folder


def database_file(uri: str) -> Path | None:
    """The file of a store in SQLite; None of a server, another database, one in memory, or SQLite's own URI."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy import make_url

    path = make_url(uri).database
    return Path(path) if path and path != ":memory:" and not path.startswith("file:") else None


def prepare_database(uri: str) -> None:
    """Make the database of a local store that is not there yet. Whatever is there is left as it is."""
    path = database_file(uri)
    if path is None or path.exists():
        return
    with locked(path.with_name(f"{path.name}.lock")):
        if path.exists():  # another process made it meanwhile
            return
        draft = path.with_name(f"{path.name}.draft")
        for left in path.parent.glob(f"{draft.name}*"):  # SQLite keeps its journal beside the file
            left.unlink()
        _make_tables(f"sqlite:///{draft}")
        sync_file(draft)
        draft.rename(path)
        sync_folder(path.parent)


def _make_tables(uri: str) -> None:
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri)
    store.engine.dispose()
