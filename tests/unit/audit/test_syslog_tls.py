"""Syslog over TLS: the collector is who its certificate says, and closes once it has read everything."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from backend.audit.formats import format_named
from backend.audit.streams.base import Batch
from backend.audit.streams.syslog import Syslog
from backend.errors import BadInput
from backend.signed_http import NotAnswered
from tests.unit.audit.test_stream_keys import entry


def certificate(folder: Path) -> Path:
    """A key and a certificate of `localhost` that it signs itself, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    file = folder / "collector.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + made.public_bytes(pem)
    )
    return file


class Collector:
    """Takes one connection and closes it with a farewell, without one (`cut`), or before it has read (`reset`)."""

    def __init__(self, file: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self.got, self.closes = b"", "farewell"
        self._context, self._server = context, socket.create_server(("127.0.0.1", 0))
        self.address = f"tls://localhost:{self._server.getsockname()[1]}"
        self.thread = threading.Thread(target=self._take, daemon=True)
        self.thread.start()

    def _take(self) -> None:
        plain, _ = self._server.accept()
        try:
            with self._context.wrap_socket(plain, server_side=True) as sealed:
                if self.closes == "reset":
                    sealed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                while piece := sealed.recv(4096):
                    self.got += piece
                if self.closes == "farewell":
                    sealed.unwrap()
        except OSError:  # who does not trust the certificate is gone
            pass
        finally:
            self._server.close()


@pytest.fixture
def collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    file = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    made = Collector(file)
    yield made
    made.thread.join(10)


def batch() -> Batch:
    return Batch("warrant.example/audit", format_named("cef"), (entry(7, "aa" * 32),))


@pytest.mark.parametrize("closes", ["farewell", "cut"])
def test_entries_go_to_who_the_certificate_names(collector: Collector, closes: str) -> None:
    collector.closes = closes
    Syslog(collector.address).send(batch())
    collector.thread.join(10)
    length, _, message = collector.got.partition(b" ")
    assert int(length) == len(message) and b'seq="7"' in message


def test_a_connection_that_is_reset_is_not_taken_for_read(collector: Collector) -> None:
    collector.closes = "reset"
    with pytest.raises(NotAnswered, match="did not take the entries 7 to 7"):
        Syslog(collector.address).send(batch())


def test_nobody_else_gets_entries(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(NotAnswered, match="CERTIFICATE_VERIFY_FAILED"):
        Syslog(collector.address).send(batch())
    assert collector.got == b""


def test_other_ways_are_none() -> None:
    with pytest.raises(BadInput, match="tls://"):
        Syslog("udp://siem.example:514")
