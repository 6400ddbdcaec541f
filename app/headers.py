"""What every answer of the console tells the browser to refuse.

Streamlit's page sets styles in line and starts workers from blobs, and Plotly's drawing on the graphics card compiles
functions at run time (`'unsafe-eval'`): these are allowed, and nothing else that is not in a file of ours. The two
scripts within the page are allowed by their hashes. Nothing is fetched from, sent to, or framed by anybody else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.frame import TOLD_SCRIPT
from backend.settings import settings

YEAR_S: Final = 365 * 24 * 3600
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)

# What no page of ours uses. The clipboard is used: people copy numbers and digests.
PERMISSIONS: Final = ", ".join(
    f"{one}=()"
    for one in (
        "accelerometer", "bluetooth", "browsing-topics", "camera", "display-capture", "geolocation", "gyroscope", "hid",
        "magnetometer", "microphone", "midi", "payment", "publickey-credentials-get", "screen-wake-lock", "serial",
        "usb", "xr-spatial-tracking",
    )
)  # fmt: skip


def headers_for(host: str) -> dict[str, str]:
    """Of an answer to a request that named this `Host`."""
    found = {
        "Content-Security-Policy": policy(host),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": PERMISSIONS,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if urlsplit(settings().console).scheme == "https":
        found["Strict-Transport-Security"] = f"max-age={YEAR_S}"
    return found


def policy(host: str) -> str:
    """Sockets go to the host that was asked alone: older browsers do not count `ws:` to `'self'`."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        f"default-src 'self'; script-src 'self' 'unsafe-eval' {inline_hashes()}; "
        "script-src-attr 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        f"worker-src 'self' blob:; connect-src 'self'{sockets}; object-src 'none'; frame-src 'self'; "
        "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )


@cache
def inline_hashes() -> str:
    """Of the scripts within Streamlit's page, and of the one that `app.frame` puts there."""
    import streamlit

    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    return " ".join(_hash(one) for one in (TOLD_SCRIPT, *_INLINE.findall(page)))


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
