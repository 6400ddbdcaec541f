"""One entry of the log: its facts, each with the way to what it is about."""

from __future__ import annotations

import json
from typing import Any

from app.components.links import href
from app.components.tables import Cell, lines, link, small
from app.formats import format_utc
from backend.audit.reading import EntryView


def object_address(kind: str, object_id: str) -> str | None:
    """Where the console shows what an entry is about; None where no page does."""
    name, _, rest = object_id.partition("/")
    version, _, number = rest.partition("/")
    addresses = {
        "change": href("change", id=object_id), "incident": href("incident", id=object_id),
        "model": href("inventory_model", model=object_id), "version": href("registry", about=name),
        "card": href("card", model=name, version=version or None, number=number or None),
        "policy": href("policy"), "monitor": href("monitors"), "access_review": href("access"),
        "audit_finding": href("audit", view="findings"), "data_request": href("data_rights"),
        "backup": href("jobs"), "restore_drill": href("jobs"),
        "person": href("audit", who=object_id), "hold": href("audit", kind="hold", object=object_id),
        "pack": href("packs"), "log": href("audit"),
    }  # fmt: skip
    return addresses.get(kind)


def entry_facts(entry: EntryView, leaf: str) -> dict[str, Any]:
    """Who, in which session, from where, did what to what, when and why, as far as the entry has it. The address only
    where the viewer may see payloads; times in UTC."""
    said = _members(leaf)
    named = f"{entry.object_kind} {entry.object_id}"
    address = object_address(entry.object_kind, entry.object_id)
    thing: Cell = link(named, address) if address else named
    found: dict[str, Any] = {
        "when": format_utc(entry.at),
        "who": lines(entry.actor_name, small(f"{entry.actor_id}, {entry.actor_kind}")),
        "name today": entry.name_now or None,
        "of the name": "by today's list of people: the one that was recorded cannot be read"
        if entry.name_unbound
        else None,
        "acting for": entry.acting_for,
        "session": said.get("session"),
        "request": said.get("request"),
        "from the address": (entry.payload or {}).get("address"),
        **_seat((entry.payload or {}).get("command_line")),
        "what": entry.action,
        "object": thing,
        "why": entry.why or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _seat(said: Any) -> dict[str, str]:
    """Who sat at the command line, as the operating system said."""
    if not isinstance(said, dict):
        return {}
    login, account = said.get("login"), said.get("account")
    whose = f"{login}, as {account}," if login != account else f"{login}"
    return {"at the command line": f"{whose} on {said.get('host')}"}


def _members(leaf: str) -> dict[str, Any]:
    """What the leaf says; nothing where it is damaged."""
    try:
        found = json.loads(leaf)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
