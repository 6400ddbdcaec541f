"""Entries by HTTP POST, signed as everything that Warrant sends (`backend.signed_http`).

    {"origin": "<name of the log>", "first": 12, "last": 13, "form": "ocsf", "entries": [{…}, {…}]}

An entry is an object, or a line of text in the forms that are no JSON. An answer of 2xx says that all were taken.
"""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import urlsplit

from backend.audit.streams.base import Batch
from backend.errors import BadInput
from backend.settings import settings
from backend.signed_http import SignedSender

PAUSES_S: Final = (0.2, 1.0)  # within one run; the next run tries again


class Webhook:
    def __init__(self, address: str) -> None:
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).hostname:
            raise BadInput(f"WARRANT_AUDIT_STREAMS: {address!r} is not a web address")
        secret = settings().audit_stream_secret
        if not secret:
            raise BadInput("WARRANT_AUDIT_STREAM_SECRET is not set: a webhook has to know who sends")
        self._sender = SignedSender(address, secret, pauses_s=PAUSES_S)

    def send(self, batch: Batch) -> None:
        lines = [batch.form.line(one) for one in batch.records]
        is_json = batch.form.media_type == "application/x-ndjson"
        self._sender.post(
            {
                "origin": batch.origin, "first": batch.first, "last": batch.last, "form": batch.form.name,
                "entries": [json.loads(line) for line in lines] if is_json else lines,
            },
            # After a restore other entries have numbers that were sent already; they are no repetition.
            key=f"audit-{batch.first}-{batch.last}-{batch.records[-1].leaf_hash[:16]}",
        )  # fmt: skip
