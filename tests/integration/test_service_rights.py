"""Who may change what outside governance: every service that a route or a page calls asks for a right, and the routes,
asked role by role in `tests/integration/api/test_permissions.py`, let through who has it; pages name the same right.

Read from the source alone. Governance itself, whose rules depend on persons, is asked in `test_permission_matrix.py`.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import backend
from app.nav import PAGES
from backend.identity.roles import GRANTS, Permission, Role
from tests.integration.api.conftest import ROLES
from tests.integration.api.test_permissions import TABLE
from tests.integration.test_permission_matrix import OF_GOVERNANCE

ROOT = Path(backend.__file__).parents[1]
ELSEWHERE = frozenset({"api", "commands", "database", "governance"})
ROLE_OF = {"viewer": Role.VIEWER, "on_call": Role.ON_CALL, "engineer": Role.ML_ENGINEER, "lead": Role.ML_LEAD,
           "compliance": Role.COMPLIANCE, "admin": Role.ADMIN}  # fmt: skip
Service = tuple[str, str]  # (module, function)

# Services whose right is not one `actor.require(Permission...)` or `allow(session, actor, Permission...)` alone.
OTHERWISE: dict[Service, str] = {
    (
        "backend.assurance.documents",
        "add_document",
    ): "whoever may use a document hands it in: one of several rights",
    (
        "backend.assurance.validations",
        "record_validation",
    ): "who trained or asked for the version is not independent",
    ("backend.assurance.findings", "answer_finding"): "the owner of the finding answers, whatever the role",
    ("backend.assurance.exceptions", "end_exception"): "also whoever asked for it",
    ("backend.audit.saved_searches", "save_search"): "one's own; reading the log is asked where it is run",
    ("backend.audit.saved_searches", "delete_search"): "one's own",
    ("backend.identity.sessions", "revoke"): "one's own; those of others with the right to manage people",
    ("backend.identity.tokens", "revoke_token"): "one's own; those of others with a right about people",
}
# Routes that let through others than their service's right says, and why.
ROUTES_OTHERWISE = {
    ("POST", "/sessions/revocation"): "one's own sessions; the right is about those of others",
    ("POST", "/fleet/acts"): "each act has a right of its own, asked for before anything is looked at",
    ("POST", "/tokens"): "who asks here has a token, and a token makes none",
    ("POST", "/tokens/{token_id}/rotation"): "who asks here has a token, and a token makes none",
}
# Routes that change something outside governance and call no such service: what asks for the right.
BY_OTHER_MEANS = {
    (
        "POST",
        "/models/{model}/versions/{version}/card/imports",
    ): "one of three services, chosen by the source",
    ("POST", "/models/{model}/predictions"): "the spool asks before it takes a body",
    ("POST", "/models/{model}/labels"): "the spool asks before it takes a body",
    ("POST", "/models/{model}/monitors/replay"): "changes nothing",
    ("POST", "/fleet/acts/preview"): "changes nothing",
    ("POST", "/objectives/check"): "changes nothing",
    ("POST", "/specs/proposals"): "changes nothing",
    ("POST", "/specs/diff"): "changes nothing",
    ("POST", "/retraining/preview"): "changes nothing",
    ("POST", "/token-exchange"): "of nobody yet: the rules of administrators say which jobs are let in",
}
# What a page offers without naming the right itself, and why.
OFFERED_OTHERWISE = {
    ("app/components/team_parts.py", "move_model"): "the page is for administrators, who move models, too",
    ("pages/retraining_run.py", "cancel_run"): "`can_cancel` of the view says to whom",
    ("pages/retraining_run.py", "resume_run"): "`can_resume` of the view says to whom",
    (
        "app/components/account_parts.py",
        "revoke_all",
    ): "one's own sessions; the right is about those of others",
    ("app/components/control_parts.py", "sign_judgement"): "`why_not_judge` of the service says to whom",
}


@cache
def tree_of(module: str) -> ast.Module:
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text() if file.is_file() else "")


@cache
def functions(module: str) -> dict[str, ast.FunctionDef]:
    return {one.name: one for one in tree_of(module).body if isinstance(one, ast.FunctionDef)}


@cache
def imported(module: str) -> dict[str, tuple[str, str]]:
    """Name in a module -> (module of ours, name in it)."""
    return {
        one.asname or one.name: (node.module or "", one.name)
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("backend", "app"))
        for one in node.names
    }


@cache
def services() -> frozenset[Service]:
    """Public functions that take a write session and somebody who acts."""
    found = set()
    for path in ROOT.glob("backend/**/*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        if parts[1] in ELSEWHERE:
            continue
        for name, one in functions(module).items():
            taken = [ast.unparse(each.annotation) for each in one.args.args if each.annotation is not None]
            if not name.startswith("_") and taken[:2] == ["WriteSession", "Actor"]:
                found.add((module, name))
    return frozenset(found)


def called_in(part: ast.AST, module: str) -> set[Service]:
    """The services that a part of a module names, also by way of a module that hands them on."""
    names, found = imported(module), set()
    for node in ast.walk(part):
        key = None
        if isinstance(node, ast.Name):
            key = names.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            key = (".".join(names[node.value.id]), node.attr)
        if key is not None and key not in services():
            key = imported(key[0]).get(key[1])
        if key in services():
            found.add(key)
    return found


@cache
def rights_of(service: Service) -> frozenset[Permission]:
    """What it requires, itself or in a function of its module that it calls."""
    module, name = service
    seen, rights = {name}, set()
    waiting = [functions(module)[name]]
    while waiting:
        for node in ast.walk(waiting.pop()):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Name) and called.id in functions(module) and called.id not in seen:
                seen.add(called.id)
                waiting.append(functions(module)[called.id])
            asked = None
            if isinstance(called, ast.Attribute) and called.attr in ("require", "require_some") and node.args:
                asked = node.args[0]
            elif isinstance(called, ast.Name) and called.id == "allow" and len(node.args) == 3:
                asked = node.args[2]
            if asked is not None:
                given = ast.unparse(asked)
                if given.startswith("Permission."):
                    rights.add(Permission[given.removeprefix("Permission.")])
    return frozenset(rights)


def holders(rights: frozenset[Permission]) -> frozenset[str]:
    return frozenset(role for role in ROLES if rights <= GRANTS[ROLE_OF[role]])


def routes() -> Iterator[tuple[tuple[str, str], ast.FunctionDef, str]]:
    """(method and path, the function that answers, its module) of everything that the API declares."""
    for file in sorted((ROOT / "backend/api/routes").glob("*.py")):
        module = f"backend.api.routes.{file.stem}"
        constants = {
            ast.unparse(one.targets[0]): one.value.value
            for one in tree_of(module).body
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)
        }
        for one in functions(module).values():
            for decorator in one.decorator_list:
                declared = ast.unparse(decorator)
                if isinstance(decorator, ast.Call) and declared.startswith("router."):
                    method = declared.partition("(")[0].removeprefix("router.").upper()
                    yield (method, _path(decorator.args[0], constants)), one, module


def _path(declared: ast.expr, constants: dict[str, object]) -> str:
    if isinstance(declared, ast.BinOp):
        return _path(declared.left, constants) + _path(declared.right, constants)
    path = str(declared.value if isinstance(declared, ast.Constant) else constants[ast.unparse(declared)])
    return path.replace(":path}", "}")  # how a placeholder is read is no part of its name


def test_every_route_lets_through_who_has_the_right_that_its_service_asks_for() -> None:
    seen, without, wrong = set(), set(), {}
    for route, answers, module in routes():
        seen.add(route)
        if route[0] == "GET" or OF_GOVERNANCE.match(route[1]):
            continue
        called = called_in(answers, module)
        if not called:
            without.add(route)
        for service in called - OTHERWISE.keys():
            rights = rights_of(service)
            if route not in ROUTES_OTHERWISE and (not rights or holders(rights) != TABLE[route][0]):
                wrong[route] = (service, sorted(rights), sorted(TABLE[route][0]))
    assert seen == set(TABLE)
    assert wrong == {}
    assert without == set(BY_OTHER_MEANS)


def test_what_a_page_offers_is_offered_to_who_has_the_right_of_the_service() -> None:
    """The module that calls a service, or one that draws it, names its right; or the page is only for who has it.
    Links to files are left to what serves them."""
    files = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts)
             for path in (*ROOT.glob("app/**/*.py"), *ROOT.glob("pages/*.py"))}  # fmt: skip
    texts = {module: path.read_text() for path, module in files.items()}
    needs = {files[row.file]: row.needs for row in PAGES}
    drawn_by: dict[str, set[str]] = defaultdict(set)
    for module in texts:
        for source, name in imported(module).values():
            drawn_by[source].add(module)
            drawn_by[f"{source}.{name}"].add(module)
    missing = set()
    for path, module in files.items():
        if module.endswith("downloads"):
            continue
        around = [module]
        for one in around:
            around += sorted(drawn_by[one] - set(around))
        for service in called_in(tree_of(module), module) - OTHERWISE.keys():
            for right in rights_of(service):
                named = any(
                    f"Permission.{right.name}" in texts[one] or needs.get(one) is right for one in around
                )
                everybody = holders(frozenset({right})) == frozenset(ROLES)
                if (
                    not named
                    and not everybody
                    and (str(path.relative_to(ROOT)), service[1]) not in OFFERED_OTHERWISE
                ):
                    missing.add((str(path.relative_to(ROOT)), service[1], right))
    assert missing == set()


def test_the_exceptions_are_services_and_routes_that_there_are() -> None:
    assert OTHERWISE.keys() <= services()
    assert BY_OTHER_MEANS.keys() | ROUTES_OTHERWISE.keys() <= TABLE.keys()
