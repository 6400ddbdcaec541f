"""Papers that people hand in: kept under the digest of their bytes, so that nobody replaces one."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Final

from backend import clock
from backend.assurance.tables import Document
from backend.audit.actions import Action
from backend.audit.log import record
from backend.database.base import new_id
from backend.database.session import ReadSession, WriteSession
from backend.durable import durable_folder, sync_folder
from backend.errors import BadInput, NotAllowed, NotFound
from backend.identity.actor import Actor
from backend.identity.roles import Permission
from backend.registry.artefacts import ArtefactAltered, file_digest
from backend.settings import settings

LARGEST_BYTES: Final = 32 * 1024 * 1024
MEDIA_TYPES: Final = {
    ".pdf": "application/pdf", ".md": "text/markdown", ".txt": "text/plain", ".csv": "text/csv",
    ".json": "application/json", ".png": "image/png", ".html": "text/html", ".zip": "application/zip",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
BEGINNINGS: Final = {
    ".pdf": (b"%PDF-",), ".png": (b"\x89PNG\r\n\x1a\n",), ".zip": _ZIP, ".docx": _ZIP, ".xlsx": _ZIP,
}  # fmt: skip
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def may_hand_in(actor: Actor) -> bool:
    return actor.may(Permission.VALIDATE) or actor.may(Permission.HANDLE_FINDINGS)


def require_hand_in(actor: Actor) -> None:
    """`NotAllowed` unless this actor records validations or handles findings. Asked before a body is read."""
    if not may_hand_in(actor):
        raise NotAllowed("papers are handed in by those who record validations or handle findings")


def add_document(session: WriteSession, actor: Actor, *, name: str, data: bytes) -> Document:
    """Keep a file; handing in the same bytes again gives the document that exists, with its file.

    The file is on disk before its row commits; where the transaction fails a file without a row is left, which
    nothing names.
    """
    require_hand_in(actor)
    name = Path(name.replace("\\", "/")).name.strip()
    media_type = MEDIA_TYPES.get(Path(name).suffix.lower())
    if not 1 <= len(name) <= 200 or not name.isprintable() or media_type is None:
        raise BadInput(
            f"the file needs a name of 1 to 200 printable characters that ends in one of {', '.join(MEDIA_TYPES)}",
            field="name",
        )
    if not 0 < len(data) <= LARGEST_BYTES:
        raise BadInput(f"the file has {len(data):,} bytes; 1 to {LARGEST_BYTES:,} are kept", field="file")
    if not _is_what_it_says(Path(name).suffix.lower(), data):
        raise BadInput(
            f"the content of {name} is not what its ending says; name it as what it is", field="file"
        )
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    known = session.get(Document, digest)
    path = path_of(digest)
    if known is not None:
        if not path.is_file() or file_digest(path) != digest:  # lost or altered: these are the bytes
            _write(path, data)
        return known
    _write(path, data)
    document = Document(
        digest=digest, name=name, media_type=media_type, bytes=len(data), added_by=actor.person_id,
        added_at=clock.now(),
    )  # fmt: skip
    session.add(document)
    session.flush()
    record(
        session, actor, Action.DOCUMENT_ADDED, object_kind="document", object_id=digest,
        payload={"name": name, "bytes": len(data), "media_type": media_type},
    )  # fmt: skip
    return document


def _is_what_it_says(ending: str, data: bytes) -> bool:
    """By its first bytes, or, of text, whether it is text: what a browser or an office program would make of it."""
    if ending in BEGINNINGS:
        return data.startswith(BEGINNINGS[ending])
    try:
        text = data.decode("utf-8")
        if ending == ".json":
            json.loads(text)
    except (ValueError, RecursionError):
        return False
    return "\0" not in text


def require_document(session: ReadSession, digest: str) -> Document:
    """The document of this digest, whose file is there. `BadInput` where nobody handed one in."""
    found = session.get(Document, digest) if DIGEST.fullmatch(digest) else None
    if found is None:
        raise BadInput(f"nobody handed in a file with the digest {digest[:80]!r}; hand it in first")
    if not path_of(digest).is_file():
        raise NotFound(f"the file {digest[:19]}… is gone; hand it in again")
    return found


def checked_file(document: Document) -> Path:
    """The file of a document, whose bytes were checked now. Raises `NotFound` or `ArtefactAltered`."""
    path = path_of(document.digest)
    if not path.is_file():
        raise NotFound(f"the file {document.name} ({document.digest[:19]}…) is gone")
    found = file_digest(path)
    if found != document.digest:
        raise ArtefactAltered(
            f"the file {document.name} was altered after it was handed in",
            expected=document.digest,
            found=found,
        )
    return path


def path_of(digest: str) -> Path:
    """Where the bytes of a digest lie, below the folder of files for people."""
    hexadecimal = digest.removeprefix("sha256:")
    return settings().artefacts / "documents" / hexadecimal[:2] / hexadecimal


def _write(path: Path, data: bytes) -> None:
    """Whole or not there. Two who hand in the same bytes write two drafts and the same file."""
    durable_folder(path.parent)
    draft = path.with_name(f"{path.name}.{new_id('draft')}")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)
