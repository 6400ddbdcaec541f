"""/api/v1/docs: the API's routes as one plain page. FastAPI's own page loads its scripts from a content network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.templates import render


def api_page(api: FastAPI) -> Callable[[Request], Response]:
    """The endpoint that lists `api`'s routes by their tag."""

    def answer(_request: Request) -> Response:
        document = api.openapi()
        page = render(
            "api.html",
            version=document["info"]["version"],
            description=document["info"].get("description", ""),
            groups=_groups(document),
        )
        return HTMLResponse(page)

    return answer


def _groups(document: dict[str, Any]) -> list[tuple[str, list[dict[str, str]]]]:
    groups: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            first_line = route.get("description", route.get("summary", "")).splitlines()[:1]
            groups[(route.get("tags") or ["other"])[0]].append(
                {"method": method.upper(), "path": f"/api/v1{path}", "summary": "".join(first_line)}
            )
    return sorted(groups.items())
