"""`warrant up --demo` as a module, for whoever starts it as one process."""

from __future__ import annotations

from backend.commands.start import start_everything

if __name__ == "__main__":
    raise SystemExit(start_everything(demo=True))
