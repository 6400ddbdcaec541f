"""Entries by syslog (RFC 5424) over TLS (RFC 5425) or plain TCP, each framed by its length (RFC 6587, section 3.4.1).

Syslog has no answer. After a batch we say that nothing more comes and wait until the other side closes as well, which
it does once it has read everything; a connection that ends otherwise, or does not end, counts as not taken. A collector
that reads and then loses what it read cannot be told from one that kept it: where that matters, use a webhook.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from backend import outgoing
from backend.audit.formats.ocsf import mapping
from backend.audit.formats.record import Record
from backend.audit.streams.base import Batch
from backend.errors import BadInput
from backend.signed_http import NotAnswered

FACILITY: Final = 13  # log audit
TIMEOUT_S: Final = 10.0
# RFC 5424's severity (6 informational, 5 notice, 4 warning, 2 critical) by OCSF's severity_id
_SEVERITY: Final = {1: 6, 2: 5, 3: 5, 4: 4, 5: 2}
_BOM: Final = "\ufeff"


class Syslog:
    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("tls", "tcp") or not host or not port:
            raise BadInput(
                f"WARRANT_AUDIT_STREAMS: {address!r} is not an address such as tls://siem.example:6514 or "
                "tcp://siem.example:601"
            )
        self._host, self._port, self._address = host, port, address
        self._tls = ssl.create_default_context() if parts.scheme == "tls" else None

    def send(self, batch: Batch) -> None:
        frames = b"".join(frame(message(one, batch.form.line(one), batch.origin)) for one in batch.records)
        try:
            with self._connected() as connection:
                connection.sendall(frames)
                if isinstance(connection, ssl.SSLSocket):
                    with suppress(ssl.SSLEOFError):  # collectors that close without the farewell of TLS
                        connection.unwrap()
                    return
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
        except (OSError, outgoing.NotReachable) as error:
            problem = str(error) or type(error).__name__
            raise NotAnswered(
                f"{self._address} did not take the entries {batch.first} to {batch.last}: {problem}"
            ) from error

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with outgoing.connected(self._host, self._port, timeout=TIMEOUT_S) as plain:
            if self._tls is None:
                yield plain
                return
            with self._tls.wrap_socket(plain, server_hostname=self._host) as sealed:
                yield sealed


def frame(content: str) -> bytes:
    encoded = content.encode("utf-8", "replace")
    return b"%d %b" % (len(encoded), encoded)


def message(record: Record, line: str, origin: str) -> str:
    """Header, the entry's number and hash as structured data, and its line."""
    priority = FACILITY * 8 + _SEVERITY[mapping().severity(record.action)]
    host = _name(origin.partition("/")[0], 255)
    data = f'[warrant@32473 seq="{record.seq}" hash="{_value(record.leaf_hash)}"]'
    at = record.at if re.fullmatch(r"[0-9T:.Z-]{27}", record.at) else "-"
    return f"<{priority}>1 {at} {host} warrant - {_name(record.action, 32)} {data} {_BOM}{line}"


def _name(text: str, most: int) -> str:
    """A header field: printable ASCII without blanks, `-` where nothing is left."""
    return re.sub(r"[^!-~]", "", text)[:most] or "-"


def _value(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", text)
