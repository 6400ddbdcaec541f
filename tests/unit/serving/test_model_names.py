"""Libraries that models are made of also hold what evaluates, connects and writes: none of that is a model's."""

from __future__ import annotations

import functools
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from scipy import stats
from sklearn.linear_model import LogisticRegression

from backend.governance.artefact_files import scan_file
from backend.serving.errors import NotLoadable
from backend.serving.loader import load_estimator
from backend.serving.model_names import is_expected, is_loaded, not_loaded


class Evaluates:
    """Unpickled, it has pandas evaluate an expression, which may walk to anything."""

    def __reduce__(self) -> Any:
        from pandas.core.computation.expr import Expr

        return Expr, ("list.__base__.__subclasses__().__len__()", "python", "pandas")


def test_a_class_that_evaluates_an_expression_when_it_is_made_is_found() -> None:
    found = scan_file("model.pkl", pickle.dumps(Evaluates()))
    assert found == ["model.pkl: pandas.core.computation.expr Expr"]


@pytest.mark.parametrize("name", [
    "pandas.core.computation.expr Expr", "sklearn.callback._transport Client", "sklearn.ensemble._forest Parallel",
    "scipy.special._precompute.hyp2f1_data Pool", "lightgbm.basic NamedTemporaryFile", "joblib.numpy_pickle Unpickler",
    "sklearn.utils._available_if MethodType", "xgboost.sklearn ThreadPoolExecutor", "sklearn.tests.test_base T",
    "numpy.testing._private.utils measure", "scipy.stats._continuous_distns norm_gen", "sklearn.datasets._base Bunch",
])  # fmt: skip
def test_what_no_model_is_made_of_is_not_expected(name: str) -> None:
    module, _, part = name.partition(" ")
    assert not is_expected(module, part)
    assert not is_loaded(module, part)


def crafted(kind: str, marker: Path) -> Any:
    """A model that runs code of its own when it is loaded, or when it is asked for scores."""
    code = f"open({str(marker)!r}, 'w').close()\n"
    model: Any = LogisticRegression().fit(np.array([[0.0], [1.0]]), [0, 1])
    if kind == "state that is executed":
        model.kept_ = type(stats.norm)(name="norm")
        model.kept_._parse_arg_template = code + model.kept_._parse_arg_template
    else:
        model.predict_proba = functools.partial(np.testing.measure, code, 1)
    return model


@pytest.mark.parametrize("kind", ["state that is executed", "a function that executes"])
def test_neither_the_scan_nor_the_gateway_takes_a_skops_file_that_runs_code(
    tmp_path: Path, kind: str
) -> None:
    marker = tmp_path / "ran"
    skops.io.dump(crafted(kind, marker), tmp_path / "model.skops")
    assert scan_file("model.skops", (tmp_path / "model.skops").read_bytes())
    with pytest.raises(NotLoadable, match="does not load"):
        load_estimator(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize("form", ["skops", "cloudpickle", "pickle"])
@pytest.mark.parametrize("where", ["../other", "{tmp}/other", "registered_model_meta"])
def test_a_model_file_that_the_digest_does_not_cover_is_not_loaded(
    tmp_path: Path, form: str, where: str
) -> None:
    folder = tmp_path / "artefact"
    folder.mkdir()
    named = where.format(tmp=tmp_path)
    other = folder / named
    model = LogisticRegression().fit(np.array([[0.0], [1.0]]), [0, 1])
    other.write_bytes(skops.io.dumps(model) if form == "skops" else pickle.dumps(model))
    flavor = {"serialization_format": form, "pickled_model": named}
    (folder / "MLmodel").write_text(json.dumps({"flavors": {"sklearn": flavor}}))
    with pytest.raises(NotLoadable, match=r"points outside of it|digest does not cover"):
        load_estimator(folder)


def test_a_method_that_a_skops_file_names_is_found() -> None:
    named = {
        "__module__": "numpy",
        "__class__": "ndarray",
        "__loader__": "MethodNode",
        "content": {"func": "tofile"},
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("schema.json", json.dumps(named))
    assert scan_file("m.skops", target.getvalue()) == ["m.skops/schema.json: numpy ndarray: a method of it"]
    assert not_loaded(["numpy.ndarray", "numpy.ndarray.tofile"]) == ["numpy.ndarray.tofile"]


def test_what_estimators_hold_is_loaded() -> None:
    from scipy.special import expit
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, SplineTransformer
    from sklearn.tree import DecisionTreeClassifier

    columns, label = np.random.default_rng(1).uniform(size=(40, 3)), [0, 1] * 20
    steps = (FunctionTransformer(np.log1p), FunctionTransformer(expit), SplineTransformer(n_knots=3))
    for step in (*steps, SelectKBest(f_classif, k=2)):
        content = skops.io.dumps(make_pipeline(step, DecisionTreeClassifier()).fit(columns, label))
        assert scan_file("model.skops", content) == []
        assert not_loaded(skops.io.get_untrusted_types(data=content)) == []
