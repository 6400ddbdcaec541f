"""Where in a YAML text something stands, for people who have to correct it."""

from __future__ import annotations

from collections.abc import Sequence

import yaml


def line_of(text: str, path: Sequence[object]) -> int:
    """The line, from 1, of what lies at a path of keys and indices; of the nearest part around it that is there.

    A path may name what is no part of the text, such as a key that is missing or a branch of a union.
    """
    return place_in(yaml.compose(text, Loader=yaml.SafeLoader), path)[0]


def place_in(node: yaml.Node | None, path: Sequence[object]) -> tuple[int, int]:
    """Line and column, from 1, of what lies at a path below a node; of the nearest part around it that is there."""
    place = (1, 1) if node is None else (node.start_mark.line + 1, node.start_mark.column + 1)
    for part in path:
        found = _below(node, part)
        if found is None:
            continue
        place, node = found
    return place


def _below(node: yaml.Node | None, part: object) -> tuple[tuple[int, int], yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return (key.start_mark.line + 1, key.start_mark.column + 1), value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        value = node.value[part]
        return (value.start_mark.line + 1, value.start_mark.column + 1), value
    return None
