"""The names that a model of the supported trainers is made of: what reading it may import.

One list for the scan of artefacts, which reads pickles and skops files, and for the gateway, which loads skops files. A
name that is not here is none of a model's, whichever library it belongs to: libraries of models also hold classes and
functions that evaluate expressions, start threads, connect, and write files.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any, Final

IDENTIFIER: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

# Classes may come from below these; a name that begins in lower case is a function (or an old class) and has to be
# listed, because many a harmless module also offers a function that opens, loads or executes something.
_MODULES: Final = (
    "sklearn", "numpy.random", "numpy.ma.core", "pandas.core.arrays", "pandas.core.dtypes", "pandas.core.flags",
    "pandas.core.frame", "pandas.core.indexes", "pandas.core.internals", "pandas.core.series",
    *(f"pandas._libs.{part}" for part in ("arrays", "internals", "interval", "missing", "sparse", "tslibs")),
    "scipy.sparse", "scipy.interpolate", "scipy.spatial", "torch.nn.modules", "datetime",
)  # fmt: skip
# Parts of them that belong to no model: tests, what fetches data, what talks to other processes.
_NOT_BELOW: Final = (
    "sklearn.externals", "sklearn.datasets", "sklearn.callback", "sklearn.conftest", "sklearn.utils._testing",
    "sklearn.utils._test_common", "sklearn.utils._repr_html", "sklearn.utils.discovery", "sklearn.utils.parallel",
    "sklearn._build_utils", "numpy.random._examples",
)  # fmt: skip
_NOT_WITHIN: Final = frozenset({"tests", "testing", "_testing", "conftest"})
# Imported by modules of those libraries from elsewhere, and so found under their names, too.
_NOT_NAMED: Final = frozenset({
    "Client", "Connection", "Listener", "Memory", "MethodType", "NamedTemporaryFile", "Parallel", "Path", "Pickler",
    "Pool", "Popen", "Process", "Queue", "Thread", "ThreadPoolExecutor", "Unpickler",
})  # fmt: skip
_NAMES: Final = frozenset({
    *(f"{module} {name}" for module in ("builtins", "__builtin__") for name in (
        "object", "set", "frozenset", "list", "dict", "tuple", "int", "float", "complex", "str", "bytes", "bytearray",
        "bool", "range", "slice", "type", "Ellipsis", "NotImplemented", "unicode", "long")),
    *(f"collections {name}" for name in ("OrderedDict", "defaultdict", "deque", "Counter")),
    "copyreg _reconstructor", "copy_reg _reconstructor", "_codecs encode", "operator itemgetter",
    *(f"datetime {name}" for name in ("datetime", "date", "time", "timedelta", "timezone")),
    "numpy dtype", "numpy ndarray", "numpy matrix", "numpy recarray",
    *(f"numpy {name}" for name in (
        "bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
        "float64", "complex64", "complex128", "str_", "bytes_", "object_", "datetime64", "timedelta64")),
    *(f"numpy.{core}.{rest}" for core in ("core", "_core") for rest in (
        "multiarray _reconstruct", "multiarray scalar", "numeric _frombuffer")),
    *(f"numpy.random._pickle {name}" for name in (
        "__randomstate_ctor", "__bit_generator_ctor", "__generator_ctor")),
    "numpy.ma.core _mareconstruct", "numpy.ma MaskedArray",
    "pandas._libs.internals _unpickle_block", "pandas.core.indexes.base _new_Index",
    "pandas._libs.arrays __pyx_unpickle_NDArrayBacked",
    "scipy.sparse._csr csr_matrix", "scipy.sparse._csc csc_matrix", "scipy.sparse._coo coo_matrix",
    *(f"joblib.numpy_pickle {name}" for name in ("NumpyArrayWrapper", "NDArrayWrapper", "ZNDArrayWrapper")),
    "decimal Decimal", "uuid UUID", "xgboost.core Booster", "lightgbm.basic Booster",
    "scipy.interpolate._interpolate interp1d", "scipy.interpolate interp1d",
    "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch._utils _rebuild_tensor",
    *(f"torch {kind}Storage" for kind in (
        "Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")),
    "torch Size", "torch device", "torch.storage TypedStorage", "torch.storage UntypedStorage",
    "torch.nn.parameter Parameter",
    *(f"torch {name}" for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")),
})  # fmt: skip
_CYTHON: Final = re.compile(r"(sklearn|numpy\.random)(\.\w+)* __pyx_unpickle_\w+")
_BOOSTED: Final = re.compile(
    r"(xgboost\.sklearn XGB|lightgbm\.sklearn _?LGBM|catboost\.core _?CatBoost)[A-Za-z]*"
)
# Old-style lower-case extension types of scikit-learn's own trees, losses and neighbours.
_SKLEARN_LOWER: Final = re.compile(r"sklearn(\.\w+)* (newObj|[a-z_]*(loss|link|kernel)[a-z_]*)")

# Functions that estimators hold, by name; a skops file gives no call of its own, so naming one calls nothing.
_FUNCTIONS: Final = frozenset({
    "functools partial", "sklearn.utils.validation check_array",
    *(f"sklearn.feature_selection._univariate_selection {name}" for name in (
        "chi2", "f_classif", "f_oneway", "f_regression", "r_regression")),
    *(f"sklearn.feature_selection._mutual_info {name}" for name in (
        "mutual_info_classif", "mutual_info_regression")),
    "scipy._lib.array_api_compat.numpy._aliases asarray",
})  # fmt: skip
_UFUNCS: Final = ("numpy", "scipy.special", "scipy.special._ufuncs", "scipy.special._special_ufuncs")


def is_expected(module: Any, name: Any, allow: Iterable[str] = ()) -> bool:
    """Whether a model of the supported trainers is made of this; `allow` names further modules."""
    if not isinstance(module, str) or not isinstance(name, str):
        return False
    if "." in name or not IDENTIFIER.fullmatch(module):  # a path of attributes leads anywhere
        return False
    full = f"{module} {name}"
    if any(_is_below(module, one) for one in allow) or full in _NAMES:
        return True
    if name in _NOT_NAMED or any(_is_below(module, one) for one in _NOT_BELOW):
        return False
    if not _NOT_WITHIN.isdisjoint(module.split(".")):
        return False
    if any(pattern.fullmatch(full) for pattern in (_CYTHON, _BOOSTED, _SKLEARN_LOWER)):
        return True
    return any(_is_below(module, one) for one in _MODULES) and name.lstrip("_")[:1].isupper()


def is_loaded(module: Any, name: Any) -> bool:
    """Whether the gateway loads a skops file that names this: a part of models, or a function that they hold."""
    return is_expected(module, name) or f"{module} {name}" in _FUNCTIONS or _is_ufunc(module, name)


def not_loaded(names: Iterable[str]) -> list[str]:
    """Of dotted names, as skops lists them, those that the gateway does not load. A method is none that it does."""
    return [one for one in names if not is_loaded(*one.rpartition(".")[::2])]


def _is_ufunc(module: Any, name: Any) -> bool:
    if module not in _UFUNCS or not isinstance(name, str):
        return False
    import numpy as np

    return isinstance(getattr(importlib.import_module(module), name, None), np.ufunc)


def _is_below(module: str, parent: str) -> bool:
    return module == parent or module.startswith(f"{parent}.")
