"""Real OpenID providers for tests: `oidc-provider-mock` in its own process, and one of our own, with real keys over
HTTP, for what no honest provider would send."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from backend import clock


@contextmanager
def mock_provider() -> Iterator[str]:
    """The address of a process of `oidc-provider-mock`. It answers on loopback only."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--host", "localhost"],
        env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://localhost:{port}"
    try:
        for _ in range(300):
            try:
                httpx.get(f"{address}/.well-known/openid-configuration").raise_for_status()
                break
            except httpx.TransportError:
                assert process.poll() is None, "the provider did not start"
                time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(10)


class CrookedProvider:
    """A provider that issues whatever it is told to: `claims` and `header` change what a token says, `forge` makes the
    whole token."""

    def __init__(self) -> None:
        self.keys = [RSAKey.generate_key(2048, {"kid": "k1"})]
        self.published: list[RSAKey | OctKey] = list(self.keys)
        self.claims: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.forge: Any = None
        self.key_fetches = 0
        self._codes: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _answer(self, provider.get(urlsplit(self.path).path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                if self.path == "/moved":
                    self.send_response(307)
                    self.send_header("Location", f"{provider.issuer}/token")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                _answer(self, provider.post({name: one[0] for name, one in parse_qs(body).items()}))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                **{
                    f"{name}_endpoint": f"{self.issuer}/{name}"
                    for name in ("authorization", "token", "userinfo", "end_session")
                },
                "jwks_uri": f"{self.issuer}/jwks",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            } | self.metadata
        if path == "/jwks":
            self.key_fetches += 1
            return 200, {"keys": [one.as_dict(private=one.key_type == "oct") for one in self.published]}
        return (200, self.userinfo) if path == "/userinfo" else (404, {})

    def agree(self, authorization_url: str) -> dict[str, str]:
        """What the browser brings back after somebody agreed."""
        asked = {name: one[0] for name, one in parse_qs(urlsplit(authorization_url).query).items()}
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        return {"state": asked["state"], "code": code}

    def post(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        asked = self._codes.pop(form.get("code", ""), None)
        if asked is None:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        moment = int(clock.now().timestamp())
        said = {
            "iss": self.issuer, "sub": "ada", "aud": asked["client_id"], "exp": moment + 300, "iat": moment,
            "nonce": asked["nonce"], "sid": "s1", "preferred_username": "ada", "name": "Ada Lindqvist",
        } | self.claims  # fmt: skip
        said = {name: value for name, value in said.items() if value is not None}
        token = self.forge(said) if self.forge else self.sign(said)
        return 200, {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": token}

    def sign(self, said: dict[str, Any], *, typ: str = "JWT") -> str:
        key = self.keys[-1]
        return jwt.encode({"alg": "RS256", "kid": key.kid, "typ": typ}, said, key)

    def rotate(self) -> None:
        """From now on another key signs, and the one before is gone."""
        self.keys.append(RSAKey.generate_key(2048, {"kid": f"k{len(self.keys) + 1}"}))
        self.published = [*self.keys[-1:]]

    def logout_token(self, **changes: Any) -> str:
        moment = int(clock.now().timestamp())
        said = {
            "iss": self.issuer, "aud": "warrant-console", "iat": moment, "exp": moment + 120,
            "jti": secrets.token_hex(8), "sub": "ada", "sid": "s1",
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        } | changes  # fmt: skip
        return self.sign({name: value for name, value in said.items() if value is not None}, typ="logout+jwt")


def _answer(handler: BaseHTTPRequestHandler, answer: tuple[int, dict[str, Any]]) -> None:
    body = json.dumps(answer[1]).encode()
    handler.send_response(answer[0])
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
