"""Backups: one encrypted file that holds database, keys, observations, spool, registry and artefacts as of one moment.

    making.py      writes one and reads it again before it counts as made
    restoring.py   puts one into an empty home and an empty database, whole or not at all
    inspecting.py  asks, in a process of its own, whether what was restored is sound
    drill.py       restores the newest one into a scratch place and measures how long that took and what it lacks

`sealed_file.py` is the encryption, `archive.py` what lies within it, `contents.py` which files belong, and
`database_copy.py` and `postgresql_copy.py` the database as of one moment.
"""
