"""The console process: Streamlit pages, REST API, sign-in, downloads, /healthz and /metrics on one port.

    python -m app.server [--share-port]

With `--share-port` several such processes listen on one port (Linux), and each connection goes to one of them.

Everything but signing in and the two probes needs a session; the API checks its own callers.
"""

from __future__ import annotations

import gc
import logging
import socket
import sys
import threading
import tomllib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
import uvicorn
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Mount, Route
from streamlit import config
from streamlit.starlette import App

from app import (
    analysis_downloads,
    card_downloads,
    control_downloads,
    cost_downloads,
    data_downloads,
    downloads,
    inventory_downloads,
    made_files,
    pack_downloads,
    phone_pages,
    probes,
    registry_downloads,
    series_downloads,
    slo_downloads,
    uploads,
)
from app.answers import Timed
from app.api_page import api_page
from app.frame import Frame
from app.gate import Gate
from app.packed import PackedStatic
from app.templates import render
from backend.api import mlflow_hook
from backend.api.app import create_api
from backend.api.limits import AddressRate, BodyLimit
from backend.api.rates import Buckets
from backend.api.signin import sign_in_routes
from backend.assurance.documents import LARGEST_BYTES
from backend.database.session import writing
from backend.errors import WarrantError
from backend.http_heads import BoundedHeads
from backend.identity.actor import system_actor
from backend.identity.ways_in import end_local_sessions, require_a_way_in
from backend.logs import configure_logging
from backend.settings import settings
from backend.tracing import start_tracing

LARGEST_UPLOAD_MB = LARGEST_BYTES >> 20
# A page waits for the interpreter after each answer of the database: with Python's 5 ms, fifty people at once wait for
# each other a hundred times a page.
SWITCH_INTERVAL_S = 0.0005
# Requests that are answered at once; the others wait in the order in which they came, as scripts do (`app.turns`).
ANSWERS_AT_ONCE = 8
# By then the libraries that pages draw with are there. What Python looks through for garbage leaves them out from then
# on: with them, every look holds up everybody for half a second.
SETTLED_AFTER_S = 60.0
ROOT = Path(__file__).resolve().parents[1]


def create_app() -> App:
    """The ASGI application. One a process: Streamlit keeps its runtime in globals."""
    _configure_streamlit()
    uploads.share_uploads()
    made_files.share_made_files()
    return App(
        ROOT / "app" / "main.py",
        routes=_routes(),
        middleware=[Middleware(Timed), Middleware(Gate), Middleware(PackedStatic), Middleware(Frame)],
        lifespan=_serving,
    )


@asynccontextmanager
async def _serving(_app: App) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = ANSWERS_AT_ONCE
    settle = threading.Timer(SETTLED_AFTER_S, _settle)
    settle.daemon = True
    settle.start()
    yield
    settle.cancel()


def _settle() -> None:
    gc.collect()
    gc.freeze()


def sign_in_forms() -> FastAPI:
    """Signing in and out, set-up and single sign-on."""
    forms = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    forms.include_router(sign_in_routes(render))
    forms.add_middleware(BodyLimit)
    forms.add_middleware(AddressRate, buckets=Buckets())
    return forms


def _routes() -> list[BaseRoute]:
    forms = sign_in_forms()
    # As routes of their own and not as one mount, which would swallow every page.
    paths = (
        "/signin",
        "/signin/again",
        "/signin/password",
        "/signout",
        "/setup",
        "/setup/{rest:path}",
        "/oidc/{rest:path}",
    )
    sign_in = [Route(path, forms) for path in paths]
    api = create_api()
    docs = Route("/api/v1/docs", api_page(api))
    # The overview is the page at "/"; Streamlit answers its own name with "Page not found".
    home = Route("/overview", lambda _: RedirectResponse("/"))
    return [
        home,
        *probes.routes(),
        *mlflow_hook.routes(),
        *downloads.routes(),
        *uploads.routes(),
        *series_downloads.routes(),
        *slo_downloads.routes(),
        *analysis_downloads.routes(),
        *registry_downloads.routes(),
        *inventory_downloads.routes(),
        *cost_downloads.routes(),
        *card_downloads.routes(),
        *control_downloads.routes(),
        *data_downloads.routes(),
        *pack_downloads.routes(),
        *phone_pages.routes(),
        *sign_in,
        docs,
        Mount("/api/v1", api),
    ]


def _configure_streamlit() -> None:
    """Read our own `.streamlit/config.toml` wherever the process was started: it also turns telemetry off."""
    with (ROOT / ".streamlit" / "config.toml").open("rb") as file:
        options = _flat(tomllib.load(file))
    options |= {
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "server.enableAgentApi": False,
        "server.maxUploadSize": LARGEST_UPLOAD_MB,
    }
    config.get_config_options(force_reparse=True, options_from_flags=options)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def refuse_lock_out() -> None:
    """Local accounts that are switched off: somebody has to be able to administer, and sessions by password end."""
    if settings().local_accounts:
        return
    try:
        with writing() as session:
            require_a_way_in(session)
            end_local_sessions(session, system_actor("console"))
    except WarrantError as error:
        sys.exit(f"warrant: {error.message}")


def main(*, share_port: bool = False) -> None:
    refuse_lock_out()
    console = create_app()
    configure_logging("console", level=logging.WARNING)
    start_tracing("console")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    host, port = settings().host, settings().port
    server = uvicorn.Server(uvicorn.Config(
        console, host=host, port=port, log_level="warning", access_log=False, log_config=None,
        http=BoundedHeads, ws_max_size=64 << 20, timeout_graceful_shutdown=2, proxy_headers=False,
        server_header=False,
    ))  # fmt: skip
    with suppress(KeyboardInterrupt):
        server.run(sockets=[shared_socket(host, port)] if share_port else None)


def shared_socket(host: str, port: int) -> socket.socket:
    """A socket on which other processes listen as well; the kernel gives each connection to one of them."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(address)
    return listener


if __name__ == "__main__":
    main(share_port="--share-port" in sys.argv[1:])
