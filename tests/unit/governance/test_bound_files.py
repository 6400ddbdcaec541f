"""What an approval is bound to is what lies on disk, however its address is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.governance.evidence import _artefact
from backend.registry.artefacts import artefact_digest
from backend.registry.tables import Version


@pytest.mark.parametrize("as_uri", [True, False])
def test_files_in_a_folder_with_a_space_are_looked_at(tmp_path: Path, as_uri: bool) -> None:
    folder = tmp_path / "my models" / "flüge"
    folder.mkdir(parents=True)
    (folder / "model.skops").write_text("altered since it was registered")
    version = Version(uri=folder.as_uri() if as_uri else str(folder), artefact_digest="sha256:recorded")
    assert _artefact(version) == artefact_digest(folder)


def test_of_files_elsewhere_the_record_counts() -> None:
    version = Version(uri="s3://models/flights/7", artefact_digest="sha256:recorded")
    assert _artefact(version) == "sha256:recorded"
