"""A model that runs code finds nothing in the process that loads it, and whatever becomes of that process is said."""

from __future__ import annotations

import json
import os
import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.errors import BadInput, NotAllowed
from backend.registry.artefacts import ArtefactAltered, artefact_digest
from backend.serving.loader import Loader
from backend.settings import settings
from jobs.confinement import CONFINEMENT
from jobs.explaining import prepare
from jobs.models import ModelEnded, ModelProcess, ModelRaised, open_model, process
from jobs.models.child import MODEL, OUT
from jobs.models.explaining import prepared_there
from jobs.processor_time import used_s
from tests.integration.jobs.test_explanations import NUMERIC, shap, trained  # noqa: F401

# Told through the names of its classes.
PROBES = """
import json, os, socket, subprocess, urllib.request
given = json.loads({given!r})
def found(work):
    try:
        return str(work())
    except BaseException as error:
        return type(error).__name__
def connected(family, address):
    with socket.socket(family) as one:
        one.settimeout(2)
        one.connect(address)
def written(path):
    with open(path, "w") as file:
        return file.write("here")
def sent():
    os.kill(os.getppid(), 0)
class Model:
    pass
model = Model()
told = {{
    "environment": {{name: value for name, value in os.environ.items() if "s3cret" in value}},
    "parent": found(lambda: open("/proc/%d/environ" % os.getppid(), "rb").read()),
    "key": found(lambda: open(given["key"]).read()),
    "names": found(lambda: os.listdir(given["home"])),
    "outside": found(lambda: written(given["outside"])),
    "model": found(lambda: written(os.path.join(given["home"], "model-processes", "x"))),
    "port": found(lambda: connected(socket.AF_INET, ("127.0.0.1", given["port"]))),
    "socket": found(lambda: connected(socket.AF_UNIX, given["socket"])),
    "program": found(lambda: subprocess.run(["/bin/true"])),
    "process": found(os.fork),
    "signal": found(sent),
    "root": found(lambda: os.setuid(12345)) if os.getuid() == 0 else "PermissionError",
    "own": found(lambda: written(os.path.join(os.environ["TMPDIR"], "own"))),
}}
model.classes_ = [json.dumps(told)]
model.predict_proba = None
"""


class Code:
    """What runs when the pickle is loaded; it leaves the model that the code made."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> Any:
        return eval, (f"(exec({self.code!r}, found := {{}}), found['model'])[1]",)


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[int, str]]:
    path = str(tmp_path / "database.socket")
    with socket.socket() as port, socket.socket(socket.AF_UNIX) as local:
        port.bind(("127.0.0.1", 0))
        local.bind(path)
        port.listen()
        local.listen()
        yield port.getsockname()[1], path


def test_a_model_that_runs_code_finds_no_secret_no_file_no_network_and_no_other_process(
    home: Path, tmp_path: Path, listening: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_DATABASE_URL", "postgresql://warrant:s3cret@db/warrant")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    key = settings().resolved_home() / "keys" / "audit.pem"
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text("s3cret")
    given = {
        "key": str(key), "home": str(settings().resolved_home()), "outside": str(tmp_path / "outside"),
        "port": listening[0], "socket": listening[1],
    }  # fmt: skip
    artefact = tmp_path / "artefact"
    artefact.mkdir()
    (artefact / "model.pkl").write_bytes(pickle.dumps(Code(PROBES.format(given=json.dumps(given)))))
    (artefact / "MLmodel").write_text(
        json.dumps(
            {"flavors": {"sklearn": {"pickled_model": "model.pkl", "serialization_format": "pickle",
                                     "sklearn_version": "1.0", "code": None},
                         "python_function": {"loader_module": "mlflow.sklearn"}}}
        )
    )  # fmt: skip
    digest = artefact_digest(artefact)
    with pytest.raises(NotAllowed), open_model(str(artefact), digest, allow=()):
        pass
    with open_model(str(artefact), digest, allow=("builtins",)) as model:
        told = json.loads(model.classes[0])
        confinement = json.loads((model._folder / OUT / CONFINEMENT).read_text())
    refused = "PermissionError"
    expected = {
        "environment": {}, "parent": refused, "key": refused, "names": refused, "outside": refused, "model": refused,
        "port": refused, "socket": refused, "program": refused, "process": refused, "signal": refused,
        "root": refused, "own": "4",
    }  # fmt: skip
    if confinement["files kept from it"]:  # a kernel without Landlock
        for name in ("parent", "key", "names", "outside", "model"):
            expected[name] = told[name]
    assert told == expected
    assert (tmp_path / "outside").exists() == (told["outside"] == "4")
    assert not list((settings().resolved_home() / "model-processes").iterdir())


def test_files_that_are_not_the_recorded_ones_are_not_loaded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artefact = tmp_path / "artefact"
    artefact.mkdir()
    (artefact / "model.skops").write_bytes(b"one")
    digest = artefact_digest(artefact)
    left = settings().resolved_home() / "model-processes" / "left"
    left.mkdir(parents=True)
    os.utime(left, (0, 0))  # by a worker that was killed
    (artefact / "model.skops").write_bytes(b"another")
    with pytest.raises(ArtefactAltered), open_model(str(artefact), digest, allow=()):
        pass
    assert left.exists(), "nothing was begun"
    # Altered after they were fetched and checked: the bytes that would be loaded are looked at again.
    monkeypatch.setattr(Loader, "fetch", lambda self, uri, digest: Path(uri))
    with pytest.raises(ArtefactAltered), open_model(str(artefact), digest, allow=()):
        pass
    assert not left.exists()


def asked_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> Any:
    """What `ask` answers where the process runs `program` instead of a model."""
    folder = tmp_path / "own"
    (folder / MODEL).mkdir(parents=True)
    (folder / MODEL / "child.py").write_text(
        "import os, sys, time\nfrom pathlib import Path\nout, pipe = Path(sys.argv[1], 'out'), int(sys.argv[2])\n"
        f"os.write(pipe, b'.')\nsys.stdin.readline()\n{program}\n"
    )
    monkeypatch.setattr(process, "CHILD", folder / MODEL / "child.py")
    with ModelProcess(folder) as model:
        model.load()


ANSWER = "(out / '0.json').{0}\nos.write(pipe, b'.')\ntime.sleep(60)"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("time.sleep(60)", r"did not answer within 1 s and was ended. Raise WARRANT_MODEL_TIME_S"),
        ("held = bytearray(60 << 30)", r"ran out of memory: it may use 600 MB \(WARRANT_MODEL_MEMORY_MB\)"),
        (
            """import json
(out / '0.json').write_text(json.dumps({'error': 'MemoryError', 'message': 'Unable to allocate 8 GiB'}))
os.write(pipe, b'.')""",
            "ran out of memory",
        ),
        ("os.kill(os.getpid(), 11)", "was killed by SIGSEGV"),
        ("sys.exit('the model is\\x1b[31m broken')", "exit code 1; its last line says: the model is\ufffd"),
        ("os._exit(0)", "exit code 0 and printed nothing"),
        (ANSWER.format("write_text('{')"), "answered what does not read"),
        (ANSWER.format("write_text('[]')"), "answered what does not read"),
        (ANSWER.format("""write_text('{"answer": {"classes": 1}}')"""), "answered what does not read"),
        (ANSWER.format("mkdir()"), "answered what does not read"),
        ("os.mkfifo(out / '0.json')\nos.write(pipe, b'.')\ntime.sleep(60)", "answered what does not read"),
        (ANSWER.format("symlink_to('/etc/hostname')"), "answered what does not read"),
    ],
)
def test_a_process_that_dies_hangs_or_answers_garbage_is_said_in_words(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str
) -> None:
    monkeypatch.setenv("WARRANT_MODEL_TIME_S", "1" if "within 1 s" in said else "120")
    monkeypatch.setenv("WARRANT_MODEL_MEMORY_MB", "600")
    settings.cache_clear()
    with pytest.raises(ModelEnded, match=said):
        asked_of(tmp_path, monkeypatch, program)
    settings.cache_clear()


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        ("BadInput", BadInput, "^of the model$"),
        ("ValueError", ModelRaised, "^ValueError: of the model$"),
        ("Lost\\\\u001b", ModelRaised, "^Lost\ufffd: of the model$"),
    ],
)
def test_what_a_model_raises_is_its_own_words(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, kind: type[Exception], said: str
) -> None:
    answer = f"""write_text('{{"error": "{error}", "message": "of the model"}}')"""
    with pytest.raises(kind, match=said):
        asked_of(tmp_path, monkeypatch, ANSWER.format(answer))


@pytest.mark.usefixtures("shap")
def test_values_and_scores_of_a_model_apart_are_those_of_the_library(home: Path, tmp_path: Path) -> None:
    import skops.io

    pipeline, frame, spec = trained(NUMERIC)
    artefact = tmp_path / "artefact"
    artefact.mkdir()
    skops.io.dump(pipeline, artefact / "model.skops")
    frame = frame.drop(columns="carrier")
    others_s = used_s() - time.thread_time()
    with open_model(str(artefact), artefact_digest(artefact), allow=()) as model:
        there = prepared_there(model, frame, spec)
        found, here = there.explain(frame.head(50)), prepare(pipeline, frame, spec)
        scored = model.score(model.send(frame), spec, 0.5)
        with pytest.raises(BadInput, match="cannot be handed to the model"):
            model.send(frame.astype(object).assign(noise=[{}, *[0] * (len(frame) - 2), "x"]))
    assert np.array_equal(found.values, here.explain(frame.head(50)).values)
    assert (there.method, there.unit, there.background_digest) == (
        here.method,
        here.unit,
        here.background_digest,
    )
    assert np.array_equal([one.score for one in scored], pipeline.predict_proba(frame)[:, 1])
    assert model.classes == ("0", "1")
    assert used_s() - time.thread_time() - others_s > 0.5, "what the process took counts for the job"
