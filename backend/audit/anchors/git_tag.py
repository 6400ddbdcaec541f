"""A git repository that keeps each signed head as an annotated tag; with a remote, the tag is pushed there.

The tag `warrant-audit/<size>` names a blob with the note, and its message is the note again. Who clones or mirrors the
repository has the head, and git refuses to move a tag that others have. `WARRANT_AUDIT_GIT` names the folder.
"""

from __future__ import annotations

import os
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Final

from backend.audit.anchors.base import AnchorAway, AnchorRefused, Head, Prove, tree_size
from backend.audit.notes import Checkpoint, NoteMalformed, parse_note

TIMEOUT_S: Final = 30
# Whoever keeps the repository may have set a name; where nobody did, git would refuse to make a tag.
_NOBODY: Final = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
_AUTHOR: Final = ("-c", "user.name=Warrant", "-c", "user.email=warrant@localhost", "-c", "tag.gpgSign=false")


class GitTag:
    kind = "git"

    def __init__(self, folder: Path, remote: str | None = None) -> None:
        self._folder, self._remote = folder, remote
        self.place = f"{folder}" + (f" {remote}" if remote else "")
        self.title = f"git repository {remote or folder.name}"

    def keep(self, head: Head, prove: Prove) -> str:
        tag = tag_of(head.size)
        if not self._exists(tag):
            newest = self._newest_size()
            if newest is not None:
                self._require_continuation(newest, head, prove)
            blob = self._git("hash-object", "-w", "--stdin", stdin=head.note)
            self._git("tag", "--annotate", "--cleanup=verbatim", "--file=-", tag, blob, stdin=head.note)
        elif self._head_of(tag) != (head.size, head.root):
            raise AnchorRefused(
                f"{self.title} has the tag {tag} with another root; one of the two histories is false"
            )
        if self._remote is not None:
            self._push(tag)
        return self._git("rev-parse", f"refs/tags/{tag}")

    def taken_at(self, head: Head, proof: str) -> datetime | None:
        return None

    def holds(self, head: Head, proof: str) -> bool:
        tag = tag_of(head.size)
        try:
            return (
                self._exists(tag)
                and self._git("rev-parse", f"refs/tags/{tag}") == proof
                and self._head_of(tag) == (head.size, head.root)
            )
        except AnchorAway:
            return False

    def _require_continuation(self, size: int, head: Head, prove: Prove) -> None:
        """The newest tag's root must be that of the log at its size. Raises `AnchorRefused`."""
        from backend.audit.merkle import ProofInvalid, verify_consistency

        if size == 0:
            return
        kept = self._head_of(tag_of(size))
        if size > head.size or kept is None:
            raise AnchorRefused(f"{self.title} has a head of {size} entries, and this one has {head.size}")
        try:
            verify_consistency(size, head.size, prove(size), bytes.fromhex(kept[1]), bytes.fromhex(head.root))
        except (ProofInvalid, ValueError) as error:
            raise AnchorRefused(
                f"{self.title} has a head of {size} entries that this log of {head.size} contradicts: {error}"
            ) from error

    def _push(self, tag: str) -> None:
        """Push the tag; one that is there already and differs is refused by the other side."""
        assert self._remote is not None  # noqa: S101 - for the type
        try:
            self._git("push", "--quiet", self._remote, f"refs/tags/{tag}:refs/tags/{tag}")
        except AnchorAway as error:
            if "already exists" in error.message or "rejected" in error.message:
                raise AnchorRefused(f"{self._remote} has another {tag}: {error.message}") from error
            raise

    def _exists(self, tag: str) -> bool:
        return self._git("tag", "--list", tag) == tag

    def _newest_size(self) -> int | None:
        sizes = [
            size
            for tag in self._git("tag", "--list", "warrant-audit/*").splitlines()
            if (size := _size_of(tag)) is not None
        ]
        return max(sizes) if sizes else None

    def _head_of(self, tag: str) -> tuple[int, str] | None:
        """Size and root of the note that the tag names, or None where that is no checkpoint."""
        try:
            note = self._git("cat-file", "blob", f"refs/tags/{tag}^{{blob}}", strip=False)
            said = Checkpoint.parse(parse_note(note)[0])
        except (NoteMalformed, AnchorAway):
            return None
        return said.size, said.root.hex()

    def _git(self, *arguments: str, stdin: str = "", strip: bool = True) -> str:
        try:
            done = subprocess.run(
                ["git", *_AUTHOR, "-C", str(self._folder), *arguments],  # noqa: S607 - the git of this machine
                input=stdin, capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT_S, check=False,
                env={**os.environ, **_NOBODY},
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AnchorAway(f"{self.title}: git {arguments[0]} did not end ({error})") from error
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-300:]
            raise AnchorAway(f"{self.title}: git {arguments[0]} failed: {said}")
        return done.stdout.strip() if strip else done.stdout


def tag_of(size: int) -> str:
    """Twelve digits, so that names sort as sizes do."""
    return f"warrant-audit/{size:012d}"


def _size_of(tag: str) -> int | None:
    """The size in a tag's name; None for a tag that `tag_of` would not name so."""
    size = tree_size(tag.removeprefix("warrant-audit/").lstrip("0") or "0")
    return size if size is not None and tag_of(size) == tag else None
