"""Whether the search finds each entry by the words that it holds.

The search is no evidence, and `warrant audit reindex` makes it anew. But an entry whose words somebody took out of it
hides from whoever looks for it. So every reconciliation compares some thousand entries with their words, round and
round, and counts all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from backend import clock
from backend.audit.findings import NOT_SEARCHED, close_finding, open_finding, open_findings
from backend.audit.rows import StoredEntry, as_stored, stored_entries
from backend.audit.search_index import MOST_WORDS, SEARCH, entry_words, number, stored_words, words_as_stored
from backend.audit.tables import AuditCursor, AuditEntry
from backend.database.session import ReadSession, WriteSession
from backend.identity.actor import Actor

CURSOR: Final = "search"
SUBJECT: Final = "search"
AT_ONCE: Final = 5_000
NAMED: Final = 20  # entries that the finding names, and that are looked at again until they are found


@dataclass(frozen=True)
class Searched:
    """hidden: entries, in order, whose words are not theirs; lacking: how many more rows there are, or fewer, than
    entries; following: the entry at which the next look begins."""

    hidden: tuple[int, ...]
    lacking: int
    following: int

    @property
    def is_whole(self) -> bool:
        return not self.hidden and not self.lacking


def look_at_search(session: ReadSession) -> Searched:
    """Compare the entries that come next, and those that the open finding names, with their words."""
    cursor = session.get(AuditCursor, CURSOR)
    first = cursor.next_seq if cursor is not None else 0
    # One statement: on PostgreSQL an entry may be appended between two.
    entries, words = (select(func.count()).select_from(one).scalar_subquery() for one in (AuditEntry, SEARCH))
    size, rows = session.execute(select(entries, words)).one()
    known = [
        seq for one in open_findings(session) if one.kind == NOT_SEARCHED for seq in one.details["entries"]
    ]
    lots = [(first, min(first + AT_ONCE, size) - 1), *((seq, seq) for seq in known)]
    hidden = {seq for lot in lots for seq in _hidden(session, *lot)}
    if hidden:  # what was erased between two statements is not hidden
        hidden &= {seq for lot in lots for seq in _hidden(session, *lot)}
    following = first + AT_ONCE if first + AT_ONCE < size else 0
    return Searched(tuple(sorted(hidden)), size - rows, following)


def tell_search(session: WriteSession, actor: Actor, found: Searched) -> None:
    """Keep the finding, and where the next look begins."""
    if found.is_whole:
        close_finding(session, actor, NOT_SEARCHED, subject=SUBJECT, why="each entry has its words again")
    else:
        open_finding(
            session, actor, NOT_SEARCHED, subject=SUBJECT, level="page", title=_title(found),
            details={"entries": list(found.hidden[:NAMED]), "lacking": found.lacking},
        )  # fmt: skip
    cursor = session.get(AuditCursor, CURSOR, with_for_update=True)
    if cursor is None:
        cursor = AuditCursor(name=CURSOR, next_seq=0, moved_at=clock.now())
        session.add(cursor)
    cursor.next_seq, cursor.moved_at = found.following, clock.now()
    session.flush()


def _title(found: Searched) -> str:
    if found.hidden:
        more = f" and {len(found.hidden) - 1:,} more" if len(found.hidden) > 1 else ""
        what = f"entry {found.hidden[0]}{more} {'have' if more else 'has'} other words in the search than in the log"
    else:
        what = f"the search has {abs(found.lacking):,} {'fewer' if found.lacking > 0 else 'more'} rows than the log"
    return f"{what}: somebody altered it, or another version of Warrant made it; run: warrant audit reindex"


def _hidden(session: ReadSession, first: int, last: int) -> list[int]:
    """Of the entries from `first` to `last` those whose words are not theirs."""
    dialect = session.get_bind().dialect.name
    lot = number(dialect).between(first, last)
    rows = session.execute(select(number(dialect), *stored_words(dialect)).where(lot))
    stored = {row[0]: words_as_stored(dialect, row[1], row[2]) for row in rows}
    entries = session.execute(stored_entries(dialect).where(AuditEntry.seq.between(first, last)))
    return [one.seq for one in map(as_stored, entries) if not _are_its_words(one, stored.get(one.seq))]


def _are_its_words(entry: StoredEntry, stored: tuple[set[str], set[str]] | None) -> bool:
    """Of a payload with more words than are kept, which are kept rests on their order when it was written."""
    if stored is None:
        return False
    in_leaf, added = entry_words(entry.fields, entry.clear)
    if len(added) < MOST_WORDS:
        return stored == (set(in_leaf), set(added))
    every = entry_words(entry.fields, entry.clear, most=None)[1]
    return stored[0] == set(in_leaf) and len(stored[1]) == MOST_WORDS and stored[1] <= set(every)
