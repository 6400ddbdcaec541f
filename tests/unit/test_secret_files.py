"""Secrets by the environment, or by a file that it names; never by both, and never silently by neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import BadInput
from backend.settings import SECRETS, Settings


def test_a_secret_is_read_from_the_file_that_its_variable_names(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in sorted(SECRETS):
        field = Settings.model_fields[name]
        variable = str(field.validation_alias or f"WARRANT_{name.upper()}")
        file = tmp_path / name
        file.write_text(f"value of {name}\n")
        monkeypatch.delenv(variable, raising=False)  # MLflow sets its own, where another test used it
        monkeypatch.setenv(f"{variable}_FILE", str(file))
    found = Settings()
    assert {name: getattr(found, name) for name in SECRETS} == {name: f"value of {name}" for name in SECRETS}


@pytest.mark.parametrize(
    ("content", "both", "said"),
    [("abc", True, "are both set"), ("", False, "is empty"), (None, False, "cannot be read: No such file"),
     (b"\xff\xfe", False, "it is no text")],
)  # fmt: skip
def test_a_file_that_gives_no_secret_is_refused_by_its_name(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | bytes | None,
    both: bool,
    said: str,
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    monkeypatch.setenv("WARRANT_GATE_SECRET_FILE", str(file))
    if both:
        monkeypatch.setenv("WARRANT_GATE_SECRET", "abc")
    with pytest.raises(BadInput, match=f"WARRANT_GATE_SECRET.*{said}"):
        Settings()


def test_no_file_of_variables_in_the_working_directory_is_read(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("WARRANT_GATE_SECRET=abc\n")
    monkeypatch.chdir(tmp_path)
    assert Settings().gate_secret is None


def test_every_setting_that_is_named_a_secret_may_be_in_a_file() -> None:
    named = {name for name in Settings.model_fields if name.endswith(("_secret", "_password"))}
    assert named <= SECRETS
