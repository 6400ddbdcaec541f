"""How the supervisor answers whatever a program does. The programs are a few lines of Python each."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.settings import settings
from jobs.confinement import CONFINEMENT, PROGRAM, unconfined
from jobs.trainers import processes
from jobs.trainers.contract import Limits, TrainingJob
from jobs.trainers.ending import judged
from jobs.trainers.running import in_words
from jobs.trainers.supervise import Outcome, Progress, supervise
from tests.unit.trainers.jobs import job_in, program_job

FOREVER = "(out / 'began').touch()\nwhile True: time.sleep(0.01)\n"


def ended(job: TrainingJob, **more: Any) -> Outcome:
    return supervise(job, **{"should_stop": lambda: False, "on_progress": lambda _: None, **more})


def test_a_program_that_follows_the_contract_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_WEBHOOK_SECRET", "s3cret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    seen: list[Progress] = []
    job = program_job(
        tmp_path,
        "(out / 'environment').write_text(json.dumps(dict(os.environ)))\n"
        "line(1, loss=0.5)\ntime.sleep(0.3)\nline(2, loss=0.25)\nfinish()\n",
    )
    found = ended(job, on_progress=seen.append)
    assert found.state == "finished", found.message
    assert found.result is not None
    assert found.result.metrics == {"roc_auc": 0.75}
    assert found.artefact == job.out / "artefact"
    assert found.digest.startswith("sha256:")
    assert [point["step"] for progress in seen for point in progress.points] == [1, 2]
    assert seen[-1].metrics == {"loss": 0.25}
    environment = json.loads((job.out / "environment").read_text())
    assert environment["WARRANT_TRAINING_JOB"] == str(job.out / "job.json")
    assert "s3cret" not in environment.values()
    again = ended(job, on_progress=lambda _: pytest.fail("it was trained again"))
    assert (again.state, again.digest) == ("finished", found.digest)


@pytest.mark.parametrize(
    ("script", "reason", "said"),
    [
        ("line(1, loss=1)\nprint('all good')\n", "no_artefact", "ended without an error and left no model"),
        ("line(1, loss=1)\n(out / 'metrics.jsonl').open('a').write('epoch 2: fine\\n')\n" + FOREVER,
         "garbage", "metrics.jsonl line 2 is not JSON: 'epoch 2: fine'"),
        ("line(1, loss='low')\n" + FOREVER, "garbage", "metrics.jsonl line 1 has no number for metrics.loss"),
        ("finish('metrics: 1')\n", "garbage", "result.json line 1 is not JSON: 'metrics: 1'"),
        ("print('cannot open the data')\nsys.exit(3)\n", "error",
         "ended with exit code 3; its last line says: cannot open the data"),
        ("(out / 'failure.json').write_text(json.dumps({'kind': 'error', 'message': 'no\\0rows'}))\nsys.exit(1)\n",
         "error", "no\N{REPLACEMENT CHARACTER}rows"),
        ("os.kill(os.getpid(), signal.SIGSEGV)\n", "killed", "was killed by SIGSEGV. A library crashed"),
    ],
)  # fmt: skip
def test_what_went_wrong_is_said_in_words(tmp_path: Path, script: str, reason: str, said: str) -> None:
    found = ended(program_job(tmp_path, script))
    assert (found.state, found.reason) == ("failed", reason), found.message
    assert said in found.message
    assert processes.marked(str((tmp_path / "out").resolve())) == []


def test_a_trainer_that_hangs_is_ended(tmp_path: Path) -> None:
    job = program_job(tmp_path, FOREVER, limits=Limits(heartbeat_s=0.4))
    found = ended(job)
    assert (found.state, found.reason) == ("failed", "hung")
    assert "gave no sign of life" in found.message
    late = ended(
        program_job(tmp_path, "while True: line(1, a=1); time.sleep(0.02)\n", limits=Limits(wall_s=0.4))
    )
    assert late.reason == "time_limit"


def test_a_trainer_that_prints_for_ever_is_ended_before_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.trainers.supervise.MOST_PRINTED", 1 << 20)
    job = program_job(tmp_path, "while True: print('x' * 10_000); time.sleep(0.001)\n")
    job.out.mkdir()
    (job.out / "log.txt").write_bytes(b"of an earlier attempt\n" * 100_000)
    found = ended(job)
    assert (found.state, found.reason) == ("failed", "garbage")
    assert "wrote more than 1 MB into log.txt and metrics.jsonl and was ended" in found.message
    assert (job.out / "log.txt").stat().st_size > 3 << 20


def test_pipes_in_place_of_files_keep_nobody_waiting(tmp_path: Path) -> None:
    pipes = "for name in ('metrics.jsonl', 'failure.json', 'log.txt'):\n"
    pipes += "    (out / name).unlink(missing_ok=True); os.mkfifo(out / name)\n"
    found = ended(program_job(tmp_path, pipes + "time.sleep(0.3)\nsys.exit(3)\n"))
    assert (found.reason, found.log_tail) == ("error", "")
    assert ended(program_job(tmp_path, "print('again')\nsys.exit(1)\n")).log_tail == "again\n"
    found = ended(program_job(tmp_path, pipes + "os.mkfifo(out / 'result.json')\n(out / 'artefact').mkdir()\n"
                                        "(out / 'artefact' / 'model').touch()\n", out="other"))  # fmt: skip
    assert (found.reason, found.log_tail) == ("no_artefact", "")


def test_more_memory_than_allowed_is_said_in_words(tmp_path: Path) -> None:
    job = program_job(tmp_path, "held = b'x' * (400 << 20)\n" + FOREVER, limits=Limits(memory_mb=200))
    found = ended(job)
    assert (found.state, found.reason) == ("failed", "out_of_memory")
    assert "more than its limit of 200 MB" in found.message
    assert "Train on fewer rows or columns, or raise limits.memory_mb (now 200)" in found.message
    assert found.peak_memory_mb > 200


def test_an_allocation_at_once_fails_before_the_host_is_full_and_is_said_in_words(tmp_path: Path) -> None:
    job = program_job(tmp_path, "held = bytearray(60 << 30)\n" + FOREVER, limits=Limits(memory_mb=200))
    found = ended(job)
    assert (found.state, found.reason) == ("failed", "out_of_memory")
    assert "the training ran out of memory: MemoryError. Train on fewer rows" in found.message
    assert found.peak_memory_mb < 200


CONFINED = """
import socket
reached = []
for address in job["parameters"]["settings"]["addresses"]:
    try:
        socket.create_connection(tuple(address), timeout=2).close()
        reached.append(address)
    except OSError:
        pass
here = socket.socket()
here.bind(("127.0.0.1", 0))
here.listen()
socket.create_connection(here.getsockname(), timeout=2).close()
gains = "NoNewPrivs:\\t0" in Path("/proc/self/status").read_text()
(out / "told").write_text(json.dumps({"gains": gains, "reached": reached, "user": os.getuid()}))
finish()
"""


@pytest.mark.parametrize("network", [False, True])
def test_a_trainer_gains_no_privileges_and_reaches_nobody_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: bool
) -> None:
    monkeypatch.setenv("WARRANT_TRAINER_NETWORK", str(network).lower())
    settings.cache_clear()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        job = program_job(tmp_path, CONFINED)
        addresses = [list(listening.getsockname())]
        job = replace(job, parameters={**job.parameters, "settings": {"addresses": addresses}})
        found = ended(job)
    settings.cache_clear()
    assert found.state == "finished", (found.message, found.log_tail)
    told = json.loads((job.out / "told").read_text())
    refused = any("without a network of its own" in note for note in found.notes)
    assert told == {"gains": False, "reached": addresses if network or refused else [], "user": os.getuid()}


def test_a_trainer_ends_with_its_supervisor(tmp_path: Path) -> None:
    """Where no worker of this host takes the run up, nobody would watch it, cancel it or hold its GPU for it."""
    wanted = (
        "{'told': 'told', 'memory_mb': None, 'leave_network': False, 'worker': os.getpid(), 'ends_by': 15}"
    )
    words = f"[sys.executable, '-I', '-S', {str(PROGRAM)!r}, json.dumps({wanted}), '/bin/sleep', '60']"
    code = f"import json, os, subprocess, sys, time\nprint(subprocess.Popen({words}).pid, flush=True)\ntime.sleep(60)\n"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as supervisor:
        assert supervisor.stdout is not None
        trainer = int(supervisor.stdout.readline())
        deadline = time.monotonic() + 30
        while not (tmp_path / "told").exists() or Path(f"/proc/{trainer}/comm").read_text() != "sleep\n":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert processes.started(trainer) is not None
        supervisor.kill()
    while processes.started(trainer) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_network_that_is_refused_halfway_is_left_alone(tmp_path: Path) -> None:
    """As where a system lets a process into a user namespace and denies it all rights there."""
    code = (
        "import os\nfrom backend import confined\nbefore = os.readlink('/proc/self/ns/net'), os.getuid()\n"
        "def refused(*_): raise PermissionError(1, 'no')\nconfined.fcntl.ioctl = refused\n"
        "print(confined._tried(confined._leave_network))\n"
        "assert before == (os.readlink('/proc/self/ns/net'), os.getuid())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "Operation not permitted\n"


def test_what_the_system_refuses_to_confine_is_said(tmp_path: Path) -> None:
    (tmp_path / CONFINEMENT).write_text('{"a network of its own": "Operation not permitted", "more": ""}')
    assert unconfined(tmp_path / CONFINEMENT, "the trainer") == [
        "the trainer ran without a network of its own: Operation not permitted"
    ]
    (tmp_path / CONFINEMENT).unlink()
    assert "is not known" in unconfined(tmp_path / CONFINEMENT, "the trainer")[0]


def test_out_of_memory_inside_a_trainer_is_said_in_words(tmp_path: Path) -> None:
    job = job_in(tmp_path, "tabular_network", device="gpu")
    cuda = RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of …")
    assert in_words(cuda, job) == (
        "out_of_device_memory",
        "the GPU ran out of memory: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of …. "
        "Use a smaller batch_size with more accumulate, precision bf16, or a GPU with more memory; device "
        "gpu-if-present would allow the CPU.",
    )
    kind, message = in_words(MemoryError("Unable to allocate 8.00 GiB for an array"), job)
    assert kind == "out_of_memory"
    assert "the host ran out of memory" in message
    assert in_words(RuntimeError("std::bad_alloc"), job)[0] == "out_of_memory"
    (tmp_path / "out").mkdir()
    by_kernel = judged(job, -signal.SIGKILL, killed_by_kernel=True)
    assert by_kernel.reason == "out_of_memory"
    assert "the kernel ended the training" in by_kernel.message


def test_the_time_of_gpus_counts_however_it_ends_and_not_where_none_was_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, GPU-of-the-test, NVIDIA H100, 81559, 1024, 37'\n")
    program.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    failed = ended(program_job(tmp_path, "sys.exit(1)\n", device="gpu-if-present"))
    assert failed.state == "failed"
    assert failed.gpu_seconds == failed.seconds > 0
    cancelled = ended(program_job(tmp_path, FOREVER, device="gpu"), should_stop=lambda: True)
    assert cancelled.gpu_seconds == cancelled.seconds > 0
    program.write_text("#!/bin/sh\nexit 9\n")
    assert ended(program_job(tmp_path, "sys.exit(1)\n", device="gpu-if-present")).gpu_seconds == 0.0


def test_cancel_ends_the_whole_group_at_once(tmp_path: Path) -> None:
    """Also a child that ignores TERM, and one that went into a session of its own."""
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    job = program_job(
        tmp_path,
        f"one = subprocess.Popen([sys.executable, '-S', '-c', {stubborn!r}])\n"
        f"two = subprocess.Popen([sys.executable, '-S', '-c', {stubborn!r}], start_new_session=True)\n"
        "time.sleep(0.3)\n(out / 'pids').write_text(f'{one.pid} {two.pid}')\n" + FOREVER,
    )
    asked: list[float] = []

    def stop() -> bool:
        if (job.out / "began").exists():
            asked.append(time.monotonic())
        return bool(asked)

    found = ended(job, should_stop=stop)
    assert time.monotonic() - asked[0] < 5
    assert found.state == "cancelled"
    assert all(processes.started(int(pid)) is None for pid in (job.out / "pids").read_text().split())


def test_what_a_killed_supervisor_left_is_ended_first(tmp_path: Path) -> None:
    """One that does not listen when it is told that its supervisor is gone."""
    job = program_job(tmp_path, "if (out / 'began').exists(): finish()\nelse:\n"
                                "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    (out / 'began').touch()\n"
                                "    while True: time.sleep(0.01)\n")  # fmt: skip
    job.write(tmp_path / "job.json")
    code = (
        "from pathlib import Path; from jobs.trainers.contract import TrainingJob; "
        "from jobs.trainers.supervise import supervise; "
        f"supervise(TrainingJob.read(Path({str(tmp_path / 'job.json')!r})), "
        "should_stop=lambda: False, on_progress=print)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], cwd=Path.cwd())
    deadline = time.monotonic() + 60
    while not (job.out / "began").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    beside = ended(job)
    assert beside.reason == "refused"
    assert "another process of this host supervises" in beside.message
    supervisor.kill()
    supervisor.wait()
    left = json.loads((job.out / "trainer.pid").read_text())["pid"]
    assert processes.started(left) is not None
    found = ended(job)
    assert found.state == "finished", found.message
    assert found.notes == (f"a trainer that an earlier attempt left running (process {left}) was ended",)
    assert processes.started(left) is None


def test_a_number_of_a_process_that_is_another_now_is_left_alone(tmp_path: Path) -> None:
    job = program_job(tmp_path, "finish()\n")
    job.out.mkdir()
    (job.out / "trainer.pid").write_text(json.dumps({"pid": os.getpid(), "started": 1}))
    assert ended(job).notes == ()


def test_what_cannot_start_is_refused_in_words(tmp_path: Path) -> None:
    for job, said in (
        (
            job_in(tmp_path, "command", parameters={"argv": ["no-such-program"]}),
            "there is no program no-such-program",
        ),
        (
            job_in(tmp_path, "sklearn_boosting", device="gpu"),
            "runs on the CPU only, and the job asks for a GPU",
        ),
        (job_in(tmp_path, "gradient_magic"), "there is no 'gradient_magic'"),
    ):
        found = ended(job)
        assert (found.state, found.reason) == ("failed", "refused")
        assert said in found.message
