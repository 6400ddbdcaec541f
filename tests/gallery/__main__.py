"""`make gallery`: start the demo of WARRANT_HOME, play a story in it, and take every picture anew.

python -m tests.gallery                  loads the demo into WARRANT_HOME where it is not there
python -m tests.gallery --no-story       pictures of what is there already, with a console and nothing else
python -m tests.gallery --only change    some pages
python -m tests.gallery --document       docs/gallery.md alone
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.gallery.shots import DOCUMENT, document

UNTIL_READY_S = 1200.0


def main() -> None:
    asked = argparse.ArgumentParser(prog="python -m tests.gallery", description=__doc__.split("\n")[0])
    asked.add_argument("--no-story", action="store_true", help="take what is there; start a console alone")
    asked.add_argument(
        "--only", nargs="+", default=[], metavar="PAGE", help="these pages alone, without the tour"
    )
    asked.add_argument("--document", action="store_true", help="write docs/gallery.md and take nothing")
    told = asked.parse_args()
    if told.document:
        DOCUMENT.write_text(document())
        return
    os.environ["WARRANT_DEMO"] = "true"
    take(story=not told.no_story, only=tuple(told.only))


def take(*, story: bool, only: tuple[str, ...]) -> None:
    from backend.settings import settings
    from tests.gallery.story import play, say, subjects
    from tests.gallery.taking import take_all
    from tests.processes import ConsoleProcess, ModuleProcess, free_port, wait_until

    settings.cache_clear()
    with tempfile.TemporaryDirectory() as logs:
        if not story:
            with ConsoleProcess(Path(logs) / "console.log").start() as console:
                console.wait_ready(within_s=UNTIL_READY_S)
                take_all(console.url, subjects(), only=only)
            return
        port, gateway = free_port(), free_port()
        os.environ |= {"WARRANT_PORT": str(port), "WARRANT_GATEWAY_PORT": str(gateway)}
        settings.cache_clear()
        url = f"http://127.0.0.1:{port}"
        log = Path(logs) / "demo.log"
        with ModuleProcess(log, "tests.gallery.demo") as demo:
            demo.start()
            say(f"the demo starts at {url}; loading it takes minutes the first time")
            wait_until(lambda: _answers(demo, url), within_s=UNTIL_READY_S, what="the demo's first answer")
            play(url)
            take_all(url, subjects(), only=only)


def _answers(demo: object, url: str) -> bool:
    import httpx

    demo.assert_runs()  # type: ignore[attr-defined]
    try:
        return httpx.get(f"{url}/healthz", timeout=5.0).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
