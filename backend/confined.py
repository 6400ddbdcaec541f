"""Starts a program with less than its worker may: `confined.py SETTINGS PROGRAM WORD…` becomes the program.

What is done, and what the system refused and why, is left in SETTINGS["told"]. Standard library alone: it
runs before anything of the program's, and its process number is the program's. The gateway gives up what it can itself.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

NO_NEW_PRIVILEGES, DIE_WITH_PARENT, SECURE_BITS = 38, 1, 28  # prctl
NO_ROOT = 0b11  # secure bits: a program that root starts has no capabilities, for good
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # unshare
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1  # ioctl of an interface

# Landlock (landlock(7)): system calls, and what each version of it knows.
CREATE_RULES, ADD_RULE, RESTRICT_SELF, RULE_PATH = 444, 445, 446, 1
OF_FILES = 0b0100_0000_0000_0111  # execute, write, read, truncate
READ = 0b1101  # execute, read a file, list a folder
FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}  # later ones as 5
NETWORK_SINCE, SCOPES_SINCE = 4, 6


def main(argv: list[str]) -> None:
    settings = json.loads(argv[0])
    told = {}
    for name, work in (
        ("giving up new privileges", _no_new_privileges),
        ("a limit of memory", lambda: _limit_memory(settings["memory_mb"])),
        ("a limit of files", (lambda: _limit_files(settings["file_mb"])) if "file_mb" in settings else None),
        ("a network of its own", _leave_network if settings["leave_network"] else None),
        ("giving up its rights as root", _no_root if "read" in settings else None),
        ("an end with its worker", lambda: _end_with(settings["worker"], settings["ends_by"])),
        (
            "files kept from it",
            (lambda: _keep_files(settings["read"], settings["write"])) if "read" in settings else None,
        ),
    ):
        told[name] = "not asked for" if work is None else _tried(work)
    Path(settings["told"]).write_text(json.dumps(told))
    os.execv(argv[1], argv[1:])  # noqa: S606 - the program that the worker names, without a shell


def give_up_privileges() -> None:
    """What a process can do to itself that answers from models: it and what it starts gain no rights, for good."""
    for work in (_no_new_privileges, _no_root, _no_core):
        _tried(work)


def _tried(work: Callable[[], None]) -> str:
    """Empty where it was done, else the system's words."""
    try:
        work()
    except (OSError, ValueError, AttributeError) as refused:
        return getattr(refused, "strerror", None) or str(refused)
    return ""


def _no_new_privileges() -> None:
    """No setuid program that it starts can do more than it."""
    _call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _limit_memory(most_mb: int | None) -> None:
    """An allocation beyond it fails at once, however quick; no core files; the kernel picks this process first."""
    _no_core()
    if most_mb is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (most_mb << 20, most_mb << 20))
    Path("/proc/self/oom_score_adj").write_text("500")


def _no_core() -> None:
    """What a process held in memory is not left in a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_files(most_mb: int) -> None:
    """How large a file may become, and how many are open at once."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_mb << 20, most_mb << 20))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def _leave_network() -> None:
    """A child tries it first: a system that refuses it halfway, as one that lets a process into a user namespace and
    then denies it all rights there, would leave the program nobody's, and without itself to talk to."""
    child = os.fork()
    if child == 0:
        try:
            _into_network()
        except OSError as refused:
            os._exit(refused.errno or 255)
        os._exit(0)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(number, os.strerror(number))
    _into_network()


def _into_network() -> None:
    """A network of its own that holds nothing but itself."""
    try:
        _call("unshare", NEW_NETWORK)
    except OSError:
        user, group = os.getuid(), os.getgid()
        _call("unshare", NEW_USER | NEW_NETWORK)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        request = fcntl.ioctl(found, GET_FLAGS, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", request)[1] | UP
        fcntl.ioctl(found, SET_FLAGS, struct.pack("16sH14x", b"lo", flags))


def _no_root() -> None:
    if os.geteuid() == 0:
        _call("prctl", SECURE_BITS, NO_ROOT, 0, 0, 0)


def _end_with(worker: int, ends_by: int) -> None:
    """A worker that is killed leaves nobody at work: nobody would watch its limits, or hold its GPU for it. After
    whatever changes rights, which forgets it."""
    _call("prctl", DIE_WITH_PARENT, ends_by, 0, 0, 0)
    if os.getppid() != worker:
        raise SystemExit("the worker is gone")


def _keep_files(read: Sequence[str], write: Sequence[str]) -> None:
    """Every file but those beneath `read` and `write`; other processes' signals, memory and ports too."""
    version = system_call(CREATE_RULES, None, 0, 1)
    rights = FILE_RIGHTS[min(version, 5)]
    asked = struct.pack(
        "QQQ", rights, 0b11 if version >= NETWORK_SINCE else 0, 0b11 if version >= SCOPES_SINCE else 0
    )
    # An earlier kernel refuses a structure with more than it knows.
    asked = asked[: 24 if version >= SCOPES_SINCE else 16 if version >= NETWORK_SINCE else 8]
    rules = system_call(CREATE_RULES, asked, len(asked), 0)
    for paths, allowed in ((read, READ), (write, rights)):
        for path in paths:
            _allow(rules, path, allowed & rights)
    system_call(RESTRICT_SELF, rules, 0)
    os.close(rules)


def _allow(rules: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not Path(path).is_dir():
        allowed &= OF_FILES
    try:
        system_call(ADD_RULE, rules, RULE_PATH, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)


def system_call(*arguments: int | bytes | None) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    found = int(library.syscall(*given))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return found


def _call(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main(sys.argv[1:])
