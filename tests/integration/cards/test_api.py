"""Model cards over REST: what a script of somebody else's relies on."""

from __future__ import annotations

import io

from pypdf import PdfReader

from tests.integration.api.conftest import Callers, callers
from tests.integration.cards.conftest import CARD, realise

__all__ = ["callers"]
AT = "/models/toy/versions/2/card"
EDITED = CARD.replace("Sorting toys.", "Sorting wooden toys.")


def test_a_card_is_written_reviewed_compared_and_exported(callers: Callers) -> None:
    assert callers.get("viewer", AT).json()["state"] == "file"
    made = callers.post("engineer", AT, {"text": CARD, "based_on": 0, "why": "first"})
    assert (made.status_code, made.json()["number"], made.json()["state"]) == (201, 1, "draft")
    assert callers.post("engineer", f"{AT}/versions/1/submission").json()["state"] == "in_review"
    assert callers.get("engineer", AT, newest=True).json()["why_not_approve"].startswith("your role lacks")
    said = {"verdict": "approve", "digest": made.json()["digest"], "comment": "good"}
    assert callers.post("compliance", f"{AT}/versions/1/reviews", said).json()["state"] == "approved"
    again = callers.post("engineer", AT, {"text": EDITED, "based_on": 1})
    assert again.json()["number"] == 2
    listed = callers.get("viewer", f"{AT}/versions").json()["versions"]
    assert [(one["number"], one["state"], one["author"]) for one in listed] == [
        (2, "draft", "Engineer"), (1, "approved", "Engineer")
    ]  # fmt: skip
    assert listed[1]["reviews"][0]["reviewer"] == "Compliance"
    diff = callers.get("viewer", f"{AT}/diff", before=1, after=2).json()["diff"]
    assert "+Sorting wooden toys." in diff
    held = callers.get("viewer", AT).json()
    assert (held["number"], held["text"]) == (1, CARD)
    assert held["completeness"]["lacks"][0]["points"] > 0
    answer = callers.get("viewer", f"{AT}/export", form="pdf")
    assert answer.headers["content-disposition"] == 'attachment; filename="toy-v2-card1.pdf"'
    assert "Sorting toys." in PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()


def test_a_second_editor_gets_the_difference_and_a_bad_card_its_line(callers: Callers) -> None:
    callers.post("engineer", AT, {"text": CARD, "based_on": 0})
    answer = callers.post("lead", AT, {"text": EDITED, "based_on": 0})
    assert (answer.status_code, answer.json()["title"]) == (409, "The card was edited meanwhile")
    bad = callers.post("lead", AT, {"text": CARD.replace("license: mit", "license: [1]"), "based_on": 1})
    assert bad.status_code == 422
    assert "line 2: license" in bad.json()["detail"]


def test_an_import_says_what_it_did(callers: Callers) -> None:
    sent = {"source": "file", "source_name": "models_cards/toy.md", "text": CARD}
    first = callers.post("engineer", f"{AT}/imports", sent).json()
    assert (first["made"], first["number"]) == (True, 1)
    second = callers.post("engineer", f"{AT}/imports", sent).json()
    assert (second["made"], second["note"]) == (False, "card version 1 has this text already")
    assert callers.post("engineer", f"{AT}/imports", {"text": CARD}).status_code == 422


def test_what_telemetry_contradicts_is_in_the_answer(callers: Callers) -> None:
    realise(0.5, days_ago=2)
    callers.post("engineer", AT, {"text": CARD, "based_on": 0})
    told = callers.get("viewer", AT, newest=True).json()["contradictions"]
    assert "live it is 0.500" in told[0]["text"]


def test_the_same_key_makes_one_version(callers: Callers) -> None:
    headers = {"Idempotency-Key": "once"}
    for _ in range(2):
        made = callers.post("engineer", AT, {"text": CARD, "based_on": 0}, headers=headers)
        assert (made.status_code, made.json()["number"]) == (201, 1)
