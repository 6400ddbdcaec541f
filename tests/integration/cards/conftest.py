"""A world whose card is worked on, and the words tests share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backend import clock
from backend.cards.service import review_card, submit_card, write_card
from backend.cards.tables import CardVersion
from backend.database.session import writing
from backend.identity.actor import Actor
from backend.monitoring.tables import MetricPoint, WindowState
from tests.worlds import World, make_world

CARD = """---
license: mit
model-index:
  - name: toy
    results:
      - task: {type: tabular-classification}
        dataset: {type: toys, name: Toys}
        metrics:
          - {type: roc_auc, value: "{{ metric roc_auc }}"}
---

# Toy

## Uses

### Direct Use

Sorting toys.

{{ facts live }}
"""


@pytest.fixture
def world(database: str, tmp_path: Path) -> World:
    return make_world(tmp_path / "files")


def write(actor: Actor, text: str = CARD, *, on: int = 0, version: int = 2) -> CardVersion:
    with writing() as session:
        return write_card(session, actor, model="toy", version=version, text=text, based_on=on)


def submit(actor: Actor, number: int, *, version: int = 2) -> None:
    with writing() as session:
        submit_card(session, actor, model="toy", version=version, number=number)


def review(
    actor: Actor, card: CardVersion, verdict: str = "approve", comment: str = "", *, seen: str | None = None
) -> CardVersion:
    with writing() as session:
        return review_card(
            session, actor, model="toy", version=card.version, number=card.number, verdict=verdict,  # type: ignore[arg-type]
            seen_digest=seen or card.digest, comment=comment,
        )  # fmt: skip


def approve(world: World, text: str = CARD, *, on: int = 0, version: int = 2) -> CardVersion:
    """A version that the engineer wrote and the compliance reviewer approved."""
    card = write(world.engineer, text, on=on, version=version)
    submit(world.engineer, card.number, version=version)
    return review(world.compliance, card)


def realise(
    value: float | None, *, half: float = 0.01, rows: int = 1000, days_ago: int = 2, version: int = 2,
    segment: str = "", statistic: str = "roc_auc",
) -> None:  # fmt: skip
    """A labelled daily window of `toy` with a realised figure; None: it could not be judged."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    with writing() as session:
        window = (
            session.query(WindowState)
            .filter_by(model="toy", environment="production", size="1d", start=start)
            .first()
        )
        if window is None:
            window = WindowState(
                model="toy", environment="production", size="1d", start=start, end=start + timedelta(days=1),
                version=version, rows=rows, labels_known=rows, state="complete", computed_at=clock.now(),
            )  # fmt: skip
            session.add(window)
            session.flush()
        session.add(
            MetricPoint(
                window_id=window.id, model="toy", environment="production", size="1d", window_start=start,
                kind="realised", statistic=statistic, segment=segment, value=value,
                low=None if value is None else value - half, high=None if value is None else value + half,
                verdict="ok" if value is not None else "inconclusive", rows=rows, completeness=1.0, first_value=value,
                first_computed_at=start, computed_at=start,
            )
        )  # fmt: skip
