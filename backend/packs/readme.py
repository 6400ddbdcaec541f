"""`README.txt`: what this is, how to verify it without Warrant, what is where, and what was left out."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

from backend.packs.draft import Draft
from backend.packs.scope import Subject

_FOLDERS: Final = {
    "summary.pdf": "read this first: what is missing or speaks against it, then the rest in short",
    "gaps.json": "what is missing or speaks against it, all of it",
    "scope.json": "what the pack is about, and what belongs to that",
    "audit": "entries of the audit log with their proofs, signed heads, consistency of the first and the newest, keys",
    "card": "model cards as Markdown and PDF, their source, every version with its reviews",
    "changes": "each change with its decisions, what deciders saw (as-seen.html; seen/ as stored), receipts",
    "controls": "catalogues of controls held against the record",
    "exceptions": "exceptions from gates",
    "findings": "findings, with the papers that closed them",
    "gates": "what the gates of each change found",
    "incidents": "incidents and alerts; of serious ones clocks, states that were kept, the draft of the report",
    "models": "versions with their digests and what served when",
    "monitoring": "windows and points as CSV, plots",
    "reports": "reports that jobs wrote, as they were written",
    "validations": "validations with the reports that were handed in",
    "manifest.json": "every other file with its size and SHA-256",
    "manifest.sig": "the signature under the manifest, with the key of the log",
    "verify_pack.py": "the verifier",
}


def readme_of(
    draft: Draft, subject: Subject, *, pack_id: str, contents: str, head: dict[str, Any] | None
) -> str:
    """Plain text, 78 characters a line."""
    origin = head["origin"] if head is not None else "the log"
    there = {path.split("/")[0] for path in draft.files} | {"summary.pdf", "manifest.json", "manifest.sig"}
    parts = [
        f"EVIDENCE PACK {pack_id}",
        f"{subject.scope.about}, {subject.environment}, as of {subject.as_of:%Y-%m-%d %H:%M:%S} UTC",
        "",
        *_fill(
            "To verify it, you need Python with its package `cryptography`, this file as you got it, and the verifier "
            f"key of {origin}. Ask the house for the key (`warrant audit keys`) on another way than the one this pack "
            "came; the keys in audit/keys.pub are only as good as the pack. Verify the ZIP before you unpack it, best "
            "with a verify_pack.py that you have from Warrant's own source; the one in here is the same:"
        ),
        "",
        "    unzip -p PACK.zip verify_pack.py > verify_pack.py",
        "    python verify_pack.py PACK.zip KEY --made PACK.made.json",
        "",
        *_fill(
            "PACK.made.json is given out beside the pack: it proves that the log has an entry that exactly this pack "
            "was made. You can leave it out, but for a pack under a key that has ended (KEY@END), which whoever has "
            "that key could have made since; ask the house for the file anew then, it is under the present key."
        ),
        "",
        *_fill(
            "Exit 0: the pack is as it was made and every proof in it holds. 1: it is not. 2: this is no pack, or no "
            "key. A witness of the log can be asked for too: add its verifier key. One receipt (.tlog-proof) alone "
            "verifies with verify_receipt.py of Warrant."
        ),
        "",
        *_fill(
            "What that shows: who holds the log's key made exactly these files, and the entries of the audit log in "
            "them are in the log that was signed. What it does not show: that what people wrote is true, that the "
            "record is all there is, or that a duty is fulfilled. The making of this pack is an entry of the log too; "
            "it names the digest of manifest.json."
        ),
        "",
        "WHAT IS WHERE",
        *[line for name, what in _FOLDERS.items() if name in there for line in _entry(name, what)],
        "",
        "LEFT OUT",
        *_points([*subject.left_out, *draft.left_out, *_always()]),
        "",
        f"Digest of every file but this one and summary.pdf: {contents}",
        "",
    ]
    return "\n".join(parts)


def _always() -> list[str]:
    return [
        "what identifies people in payloads of the log: it stays sealed; names elsewhere are those that Warrant shows "
        "for an account on the day the pack was made",
        "predictions, labels and explanations of single cases: they are data of others",
        "artefacts of models: versions are named by their digests",
    ]


def _fill(text: str) -> list[str]:
    return textwrap.wrap(text, 78)


def _entry(name: str, what: str) -> list[str]:
    return textwrap.wrap(f"{name:<16}{what}", 78, subsequent_indent=" " * 18, initial_indent="  ")


def _points(said: Sequence[str]) -> list[str]:
    return [
        line for one in said for line in textwrap.wrap(one, 78, initial_indent="- ", subsequent_indent="  ")
    ]
