"""The table of the overview: how each model is, in one row."""

from __future__ import annotations

from collections.abc import Sequence

from app.charts import sparkline_uri
from app.components.links import viewer_zone
from app.components.performance_parts import labels_words
from app.components.tables import Cell, anchor, badge, image, lines, small
from app.formats import format_age, format_share, format_when
from app.words import count_of, metric_change, metric_text, metric_word
from backend.monitoring.health import ModelHealth

COLUMNS = ("model", "state", "performance (to reference)", "28 windows", "labels", "serves", "tier", "owner")


def how_old(models: Sequence[ModelHealth]) -> str:
    """When figures were last computed: the newest of any, and the oldest of a model that serves, which the newest
    would hide."""
    computed = [one.computed_at for one in models if one.computed_at]
    if not computed:
        return ""
    newest = format_age(max(computed))
    said = f", latest figures computed {newest} ago"
    serving = [one for one in models if one.version is not None]
    never = sum(one.computed_at is None for one in serving)
    oldest = min((one.computed_at for one in serving if one.computed_at), default=None)
    if oldest and format_age(oldest) != newest:
        said += f", the oldest of a model that serves {format_age(oldest)} ago"
    return said + (
        f"; {count_of(never, 'model')} that {'serves has' if never == 1 else 'serve have'} none"
        if never
        else ""
    )


def model_row(one: ModelHealth) -> list[Cell]:
    """The cells of one model, as `COLUMNS` names them."""
    values, verdicts = [value for value, _ in one.history], [verdict for _, verdict in one.history]
    metric: Cell = None
    word = metric_word(one.metric)
    if one.value is not None:
        told = "estimated" if one.estimated else "realised"
        change = metric_change(one.metric, one.reference, one.value)
        metric = lines(
            f"{word} {metric_text(one.metric, one.value, one.unit)} ({change})",
            small(f"{told}, {format_when(one.window_start, viewer_zone()).split(',')[0]}"),
            *(small(said) for said in labels_words(one)),
        )
    elif said := labels_words(one):
        metric = lines(*(small(part) for part in said))
    return [
        lines(anchor(one.model, "model", model=one.model), small(one.title)),
        lines(
            badge(one.word, one.level),
            small(one.because),
            small(
                f"since {format_when(one.since, viewer_zone())} ({format_age(one.since)})"
                if one.since
                else ""
            ),
        ),
        metric,
        image(sparkline_uri(values, verdicts), f"{word} of {len(values)} windows") if values else None,
        format_share(one.completeness),
        lines(f"v{one.version}", small(f"for {format_age(one.serving_since)}")) if one.version else "nothing",
        one.tier,
        one.owner,
    ]
