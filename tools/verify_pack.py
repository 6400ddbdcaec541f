"""Verify an evidence pack of Warrant offline: python verify_pack.py PACK.zip KEY [WITNESS-KEY]... [--made FILE]

KEY is the verifier key of the log, `name+id+base64`, from somebody you trust and not from the pack; of a log that
changed its key all of them, with commas, those that ended with their end: `name+id+base64@2026-07-01T12:00:00Z`. Every
witness whose key is given must have signed the newest head too. FILE is what the house gives out beside the pack: the
proof that its log has an entry of this pack's making. A pack under a key that has ended needs it, since whoever stole
that key could have made the pack. Needs Python and its package `cryptography` only; verify before you unpack.
Exit 0: the pack is as it was made, and every proof in it holds. 1: it is not. 2: this is no pack, or no key.
"""

import base64
import hashlib
import json
import pathlib
import re
import struct
import sys
import zlib
from datetime import datetime, timezone

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
ENTRIES, HEAD, FIRST = "audit/entries.jsonl", "audit/checkpoint-last.note", "audit/checkpoint-first.note"
CONSISTENCY = "audit/consistency.json"
APART = ("README.txt", "summary.pdf")  # they name the digest of all other files, so it is not over them
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")
SIGNED = re.compile(r"warrant evidence pack\n(\S+)\n([0-9a-f]{64})\n\n(\u2014 \S+ \S+\n)")
NOTE = re.compile(r"(?a)(([^\n]+)\n(0|[1-9]\d{0,18})\n(\S+)\n)\n((?:\u2014 \S+ \S+\n)+)")
PROOF = re.compile(r"(?as)c2sp\.org/tlog-proof@v1\nextra (\S+)\nindex (0|[1-9]\d{0,18})\n((?:\S+\n)*)\n(.+)")


class Altered(Exception):
    """The pack is not as it was made; the message says what, in plain words."""


class NoPack(Exception):
    """This is no pack at all, or what was given is no key."""


def decode(text):
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        value = b""
    if not value or base64.b64encode(value).decode() != text:
        raise Altered(f"this is not base64: {text[:60]!r}")
    return value


def read_key(text, kind):
    """How signature lines name the key, the key, and its end. Kind 1 signs the text, kind 4 the text and the time."""
    name, key_id, body = [*text.strip().split("+", 2), "", ""][:3]
    body, ended, until = body.partition("@")
    try:
        key = decode(body)
        until = datetime.strptime(until, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc) if ended else None
    except (Altered, ValueError):
        key = b""
    if len(key) != 33 or key_id != hashlib.sha256(f"{name}\n".encode() + key).digest()[:4].hex():
        raise NoPack(f"{text!r} is not a verifier key")
    shown = hashlib.sha256(f"{name}\n".encode() + bytes([kind]) + key[1:]).digest()[:4]
    return (name, shown), (kind, Ed25519PublicKey.from_public_bytes(key[1:]), until)


def signers(text, lines, keys):
    """Who of `keys` signed the text, when, and whether with a key that has not ended.

    A signature of theirs that does not fit, or that is later than their end, spoils everything.
    """
    for _, name, value in (line.split(" ") for line in lines.split("\n")[:-1]):
        content = decode(value)
        kind, key, until = keys.get((name, content[:4]), (0, None, None))
        try:
            if kind == 1:
                key.verify(content[4:], text.encode())
                yield name, None, until is None
            elif kind == 4:
                seconds = int.from_bytes(content[4:12], "big")
                key.verify(content[12:], f"cosignature/v1\ntime {seconds}\n{text}".encode())
                at = datetime.fromtimestamp(seconds, timezone.utc)
                if until is not None and at > until:
                    raise Altered(f"{name} signed on {at} with a key that ended on {until}")
                yield name, at, until is None
        except (InvalidSignature, OverflowError):
            raise Altered(f"the signature of {name} does not fit what it stands under") from None


def headers(name, data, offset):
    """What a ZIP has before a file, and in its list of files: not compressed, no times, no comments."""
    sums = struct.pack("<LLL", zlib.crc32(data), len(data), len(data))
    fixed = struct.pack("<HHHHH", 20, 0, 0, 0, 0x21) + sums + struct.pack("<HH", len(name), 0)
    listed = struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, offset)
    return b"PK\3\4" + fixed + name, b"PK\1\2\x14\3" + fixed + listed + name


def members(data):
    """Name and bytes of each file. The ZIP must be exactly what its files make: nothing beside them, none twice."""
    if data[:4] != b"PK\3\4" or data[-22:-18] != b"PK\5\6":
        raise NoPack("this is not a ZIP as Warrant writes it, or it was cut off")
    count, _, first = struct.unpack("<HLL", data[-12:-2])
    files, names, offset, at = {}, [], 0, first
    for _ in range(count):
        if data[at : at + 4] != b"PK\1\2" or at + 46 > len(data):
            raise Altered("the list of files of the ZIP is damaged")
        size, length = struct.unpack("<LH", data[at + 24 : at + 30])
        name = data[at + 46 : at + 46 + length]
        begins = offset + 30 + length
        # Each file lies behind the one before: what is read is never more than what was given.
        if struct.unpack("<L", data[at + 42 : at + 46])[0] != offset or begins + size > first:
            raise Altered("a file of the ZIP does not lie where the one before it ends")
        content = data[begins : begins + size]
        before, listed = headers(name, content, offset)
        if data[offset:begins] != before or data[at : at + 46 + length] != listed:
            raise Altered(
                "the ZIP is not exactly what its files make: bytes of it were altered, added or moved"
            )
        names.append(name.decode("ascii", "replace"))
        files[names[-1]] = content
        offset, at = begins + size, at + 46 + length
    if any(NAME.fullmatch(name) is None for name in names):
        raise Altered("a file of the ZIP has a name that no pack gives")
    if len({name.lower() for name in names}) != len(names):
        raise Altered("a file is in the ZIP twice")
    ends = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, count, count, at - first, first, 0)
    if names != sorted(names) or offset != first or data[at:] != ends:
        raise Altered("the ZIP is not exactly what its files make: bytes of it were altered, added or moved")
    return files


def pairs_once(pairs):
    if len({name for name, _ in pairs}) != len(pairs):
        raise Altered("a JSON document names something twice")
    return dict(pairs)


def parse(data, what):
    try:
        return json.loads(data.decode(), object_pairs_hook=pairs_once)
    except (ValueError, RecursionError):
        raise Altered(f"{what} is not a JSON document") from None


def root_from(leaf, index, size, proof):
    """RFC 9162, section 2.1.3.2; None where the proof does not fit the place."""
    last, root = size - 1, leaf
    for sibling in proof:
        if last == 0 or len(sibling) != 32:
            return None
        left = index & 1 or index == last
        root = hashlib.sha256(b"\1" + (sibling + root if left else root + sibling)).digest()
        while left and not index & 1 and index:
            index, last = index >> 1, last >> 1
        index, last = index >> 1, last >> 1
    return root if last == 0 else None


def continues(size1, root1, size2, root2, proof):
    """RFC 9162, section 2.1.4.2: whether the tree of size1 is a prefix of the one of size2."""
    if size1 == size2:
        return root1 == root2 and not proof
    if not 0 < size1 < size2 or not proof:
        return False
    path = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = path[0]
    for one in path[1:]:
        if sn == 0 or len(one) != 32:
            return False
        if fn & 1 or fn == sn:
            old, new = (hashlib.sha256(b"\1" + one + side).digest() for side in (old, new))
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = hashlib.sha256(b"\1" + new + one).digest()
        fn, sn = fn >> 1, sn >> 1
    return old == root1 and new == root2 and sn == 0


def read_head(text, log_keys, what):
    """Origin, size, root and signers of a signed head, which the log itself must have signed, text and time."""
    found = NOTE.fullmatch(text)
    if found is None:
        raise Altered(f"{what} is not a signed head of a log")
    body, origin, size, root, lines = found.groups()
    signed = [one for one in signers(body, lines, log_keys) if one[0] == origin]
    if not {False, True} <= {at is not None for _, at, _ in signed}:
        raise Altered(f"no key that was given signed {what}, the head of {size} entries of {origin}")
    lasts = {False, True} <= {at is not None for _, at, lasting in signed if lasting}
    return origin, int(size), decode(root), [(name, at) for name, at, _ in signed if at], (body, lines), lasts


def check_manifest(files, log_keys):
    """The manifest, after its signature and every file it lists were checked; whether a key without end signed it."""
    if MANIFEST not in files or SIGNATURE not in files:
        raise NoPack("this ZIP has no signed manifest; it is no evidence pack")
    found = SIGNED.fullmatch(files[SIGNATURE].decode("utf-8", "replace"))
    if found is None:
        raise Altered("the signature of the manifest is damaged")
    pack, digest, line = found.groups()
    signed = list(signers(f"warrant evidence pack\n{pack}\n{digest}\n", line, log_keys))
    if not signed:
        raise Altered("no key that was given signed the manifest")
    if hashlib.sha256(files[MANIFEST]).hexdigest() != digest:
        raise Altered("the manifest is not the one that was signed")
    manifest = parse(files[MANIFEST], "the manifest")
    if manifest.get("format") != "warrant-evidence-pack/1" or manifest.get("pack") != pack:
        raise Altered("the manifest is not of this form of pack, or of another pack")
    listed = {one["path"]: one for one in manifest["files"]}
    there = set(files) - {MANIFEST, SIGNATURE}
    for name in sorted(there ^ set(listed)):
        raise Altered(f"{name} is {'missing' if name in listed else 'in the pack and not in its manifest'}")
    for name, one in listed.items():
        if len(files[name]) != one["bytes"] or hashlib.sha256(files[name]).hexdigest() != one["sha256"]:
            raise Altered(f"{name} is not the file that the manifest names")
    told = "".join(f"{one['sha256']}  {name}\n" for name, one in sorted(listed.items()) if name not in APART)
    if f"sha256:{hashlib.sha256(told.encode()).hexdigest()}" != manifest["contents"]:
        raise Altered("the digest that the summary names is not that of the other files")
    return manifest, any(lasting for _, _, lasting in signed)


def check_entries(data, size, root):
    """Every entry leads to the signed root, and every payload that is there fits its entry.

    Gives the leaf of each entry by its number, how many payloads there are, and how many are said to be erased.
    """
    leaves, payloads, erased, before = {}, 0, 0, -1
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n")[:-1], 1):
        one = parse(line.encode(), f"line {number} of {ENTRIES}")
        leaf = one["leaf"].encode()
        fields, seq = parse(leaf, f"the leaf in line {number} of {ENTRIES}"), one["seq"]
        if fields.get("seq") != seq or type(seq) is not int or not before < seq < size:
            raise Altered(
                f"line {number} of {ENTRIES} is out of order, or its number is not that of its entry"
            )
        proof = [decode(sibling) for sibling in one["proof"]]
        if root_from(hashlib.sha256(b"\0" + leaf).digest(), seq, size, proof) != root:
            raise Altered(f"entry {seq} of the log does not lead to the signed head")
        if one.get("payload") is not None:
            body = bytes.fromhex(one["salt"]) + one["payload"].encode()
            if hashlib.sha256(body).hexdigest() != fields["commitment"]:
                raise Altered(f"the payload of entry {seq} is not the one that the log is bound to")
            payloads += 1
        erased += "erased_by" in one
        leaves[seq], before = leaf, seq
    return leaves, payloads, erased


def read_receipt(name, text, log_keys):
    """Leaf and number of an entry, after its proof was checked, and the signed head that it leads to."""
    found = PROOF.fullmatch(text)
    if found is None:
        raise Altered(f"{name} is no receipt")
    leaf, index, hashes, note = found.groups()
    head = read_head(note, log_keys, f"the head in {name}")
    leaf, index, proof, size = (
        decode(leaf),
        int(index),
        [decode(one) for one in hashes.split("\n")[:-1]],
        head[1],
    )
    if index >= size or root_from(hashlib.sha256(b"\0" + leaf).digest(), index, size, proof) != head[2]:
        raise Altered(f"the entry in {name} does not lead to the signed head")
    if parse(leaf, f"the entry in {name}").get("seq") != index:
        raise Altered(f"the entry in {name} has another number than its proof")
    return leaf, index, head


def check_receipt(name, text, log_keys, head, leaves):
    """A receipt is of an entry that the pack's own head proves, and proves it in that head or in an earlier one."""
    leaf, index, (origin, size, root, *_) = read_receipt(name, text, log_keys)
    if origin != head[0] or size > head[1] or (size == head[1] and root != head[2]):
        raise Altered(f"{name} is of another log, or of a head that the pack's does not continue")
    if leaves.get(index) != leaf:
        raise Altered(f"the entry in {name} is not one that {ENTRIES} has under its number")


def check_making(text, manifest, digest, keys, witnesses):
    """The log has an entry that says that this pack was made, in a head that a key without end signed."""
    made = parse(text, "the file of its making")
    leaf, index, head = read_receipt("the file of its making", made["receipt"], keys)
    fields = parse(leaf, "the entry of its making")
    if (fields["action"], fields["object_id"]) != ("assurance:pack:make", manifest["pack"]):
        raise Altered("the file of its making is of another pack, or of no making")
    body = made["payload"].encode()
    if hashlib.sha256(bytes.fromhex(made["salt"]) + body).hexdigest() != fields["commitment"]:
        raise Altered("the payload in the file of its making is not the one that the log is bound to")
    if parse(body, "the payload of its making")["manifest"] != f"sha256:{digest}":
        raise Altered("by the log another pack was made under this name: its manifest is another one")
    own = manifest["head"]
    if own is not None and (head[0] != own["origin"] or index < own["size"]):
        raise Altered("the entry of its making is of another log, or older than the pack's own head")
    if not head[5]:
        raise Altered(
            "the file of its making is under a key that has ended too: have the house give it out anew"
        )
    if not all(any(signers(*head[4], key)) for key in witnesses):
        raise Altered(
            "a witness whose key was given did not sign the head in the file of its making; fetch it anew"
        )
    return f"entry {index} of the log records that exactly this pack was made, {fields['at']}"


def verify(data, log_keys, witness_keys=(), made=None):
    """What was found, a line each. Raises Altered, and NoPack for what is no pack. made: the file of its making."""
    keys = dict(read_key(key, kind) for key in log_keys for kind in (1, 4))
    witnesses = [dict([read_key(key, 4)]) for key in witness_keys]
    if any(name in keys for key in witnesses for name in key):
        raise NoPack("a witness is somebody else: this is a key of the log itself")
    files = members(data)
    try:
        manifest, lasting = check_manifest(files, keys)
        about = f"pack {manifest['pack']} about {manifest['about']}, as of {manifest['as_of']}"
        said = [
            "".join(char if char.isprintable() else "?" for char in about),
            f"{len(manifest['files'])} files, each as the signed manifest says; none is missing, added or twice",
        ]
        found, lasts = check_log(manifest, files, keys, witnesses)
        if made is not None:
            digest = hashlib.sha256(files[MANIFEST]).hexdigest()
            return said + found + [check_making(made, manifest, digest, keys, witnesses)]
        if not lasting or not lasts:
            raise Altered(
                "it is signed with a key that has ended: whoever has that key could have made it since. Ask the house "
                "for the file of its making and give it with --made"
            )
        return (
            said
            + found
            + ["whether the log records its making was not asked: give the file of it with --made"]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Altered(f"something that every pack has is missing or of another kind: {error}") from None


def check_log(manifest, files, keys, witnesses):
    """What was found, and whether a key without end signed the newest head."""
    if manifest["head"] is None:
        if witnesses or any(name.endswith(".tlog-proof") or name == ENTRIES for name in files):
            raise Altered("the pack has proofs and no signed head of the log that they lead to")
        told = "the pack holds no part of the audit log: no head of it could be signed; the summary says why"
        return [told], True
    origin, size, root, signed, signature, lasts = read_head(files[HEAD].decode(), keys, HEAD)
    if manifest["head"] != {"origin": origin, "size": size, "root": root.hex()}:
        raise Altered("the newest signed head is not the one that the manifest names")
    for key in witnesses:
        cosigned = list(signers(*signature, key))
        if not cosigned:
            raise Altered("a witness whose key was given did not sign the newest head")
        signed += [(name, at) for name, at, _ in cosigned]
    first = read_head(files[FIRST].decode(), keys, FIRST)
    proof = parse(files[CONSISTENCY], CONSISTENCY)
    hashes = [decode(one) for one in proof["proof"]]
    ends = (first[1], first[2], size, root)
    named = (proof["size1"], decode(proof["root1"]), proof["size2"], decode(proof["root2"]))
    if first[0] != origin or ends != named or not continues(*ends, hashes):
        raise Altered("the newest signed head does not continue the first one")
    leaves, payloads, erased = check_entries(files[ENTRIES], size, root)
    entries = len(leaves)
    if entries != manifest["entries"]:
        raise Altered("the extract of the log has another number of entries than the manifest says")
    receipts = sorted(name for name in files if name.endswith(".tlog-proof"))
    for name in receipts:
        check_receipt(name, files[name].decode(), keys, (origin, size, root), leaves)
    when = "; ".join(f"{name} at {at:%Y-%m-%d %H:%M:%S} UTC" for name, at in signed)
    found = [
        f"head of the log: {size} entries, continues the one of {first[1]}; signed by {when}",
        f"{entries} entries of the log are proved; {payloads} payloads are here and fit, {entries - payloads} are not"
        + (f", of which the pack says, and does not prove, that {erased} were erased" if erased else ""),
        f"{len(receipts)} receipts of decisions and executions hold",
        f"what is missing or speaks against it: {manifest['gaps']['high']} grave, {manifest['gaps']['medium']} to "
        f"mend, {manifest['gaps']['low']} to note; summary.pdf names them first",
    ]
    return found, lasts


if __name__ == "__main__":
    given, made = sys.argv[1:], None
    try:
        if "--made" in given[:-1]:
            at = given.index("--made")
            made = pathlib.Path(given[at + 1]).read_bytes()
            del given[at : at + 2]
        if len(given) < 2:
            sys.exit(print(__doc__) or 2)
        lines = verify(pathlib.Path(given[0]).read_bytes(), given[1].split(","), given[2:], made)
    except Altered as error:
        sys.exit(print(f"NOT AS IT WAS MADE: {error}") or 1)
    except (NoPack, OSError) as error:
        sys.exit(print(f"NO PACK: {error}") or 2)
    print("\n".join(["VALID", *(f"  {line}" for line in lines)]))
