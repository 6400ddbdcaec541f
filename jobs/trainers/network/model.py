"""The network: every number and every category becomes an embedding, and dense layers read them side by side.

A number is first written as how far it fills each of its bins (piecewise-linear encoding: Gorishniy et al., "On
Embeddings for Numerical Features in Tabular Deep Learning", NeurIPS 2022); a missing one has a bin of its own.
`backend.serving.portable.NetworkModel` computes the same from the exported weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

SAMPLE_ROWS = 200_000


class TabularNetwork(nn.Module):  # type: ignore[misc]
    """(rows, numbers) with NaN and (rows, categories) codes in, (rows, outputs) out."""

    def __init__(
        self,
        low: np.ndarray,
        inverse_width: np.ndarray,
        cardinalities: Sequence[int],
        *,
        outputs: int,
        embedding: int,
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        numbers, bins = low.shape
        self.register_buffer("low", torch.from_numpy(low))
        self.register_buffer("inverse_width", torch.from_numpy(inverse_width))
        offsets = np.concatenate([[0], np.cumsum(np.array(cardinalities, dtype="int64") + 1)])
        self.register_buffer("offset", torch.from_numpy(offsets[:-1].astype("int64")))
        spread = (bins + 1) ** -0.5
        self.number_weight = nn.Parameter(torch.empty(numbers, bins + 1, embedding).uniform_(-spread, spread))
        self.number_bias = nn.Parameter(torch.empty(numbers, embedding).uniform_(-spread, spread))
        self.table = nn.Embedding(max(1, int(offsets[-1])), embedding)
        nn.init.normal_(self.table.weight, std=0.1)
        width = (numbers + len(cardinalities)) * embedding
        self.hidden = nn.ModuleList()
        for size in hidden:
            self.hidden.append(nn.Linear(width, size))
            width = size
        self.output = nn.Linear(width, outputs)
        self.dropout = dropout

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        parts = []
        if numbers.shape[1]:
            absent = torch.isnan(numbers)
            filled = ((numbers.unsqueeze(-1) - self.low) * self.inverse_width).clamp(0, 1)
            filled = torch.where(absent.unsqueeze(-1), torch.zeros_like(filled), filled)
            bins = torch.cat([filled, absent.unsqueeze(-1).to(filled.dtype)], dim=-1)
            embedded = torch.einsum("nkb,kbd->nkd", bins, self.number_weight) + self.number_bias
            parts.append(torch.relu(embedded).flatten(1))
        if codes.shape[1]:
            parts.append(self.table(codes.long() + self.offset).flatten(1))
        signal = torch.cat([part.to(parts[0].dtype) for part in parts], dim=1)
        for layer in self.hidden:
            signal = torch.relu(layer(signal))
            signal = nn.functional.dropout(signal, self.dropout, self.training)
        return self.output(signal)


def bins_of(numbers: np.ndarray, count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Lower edges and inverse widths (numbers, count) of bins that hold equally many training rows each.

    Where values repeat, quantiles coincide; bins of no width are never filled.
    """
    rows = np.random.default_rng(seed).permutation(len(numbers))[:SAMPLE_ROWS]
    low = np.zeros((numbers.shape[1], count), dtype="float32")
    inverse = np.zeros_like(low)
    for position in range(numbers.shape[1]):
        values = numbers[rows, position]
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        edges = np.unique(np.quantile(values, np.linspace(0, 1, count + 1)).astype("float32"))
        width = np.diff(edges)
        low[position, : len(width)] = edges[:-1]
        inverse[position, : len(width)] = 1 / width
    return low, inverse


def exported(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights under the names that the gateway's forward pass reads; single precision, on the host."""
    names = {
        "low": "bins.low",
        "inverse_width": "bins.inverse_width",
        "offset": "categories.offset",
        "number_weight": "numbers.weight",
        "number_bias": "numbers.bias",
        "table.weight": "categories.weight",
    }
    return {names.get(name, name): tensor.detach().cpu().contiguous() for name, tensor in state.items()}
