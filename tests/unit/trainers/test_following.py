"""Reading metrics.jsonl along with a trainer that continues from an earlier checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from jobs.trainers.contract import METRICS, BadResult
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


def test_what_a_diverging_program_writes_can_be_kept_as_json(tmp_path: Path) -> None:
    lines = (
        '{"step": 1, "epoch": 0.5, "metrics": {"loss": NaN, "grad": Infinity, "auc": 0.5}, "host": ["a\\ud800"]}\n'
        '{"step": 2, "steps": 1e999, "time": NaN, "metrics": {"loss": 1e999}}\n'
    )
    (tmp_path / METRICS).write_text(lines)
    assert MetricsFile(tmp_path).read() == [
        {"step": 1, "epoch": 0.5, "metrics": {"auc": 0.5}}, {"step": 2, "metrics": {}},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"step": 1, "metrics": {"lo\\u0000ss": 1}}', "whose name is no text of 100 characters"),
        ('{"step": 1, "metrics": {"\\ud800": 1}}', "whose name is no text of 100 characters"),
        ('{"step": 1, "epoch": NaN, "metrics": {}}', "has no number for epoch"),
        (json.dumps({"step": 1, "metrics": {f"m{one}": 1 for one in range(201)}}), "has more than 200 metrics"),
        (json.dumps({"step": 10**400, "metrics": {}}), "has no number for step"),
    ],
)  # fmt: skip
def test_a_line_that_nobody_could_draw_is_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / METRICS).write_text(line + "\n")
    with pytest.raises(BadResult, match=said):
        MetricsFile(tmp_path).read()


def test_more_than_is_read_at_once_at_the_end_is_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.trainers.following.AT_ONCE", 100)
    path, metrics = tmp_path / METRICS, MetricsFile(tmp_path)
    add(path, range(10))
    told: list[int] = []
    while more := metrics.read(last=True):
        told += [point["step"] for point in more]
    assert told == list(range(10))
    path.write_text(path.read_text() + '{"step": 10, "met')
    with pytest.raises(BadResult, match="line 11 is cut off"):
        metrics.read(last=True)
