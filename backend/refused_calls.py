"""What a process refuses itself for the rest of its life by seccomp(2): other processes, and what leads out of it.

Of the kernel's calls those that lead out are refused with EPERM, so that a library which tries one goes on without.
It holds for every thread, and nothing can take it back. Linux on x86-64 and 64-bit ARM.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final, NamedTuple

from backend.confined import system_call


class _Numbers(NamedTuple):
    """Of one kind of processor: its name in the kernel's audit, and its numbers of calls."""

    audit: int
    seccomp: int
    clone: int
    tgkill: int
    prlimit: int
    leading_out: tuple[int, ...]
    of_others: tuple[int, ...]


# Leading out: socket, connect, bind, listen; fork, vfork, execve, execveat; kill, tkill and the signals with a value;
# queues and shared memory of System V and POSIX.
# Of others: ptrace and the memory of others; mount, umount2, unshare, setns; bpf, perf_event_open, userfaultfd; keys.
# And, the same on both, io_uring and what takes descriptors of other processes.
_NEW: Final = (425, 426, 427, 438)
_NUMBERS: Final = {
    "x86_64": _Numbers(
        0xC000003E, 317, 56, 234, 302,
        (41, 42, 49, 50, 57, 58, 59, 322, 62, 200, 129, 297, 29, 30, 68, 64, 240, 424, 434),
        (101, 310, 311, 165, 166, 272, 308, 321, 298, 323, 248, 249, 250, *_NEW),
    ),
    "aarch64": _Numbers(
        0xC00000B7, 277, 220, 131, 261,
        (198, 203, 200, 201, 221, 281, 129, 130, 138, 240, 194, 196, 186, 190, 180, 424, 434),
        (117, 270, 271, 40, 39, 97, 268, 280, 241, 282, 217, 218, 219, *_NEW),
    ),
}  # fmt: skip
_CLONE3: Final = 435
_THREAD: Final = 0x10000
_LOAD, _EQUAL, _ABOVE, _BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CALL, _AUDIT, _FIRST = 0, 4, 16  # places in what the kernel hands over
_ALLOWED: Final = 0x7FFF0000
_ERROR: Final = 0x00050000
_EVERY_THREAD, _FILTER = 1, 1


def refuse_calls(*, leading_out: bool = True) -> None:
    """Raises `OSError` where the system does not know how.

    leading_out   also sockets, programs, processes and signals; False: what reaches into other processes, alone
    """
    numbers = _NUMBERS.get(platform.machine())
    if numbers is None or os.uname().sysname != "Linux":
        raise OSError(errno.ENOSYS, f"no filter of system calls is known for {platform.machine()}")
    program = b"".join(_instructions(numbers, leading_out))
    held = ctypes.create_string_buffer(program, len(program))
    told = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held))
    if stuck := system_call(numbers.seccomp, _FILTER, _EVERY_THREAD, told):
        raise OSError(errno.EBUSY, f"thread {stuck} does not take the filter")


def _instructions(numbers: _Numbers, leading_out: bool) -> list[bytes]:
    """Loads the number of the call and compares. `_one` skips instructions where a comparison holds, or does not."""
    no = _one(_RETURN, _ERROR | errno.EPERM)
    found = [
        _one(_LOAD, _AUDIT), _one(_EQUAL, numbers.audit, 1, 0), no,
        _one(_LOAD, _CALL), _one(_ABOVE, 0x40000000, 0, 1), no,  # the numbers of x32
    ]  # fmt: skip
    if leading_out:
        found += [
            # glibc falls back to clone, whose flags can be read: threads alone.
            _one(_EQUAL, _CLONE3, 0, 1), _one(_RETURN, _ERROR | errno.ENOSYS),
            _one(_EQUAL, numbers.clone, 0, 3), _one(_LOAD, _FIRST), _one(_BITS, _THREAD, 5, 0), no,
            _one(_EQUAL, numbers.tgkill, 0, 4), _one(_LOAD, _FIRST), _one(_EQUAL, os.getpid(), 1, 0), no,
            _one(_RETURN, _ALLOWED),
            _one(_EQUAL, numbers.prlimit, 0, 4), _one(_LOAD, _FIRST), _one(_EQUAL, 0, 1, 0), no,
            _one(_RETURN, _ALLOWED),
        ]  # fmt: skip
    for number in (*(numbers.leading_out if leading_out else ()), *numbers.of_others):
        found += [_one(_EQUAL, number, 0, 1), no]
    return [*found, _one(_RETURN, _ALLOWED)]


def _one(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_so, if_not, value)
