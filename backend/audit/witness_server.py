"""A host that co-signs the heads of other logs: c2sp.org/tlog-witness. `warrant witness` runs it.

It knows each log by its public key, keeps the last head that it signed for each on disk, and signs a new one only with
a proof that it continues that. It needs no database and nothing else of Warrant's, and belongs on another machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from backend import clock
from backend.audit.keys import create_secret
from backend.audit.merkle import ProofInvalid, verify_consistency
from backend.audit.notes import (
    Checkpoint,
    NoteInvalid,
    NoteMalformed,
    SigningKey,
    VerifierKey,
    decode64,
    verify_note,
)
from backend.durable import durable_folder, write_json

BODY_AT_MOST: Final = 256 * 1024
_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")
_HASHES_AT_MOST: Final = 63
_SIZE_TYPE: Final = "text/x.tlog.size"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer of text."""

    status: int
    body: str
    media_type: str = "text/plain; charset=utf-8"


class WitnessServer:
    """Signs for the given logs; its key and what it signed are in `folder`."""

    def __init__(self, folder: Path, name: str, logs: list[VerifierKey]) -> None:
        durable_folder(folder)
        self._folder, self._guard = folder, threading.Lock()
        path = folder / "witness.key"
        create_secret(path, f"{SigningKey.generate(name).secret()}\n".encode())
        self._key = SigningKey.parse(path.read_text())
        if self._key.verifier.name != name:
            raise NoteMalformed(f"the key in {path} is that of {self._key.verifier.name}, not of {name}")
        self._logs: dict[str, list[VerifierKey]] = {}
        for log in logs:
            self._logs.setdefault(log.name, []).append(log)

    @property
    def verifier(self) -> VerifierKey:
        """What those who verify its signatures need."""
        return self._key.verifier.timed()

    def add_checkpoint(self, body: str) -> Answer:
        """Answer `POST /add-checkpoint`: the signature line, or why not."""
        try:
            old_size, hashes, note = _parse(body)
            origin = note.partition("\n")[0]
            if origin not in self._logs:
                return Answer(404, f"this witness does not know the log {origin[:200]!r}\n")
            text, _ = verify_note(note, self._logs[origin])
            head = Checkpoint.parse(text)
        except NoteInvalid as error:
            return Answer(403, f"{error}\n")
        except NoteMalformed as error:
            return Answer(400, f"{error}\n")
        if old_size > head.size:
            return Answer(400, f"the old size {old_size} is above the checkpoint's {head.size}\n")
        with self._guard:
            return self._sign(text, head, old_size, hashes)

    def _sign(self, text: str, head: Checkpoint, old_size: int, hashes: list[bytes]) -> Answer:
        path = self._folder / f"{_file_name(head.origin)}.json"
        seen = _Seen(**json.loads(path.read_text())) if path.exists() else _Seen()
        if old_size != seen.size or (old_size == head.size and seen.root not in ("", head.root.hex())):
            return Answer(409, f"{seen.size}\n", _SIZE_TYPE)
        if old_size:
            try:
                verify_consistency(old_size, head.size, hashes, bytes.fromhex(seen.root), head.root)
            except ProofInvalid as error:
                return Answer(422, f"{error}\n")
        elif hashes:
            return Answer(422, "from an empty log nothing is to be proved\n")
        line = self._key.sign_at(text, clock.now())
        write_json(path, asdict(_Seen(head.size, head.root.hex(), text)))
        return Answer(200, line)


@dataclass(frozen=True)
class _Seen:
    """The last head that was signed for a log."""

    size: int = 0
    root: str = ""
    text: str = ""


def _parse(body: str) -> tuple[int, list[bytes], str]:
    """Old size, consistency proof and checkpoint. Raises `NoteMalformed`."""
    head, blank, note = body.partition("\n\n")
    lines = head.split("\n")
    old = _OLD.fullmatch(lines[0])
    if old is None or not blank or len(lines) - 1 > _HASHES_AT_MOST:
        raise NoteMalformed(
            "a request has a line `old <size>`, at most 63 hashes, a blank line and a checkpoint"
        )
    return int(old[1]), [decode64(line, "a hash") for line in lines[1:]], note


def _file_name(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()[:32]


def serve(witness: WitnessServer, host: str, port: int) -> ThreadingHTTPServer:
    """A server that is bound and not running yet; `serve_forever` runs it. Port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        server_version = "warrant-witness"
        timeout = 30

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not _LENGTH.fullmatch(length) or int(length) > BODY_AT_MOST:
                self.close_connection = True
                self._answer(Answer(413, f"a request has at most {BODY_AT_MOST} bytes, and says how many\n"))
                return
            content = self.rfile.read(int(length))
            if self.path != "/add-checkpoint":
                self._answer(Answer(404, "there is only /add-checkpoint\n"))
                return
            try:
                body = content.decode()
            except UnicodeDecodeError:
                self._answer(Answer(400, "the request is not UTF-8\n"))
                return
            self._answer(witness.add_checkpoint(body))

        def do_GET(self) -> None:
            self._answer(
                Answer(200, f"{witness.verifier}\n") if self.path == "/" else Answer(404, "nothing here\n")
            )

        def _answer(self, answer: Answer) -> None:
            content = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.media_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: an answer a head is enough."""

    return ThreadingHTTPServer((host, port), Handler)
