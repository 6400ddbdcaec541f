"""Every list that leaves the database for an answer or a page is cut there, or is named here with what bounds it.

Two looks, both at the source, so that a list that somebody adds tomorrow is found before it is long:

- a GET of the API whose answer has a list takes `limit`, with a highest value, and a cursor, and hands both on;
- what pages read through `app.data` passes `limit` to every service that takes one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from backend.api.app import create_api
from backend.api.pages import MOST

ROOT: Final = Path(__file__).resolve().parents[2]
HIGHEST: Final = 5_000
CURSORS: Final = {"before", "after", "offset"}
# GET -> what bounds its lists, where that is no `limit`
BOUNDED: Final[dict[str, str]] = {
    "/access-movements": "a part of the answer is cut; what is counted beside it is of the whole period",
    "/audit/streams": "the systems that a setting names",
    "/catalogues": "the catalogues that are files of the release",
    "/incidents/{incident_id}/snapshots/{snapshot_id}": "one snapshot",
    "/incidents/{incident_id}/timeline": "`backend.alerting.timeline.MOST` lines; what lies between is counted",
    "/me": "the roles that there are",
    "/models/{model}/attributions": "the newest `MOST_WINDOWS` windows",
    "/models/{model}/conditions": "one for each gate of what serves now",
    "/models/{model}/kpis": "a year; `before` leads to the one before",
    "/models/{model}/monitors": "what people wrote for one model, and the figures of its columns",
    "/models/{model}/versions/{version}/card/diff": "the lines of two cards, each of at most `MOST_CHARACTERS`",
    "/objectives/{objective}": "days of the budget, and revisions cut at `MOST`",
    "/retraining/trainers": "the trainers of the release",
    "/role-rules": "revisions cut at `MOST`",
    "/rotas": "the shifts of a house; a document that is read and written whole",
    "/search": "at most `hits.MOST` of each kind; `more` says that a word more is needed",
    "/served": "what serves one model at one moment",
}
# function of app.data -> what bounds what it reads, where that is no `limit`
WHOLE: Final[dict[str, str]] = {
    "inventory_of": "the models that are named",
    "inventory_entry": "one model",
    "movements": "a period that the page names",
    "access_rights": "the rights of a review, which is started over all of them",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(folder: str) -> Iterator[tuple[Path, ast.FunctionDef]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in tree(path).body:
            if isinstance(node, ast.FunctionDef):
                yield path, node


@cache
def services() -> dict[str, list[tuple[str, ast.FunctionDef]]]:
    """Every function of the domain by name, with its module."""
    found: dict[str, list[tuple[str, ast.FunctionDef]]] = {}
    for path, node in functions("backend"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if not module.startswith(("backend.api", "backend.commands")):
            found.setdefault(node.name, []).append((module.removesuffix(".__init__"), node))
    return found


def called(path: Path, call: ast.Call) -> list[ast.FunctionDef]:
    """The functions of the domain that a call may mean, by what the file imports."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    told = imported(path).get(name, name)
    return [node for _, node in services().get(told, ())] if told in known(path) or told != name else []


@cache
def imported(path: Path) -> dict[str, str]:
    """Names that stand for a function of the domain in a file -> how it is called there."""
    return {
        one.asname or one.name: one.name
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("backend")
        for one in node.names
    }


@cache
def known(path: Path) -> frozenset[str]:
    """Functions that a file can reach: those it imports, and those of the modules it imports."""
    modules = {
        f"{node.module}.{one.name}"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("backend")
        for one in node.names
    }
    of_modules = {name for name, each in services().items() for module, _ in each if module in modules}
    return frozenset(imported(path).values()) | of_modules


def gives_rows(node: ast.FunctionDef) -> bool:
    """Whether a service gives a list of what it read: by what it says of itself."""
    given = ast.unparse(node.returns) if node.returns else ""
    takes_session = bool(node.args.args) and node.args.args[0].arg == "session"
    return takes_session and given.startswith(("list[", "tuple[list[", "Sequence["))


def takes_limit(node: ast.FunctionDef) -> bool:
    return any(one.arg in ("limit", "most") for one in (*node.args.args, *node.args.kwonlyargs))


def passes_limit(call: ast.Call) -> bool:
    """`limit=`, or `**part.more`, which has it."""
    return any(one.arg in ("limit", "most") or one.arg is None for one in call.keywords)


def routes() -> Iterator[tuple[str, Path, ast.FunctionDef]]:
    for path, node in functions("backend/api/routes"):
        constants = {
            target.id: one.value.value
            for one in tree(path).body
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)
            for target in one.targets
            if isinstance(target, ast.Name)
        }
        for given in node.decorator_list:
            if isinstance(given, ast.Call) and ast.unparse(given.func) == "router.get":
                yield eval(ast.unparse(given.args[0]), {}, constants), path, node  # noqa: S307 - text of this repository


def lists_something(path: Path, node: ast.FunctionDef) -> bool:
    """Whether an answer has a list: one is made in the route, or a service gives one and it is not one row's."""
    made = any(isinstance(one, ast.ListComp) for one in ast.walk(node))
    calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
    firsts = {
        id(one.value)
        for one in ast.walk(node)
        if isinstance(one, ast.Subscript) and isinstance(one.slice, ast.Constant)
    }
    read = any(gives_rows(each) for one in calls if id(one) not in firsts for each in called(path, one))
    return made or read


def parameters(document: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one["schema"] for one in document["paths"][path]["get"].get("parameters", ())}


def test_every_listing_of_the_api_has_a_limit_with_an_end_and_a_cursor_or_says_what_bounds_it() -> None:
    document = create_api().openapi()
    unbounded, met = [], set()
    for path, file, node in routes():
        asked = parameters(document, path.replace(":path", ""))
        highest = asked.get("limit", {}).get("maximum")
        if highest is not None and highest <= HIGHEST and CURSORS & set(asked):
            continue
        if path in BOUNDED:
            met.add(path)
        elif lists_something(file, node):
            unbounded.append(path)
    assert not unbounded, f"lists without an end: {unbounded}"
    assert met >= {one for one in BOUNDED if "limit" not in parameters(document, one)}, "named, and not there"


def test_a_limit_reaches_what_reads() -> None:
    """A route that takes a part hands it on to every service that gives rows and takes a limit."""
    lost = []
    for path, file, node in routes():
        takes = {one.arg for one in node.args.args} & {"part", "limit"}
        calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
        lost += [
            f"{path}: {ast.unparse(one)[:80]}"
            for one in calls
            for each in called(file, one)
            if takes and gives_rows(each) and takes_limit(each) and not passes_limit(one)
        ]
    assert not lost, lost


def test_pages_read_no_list_without_saying_how_much_of_it() -> None:
    whole = []
    for path, node in functions("app/data"):
        for one in ast.walk(node):
            if not isinstance(one, ast.Call) or passes_limit(one) or node.name in WHOLE:
                continue
            given = [each for each in called(path, one) if gives_rows(each) and takes_limit(each)]
            # a default that is a number bounds it as well
            if given and any(_without_default(each) for each in given):
                whole.append(f"{path.name}: {node.name}: {ast.unparse(one)[:90]}")
    assert not whole, whole


def _without_default(node: ast.FunctionDef) -> bool:
    defaults = dict(zip([one.arg for one in node.args.kwonlyargs], node.args.kw_defaults, strict=True))
    return any(
        isinstance(default, ast.Constant) and default.value is None
        for name, default in defaults.items()
        if name in ("limit", "most")
    )


def test_an_answer_without_a_limit_is_a_part_too() -> None:
    """Whoever asks for nothing gets the first part, and `next`."""
    document = create_api().openapi()
    for path in document["paths"]:
        if "get" in document["paths"][path] and "limit" in (asked := parameters(document, path)):
            assert 1 <= asked["limit"]["default"] <= asked["limit"]["maximum"] <= HIGHEST, path
    assert MOST <= HIGHEST


def test_the_looks_find_a_list_without_an_end() -> None:
    source = "def every(session) -> list[int]: ...\ndef some(session, *, limit: int | None = None) -> list[int]: ..."
    every, some = ast.parse(source).body
    assert isinstance(every, ast.FunctionDef)
    assert isinstance(some, ast.FunctionDef)
    assert gives_rows(every)
    assert not takes_limit(every)
    assert takes_limit(some)
    assert _without_default(some)
    call = ast.parse("some(session)").body[0]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    assert not passes_limit(call.value)
    paths = {path for path, _, _ in routes()}
    assert {"/people", "/models/{model}/points"} <= paths
    assert not [one for one in BOUNDED if one not in paths]
    assert all(re.search(r"\w", why) for why in (*BOUNDED.values(), *WHOLE.values()))
