"""The commands of `backend.cli`: `*_commands` declare them; the other modules do their work when one runs."""
