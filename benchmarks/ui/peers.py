"""The nearest screens of others, served beside ours: `python -m benchmarks.ui.peers NAME FOLDER` fills one."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from benchmarks.ui.served import Site, free_port, run_module, serving

SNAPSHOTS: Final = 100
REGISTERED: Final = 500
BARE: Final = Path(__file__).with_name("bare.py")
HOST: Final = "127.0.0.1"


@contextmanager
def bare_streamlit(folder: Path) -> Iterator[Site]:
    """`streamlit run` of one page with one chart, as it comes: in a folder without a configuration."""
    port = free_port()
    command = [
        sys.executable, "-m", "streamlit", "run", str(BARE), "--server.port", str(port), "--server.address", HOST,
        "--server.headless", "true", "--browser.gatherUsageStats", "false",
    ]  # fmt: skip
    with serving(command, port=port, folder=folder, ready="/_stcore/health", at=folder) as site:
        yield site


@contextmanager
def evidently_ui(folder: Path) -> Iterator[tuple[Site, str]]:
    """Evidently's UI on a workspace with snapshots, and its project's id."""
    project = run_module("benchmarks.ui.peers", "evidently", str(folder)).split()[-1]
    port = free_port()
    command = [
        sys.executable, "-m", "evidently.cli", "ui", "--workspace", str(folder / "workspace"), "--host", HOST,
        "--port", str(port),
    ]  # fmt: skip
    with serving(command, port=port, folder=folder, ready="/api/version") as site:
        yield site, project


@contextmanager
def mlflow_ui(folder: Path) -> Iterator[Site]:
    """MLflow's UI on a registry of models."""
    run_module("benchmarks.ui.peers", "mlflow", str(folder))
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
        "--host", HOST, "--port", str(port),
    ]  # fmt: skip
    with serving(command, port=port, folder=folder, ready="/health") as site:
        yield site


def fill_evidently(folder: Path) -> str:
    """A project with a snapshot a day of ten columns, and one plot of them on its dashboard."""
    import numpy as np
    import pandas as pd
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import line_plot_panel
    from evidently.ui.workspace import Workspace

    draw = np.random.default_rng(1)

    def rows(drifted: int = 0) -> Dataset:
        return Dataset.from_pandas(
            pd.DataFrame({f"column {one}": draw.normal(float(one < drifted), size=500) for one in range(10)})
        )

    workspace = Workspace.create(str(folder / "workspace"))
    project = workspace.create_project("a model")
    reference, day = rows(), datetime(2026, 1, 1, tzinfo=UTC)
    for place in range(SNAPSHOTS):
        made = Report([DataDriftPreset()]).run(
            rows(place % 6), reference, timestamp=day + timedelta(days=place)
        )
        workspace.add_run(project.id, made, include_data=False)
    project.dashboard.add_panel(
        line_plot_panel(
            title="Drifted columns",
            values=[
                PanelMetric(
                    metric="evidently:metric_v2:DriftedColumnsCount",
                    legend="share",
                    metric_labels={"value_type": "share"},
                )
            ],
        )
    )
    return str(project.id)


def fill_mlflow(folder: Path) -> None:
    """Registered models with a version each."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    for place in range(REGISTERED):
        name = f"model-{place:03d}"
        client.create_registered_model(name, description="a model")
        client.create_model_version(name, source=(folder / "nothing").as_uri())


def main(name: str, folder: str) -> None:
    if name == "evidently":
        print(fill_evidently(Path(folder)))
    else:
        fill_mlflow(Path(folder))
        print(json.dumps({"models": REGISTERED}))


if __name__ == "__main__":
    main(*sys.argv[1:])
