"""`warrant backtest` on a stream, as anybody would run it, and the scores of what it and the peers said."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.streams.peers import peer_alarms
from benchmarks.streams.scoring import Score, Truth, find_truth, read_alarms, realised_alarms, score_alarms
from benchmarks.streams.stream import DATA_FILE, SPEC_FILE, load

OURS: Final = "warrant"
ORACLE: Final = "the definition itself, when labels are in"
BACKTEST_FILE: Final = "backtest.json"
_TIMEOUT_S: Final = 1800


@dataclass(frozen=True)
class Outcome:
    """The scores on one stream: ours, the peers', and of the definition itself as the most that can be had.

    reasons   peer to why it gave no answer
    run_s     seconds of `warrant backtest`
    """

    name: str
    truth: Truth
    scores: Mapping[str, Score]
    reasons: Mapping[str, str]
    run_s: float
    backtest: Mapping[str, Any]


def play(name: str, place: Path, *, peers: bool = True) -> Outcome:
    """Replay the stream in `place` and score it. Raises `CalledProcessError` when the replay fails."""
    spec, data = load(place)
    truth = find_truth(spec, data)
    started = time.monotonic()
    backtest = _replay(place)
    run_s = time.monotonic() - started
    scores = {OURS: score_alarms(truth, read_alarms(backtest))}
    reasons: dict[str, str] = {}
    if peers:
        for peer, answer in peer_alarms(place).items():
            if isinstance(answer, str):
                reasons[peer] = answer
            else:
                scores[peer] = score_alarms(truth, answer)
    scores[ORACLE] = score_alarms(truth, realised_alarms(truth))
    return Outcome(name, truth, scores, reasons, run_s, backtest)


def _replay(place: Path) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("warrant")), "backtest", "--json", "--no-points"]
    done = subprocess.run(
        [*command, str(place / SPEC_FILE), str(place / DATA_FILE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode:
        raise RuntimeError(f"warrant backtest ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    (place / BACKTEST_FILE).write_text(done.stdout)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
