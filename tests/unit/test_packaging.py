"""What a fresh machine, a container host and CI rely on, checked with the tools they use."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from backend.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
OURS = "warrant"


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return document


def our_services() -> dict[str, dict[str, Any]]:
    return {name: each for name, each in compose()["services"].items() if each["image"].startswith(OURS)}


def pins(name: str) -> list[str]:
    lines = (ROOT / name).read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def run(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False, **options)


# --- what is installed


@pytest.mark.parametrize("name", ["", "-dev", "-gpu", "-mlflow", "-spark", "-torch"])
def test_every_requirement_is_pinned_to_one_version(name: str) -> None:
    found = [Requirement(line) for line in pins(f"requirements{name}.txt")]
    assert found
    loose = [str(each) for each in found if [s.operator for s in each.specifier] != ["=="] or each.url]
    assert not loose


def test_torch_is_only_in_the_requirements_of_a_training_worker() -> None:
    def names(file: str) -> set[str]:
        return {Requirement(line).name.lower() for line in pins(file)}

    assert "torch" in names("requirements-gpu.txt")
    assert not {"torch", "lightning", "pyspark"} & (names("requirements.txt") | names("requirements-dev.txt"))


def test_the_pins_satisfy_what_we_ask_for() -> None:
    pinned = {
        (each := Requirement(line)).name.lower().replace("_", "-"): next(iter(each.specifier)).version
        for line in pins("requirements.txt")
    }
    asked = [Requirement(line.split(" #")[0]) for line in pins("requirements.in")]
    wrong = [str(each) for each in asked if not each.specifier.contains(pinned[each.name.lower()])]
    assert not wrong, "run `make lock`"


def test_tests_run_on_the_versions_that_are_shipped() -> None:
    shipped = {line.split("==")[0]: line for line in pins("requirements.txt")}
    differing = [
        line for line in pins("requirements-dev.txt") if shipped.get(line.split("==")[0], line) != line
    ]
    assert not differing, "run `make lock`"


def test_this_environment_holds_the_pinned_versions() -> None:
    from importlib.metadata import version

    wrong = []
    for each in map(Requirement, [*pins("requirements.txt"), *pins("requirements-dev.txt")]):
        if each.marker is None or each.marker.evaluate():
            wrong += [] if version(each.name) in each.specifier else [f"{each}: {version(each.name)}"]
    assert not wrong, "run `make setup-dev`"


# --- make


def test_make_alone_lists_every_command() -> None:
    listed = run("make").stdout
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^  make {target} +\S", listed, re.MULTILINE), f"{target} has no description"


def test_the_two_halves_of_the_tests_leave_none_out_and_repeat_none() -> None:
    def marked(*argv: str) -> str:
        plan = run("make", "--dry-run", *argv).stdout
        command = next(line for line in plan.splitlines() if " pytest " in line)
        words = shlex.split(command)
        return words[len(words) - 1 - words[::-1].index("-m") + 1]

    fast, rest, everything = marked("test"), marked("test-all", "SKIP_FAST=1"), marked("test-all")
    for slow in (False, True):
        for chaos in (False, True):
            values = {"slow": slow, "chaos": chaos}
            assert eval(fast, values) != eval(rest, values)  # noqa: S307 - our own marker expressions
    assert everything == "pytest", "a marker expression leaves something out"


def test_set_up_refuses_a_python_the_packages_cannot_run_on() -> None:
    code = "import install; install.check_version((3, 13))"
    refused = run(sys.executable, "-c", code, env={**os.environ, "PYTHONPATH": str(ROOT / "deploy")})
    assert refused.returncode == 1
    assert "Warrant needs Python 3.11 or 3.12" in refused.stderr
    assert "make run PYTHON=" in refused.stderr


def test_set_up_does_only_what_changed() -> None:
    code = """
import install
files = ["requirements.txt", "requirements-dev.txt"]
done = {"root": str(install.ROOT), "installer": install.UV}
done |= {name: install.fingerprint(name) for name in [*files, "pyproject.toml"]}
for stamp in (done, done | {"requirements-dev.txt": "another"}, done | {"pyproject.toml": "another"}, {}):
    print([stage.title.split()[-1] for stage in install.stages_needed(files, stamp)])
"""
    shown = run(sys.executable, "-c", code, env={**os.environ, "PYTHONPATH": str(ROOT / "deploy")})
    nothing, tests, project, everything = map(ast.literal_eval, shown.stdout.splitlines())
    assert nothing == []
    assert tests == ["requirements-dev.txt"]
    assert project == ["Warrant"]
    assert {"requirements.txt", "requirements-dev.txt", "installer", "Warrant"} < set(everything)


# --- containers


def test_the_dockerfile_has_no_finding() -> None:
    found = run(str(BIN / "hadolint"), "Dockerfile")
    assert (found.returncode, found.stdout) == (0, "")


def test_the_image_does_not_run_as_root_and_brings_no_cache() -> None:
    text = (ROOT / "Dockerfile").read_text()
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users
    assert users[-1].split(":")[0] not in ("root", "0")
    assert "--no-cache-dir" in text
    assert re.search(r"^HEALTHCHECK ", text, re.MULTILINE)


def test_the_compose_file_follows_the_published_schema(tmp_path: Path) -> None:
    def validate(path: Path) -> subprocess.CompletedProcess[str]:
        check = str(BIN / "check-jsonschema")
        return run(check, "--builtin-schema", "vendor.compose-spec", str(path))

    assert validate(ROOT / "docker-compose.yml").returncode == 0
    wrong = compose()
    wrong["services"]["console"]["prots"] = []
    (tmp_path / "docker-compose.yml").write_text(yaml.safe_dump(wrong))
    assert validate(tmp_path / "docker-compose.yml").returncode == 1


def test_the_compose_file_starts_the_production_shape() -> None:
    services = compose()["services"]
    assert {"console", "worker", "gpu-worker", "gateway", "postgres", "mlflow", "prometheus"} <= set(services)
    for name, service in services.items():
        assert "healthcheck" in service or service.get("build"), f"{name} has no health check"
        assert ":latest" not in service["image"]
        for needed, condition in (service.get("depends_on") or {}).items():
            assert needed in services
            if condition["condition"] == "service_healthy":
                assert not services[needed]["healthcheck"].get("disable")


def test_no_secret_is_committed() -> None:
    for name, service in compose()["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", variable) and not variable.endswith("_FILE"):
                assert re.fullmatch(r"\$\{\w+(:-|:\?[^}]*)\}", value), f"{name}: {variable}"
            if "://" in value and "@" in value:
                assert re.search(r"://\w+:\$\{\w+:\?[^}]+\}@", value), f"{name}: {variable}"


def test_containers_set_only_settings_that_exist() -> None:
    known = set(variables())
    for name, service in our_services().items():
        given = {each for each in service.get("environment") or {} if each.startswith("WARRANT_")}
        assert given <= known, name
    assert set(re.findall(r"\bWARRANT_[A-Z_]+\b", (ROOT / "Dockerfile").read_text())) <= known


def refused_command(words: list[str]) -> str | None:
    """Why `warrant WORDS` is no command of ours; None where it is one."""
    from typer.main import get_command

    from backend.cli import app

    command: Any = get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        if rest[0] not in command.commands:
            return f"warrant {' '.join(words)}"
        command = command.commands[rest.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    unknown = [word for word in rest if word.startswith("--") and word not in options]
    return f"warrant {' '.join(words)}" if unknown else None


def settings_given(environment: dict[str, Any]) -> set[str]:
    """Of Warrant's variables in an environment those that are no setting, nor the file of one."""
    known = set(variables())
    given = {each for each in environment if each.startswith("WARRANT_")}
    return {each for each in given if each not in known and each.removesuffix("_FILE") not in known}


def test_every_command_of_the_containers_exists() -> None:
    commands = [each["command"] for each in our_services().values() if "entrypoint" not in each]
    shell = yaml.safe_load(re.findall(r"^CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1])
    assert [refused_command(words) for words in [*commands, shell]] == [None] * (len(commands) + 1)
    assert refused_command(["worker", "--queue", "a"]) and refused_command(["workers"])


def test_prometheus_scrapes_services_that_exist() -> None:
    services, scraped = compose()["services"], yaml.safe_load((ROOT / "deploy/prometheus.yml").read_text())
    ports = {"console": Settings().port, "gateway": Settings().gateway_port}
    for job in scraped["scrape_configs"]:
        for target in job["static_configs"][0]["targets"]:
            host, port = target.split(":")
            assert host in services
            assert int(port) == ports[host]


# --- CI and docs


def test_ci_runs_every_check_and_allows_no_skip() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text()
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in text
    assert "WARRANT_REQUIRE_ALL=1" in text
    assert re.findall(r"^(?:make|tests) (.+)$", text, re.MULTILINE) == [
        "setup-spark", "setup-torch", "check", "test", "test-all SKIP_FAST=1",
    ]  # fmt: skip
    assert run("bash", "-n", str(script)).returncode == 0


def test_no_text_of_the_product_says_that_somebody_obeys_a_law() -> None:
    """What the record shows is said; whether that is enough is decided by people."""
    claimed = re.compile("compl" + "iant", re.IGNORECASE)
    folders = ("app", "backend", "jobs", "pages", "tools", "docs", "models_cards", "deploy", "benchmarks")
    kinds = {".py", ".md", ".yaml", ".yml", ".html", ".css", ".js", ".toml", ".json", ".txt", ".svg"}
    files = [ROOT / "README.md", ROOT / "CHANGELOG.md"] + [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in kinds and path.is_file()
    ]
    assert len(files) > 500
    said = [str(path.relative_to(ROOT)) for path in files if claimed.search(path.read_text(errors="replace"))]
    assert said == []


def test_times_on_the_record_have_seconds() -> None:
    """But for the bounds of windows, which lie on whole minutes."""
    folders = (
        "governance", "holds", "data_rights", "assurance", "audit", "controls", "cards", "alerting", "notifications",
        "commands",
    )  # fmt: skip
    minutes = re.compile(r"%H:%M(?!:%S)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [
            *(path for folder in folders for path in sorted((ROOT / "backend" / folder).rglob("*.py"))),
            *(ROOT / "app").glob("phone_*.py"),
        ]
        if path.parent.name != "gates" and path.name != "stored_points.py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if minutes.search(line)
    ]
    assert found == []


def test_commands_write_times_for_people_as_the_record_has_them() -> None:
    raw = re.compile(r"\{[a-z]+(?:\['\w+'\])*\['(?:\w+_at|at|as_of|kept_until|bake_until)'\]\}")
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted((ROOT / "backend" / "commands").glob("*.py"))
        for line in path.read_text().splitlines()
        if raw.search(line)
    ]
    assert found == []


def variables() -> dict[str, str]:
    """Environment variable of every setting, and its description."""
    prefix = Settings.model_config["env_prefix"]
    return {
        str(field.validation_alias or f"{prefix}{name.upper()}"): field.description or ""
        for name, field in Settings.model_fields.items()
    }


def test_the_settings_page_lists_every_setting_with_its_default() -> None:
    table = (ROOT / "docs" / "operations.md").read_text().split("## Settings")[1].split("\n## ")[0]
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| (.*?) \|", table, re.MULTILINE)}
    expected = {}
    for variable, field in zip(variables(), Settings.model_fields.values(), strict=True):
        expected[variable] = "none" if field.default in (None, "") else f"`{field.default}`"
    assert rows == expected


def test_pages_import_nothing_of_the_layers_below_the_console() -> None:
    pages = sorted((ROOT / "pages").glob("*.py"))
    assert pages
    for page in pages:
        modules = set()
        for node in ast.walk(ast.parse(page.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add((node.module or "").split(".")[0])
        below = modules & {"jobs", "sqlalchemy", "mlflow", "evidently", "nannyml", "shap", "torch", "duckdb"}
        assert not below, f"{page.name} imports {', '.join(below)}"


def test_dependencies_point_one_way() -> None:
    # A process of its own: import-linter reads the contracts that `make check` reads.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    checked = run(str(BIN / "lint-imports"), "--no-cache", env=environment)
    assert checked.returncode == 0, checked.stdout
