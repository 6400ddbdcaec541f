"""MLflow's embedded database: a process that is killed while it is made leaves nothing that stays broken."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from backend.registry.mlflow_database import database_file, prepare_database

# Imports once, and forks: a child that is killed after so many statements, then one that works.
KILLED_AND_REPEATED = textwrap.dedent("""
    import json, os, signal, sys, traceback
    from pathlib import Path
    from sqlalchemy import Engine, event
    import mlflow, mlflow.store.tracking.sqlalchemy_store, mlflow.store.model_registry.sqlalchemy_store
    from backend.registry.mlflow_adapter import mlflow_client

    def attempt(home, kill_at):
        child = os.fork()
        if child:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.environ["WARRANT_HOME"] = str(home)
        statements = 0
        def count(*_):
            nonlocal statements
            statements += 1
            if statements == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        event.listen(Engine, "after_cursor_execute", count)
        try:
            client = mlflow_client()
            client.create_registered_model("credit")
            assert [one.name for one in client.search_registered_models()] == ["credit"]
            assert client.get_experiment("0") is not None
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)

    folder, moments = Path(sys.argv[1]), json.loads(sys.argv[2])
    print(json.dumps([
        [attempt(folder / str(moment), moment), attempt(folder / str(moment), None)] for moment in moments
    ]))
""")


@pytest.mark.slow
def test_a_process_killed_while_it_makes_the_database_leaves_one_that_can_be_made(tmp_path: Path) -> None:
    moments = [241, 661]  # of some 1,700 statements of MLflow's migrations
    child = subprocess.run(
        [sys.executable, "-c", KILLED_AND_REPEATED, str(tmp_path), json.dumps(moments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == [[-9, 0]] * len(moments), child.stderr


def test_a_database_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_bytes(b"somebody's")
    prepare_database(f"sqlite:///{path}")
    assert path.read_bytes() == b"somebody's"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "uri", ["http://mlflow:5000", "postgresql://db/mlflow", "sqlite://", "sqlite:///:memory:"]
)
def test_only_a_local_file_is_made(uri: str) -> None:
    assert database_file(uri) is None
    prepare_database(uri)
