"""An estimator is there without the rest of its library, and the library is there for whoever wants all of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import ModuleType

import pytest

from backend.monitoring.estimation import loading

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
from backend.settings import disable_telemetry
disable_telemetry()
from backend.monitoring.estimation.loading import load
names = [load(*which).estimator.__name__
         for which in (("confidence_based", "CBPE"), ("direct_loss_estimation", "DLE"))]
heavy = [name for name in ("statsmodels", "seaborn", "flaml", "mlflow", "segment") if name in sys.modules]
left = [name for name in sys.modules if name.partition(".")[0] == "nannyml"]
import nannyml
whole = [nannyml.CBPE.__name__, nannyml.plots.Figure.__module__, nannyml.usage_logging.UsageEvent.__module__]
print(json.dumps([names, heavy, left, whole]))
"""


@pytest.mark.slow
def test_estimators_load_without_what_draws_tunes_or_reports_and_leave_the_library_whole() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    names, heavy, left, whole = json.loads(ran.stdout.splitlines()[-1])
    assert names == ["CBPE", "DLE"]
    assert heavy == []
    assert left == []
    assert whole == ["CBPE", "nannyml.plots.components.figure", "nannyml.usage_logging"]


def test_other_threads_may_import_while_the_library_is_loaded() -> None:
    stop = threading.Event()
    imported: list[str] = []

    def import_on() -> None:
        while not stop.wait(0.0001) and len(imported) < 50_000:
            imported.append(f"of_another_thread_{len(imported)}")
            sys.modules[imported[-1]] = ModuleType(imported[-1])

    interval, thread = sys.getswitchinterval(), threading.Thread(target=import_on)
    thread.start()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(200):
            with loading._alone():
                pass
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
        for name in imported:
            del sys.modules[name]
