"""`warrant backup`, `warrant restore`: everything of an installation in one encrypted file, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from backend.commands.group import Json, refuse_plainly
from backend.commands.output import say, write_json
from backend.errors import BadInput

commands = typer.Typer()


def _tell(words: str) -> None:
    say(f"{words} ...", error=True)


@contextmanager
def _files() -> Iterator[None]:
    """What the file system refuses is bad input as anything else: a place that is full, or not ours to write."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"the restore could not go on: {error}") from error


@commands.command("backup-key")
@refuse_plainly
def backup_key(
    file: Annotated[Path, typer.Argument(help="where to write it; it must not be there yet")],
    as_json: Json = False,
) -> None:
    """Make the key that encrypts backups. Keep a copy where the backups are not: without it they are lost."""
    from backend.backups.keys import new_key

    made = new_key(file)
    if as_json:
        write_json({"file": str(file), "key": made.key_id})
        return
    say(f"the key {made.key_id} is in {file}; name it in WARRANT_BACKUP_KEY_FILE and keep a copy elsewhere")


@commands.command("backup")
@refuse_plainly
def backup(as_json: Json = False) -> None:
    """Save database, keys, observations, spool, registry and artefacts of one moment into WARRANT_BACKUP_FOLDER.

    The file is encrypted, read again and compared before it counts. Warrant goes on running meanwhile.
    """
    from backend.backups.making import make_backup
    from backend.identity.command_line import at_command_line

    made = make_backup(at_command_line(), say=_tell)
    manifest = made.manifest
    if as_json:
        write_json({"file": str(made.path), "digest": made.digest, "bytes": made.bytes, "id": manifest.id,
                    "snapshot_at": manifest.snapshot_at, "entries": manifest.log_size, "took_s": made.took_s,
                    "left_out": manifest.left_out})  # fmt: skip
        return
    say(f"{made.path}")
    say(
        f"  {made.bytes / (1 << 20):,.1f} MiB, {len(manifest.files):,} files, {manifest.log_size:,} entries of the "
        f"audit log, as of {manifest.snapshot_at}; read again and sound, in {made.took_s:.1f} s"
    )
    say(f"  {made.digest}")
    if manifest.mlflow != "in the backup":
        say(f"  not in it: MLflow at {manifest.mlflow}, which has a backup of its own")
    for one in manifest.left_out:
        say(f"  not in it: {one}")


@commands.command("restore")
@refuse_plainly
def restore(
    file: Annotated[Path, typer.Argument(help="a file that `warrant backup` wrote")],
    check: Annotated[
        bool, typer.Option("--check", help="decrypt it and compare every file; restore nothing")
    ] = False,
    last_head: Annotated[
        Path | None, typer.Option("--last-head", help="audit-head.json of the lost home, to say what is lost")
    ] = None,
    take: Annotated[
        str, typer.Option("--take", help="only what lies below this name, such as keys or observations/MODEL")
    ] = "",
    into: Annotated[Path | None, typer.Option("--into", help="with --take: a new folder for it")] = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty WARRANT_HOME and, on PostgreSQL, an empty database: verified, or not at all."""
    from backend.backups.archive import read_archive
    from backend.backups.keys import backup_key as the_key
    from backend.backups.restoring import restore as restore_it
    from backend.backups.restoring import take_out

    if check:
        with _files():
            manifest = read_archive(file, the_key(), into=lambda _: None)
        found: dict[str, Any] = {"id": manifest.id, "snapshot_at": manifest.snapshot_at, "files": len(manifest.files),
                                 "entries": manifest.log_size, "version": manifest.version}  # fmt: skip
        if as_json:
            write_json(found)
            return
        say(
            f"{file} is whole: {found['files']:,} files as they were saved, {manifest.log_size:,} entries, as of "
            f"{manifest.snapshot_at}; a drill (`warrant restore-drill`) also restores it"
        )
        return
    if take or into is not None:
        if not take or into is None:
            raise BadInput(
                "--take and --into go together: what to take out of the backup, and where to put it"
            )
        with _files():
            count = take_out(file, take, into)
        if as_json:
            write_json({"taken": take, "into": str(into), "files": count})
        else:
            say(f"{count} files of {take} are in {into}; nothing else was changed")
        return
    with _files():
        done = restore_it(file, last_head=last_head, say=_tell)
    if as_json:
        write_json({"id": done.manifest.id, "snapshot_at": done.manifest.snapshot_at, "lost": done.lost,
                    "entries": done.inspection.entries, "rows": done.inspection.rows,
                    "artefacts": done.inspection.artefacts})  # fmt: skip
        return
    say(
        f"restored as of {done.manifest.snapshot_at}: {done.inspection.entries:,} entries of the audit log verified, "
        f"{done.inspection.rows:,} rows and {done.inspection.artefacts} artefacts as they were saved"
    )
    for one in done.lost:
        say(f"  not restored: {one}")


@commands.command("restore-drill")
@refuse_plainly
def restore_drill(as_json: Json = False) -> None:
    """Restore the newest backup into a scratch place, verify it, and keep the figures. Exit 1: it failed."""
    from backend.backups.drill import record_drill, run_drill
    from backend.database.base import new_id
    from backend.database.session import writing
    from backend.identity.command_line import at_command_line

    found = run_drill()
    with writing() as session:
        record_drill(session, at_command_line(), new_id("drill"), found)
    if as_json:
        write_json(found.to_json())
    elif found.ok:
        say(
            f"{found.file} was restored and verified in {found.rto_s:.1f} s; its moment is {found.rpo_s:,.0f} s old, "
            f"and entries of the log since then: {found.entries_since}"
        )
    else:
        say(f"the drill failed: {found.problem}", error=True)
    raise typer.Exit(0 if found.ok else 1)
