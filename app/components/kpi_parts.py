"""Figures of the user's own (conversion, revenue) beside a model's performance. Draws nothing where there are none."""

from __future__ import annotations

from app import data


def show_kpis(scope: data.Scope, model: str, size: str) -> None:
    """The model's own figures over the same windows."""
