"""What the scan of an artefact finds, and what it leaves alone. Nothing here is ever loaded by the scan."""

from __future__ import annotations

import bz2
import collections
import functools
import gzip
import io
import json
import lzma
import os
import pickle
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from backend.governance import artefact_files
from backend.governance.artefact_files import scan_file, scan_folder
from backend.governance.pickle_scan import Unscannable


class Runs:
    """Unpickled, it calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._made = function, arguments

    def __reduce__(self) -> Any:
        return self._made


HARMFUL = (
    os.system,
    subprocess.Popen,
    eval,
    exec,
    getattr,
    __import__,
    open,
    functools.reduce,
    np.load,
    np.memmap,
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
)  # fmt: skip


def zipped(**members: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_pkl", ".pkl"), content)
    return target.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


WRAPPINGS = {
    "bare": lambda content: content,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zlib": zlib.compress,
    "zip": lambda content: zipped(data_pkl=content),
    "zip of a member without a name for pickles": lambda content: zipped(weights=content),
    "zip in a zip": lambda content: zipped(inner=zipped(data_pkl=content)),
    "tar in gzip": lambda content: gzip.compress(tarred("weights", content)),
    "behind it a zip": lambda content: content + zipped(readme=b"harmless"),
}


@given(
    around=PLAIN, function=st.sampled_from(HARMFUL), protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    wrapping=st.sampled_from(sorted(WRAPPINGS)), name=st.sampled_from(["model.pkl", "model.bin", "weights", "a.yaml"]),
)  # fmt: skip
@example(around=b"PK\x05\x06", function=HARMFUL[0], protocol=0, wrapping="bare", name="model.pkl")
def test_a_call_is_found_in_any_protocol_place_and_wrapping(
    around: Any, function: Any, protocol: int, wrapping: str, name: str
) -> None:
    content = pickle.dumps([around, Runs(function, "true"), around], protocol)
    try:
        assert scan_file(name, WRAPPINGS[wrapping](content))
    except Unscannable:
        assert b"PK" in content  # what looks like an archive and is none is refused as well


@given(
    around=PLAIN,
    protocol=st.integers(0, pickle.HIGHEST_PROTOCOL),
    wrapping=st.sampled_from(sorted(WRAPPINGS)),
)
def test_plain_data_are_left_alone(around: Any, protocol: int, wrapping: str) -> None:
    assume(b"PK" not in pickle.dumps(around, protocol))  # the marks of an archive
    assert scan_file("model.pkl", WRAPPINGS[wrapping](pickle.dumps(around, protocol))) == []


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_a_call_behind_the_end_of_a_compressed_stream_is_found(compress: Any) -> None:
    """Readers go on with the next stream: behind an empty one a scan of the first saw nothing."""
    harmful, plain = pickle.dumps(Runs(eval, "1")), pickle.dumps([1, 2])
    for hidden in (compress(b"") + compress(harmful), compress(b"") + bytes(8) + compress(harmful),
                   compress(harmful[:3]) + compress(harmful[3:]), compress(b"") * 3 + compress(harmful)):  # fmt: skip
        assert scan_file("model.pkl", hidden), "it runs"
    assert scan_file("model.pkl", compress(plain[:5]) + compress(plain[5:])) == []
    for unclear in (compress(plain) + b"what is this", compress(b"") * 200 + compress(harmful)):
        with pytest.raises(Unscannable):
            scan_file("model.pkl", unclear)


@pytest.mark.parametrize("compress", [bz2.compress, lzma.compress])
def test_what_is_said_of_streams_behind_each_other_is_so(tmp_path: Path, compress: Any) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(compress(b"") + compress(pickle.dumps(Runs(eval, "6 * 7"))))
    assert joblib.load(path) == 42


def lzma_alone(content: bytes, dictionary: int = 4096) -> bytes:
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": dictionary}]
    return lzma.compress(content, format=lzma.FORMAT_ALONE, filters=filters)


@pytest.mark.parametrize("compress", [zlib.compress, lzma_alone])
def test_what_begins_as_many_files_do_is_opened_as_far_as_readers_have_it(compress: Any) -> None:
    """Neither zlib nor the older form of LZMA has a mark of its own: what is no stream is left alone, and no more."""
    harmful, plain = pickle.dumps(Runs(eval, "1")), pickle.dumps([1, 2])
    damaged = bytearray(compress(harmful + bytes(range(256)) * 256))
    damaged[-2] ^= 255
    assert scan_file("model.pkl", bytes(damaged)) == ["model.pkl: builtins eval"]
    for unclear in (compress(harmful) + b"what is this", compress(b"") * 200 + compress(harmful)):
        with pytest.raises(Unscannable):
            scan_file("model.pkl", unclear)
    assert scan_file("model.pkl", compress(plain)) == []
    assert scan_file("notes.txt", compress(plain)[:2] + b"plain text, by chance") == []


@pytest.mark.parametrize("dictionary", [4096, 1 << 16, 1 << 23])
def test_the_size_of_the_dictionary_hides_nothing(tmp_path: Path, dictionary: int) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(lzma_alone(pickle.dumps(Runs(eval, "6 * 7")), dictionary))
    assert joblib.load(path) == 42
    assert scan_file("model.pkl", path.read_bytes()) == ["model.pkl: builtins eval"]


def test_a_name_put_together_through_the_memo_is_found() -> None:
    # "os" and "system" are memoised, buried under other strings, fetched again, and made into a name.
    content = b"".join([
        b"\x80\x04", b"\x8c\x02os\x94", b"\x8c\x06system\x94", b"00", b"\x8c\x07sklearn", b"\x8c\x04Tree", b"00",
        b"h\x00", b"h\x01", b"\x93", b"\x8c\x04true", b"\x85", b"R", b".",
    ])  # fmt: skip
    assert scan_file("model.pkl", content) == ["model.pkl: os system"]


def test_a_name_that_only_running_the_stream_would_tell_is_refused() -> None:
    made = b"\x80\x04\x8c\x08builtins\x8c\x03str\x93\x8c\x02os\x85R\x8c\x06system\x93."
    assert scan_file("model.pkl", made) == ["model.pkl: (computed) system"]


def test_a_path_of_attributes_is_refused() -> None:
    walked = b"\x80\x04\x8c\x0csklearn.base\x8c\x12BaseEstimator.a.os\x93."
    assert scan_file("model.pkl", walked) == ["model.pkl: sklearn.base BaseEstimator.a.os"]


def test_a_call_before_the_stream_breaks_is_found() -> None:
    content = pickle.dumps(Runs(os.system, "true"), 2)[:-1] + b"\xff\xff"
    assert scan_file("model.pkl", content) == [f"model.pkl: {os.system.__module__} system"]


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("xz", 3), ("bz2", 3)])
def test_a_call_behind_the_arrays_of_a_joblib_file_is_found(tmp_path: Path, compress: Any) -> None:
    joblib.dump(
        {"weights": np.arange(999.0), "then": Runs(os.system, "true")}, tmp_path / "m", compress=compress
    )
    assert scan_file("m", (tmp_path / "m").read_bytes()) == [f"m: {os.system.__module__} system"]


def test_a_call_inside_an_array_of_objects_is_found(tmp_path: Path) -> None:
    joblib.dump(np.array([Runs(os.system, "true")], dtype=object), tmp_path / "m.joblib")
    np.save(tmp_path / "m.npy", np.array([Runs(os.system, "true")], dtype=object), allow_pickle=True)
    for path in tmp_path.iterdir():
        assert scan_file(path.name, path.read_bytes()) == [f"{path.name}: {os.system.__module__} system"]


@pytest.mark.parametrize("compress", [0, 3])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_trained_models_are_left_alone(tmp_path: Path, compress: int, protocol: int) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        GradientBoostingClassifier,
        HistGradientBoostingClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder, StandardScaler

    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(80, 3)), draw.integers(0, 2, 80)
    encoder = ColumnTransformer([("code", OrdinalEncoder(), [0]), ("scale", StandardScaler(), [1, 2])])
    for model in (
        make_pipeline(encoder, HistGradientBoostingClassifier(max_iter=3)),
        GradientBoostingClassifier(n_estimators=3, random_state=np.random.RandomState(3)),
        RandomForestRegressor(n_estimators=3), LogisticRegression(), KNeighborsClassifier(),
    ):  # fmt: skip
        model.fit(x, y)
        joblib.dump(
            {"model": model, "kept": collections.OrderedDict(a=1)}, tmp_path / "m.joblib", compress, protocol
        )
        assert scan_file("m.joblib", (tmp_path / "m.joblib").read_bytes()) == []
        assert scan_file("m.pkl", pickle.dumps(model, protocol)) == []


def test_text_that_begins_as_a_pickle_does_is_left_alone(tmp_path: Path) -> None:
    for text in (
        "channels:\n- conda-forge\n",
        "catboost\nnumpy\npandas\n",
        "cloudpickle==3\nnumpy\n",
        "(lp0\n",
        "I x",
    ):
        assert scan_file("requirements.txt", text.encode()) == []
    assert scan_file("model.bin", b"version 1") == []


def test_skops_files_are_judged_by_the_types_they_name(tmp_path: Path) -> None:
    import skops.io
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    assert scan_file("m.skops", skops.io.dumps(model)) == []
    crafted = json.dumps(
        {"content": [{"__module__": "os", "__class__": "system", "__loader__": "ObjectNode"}]}
    )
    assert scan_file("m.skops", zipped(**{"schema.json": crafted.encode()})) == [
        "m.skops/schema.json: os system"
    ]
    crafted = json.dumps({"content": {"module_path": "builtins", "function": "eval"}})
    assert scan_file("m.skops", zipped(**{"schema.json": crafted.encode()})) == [
        "m.skops/schema.json: builtins eval"
    ]


def test_code_of_its_own_is_found(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "load.py").write_text("import os\n")
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: load, code: code}}\n")
    assert scan_folder(tmp_path) == [
        "MLmodel: the loader load", "MLmodel: code of its own in code", "code/load.py: code of its own",
    ]  # fmt: skip


def test_a_module_that_the_policy_allows_is_expected() -> None:
    content = pickle.dumps(Runs(json.loads, "1"))
    assert scan_file("m.pkl", content) == ["m.pkl: json loads"]
    assert scan_file("m.pkl", content, ("json",)) == []


def test_what_cannot_be_judged_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Unscannable, match="LZ4"):
        scan_file("m.joblib", b"\x04\x22\x4d\x18" + b"x" * 20)
    with pytest.raises(Unscannable, match="to its end"):
        scan_file("m.pkl", pickle.dumps({"a": [1, 2, 3]}, 4)[:-3])
    nested = pickle.dumps(1)
    for _ in range(artefact_files.DEEPEST + 2):
        nested = zipped(a=nested)
    with pytest.raises(Unscannable, match="deep"):
        scan_file("m.zip", nested)
    (tmp_path / "link").symlink_to("/etc/hostname")
    with pytest.raises(Unscannable, match="symbolic link"):
        scan_folder(tmp_path)
    monkeypatch.setattr(artefact_files, "MOST_OF_ONE", 1 << 20)
    for bomb in (gzip.compress(bytes(2 << 20)), zipped(a=bytes(2 << 20)), bz2.compress(bytes(2 << 20))):
        with pytest.raises(Unscannable, match=r"[12] MiB"):
            scan_file("bomb", bomb)
