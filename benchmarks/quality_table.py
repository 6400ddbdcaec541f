"""False alarms and power of `warrant compare` beside Evidently's and NannyML's defaults, in the same run.

Thirty columns of one kind. False alarms: the share of comparisons of unchanged data that raise any alarm. Power: how
often the one column that changed is found. The peers' verdicts are those of `backend.monitoring.peers`, which
tests/conformance/test_peers.py holds to the installed libraries: Evidently's default test of each column, NannyML's
default (Jensen-Shannon against mean + 3 standard deviations over ten reference chunks).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final, Literal

import duckdb
import numpy as np
import pandas as pd

from backend.monitoring.columns import Kind
from backend.monitoring.compare import compare_tables
from backend.monitoring.peers import evidently, nannyml
from benchmarks.figures import Figure, figure

SIZES: Final = ((900, 200), (900, 1000), (5000, 50), (5000, 200), (5000, 1000))
COLUMNS: Final = 30
REPEATS: Final = int(os.environ.get("WARRANT_QUALITY_REPEATS", "100"))
PEER_REPEATS: Final = max(REPEATS // 5, 4)
LEVELS: Final = {"5 levels": 5, "20 levels": 20, "50 levels": 50}
KINDS: Final = ("numeric", *LEVELS)
CHANGES: Final = (0.1, 0.25, 0.5)
SWAP: Final = 0.1  # share of rows that moves from one category to another
Side = Literal["reference", "current"]


def draw(kind: str, rows: int, random: np.random.Generator, *, changed: float = 0.0) -> pd.DataFrame:
    """Thirty columns; the first is changed: by `changed` standard deviations, or by that share of rows swapped."""
    if kind != "numeric":
        levels = LEVELS[kind]
        names = np.array([f"v{i:02d}" for i in range(levels)])
        even = np.full(levels, 1 / levels)
        moved = even.copy()
        taken = min(changed, 1 / levels)
        moved[0], moved[1] = moved[0] + taken, moved[1] - taken
        return pd.DataFrame(
            {f"c{i}": names[random.choice(levels, rows, p=moved if i == 0 else even)] for i in range(COLUMNS)}
        )
    shapes = (
        lambda: random.normal(size=rows),
        lambda: random.lognormal(size=rows),
        lambda: random.uniform(size=rows),
        lambda: random.integers(0, 1000, rows).astype(float),
    )
    data = {f"x{i}": shapes[i % len(shapes)]() for i in range(COLUMNS)}
    data["x0"] = data["x0"] + changed
    return pd.DataFrame(data)


def our_alarms(reference: pd.DataFrame, current: pd.DataFrame, kind: Kind) -> set[str]:
    kinds: dict[str, Kind] = dict.fromkeys(map(str, reference.columns), kind)
    tables = [duckdb.connect().from_df(side) for side in (reference, current)]
    rows = compare_tables(*tables, kinds=kinds)
    return {row.column for row in rows if row.verdict == "alarm"}


def peer_alarms(peer: str, reference: pd.DataFrame, current: pd.DataFrame, kind: Kind) -> set[str]:
    found = set()
    for name in reference.columns:
        sides = (reference[name], current[name], kind)
        result = (
            evidently.compute("default", *sides)
            if peer == "evidently"
            else nannyml.compute("jensen_shannon", *sides)
        )
        if result.alarm:
            found.add(name)
    return found


def shares(
    kind: str, sizes: tuple[int, int], *, changed: float, repeats: int, peer: str | None = None
) -> tuple[float, float]:
    """(share with any alarm on an unchanged column, share that found the changed one)."""
    random = np.random.default_rng([sizes[0], sizes[1], int(changed * 100), KINDS.index(kind)])
    plain: Kind = "numeric" if kind == "numeric" else "categorical"
    false, found = 0, 0
    for _ in range(repeats):
        then, now = draw(kind, sizes[0], random), draw(kind, sizes[1], random, changed=changed)
        if peer and changed:
            then, now = then.iloc[:, :1], now.iloc[:, :1]  # a peer judges each column by itself
        alarms = our_alarms(then, now, plain) if peer is None else peer_alarms(peer, then, now, plain)
        first = str(then.columns[0])
        found += first in alarms
        false += bool(alarms - {first} if changed else alarms)
    return false / repeats, found / repeats


def masked(*, repeats: int) -> tuple[float, float]:
    """How often a shift of two standard deviations is found behind one row of 1e6: ours, Evidently's PSI."""
    random = np.random.default_rng(7)
    ours = theirs = 0
    for _ in range(repeats):
        then, now = random.normal(size=5000), random.normal(2, 1, 1000)
        now[0] = 1e6
        frames = [pd.DataFrame({"x": side}) for side in (then, now)]
        ours += bool(our_alarms(frames[0], frames[1], "numeric"))
        theirs += bool(evidently.compute("psi", frames[0]["x"], frames[1]["x"], "numeric").alarm)
    return ours / repeats, theirs / repeats


def cells() -> Iterator[tuple[str, tuple[int, int]]]:
    for kind in KINDS:
        for sizes in SIZES:
            yield kind, sizes


def measure() -> list[Figure]:
    figures, quiet = [], {}
    for kind, sizes in cells():
        at = f"{sizes[0]}/{sizes[1]}, {COLUMNS} columns, {kind}"
        ours, _ = shares(kind, sizes, changed=0.0, repeats=REPEATS)
        for peer in ("evidently", "nannyml"):
            theirs, _ = shares(kind, sizes, changed=0.0, repeats=PEER_REPEATS, peer=peer)
            quiet[kind, sizes, peer] = theirs
            figures.append(
                figure(f"false alarms on unchanged data, {at}", ours, "share of comparisons", target=0.05,
                       rows=REPEATS, peer=f"{peer} default, {PEER_REPEATS} repeats", peer_value=theirs)
            )  # fmt: skip
        _say(figures[-1])
        for changed in CHANGES if kind == "numeric" else (SWAP,):
            _, power = shares(kind, sizes, changed=changed, repeats=max(REPEATS // 2, 4))
            what = f"shift of {changed} std" if kind == "numeric" else f"swap of {changed:.0%} of rows"
            for peer in ("evidently", "nannyml"):
                usual = quiet[kind, sizes, peer]
                _, theirs = shares(kind, sizes, changed=changed, repeats=REPEATS, peer=peer)
                near = usual <= 2 * max(ours, 0.035)
                figures.append(
                    figure(f"power, {what} of one column, {at}", power, "share found", rows=max(REPEATS // 2, 4),
                           target=theirs if near else None, more_is_better=True,
                           peer=f"{peer} default, whose false alarms are {usual:.2f}", peer_value=theirs)
                )  # fmt: skip
                _say(figures[-1])
    ours, theirs = masked(repeats=max(REPEATS // 5, 4))
    figures.append(
        figure("shift of 2 std behind one row of 1e6", ours, "share found", rows=max(REPEATS // 5, 4), target=1.0,
               more_is_better=True, peer="evidently psi", peer_value=theirs)
    )  # fmt: skip
    return figures


def _say(found: Figure) -> None:
    print(
        f"  {found['name']}: {found['value']} ({found['peer']}: {found['peer_value']})",
        file=sys.stderr,
        flush=True,
    )
