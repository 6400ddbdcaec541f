"""The parts of the documentation that are made from the code: between `<!-- made: NAME -->` and `<!-- end -->`.

`python -m tests.documentation` writes them again; tests/unit/test_docs.py fails while one of them lags.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

from pydantic import BaseModel

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK: Final = re.compile(r"(?<=<!-- made: )(\w+)( -->\n)(.*?)(?=<!-- end -->)", re.DOTALL)


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def permissions() -> str:
    from backend.identity.roles import GRANTS, Permission, Role

    roles = [role for role in Role if role is not Role.SYSTEM]
    rows = [
        [f"`{permission}`", *("yes" if permission in GRANTS[role] else "" for role in roles)]
        for permission in Permission
    ]
    return table(["permission", *(f"`{role}`" for role in roles)], rows)


def actions() -> str:
    from backend.audit.actions import Action

    scopes: dict[str, list[str]] = {}
    for action in Action:
        scope, _, rest = action.partition(":")
        scopes.setdefault(scope, []).append(f"`{rest}`")
    return table(["scope", "actions"], [[f"`{scope}`", ", ".join(names)] for scope, names in scopes.items()])


def compared() -> str:
    from backend.audit.compared import COMPARED

    rows = [
        [
            f"`{one.table}`",
            ", ".join(f"`{name}`" for name in one.columns),
            one.action,
            one.at_use or "-",
            one.check,
        ]
        for one in COMPARED
    ]
    return table(["table", "columns", "entries", "also asked", "in"], rows)


def believed() -> str:
    from backend.audit.compared import COMPARED
    from backend.database.tables import Base

    held: dict[str, set[str]] = {}
    for one in COMPARED:
        held.setdefault(one.table, set()).update(one.columns)
    tables = sorted(Base.metadata.tables.values(), key=lambda one: one.name)
    rows = [
        [
            f"`{one.name}`",
            ", ".join(f"`{each.name}`" for each in one.columns if each.name not in held[one.name]),
        ]
        for one in tables
        if one.name in held and held[one.name] != {each.name for each in one.columns}
    ]
    others = ", ".join(f"`{one.name}`" for one in tables if one.name not in held)
    return (
        table(["table", "columns that are believed"], rows)
        + f"\nOf these tables all is believed: {others}.\n"
    )


def jobs() -> str:
    from backend.queue import JOBS
    from jobs.schedules import SCHEDULES

    every = {schedule.job.name: f"every {schedule.every_s} s, where due" for schedule in SCHEDULES}
    rows = [
        [f"`{job.name}`", f"`{job.queue}`", job.title, every.get(job.name, "when asked for"),
         "yes" if job.retryable else "no"]
        for job in JOBS.values()
    ]  # fmt: skip
    return table(["job", "queue", "what it does", "runs", "can be retried"], rows)


def pages() -> str:
    from app.nav import PAGES

    rows = [
        ["`/`" if page.default else f"`/{page.path}`", page.title, f"`{page.needs}`",
         "in the menu" if page.in_menu else "by links"]
        for page in PAGES
    ]  # fmt: skip
    return table(["address", "page", "needs", "reached"], rows)


def parity() -> str:
    from backend.commands.parity import COMMANDS, WITHOUT

    reasons: dict[str, list[str]] = {}
    for operation, reason in WITHOUT.items():
        reasons.setdefault(reason, []).append(f"`{operation}`")
    rows = [[f"`{operation}`", f"`warrant {command}`"] for operation, command in COMMANDS.items()]
    without = "".join(f"- {reason}: {', '.join(one)}\n" for reason, one in reasons.items())
    return table(["operation", "command"], rows) + "\nWithout a command of their own:\n\n" + without


def routes() -> str:
    from backend.api.app import create_api

    rows = [
        [
            f"`{method.upper()}`",
            f"`{path}`",
            described.get("description", described["summary"]).split("\n")[0],
        ]
        for path, methods in create_api().openapi()["paths"].items()
        for method, described in methods.items()
    ]
    return table(
        ["method", "path under `/api/v1`", "what it does"], sorted(rows, key=lambda row: row[1].strip("`"))
    )


def errors() -> str:
    from backend import errors as tree

    kinds = [
        kind for kind in vars(tree).values() if isinstance(kind, type) and kind.__module__ == tree.__name__
    ]
    rows = [[f"`{kind.status}`", f"`{kind.__name__}`", kind.title] for kind in kinds if kind.status != 500]
    return table(["status", "error", "title"], sorted(rows))


def commands() -> str:
    import typer

    from backend.cli import app

    rows: list[list[str]] = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        for full, one in (
            [(name, command)] if inner is None else [(f"{name} {k}", v) for k, v in inner.items()]
        ):
            rows.append([f"`warrant {full}`", (one.help or "").split("\n")[0]])
    return table(["command", "what it does"], rows)


def faults() -> str:
    from jobs.demo.faults import FAULTS

    return table(["fault", "what happens"], [[f"`{one.name}`", one.description] for one in FAULTS.values()])


def accounts() -> str:
    from backend.identity.demo import ACCOUNTS

    return table(
        ["user name", "person", "role"], [[f"`{u}`", name, f"`{role}`"] for u, name, role in ACCOUNTS]
    )


def metrics() -> str:
    from backend.monitoring.performance import DEFINITIONS

    rows = [
        [f"`{one.name}`", one.title, ", ".join(one.tasks), one.formula, one.unit,
         {True: "lower", False: "higher", None: "neither"}[one.lower_is_better], one.interval,
         "" if one.margin is None else f"{one.margin:.0%} of it" if one.relative else f"{one.margin:g}"]
        for one in DEFINITIONS.values()
    ]  # fmt: skip
    return table(
        ["name", "metric", "tasks", "what it is", "unit", "better", "95 % interval", "practical margin"], rows
    )


def estimates() -> str:
    from backend.monitoring.estimation import METRICS_OF
    from backend.monitoring.performance import PRIMARY

    by = {"binary": "CBPE", "multiclass": "CBPE, with a probability for each class", "regression": "DLE"}
    rows = [
        [task, f"`{PRIMARY[task]}`", by[task], ", ".join(f"`{name}`" for name in names)]
        for task, names in METRICS_OF.items()
    ]
    return table(["task", "judged by", "estimated by NannyML's", "estimated metrics"], rows)


def statistics() -> str:
    from backend.monitoring.statistics import REGISTRY

    rows = [
        [f"`{s.name}`", s.title, ", ".join(s.applies_to), s.family, s.unit, f"{s.floor:g}",
         f"{s.weight:g}", "" if s.default else "by name"]
        for s in REGISTRY.values()
    ]  # fmt: skip
    return table(["name", "what it is", "columns", "family", "unit", "floor", "weight", "computed"], rows)


def table_statistics() -> str:
    from backend.monitoring.statistics import TABLE_REGISTRY

    rows = [[f"`{s.name}`", s.title, s.unit, f"{s.floor:g}"] for s in TABLE_REGISTRY.values()]
    return table(["name", "what it is", "unit", "floor"], rows)


def peers() -> str:
    from backend.monitoring.peers import PEERS

    rows = [
        [f"`{peer.name}`", ", ".join(peer.applies_to), peer.rule, peer.formula] for peer in PEERS.values()
    ]
    return table(["name", "columns", "its rule", "how"], rows)


def evidence_queries() -> str:
    from backend.controls.queries.registry import queries

    about = {"model": "a model", "house": "the house", "either": "a model or the house", "log": "the log"}
    rows = [
        [f"`{one.name}`", about[one.about], one.explanation,
         ", ".join(f"`{each.name}`" + (f" ({each.default:g})" if isinstance(each.default, int | float) else "")
                   for each in one.parameters.values()),
         "yes" if one.moment == "any" else "no"]
        for one in queries().values()
    ]  # fmt: skip
    return table(["query", "about", "looks at", "parameters", "past"], rows)


def execution_steps() -> list[str]:
    """The steps of a change's workflow, read from its file without importing it."""
    tree = ast.parse((ROOT / "jobs" / "execute_change.py").read_text())
    found = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "STEPS"
    )
    return list(ast.literal_eval(found))


def state_machine() -> str:
    from backend.governance import machine

    rows = [
        [f"`{state}`", machine.WORDS[state], ", ".join(_ways_out(state)) or "it is over"]
        for state in machine.STATES
    ]
    drawing = f"```mermaid\n{machine.diagram()}\n```\n\n"
    return drawing + table(["state", "people read", "what can happen then"], rows)


def _ways_out(state: str) -> list[str]:
    from backend.governance import machine

    return [machine.MEANINGS[event] for origin, event, _ in machine.moves() if origin == state]


def rollout_strategies() -> str:
    from backend.governance.rollout_plan import STRATEGIES

    return table(["strategy", "what happens"], [[f"`{name}`", words] for name, words in STRATEGIES.items()])


def kinds_of_change() -> str:
    from backend.governance.kinds import kinds

    rows = [
        [f"`{kind.name}`", kind.explanation, "step by step" if kind.rollout else "in one transaction"]
        for kind in kinds().values()
    ]
    return table(["kind", "what it does", "carried out"], rows)


def gates_of_changes() -> str:
    from backend.governance.gates import Gate, gates

    def settings_of(gate: Gate) -> dict[str, object]:
        return gate.parameters().model_dump(mode="json")

    rows = [
        [f"`{gate.name}`", gate.explanation,
         ", ".join(f"`{name}: {json.dumps(value)}`" for name, value in settings_of(gate).items()) or "none",
         "yes" if gate.condition else ""]
        for gate in gates().values()
    ]  # fmt: skip
    return table(["gate", "asks whether", "parameters, with their defaults", "also while it serves"], rows)


def gateway_metrics() -> str:
    from backend.serving.metrics import exported

    rows = [
        [f"`{name}`", kind, ", ".join(f"`{label}`" for label in labels), words]
        for name, kind, labels, words in exported()
    ]
    return table(["metric", "type", "labels", "what it is"], rows)


def gateway_refusals() -> str:
    from backend.serving.outcomes import KINDS

    return table(["kind", "why"], [[f"`{kind}`", words] for kind, words in KINDS.items()])


def spec_document() -> str:
    """Each field of the document, from its model."""
    from backend.onboarding.document import Document

    return table(["key", "holds", "needed"], _fields_of(Document, "", "yes"))


def _fields_of(model: type[BaseModel], before: str, needed: str) -> list[list[str]]:
    rows = []
    for name, field in model.model_fields.items():
        parts = [field.annotation, *get_args(field.annotation)]
        inner = next((one for one in parts if isinstance(one, type) and issubclass(one, BaseModel)), None)
        if inner is not None:
            inside = needed if field.is_required() else f"with `{name}`"
            rows += _fields_of(inner, f"{before}{name}.", inside)
            continue
        holds = field.description or ""
        rows.append([f"`{before}{name}`", holds, needed if field.is_required() else ""])
    return rows


MADE: Final[dict[str, Callable[[], str]]] = {
    made.__name__: made
    for made in (
        permissions,
        actions,
        compared,
        believed,
        compared,
        believed,
        jobs,
        pages,
        routes,
        parity,
        errors,
        evidence_queries,
        commands,
        faults,
        accounts,
        statistics,
        table_statistics,
        peers,
        metrics,
        estimates,
        state_machine,
        kinds_of_change,
        rollout_strategies,
        gates_of_changes,
        gateway_metrics,
        gateway_refusals,
        spec_document,
    )
}


def rewritten(text: str) -> str:
    """The page with every made part as the code says now."""
    return BLOCK.sub(lambda found: f"{found[1]}{found[2]}{MADE[found[1]]()}", text)


def main() -> int:
    for path in DOCS:
        text = path.read_text()
        new = rewritten(text)
        if new != text:
            path.write_text(new)
            sys.stdout.write(f"{path.relative_to(ROOT)} rewritten\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
