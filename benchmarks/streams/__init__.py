"""Streams of predictions with late labels, the truth about their windows, and scores for who warned of it."""

from __future__ import annotations

from benchmarks.figures import Figure


def measure() -> list[Figure]:
    """How rare and how true pages are on every stream that can be had here: `make bench NAME=streams`."""
    from benchmarks.streams.measuring import measure_streams

    return measure_streams()
