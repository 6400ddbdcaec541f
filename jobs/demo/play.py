"""The replay process: December through the gateway, until its end or a signal. `python -m jobs.demo.play`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from backend.clock import from_iso
from backend.demo_state import loaded_marker
from backend.errors import WarrantError
from backend.settings import settings
from jobs.demo.replay import DEFAULT_SPEED, Destination, Replay, plan_replay

log = logging.getLogger("warrant.replay")


def main() -> int:
    """Exit 0 at the end of the data or when told to stop."""
    import json

    from jobs.demo.flights import backfilled, build_flights, replayed, shift_weeks

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    home = settings().resolved_home()
    if not loaded_marker().exists():
        sys.stderr.write("warrant: the demo workload is not loaded; run `warrant demo load`\n")
        return 2
    anchor = from_iso(json.loads(loaded_marker().read_text())["anchor"])
    flights = build_flights()
    history = backfilled(flights)
    awaiting = history[history["label_ts"] + shift_weeks(anchor) > anchor]
    speed = float(os.environ.get("WARRANT_DEMO_SPEED", str(DEFAULT_SPEED)))
    replay = Replay(
        plan=plan_replay(replayed(flights), awaiting),
        to=Destination(
            settings().gateway,
            f"http://{settings().local_host}:{settings().port}",
            (home / "demo" / "replay-token").read_text().strip(),
        ),
        state_file=home / "demo" / "replay.json",
        home=home,
        speed=speed,
    )
    del flights, history
    return asyncio.run(_play(replay))


async def _play(replay: Replay) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        position = await replay.run(stop)
    except WarrantError as error:
        log.error("the replay stopped: %s", error.message)  # noqa: TRY400 - the message is the fact
        return 2
    if position.finished:
        log.info("December has been played to its end; nothing more will come")
        await stop.wait()  # ending would look like a crash to the supervisor
    return 0


if __name__ == "__main__":
    sys.exit(main())
