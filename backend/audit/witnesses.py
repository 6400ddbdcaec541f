"""Which hosts co-sign our checkpoints: `WARRANT_AUDIT_WITNESSES`, `URL VERIFIER-KEY` each, separated by commas."""

from __future__ import annotations

from dataclasses import dataclass

from backend.audit.notes import TIMED, NoteMalformed, VerifierKey
from backend.errors import BadInput
from backend.settings import settings


@dataclass(frozen=True)
class Witness:
    """Where a witness answers, and the key its lines must verify with."""

    url: str
    key: VerifierKey


def witnesses() -> list[Witness]:
    """The witnesses of this home. Raises `BadInput` for a setting that cannot be read."""
    found = []
    for one in settings().audit_witnesses.split(","):
        if not one.strip():
            continue
        url, _, key = one.strip().partition(" ")
        try:
            parsed = VerifierKey.parse(key)
        except NoteMalformed as error:
            raise BadInput(f"WARRANT_AUDIT_WITNESSES: {error}; write `URL VERIFIER-KEY`") from error
        if parsed.kind != TIMED or not url.startswith(("http://", "https://")):
            raise BadInput(
                f"WARRANT_AUDIT_WITNESSES: {url!r} with {parsed.name!r} is not a web address and a witness's key "
                "(of type 4, as `warrant witness` prints it)"
            )
        found.append(Witness(url.rstrip("/"), parsed))
    return found
