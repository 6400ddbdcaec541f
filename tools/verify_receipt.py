"""Verify a receipt of Warrant's audit log offline: python verify_receipt.py RECEIPT KEY [WITNESS-KEY]...

RECEIPT is a .tlog-proof file. KEY is the log's verifier key, `name+id+base64`, from somebody you trust and not from
where the receipt is from; of a log that changed it all, with commas, an ended one with its end (@2026-07-01T12:00:00Z).
Every witness whose key is given must have signed too. Needs Python and its package `cryptography` only.
Exit 0: the entry that is printed is in the signed log. 1: it is not. 2: this is no receipt, or no key.
"""

import base64
import hashlib
import json
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORM = re.compile(
    r"(?a)c2sp\.org/tlog-proof@v1\nextra (\S+)\nindex (0|[1-9]\d{0,18})\n((?:\S+\n)*)\n"
    r"(([^\n]+)\n(0|[1-9]\d{0,18})\n(\S+)\n)\n((?:\u2014 \S+ \S+\n)+)"
)


def decode(text):
    if base64.b64encode(value := base64.b64decode(text, validate=True)).decode() != text:
        raise ValueError(f"not canonical base64: {text!r}")
    return value


def read_key(text, kind):
    """How signature lines name the key, the key, its ends. Kind 1 signs the text, kind 4 the text and the time."""
    name, key_id, body = text.strip().split("+", 2)
    ends = [datetime.strptime(end, "%Y-%m-%dT%H:%M:%S%z").timestamp() for end in body.split("@")[1:]]
    key = decode(body.split("@")[0])
    if len(key) != 33 or key_id != hashlib.sha256(f"{name}\n".encode() + key).digest()[:4].hex():
        raise ValueError(f"{text!r} is not a verifier key")
    shown = hashlib.sha256(f"{name}\n".encode() + bytes([kind]) + key[1:]).digest()[:4]
    return (name, shown), (kind, Ed25519PublicKey.from_public_bytes(key[1:]), ends)


def signers(text, lines, keys):
    """Who of `keys` signed the text, and when. A signature of theirs that does not fit spoils everything."""
    for _, name, value in (line.split(" ") for line in lines.split("\n")[:-1]):
        content = decode(value)
        kind, key, ends = keys.get((name, content[:4]), (0, None, []))
        if kind == 1:
            key.verify(content[4:], text.encode())
            yield name, None
        elif kind == 4:
            seconds = int.from_bytes(content[4:12], "big")
            key.verify(content[12:], f"cosignature/v1\ntime {seconds}\n{text}".encode())
            if any(seconds > end for end in ends):
                raise InvalidSignature(f"{name} signed with a key that had ended")
            yield name, datetime.fromtimestamp(seconds, timezone.utc)


def root_from(leaf, index, size, proof):
    """RFC 9162, section 2.1.3.2; None where the proof does not fit the place."""
    last, root = size - 1, hashlib.sha256(b"\0" + leaf).digest()
    for sibling in proof:
        if last == 0 or len(sibling) != 32:
            return None
        left = index & 1 or index == last
        root = hashlib.sha256(b"\1" + (sibling + root if left else root + sibling)).digest()
        while left and not index & 1 and index:
            index, last = index >> 1, last >> 1
        index, last = index >> 1, last >> 1
    return root if last == 0 else None


def verify(receipt, log_keys, witness_keys):
    """The entry and who signed when. Raises InvalidSignature, and ValueError for what is no receipt."""
    if not (found := FORM.fullmatch(receipt)):
        raise ValueError("this is not a tlog-proof with the entry in `extra` and a checkpoint")
    leaf, index, hashes, text, origin, size, root, lines = found.groups()
    signed = list(signers(text, lines, dict(read_key(key, kind) for key in log_keys for kind in (1, 4))))
    if not {False, True} <= {at is not None for name, at in signed if name == origin}:
        raise InvalidSignature(f"no key that was given signed for the log {origin}, text and time")
    cosigned = [list(signers(text, lines, dict([read_key(key, 4)]))) for key in witness_keys]
    if not all(cosigned) or {read_key(k, 4)[0] for k in log_keys} & {read_key(k, 4)[0] for k in witness_keys}:
        raise InvalidSignature("a witness whose key was given did not sign, or is the log itself")
    index, proof, leaf = int(index), [decode(one) for one in hashes.split("\n")[:-1]], decode(leaf)
    fits = index < int(size) and root_from(leaf, index, int(size), proof) == decode(root)
    if not fits or json.loads(leaf).get("seq") != index:
        raise InvalidSignature("the entry does not lead to the signed root")
    return json.loads(leaf), [f"{name} at {str(at)[:19]} UTC" for name, at in sum(cosigned, signed) if at]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(print(__doc__) or 2)
    try:
        entry, signed = verify(Path(sys.argv[1]).read_bytes().decode(), sys.argv[2].split(","), sys.argv[3:])
    except (InvalidSignature, ValueError, OSError, OverflowError) as error:
        said, code = ("INVALID", 1) if isinstance(error, InvalidSignature) else ("MALFORMED", 2)
        sys.exit(print(f"{said}: {error or 'a signature does not fit'}") or code)
    print(json.dumps(entry, indent=1, ensure_ascii=False), "VALID: signed by " + "; ".join(signed), sep="\n")
