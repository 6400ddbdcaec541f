"""Backups on the page Jobs: the newest one, what the last drills measured, and what is late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from app.components.links import when
from app.components.status import banner, empty_state
from app.components.tables import badge, long_text, small, table
from app.formats import UNKNOWN, format_age, format_bytes, format_count, format_seconds
from app.words import count_of


def show_backups(found: Mapping[str, Any]) -> None:
    """`found`: `backups` of app.data."""
    newest, drills = found["newest"], found["drills"]
    if not found["is_set"] and newest is None:
        empty_state(
            "No backups are made",
            "Make a key with `warrant backup-key FILE`, keep a copy of it elsewhere, and set WARRANT_BACKUP_KEY_FILE "
            "and WARRANT_BACKUP_FOLDER, a folder on another disk. Workers then make one a day and try one a week.",
        )
        return
    for one in found["late"]:
        banner(f"{one[:1].upper()}{one[1:]}.", "page", word="overdue")
    if drills and not drills[0]["ok"]:
        banner(
            f"The last restore drill failed: {drills[0]['problem']}. Until one passes, nobody knows whether what "
            "is saved can be restored. `warrant restore-drill` tries again at once.",
            "page",
            word="drill failed",
        )
    if newest is None:
        empty_state(
            "No backup was made yet", "A worker makes the first one soon; `warrant backup` makes one at once."
        )
        return
    _show_newest(newest)
    _show_drills(drills)


def _show_newest(newest: Mapping[str, Any]) -> None:
    table(
        ("newest backup", "holds the moment", "size", "entries of the log", "took"),
        [
            [newest["file"], when(newest["snapshot_at"], seconds=True), format_bytes(newest['bytes']),
             format_count(newest["entries"]), format_seconds(newest["took_s"], 0)]
        ],
    )  # fmt: skip
    if newest["left_out"]:
        banner(
            f"{count_of(len(newest['left_out']), 'thing')} that it does not hold: {'; '.join(newest['left_out'])}.",
            "attention",
            word="left out",
        )


def _show_drills(drills: Sequence[Mapping[str, Any]]) -> None:
    if not drills:
        empty_state(
            "No backup was ever restored",
            "A worker tries the newest one every week; `warrant restore-drill` does at once.",
        )
        return
    table(
        ("restore drill", "result", "RTO (until verified)", "RPO (age of the moment)", "entries since", "backup"),
        [
            [when(one["at"], seconds=True), badge("passed", "ok") if one["ok"] else badge("failed", "page"),
             format_seconds(one["rto_s"]),
             UNKNOWN if one["rpo_s"] is None else format_age(timedelta(seconds=one["rpo_s"])),
             format_count(one["entries_since"]),
             small(one["file"]) if one["ok"] else long_text(one["problem"])]
            for one in drills
        ],
    )  # fmt: skip
