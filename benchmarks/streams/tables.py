"""What streams are like and how monitors did on them, as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.streams.scoring import (
    Score,
    Truth,
    by_window_mean,
    find_truth,
    read_alarms,
    realised_alarms,
    score_alarms,
)

LEVELS = ("page", "ticket", "info", None)


def headings() -> tuple[str, ...]:
    return (
        "stream", "task", "window", "rows ref/live", "windows ref/live", "rows a window", "bad", "episodes",
        "bad (mean base)", "reference pooled", "mean of its windows", "their spread/SE", "worst own (SE)",
        "label delay h", "allowed h",
    )  # fmt: skip


def describe(name: str, spec: Mapping[str, Any], data: pd.DataFrame) -> tuple[str, ...]:
    """One row about a stream.

    `their spread/SE` is the standard deviation of the reference's own windows' metric over their median
    bootstrap standard error: about 1 when windows differ by sampling alone. `worst own` is the worst of them
    against the pooled metric, in its own standard errors.
    """
    truth = find_truth(spec, data)
    other = by_window_mean(truth)
    own = np.array([pair for pair in truth.reference_windows if np.isfinite(pair).all()]).reshape(-1, 2)
    sign = 1 if truth.task == "regression" else -1
    counted = data["split"].value_counts()
    spread = own[:, 0].std(ddof=1) / np.median(own[:, 1]) if len(own) > 1 else np.nan
    worst = (sign * (own[:, 0] - truth.reference) / own[:, 1]).max() if len(own) else np.nan
    return (
        name,
        truth.task,
        str(spec["window"]),
        f"{counted.get('reference', 0)}/{counted.get('live', 0)}",
        f"{len(truth.reference_windows)}/{len(truth.windows)}",
        f"{np.median([window.rows for window in truth.windows]):.0f}",
        str(truth.bad),
        str(len(truth.episodes)),
        f"{other.bad} in {len(other.episodes)}",
        f"{truth.reference:.4g}",
        f"{other.reference:.4g}",
        f"{spread:.2f}",
        f"{worst:.1f}",
        f"{truth.label_delay_h:.1f}",
        f"{truth.label_delay_h + truth.window_h:.1f}",
    )


def score_headings(*first: str) -> tuple[str, ...]:
    return (*first, "number", "right", "precision", "caught", "false/quiet", "delay h", "allowed h")


def score_row(name: str, score: Score) -> tuple[str, ...]:
    return (
        name,
        str(score.pages) + (f" ({score.outside} outside)" if score.outside else ""),
        str(score.right),
        share(score.precision),
        f"{score.caught}/{score.episodes}",
        share(score.false_per_quiet_window),
        "-" if score.delay_h is None else f"{score.delay_h:.1f}",
        f"{score.allowed_h:.1f}",
    )


def score_lines(truth: Truth, backtest: Mapping[str, Any]) -> list[str]:
    """How the alarms of one backtest did, by level, beside the definition itself; and the wrong pages."""
    rows = [
        score_row(level or "any", score_alarms(truth, read_alarms(backtest, level=level))) for level in LEVELS
    ]
    rows.append(score_row("realised", score_alarms(truth, realised_alarms(truth))))
    return [
        f"{truth.task}: {len(truth.windows)} windows, {truth.bad} bad in {len(truth.episodes)} episodes, "
        f"{truth.quiet} quiet, reference {truth.reference:.4g}",
        "",
        table(score_headings("alarms"), rows),
        *score_details(truth, backtest),
    ]


def score_details(truth: Truth, backtest: Mapping[str, Any]) -> list[str]:
    """Each wrong page and each missed episode, a line."""
    pages = read_alarms(backtest)
    wrong = set(score_alarms(truth, pages).wrong_starts)
    about = {window.start: window for window in truth.windows}
    lines: list[str] = []
    for page in pages:
        if page.start in wrong:
            window = about.get(page.start)
            said = "no live window" if window is None else f"loss {window.loss:.3f}, {window.errors:.1f} SE"
            lines.append(f"wrong: {page.start:%Y-%m-%d %H:%M} {page.kind}: {said}")
    hit = {page.start for page in pages}
    for first, last in truth.episodes:
        span = truth.windows[max(first - 1, 0) : last + 1]
        if not any(window.start <= start < window.end for window in span for start in hit):
            window = max(truth.windows[first : last + 1], key=lambda one: one.loss)
            lines.append(
                f"missed: {truth.windows[first].start:%Y-%m-%d %H:%M}, {last - first + 1} windows, worst loss "
                f"{window.loss:.3f}, {window.errors:.1f} SE, {window.rows} rows"
            )
    return lines


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [head, *rows]
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
