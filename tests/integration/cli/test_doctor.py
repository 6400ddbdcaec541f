"""`warrant doctor`: each thing that is broken is found, named and answered with what to do; nothing is changed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import text

from backend import clock, confined
from backend.audit.anchoring import anchor_newest
from backend.audit.checkpoints import sign_head
from backend.audit.signers import key_path
from backend.audit.verification import verify
from backend.database.session import writing
from backend.doctor import CHECKS, Found, examine, services, stores
from backend.identity.actor import system_actor
from backend.leases import NOTIFIER, SCHEDULER, WRITER, take_lease
from backend.queue import JobRun, WorkerBeat
from backend.settings import settings
from tests.integration.audit.conftest import append
from tests.integration.audit.test_anchors import repository
from tests.integration.cli.conftest import warrant


def found() -> dict[str, Found]:
    settings.cache_clear()
    return {one.name: one.found for one in examine()}


def work(*, queued_for: timedelta = timedelta(0)) -> None:
    """A worker that beats and holds every lease, and a job that waits."""
    now = clock.now()
    with writing() as session:
        session.add(
            WorkerBeat(worker_id="w1", queues="metrics,changes", host="h", pid=1, started_at=now, seen_at=now)
        )
        session.add(
            JobRun(
                id="run_1", name="compute_metrics", queue="metrics", subject="toy", arguments={}, state="queued",
                requested_at=now - queued_for,
            )
        )  # fmt: skip
        for name in (WRITER, SCHEDULER, NOTIFIER):
            take_lease(session, name, holder="w1", lasts=timedelta(minutes=1))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_a_sound_database_is_said_to_be_so(database: str) -> None:
    work()
    told = found()
    name = "SQLite" if database == "sqlite" else "PostgreSQL"
    assert told["database"].state == "ok" and told["database"].said.startswith(name)
    assert told["backups"].state == ("off" if database == "sqlite" else "trouble")
    assert told["backups"].said.startswith("no folder is set in WARRANT_BACKUP_FOLDER")
    assert told["clock"].state == "ok"
    assert told["workers"] == Found("ok", "1 for changes, metrics; 1 jobs wait")
    assert told["connection to the database"].state == ("off" if database == "sqlite" else "ok")
    assert told["audit log"].state == "unknown"
    assert verify().ok
    sign_head()
    told = found()
    assert told["signing key"].state == "ok"


def test_where_nothing_is_nothing_is_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = home / "of-nobody"
    monkeypatch.setenv("WARRANT_HOME", str(wanted))
    monkeypatch.setenv("WARRANT_GATEWAY_PORT", "9")
    told = warrant("doctor", "--json")
    assert told.code == 1
    document = json.loads(told.out)
    states = {one["name"]: one["state"] for one in document["checks"]}
    assert states["home"] == states["gateway"] == "trouble"
    assert states["database"] == states["audit log"] == states["MLflow"] == "unknown"
    assert document["wrong"] == list(states.values()).count("trouble")
    assert document["unknown"] == list(states.values()).count("unknown")
    assert not wanted.exists()
    lines = warrant("doctor").out.splitlines()
    assert f"TROUBLE     home: {wanted} is not there" in lines
    assert "            -> set WARRANT_HOME to the folder it runs in" in lines


def test_a_trigger_that_is_gone_and_tables_of_another_release(migrated_home: Path) -> None:
    with writing() as session:
        session.execute(text("DROP TRIGGER audit_entries_refuse_update"))
    assert "audit_entries_refuse_update is missing" in found()["audit log"].said
    with writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert "those of 9999, which a later release made" in found()["database"].said
    with writing() as session:
        session.execute(text("DELETE FROM alembic_version"))
    told = found()
    assert (told["database"].state, told["database"].do[-18:]) == ("trouble", "warrant db upgrade")
    assert told["workers"] == Found("unknown", "not asked: database comes first")


def test_a_key_that_others_read_and_one_that_is_gone(migrated_home: Path) -> None:
    work()
    sign_head()
    key_path().chmod(0o644)
    assert found()["signing key"] == Found(
        "trouble", f"others can read {key_path()}", "warrant audit rotate-key"
    )
    key_path().unlink()
    assert "is missing although heads were signed" in found()["signing key"].said


def test_work_that_nobody_does(migrated_home: Path) -> None:
    assert found()["workers"].said.startswith("no worker runs")
    work(queued_for=timedelta(hours=1))
    assert "the oldest since" in found()["workers"].said
    with writing() as session:
        session.execute(text("UPDATE leases SET holder = '' WHERE name = 'writer'"))
    assert found()["workers"].said == "nobody is writer"


class _Answers(BaseHTTPRequestHandler):
    said: ClassVar[dict[str, tuple[int, dict[str, Any]]]] = {}

    def do_GET(self) -> None:
        status, document = self.said.get(self.path, (404, {}))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_processes_that_answer_otherwise(
    migrated_home: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_GATEWAY_URL", f"http://user:hunter2@127.0.0.1:{port}")
    monkeypatch.setenv("WARRANT_PUBLIC_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WARRANT_OIDC_ISSUER", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("WARRANT_OIDC_CLIENT_ID", "warrant")
    _Answers.said = {
        "/ready": (503, {"reason": "the disk is full"}),
        "/healthz": (200, {}),
        "/health": (500, {}),
        "/.well-known/openid-configuration": (200, {"issuer": "https://somebody.else"}),
    }
    told = found()
    assert told["gateway"].said == "not ready: the disk is full"
    assert "is not https" in told["console"].said
    assert told["MLflow"].said == "it answers 500"
    assert "https://somebody.else" in told["single sign-on"].said
    _Answers.said["/ready"] = (200, {"models": {"toy": {}}, "stale": False})
    told = found()
    assert told["gateway"].state == "ok" and told["gateway"].said.endswith("1 models")
    assert "hunter2" not in str(told)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone confines")
def test_what_models_are_not_kept_from_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same program, asking for system calls that no kernel has."""
    ask = CHECKS["model processes"].ask
    assert ask().state == "ok"
    text = Path(confined.__file__).read_text()
    (tmp_path / "confined.py").write_text(text.replace(" = 444, ", " = 4444, "))
    monkeypatch.setattr(confined, "__file__", str(tmp_path / "confined.py"))
    told = ask()
    assert told.state == "trouble"
    assert "files kept from it (Function not implemented)" in told.said


def test_settings_that_name_what_is_not_there(migrated_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contacts = migrated_home / "contacts.yaml"
    contacts.write_text("channels:\n  team: {kind: slack, token: {env: NO_SUCH_TOKEN}, channel: C1}\n")
    monkeypatch.setenv("WARRANT_CONTACTS", str(contacts))
    monkeypatch.setenv("WARRANT_TRAINER_PROGRAMS", '{"mine": ["/no/such/program"]}')
    monkeypatch.setenv("WARRANT_OBSERVATIONS_URL", str(migrated_home / "elsewhere"))
    monkeypatch.setenv("WARRANT_TARGET", "teleport")
    told = found()
    assert {told[name].state for name in ("contacts", "trainers", "observations", "target")} == {"trouble"}
    assert "NO_SUCH_TOKEN" in told["contacts"].said
    assert "mine" in told["trainers"].said
    assert "teleport" in told["target"].said
    assert not (migrated_home / "elsewhere").exists()


def test_gpus_are_told_with_their_memory_and_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ask = services._gpus
    assert ask().state == "off"
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho '0, NVIDIA H100, 37, 1024, 81559, 40, 123'\necho '1, Tesla T4, [N/A], 0, 15360, 40, 20'\n"
    )
    program.chmod(0o755)
    assert ask() == Found(
        "ok", "GPU 0, NVIDIA H100: 1,024 of 81,559 MB in use, 37 % busy; "
        "GPU 1, Tesla T4: 0 of 15,360 MB in use, load not told",
    )  # fmt: skip
    program.write_text("#!/bin/sh\nexit 0\n")
    assert ask().said == "nvidia-smi lists none"
    program.write_text("#!/bin/sh\nexit 9\n")
    assert ask().state == "trouble"


@pytest.mark.parametrize(
    ("url", "state"),
    [
        ("postgresql://w@db.example.org/w", "trouble"),
        ("postgresql://w@db.example.org/w?sslmode=require", "trouble"),
        ("postgresql://w@db.example.org/w?sslmode=verify-full", "ok"),
        ("postgresql://w@localhost/w", "ok"),
    ],
)
def test_a_connection_that_others_could_read(url: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.doctor.stores import transport

    monkeypatch.delenv("PGSSLMODE", raising=False)
    monkeypatch.setenv("WARRANT_DATABASE_URL", url)
    settings.cache_clear()
    assert transport().state == state
    settings.cache_clear()


def test_dm_crypt_below_a_volume_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    top = tmp_path / "block" / f"{device >> 8 & 0xFFF}:{device & 0xFF}"
    (top / "slaves" / "dm-0" / "dm").mkdir(parents=True)
    (top / "slaves" / "dm-0" / "dm" / "uuid").write_text("LVM-abc\n")
    monkeypatch.setattr(stores, "BLOCKS", tmp_path / "block")
    assert not stores.is_encrypted(tmp_path)
    (top / "slaves" / "dm-0" / "dm" / "uuid").write_text("CRYPT-LUKS2-abc\n")
    assert stores.is_encrypted(tmp_path)


def test_where_drills_restore_to_is_a_store_as_well(
    migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_BACKUP_SCRATCH", str(tmp_path))
    settings.cache_clear()
    monkeypatch.setattr(stores, "is_encrypted", lambda folder: folder != tmp_path)
    assert f"no encrypted device below {tmp_path}" in stores._encryption().said


def test_heads_that_are_signed_and_kept_nowhere(
    migrated_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_AUDIT_GIT", str(repository(tmp_path / "tags")))
    settings.cache_clear()
    append(2)
    sign_head()
    anchor_newest(system_actor("worker"))
    assert found()["anchors"].state == "ok"
    later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    append(1, start=2)
    sign_head()
    told = found()
    assert (told["signing key"].state, told["anchors"].state) == ("ok", "trouble")
    assert "has 2 entries" in told["anchors"].said
