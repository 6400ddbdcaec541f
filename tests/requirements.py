"""What a test needs from the machine. Absent: the test skips and says what to install; CI allows no skip."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("WARRANT_SHARED") or Path(__file__).resolve().parents[2] / "shared")
TORCH_PYTHON = Path(__file__).resolve().parents[1] / ".venv-torch" / "bin" / "python"
SPARK_PYTHON = Path(__file__).resolve().parents[1] / ".venv-spark" / "bin" / "python"
KEPT_SETTINGS = ("WARRANT_REQUIRE_ALL", "WARRANT_REACHABLE_NETWORKS")
"""Settings that a home of a test's own keeps: what stands in for services outside answers on this machine."""

DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "amtool": ("amtool",),
    "ip": ("ip",),
    "strace": ("strace",),
}
PACKAGES = {
    "ip": "iproute2",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}  # where it is not the program's own name


def require(tool: str) -> Path:
    """The path of `tool`, one of `PROGRAMS`, `shared/FOLDER` (a folder of the shared fixtures and data),
    `spark` (the interpreter of an environment with requirements-spark.txt), `torch` (likewise, PyTorch), or `dejavu`
    (the font that charts are compared in).

    Where it is absent the calling test or fixture skips with the reason; with `WARRANT_REQUIRE_ALL=1`, which
    CI sets, it fails.
    """
    found, reason = _look_for(tool)
    if found:
        return found
    if os.environ.get("WARRANT_REQUIRE_ALL") == "1":
        pytest.fail(f"{reason} (WARRANT_REQUIRE_ALL=1 allows no skip)", pytrace=False)
    pytest.skip(reason)


def _look_for(tool: str) -> tuple[Path | None, str]:
    if tool.startswith("shared/"):
        folder = SHARED / tool.removeprefix("shared/")
        found = folder if folder.is_dir() else None
        return found, f"{folder} is absent; WARRANT_SHARED names the folder of shared fixtures and data"
    if tool == "dejavu":
        return (
            DEJAVU if DEJAVU.exists() else None
        ), f"{DEJAVU} is absent (Debian: apt-get install fonts-dejavu-core)"
    if tool == "spark":
        python = Path(os.environ.get("WARRANT_SPARK_PYTHON") or SPARK_PYTHON)
        ready = python.exists() and shutil.which("java") is not None
        return (python if ready else None), f"{python} or Java is absent; `make setup-spark` installs PySpark"
    if tool == "torch":
        python = Path(os.environ.get("WARRANT_TRAINER_PYTHON") or TORCH_PYTHON)
        return (
            python if python.exists() else None
        ), f"{python} is absent; `make setup-torch` installs PyTorch"
    program = next((path for name in PROGRAMS[tool] if (path := shutil.which(name))), None)
    package = PACKAGES.get(tool, tool)
    return Path(program) if program else None, f"{tool} is not installed (Debian: apt-get install {package})"
