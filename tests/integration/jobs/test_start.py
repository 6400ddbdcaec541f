"""What a worker and the console import when they start, and that a job is one file and one row."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from backend.queue import JOBS, QUEUES
from jobs.kill_points import MOMENTS

ROOT = Path(__file__).parents[3]
SLOWEST = ("evidently", "nannyml", "shap", "mlflow", "torch", "streamlit")
SLOW = (*SLOWEST, "sklearn", "pandas", "duckdb", "deltalake")


def test_a_worker_is_ready_without_the_slow_libraries() -> None:
    code = (
        "import sys, jobs.worker; from jobs.runtime import register_workflows; register_workflows(); "
        f"print([name for name in {SLOW!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_warmed_up_a_worker_still_has_none_of_the_slowest() -> None:
    code = (
        "import sys; from jobs.worker import warm_up; warm_up(('metrics', 'changes', 'writer')); "
        f"print([name for name in {SLOWEST!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_the_command_line_answers_without_the_database() -> None:
    heavy = ("sqlalchemy", "pydantic", "httpx", "pandas")
    code = f"import sys, backend.cli; print([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_console_is_ready_without_libraries_that_only_a_click_needs() -> None:
    code = (
        "import sys, app.server; "
        "print([n for n in ('evidently', 'nannyml', 'shap', 'mlflow', 'sklearn', 'fpdf') "
        "if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(JOBS.keys() - {"probe"}))
def test_each_job_is_one_file_with_declared_steps(name: str) -> None:
    from jobs.runtime import AROUND, WORKFLOWS

    module = importlib.import_module(f"jobs.{name}")
    registered = WORKFLOWS[name]
    assert registered.steps == module.STEPS
    assert JOBS[name].queue in QUEUES
    points = registered.kill_points()
    assert len(points) == len(set(points)) == len(module.STEPS) * len(MOMENTS) + len(AROUND)


def test_a_workflow_without_steps_is_refused() -> None:
    from jobs.runtime import UndeclaredStep, workflow

    with pytest.raises(UndeclaredStep, match="must declare STEPS"):
        workflow(JOBS["prune"])(lambda _run: None)
