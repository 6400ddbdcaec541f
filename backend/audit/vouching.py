"""Checking the entries of a long log in several processes at once.

A helper is given a run of entries and answers with the leaf hashes of as many of them, from the first on, as it found
good by the checks that are made everywhere (`entry_runs.checked_hashes`). It only ever vouches: at whatever is not as
it should be it stops, and the asker checks from there on by itself, in its own snapshot, and finds the words for it.

A helper may look a moment later than the asker. The log only grows, and a payload that was erased meanwhile is named
by an entry beyond the asker's head, for which a helper does not vouch: so both see the same entries, or the asker
looks for itself. The asker alone makes the tree of the hashes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Final, cast

from sqlalchemy import Connection, select

from backend.audit.entry_runs import BATCH, checked_hashes
from backend.audit.tables import AuditEntry
from backend.database.engine import Database, connect

WORTH_IT: Final = 400_000  # entries; of fewer, starting helpers takes longer than it saves
RUN: Final = 8 * BATCH  # entries that a helper is given at a time
MOST_HELPERS: Final = 4
_HASH: Final = 32  # bytes
_ROOT: Final = Path(__file__).parents[2]


def all_hashes(
    source: Database, connection: Connection, *, head_size: int, batch: int
) -> Generator[bytes, None, None]:
    """As `checked_hashes` of every entry, with helpers where they are worth it. `connection` is in the snapshot that
    counts, and had begun it before this is called."""
    helpers = min(os.cpu_count() or 1, MOST_HELPERS)
    lowest = connection.scalar(select(AuditEntry.seq).order_by(AuditEntry.seq).limit(1))
    done = 0
    if head_size >= WORTH_IT and helpers > 1 and lowest == 0:
        with (
            _helpers(source, head_size, helpers) as idle,
            closing(_vouched(idle, head_size, helpers)) as runs,
        ):
            for low, vouched in runs:
                yield from (vouched[at : at + _HASH] for at in range(0, len(vouched), _HASH))
                done, high = low + len(vouched) // _HASH, min(low + RUN, head_size)
                rest = checked_hashes(connection, first=done, head_size=head_size, batch=batch)
                for hashed in islice(rest, high - done):
                    yield hashed
                    done += 1
                if done < high:  # nothing is stored from there on
                    return
    yield from checked_hashes(connection, first=done, head_size=head_size, batch=batch)


Helper = subprocess.Popen[bytes]


@contextmanager
def _helpers(source: Database, head_size: int, count: int) -> Iterator[SimpleQueue[Helper]]:
    """Those that have nothing to do. Each is a process of its own command: a fork would share what is open here, and
    one that is spawned would begin with whatever page or worker runs here."""
    idle: SimpleQueue[Helper] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(count):
            helper = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "backend.audit.vouching"], cwd=_ROOT,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )  # fmt: skip
            stack.callback(helper.kill)
            with suppress(OSError):
                _tell(helper, [source.url, head_size])  # not in its arguments: there may be a password in it
            idle.put(helper)
        yield idle


def _vouched(
    idle: SimpleQueue[Helper], head_size: int, count: int
) -> Generator[tuple[int, bytes], None, None]:
    """Each run's first number with the hashes that a helper vouched for, in order; a few runs ahead."""
    ahead: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(count) as pool:
        try:
            for low in range(0, head_size, RUN):
                ahead.append((low, pool.submit(_ask, idle, low, min(low + RUN, head_size))))
                if len(ahead) > 2 * count:
                    first, answer = ahead.popleft()
                    yield first, answer.result()
            while ahead:
                first, answer = ahead.popleft()
                yield first, answer.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _ask(idle: SimpleQueue[Helper], low: int, high: int) -> bytes:
    helper = idle.get()
    try:
        _tell(helper, [low, high])
        output = cast(IO[bytes], helper.stdout)
        hashes = output.read(int.from_bytes(output.read(4), "big"))
    except OSError:
        return b""  # it has died and vouches for nothing
    finally:
        idle.put(helper)
    return hashes[: len(hashes) // _HASH * _HASH]


def _tell(helper: Helper, words: list[str | int]) -> None:
    """Past the buffer of the pipe: what a helper that has died did not take would be written when it is closed."""
    os.write(cast(IO[bytes], helper.stdin).fileno(), json.dumps(words).encode() + b"\n")


def vouch() -> None:
    """The helper: a line with the database's address and the size of the head, then a line for each run."""
    url, head_size = json.loads(sys.stdin.readline())
    source = connect(url)
    for line in sys.stdin:
        low, high = json.loads(line)
        hashes = b"".join(_good(source, low, high, head_size))
        sys.stdout.buffer.write(len(hashes).to_bytes(4, "big") + hashes)
        sys.stdout.buffer.flush()


def _good(source: Database, low: int, high: int, head_size: int) -> Iterator[bytes]:
    try:
        with source.read_engine.connect() as connection:
            hashes = checked_hashes(connection, first=low, head_size=head_size, erased_before=head_size)
            yield from islice(hashes, high - low)
    except Exception:  # noqa: BLE001 - whatever is wrong, the asker looks for itself
        return


if __name__ == "__main__":
    vouch()
