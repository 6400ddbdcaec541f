"""Versions of a card: immutable, numbered, reviewed by somebody else, and never lost to a second editor."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from backend.audit.actions import Action
from backend.audit.tables import AuditEntry
from backend.cards.binding import bound_card, card_text
from backend.cards.errors import CardConflict, NoSuchCard, OwnWords, WrongState
from backend.cards.examination import examine_card
from backend.cards.service import Taken, import_card, why_not_approve
from backend.cards.tables import CardVersion
from backend.cards.versions import approved_card, card_diff, get_card_version, list_card_versions, reviews_of
from backend.database.session import reading, writing
from backend.errors import BadInput, ChangedSinceSeen, NotAllowed
from backend.governance.asking import preview_change
from backend.governance.kinds import Asked
from backend.registry.tables import Version
from tests.integration.cards.conftest import CARD, approve, review, submit, write
from tests.worlds import SYSTEM, World

EDITED = CARD.replace("Sorting toys.", "Sorting wooden toys.")
AGAIN = CARD.replace("Sorting toys.", "Sorting all toys.")


def states(world: World) -> dict[int, str]:
    with reading() as session:
        return {one.number: one.state for one in list_card_versions(session, world.viewer, "toy", 2)}


def take(world: World, text: str, *, name: str = "models_cards/toy.md", on: int | None = None) -> Taken:
    with writing() as session:
        return import_card(
            session,
            world.engineer,
            model="toy",
            version=2,
            text=text,
            source="file",
            source_name=name,
            based_on=on,
        )


def bound(version: int = 2) -> str | None:
    with reading() as session:
        return bound_card(session, session.get_one(Version, ("toy", version)))


def test_a_version_goes_from_draft_to_review_to_approved_and_is_superseded(world: World) -> None:
    first = approve(world)
    assert (first.number, first.state, first.digest[:7]) == (1, "approved", "sha256:")
    assert first.facts["blocks"][0]["name"] == "metrics"
    second = write(world.engineer, EDITED, on=1)
    assert states(world) == {1: "approved", 2: "draft"}
    submit(world.engineer, 2)
    assert states(world) == {1: "approved", 2: "in_review"}
    review(world.compliance, second)
    assert states(world) == {1: "superseded", 2: "approved"}
    with reading() as session:
        told = [
            one.action for one in session.scalars(select(AuditEntry).where(AuditEntry.object_kind == "card"))
        ]
        kept = get_card_version(session, world.viewer, "toy", 2, 1)
        assert kept.text == CARD
        assert card_diff(kept.text, second.text)[-3:] == ["+Sorting wooden toys.", " ", " {{ facts live }}"]
    assert told == [Action.CARD_WRITTEN.value, Action.CARD_SUBMITTED.value, Action.CARD_APPROVED.value] * 2


def test_the_same_text_makes_no_version(world: World) -> None:
    write(world.engineer)
    assert write(world.engineer, CARD.replace("\n", "\r\n"), on=1).number == 1
    assert states(world) == {1: "draft"}


def test_a_text_that_is_no_card_is_refused_with_its_line(world: World) -> None:
    with pytest.raises(BadInput, match="line 2: license: a text is wanted"):
        write(world.engineer, CARD.replace("license: mit", "license: 7"))
    assert states(world) == {}


def test_nobody_approves_words_of_their_own_however_many_versions_ago_they_wrote_them(world: World) -> None:
    write(world.lead)
    card = write(world.engineer, EDITED, on=1)
    submit(world.engineer, 2)
    with reading() as session:
        found = get_card_version(session, world.viewer, "toy", 2, 2)
        assert "you wrote some of what it says" in why_not_approve(session, world.lead, found)
        assert why_not_approve(session, world.other_lead, found) == ""
        assert "your role lacks" in why_not_approve(session, world.engineer, found)
    with pytest.raises(OwnWords, match="somebody else approves it"):
        review(world.lead, card)
    borrowed = replace(world.other_lead, kind="service", acting_for=world.lead.person_id)
    with pytest.raises(OwnWords):
        review(borrowed, card)
    review(world.other_lead, card)
    third = write(world.engineer, AGAIN, on=2)
    submit(world.engineer, 3)
    assert review(world.lead, third).state == "approved"  # of these words, none is the lead's


def test_who_may_neither_write_nor_review_does_neither(world: World) -> None:
    for who in (world.viewer, world.on_call):
        with pytest.raises(NotAllowed):
            write(who)
    card = write(world.compliance)
    submit(world.compliance, 1)
    for who in (world.viewer, world.engineer):
        with pytest.raises(NotAllowed, match="cards:version:review"):
            review(who, card)


def test_a_return_needs_words_and_leaves_a_draft_to_go_on_with(world: World) -> None:
    card = write(world.engineer)
    submit(world.engineer, 1)
    with pytest.raises(BadInput, match="say what has to change"):
        review(world.compliance, card, "return")
    review(world.compliance, card, "return", "Say who must not use it.")
    assert states(world) == {1: "draft"}
    with reading() as session:
        found = get_card_version(session, world.viewer, "toy", 2, 1)
        assert [(one.verdict, one.comment) for one in reviews_of(session, found)] == [
            ("return", "Say who must not use it.")
        ]
    with pytest.raises(WrongState, match="card version 1 is draft; one that is in review is reviewed"):
        review(world.compliance, card)


def test_a_reviewer_signs_the_text_they_saw(world: World) -> None:
    card = write(world.engineer)
    submit(world.engineer, 1)
    with pytest.raises(ChangedSinceSeen):
        review(world.compliance, card, seen="sha256:other")
    write(world.engineer, EDITED, on=1)
    with pytest.raises(WrongState, match="is superseded"):
        review(world.compliance, card)


def test_the_second_of_two_editors_is_told_what_the_first_one_changed(world: World) -> None:
    write(world.engineer)
    write(world.lead, EDITED, on=1)
    with pytest.raises(
        CardConflict, match=r"Lead saved card version 2 at .* your text began from version 1"
    ) as caught:
        write(world.engineer, AGAIN, on=1)
    assert "+Sorting wooden toys." in caught.value.details["diff"]
    assert states(world) == {1: "superseded", 2: "draft"}
    assert write(world.engineer, AGAIN, on=2).number == 3


def test_of_editors_at_the_same_moment_one_wins_and_the_others_are_told(world: World) -> None:
    write(world.engineer)
    start, said = threading.Barrier(4), []

    def edit(number: int) -> None:
        start.wait()
        try:
            write(world.engineer, CARD + f"\nEdit {number}.\n", on=1)
            said.append("saved")
        except CardConflict:
            said.append("conflict")

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(said) == ["conflict", "conflict", "conflict", "saved"]
    assert states(world) == {1: "superseded", 2: "draft"}


def test_an_import_of_a_changed_file_makes_a_version_and_of_an_unchanged_one_none(world: World) -> None:
    assert take(world, CARD).made
    same = take(world, CARD)
    assert (same.made, same.card.number) == (False, 1)
    changed = take(world, EDITED)
    assert (changed.made, changed.card.number, changed.card.source, changed.card.source_name) == (
        True, 2, "file", "models_cards/toy.md"
    )  # fmt: skip


def test_a_file_that_lags_behind_changes_nothing_and_one_that_went_its_own_way_has_to_be_merged(
    world: World,
) -> None:
    take(world, CARD)
    write(world.lead, EDITED, on=1)
    lagging = take(world, CARD)
    assert (lagging.made, lagging.card.number) == (False, 2)
    assert "export it to bring the file up to date" in lagging.note
    with pytest.raises(CardConflict, match="Lead saved card version 2"):
        take(world, AGAIN)
    assert take(world, AGAIN, on=2).card.number == 3
    with pytest.raises(CardConflict):
        take(world, EDITED, name="another.md")


def test_a_card_of_a_version_nobody_knows_is_not_there(world: World) -> None:
    with reading() as session, pytest.raises(NoSuchCard, match="warrant card import toy 1 FILE"):
        get_card_version(session, world.viewer, "toy", 1)


def test_a_draft_voids_no_approval_and_an_approved_card_does(world: World) -> None:
    file = bound()
    write(world.engineer)
    submit(world.engineer, 1)
    assert bound() == file
    with reading() as session:
        card = get_card_version(session, world.viewer, "toy", 2)
    review(world.compliance, card)
    approved = bound()
    assert approved != file
    world.card(2).write_text("# Rewritten\n")
    assert bound() not in (file, approved)
    world.card(2).unlink()
    assert bound() is None


def test_approving_the_very_text_of_the_file_alters_nothing_that_was_agreed(world: World) -> None:
    world.card(2).write_text(CARD)
    before = bound()
    approve(world)
    assert bound() == before


def test_text_altered_behind_our_back_is_another_digest(world: World) -> None:
    approve(world)
    before = bound()
    with writing() as session:
        session.execute(
            update(CardVersion).values(text=CARD.replace("Sorting", "Burning"))
        )  # as its owner can
    assert bound() != before
    with reading() as session:
        found = examine_card(session, world.viewer, "toy", 2)
    assert found.problems == (
        "the text of card version 1 is not the one that was recorded: somebody altered it",
    )


def test_our_own_code_cannot_alter_a_version(world: World) -> None:
    write(world.engineer)
    with pytest.raises(RuntimeError, match="never altered, and here text would be"), writing() as session:
        session.scalars(select(CardVersion)).one().text = "# Another"


def test_deciders_see_the_difference_of_the_cards_that_hold_and_a_request_names_its_digest(
    world: World,
) -> None:
    asked = Asked("rollback", "production", "toy", 1)
    with reading() as session:
        seen = preview_change(session, world.on_call, asked)
        assert "+Version 1." in seen.proposal.evidence["card_diff"]
    approve(world, version=1)
    with reading() as session:
        after = preview_change(session, world.on_call, asked)
        assert "+Sorting toys." in after.proposal.evidence["card_diff"]
        assert card_text(session, session.get_one(Version, ("toy", 1))) == CARD
    assert after.digest != seen.digest


def test_a_process_of_ours_may_import_and_any_reviewer_may_approve(world: World) -> None:
    with writing() as session:
        import_card(
            session,
            SYSTEM,
            model="toy",
            version=1,
            text=CARD,
            source="file",
            source_name="toy.md",
            why="demo",
        )
    submit(world.engineer, 1, version=1)
    with reading() as session:
        card = get_card_version(session, world.viewer, "toy", 1)
        assert card.author_id is None
    review(world.lead, card)
    with reading() as session:
        assert approved_card(session, "toy", 1) is not None


def test_a_version_known_from_an_import_alone_can_have_a_card(world: World, tmp_path: Path) -> None:
    from backend.registry.inventory import FoundModel, FoundVersion, import_registry

    with writing() as session:
        found = FoundModel(
            "taxis", "", {}, {}, None, None, (FoundVersion(1, "", "s3://m", "READY", "", {}, None),)
        )
        import_registry(session, SYSTEM, registry="https://mlflow.example.com", found=[found])
    with writing() as session:
        made = import_card(
            session,
            world.lead,
            model="taxis",
            version=1,
            text=CARD,
            source="huggingface",
            source_name="README.md",
        )
    assert made.card.number == 1
