"""OCSF events, one JSON object a line, as `ocsf.yaml` maps actions: Authentication (3002), Entity Management (3004) or
API Activity (6003)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import yaml

from backend import clock
from backend.audit.formats.record import Record

AUTHENTICATION: Final = 3002
ENTITY_MANAGEMENT: Final = 3004
OTHER: Final = 99
_FALLBACK: Final = (6003, OTHER)
_USER_TYPES: Final = {"person": 1, "system": 3, "service": 99}  # user.type_id


@dataclass(frozen=True)
class Mapping:
    """What `ocsf.yaml` says."""

    version: str
    classes: dict[int, dict[str, Any]]
    verbs: dict[str, tuple[int, int]]
    actions: dict[str, tuple[int, int]]
    severities: dict[str, int]
    failures: frozenset[str]

    def of(self, action: str) -> tuple[int, int]:
        """Class and activity of an action."""
        return self.actions.get(action) or self.verbs.get(action.rsplit(":", 1)[-1]) or _FALLBACK

    def severity(self, action: str) -> int:
        return self.severities.get(action, 1)


@cache
def mapping() -> Mapping:
    document = yaml.safe_load(Path(__file__).with_name("ocsf.yaml").read_text(encoding="utf-8"))
    pairs = {
        part: {name: (int(one[0]), int(one[1])) for name, one in document[part].items()}
        for part in ("verbs", "actions")
    }
    return Mapping(
        document["version"], document["classes"], **pairs, severities=document["severities"],
        failures=frozenset(document["failures"]),
    )  # fmt: skip


@cache
def product_version() -> str:
    try:
        return version("warrant")
    except PackageNotFoundError:
        return "0"


def line(record: Record) -> str:
    return json.dumps(event(record), ensure_ascii=False, separators=(",", ":"))


def event(record: Record) -> dict[str, Any]:
    """The event of one entry. `time` is milliseconds since 1970; `metadata.sequence` the entry's number."""
    class_uid, activity = mapping().of(record.action)
    described = mapping().classes[class_uid]
    found: dict[str, Any] = {
        "activity_id": activity, "activity_name": described["activities"][activity],
        "category_uid": described["category_uid"], "category_name": described["category_name"],
        "class_uid": class_uid, "class_name": described["name"], "type_uid": class_uid * 100 + activity,
        "severity_id": mapping().severity(record.action), **_status(record), "time": milliseconds(record.at),
        "message": record.why or record.action,
        "metadata": {
            "product": {"name": "Warrant", "vendor_name": "Warrant", "version": product_version()},
            "version": mapping().version, "uid": record.leaf_hash, "sequence": record.seq,
            "event_code": record.action, "original_time": record.at,
        },
        "actor": {"user": _user(record)},
        "unmapped": {"leaf": record.leaf, "payload": record.payload, "acting_for": record.acting_for or None},
    }  # fmt: skip
    if record.session:
        found["actor"]["session"] = {"uid": record.session}
    thing = {"uid": record.object_id, "type": record.object_kind}
    source = {"ip": record.address} if record.address else {"name": "unknown"}
    if class_uid == AUTHENTICATION:
        found |= {"user": _signing_in(record), "service": {"name": "Warrant"}, "src_endpoint": source}
    elif class_uid == ENTITY_MANAGEMENT:
        found["entity"] = thing
    else:
        found["api"] = {"operation": record.action, "service": {"name": record.action.split(":")[0]}}
        if record.request:
            found["api"]["request"] = {"uid": record.request}
        found["resources"] = [thing]
        found["src_endpoint"] = source
    return found


def _status(record: Record) -> dict[str, Any]:
    if record.action not in mapping().failures:
        return {"status_id": 1, "status": "Success"}
    said = (record.payload or {}).get("reason") or (record.payload or {}).get("problem") or record.why
    return {"status_id": 2, "status": "Failure", **({"status_detail": str(said)} if said else {})}


def _signing_in(record: Record) -> dict[str, Any]:
    """Whose session it is. A refused attempt is recorded by Warrant itself, of the person whose name was typed."""
    if record.object_kind == "person" and record.actor_kind == "system":
        return {"uid": record.object_id, "type_id": 0}
    return _user(record)


def milliseconds(at: str) -> int:
    """0 for a damaged entry whose time cannot be read."""
    try:
        return int(clock.from_iso(at).timestamp() * 1000)
    except ValueError:
        return 0


def _user(record: Record) -> dict[str, Any]:
    return {
        "uid": record.actor, "name": record.actor_name, "type_id": _USER_TYPES.get(record.actor_kind, 0),
        "type": record.actor_kind,
    }  # fmt: skip
