"""Documents as YAML for people: short lists and mappings on one line, and nothing read that was written twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

ONE_LINE: Final = 88
"""The longest list or mapping that is written on one line, in characters"""
LONGEST: Final = 200_000  # characters of a document that is read
DEEPEST: Final = 20


class _Writer(yaml.SafeDumper):
    """Indents lists below their key, as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def write_yaml(document: Any) -> str:
    """A document as text in the order it has. What holds no mapping of its own and fits stands on one line."""
    writer_text = yaml.dump(
        _whole_numbers(document), Dumper=_Writer, sort_keys=False, allow_unicode=True, width=110,
        default_flow_style=False,
    )  # fmt: skip
    return str(writer_text)


def _represent(writer: yaml.SafeDumper, value: Any) -> yaml.Node:
    if isinstance(value, dict):
        node: yaml.CollectionNode = writer.represent_mapping("tag:yaml.org,2002:map", value)
    else:
        node = writer.represent_sequence("tag:yaml.org,2002:seq", value)
    node.flow_style = bool(value) and _is_leaf(value) and _length(value) <= ONE_LINE
    return node


_Writer.add_representer(dict, _represent)
_Writer.add_representer(list, _represent)


def _is_leaf(value: Any) -> bool:
    """Whether it holds plain values alone, or lists of them: `{kinds: [promote], tiers: [high]}` is one."""
    parts = value.values() if isinstance(value, dict) else value
    return not any(
        isinstance(part, dict) or (isinstance(part, list) and not _is_leaf(part)) for part in parts
    )


def _length(value: Any) -> int:
    if isinstance(value, dict):
        return sum(len(str(key)) + 2 + _length(part) + 2 for key, part in value.items()) + 2
    if isinstance(value, list):
        return sum(_length(part) + 2 for part in value) + 2
    return len(str(value))


def _whole_numbers(value: Any) -> Any:
    """600.0 seconds are written 600."""
    if isinstance(value, dict):
        return {key: _whole_numbers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Refused(yaml.MarkedYAMLError):
    """YAML that is not read here: a key that is there twice (the second would silently win), a reference, a depth or a
    size that no document of ours has, a value that is none."""


class _Reader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise Refused(None, None, f"the key {key.value!r} is there twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Whatever a constructor raises of a value, such as the 99th of a month, is said with its place."""
        try:
            made = super().construct_object(node, deep)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            value = str(node.value)[:40] if isinstance(node, yaml.ScalarNode) else "this"
            raise Refused(None, None, f"{value!r} cannot be read as a value", node.start_mark) from error
        if isinstance(made, str) and not _is_printable(made):
            raise Refused(None, None, "there is a control character in this text", node.start_mark)
        return made


def _is_printable(text: str) -> bool:
    return all((char >= " " and char != "\x7f") or char in "\n\t" for char in text)


def read_yaml(text: str) -> Any:
    """The document. Raises `yaml.YAMLError`, with its place where that is known; `Refused` is one."""
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"it has {len(text):,} characters; {LONGEST:,} are read")
    _refuse_depth(text)
    return yaml.load(text, Loader=_Reader)  # noqa: S506 - a SafeLoader that is stricter


def read_yaml_stream(text: str) -> list[tuple[Any, yaml.Node]]:
    """The documents of a text that `---` divides, each with its nodes, which know places. Raises as `read_yaml`."""
    if len(text) > LONGEST:
        raise yaml.YAMLError(f"it has {len(text):,} characters; {LONGEST:,} are read")
    _refuse_depth(text)
    reader, found = _Reader(text), []
    try:
        while reader.check_node():
            node = reader.get_node()
            if node is not None:
                found.append((reader.construct_document(node), node))
    finally:
        reader.dispose()
    return found


def _mark(event: yaml.Event) -> Any:
    return event.start_mark  # the stubs know two kinds of marks, which are one


def _refuse_depth(text: str) -> None:
    """Looked for in the events, which are read without recursion. References could grow a text beyond all bounds."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise Refused(None, None, f"write out what *{event.anchor} refers to", _mark(event))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise Refused(None, None, f"it is nested deeper than {DEEPEST} levels", _mark(event))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
