"""Which way of explaining a model is taken: the first that knows it and whose values add up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from backend.monitoring.columns import ModelSpec
from backend.serving.portable import NetworkModel, XGBoostModel
from jobs.explaining.base import BACKGROUND_ROWS, SEED, Prepared, Way, digest_of_rows, input_of, unit_of
from jobs.explaining.local_linear import LocalLinear
from jobs.explaining.networks import DeepNetwork
from jobs.explaining.permutations import Permutations
from jobs.explaining.trees import TreesOfPipeline, TreesOfXGBoost

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("warrant.jobs")

TRIED_ROWS: Final = 200


def prepare(model: Any, reference: pd.DataFrame, spec: ModelSpec) -> Prepared:
    """The way for this model; `reference` are rows of what is usual, at most `BACKGROUND_ROWS` of them the background.

    Every way is tried on rows of the reference. One that does not know the model, or whose values do not add up to
    what the model answers, is passed over, and the method says so.
    """
    frame = input_of(reference, spec)
    background = frame.sample(min(len(frame), BACKGROUND_ROWS), random_state=SEED + 1)
    tried = frame.sample(min(len(frame), TRIED_ROWS), random_state=SEED)
    not_taken: list[str] = []
    for name, make in _better_ways(model, spec, background, not_taken):
        try:
            way = make()
            exact = way.values(tried).adds_up
        except Exception as error:  # noqa: BLE001 - shap raises bare Exceptions for what it does not know
            log.debug("%s does not know this model: %s", name, error)
            continue
        if exact:
            return _prepared(way, model, spec, background, not_taken)
        not_taken.append(f"not {name}, whose values do not add up to what this model answers")
    return _prepared(Permutations(model, background), model, spec, background, not_taken)


def _better_ways(
    model: Any, spec: ModelSpec, background: pd.DataFrame, not_taken: list[str]
) -> Iterator[tuple[str, Callable[[], Way]]]:
    columns = [column.name for column in spec.features]
    if isinstance(model, XGBoostModel):
        yield "TreeExplainer", lambda: TreesOfXGBoost(model, columns)
    elif isinstance(model, NetworkModel):
        if find_spec("torch") is None:
            not_taken.append("not DeepExplainer, for which PyTorch is not installed here")
        else:
            yield "DeepExplainer", lambda: DeepNetwork(model, columns, background)
    else:
        yield "TreeExplainer", lambda: TreesOfPipeline(model)


def _prepared(
    way: Way, model: Any, spec: ModelSpec, background: pd.DataFrame, not_taken: list[str]
) -> Prepared:
    used = background.head(way.background_rows)
    digest = digest_of_rows(used) if way.background_rows else ""
    return Prepared(way, spec, unit_of(model, spec), digest, LocalLinear(model, background), tuple(not_taken))
