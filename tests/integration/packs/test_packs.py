"""A pack holds what the record shows of its scope, gaps first, and verifies anywhere."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import delete, select, text, update

from backend import clock
from backend.alerting.service import Firing, fire
from backend.alerting.tables import Incident
from backend.assurance.exceptions import end_exception
from backend.assurance.findings import close_finding
from backend.assurance.tables import Finding
from backend.audit.notes import SigningKey
from backend.audit.proofs import LogDamaged
from backend.audit.rotation import rotate_key
from backend.audit.signers import signing_key, verifier_keys
from backend.database.session import reading, writing
from backend.governance.asking import preview_change, request_change
from backend.governance.deciding import decide
from backend.governance.kinds import Asked
from backend.governance.tables import Change, Decision, Look, Snapshot
from backend.packs import log_extract
from backend.packs.build import build_pack
from backend.packs.container import safe_name, zip_of
from backend.packs.service import (
    maker_of,
    wanted_of,
)
from backend.packs.tables import EvidencePack
from tests.integration.audit.tampering import tampering
from tests.integration.packs.conftest import (
    PAPER,
    WORKER,
    House,
    ask_pack,
    built,
    files_of,
    keys,
    make_pack,
    verify_alone,
)
from tests.worlds import SYSTEM

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # the same rows, the same code
FURNITURE = re.compile(r"page (\d+) of (\d+)")


def text_of(pdf: bytes) -> list[str]:
    return [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]


def manifest_of(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files_of(body)["manifest.json"])
    return found


def test_a_pack_of_a_model_holds_everything_about_it_and_verifies_in_an_empty_folder(
    house: House, tmp_path: Path
) -> None:
    body = make_pack(house.world.compliance, kind="model", model="toy")
    files = files_of(body)
    folders = {name.split("/")[0] for name in files}
    assert folders >= {
        "README.txt", "audit", "card", "changes", "exceptions", "findings", "gaps.json", "incidents", "manifest.json",
        "manifest.sig", "models", "monitoring", "reports", "summary.pdf", "validations", "verify_pack.py",
    }  # fmt: skip
    code, said = verify_alone(body, tmp_path / "empty")
    assert (code, said.splitlines()[0]) == (0, "VALID"), said
    assert "none is missing, added or twice" in said
    assert re.search(r"[1-9]\d* receipts of decisions and executions hold", said)


@pytest.mark.parametrize("kind", ["version", "change", "period", "house", "policy"])
def test_a_pack_of_each_other_scope_verifies(house: House, tmp_path: Path, kind: str) -> None:
    today = f"{clock.now():%Y-%m-%d}"
    scope: dict[str, Any] = {
        "version": {"kind": "version", "model": "toy", "version": 1},
        "change": {"kind": "change", "change": house.change},
        "period": {"kind": "period", "period": f"{today}..{today}", "model": "toy"},
        "house": {"kind": "period", "period": f"{clock.now():%Y-%m}"},
        "policy": {"kind": "change", "change": of_the_house(house)},
    }[kind]
    body = make_pack(house.world.lead, **scope)
    files = files_of(body)
    assert (f"changes/CHG-{house.change}/as-seen.html" in files) == (kind != "policy")
    assert (f"changes/CHG-{house.waiting}/change.json" in files) == (kind not in ("change", "policy"))
    assert ("changes/population.json" in files) == (kind == "house")
    assert any(name.startswith("controls/house/") for name in files) == (kind in ("house", "policy"))
    code, said = verify_alone(body, tmp_path / "empty")
    assert code == 0, said
    assert manifest_of(body)["entries"] > 0


def of_the_house(house: House) -> int:
    """A change of no model."""
    asked = Asked("policy", "*", subject={"document": "rules: [{name: all}]"})
    with reading() as session:
        seen = preview_change(session, house.world.lead, asked).digest
    with writing() as session:
        return request_change(session, house.world.lead, asked, reason="simpler", seen_digest=seen).id


@ON_SQLITE
def test_the_summary_names_gaps_first_on_pages_that_say_what_they_are_of(house: House) -> None:
    body = make_pack(house.world.compliance, kind="model", model="toy")
    pages, manifest = text_of(files_of(body)["summary.pdf"]), manifest_of(body)
    for number, page in enumerate(pages, 1):
        assert FURNITURE.search(page).groups() == (str(number), str(len(pages)))  # type: ignore[union-attr]
        assert manifest["contents"] in page
        assert f"pack {manifest['pack']}" in page
        assert f"as of {clock.from_iso(manifest['as_of']):%Y-%m-%d %H:%M:%S} UTC" in page
    said = " ".join(" ".join(pages).split())
    order = [said.index(one) for one in (
        "What is missing or speaks against it", "Grave (", "To mend (", "The record", "Changes and decisions",
        "Model cards", "What people vouch for", "Monitoring", "Left out", "What is in this pack",
    )]  # fmt: skip
    assert order == sorted(order)
    gaps = json.loads(files_of(body)["gaps.json"])
    told = " ".join(one["text"] for one in gaps)
    for wanted in ("FND-1 is open (high)", "EXC-1: toy need not pass", "is open and serious", "is contradicted",
                   "Nobody else holds a signed head", "A condition of VAL-1 is open"):  # fmt: skip
        assert wanted in told
    assert [one["level"] for one in gaps] == sorted(
        (one["level"] for one in gaps), key=["high", "medium", "low"].index
    )
    assert manifest["gaps"] == {
        level: sum(one["level"] == level for one in gaps) for level in ("high", "medium", "low")
    }


@ON_SQLITE
def test_what_a_decider_saw_is_in_the_pack_as_stored_beside_their_word(house: House) -> None:
    files = files_of(make_pack(house.world.lead, kind="change", change=house.change))
    with reading() as session:
        decision = session.query(Decision).filter_by(change_id=house.change).one()
        change = session.get_one(Change, house.change)
    seen = json.loads(
        files[f"changes/CHG-{house.change}/seen/{decision.seen_digest.removeprefix('sha256:')[:16]}.json"]
    )
    assert seen["digest"] == decision.seen_digest
    assert seen["evidence"] == change.evidence
    page = files[f"changes/CHG-{house.change}/as-seen.html"].decode()
    assert "seen; agreed" in page and "(ml_lead): approve" in page
    assert "<b>it</b>" not in page and "&lt;b&gt;it&lt;/b&gt; degraded" in page
    receipts = [name for name in files if "/receipts/" in name]
    assert {name.rpartition("/")[2].split("-", 1)[1] for name in receipts} == {
        "change-approve.tlog-proof", "execution-start.tlog-proof", "execution-finish.tlog-proof",
    }  # fmt: skip


@ON_SQLITE
def test_altered_evidence_of_a_change_is_named_as_grave(house: House) -> None:
    with reading() as session:
        shown = session.scalars(select(Snapshot).where(Snapshot.change_id == house.change)).first()
        assert shown is not None
    altered = {**shown.document, "evidence": {**shown.document["evidence"], "cautions": ["none at all"]}}
    with writing() as session:
        session.execute(update(Snapshot).where(Snapshot.digest == shown.digest).values(document=altered))
    files = files_of(make_pack(house.world.lead, kind="change", change=house.change))
    told = [one["text"] for one in json.loads(files["gaps.json"]) if one["level"] == "high"]
    assert any("is not what was signed" in one for one in told), told
    with writing() as session:
        session.execute(update(Look).values(snapshot=other_digest(session, shown.digest)))
        session.execute(delete(Snapshot).where(Snapshot.digest == shown.digest))
    files = files_of(make_pack(house.world.lead, kind="change", change=house.change))
    told = [one["text"] for one in json.loads(files["gaps.json"]) if one["level"] == "high"]
    assert any("is not stored" in one for one in told), told


def other_digest(session: Any, digest: str) -> str:
    found: str = session.scalar(select(Snapshot.digest).where(Snapshot.digest != digest))
    return found


@ON_SQLITE
def test_hostile_names_cells_and_markdown_do_nothing(house: House) -> None:
    files = files_of(make_pack(house.world.compliance, kind="model", model="toy"))
    assert not [name for name in files if ".." in name or name.startswith("/") or "\\" in name or "=" in name]
    (paper,) = [name for name in files if "/papers/" in name]
    assert files[paper] == b"# It does\n"
    assert PAPER not in paper and paper.startswith("validations/VAL-1/papers/")
    for name in (one for one in files if one.endswith(".csv")):
        for row in csv.reader(io.StringIO(files[name].decode())):
            assert not [cell for cell in row if cell.lstrip()[:1] in ("=", "+", "@", "|", "%")], (name, row)
    for name in (one for one in files if one.endswith((".html", ".svg")) and not one.startswith("reports/")):
        page = files[name].decode().lower()
        assert "<script" not in page and "javascript:" not in page.replace("[click](javascript:alert(1))", "")
        assert 'src="http' not in page and 'href="javascript' not in page
    text = " ".join(text_of(files["card/toy-v2/card.pdf"]))
    assert "<script>alert('card')</script>" in text
    annotations = [one.get_object() for page in PdfReader(io.BytesIO(files["card/toy-v2/card.pdf"])).pages
                   for one in page.get("/Annots") or []]  # fmt: skip
    assert not [one for one in annotations if "javascript" in str(one).lower()]


def test_names_are_safe_and_stay_two() -> None:
    for name in ("../../etc/passwd", "CON", "a/b", "", "..", "x" * 300, "späť", "-rf", "a\0b", "nul.txt"):
        found = safe_name(name)
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", found), name
        assert ".." not in found and len(found) < 80
    assert safe_name("a/b") != safe_name("a_b") != safe_name("a:b")
    assert safe_name("flight-delay") == "flight-delay"
    for name in ("../x", "/x", "a//b", ".hidden", "a\\b", "ä"):
        with pytest.raises(ValueError, match="no name"):
            zip_of({name: b""})
    with pytest.raises(ValueError, match="upper and lower"):
        zip_of({"a": b"", "A": b""})


@pytest.mark.slow
@ON_SQLITE
def test_the_same_record_gives_the_same_bytes(house: House) -> None:
    pack = ask_pack(house.world.compliance, kind="model", model="toy", as_of=clock.now())
    first, second = files_of(built(pack).body), files_of(built(pack).body)
    assert first.keys() == second.keys()
    looked_up = re.compile(
        r"card/|controls/|README|summary|manifest|audit/(checkpoint-last|consistency|entries|state)|"
        r"incidents/.*/report-draft"
    )
    differing = [name for name in first if first[name] != second[name] and not looked_up.match(name)]
    assert differing == []
    assert zip_of(first) == zip_of(dict(reversed(first.items())))


def test_personal_data_stay_sealed_and_erased_payloads_stay_gone(house: House, tmp_path: Path) -> None:
    body = make_pack(house.world.compliance, kind="period", period=f"{clock.now():%Y}")
    lines = [json.loads(line) for line in files_of(body)["audit/entries.jsonl"].decode().split("\n")[:-1]]
    by_seq = {one["seq"]: one for one in lines}
    assert by_seq[1]["payload"] is None and by_seq[1]["erased_by"] > 1
    sealed = [one for one in lines if one["payload"] and '"sealed_for"' in one["payload"]]
    assert sealed
    assert not [
        one
        for one in lines
        if one["payload"] and f'"actor_name":"{house.world.lead.display_name}"' in one["payload"]
    ]
    assert "payloads of the log that were erased: 1;" in files_of(body)["README.txt"].decode().replace(
        "\n  ", " "
    )
    assert verify_alone(body, tmp_path / "empty")[0] == 0
    body = make_pack(house.world.lead, kind="model", model="toy")
    lines = [json.loads(line) for line in files_of(body)["audit/entries.jsonl"].decode().split("\n")[:-1]]
    assert lines and not [one for one in lines if "payload" in one]
    assert "may not read them" in " ".join(files_of(body)["README.txt"].decode().split())


@pytest.mark.slow
@ON_SQLITE
def test_a_pack_as_of_a_moment_knows_nothing_that_came_later(house: House) -> None:
    with writing() as session:
        title = session.get_one(Incident, house.incident).title
    as_of = clock.now()
    with reading() as session:
        digest = session.get_one(Change, house.waiting).digest
    with writing() as session:
        decide(
            session, house.world.lead, house.waiting, verdict="reject", comment="too late", seen_digest=digest
        )
        finding = session.query(Finding).one().id
        sooner = clock.now() - timedelta(days=400)
        fire(
            session,
            SYSTEM,
            Firing("toy", "production", 2, "realised", "page", "recall fell", "recall", sooner, {}),
        )
        assert session.get_one(Incident, house.incident).title == "recall fell"
    with writing() as session:
        close_finding(session, house.world.other_lead, finding, evidence="seen to hold")
        end_exception(session, house.world.lead, 1, why="not needed any more")
    files = files_of(make_pack(house.world.compliance, kind="model", model="toy", as_of=as_of))
    lines = [json.loads(one) for one in files["audit/entries.jsonl"].decode().split("\n")[:-1]]
    assert max(json.loads(one["leaf"])["at"] for one in lines) < clock.to_iso(as_of)
    assert json.loads(files[f"changes/CHG-{house.waiting}/change.json"])["decisions"] == []
    assert "FND-1 is open (high)" in files["gaps.json"].decode()
    assert "EXC-1: toy need not pass" in files["gaps.json"].decode()
    assert "not needed any more" not in files["exceptions/exceptions.csv"].decode()
    assert json.loads(files[f"incidents/INC-{house.incident}/incident.json"])["title"] == title
    listed = csv.DictReader(io.StringIO(files["changes/changes.csv"].decode(), newline=""))
    assert [
        (one["state"], one["finished_at"]) for one in listed if one["change"] == f"CHG-{house.waiting}"
    ] == [("requested", "")]
    assert "seen to hold" not in files["findings/findings.csv"].decode()
    early = files_of(
        make_pack(house.world.compliance, kind="model", model="toy", as_of=as_of - timedelta(days=1))
    )
    assert not [name for name in early if name.startswith(("changes/CHG", "validations/VAL", "findings/"))]
    now = files_of(make_pack(house.world.compliance, kind="model", model="toy"))
    assert "FND-1 is open" not in now["gaps.json"].decode()


@pytest.mark.slow
@ON_SQLITE
def test_a_strangers_key_and_a_key_that_was_changed(house: House, tmp_path: Path) -> None:
    body = make_pack(house.world.lead, kind="model", model="toy")
    stranger = str(SigningKey.generate(verifier_keys()[0].name).verifier)
    assert verify_alone(body, tmp_path / "a", stranger)[0] == 1
    assert verify_alone(body, tmp_path / "a", "nonsense")[0] == 2
    assert verify_alone(body, tmp_path / "a", keys(), stranger)[0] == 1  # a witness that did not sign
    rotate_key(WORKER, why="due")
    assert verify_alone(body, tmp_path / "a")[0] == 0
    later = make_pack(house.world.lead, kind="model", model="toy")
    assert verify_alone(later, tmp_path / "b")[0] == 0
    assert verify_alone(later, tmp_path / "b", str(verifier_keys()[0]))[0] == 1


@pytest.mark.parametrize("few", [0, 10_000])
@ON_SQLITE
def test_proofs_from_the_whole_tree_are_those_that_are_read_one_by_one(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, few: int
) -> None:
    monkeypatch.setattr(log_extract, "FEW", few)
    body = make_pack(house.world.lead, kind="period", period=f"{clock.now():%Y}")
    assert manifest_of(body)["entries"] > 20
    assert verify_alone(body, tmp_path / "empty")[0] == 0


@ON_SQLITE
def test_no_pack_is_made_of_a_log_that_is_not_what_was_signed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = ask_pack(house.world.lead, kind="model", model="toy")
    with tampering() as connection:
        connection.execute(text("UPDATE audit_entries SET leaf = replace(leaf, 'toy', 'tot') WHERE seq = 9"))
        connection.execute(
            text("UPDATE audit_entries SET leaf_hash = replace(leaf_hash, 'a', 'b') WHERE seq = 9")
        )
    for few in (0, 10_000):
        monkeypatch.setattr(log_extract, "FEW", few)
        with reading() as session, pytest.raises(LogDamaged):
            row = session.get_one(EvidencePack, pack)
            build_pack(session, maker_of(session, row), wanted_of(row), signing_key(first=False))
