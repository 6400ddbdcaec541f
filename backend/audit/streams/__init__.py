"""Where entries are sent as they come: one file a kind, one row of `KINDS`.

`WARRANT_AUDIT_STREAMS`: `KIND ADDRESS FORM [payload]` of each destination, separated by commas:

    webhook https://siem.example/in ocsf, syslog tls://siem.example:6514 cef payload

Without `payload` only leaves leave, which hold opaque ids: what was sent, no erasure reaches any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from backend.audit.formats import Format, format_named
from backend.audit.streams import syslog, webhook
from backend.audit.streams.base import Destination
from backend.errors import BadInput
from backend.settings import settings

KINDS: Final[dict[str, Callable[[str], Destination]]] = {"webhook": webhook.Webhook, "syslog": syslog.Syslog}


@dataclass(frozen=True)
class Stream:
    """One destination with the form it takes entries in."""

    kind: str
    address: str
    form: Format
    with_payload: bool
    destination: Destination

    @property
    def name(self) -> str:
        """What its cursor is kept under."""
        return f"stream {self.kind} {self.address}"


def streams() -> list[Stream]:
    """The destinations of this home. Raises `BadInput` for a setting that cannot be read."""
    return [_parse(one) for one in settings().audit_streams.split(",") if one.strip()]


def stream_names() -> list[str]:
    """What the cursors of the destinations that the setting names are kept under, also where one cannot be opened here:
    the secret of a webhook is the worker's."""
    asked = [one.split() for one in settings().audit_streams.split(",")]
    return [f"stream {one[0]} {one[1]}" for one in asked if len(one) > 1]


def _parse(text: str) -> Stream:
    kind, address, form, *rest = [*text.split(), "", "", ""][: max(3, len(text.split()))]
    if kind not in KINDS or rest not in ([], ["payload"]):
        raise BadInput(
            f"WARRANT_AUDIT_STREAMS: {text.strip()!r} is not `KIND ADDRESS FORM [payload]` with a kind of "
            f"{', '.join(KINDS)}"
        )
    return Stream(kind, address, format_named(form), bool(rest), KINDS[kind](address))
