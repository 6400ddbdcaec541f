"""The console process: Streamlit pages, REST API, sign-in, downloads, /healthz and /metrics on one port.

    python -m app.server

Everything but signing in and the two probes needs a session; the API checks its own callers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    data_downloads,
    downloads,
    inventory_downloads,
    pack_downloads,
    phone_pages,
    probes,
    registry_downloads,
    series_downloads,
    slo_downloads,
)
from app.api_page import api_page
from app.frame import Frame
from app.gate import Gate
from app.packed import PackedStatic
from app.templates import render
from backend.api.app import create_api
from backend.api.signin import sign_in_routes
from backend.settings import settings

ROOT = Path(__file__).resolve().parents[1]


def create_app() -> App:
    """The ASGI application. One a process: Streamlit keeps its runtime in globals."""
    _configure_streamlit()
    return App(
        ROOT / "app" / "main.py",
        routes=_routes(),
        middleware=[Middleware(Gate), Middleware(PackedStatic), Middleware(Frame)],
    )


def _routes() -> list[BaseRoute]:
    forms = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    forms.include_router(sign_in_routes(render))
    # As routes of their own and not as one mount, which would swallow every page.
    paths = ("/signin", "/signout", "/setup", "/setup/{rest:path}", "/oidc/{rest:path}")
    sign_in = [Route(path, forms) for path in paths]
    api = create_api()
    docs = Route("/api/v1/docs", api_page(api))
    # The overview is the page at "/"; Streamlit answers its own name with "Page not found".
    home = Route("/overview", lambda _: RedirectResponse("/"))
    return [
        home,
        *probes.routes(),
        *downloads.routes(),
        *series_downloads.routes(),
        *slo_downloads.routes(),
        *analysis_downloads.routes(),
        *registry_downloads.routes(),
        *inventory_downloads.routes(),
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
    options |= {"browser.gatherUsageStats": False, "client.showErrorDetails": "none"}
    config.get_config_options(force_reparse=True, options_from_flags=options)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def main() -> None:
    uvicorn.run(
        create_app(), host=settings().host, port=settings().port, log_level="warning", access_log=False,
        ws_max_size=64 << 20, timeout_graceful_shutdown=2, proxy_headers=False, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
