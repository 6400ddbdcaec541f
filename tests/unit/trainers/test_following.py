"""Reading metrics.jsonl along with a trainer that continues from an earlier checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from jobs.trainers.contract import METRICS
from jobs.trainers.following import MetricsFile
from jobs.trainers.run import _forget_after


def add(path: Path, steps: Iterable[int], **more: object) -> None:
    with path.open("a") as file:
        file.writelines(json.dumps({"step": step, "metrics": {"loss": 0.5}, **more}) + "\n" for step in steps)


def steps(metrics: MetricsFile) -> list[int]:
    return [point["step"] for point in metrics.read()]


@pytest.mark.parametrize("grown", [range(6, 9), range(6, 40)])
def test_lines_that_a_resumed_trainer_writes_again_are_told_however_far_it_came(
    tmp_path: Path, grown: range
) -> None:
    path, metrics = tmp_path / METRICS, MetricsFile(tmp_path)
    add(path, range(12), epoch=0.25)
    metrics.skip()
    _forget_after(path, 5)
    add(path, grown)
    assert steps(metrics) == list(grown)
    assert steps(metrics) == []
    add(path, [90])
    assert steps(metrics) == [90]


def test_a_file_that_is_shortened_in_place_is_read_on_from_there(tmp_path: Path) -> None:
    path, metrics = tmp_path / METRICS, MetricsFile(tmp_path)
    add(path, range(9))
    assert steps(metrics) == list(range(9))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
    assert steps(metrics) == []
    add(path, [4, 5], epoch=1.0)
    assert steps(metrics) == [4, 5]


def test_what_a_killed_writer_left_of_a_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    add(path, range(3))
    path.write_text(path.read_text() + '{"step": 3, "met')
    MetricsFile(tmp_path).skip()
    assert path.read_text().endswith("}\n")
    path.write_text(path.read_text() + '{"step": 3, "met')
    _forget_after(path, 7)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1, 2]
