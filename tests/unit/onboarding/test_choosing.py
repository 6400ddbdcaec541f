"""What a person says of a proposed document, and what that takes along; and what a file holds by period."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from backend.onboarding.choosing import LEFT_OUT, Choices, confirm
from backend.onboarding.document import read_document
from backend.onboarding.previewing import read_preview, rows_in_reference
from backend.onboarding.proposing import Draft, propose_document
from backend.onboarding.writing import write_document
from tests.integration.app.test_start_page import ROWS, loans


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return loans(tmp_path)


@pytest.fixture
def draft(source: Path) -> Draft:
    return propose_document(source)


def test_nothing_said_leaves_the_proposal_as_it_is(draft: Draft) -> None:
    before = deepcopy(draft.document)
    assert confirm(draft.document, Choices()) == before == draft.document


def test_a_column_that_is_left_out_takes_its_monitors_and_segments_along(draft: Draft) -> None:
    assert "country" in draft.document["spec"]["segments"]
    made = confirm(draft.document, Choices(types={"country": LEFT_OUT, "amount": "text"}))
    assert list(made["spec"]["features"]) == ["amount", "hash"]
    assert "segments" not in made["spec"] and made["monitors"] == []
    assert confirm(draft.document, Choices(types={"country": "text", "hash": "categorical"}))["monitors"]


def test_objectives_count_the_windows_that_were_chosen(draft: Draft) -> None:
    made = confirm(draft.document, Choices(window="1mo", tier="low", owner=" mei ", timezone="Europe/Paris"))
    written = read_document(write_document(made))
    assert written.spec.window == "1mo"
    assert [one.sli.size for one in written.objectives] == ["1mo"]
    assert (written.document.model.tier, written.document.model.owner) == ("low", "mei")
    assert written.document.history is not None and written.document.history.timezone == "Europe/Paris"


def test_what_was_dropped_is_not_in_the_document(draft: Draft) -> None:
    until = datetime(2026, 2, 1, tzinfo=UTC)
    said = Choices(monitors=(0,), objectives=(), since=datetime(2026, 1, 5, tzinfo=UTC), until=until)
    document = read_document(write_document(confirm(draft.document, said))).document
    assert document.monitors is not None and len(document.monitors) == 1
    assert document.objectives == ()
    assert document.history is not None and document.history.reference.until == until


def test_a_role_that_a_person_takes_away_is_not_proposed_again(source: Path) -> None:
    document = propose_document(source, columns={"label": "", "prediction_id": ""}).document
    assert set(document["history"]["columns"]) == {"ts", "score"}
    assert "objectives" not in document


def test_the_rows_of_a_reference_are_counted_on_the_clock_of_their_times(source: Path) -> None:
    preview = read_preview(source, {"ts": "ts", "score": "score", "label": "label"})
    assert (preview.rows, preview.of_which, sum(one.rows for one in preview.periods)) == (ROWS, "week", ROWS)
    assert preview.columns["country"][:3] == ("NL", "DE", "FR")
    assert all(one.labelled == 1.0 and one.error is not None for one in preview.periods)
    until = datetime(2026, 2, 1, tzinfo=UTC)
    assert rows_in_reference(source, "ts", None, until, "UTC") == 310
    # Karachi is five hours ahead: what the file says of 04:48 there was before midnight in UTC.
    assert rows_in_reference(source, "ts", None, until, "Asia/Karachi") == 313
    assert rows_in_reference(source, "ts", datetime(2026, 1, 31, tzinfo=UTC), until, "UTC") == 10


def test_times_of_nanoseconds_with_a_zone_are_read_as_pandas_writes_them(tmp_path: Path) -> None:
    rows = pd.read_csv(loans(tmp_path))
    rows["ts"] = pd.to_datetime(rows["ts"], utc=True).astype("datetime64[ns, UTC]")
    path = tmp_path / "loans.parquet"
    rows.to_parquet(path)
    document = propose_document(path).document
    assert read_preview(path, document["history"]["columns"]).rows == ROWS
    assert rows_in_reference(path, "ts", None, datetime(2026, 2, 1, tzinfo=UTC), "Asia/Karachi") == 310
