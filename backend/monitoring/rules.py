"""Declared rules across columns: a small language, checked when a spec is read, that becomes a database expression.

    dep_time <= arr_time
    price > 0 or returned == 1
    origin in ('EWR', 'JFK', 'LGA')
    0 <= discount <= price * 0.5
    refund is null or abs(refund) <= price
    length(lower(column("postal code"))) == 5

Comparisons, `and`, `or`, `not`, `in`, `+ - * / %`, `is null`, `is not null`, and the functions abs, lower, length and
column (for names that are no word). Nothing else: no attribute, no index, no other call, so a rule cannot do anything
but compare values of one row.

As in SQL, a comparison with a missing value is unknown, and a rule that is unknown for a row is not violated by it.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from backend.errors import BadInput
from backend.monitoring.columns import Column, Kind

Type = Literal["number", "text", "truth", "null"]

STATISTIC = "rule_violations"
LONGEST = 1_000
MOST_PARTS = 300
FUNCTIONS: Mapping[str, tuple[Type, Type]] = {
    "abs": ("number", "number"),
    "lower": ("text", "text"),
    "length": ("text", "number"),
}
"""{name: (type of the argument, type of the value)}."""

_ARITHMETIC: Mapping[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Mod: "%"}
_COMPARISONS: Mapping[type, str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_WORDS: Mapping[Type, str] = {
    "number": "a number",
    "text": "text",
    "truth": "a condition",
    "null": "null",
}


@dataclass(frozen=True)
class Node:
    """One part of a checked rule.

    op     "column" (parts: name), "constant" (parts: value), the sign of a comparison or of arithmetic, "and", "or",
           "not", "neg", "in" (parts: node, constants...), "null" (is null), or the name of a function
    """

    op: str
    type: Type
    parts: tuple[Any, ...]


@dataclass(frozen=True)
class Rule:
    """A checked rule: a condition that every row should meet, the columns it reads, and how they are declared."""

    text: str
    columns: tuple[Column, ...]
    condition: Node


def parse_rules(texts: Iterable[str], columns: Iterable[Column]) -> tuple[Rule, ...]:
    """Check the rules of a spec. Raises `BadInput` that names the rule, the place in it, and what is accepted."""
    kinds = {column.name: column.kind for column in columns}
    return tuple(
        parse_rule(text, kinds, where=f"rules[{number}]") for number, text in enumerate(texts, start=1)
    )


def parse_rule(text: str, kinds: Mapping[str, Kind], *, where: str = "rule") -> Rule:
    """Check one rule. `kinds` are the columns it may read."""
    if not isinstance(text, str) or not text.strip():
        raise BadInput(f'{where}: write a condition such as "price > 0", not {text!r}')
    if len(text) > LONGEST:
        raise BadInput(f"{where}: {len(text)} characters long; at most {LONGEST} are read")
    source = text.strip()
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError as error:
        near = f", character {error.offset}" if error.offset else ""
        raise BadInput(f"{where}{near}: {source!r} cannot be read: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise BadInput(f"{where}: {source[:80]!r} cannot be read; it is nested too deeply") from None
    if sum(1 for _ in ast.walk(tree)) > MOST_PARTS:
        raise BadInput(f"{where}: it has more than {MOST_PARTS} parts; write several rules")
    reader = _Reader(source, kinds, where)
    condition = reader.read(tree.body, "truth")
    if not reader.used:
        raise BadInput(f"{where}: {source!r} reads no column")
    used = tuple(Column(name, kinds[name]) for name in dict.fromkeys(reader.used))
    return Rule(source, used, condition)


class _Reader:
    """Turns Python's syntax tree into a typed one, or says at which character it cannot."""

    def __init__(self, source: str, kinds: Mapping[str, Kind], where: str) -> None:
        self.source, self.kinds, self.where = source, kinds, where
        self.used: list[str] = []

    def read(self, tree: ast.expr, wanted: Type | None = None) -> Node:
        """A part of the rule; of the type `wanted`, if any."""
        node = self._read(tree)
        if wanted is not None and node.type != wanted:
            accepted = "write a comparison" if wanted == "truth" else f"{_WORDS[wanted]} is expected"
            raise self._refused(tree, f"{self._cited(tree)} is {_WORDS[node.type]}; {accepted}")
        return node

    def _read(self, tree: ast.expr) -> Node:
        match tree:
            case ast.BoolOp(op=ast.And(), values=parts):
                return Node("and", "truth", tuple(self.read(part, "truth") for part in parts))
            case ast.BoolOp(op=ast.Or(), values=parts):
                return Node("or", "truth", tuple(self.read(part, "truth") for part in parts))
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return Node("not", "truth", (self.read(part, "truth"),))
            case ast.UnaryOp(op=ast.USub(), operand=part):
                return Node("neg", "number", (self.read(part, "number"),))
            case ast.UnaryOp(op=ast.UAdd(), operand=part):
                return self.read(part, "number")
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
                sides = (self.read(left, "number"), self.read(right, "number"))
                return Node(_ARITHMETIC[type(sign)], "number", sides)
            case ast.Compare():
                return self._comparisons(tree)
            case ast.Call():
                return self._call(tree)
            case ast.Name(id=name):
                null = name.lower() == "null"
                return Node("constant", "null", (None,)) if null else self._column(tree, name)
            case ast.Constant(value=value):
                return self._constant(tree, value)
            case _:
                raise self._refused(tree, f"{self._cited(tree)} is not part of the language of rules")

    def _comparisons(self, tree: ast.Compare) -> Node:
        """`a < b <= c` is `a < b and b <= c`."""
        sides = [tree.left, *tree.comparators]
        links = [
            self._comparison(tree, left, operator, right)
            for left, operator, right in zip(sides, tree.ops, sides[1:], strict=False)
        ]
        return links[0] if len(links) == 1 else Node("and", "truth", tuple(links))

    def _comparison(self, tree: ast.expr, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> Node:
        negated = isinstance(operator, ast.NotIn | ast.IsNot)
        if isinstance(operator, ast.In | ast.NotIn):
            found = self._membership(left, right)
        elif isinstance(operator, ast.Is | ast.IsNot):
            if self.read(right).type != "null":
                raise self._refused(right, "`is` asks for null alone; write ==")
            found = Node("null", "truth", (self._valued(left),))
        else:
            a, b = self._alike(left, self._valued(left), right, self._valued(right))
            found = Node(_COMPARISONS[type(operator)], "truth", (a, b))
        return Node("not", "truth", (found,)) if negated else found

    def _membership(self, left: ast.expr, right: ast.expr) -> Node:
        if not isinstance(right, ast.Tuple | ast.List | ast.Set) or not right.elts:
            raise self._refused(right, "after `in` write values in parentheses, such as ('a', 'b')")
        value = self._valued(left)
        constants = []
        for element in right.elts:
            constant = self._alike(left, value, element, self._valued(element))[1]
            if constant.op != "constant":
                raise self._refused(
                    element, f"{self._cited(element)} is not a fixed value; after `in` write values"
                )
            constants.append(constant)
        return Node("in", "truth", (value, *constants))

    def _valued(self, tree: ast.expr) -> Node:
        """A number or text."""
        node = self.read(tree)
        if node.type == "null":
            raise self._refused(
                tree, "a comparison with null is never true; write `is null` or `is not null`"
            )
        if node.type == "truth":
            raise self._refused(
                tree, f"{self._cited(tree)} is a condition, and conditions cannot be compared"
            )
        return node

    def _alike(self, left: ast.expr, a: Node, right: ast.expr, b: Node) -> tuple[Node, Node]:
        """Two sides of a comparison, of one type. A number beside a category is that category's code."""
        if a.type == b.type:
            return a, b
        if a.type == "text" and b.op == "constant":
            return a, _as_text(b)
        if b.type == "text" and a.op == "constant":
            return _as_text(a), b
        raise self._refused(
            right,
            f"{self._cited(left)} is {_WORDS[a.type]} and {self._cited(right)} is {_WORDS[b.type]}; "
            "they cannot be compared (a column is read as the spec declares it)",
        )

    def _call(self, tree: ast.Call) -> Node:
        name = tree.func.id if isinstance(tree.func, ast.Name) else self._cited(tree.func)
        if name != "column" and name not in FUNCTIONS:
            known = ", ".join(sorted([*FUNCTIONS, "column"]))
            raise self._refused(tree, f"{name} is not a function of rules; there are {known}")
        if len(tree.args) != 1 or tree.keywords:
            raise self._refused(tree, f"{name} takes one value")
        argument = tree.args[0]
        if name == "column":
            if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                raise self._refused(argument, 'column takes a name in quotes, such as column("postal code")')
            return self._column(argument, argument.value)
        takes, gives = FUNCTIONS[name]
        return Node(name, gives, (self.read(argument, takes),))

    def _column(self, tree: ast.expr, name: str) -> Node:
        if name not in self.kinds:
            near = difflib.get_close_matches(name, self.kinds, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self.kinds))}"
            raise self._refused(tree, f"no column is named {name!r}; {hint}")
        self.used.append(name)
        return Node("column", "number" if self.kinds[name] == "numeric" else "text", (name,))

    def _constant(self, tree: ast.expr, value: Any) -> Node:
        if value is None:
            return Node("constant", "null", (None,))
        if isinstance(value, bool):  # a truth in a column is 0 or 1, or the category "true" or "false"
            return Node("constant", "number", (value,))
        if isinstance(value, int | float):
            number = _as_float(value)
            if number is None:
                raise self._refused(tree, f"{self._cited(tree)} is too large a number")
            return Node("constant", "number", (number,))
        if isinstance(value, str):
            return Node("constant", "text", (value,))
        raise self._refused(tree, f"{self._cited(tree)} is neither a number nor text")

    def _cited(self, tree: ast.expr) -> str:
        return ast.get_source_segment(self.source, tree) or self.source

    def _refused(self, tree: ast.expr, reason: str) -> BadInput:
        return BadInput(f"{self.where}, character {tree.col_offset + 1}: {reason}")


def _as_text(constant: Node) -> Node:
    value = constant.parts[0]
    if isinstance(value, bool):
        return Node("constant", "text", ("true" if value else "false",))
    return Node("constant", "text", (str(int(value)) if value.is_integer() else repr(value),))


def _as_float(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= 1e150 else None
