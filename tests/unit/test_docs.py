"""The documentation says what the code does: made parts, named files and tests, links, examples."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from backend.api.routes.changes import ChangeRequest, DecisionRequest, ReasonedRequest
from backend.api.routes.observations import parse_body
from backend.governance.standing import WORDS
from backend.monitoring.columns import parse_spec
from backend.observations.validation import label_batch, prediction_batch
from tests.documentation import BLOCK, DOCS, MADE, ROOT, execution_steps, rewritten

NOW = datetime(2026, 6, 1, tzinfo=UTC)
PLACES = ("app/", "backend/", "jobs/", "pages/", "tests/", "docs/", "deploy/", "models_cards/", "benchmarks/")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def each_page() -> list[Any]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in DOCS]


@pytest.mark.parametrize("path", each_page())
def test_parts_made_from_the_code_are_as_the_code_is(path: Path) -> None:
    text = path.read_text()
    assert rewritten(text) == text, "run: .venv/bin/python -m tests.documentation"


def test_every_made_part_is_on_one_page() -> None:
    shown = [found[1] for path in DOCS for found in BLOCK.finditer(path.read_text())]
    assert sorted(shown) == sorted(MADE)


@pytest.mark.parametrize("path", each_page())
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("path", each_page())
def test_files_and_tests_that_are_named_exist(path: Path) -> None:
    for named in re.findall(r"`([^`\s]+)`", path.read_text()):
        if not named.startswith(PLACES) or "*" in named:
            continue
        file, _, test = named.partition("::")
        assert (ROOT / file).exists(), named
        if test:
            assert f"def {test}(" in (ROOT / file).read_text(), named


def test_every_invariant_names_a_test() -> None:
    rows = re.findall(
        r"^\| (\d+) .*\| (.*) \|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
    )
    assert [int(number) for number, _ in rows] == list(range(1, 14))
    assert all("::test_" in tests for _, tests in rows)


def test_the_page_of_changes_lists_the_steps_of_the_execution_in_order() -> None:
    text = (ROOT / "docs" / "changes.md").read_text().partition("## Execution")[2]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == execution_steps()


def test_the_page_of_changes_lists_what_an_approval_is_bound_to() -> None:
    text = (ROOT / "docs" / "changes.md").read_text()
    bound = text.partition("## What an approval is bound to")[2].partition("##")[0]
    listed = set(re.findall(r"^\| `([\w ]+)` \|", bound, re.MULTILINE))
    assert listed == {*WORDS, "evidence", "gate results", "policy document", "wanted"}


def test_the_page_of_monitoring_lists_every_key_of_a_spec() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    table = page[page.index("| key | meaning | default |") : page.index("## Windows")]
    listed = {
        key
        for cell in re.findall(r"^\| (`[^|]*`) \|", table, re.MULTILINE)
        for key in re.findall(r"\w+", cell)
    }
    source = (ROOT / "backend" / "monitoring" / "columns.py").read_text()
    source = source[source.index("def parse_spec") :]
    assert listed == set(re.findall(r'mapping(?:\.get\(|, )"(\w+)"', source))


def test_images_are_small_enough_to_read_over_a_telephone() -> None:
    images = sorted((ROOT / "docs" / "images").glob("*"))
    assert images
    assert {image.name: image.stat().st_size for image in images if image.stat().st_size >= 300_000} == {}


def bodies_of_examples() -> dict[str, list[dict[str, Any]]]:
    """The JSON bodies of the curl examples of docs/api.md, by the last part of their address."""
    found: dict[str, list[dict[str, Any]]] = {}
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL):
        words = shlex.split(block.replace("\\\n", " "), comments=True)
        address = ""
        for word, following in zip(words, [*words[1:], ""], strict=True):
            if word.startswith("$API/"):
                address = word.rsplit("/", 1)[1]
            elif word == "-d":
                found.setdefault(address, []).append(json.loads(following))
    return found


def test_the_examples_of_predictions_and_labels_are_accepted() -> None:
    bodies = bodies_of_examples()
    spec = parse_spec(yaml.safe_load((ROOT / "jobs" / "demo" / "specs" / "flight-delay.yaml").read_text()))
    features = {column.name: column.kind for column in spec.features}
    sent = json.dumps(bodies["predictions"][0]).encode()
    predictions = prediction_batch(features, parse_body("application/json", sent, "predictions"), now=NOW)
    sent = json.dumps(bodies["labels"][0]).encode()
    labels = label_batch(parse_body("application/json", sent, "labels"), now=NOW)
    assert labels.column("prediction_id").to_pylist() == predictions.column("prediction_id").to_pylist()
    assert labels.column("status").to_pylist() == ["known", "will_not_come"]


def test_the_examples_of_changes_are_accepted() -> None:
    bodies = bodies_of_examples()
    assert ChangeRequest(**bodies["changes"][0]).kind == "rollback"
    assert DecisionRequest(**bodies["decisions"][0]).verdict == "approve"
    assert ReasonedRequest(**bodies["cancellation"][0]).reason
    for address in ("changes", "decisions", "cancellation"):
        (body,) = bodies[address]
        model = {"changes": ChangeRequest, "decisions": DecisionRequest, "cancellation": ReasonedRequest}[
            address
        ]
        assert set(body) <= set(model.model_fields), address


@pytest.mark.parametrize("path", each_page())
def test_commands_that_are_named_exist(path: Path) -> None:
    known = re.findall(r"`(warrant [a-z -]+)`", MADE["commands"]())
    groups = {command.split()[1] for command in known if len(command.split()) == 3}
    for words in re.findall(r"(?:`|\.venv/bin/)(warrant [a-z][a-z -]*)", path.read_text()):
        parts = words.split()
        if parts[1] in groups and len(parts) == 2:
            continue
        assert " ".join(parts[: 3 if parts[1] in groups else 2]) in known, words


def test_make_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in DOCS:
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", path.read_text(), re.MULTILINE):
            assert target in targets, f"{path.name}: make {target}"
