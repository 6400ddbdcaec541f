"""A token does only what it was made for, also by what is its person's own: every service that a route calls to change
something asks, whatever it is told, for a permission that a scope can leave out and that is not one to read.

Read from the source alone: a call counts where it runs whenever the service does.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import backend

ROOT = Path(backend.__file__).parents[1]
ASKS = frozenset(
    {"require", "require_some", "require_scope", "allow", "see", "may", "may_about", "is_in_scope"}
)
Service = tuple[str, str]  # (module, function)

OTHERWISE: dict[Service, str] = {
    ("backend.audit.export", "begin_export"): "what it writes is that the log was read, by the permission to read it",
    ("backend.audit.population", "draw_sample"): "what it writes is that the log was read",
    ("backend.audit.saved_searches", "save_search"): "a search of one's own, by the permission to read what it finds",
    ("backend.audit.saved_searches", "delete_search"): "a search of one's own",
    ("backend.fleet.views", "save_view"): "a view of what one may read, by the permission to read it",
    ("backend.fleet.views", "remove_view"): "a view of one's own",
    ("backend.governance.reading", "note_look"): "what it writes is that they looked",
    ("backend.observations.service", "record_batch"): "`accept_batch` asked before the rows were taken",
}  # fmt: skip


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def modules() -> dict[str, ast.Module]:
    found = sorted((ROOT / "backend").rglob("*.py"))
    return {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in found}


@cache
def functions() -> dict[Service, ast.FunctionDef]:
    return {
        (module, one.name): one
        for module, tree in modules().items()
        for one in tree.body
        if isinstance(one, ast.FunctionDef)
    }


@cache
def imports(module: str) -> dict[str, Service]:
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("backend")
        for alias in node.names
    }


def called(module: str, call: ast.Call) -> Service | None:
    """The function of ours that a call in a module calls, by its name or by that of its module."""
    match call.func:
        case ast.Name(id=name):
            return (module, name) if (module, name) in functions() else imports(module).get(name)
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if owner in imports(module):
            return ".".join(imports(module)[owner]), name
    return None


def certain(node: ast.AST) -> Iterator[ast.Call]:
    """Calls that are made whichever way a function goes."""
    match node:
        case ast.If(test=only) | ast.IfExp(test=only) | ast.While(test=only) | ast.For(iter=only):
            yield from certain(only)
        case ast.BoolOp(values=[first, *_]):
            yield from certain(first)
        case ast.ListComp(generators=[first, *_]) | ast.SetComp(generators=[first, *_]):
            yield from certain(first.iter)
        case ast.GeneratorExp(generators=[first, *_]) | ast.DictComp(generators=[first, *_]):
            yield from certain(first.iter)
        case ast.Try(body=body, finalbody=last):
            for one in [*body, *last]:
                yield from certain(one)
        case ast.Lambda():
            return
        case _:
            if isinstance(node, ast.Call):
                yield node
            for child in ast.iter_child_nodes(node):
                yield from certain(child)


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_asking(call: ast.Call) -> bool:
    """Whether it asks for a permission, and for more than to read."""
    if name_of(call) not in ASKS:
        return False
    texts = {ast.unparse(one) for one in call.args} - {"session", "actor", "viewer"}
    return any(not one.startswith("Permission.READ") for one in texts)


@cache
def asking() -> frozenset[Service]:
    """Every function of ours that asks, itself or by another one that it calls."""
    found: set[Service] = set()
    calls: dict[Service, set[Service | None]] = {}
    for service, function in functions().items():
        made = [call for statement in function.body for call in certain(statement)]
        calls[service] = {called(service[0], call) for call in made if name_of(call) not in ASKS}
        if any(map(is_asking, made)):
            found.add(service)
    while more := {one for one, to in calls.items() if one not in found and to & found}:
        found |= more
    return frozenset(found)


def changing_services() -> set[Service]:
    """What the modules of the API call that takes an actor and a session to write."""
    found = {
        to
        for module, tree in modules().items()
        if module.startswith("backend.api")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (to := called(module, node)) is not None and to in functions()
    }
    ours = {one for one in found if not one[0].startswith("backend.api")}
    return {one for one in ours if {"WriteSession", "Actor"} <= annotations(functions()[one])}


def annotations(function: ast.FunctionDef) -> set[str]:
    given = [*function.args.args, *function.args.kwonlyargs]
    return {ast.unparse(one.annotation) for one in given if one.annotation is not None}


def test_every_service_that_a_route_calls_asks_for_a_scope() -> None:
    services = changing_services()
    assert len(services) > 100
    without = services - asking()
    assert without - set(OTHERWISE) == set(), "ask `actor.require_scope`, where the right is one's own"
    assert set(OTHERWISE) <= without, "these ask by now"
