"""The Python client's operations and the types of what they send, made from the OpenAPI document.

`python -m tests.client_source` writes `client/warrant_client/operations.py` again; tests/unit/test_client.py fails
while it lags. What the document does not describe (what is in answers) stays `Json`.
"""

from __future__ import annotations

import keyword
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
MODULE: Final = ROOT / "client" / "warrant_client" / "operations.py"
CURSORS: Final = ("before", "after", "offset")
# The list in the answer of each listing that names the page that follows.
LISTS: Final = {
    "/models": "models", "/models/{model}": "versions", "/models/{model}/points": "points",
    "/models/{model}/versions/{version}/lineage": "sources", "/models/{model}/deployments": "deployments",
    "/models/{model}/versions/{version}/card/versions": "versions", "/models/{model}/tier-answers": "answers",
    "/models/{model}/monitors/{key}": "versions", "/models/{model}/maintenance": "maintenance",
    "/models/{model}/false-alarms": "monitors", "/changes": "changes", "/registry/inventory": "models",
    "/registry/moves": "moves", "/retraining": "runs", "/inventory": "models", "/findings": "findings",
    "/exceptions": "exceptions", "/holds": "holds", "/alerts": "alerts", "/incidents": "incidents",
    "/silences": "silences", "/objectives": "objectives", "/notifications": "notices", "/jobs": "jobs",
    "/packs": "packs", "/data-requests": "requests", "/audit/entries": "entries", "/audit/searches": "searches",
    "/audit/findings": "findings", "/access": "rights", "/access-movements": "movements",
    "/access-reviews": "reviews", "/access-reviews/{review_id}/items": "items", "/people": "people",
    "/people/{person_id}/sessions": "sessions", "/sessions": "sessions", "/tokens": "tokens", "/teams": "teams",
    "/ci-trust": "rules", "/policy/revisions": "revisions", "/delegations": "delegations",
    "/catalogues/{catalogue}/controls/{control}/judgements": "judgements", "/fleet": "models",
    "/views": "views",
}  # fmt: skip
HEAD: Final = '''"""Every operation of Warrant's REST API. Made from its OpenAPI document by `tests.client_source`.

Path parameters come first, then what is sent, then the query by name. A TypedDict is what is sent as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, NotRequired, TypedDict

from warrant_client.transport import Json, JsonObject, Transport

'''
PLAIN: Final = {
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "Mapping[str, Any]",
}


def source(document: dict[str, Any]) -> str:
    """The whole module, as `ruff format` writes it."""
    schemas = document["components"]["schemas"]
    groups: dict[str, list[str]] = defaultdict(list)
    names = method_names(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups[operation["tags"][0]] += operation_source(path, method, operation, names[path, method])
    types = [
        typed_dict(name, schema)
        for name, schema in sorted(schemas.items(), key=lambda one: ("enum" not in one[1], one[0]))
        if name not in ("HTTPValidationError", "ValidationError")
    ]
    classes = [
        f"class {class_of(tag)}:\n"
        f'    """Operations about {tag}."""\n\n'
        "    def __init__(self, transport: Transport) -> None:\n        self._transport = transport\n\n"
        + "\n".join(lines)
        for tag, lines in sorted(groups.items())
    ]
    client = (
        "class Warrant(Transport):\n"
        '    """A console. Operations are grouped as in its documentation."""\n\n'
        "    def __init__(self, url: str | None = None, token: str | None = None, **more: Any) -> None:\n"
        "        super().__init__(url, token, **more)\n"
        + "".join(f"        self.{identifier(tag)} = {class_of(tag)}(self)\n" for tag in sorted(groups))
    )
    return formatted(HEAD + "\n\n".join([*types, *classes, client]) + "\n")


def typed_dict(name: str, schema: dict[str, Any]) -> str:
    """One schema as what it is sent as."""
    if "enum" in schema:
        return f"{type_name(name)} = {python_type(schema)}\n"
    required = set(schema.get("required", ()))
    fields = {
        field: python_type(one) if field in required else f"NotRequired[{python_type(one)}]"
        for field, one in schema.get("properties", {}).items()
    }
    if any(identifier(field) != field for field in fields):
        told = ", ".join(f"{field!r}: {annotation}" for field, annotation in fields.items())
        return f"{type_name(name)} = TypedDict({type_name(name)!r}, {{{told}}})\n"
    lines = [f"    {field}: {annotation}\n" for field, annotation in fields.items()]
    return f"class {type_name(name)}(TypedDict):\n{''.join(lines) or '    pass'}\n"


def operation_source(path: str, method: str, operation: dict[str, Any], name: str) -> list[str]:
    parameters = operation.get("parameters", [])
    parts = [one for one in parameters if one["in"] == "path"]
    query = [one for one in parameters if one["in"] == "query"]
    body, types = body_of(operation)
    signature = ["self", *(f"{identifier(one['name'])}: {python_type(one['schema'])}" for one in parts)]
    sent = [f'"{method.upper()}"', f"{path!r}"]
    if parts:
        sent.append(
            "parts={" + ", ".join(f"{one['name']!r}: {identifier(one['name'])}" for one in parts) + "}"
        )
    if body:
        signature.append(f"body: {body}")
        sent.append("body=body")
    named = [query_parameter(one) for one in sorted(query, key=lambda one: not one.get("required"))]
    if query:
        sent.append(
            "query={" + ", ".join(f"{one['name']!r}: {identifier(one['name'])}" for one in query) + "}"
        )
    if types:
        named.append(f"content_type: Literal[{', '.join(map(repr, types))}] = {types[0]!r}")
        sent.append("content_type=content_type")
    if method != "get":
        named.append("idempotency_key: str | None = None")
        sent.append("idempotency_key=idempotency_key")
    signature += ["*", *named] if named else []
    result, read = answer_of(operation)
    text = operation.get("description", operation["summary"]).replace("\\", "\\\\").strip()
    lines = [
        f"    def {name}({', '.join(signature)}) -> {result}:",
        f'        """{text}"""',
        f"        return self._transport.send({', '.join(sent)}){read}\n",
    ]
    if path in LISTS and method == "get":
        lines += pages_source(path, name, parts, query)
    return ["\n".join(lines)]


def pages_source(path: str, name: str, parts: list[dict[str, Any]], query: list[dict[str, Any]]) -> list[str]:
    """The iterator over all pages of a listing."""
    cursor = next(one["name"] for one in query if one["name"] in CURSORS)
    rest = [one for one in query if one["name"] != cursor]
    signature = ["self", *(f"{identifier(one['name'])}: {python_type(one['schema'])}" for one in parts)]
    signature += ["*", *(query_parameter(one) for one in rest)] if rest else []
    given = [identifier(one["name"]) for one in parts]
    given += [f"{identifier(one['name'])}={identifier(one['name'])}" for one in rest]
    start = next(one["schema"].get("default") for one in query if one["name"] == cursor)
    given.append(f"{cursor}=cursor")
    return [
        f"    def {name}_pages({', '.join(signature)}) -> Iterator[JsonObject]:",
        f'        """Everything of `{name}`, page by page."""',
        f"        return self._transport.pages(lambda cursor: self.{name}({', '.join(given)}), "
        f"key={LISTS[path]!r}, start={start!r})\n",
    ]


def query_parameter(one: dict[str, Any]) -> str:
    """With its default where the document names one; what is None is not sent."""
    name, schema = identifier(one["name"]), one["schema"]
    if one.get("required"):
        return f"{name}: {python_type(schema)}"
    annotation = python_type(schema)
    default = schema.get("default")
    if default is None and "None" not in annotation.split(" | "):
        annotation += " | None"
    return f"{name}: {annotation} = {default!r}"


def body_of(operation: dict[str, Any]) -> tuple[str, list[str]]:
    """The type of what is sent, and the media types where bytes are sent."""
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return "", []
    types = [one for one in content if one != "application/json"]
    schema = content.get("application/json", {}).get("schema")
    known = python_type(schema) if schema else ""
    return (f"{known} | bytes" if known else "bytes") if types else known, types


def answer_of(operation: dict[str, Any]) -> tuple[str, str]:
    """The type of the answer and how it is read."""
    content = next(one for code, one in operation["responses"].items() if code < "300").get("content", {})
    if "text/plain" in content:
        return "str", ".text"
    if "application/json" not in content:
        return "bytes", ".content"
    return "Json", ".json()"


def python_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return type_name(schema["$ref"].rsplit("/", 1)[1])
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(map(repr, schema['enum']))}]"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(python_type(one) for one in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "string":
        return {"date-time": "datetime | str", "date": "date | str"}.get(schema.get("format", ""), "str")
    if kind == "array":
        return f"Sequence[{python_type(schema.get('items', {}))}]"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"Mapping[str, {python_type(schema['additionalProperties'])}]"
    return PLAIN.get(str(kind), "Any")


def method_names(document: dict[str, Any]) -> dict[tuple[str, str], str]:
    """By (path, method) the route's function: the operation's id without path and method, which FastAPI puts behind it.
    Where a group has two of one name, what they are about is added."""
    names: dict[tuple[str, str], str] = {}
    met: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            behind = re.sub(r"\W", "_", path) + "_" + method
            name = identifier(operation["operationId"].removesuffix(behind))
            names[path, method] = name
            met[operation["tags"][0], name].append((path, method))
    for (_, name), same in met.items():
        for path, method in same if len(same) > 1 else ():
            names[path, method] = identifier(f"{name}_{path.split('/')[1]}")
    return names


def identifier(name: str) -> str:
    plain = re.sub(r"\W", "_", name)
    return f"{plain}_" if keyword.iskeyword(plain) else plain


def type_name(name: str) -> str:
    """`backend__api__routes__access__ReviewRequest` is `AccessReviewRequest`."""
    *_, module, last = ["", *name.split("__")[-2:]] if "__" in name else ["", "", name]
    return (module.title().replace("_", "") if "__" in name else "") + last


def class_of(tag: str) -> str:
    return "".join(word.title() for word in re.split(r"\W|_", tag)) + "Operations"


def formatted(text: str) -> str:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "format",
        "--line-length",
        "110",
        "--stdin-filename",
        str(MODULE),
        "-",
    ]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def made() -> str:
    from backend.api.app import create_api

    return source(create_api().openapi())


if __name__ == "__main__":
    MODULE.write_text(made())
