"""The tabular network's explainer: shap's DeepExplainer on PyTorch's CPU, whose values add up to what it answers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.requirements import require

# In Warrant's own environment with PyTorch's behind it, as a worker's image has both.
SCRIPT = """
import sys
sys.path += [sys.argv[1]]
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import pandas as pd
from backend.monitoring.columns import parse_spec
from backend.serving.portable import NetworkModel, fitted_encoder
from jobs.explaining import prepare

task = sys.argv[2]
draw = np.random.default_rng(3)
frame = pd.DataFrame({"size": draw.normal(size=300), "age": draw.normal(size=300),
                      "colour": draw.choice(["red", "blue", "green"], 300).astype(object)})
frame.loc[draw.random(300) < 0.1, "size"] = np.nan
encoder = fitted_encoder(frame, [("size", "number"), ("age", "number"), ("colour", "category")])
bins, size, outputs = 4, 3, 3 if task == "multiclass" else 1
edges = np.linspace(-2, 2, bins).astype("float32")
shape = lambda *sizes: draw.normal(size=sizes).astype("float32")
codes = max(int(encoder.encode(frame)[1].max()) + 2, 5)
weights = {
    "bins.low": np.tile(edges, (2, 1)), "bins.inverse_width": np.ones((2, bins), "float32"),
    "numbers.weight": shape(2, bins + 1, size), "numbers.bias": shape(2, size),
    "categories.weight": shape(codes, size), "categories.offset": np.zeros(1, "int64"),
    "hidden.0.weight": shape(8, 3 * size), "hidden.0.bias": shape(8),
    "hidden.1.weight": shape(6, 8), "hidden.1.bias": shape(6),
    "output.weight": shape(outputs, 6), "output.bias": shape(outputs),
}
classes = {"binary": ("0", "1"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
more = {"centre": 5.0, "scale": 2.0} if task == "regression" else {}
model = NetworkModel(encoder, task, classes, weights, layers=2, **more)
spec = parse_spec({"task": task, **({"classes": list(classes)} if task == "multiclass" else {}),
                   "features": {"size": "numeric", "age": "numeric", "colour": "categorical"}})
prepared = prepare(model, frame, spec)
found = prepared.explain(frame.head(40))
assert prepared.way.kind == "deep", prepared.method
assert prepared.way.background_rows == 50 and prepared.background_digest.startswith("sha256:")
assert found.adds_up, np.abs(found.gap).max()
assert np.allclose(found.output, model.margins(frame.head(40)))
assert np.abs(found.values).sum() > 1
parts = [frame[first : first + 10] for first in range(0, 40, 10)]
with ThreadPoolExecutor(4) as runs:  # two runs of a worker share what is prepared
    beside = list(runs.map(prepared.explain, parts))
assert np.allclose(np.concatenate([one.values for one in beside]), found.values, atol=1e-5)
print("deep")
"""


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_network_is_explained_by_deep_explainer_and_adds_up(task: str) -> None:
    python = require("torch")
    asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, packages, task], check=False, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()[-4:]) == (0, "deep"), done.stderr[-3000:]
