"""One child of the supervisor: its command, its process over all restarts, and whether it serves."""

from __future__ import annotations

import ctypes
import http
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from backend.errors import Conflict

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
PR_SET_PDEATHSIG = 1


class PortInUse(Conflict):
    title = "Port in use"


@dataclass(frozen=True)
class Child:
    """One process to keep running.

    name       shown before each of its log lines
    argv       its command
    env        added to this process's environment
    restart    False: it may end (a replay that is over), and that is said and no more
    ready      URL that answers 200 once it serves; its host and port must be free before anything starts
    last       starts only when every child with a `ready` URL serves: one that is of no use before
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    ready: str | None = None
    last: bool = False


def pause_before_restart(restarts: int) -> float:
    """Seconds to wait before restart number `restarts` + 1: 0.5, 1, 2, ... 30."""
    return min(FIRST_PAUSE_S * 2.0 ** min(restarts, 16), LONGEST_PAUSE_S)


class ChildRun:
    """A child over all its restarts."""

    def __init__(self, child: Child, colour: int) -> None:
        self.child = child
        self.colour = colour
        self.process: subprocess.Popen[bytes] | None = None
        self.start_at: float | None = None
        self.restarts = 0
        self.failures = 0
        self.uptime_s = 0.0
        self._begun = 0.0
        self._serves = False
        self._partial = b""

    def start(self) -> subprocess.Popen[bytes]:
        self.start_at = None
        self.uptime_s = 0.0
        self._begun = time.monotonic()
        self.process = subprocess.Popen(
            list(self.child.argv),
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self.child.env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops all.
            start_new_session=True,
            preexec_fn=_dies_with_parent(os.getpid()),  # noqa: PLW1509 - one thread, see the head of supervisor.py
        )
        return self.process

    def has_ended(self) -> bool:
        """True from its end to `finish`. Leaves the zombie: it keeps the group's number from being reused."""
        if self.process is None:
            return True
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, flags) is not None

    def terminate(self) -> None:
        """Ask the child itself, not its group: a worker ends its subprocesses in its own order."""
        if self.process:
            os.kill(self.process.pid, signal.SIGTERM)

    def finish(self) -> int:
        """Kill what is left of the group and return the child's exit code (negative: the signal)."""
        if self.process is None:
            return 0
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        self.process = None
        self.uptime_s = time.monotonic() - self._begun
        return code

    def serves(self) -> bool:
        """Whether it answered its `ready` URL once. A child without one serves from the start."""
        if not self._serves and (self.child.last or not self.child.ready):
            self._serves = True
        elif not self._serves and self.process and self.child.ready:
            self._serves = _answers(self.child.ready)
        return self._serves

    def lines(self, data: bytes) -> Iterator[str]:
        """Whole lines so far; the rest waits for its end. Empty `data` means that no more will come."""
        *whole, self._partial = (self._partial + data).split(b"\n")
        if self._partial and (not data or len(self._partial) > 65536):
            whole, self._partial = [*whole, self._partial], b""
        for line in whole:
            yield line.decode(errors="replace").rstrip("\r")

    def state(self) -> dict[str, Any]:
        return {
            "name": self.child.name,
            "pid": self.process.pid if self.process else None,
            "argv": list(self.child.argv),
            "ready": self.child.ready,
            "restarts": self.restarts,
        }


def check_ports(children: Iterable[Child]) -> None:
    """Raise `PortInUse` for the first child whose `ready` address another program listens on."""
    for child in children:
        if not child.ready:
            continue
        url = urlsplit(child.ready)
        host, port = url.hostname or "127.0.0.1", url.port or 80
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(address)
                except OSError as error:
                    if family != socket.AF_INET:
                        continue  # localhost names ::1 on machines without IPv6
                    raise PortInUse(
                        f"{child.name} cannot listen on {host}:{port}: {error.strerror}. Stop the program"
                        " that is there, or choose other ports with WARRANT_PORT and WARRANT_GATEWAY_PORT.",
                        host=host,
                        port=port,
                    ) from None


def _answers(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=1.0)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _dies_with_parent(parent: int) -> Callable[[], None] | None:
    """What the child does before its command: ask the kernel for KILL when the supervisor dies (prctl(2))."""
    if _LIBC is None:
        return None

    def ask() -> None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between fork and prctl
            os._exit(1)

    return ask
