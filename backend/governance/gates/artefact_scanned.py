"""The artefact is what was recorded, and loading it runs nothing unexpected."""

from __future__ import annotations

from typing import ClassVar

from backend.governance.artefact_files import scan_folder
from backend.governance.gates import Asked, Finding, Gate, Parameters, register
from backend.governance.pickle_scan import Unscannable
from backend.registry.artefacts import artefact_digest, local_folder


class Settings(Parameters):
    WORDS: ClassVar = {"allow": "may also import {value}"}
    allow: tuple[str, ...] = ()  # further modules whose globals are expected


def check(asked: Asked, settings_of: Settings) -> Finding:
    folder = local_folder(asked.after.uri, asked.after.artefact_digest)
    if folder is None:
        return Finding(
            "inconclusive",
            f"the artefact lies at {asked.after.uri}, which cannot be read here; the gateway checks its digest before "
            "it loads a byte",
        )
    found = artefact_digest(folder)
    if found != asked.after.artefact_digest:
        return Finding(
            "fail",
            f"the files are not the recorded artefact: {found}, recorded {asked.after.artefact_digest}",
        )
    try:
        bad = scan_folder(folder, settings_of.allow)
    except Unscannable as error:
        return Finding("inconclusive", f"it cannot be judged without loading it: {error}")
    if bad:
        return Finding(
            "fail", f"loading it would use {bad[0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else ""),
            details={"globals": bad[:50]},
        )  # fmt: skip
    files = sum(path.is_file() for path in folder.rglob("*"))
    many = "its file loads" if files == 1 else f"its {files} files load"
    return Finding("pass", f"the digest is the recorded one and {many} only what is expected",
                   details={"files": files, "digest": found})  # fmt: skip


GATE = register(
    Gate(
        "artefact_scanned",
        "Artefact scanned",
        "The files have the recorded digest, and loading them imports only names a model is made of; also in archives "
        "and compressed files, to a bounded size.",
        Settings,
        check,
        needs="files",
        condition=True,
    )
)
