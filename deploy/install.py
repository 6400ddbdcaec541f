"""Set up `.venv` for `make`: standard library only, because nothing is installed yet.

    python3 deploy/install.py          what Warrant runs on
    python3 deploy/install.py --dev    also what its tests and checks need
    python3 deploy/install.py --gpu    also what a training worker needs

Prints one line per stage. Does nothing, silently, when the environment already is what the files ask for.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"
LOG = VENV / "install.log"
UV = "uv==0.13.9"
SUPPORTED = ((3, 11), (3, 12))


class InstallFailed(Exception):
    """A stage failed; the message says what to do."""


@dataclass(frozen=True)
class Stage:
    """One line of progress: `run` does `title` or raises `InstallFailed`; then `achieved` holds."""

    title: str
    run: Callable[[], None]
    achieved: dict[str, str] = field(default_factory=dict)


def say(text: str, *, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def check_version(version: tuple[int, int]) -> None:
    """Refuse a Python the pinned packages cannot run on, and say which ones they can."""
    if version not in SUPPORTED:
        wanted = " or ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
        raise InstallFailed(
            f"Warrant needs Python {wanted}; {sys.executable} is {version[0]}.{version[1]}.\n"
            "Install one (Debian 12: apt-get install python3 python3-venv) or name it:"
            " make run PYTHON=/path/to/python3.11"
        )


def run_command(argv: Sequence[str], *, hint: str) -> None:
    """Run quietly with the output in `LOG`; on failure raise with its last lines and `hint`."""
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(argv)}\n")
        log.flush()
        start = log.tell()
        code = subprocess.run(argv, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, check=False).returncode
    if code:
        tail = LOG.read_text(errors="replace")[start:].splitlines()[-25:]
        raise InstallFailed("\n".join([*tail, "", hint, f"The whole output is in {LOG}."]))


def create_environment() -> None:
    """A new, empty `.venv`, made by the base interpreter: this may be running from the old one."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    argv = [base, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(argv, capture_output=True, text=True, check=False)
    if made.returncode:
        raise InstallFailed(
            f"{(made.stdout + made.stderr).strip()}\n\n{base} could not make a virtual environment."
            " On Debian its venv module is a package of its own: apt-get install python3-venv"
        )


def install_uv() -> None:
    """uv installs the rest several times faster than pip. Without it pip does, so a failure is no failure."""
    try:
        run_command([str(PYTHON), "-m", "pip", "install", "--quiet", UV], hint="")
    except InstallFailed:
        say("(not available, using pip)", end=" ")


def installer() -> list[str]:
    """The install command of this environment, up to its arguments."""
    if (VENV / "bin" / "uv").exists():
        return [str(VENV / "bin" / "uv"), "pip", "install", "--python", str(PYTHON)]
    return [str(PYTHON), "-m", "pip", "install"]


def install_requirements(name: str) -> None:
    hint = (
        "The packages could not be installed. Check the network (or the index settings of pip and uv)"
        " and the free disk space (3 GB), then run it again."
    )
    run_command([*installer(), "-r", str(ROOT / name)], hint=hint)


def has_openmp() -> bool:
    """Whether the system has the OpenMP library that lightgbm loads by name; a bare Debian has not."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        return sys.platform != "linux"
    return True


def provide_openmp() -> None:
    """Give lightgbm, which nannyml imports, the OpenMP library that scikit-learn brings under a name of its own.

    The copy is told its usual name (the shorter one fits in place of the longer) and is loaded when Python
    starts: the dynamic linker then takes the loaded library for the one that lightgbm asks for.
    """
    bundled = next(VENV.glob("lib/python3*/site-packages/scikit_learn.libs/libgomp-*.so*"), None)
    if bundled is None:
        raise InstallFailed("lightgbm needs the system's OpenMP library. On Debian: apt-get install libgomp1")
    own_name = bundled.name.encode() + b"\0"
    copy = VENV / "lib" / "libgomp.so.1"
    copy.write_bytes(bundled.read_bytes().replace(own_name, b"libgomp.so.1".ljust(len(own_name), b"\0")))
    start_up = bundled.parent.parent / "openmp.pth"
    start_up.write_text(f"import ctypes; ctypes.CDLL({str(copy)!r})\n")


def install_project() -> None:
    """Editable, built by the setuptools that requirements.txt pins: asks no index."""
    argv = [*installer(), "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    run_command(argv, hint="The project itself could not be installed.")


def fingerprint(name: str) -> str:
    return hashlib.sha256((ROOT / name).read_bytes()).hexdigest()


def read_stamp() -> dict[str, str]:
    """What the environment was made of: file name to digest, and the root it was made in. Empty: unusable."""
    try:
        stamp: dict[str, str] = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    # Scripts hold absolute paths, so a moved folder needs a new environment.
    return stamp if stamp.get("root") == str(ROOT) and PYTHON.exists() else {}


def write_stamp(stamp: dict[str, str]) -> None:
    scratch = STAMP.with_suffix(".tmp")
    scratch.write_text(json.dumps(stamp, indent=1, sort_keys=True))
    scratch.replace(STAMP)


def stages_needed(files: Sequence[str], stamp: dict[str, str]) -> list[Stage]:
    """The stages that bring `.venv` from `stamp` to `files`; none when it is there."""
    stages: list[Stage] = []
    if not stamp:
        verb = "replace" if VENV.exists() else "create"
        title = f"{verb} .venv with Python {sys.version_info.major}.{sys.version_info.minor}"
        stages.append(Stage(title, create_environment, {"root": str(ROOT)}))
    if stamp.get("installer") != UV:
        stages.append(Stage("install the installer", install_uv, {"installer": UV}))
    stale = [name for name in files if stamp.get(name) != fingerprint(name)]
    for name in stale:
        count = sum("==" in line for line in (ROOT / name).read_text().splitlines())
        title = f"install {count} packages of {name}"
        stages.append(Stage(title, partial(install_requirements, name), {name: fingerprint(name)}))
    if "requirements.txt" in stale and not has_openmp():
        stages.append(Stage("provide OpenMP, which this system lacks", provide_openmp))
    project = {"pyproject.toml": fingerprint("pyproject.toml")}
    if "requirements.txt" in stale or stamp.get("pyproject.toml") != project["pyproject.toml"]:
        stages.append(Stage("install Warrant", install_project, project))
    return stages


def main() -> int:
    parser = argparse.ArgumentParser(description="Set up .venv.")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    parser.add_argument("--gpu", action="store_true", help="also PyTorch, for training workers")
    chosen = parser.parse_args()
    files = ["requirements.txt"]
    files += ["requirements-dev.txt"] if chosen.dev else []
    files += ["requirements-gpu.txt"] if chosen.gpu else []

    # Two `make` at once would install into each other's half-made environment. The lock is beside .venv, not
    # in it, because a new environment replaces the folder.
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            check_version(sys.version_info[:2])
            stamp = read_stamp()
            stages = stages_needed(files, stamp)
            begun = time.monotonic()
            for number, stage in enumerate(stages, start=1):
                started = time.monotonic()
                say(f"[{number}/{len(stages)}] {stage.title} ...", end=" ")
                stage.run()
                # After each stage, so that an interrupted set-up goes on where it was.
                stamp |= stage.achieved
                write_stamp(stamp)
                say(f"{time.monotonic() - started:.1f} s")
            if stages:
                say(f"Ready after {time.monotonic() - begun:.0f} s.")
        except InstallFailed as failure:
            say(f"\n{failure}")
            return 1
        except KeyboardInterrupt:
            say("\nStopped. Run it again to go on.")
            return 130
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    sys.exit(main())
