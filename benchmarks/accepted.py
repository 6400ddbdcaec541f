"""Writers that keep a list of what an installation has accepted, while its processes are killed.

Each write has words of its own and an Idempotency-Key (a prediction its id). What is not answered, or answered with
"later" (429, 5xx), is sent again under the same key until it is: as a client does that wants its write to count once.
"""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from backend.clock import now, to_iso
from benchmarks.installation import Installation
from benchmarks.small_home import MODEL, VERSIONS

PAUSE_S: Final = 0.05
AGAIN_S: Final = 0.2
BATCH: Final = 5
PATIENCE_S: Final = 180.0
OVER: Final = ("executed", "failed", "void", "rejected", "expired", "cancelled")


class NeverAnswered(RuntimeError):
    """A write that got no answer for so long that something must be broken for good."""


class Refused(RuntimeError):
    """An answer that says no, and would say so again."""


@dataclass
class Accepted:
    """What was answered with 2xx: words of notes, ids of predictions, changes by the words of their reason, and who
    approved which; and how long the slowest of all took, with everything that had to be sent again."""

    notes: list[str] = field(default_factory=list)
    predictions: list[str] = field(default_factory=list)
    changes: dict[str, int] = field(default_factory=dict)
    approvals: list[int] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    sent_again: int = 0

    def __str__(self) -> str:
        return (
            f"accepted: {len(self.notes)} notes, {len(self.predictions)} predictions, {len(self.changes)} changes, "
            f"{len(self.approvals)} decisions; refused: {len(self.refusals)}; sent again: {self.sent_again}"
        )

    def __len__(self) -> int:
        return len(self.notes) + len(self.predictions) + len(self.changes) + len(self.approvals)


class Writers:
    """Threads that write until told to stop; each finishes the write that it is at."""

    def __init__(self, site: Installation, incident: int) -> None:
        self.accepted = Accepted()
        self._site = site
        self._incident = incident
        self._tokens = {name: site.token(name) for name in ("lead", "lead2", "oncall", "engineer")}
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        works: list[Callable[[], None]] = [
            lambda: self._note("oncall"), lambda: self._note("lead"), lambda: self._note("engineer"),
            self._predict, self._predict, self._send_batches, self._change,
        ]  # fmt: skip
        self._threads = [threading.Thread(target=self._kept, args=(work,), daemon=True) for work in works]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """As long as the block lasts. Raises what a writer met with that cannot be."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(2 * PATIENCE_S)
        if self._failures:
            raise self._failures[0]

    def _kept(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - it is raised where the writers were started
            self._failures.append(failure)

    def _note(self, username: str) -> None:
        with self._client(username) as client:
            for number in itertools.count():
                if self._stop.wait(PAUSE_S):
                    return
                words = f"{username} saw this, {number}, {uuid.uuid4().hex}"
                self._post(client, f"/incidents/{self._incident}/notes", {"text": words})
                self.accepted.notes.append(words)

    def _predict(self) -> None:
        with httpx.Client(base_url=self._site.gateway, timeout=15) as client:
            while not self._stop.wait(PAUSE_S):
                name = uuid.uuid4().hex
                self._post(
                    client, f"/v1/models/{MODEL}/predict", {"prediction_id": name, "features": _features()}
                )
                self.accepted.predictions.append(name)

    def _send_batches(self) -> None:
        """Predictions of a model that is served elsewhere, in batches to the REST API."""
        with self._client("engineer") as client:
            while not self._stop.wait(PAUSE_S):
                names = [uuid.uuid4().hex for _ in range(BATCH)]
                rows = [
                    {"prediction_id": name, "ts": to_iso(now()), "version": VERSIONS[-1], "features": _features(),
                     "score": 0.5} for name in names
                ]  # fmt: skip
                self._post(client, f"/models/{MODEL}/predictions", {"predictions": rows})
                self.accepted.predictions += names

    def _change(self) -> None:
        """Rollbacks and promotions in turn: asked for by one person, approved by another, carried out by a worker."""
        with self._client("lead") as asking, self._client("lead2") as deciding:
            while not self._stop.wait(PAUSE_S):
                try:
                    self._ask_and_approve(asking, deciding)
                except Refused as refused:  # such as: what serves has moved since
                    self.accepted.refusals.append(str(refused))
                    self._stop.wait(1.0)

    def _ask_and_approve(self, asking: httpx.Client, deciding: httpx.Client) -> None:
        serving = self._get(asking, f"/models/{MODEL}/deployments")["deployments"]
        current = next(one["version"] for one in serving if one["role"] == "champion" and not one["ended_at"])
        older, newer = VERSIONS
        kind, wanted = ("rollback", older) if current == newer else ("promote", newer)
        what = {"kind": kind, "model": MODEL, "to_version": wanted}
        seen = self._get(asking, f"/changes/preview?kind={kind}&model={MODEL}&to_version={wanted}")["digest"]
        reason = f"wanted, {uuid.uuid4().hex}"
        number = self._post(asking, "/changes", {**what, "reason": reason, "digest": seen})["id"]
        self.accepted.changes[reason] = number
        change = self._awaited(asking, number, "waiting")
        if change["state"] == "waiting":
            decided = {"verdict": "approve", "comment": "agreed", "digest": change["digest"]}
            self._post(deciding, f"/changes/{number}/decisions", decided)
            self.accepted.approvals.append(number)
            self._awaited(asking, number, *OVER)

    def _awaited(self, client: httpx.Client, number: int, *states: str) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        while (change := self._get(client, f"/changes/{number}"))["state"] not in (*states, *OVER):
            if time.monotonic() > until:
                raise NeverAnswered(
                    f"change {number} is {change['state']} for {PATIENCE_S:g} s: {change['outcome']}"
                )
            time.sleep(0.2)
        return change

    def _client(self, username: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._tokens[username]}"}
        return httpx.Client(base_url=f"{self._site.url}/api/v1", headers=headers, timeout=15)

    def _get(self, client: httpx.Client, path: str) -> dict[str, Any]:
        return self._sent(lambda: client.get(path), path)

    def _post(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        return self._sent(lambda: client.post(path, json=body, headers=key), path)

    def _sent(self, send: Callable[[], httpx.Response], path: str) -> dict[str, Any]:
        """The answer, however often it has to be sent. Raises `Refused`, `NeverAnswered`."""
        began, last = time.monotonic(), ""
        while time.monotonic() - began < PATIENCE_S:
            try:
                answer = send()
                if answer.is_success:
                    self.accepted.longest_s = max(self.accepted.longest_s, time.monotonic() - began)
                    found: dict[str, Any] = answer.json()
                    return found
                last = f"{path} answered {answer.status_code}: {answer.text[:300]}"
                if answer.status_code < 500 and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    raise Refused(last)
            except httpx.HTTPError as failure:
                last = f"{path}: {type(failure).__name__}: {failure}"
            self.accepted.sent_again += 1
            time.sleep(AGAIN_S)
        raise NeverAnswered(f"{PATIENCE_S:g} s without an answer: {last}")


def _features() -> dict[str, Any]:
    return {"distance": 800.0, "carrier": "UA"}
