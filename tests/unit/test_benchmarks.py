"""Figures keep their contract, and the page shows those that were measured last."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.nav import PAGES as ROWS
from benchmarks.__main__ import BENCHMARKS, RESULTS, main, run
from benchmarks.accepted_check import Faults
from benchmarks.endurance import Memory, memory_of
from benchmarks.figures import figure, not_measured, percentile
from benchmarks.report import PAGE, as_table, with_table, write_table
from benchmarks.ui.pages import LIGHT, LOOKS, content_table
from benchmarks.visits import CLIENTS, PAGES, PEOPLE

KEYS = {"name", "value", "unit", "peer", "peer_value", "ratio", "target", "met", "rows", "machine"}


def test_a_figure_says_whether_its_target_is_met_whichever_way_is_better() -> None:
    assert figure("t", 4.9, "s", target=5)["met"] is True
    assert figure("t", 5.1, "s", target=5)["met"] is False
    assert figure("r", 99_999, "rows/s", target=100_000, more_is_better=True)["met"] is False
    assert figure("r", 100_001, "rows/s", target=100_000, more_is_better=True)["met"] is True
    assert figure("r", 1, "rows/s")["met"] is None
    assert figure("r", 50, "rows/s", peer="p", peer_value=200)["ratio"] == 0.25
    assert set(figure("r", 50, "ms")) >= KEYS


def test_what_could_not_be_measured_is_a_figure_with_the_reason() -> None:
    (missing,) = not_measured("t", "s", "there is no demo", target=5)
    assert (missing["value"], missing["met"], missing["reason"]) == (None, None, "there is no demo")
    assert "t was not measured: there is no demo" in as_table([missing])


@pytest.mark.parametrize("name", ["start", "ingest_http", "gateway", "pages", "drill", "people", "endurance"])
def test_without_a_loaded_demo_the_figures_say_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARRANT_HOME", str(tmp_path / "nothing"))
    found = run(name)
    assert found
    assert all(one["met"] is None and "make run" in one["reason"] for one in found)


def test_a_benchmark_that_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    (failed,) = run("no_such_module")
    assert failed["value"] is None
    assert "ModuleNotFoundError" in failed["reason"]
    assert main(["no_such_module"]) == 2
    assert "there are ingest" in capsys.readouterr().err


def test_percentiles_are_linear_between_neighbours() -> None:
    assert percentile([3, 1, 2], 0.5) == 2
    assert percentile(list(range(11)), 0.95) == pytest.approx(9.5)
    assert percentile([7.0], 0.95) == 7


def test_the_page_shows_the_results_that_are_kept(tmp_path: Path) -> None:
    figures = json.loads(RESULTS.read_text())
    assert {one["benchmark"] for one in figures} <= set(BENCHMARKS)
    assert all(set(one) >= KEYS for one in figures)
    text = PAGE.read_text()
    assert with_table(text, figures, BENCHMARKS) == text, "run `make bench`, which writes both"
    copy = tmp_path / "page.md"
    copy.write_text(text)
    write_table([figure("other", 1, "ms")], page=copy)
    assert as_table(figures) not in copy.read_text()


def test_the_page_says_which_benchmarks_have_no_figure() -> None:
    text = with_table(
        PAGE.read_text(), [{**figure("a", 1, "ms"), "benchmark": "pages"}], ["pages", "trainers"]
    )
    assert "- trainers: no figure is kept; `make bench NAME=trainers` measures it\n" in text
    assert "- pages: no figure" not in text


def test_the_page_says_when_a_page_has_its_content() -> None:
    begin, end = "<!-- content: begin -->\n", "<!-- content: end -->"
    assert PAGE.read_text().split(begin)[1].split(end)[0] == content_table()
    paths = {row.path for row in ROWS} | {""}
    assert {look.path.split("?")[0].strip("/") for look in LOOKS} <= paths
    assert set(LIGHT) <= set(LOOKS)


def test_every_benchmark_is_explained_on_the_page() -> None:
    text = PAGE.read_text()
    assert all(f"| `{name}` |" in text for name in BENCHMARKS)


def test_what_is_lost_and_what_is_doubled_is_counted_apart() -> None:
    faults = Faults()
    faults.compare("note", ["a", "b", "c"], ["a", "c", "c", "never answered"])
    assert (faults.lost, faults.doubled) == (1, 1)
    assert faults.words == ["lost: note b", "2 times: note c"]


def test_growth_is_of_what_was_there_after_the_warm_up() -> None:
    memory = Memory({"console": [(t, 100 if t < 10 else 200 + t, 0) for t in range(0, 60, 5)]})
    per_cent, at_end = memory.growth("console", 10)
    assert (round(per_cent, 1), at_end) == (16.3, 250)


def test_everybody_looks_at_pages_that_there_are_and_may_be_seen() -> None:
    from backend.identity.roles import Role, permissions_of

    assert sum(PEOPLE.values()) == 50
    assert sum(CLIENTS.values()) == 20
    needs = {row.path: row.needs for row in ROWS}
    for role in PEOPLE:
        assert {needs[page] for page in PAGES[role]} <= permissions_of(frozenset({Role(role)}))


def test_memory_that_is_a_processs_own_is_a_part_of_what_is_resident() -> None:
    own, resident = memory_of(os.getpid())
    assert 0 < own <= resident
