"""The log as a file, a piece at a time: whatever its size, some hundred entries are in memory. An export is an entry.

    with writing() as session:
        export = begin_export(session, actor, wanted, form="csv")
    for piece in pieces(export): ...

The entry of the export itself and what follows it are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from backend import clock
from backend.audit.actions import Action
from backend.audit.formats import Format, format_named
from backend.audit.formats.record import Record, as_record
from backend.audit.log import record
from backend.audit.reading import entry_views
from backend.audit.rows import as_stored
from backend.audit.searching import Search, as_recorded, matching_entries
from backend.database.session import ReadSession, WriteSession, reading
from backend.identity.actor import Actor
from backend.identity.reach import allow, see
from backend.identity.roles import Permission

PAGE = 1_000


@dataclass(frozen=True)
class Export:
    """What was asked for, by whom; `recorded_by` is the entry that says so, and the first that is not in it."""

    viewer: Actor
    wanted: Search
    form: Format
    recorded_by: int
    file_name: str


def begin_export(session: WriteSession, actor: Actor, wanted: Search, *, form: str, why: str = "") -> Export:
    """Record who takes which part of the log away, in which form. Raises `BadInput` for a form there is not."""
    allow(session, actor, Permission.READ_AUDIT)
    chosen = format_named(form)
    seq = record(
        session, actor, Action.AUDIT_EXPORTED, object_kind="log", object_id="entries",
        payload={"search": as_recorded(session, wanted), "form": form}, why=why,
    )  # fmt: skip
    stamp = clock.now().strftime("%Y%m%dT%H%MZ")
    return Export(actor, wanted, chosen, seq, f"warrant-audit-{stamp}.{chosen.extension}")


def pieces(export: Export) -> Iterator[bytes]:
    """The file, oldest entry first, as far as the viewer may see."""
    if export.form.header:
        yield f"{export.form.header}\n".encode()
    after = -1
    while True:
        with reading() as session:
            found = records(
                session,
                export.viewer,
                export.wanted,
                after_seq=after,
                before_seq=export.recorded_by,
                limit=PAGE,
            )
        if not found:
            return
        yield "".join(f"{export.form.line(one)}\n" for one in found).encode("utf-8", "replace")
        after = found[-1].seq


def records(
    session: ReadSession,
    viewer: Actor,
    wanted: Search,
    *,
    after_seq: int,
    before_seq: int | None = None,
    limit: int = PAGE,
) -> list[Record]:
    """Entries after `after_seq` that match, oldest first."""
    see(session, viewer, Permission.READ_AUDIT)
    query = matching_entries(session, viewer, wanted, after_seq=after_seq, before_seq=before_seq, limit=limit)
    entries = [as_stored(row) for row in session.execute(query)]
    views = entry_views(session, viewer, entries)
    return [as_record(entry, view) for entry, view in zip(entries, views, strict=True)]
