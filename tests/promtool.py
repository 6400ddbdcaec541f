"""Rules of Prometheus, tried by its own tool on series made for the purpose."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.requirements import require


@dataclass(frozen=True)
class Asked:
    """An expression at a time (`3h20m`) and the values it must have, without labels; none where it is empty."""

    at: str
    expr: str
    values: Sequence[float] = ()


@dataclass(frozen=True)
class Scene:
    """Series by their selector, and what is asked of what the rules make of them. One sample a minute."""

    name: str
    series: Mapping[str, str]
    asked: Sequence[Asked] = ()
    alerts: Sequence[Mapping[str, Any]] = ()  # promtool's alert_rule_test


def counter(*parts: tuple[int, float]) -> str:
    """A counter's samples: (minutes, increase in each), one part after the other."""
    value, written = 0.0, ["0"]
    for minutes, step in parts:
        written.append(f"{value + step:g}+{step:g}x{minutes - 1}")
        value += minutes * step
    return " ".join(written)


def gone(minutes: int) -> str:
    """A series that is no longer there."""
    return f"stale _x{minutes - 1}"


def firing(severity: str, **labels: str) -> str:
    """How many alerts fire: of our rules, or of others by their labels."""
    chosen = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f'count(ALERTS{{alertstate="firing",severity="{severity}"{"," if chosen else ""}{chosen}}}) or vector(0)'


def check_rules(folder: Path, text: str, *, name: str = "rules.yml") -> Path:
    """Write rules and let promtool check them."""
    path = folder / name
    path.write_text(text)
    done = subprocess.run(
        [require("promtool"), "check", "rules", "--lint=all", "--lint-fatal", path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def run_scenes(folder: Path, rules: Sequence[Path], scenes: Sequence[Scene]) -> None:
    """`promtool test rules` on every scene; fails with what it says.

    The order of the groups is given: without it each run has another, and an alert that is looked at before what it
    compares was recorded is a minute late.
    """
    groups = [group["name"] for one in rules for group in yaml.safe_load(one.read_text())["groups"]]
    tests = [
        {
            "name": scene.name,
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in scene.series.items()],
            "promql_expr_test": [
                {
                    "expr": one.expr, "eval_time": one.at,
                    "exp_samples": [{"labels": "{}", "value": value} for value in one.values],
                }
                for one in scene.asked
            ],
            "alert_rule_test": [dict(one) for one in scene.alerts],
        }
        for scene in scenes
    ]  # fmt: skip
    path = folder / "tests.yml"
    document = {
        "rule_files": [str(one) for one in rules],
        "evaluation_interval": "1m",
        "group_eval_order": groups,
        "tests": tests,
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    done = subprocess.run(
        [require("promtool"), "test", "rules", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
