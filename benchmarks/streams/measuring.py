"""The figures of `make bench NAME=streams`, and the table of every stream in `docs/backtest.md`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.figures import Figure, figure, not_measured
from benchmarks.streams.catalogue import streams
from benchmarks.streams.peers import PEERS
from benchmarks.streams.runs import ORACLE, OURS, Outcome, play
from benchmarks.streams.scoring import Score
from benchmarks.streams.stream import Stream, StreamMissing, save, streams_folder
from benchmarks.streams.tables import score_headings, score_row, table

PAGE: Final = Path(__file__).parents[2] / "docs" / "backtest.md"
BEGIN, END = "<!-- streams: begin -->\n", "<!-- streams: end -->\n"

PRECISION: Final = 0.85
CAUGHT: Final = 0.85
FALSE_PER_QUIET: Final = 0.03
DELAY: Final = 1.0  # of label delay plus one window
BESIDE: Final = "nannyml CBPE / DLE"
"""The peer beside each stream's figures: the one whose alarms are worth a page. The others stand in the totals."""


@dataclass(frozen=True)
class Total:
    """Scores added up over streams; the delay is the median of the streams' medians over what is allowed."""

    pages: int
    right: int
    caught: int
    episodes: int
    quiet: int
    late: float | None

    @property
    def precision(self) -> float | None:
        return self.right / self.pages if self.pages else None

    @property
    def caught_share(self) -> float | None:
        return self.caught / self.episodes if self.episodes else None

    @property
    def false_per_quiet_window(self) -> float | None:
        return (self.pages - self.right) / self.quiet if self.quiet else None


def add_up(scores: Iterable[Score]) -> Total:
    """One total of many streams' scores."""
    found = list(scores)
    late = [one.delay_h / one.allowed_h for one in found if one.delay_h is not None]
    return Total(
        sum(one.pages for one in found),
        sum(one.right for one in found),
        sum(one.caught for one in found),
        sum(one.episodes for one in found),
        sum(one.quiet for one in found),
        median(late) if late else None,
    )


def measure_streams(folder: Path | None = None) -> list[Figure]:
    """Four figures for each real stream, and totals over real and over synthetic streams beside each peer.

    `WARRANT_STREAMS` names the streams to take, separated by commas; the peers need an hour for all of them.
    """
    folder = folder or streams_folder()
    played: list[tuple[Stream, Outcome]] = []
    missing: list[Figure] = []
    wanted = {name for name in os.environ.get("WARRANT_STREAMS", "").split(",") if name}
    for stream in streams().values():
        if wanted and stream.name not in wanted:
            continue
        print(f"  {stream.name}", file=sys.stderr, flush=True)
        try:
            played.append((stream, play(stream.name, save(stream, folder))))
        except (StreamMissing, RuntimeError, subprocess.TimeoutExpired) as failure:
            missing += not_measured(f"stream {stream.name}", "", str(failure)[:300])
    if played:
        _write_table(played)
    found: list[Figure] = []
    for truth in ("real", "synthetic"):
        found += _totals(truth, [outcome for stream, outcome in played if stream.truth == truth])
    for stream, outcome in played:
        if stream.truth == "real":
            found += _figures(outcome)
    return [*found, *missing]


def _totals(truth: str, outcomes: Sequence[Outcome]) -> list[Figure]:
    if not outcomes:
        return not_measured(f"{truth} streams", "", "none of them could be replayed")
    ours = add_up(outcome.scores[OURS] for outcome in outcomes)
    windows = sum(len(outcome.truth.windows) for outcome in outcomes)
    found = []
    for peer in PEERS:
        theirs = add_up(outcome.scores[peer] for outcome in outcomes if peer in outcome.scores)
        found += _four(f"{truth} streams", ours, windows, peer, theirs, ours.late, theirs.late)
    return found


def _figures(outcome: Outcome) -> list[Figure]:
    ours = outcome.scores[OURS]
    theirs = outcome.scores.get(BESIDE)
    return _four(
        f"stream {outcome.name}",
        ours,
        len(outcome.truth.windows),
        BESIDE if theirs else None,
        theirs,
        None if ours.delay_h is None else ours.delay_h / ours.allowed_h,
        None if theirs is None or theirs.delay_h is None else theirs.delay_h / theirs.allowed_h,
    )


def _four(
    name: str,
    ours: Score | Total,
    windows: int,
    peer: str | None,
    theirs: Score | Total | None,
    late: float | None,
    their_late: float | None,
) -> list[Figure]:
    """Precision, episodes caught, false pages a quiet window, and the median delay over what is allowed."""
    rows = (
        ("precision of pages", "precision", PRECISION, True, "no page was raised"),
        ("bad episodes caught", "caught_share", CAUGHT, True, "no window is bad"),
        ("false pages per quiet window", "false_per_quiet_window", FALSE_PER_QUIET, False, "no quiet window"),
    )
    found = []
    for what, field, target, more, reason in rows:
        value = getattr(ours, field)
        found.append(
            figure(
                f"{name}: {what}",
                value,
                "",
                rows=windows,
                target=target,
                more_is_better=more,
                peer=peer,
                peer_value=None if theirs is None else getattr(theirs, field),
                reason=reason if value is None else None,
            )
        )
    found.append(
        figure(
            f"{name}: median delay over label delay + one window",
            late,
            "",
            rows=windows,
            target=DELAY,
            peer=peer,
            peer_value=their_late,
            reason="no bad episode was caught" if late is None else None,
        )
    )
    return found


def _write_table(played: Sequence[tuple[Stream, Outcome]], page: Path = PAGE) -> None:
    """Put every score of every stream between the marks of the page."""
    if not page.exists():
        return
    rows = []
    for stream, outcome in played:
        truth = outcome.truth
        about = f"{stream.name} ({stream.truth}): {len(truth.windows)} windows, {truth.bad} bad"
        for who, score in outcome.scores.items():
            rows.append((about, *score_row("the definition itself" if who == ORACLE else who, score)))
            about = ""
    before, rest = page.read_text().split(BEGIN)
    shown = table(score_headings("stream", "alarms"), rows)
    page.write_text(f"{before}{BEGIN}{shown}\n{END}{rest.split(END)[1]}")
