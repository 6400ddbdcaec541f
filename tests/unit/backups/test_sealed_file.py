"""The encryption of a backup: what was written comes back, and nothing else does."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.backups import sealed_file
from backend.backups.archive import Manifest, read_archive, writing_archive
from backend.backups.errors import BackupDamaged, KeyUnusable, NotEmpty
from backend.backups.keys import BackupKey, backup_key, is_open_to_others, new_key
from backend.backups.sealed_file import MAGIC, SealedReader, SealedWriter, new_header
from backend.settings import settings

KEY = BackupKey(b"k" * 32, "a test")
MOMENT = "2026-03-01T09:00:00.000000Z"


def manifest(**fields: object) -> Manifest:
    told: dict[str, object] = {
        "id": "bak_1", "made_at": MOMENT, "snapshot_at": MOMENT, "version": "0", "dialect": "sqlite",
        "revision": "1", "workflow_revision": "1", "home": "/h", "log_size": 0, "log_root": "", "mlflow": "",
        "tables": {}, "artefacts": [], "left_out": [], **fields,
    }  # fmt: skip
    return Manifest(**told)  # type: ignore[arg-type]


def seal(body: bytes, path: Path) -> Path:
    with path.open("wb") as file:
        writer = SealedWriter(file, new_header("bak_1", MOMENT, KEY), KEY)
        writer.write(body)
        writer.finish()
    return path


def opened(path: Path, key: BackupKey = KEY) -> bytes:
    with path.open("rb") as file:
        return SealedReader(file, key).readall()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    make = sealed_file.new_header
    monkeypatch.setitem(
        globals(), "new_header",
        lambda *args: sealed_file.Header(**{**make(*args).__dict__, "piece_bytes": 64}),
    )  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
def test_what_was_sealed_is_opened_again(tmp_path: Path, small_pieces: None, size: int) -> None:
    body = bytes(range(256)) * 4
    assert opened(seal(body[:size], tmp_path / "b")) == body[:size]


def test_every_altered_byte_and_every_cut_is_found(tmp_path: Path, small_pieces: None) -> None:
    path = seal(b"a secret " * 20, tmp_path / "b")
    whole = path.read_bytes()
    assert b"secret" not in whole
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises((BackupDamaged, KeyUnusable)):  # a flipped digit of the key's id names another key
            opened(path)
        path.write_bytes(whole[:position])
        with pytest.raises(BackupDamaged):
            opened(path)


def test_pieces_cannot_be_swapped_repeated_or_appended(tmp_path: Path, small_pieces: None) -> None:
    path = seal(bytes(192), tmp_path / "b")
    whole = path.read_bytes()
    begin = whole.index(b"\n", len(MAGIC)) + 1
    head, one, two, last = (
        whole[:begin],
        whole[begin : begin + 80],
        whole[begin + 80 : begin + 160],
        whole[-80:],
    )
    for forged in (head + two + one + last, head + one + one + two + last, whole + last, head + last):
        path.write_bytes(forged)
        with pytest.raises(BackupDamaged):
            opened(path)
    path.write_bytes(head + one + two)
    with pytest.raises(BackupDamaged, match="it is cut off"):
        opened(path)


def test_another_key_is_said_to_be_another_one(tmp_path: Path) -> None:
    path = seal(b"x", tmp_path / "b")
    with pytest.raises(KeyUnusable, match="give the key of that time"):
        opened(path, BackupKey(b"o" * 32, "another"))


def archive(path: Path, fill: Callable[[tarfile.TarFile], None], **fields: object) -> Path:
    with path.open("wb") as file, writing_archive(file, new_header("bak_1", MOMENT, KEY), KEY) as made:
        fill(made._tar)
        made.close(manifest(**fields))
    return path


def member(name: str, body: bytes = b"x", kind: bytes = tarfile.REGTYPE) -> Callable[[tarfile.TarFile], None]:
    def add(tar: tarfile.TarFile) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.type, entry.linkname = (
            len(body) if kind == tarfile.REGTYPE else 0,
            kind,
            "/etc/passwd",
        )
        tar.addfile(entry, io.BytesIO(body))

    return add


@pytest.mark.parametrize(
    "name",
    ["../evil", "home/../../evil", "/etc/evil", "home//evil", "home/./evil", "home", "elsewhere/evil", "home/..",
     "home\\..\\evil"],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "b", member(name))
    inside = tmp_path / "in" / "side"
    inside.mkdir(parents=True)
    with pytest.raises(BackupDamaged, match="leads out of the place"):
        read_archive(path, KEY, into=lambda one: inside / one)
    assert list(inside.iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b", "in"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_what_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = archive(tmp_path / "b", member("home/one", kind=kind))
    with pytest.raises(BackupDamaged, match="no plain file"):
        read_archive(path, KEY, into=lambda one: tmp_path / one)


def test_files_and_manifest_must_name_each_other(tmp_path: Path) -> None:
    path = archive(tmp_path / "b", member("home/unnamed"))
    with pytest.raises(BackupDamaged, match="home/unnamed is not as the manifest"):
        read_archive(path, KEY, into=lambda _: None)
    path = archive(tmp_path / "b", lambda tar: None, format=2)
    with pytest.raises(BackupDamaged, match="restore it with the release that made it"):
        read_archive(path, KEY, into=lambda _: None)


def test_no_backup_at_all_is_said_to_be_none(tmp_path: Path) -> None:
    for body in (b"", b"PK\x03\x04", MAGIC, MAGIC + b"{}\n", MAGIC + b"[" * 9000):
        (tmp_path / "b").write_bytes(body)
        with pytest.raises(BackupDamaged):
            read_archive(tmp_path / "b", KEY, into=lambda _: None)
    with pytest.raises(BackupDamaged, match="there is no file"):
        read_archive(tmp_path / "gone", KEY, into=lambda _: None)
    with pytest.raises(BackupDamaged, match="is a folder"):
        read_archive(tmp_path, KEY, into=lambda _: None)


def test_the_key_is_a_private_file_or_the_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_to(**values: str) -> None:
        for name in ("WARRANT_BACKUP_KEY", "WARRANT_BACKUP_KEY_FILE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(f"WARRANT_{name}", value)
        settings.cache_clear()

    file = tmp_path / "key"
    made = new_key(file)
    assert (file.stat().st_mode & 0o777, len(made.secret)) == (0o600, 32)
    assert file.read_text().strip() not in repr(made)
    with pytest.raises(NotEmpty, match="was left as it is"):
        new_key(file)
    set_to(BACKUP_KEY_FILE=str(file))
    assert backup_key().key_id == made.key_id
    set_to(BACKUP_KEY=made.secret.hex())
    assert backup_key().secret == made.secret
    for values, said in (
        ({}, "warrant backup-key"),
        ({"BACKUP_KEY": "short"}, "64 hex digits"),
        ({"BACKUP_KEY": "00" * 32, "BACKUP_KEY_FILE": str(file)}, "keep one of them"),
        ({"BACKUP_KEY_FILE": str(tmp_path / "gone")}, "cannot be read"),
    ):
        set_to(**values)
        with pytest.raises(KeyUnusable, match=said):
            backup_key()
    file.chmod(0o640)
    set_to(BACKUP_KEY_FILE=str(file))
    with pytest.raises(KeyUnusable, match="others can read"):
        backup_key()


@pytest.mark.parametrize(
    ("mode", "owner", "group", "taken"),
    [
        (0o400, 10001, 10001, True),
        (0o440, 0, 10001, True),  # as Kubernetes mounts a Secret
        (0o440, 0, 20002, True),
        (0o440, 0, 30003, False),  # a group that we are not in
        (0o440, 0, 0, False),
        (0o440, 10001, 10001, False),
        (0o444, 0, 10001, False),
        (0o460, 0, 10001, False),
    ],
)
def test_a_secret_that_is_mounted_for_our_group_is_private(
    mode: int, owner: int, group: int, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getegid", lambda: 10001)
    monkeypatch.setattr(os, "getgroups", lambda: [0, 20002])
    found = os.stat_result((mode, 1, 1, 1, owner, group, 65, 0, 0, 0))
    assert is_open_to_others(found) is not taken
