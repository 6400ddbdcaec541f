"""A split change as one sentence, in points of the metric."""

from __future__ import annotations

from collections.abc import Mapping

from backend.monitoring.causes import KINDS, Attribution, Kind, Part

# Metrics that are shares: a point is a hundredth. The others are told in their own unit.
IN_HUNDREDTHS = frozenset({"roc_auc", "accuracy", "precision", "recall", "f1", "mape"})
NEGLIGIBLE = 0.02  # of the change: a smaller part is not named
_FROM: Mapping[Kind, str] = {
    "mix": "from input mix",
    "behaviour": "from behaviour",
    "quality": "from data quality",
    "unexplained": "unexplained",
}


def scale_of(metric: str) -> tuple[float, str]:
    """What a difference of the metric is multiplied by to be told, and the unit it then has."""
    return (100.0, "points") if metric in IN_HUNDREDTHS else (1.0, "")


def amount(metric: str, value: float) -> str:
    """A difference without its sign: `6.1` (points of AUC), `1.52` (of MAE)."""
    scale, _ = scale_of(metric)
    size = abs(value) * scale
    return f"{size:.1f}" if scale > 1 else f"{size:.3g}"


def say_change(split: Attribution) -> str:
    """`roc_auc fell by 6.1 points against all reference rows: 4.0 from behaviour in origin = JFK, 1.2 from ...`."""
    if split.worse is None or split.reference is None or split.window is None:
        return f"What changed cannot be told: {split.reason}."
    _, unit = scale_of(split.metric)
    moved = split.window - split.reference
    if moved == 0:
        return f"{split.metric} is what it was in the reference."
    verb = "fell" if moved < 0 else "rose"
    by = f"{amount(split.metric, moved)} {unit}".strip()
    head = f"{split.metric} {verb} by {by} against all reference rows"
    if split.reason:
        return f"{head}; why cannot be told: {split.reason}."
    if not split.significant:
        return f"{head}, which is within what chance gives to so many rows."
    told = [_say_part(part, split) for part in _ordered(split)]
    return f"{head}: {', '.join(told)}."


def say_baselines(metric: str, pooled: float | None, held: float | None, window: float | None) -> str:
    """How the change that is split is to be read beside the one that is judged; empty where both are the same.

    pooled  the metric of all reference rows, from which the change is split
    held    what the limit was held against (`falls.take_baseline`), with the `window`'s value as it was judged
    """
    if pooled is None or held is None or f"{pooled:.3f}" == f"{held:.3f}":
        return ""
    text = f"Against all reference rows {pooled:.3f}; the limit is held against {held:.3f}"
    if window is None or window == held:
        return f"{text}."
    verb, unit = ("fell" if window < held else "rose"), scale_of(metric)[1]
    by = f"{amount(metric, window - held)} {unit}".strip()
    return f"{text}, from which {metric} {verb} by {by}."


def _ordered(split: Attribution) -> list[Part]:
    """The parts worth a word: those in the direction of the change first, largest first."""
    worse = split.worse or 0.0
    way = 1 if worse > 0 else -1
    kept = [part for part in split.parts if abs(part.value) >= NEGLIGIBLE * abs(worse)]
    return sorted(kept, key=lambda part: (-part.value * way, KINDS.index(part.kind)))


def _say_part(part: Part, split: Attribution) -> str:
    opposite = part.value * (split.worse or 0.0) < 0
    text = f"{amount(split.metric, part.value)} {_FROM[part.kind]}"
    if opposite:
        text = f"{text} the other way"
    if not part.contributors:
        return text
    first = part.contributors[0].name
    return f"{text} in {first}" if part.kind == "behaviour" else f"{text} ({first.split(':')[0]})"
