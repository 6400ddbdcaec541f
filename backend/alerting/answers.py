"""How requests were answered of late, in words: whether callers see errors, and how long they wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backend import clock
from backend.database.session import ReadSession
from backend.identity.actor import Actor
from backend.serving.outcome_log import MINUTE, outcomes_between, outcomes_by_step
from backend.serving.outcomes import EDGES_S, Outcomes

LATELY: Final = timedelta(hours=1)
SHARE_WITHIN: Final = 0.95
UNSEEN: Final = timedelta(minutes=3)  # so many minutes may be missing: the newest are still being written
SLOW_S: Final = 1.0


@dataclass(frozen=True)
class Answers:
    """Requests of an hour and those that failed (5xx, 429). `within_s`: 95 % took at most so long; None: longer than
    is counted, or there were none. `observed_s`: how much of the hour a gateway ran; `observed_until`: the end of the
    newest minute of it, None where there was none."""

    requests: int
    failed: int
    within_s: float | None
    minutes: int
    observed_s: int
    observed_until: datetime | None
    at: datetime
    is_past: bool = False

    @property
    def when(self) -> str:
        return f"last {self.minutes} min" + (" before it was over" if self.is_past else "")

    @property
    def is_current(self) -> bool:
        """Whether the newest minutes were observed: what is said holds now."""
        return self.observed_until is not None and self.at - self.observed_until <= UNSEEN

    @property
    def is_whole(self) -> bool:
        """Whether nothing worth a word of the hour is unobserved."""
        return self.is_current and self.observed_s >= (LATELY - UNSEEN).total_seconds()

    @property
    def is_slow(self) -> bool:
        return bool(self.requests) and (self.within_s is None or self.within_s > SLOW_S)

    @property
    def availability(self) -> float | None:
        """The share that did not fail; None: there was no request, or nobody looked."""
        return 1 - self.failed / self.requests if self.requests else None


def answers_lately(
    session: ReadSession, viewer: Actor, model: str, environment: str, *, over_at: datetime | None = None
) -> Answers:
    """Of the gateways' own log of outcomes, up to now or until something was over.

    Raises `NotFound` for a model that the viewer may not see.
    """
    now = clock.now() if over_at is None else end_of_minute(over_at)
    found = outcomes_between(session, viewer, model, environment, start=now - LATELY, end=now)
    minutes = round(LATELY.total_seconds() / 60)
    steps = outcomes_by_step(session, viewer, model, environment, start=now - LATELY, end=now, step=MINUTE)
    until = max((start + MINUTE for start, one in steps if one.observed_s), default=None)
    return Answers(
        found.requests, found.failed, p95_s(found), minutes, found.observed_s, until, now, over_at is not None
    )


def p95_s(found: Outcomes) -> float | None:
    """The edge of the histogram below which 95 % of the requests lie; None: longer than is counted, or no request."""
    total = found.latency[-1]
    edges = zip(EDGES_S, found.latency, strict=False)
    return next((edge for edge, count in edges if total and count >= SHARE_WITHIN * total), None)


def end_of_minute(at: datetime) -> datetime:
    """Of the minute in which something was over: requests are counted by whole minutes."""
    return at.replace(second=0, microsecond=0) + MINUTE


def unseen_words(answers: Answers) -> str:
    """Since when nothing is known; empty where the newest minutes are."""
    if answers.is_current:
        return ""
    if answers.observed_until is None:
        return f"not known: no gateway was heard of in the last {answers.minutes} min"
    return f"not known since {clock.to_words(answers.observed_until)}"


def availability_words(answers: Answers) -> str:
    share = answers.availability
    unseen = unseen_words(answers)
    lately = f"in the {answers.when}{f'; {unseen}' if unseen else ''}"
    if share is None:
        return f"no request {lately}"
    return f"{share:.2%} of {answers.requests:,} requests were answered without an error {lately}"


def latency_words(answers: Answers) -> str:
    """Empty where nothing is known."""
    if not answers.requests:
        return ""
    if answers.within_s is None:
        return f"more than 5 % took longer than {EDGES_S[-1]:g} s"
    return f"95 % took at most {answers.within_s * 1000:,.0f} ms"
