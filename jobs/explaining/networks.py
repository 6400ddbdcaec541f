"""Tabular networks: shap's DeepExplainer (DeepLIFT, Shrikumar et al. 2017) on the embeddings that dense layers read.

A feature's value is the sum over the places of its embedding: the embeddings depend on one feature each, so nothing of
another feature is in it. PyTorch is needed; where it is not installed the network is asked by permutation instead.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from backend.serving.portable import NetworkModel
from jobs.explaining.base import Attributed, Kind

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class DeepNetwork:
    kind: Kind = "deep"

    def __init__(self, model: NetworkModel, columns: list[str], background: pd.DataFrame) -> None:
        import shap

        self._model, self._columns = model, columns
        self.background_rows = len(background)
        self.method = (
            f"shap DeepExplainer on the embeddings, {len(background)} background rows of the reference"
        )
        usual, self._owners = model.embedded(background)
        self._dense = _dense(model)
        self._explainer = shap.DeepExplainer(self._dense, _tensor(usual))
        self._base = model.margins(background).mean(axis=0)
        self._alone = threading.Lock()

    def values(self, rows: pd.DataFrame) -> Attributed:
        import numpy as np

        given, _ = self._model.embedded(rows)
        with (
            self._alone
        ):  # it keeps what a row did inside the layers, where another run's row would replace it
            found = np.asarray(self._explainer.shap_values(_tensor(given), check_additivity=False))
        found = found.astype("float64").reshape(len(rows), given.shape[1], -1)
        if self._model.task != "multiclass":
            found = found[:, :, 0] * self._model.scale
        owners = np.array(self._owners)
        values = np.stack([found[:, owners == name].sum(axis=1) for name in self._columns], axis=1)
        return Attributed(
            values, np.asarray(self._base, dtype="float64").reshape(-1), self._model.margins(rows)
        )


def _dense(model: NetworkModel) -> Any:
    """The layers behind the embeddings, as PyTorch runs them."""
    import torch

    layers: list[Any] = []
    for weight, bias in model.dense():
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = _tensor(weight), _tensor(bias)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1]).eval()


def _tensor(values: np.ndarray) -> Any:
    import numpy as np
    import torch

    return torch.from_numpy(np.array(values, dtype="float32"))
