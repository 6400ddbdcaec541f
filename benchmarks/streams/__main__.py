"""Build streams, tell what they are like, replay them, score a replay: `python -m benchmarks.streams --help`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.streams.catalogue import streams
from benchmarks.streams.runs import play
from benchmarks.streams.scoring import find_truth
from benchmarks.streams.stream import StreamMissing, load, read_data, save, streams_folder
from benchmarks.streams.tables import (
    describe,
    headings,
    score_details,
    score_headings,
    score_lines,
    score_row,
    table,
)


def main(arguments: list[str]) -> int:
    """Exit 0, 1 when a replay failed, or 2 for an unknown stream."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__)
    parser.add_argument("--folder", type=Path, default=streams_folder(), help="where streams are kept")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("build", "write SPEC and DATA"), ("table", "what the streams are like")):
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*")
        command.add_argument("--again", action="store_true", help="also where they are there already")
    playing = commands.add_parser("run", help="replay streams with warrant backtest and score it")
    playing.add_argument("names", nargs="*")
    playing.add_argument("--peers", action="store_true", help="also score Evidently and NannyML")
    playing.add_argument("--details", action="store_true", help="also each wrong page and missed episode")
    scoring = commands.add_parser("score", help="score what warrant backtest --json printed")
    scoring.add_argument("names", nargs="*", help="the stream, unless --spec and --data name files of yours")
    scoring.add_argument("backtest", type=Path)
    scoring.add_argument("--baseline", choices=["pooled", "window mean"], default="pooled")
    scoring.add_argument("--spec", type=Path)
    scoring.add_argument("--data", type=Path)
    given = parser.parse_args(arguments)

    unknown = sorted(set(given.names) - set(streams()))
    if unknown:
        print(f"there is no stream {', '.join(unknown)}; there are {', '.join(streams())}", file=sys.stderr)
        return 2
    if given.command == "score":
        if given.spec and given.data:
            spec, data = yaml.safe_load(given.spec.read_text()), read_data(given.data)
        elif given.names:
            spec, data = load(save(streams()[given.names[0]], given.folder))
        else:
            print("name a stream, or give --spec and --data", file=sys.stderr)
            return 2
        truth = find_truth(spec, data, baseline=given.baseline)
        print("\n".join(score_lines(truth, json.loads(given.backtest.read_text()))))
        return 0
    if given.command == "run":
        return _run(given.names or list(streams()), given.folder, peers=given.peers, details=given.details)
    rows = []
    for name in given.names or streams():
        try:
            place = save(streams()[name], given.folder, again=given.again)
        except StreamMissing as missing:
            print(f"{name}: skipped, {missing}", file=sys.stderr)
            continue
        print(place, file=sys.stderr)
        if given.command == "table":
            rows.append(describe(name, *load(place)))
    if rows:
        print(table(headings(), rows))
    return 0


def _run(names: list[str], folder: Path, *, peers: bool, details: bool) -> int:
    print(table(score_headings("stream", "alarms"), []))
    failed = 0
    for name in names:
        try:
            outcome = play(name, save(streams()[name], folder), peers=peers)
        except (StreamMissing, RuntimeError, subprocess.TimeoutExpired) as failure:
            failed += not isinstance(failure, StreamMissing)
            print(f"{name}: {failure}", file=sys.stderr)
            continue
        for alarms, score in outcome.scores.items():
            print("| " + " | ".join((name, *score_row(alarms, score))) + " |", flush=True)
        for peer, reason in outcome.reasons.items():
            print(f"| {name} | {peer} | {reason} |")
        if details:
            print("\n".join(score_details(outcome.truth, outcome.backtest)), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
