"""Every kind of anchor keeps heads, takes the same one twice, and refuses a history that contradicts what it has."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import delete, insert, select

from backend import clock
from backend.audit.anchoring import anchor_newest, newest_anchored
from backend.audit.anchors import KINDS, anchors
from backend.audit.anchors.base import Anchor, AnchorAway, AnchorRefused, Head
from backend.audit.anchors.fake import FakeAnchor
from backend.audit.anchors.git_tag import GitTag, tag_of
from backend.audit.anchors.witness import WitnessAnchor
from backend.audit.checkpoints import sign_head
from backend.audit.findings import open_findings
from backend.audit.merkle import consistency_proof, leaf_hash, root_of
from backend.audit.notes import Checkpoint, SigningKey, VerifierKey, encode64, parse_note, verify_note
from backend.audit.receipts import receipt
from backend.audit.signers import verifier_keys
from backend.audit.state import log_state
from backend.audit.tables import AuditAnchor
from backend.audit.verification import verify
from backend.audit.witnesses import Witness
from backend.database.session import reading, writing
from backend.identity.actor import system_actor
from backend.settings import settings
from tests.integration.audit.conftest import ADA, append
from tests.integration.audit.tampering import problem, run, tampering
from tests.integration.audit.witness_process import witness_process

WORKER = system_actor("worker")
LOG = SigningKey.generate("warrant.example/audit")


def leaves(count: int, *, fork: bool = False) -> list[bytes]:
    return [
        leaf_hash(f"{'other' if fork and number == 1 else 'entry'} {number}".encode())
        for number in range(count)
    ]


def head(count: int, *, fork: bool = False) -> Head:
    root = root_of(leaves(count, fork=fork))
    body = Checkpoint("warrant.example/audit", count, root).text
    return Head(count, root.hex(), f"{body}\n{LOG.sign(body)}")


def prover(count: int, *, fork: bool = False) -> Callable[[int], list[bytes]]:
    return lambda old: consistency_proof(leaves(count, fork=fork), old)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def repository(folder: Path, *options: str) -> Path:
    folder.mkdir()
    git(folder, "init", "--quiet", *options)
    return folder


@pytest.fixture(params=["fake", "git", "git with remote", "witness"])
def anchor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Anchor]:
    if request.param == "fake":
        yield FakeAnchor()
    elif request.param == "git":
        yield GitTag(repository(tmp_path / "tags"))
    elif request.param == "git with remote":
        remote = repository(tmp_path / "elsewhere", "--bare")
        yield GitTag(repository(tmp_path / "tags"), str(remote))
    else:
        with witness_process(tmp_path / "witness", [str(LOG.verifier)]) as running:
            yield WitnessAnchor(Witness(running.url, VerifierKey.parse(running.key)))


def test_a_growing_log_is_kept(anchor: Anchor) -> None:
    for count in (1, 2, 5, 6, 6, 300):
        proof = anchor.keep(head(count), prover(count))
        assert anchor.holds(head(count), proof)
    assert not anchor.holds(head(6, fork=True), proof)
    assert not anchor.holds(head(7), proof)


def test_a_history_that_contradicts_what_is_kept_is_refused(anchor: Anchor) -> None:
    kept = anchor.keep(head(5), prover(5))
    for count in (5, 6, 9):
        with pytest.raises(AnchorRefused):
            anchor.keep(head(count, fork=True), prover(count, fork=True))
    assert anchor.holds(head(5), kept)
    anchor.keep(head(9), prover(9))


def test_an_earlier_head_is_refused_where_it_is_not_kept_already(anchor: Anchor) -> None:
    anchor.keep(head(6), prover(6))
    with pytest.raises(AnchorRefused):
        anchor.keep(head(4), prover(4))


@pytest.mark.parametrize("kind", ["fake", "git", "git with remote", "witness"])
def test_one_that_is_away_says_so(kind: str, tmp_path: Path) -> None:
    key = SigningKey.generate("host-b.example/witness").verifier.timed()
    away: Anchor = {
        "fake": lambda: FakeAnchor(away=True),
        "git": lambda: GitTag(tmp_path / "nowhere"),
        "git with remote": lambda: GitTag(repository(tmp_path / "tags"), str(tmp_path / "nowhere")),
        "witness": lambda: WitnessAnchor(Witness("http://127.0.0.1:9", key)),
    }[kind]()
    with pytest.raises(AnchorAway):
        away.keep(head(3), prover(3))


def test_every_kind_is_held_to_this_contract() -> None:
    assert set(KINDS) == {GitTag.kind, WitnessAnchor.kind}


def test_the_tag_holds_the_note_and_the_remote_has_it_too(tmp_path: Path) -> None:
    remote, local = repository(tmp_path / "elsewhere", "--bare"), repository(tmp_path / "tags")
    GitTag(local, str(remote)).keep(head(12), prover(12))
    for folder in (local, remote):
        assert git(folder, "cat-file", "-t", tag_of(12)) == "tag"
        note = git(folder, "cat-file", "blob", f"{tag_of(12)}^{{blob}}") + "\n"
        assert verify_note(note, [LOG.verifier])[0].split("\n")[1] == "12"
        assert head(12).note.strip() in git(folder, "cat-file", "tag", tag_of(12))


def test_a_moved_tag_on_the_other_side_is_refused(tmp_path: Path) -> None:
    remote, local = repository(tmp_path / "elsewhere", "--bare"), repository(tmp_path / "tags")
    GitTag(remote).keep(head(5, fork=True), prover(5, fork=True))
    with pytest.raises(AnchorRefused):
        GitTag(local, str(remote)).keep(head(5), prover(5))


@pytest.fixture
def witness_url(tmp_path: Path) -> Iterator[str]:
    with witness_process(tmp_path / "witness", [str(LOG.verifier)]) as running:
        yield running.url


def test_the_witness_answers_as_the_document_says(witness_url: str, tmp_path: Path) -> None:
    """c2sp.org/tlog-witness, each status."""

    def ask(body: str) -> httpx.Response:
        return httpx.post(f"{witness_url}/add-checkpoint", content=body.encode())

    def proof(old: int, count: int, *, fork: bool = False) -> str:
        return "".join(f"{encode64(one)}\n" for one in consistency_proof(leaves(count, fork=fork), old))

    assert ask(f"old 0\n\n{head(3).note}").status_code == 200
    again = ask(f"old 0\n\n{head(3).note}")
    assert (again.status_code, again.text, again.headers["Content-Type"]) == (409, "3\n", "text/x.tlog.size")
    assert ask(f"old 3\n\n{head(3).note}").status_code == 200
    assert ask(f"old 3\n\n{head(3, fork=True).note}").status_code == 409
    assert ask(f"old 3\n{proof(3, 7, fork=True)}\n{head(7, fork=True).note}").status_code == 422
    assert ask(f"old 3\n\n{head(7).note}").status_code == 422
    assert ask(f"old 9\n\n{head(7).note}").status_code == 400
    stranger = head(7).note.replace("warrant.example/audit", "stranger.example/audit")
    assert ask(f"old 3\n{proof(3, 7)}\n{stranger}").status_code == 404
    forged = SigningKey.generate("warrant.example/audit")
    body = head(7).note.split("\n\n")[0] + "\n"
    assert ask(f"old 3\n{proof(3, 7)}\n{body}\n{forged.sign(body)}").status_code == 403
    for malformed in (
        "",
        "old 3\n",
        "old x\n\n" + head(7).note,
        "old 03\n\n" + head(7).note,
        "old 3\n!\n\n" + head(7).note,
    ):
        assert ask(malformed).status_code == 400, malformed
    assert httpx.post(f"{witness_url}/add-checkpoint", content=b"x" * 300_000).status_code == 413
    assert httpx.post(f"{witness_url}/other", content=b"x").status_code == 404
    assert ask(f"old 3\n{proof(3, 7)}\n{head(7).note}").status_code == 200


def test_a_witness_that_is_started_again_remembers(tmp_path: Path) -> None:
    for count in (4, 9):
        with witness_process(tmp_path / "witness", [str(LOG.verifier)]) as running:
            anchor = WitnessAnchor(Witness(running.url, VerifierKey.parse(running.key)))
            anchor.keep(head(count), prover(count))
            with pytest.raises(AnchorRefused):
                anchor.keep(head(9, fork=True), prover(9, fork=True))


def test_the_log_is_handed_to_a_witness_and_a_repository_and_says_up_to_when(
    five: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_head()
    with witness_process(tmp_path / "witness", [str(verifier_keys()[0])]) as running:
        monkeypatch.setenv("WARRANT_AUDIT_WITNESSES", running.setting)
        monkeypatch.setenv("WARRANT_AUDIT_GIT", str(repository(tmp_path / "tags")))
        settings.cache_clear()
        assert len(anchor_newest(WORKER)) == 2
        with reading() as session:
            assert log_state(session).unanchored == 0
            witnessed = receipt(session, ADA, 2)
        assert "host-b.example/witness" in witnessed
        append(3, start=5)
        sign_head()
        assert len(anchor_newest(WORKER)) == 2
        with reading() as session:
            state = log_state(session)
            assert (state.size, state.unanchored) == (8, 0)
            assert {checkpoint.size for _, checkpoint in newest_anchored(session)} == {8}
        assert verify().ok
        stored = select(AuditAnchor.__table__).where(AuditAnchor.kind == "witness").order_by(AuditAnchor.id)
        with tampering() as connection:
            first = connection.execute(stored).mappings().first()
            assert first is not None
            connection.execute(delete(AuditAnchor).where(AuditAnchor.id == first["id"]))
        assert f"anchor {first['id']} is missing" in problem()
        with tampering() as connection:
            connection.execute(insert(AuditAnchor), [{**first, "at": clock.now()}])
        assert f"the time of anchor {first['id']} is not the one that its witness signed" in problem()
        run("UPDATE audit_anchors SET proof = replace(proof, '=', 'A') WHERE kind = 'witness'")
        assert "is not what its witness signed" in problem()


def test_a_witness_that_the_settings_do_not_name_counts_for_nothing(five: str) -> None:
    signed = sign_head()
    invented = SigningKey.generate("host-b.example/witness")
    body, at = parse_note(signed.note)[0], clock.now()
    with writing() as session:
        proof = invented.sign_at(body, at)
        for number, (kind, place) in enumerate((
            ("witness", str(invented.verifier.timed())),
            ("fake", "The Supreme Court"),
            ("git", "/srv/tags"),
        ), 1):  # fmt: skip
            session.add(AuditAnchor(id=number, checkpoint_id=1, kind=kind, place=place, at=at, proof=proof))
    with reading() as session:
        state = log_state(session)
    assert (len(state.kept), state.newest_kept, state.unanchored) == (3, None, 5)
    assert not any(one.known for one in state.kept)


def test_one_that_is_away_holds_nothing_up_and_is_found_until_it_is_back(five: str) -> None:
    sign_head()
    away, there = FakeAnchor("b", away=True), FakeAnchor("c")
    assert anchor_newest(WORKER, [away, there]) == ["c"]
    assert anchor_newest(WORKER, [away, there]) == ["c"]
    with reading() as session:
        (finding,) = open_findings(session)
        assert (finding.kind, finding.subject, finding.level) == ("not_anchored", "b", "ticket")
    away.away = False
    assert anchor_newest(WORKER, [away, there]) == ["b", "c"]
    with reading() as session:
        assert open_findings(session) == []
        assert len(session.scalars(select(AuditAnchor)).all()) == 4
    assert "of no kind that there is" in problem()  # the fake one is for tests alone


def test_one_that_has_another_history_pages(five: str) -> None:
    signed = sign_head()
    liar = FakeAnchor("b")
    liar.heads.append(Head(signed.size, "ab" * 32, ""))
    assert anchor_newest(WORKER, [liar]) == []
    with reading() as session:
        (finding,) = open_findings(session)
    assert finding.level == "page"


def test_settings_that_cannot_be_read_are_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from backend.errors import BadInput

    assert anchors() == []
    for wrong in ("http://b", "http://b key", f"b {LOG.verifier.timed()}", f"http://b {LOG.verifier}"):
        monkeypatch.setenv("WARRANT_AUDIT_WITNESSES", wrong)
        settings.cache_clear()
        with pytest.raises(BadInput, match="WARRANT_AUDIT_WITNESSES"):
            anchors()
