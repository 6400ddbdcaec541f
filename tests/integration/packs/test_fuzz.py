"""Whatever one alters at random in a pack is found: a byte, a row, an order, a signature, a receipt, a file."""

from __future__ import annotations

import io
import json
import random
import re
import runpy
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from backend import clock
from backend.audit.checkpoints import sign_head
from backend.audit.merkle import Frontier, inclusion_proof, leaf_hash
from backend.audit.notes import Checkpoint, SigningKey
from backend.audit.proof_files import TlogProof
from backend.audit.signers import signing_key, verifier_keys
from backend.packs.container import zip_of
from backend.packs.manifest import MANIFEST, SIGNATURE, manifest_of, signature_of
from tests.integration.packs.conftest import TOOL, House, files_of, keys, make_pack

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
Files = dict[str, bytes]
ROUNDS = 60
ENTRIES = "audit/entries.jsonl"


@pytest.fixture
def verify() -> Callable[[bytes], str]:
    """What the verifier says: "valid", or why not."""
    tool = runpy.run_path(str(TOOL), run_name="verify_pack")

    def ask(body: bytes) -> str:
        try:
            tool["verify"](body, keys().split(","))
        except tool["Altered"] as error:
            return f"altered: {error}"
        except tool["NoPack"] as error:
            return f"no pack: {error}"
        return "valid"

    return ask


def flip(data: bytes, rng: random.Random) -> bytes:
    altered = bytearray(data)
    altered[rng.randrange(len(altered))] ^= 1 << rng.randrange(8)
    return bytes(altered)


def one_of(files: Files, rng: random.Random, *, suffix: str = "") -> str:
    return rng.choice(sorted(name for name in files if name.endswith(suffix) and files[name]))


def lines_of(files: Files) -> list[bytes]:
    return files[ENTRIES].split(b"\n")[:-1]


def with_lines(files: Files, lines: list[bytes]) -> Files:
    return files | {ENTRIES: b"".join(line + b"\n" for line in lines)}


def altered_byte(files: Files, rng: random.Random) -> Files:
    name = one_of(files, rng)
    return files | {name: flip(files[name], rng)}


def cut_file(files: Files, rng: random.Random) -> Files:
    name = one_of(files, rng)
    return files | {name: files[name][: rng.randrange(len(files[name]))]}


def longer_file(files: Files, rng: random.Random) -> Files:
    name = one_of(files, rng)
    return files | {name: files[name] + rng.choice([b"\n", b" ", b"\0", b"{}"])}


def exchanged_rows(files: Files, rng: random.Random) -> Files:
    lines = lines_of(files)
    first, second = rng.sample(range(len(lines)), 2)
    lines[first], lines[second] = lines[second], lines[first]
    return with_lines(files, lines)


def missing_row(files: Files, rng: random.Random) -> Files:
    lines = lines_of(files)
    lines.pop(rng.randrange(len(lines)))
    return with_lines(files, lines)


def doubled_row(files: Files, rng: random.Random) -> Files:
    lines = lines_of(files)
    at = rng.randrange(len(lines))
    return with_lines(files, [*lines[:at], lines[at], *lines[at:]])


def exchanged_files(files: Files, rng: random.Random) -> Files:
    first, second = rng.sample(sorted(files), 2)
    return files | {first: files[second], second: files[first]}


def altered_receipt(files: Files, rng: random.Random) -> Files:
    name = one_of(files, rng, suffix=".tlog-proof")
    return files | {name: flip(files[name], rng)}


def exchanged_receipts(files: Files, rng: random.Random) -> Files:
    first, second = rng.sample(sorted(one for one in files if one.endswith(".tlog-proof")), 2)
    return files | {first: files[second], second: files[first]}


def missing_file(files: Files, rng: random.Random) -> Files:
    gone = rng.choice(sorted(files))
    return {name: data for name, data in files.items() if name != gone}


def added_file(files: Files, rng: random.Random) -> Files:
    return files | {f"{rng.choice(['audit', 'changes', 'notes'])}/{rng.randrange(10**6)}.txt": b"believe me"}


def renamed_file(files: Files, rng: random.Random) -> Files:
    name = rng.choice(sorted(files))
    return {(f"{one}.old" if one == name else one): data for one, data in files.items()}


def strangers_signature(files: Files, _: random.Random) -> Files:
    pack = json.loads(files[MANIFEST])["pack"]
    stranger = SigningKey.generate(verifier_keys()[0].name)
    return files | {SIGNATURE: signature_of(pack, files[MANIFEST], stranger)}


def altered_signature(files: Files, rng: random.Random) -> Files:
    return files | {SIGNATURE: flip(files[SIGNATURE], rng)}


def second_signature(files: Files, _: random.Random) -> Files:
    line = files[SIGNATURE].decode().split("\n\n")[1]
    return files | {SIGNATURE: files[SIGNATURE] + line.encode()}


MUTATIONS = (
    altered_byte, cut_file, longer_file, exchanged_rows, missing_row, doubled_row, exchanged_files, altered_receipt,
    exchanged_receipts, missing_file, added_file, renamed_file, strangers_signature, altered_signature,
    second_signature,
)  # fmt: skip


@pytest.fixture
def body(house: House) -> bytes:
    return make_pack(house.world.compliance, kind="version", model="toy", version=1)


def test_every_altered_file_row_order_signature_or_receipt_is_found(
    body: bytes, verify: Callable[[bytes], str]
) -> None:
    files, rng = files_of(body), random.Random(20260705)
    assert zip_of(files) == body
    assert verify(body) == "valid"
    missed = []
    for mutation in MUTATIONS:
        for number in range(ROUNDS if mutation is altered_byte else ROUNDS // 4):
            altered = mutation(files, rng)
            if altered != files and verify(zip_of(altered)) == "valid":
                missed.append((mutation.__name__, number))
    assert missed == []


def test_every_altered_byte_of_the_zip_itself_is_found(body: bytes, verify: Callable[[bytes], str]) -> None:
    """Also those that no program that unpacks looks at: times, versions, the places of files."""
    rng = random.Random(7)
    structure = [
        at
        for found in re.finditer(rb"PK\x01\x02|PK\x03\x04", body)
        for at in range(found.start(), found.start() + 46)
    ]
    places = [
        *rng.sample(range(len(body)), ROUNDS),
        *rng.sample(structure, 4 * ROUNDS),
        *range(len(body) - 22, len(body)),
    ]
    for at in places:
        altered = bytearray(body)
        altered[at] ^= 1 << rng.randrange(8)
        assert verify(bytes(altered)) != "valid", at
    for cut in (0, 1, 21, 22, 1000, len(body) // 2):
        assert verify(body[: len(body) - cut - 1]) != "valid"
    for longer in (body + b"\0", b"\0" + body, body + body, b""):
        assert verify(longer) != "valid"


def test_files_twice_hidden_or_with_hostile_names_are_found(
    body: bytes, verify: Callable[[bytes], str]
) -> None:
    files = files_of(body)
    for name, data in (("summary.pdf", b"another"), ("summary.pdf", files["summary.pdf"]), ("../../etc/cron", b"x"),
                       ("/etc/passwd", b"x"), ("SUMMARY.PDF", b"x"), ("a\\b", b"x")):  # fmt: skip
        altered = io.BytesIO(body)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(altered, "a") as archive:
                archive.writestr(name, data)
        assert verify(altered.getvalue()) != "valid", name
    made_elsewhere = io.BytesIO()
    with zipfile.ZipFile(made_elsewhere, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert verify(made_elsewhere.getvalue()) != "valid"


def signed_again(files: Files) -> bytes:
    """As somebody makes it who has the key of the log."""
    known = json.loads(files[MANIFEST])
    facts = {name: known[name] for name in known if name not in ("files", "contents", "format")}
    rest = {name: data for name, data in files.items() if name not in (MANIFEST, SIGNATURE)}
    manifest = manifest_of(rest, facts)
    note = signature_of(known["pack"], manifest, signing_key(first=False))
    return zip_of({**rest, MANIFEST: manifest, SIGNATURE: note})


def test_what_the_log_does_not_prove_is_found_even_under_a_good_signature(
    body: bytes, verify: Callable[[bytes], str]
) -> None:
    files, rng = files_of(body), random.Random(3)
    assert verify(signed_again(files)) == "valid"

    def entry(**changed: Any) -> Files:
        lines = [json.loads(line) for line in lines_of(files)]
        for name, make in changed.items():
            one = rng.choice([one for one in lines if one.get(name) is not None])
            one[name] = make(one[name])
        return with_lines(files, [json.dumps(one).encode() for one in lines])

    cases: list[Files] = [
        *(entry(leaf=lambda leaf: leaf.replace("2026", "2025", 1).replace("toy", "tot")) for _ in range(5)),
        *(entry(leaf=lambda leaf: leaf.replace('"actor":"', '"actor":"x')) for _ in range(5)),
        *(entry(payload=lambda text: text.replace("{", '{"x":1,', 1)) for _ in range(5)),
        *(entry(salt=lambda salt: salt[::-1]) for _ in range(5)),
        *(entry(proof=lambda proof: proof[::-1] if len(proof) > 1 else []) for _ in range(5)),
        *(entry(proof=lambda proof: proof[:-1]) for _ in range(5)),
        *(entry(seq=lambda seq: seq + 1) for _ in range(5)),
        *(exchanged_rows(files, rng) for _ in range(5)),
        *(missing_row(files, rng) for _ in range(5)),
        *(doubled_row(files, rng) for _ in range(5)),
        *(altered_receipt(files, rng) for _ in range(40)),
        files | {"audit/checkpoint-last.note": flip(files["audit/checkpoint-last.note"], rng)},
        files | {"audit/checkpoint-first.note": flip(files["audit/checkpoint-first.note"], rng)},
        files | {"audit/consistency.json": files["audit/consistency.json"].replace(b'"size1": ', b'"size1": 1')},
        missing_receipts(files),
    ]  # fmt: skip
    missed = [
        number
        for number, case in enumerate(cases[:-1])
        if case != files and verify(signed_again(case)) == "valid"
    ]
    assert missed == []
    assert (
        verify(signed_again(cases[-1])) == "valid"
    )  # what is not in a pack, its maker left out: the log has it


def missing_receipts(files: Files) -> Files:
    return {name: data for name, data in files.items() if not name.endswith(".tlog-proof")}


def test_a_receipt_of_an_entry_that_is_in_no_log_is_found(
    body: bytes, verify: Callable[[bytes], str]
) -> None:
    """Its head is signed by the log's own key, and of the same size as the pack's: only the entry gives it away."""
    files, key = files_of(body), signing_key(first=False)
    head = json.loads(files[MANIFEST])["head"]
    for size in (head["size"], 1):
        leaf = json.dumps(
            {"action": "governance:change:approve", "actor": "per_ceo", "seq": size - 1}
        ).encode()
        tree = Frontier()
        hashes = [leaf_hash(b"%d" % one) for one in range(size - 1)] + [leaf_hash(leaf)]
        for one in hashes:
            tree.append(one)
        text = Checkpoint(head["origin"], size, tree.root()).text
        note = f"{text}\n{key.sign(text)}{key.sign_at(text, clock.now())}"
        proof = tuple(inclusion_proof(hashes, size - 1))
        forged = str(TlogProof(leaf, size - 1, proof, note)).encode()
        name = f"changes/CHG-1/receipts/{size - 1}-change-approve.tlog-proof"
        said = verify(signed_again(files | {name: forged}))
        assert said.startswith("altered: ") and name in said, said


def test_a_file_that_is_listed_many_times_costs_no_more_than_it_has(
    database: str, verify: Callable[[bytes], str]
) -> None:
    name, block = b"a000", b"x" * 1_000_000
    sums = struct.pack("<LLL", zlib.crc32(block), len(block), len(block))
    fixed = struct.pack("<HHHHH", 20, 0, 0, 0, 0x21) + sums + struct.pack("<HH", len(name), 0)
    listed = b"".join(
        b"PK\1\2\x14\3" + fixed + struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, 0) + b"%04d" % one
        for one in range(200)
    )
    local = b"PK\3\4" + fixed + name + block
    ends = struct.pack("<HHHHLLH", 0, 0, 200, 200, len(listed), len(local), 0)
    sign_head()  # so that there is a key
    tracemalloc.start()
    said = verify(local + listed + b"PK\5\6" + ends)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said.startswith("altered: ")
    assert most < 10 * len(block)
