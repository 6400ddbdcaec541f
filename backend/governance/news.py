"""What differs between two states of a change as people were shown them: every part of the snapshot. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from backend.governance.evaluations import EVALUATIONS

SHOWN_SO: Final = ("summary", "reason", "from_version", "to_version", "from_cutoff", "to_cutoff")
PEOPLE: Final = {
    "requested_by": "who asked for it",
    "trained_by": "who trained it",
    "data_owner": "who owns its data",
}
# What names the state itself, or says nothing of it.
_NAMES: Final = frozenset({"schema", "digest", "request_digest", "revision"})
_HANDLED: Final = frozenset({*SHOWN_SO, *PEOPLE, *_NAMES, "policy", "gates", "evidence", "bound"})
_AGE: Final = frozenset({"at", "data_until"})  # of a result: that it was found anew is no difference
MOST_VALUES: Final = 4  # of one part of the evidence
SEEN, CHANGED = "as you saw it", "changed"

Row = dict[str, Any]
ALTERED: Final[Row] = {
    "part": "what you saw then",
    "before": "not known: what is kept of it was altered in the database",
    "after": None,
}


def differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Row]:
    """Parts that differ, in words a person reads: `part`, `before`, `after`. Never empty where the digests differ."""
    rows: list[Row] = [
        {"part": name.replace("_", " "), "before": then.get(name), "after": now.get(name)}
        for name in SHOWN_SO
        if then.get(name) != now.get(name)
    ]
    rows += [_unnamed(words) for name, words in PEOPLE.items() if then.get(name) != now.get(name)]
    rows += _of_policy(then["policy"], now["policy"])
    rows += _of_gates(then["gates"], now["gates"])
    for name in sorted({*then["evidence"], *now["evidence"]}):
        rows += _of_evidence(name, then["evidence"].get(name), now["evidence"].get(name))
    rows += [
        _unnamed(part.replace("_", " "))
        for part in sorted({*then["bound"], *now["bound"]} - {"policy"})
        if then["bound"].get(part) != now["bound"].get(part)
    ]
    for name in sorted({*then, *now} - _HANDLED):
        rows += _values(name.replace("_", " "), then.get(name), now.get(name))
    if not rows and then.get("digest") != now.get("digest"):
        rows.append({"part": "revision", "before": then.get("revision"), "after": now.get("revision")})
    return rows


def _unnamed(part: str) -> Row:
    return {"part": part, "before": SEEN, "after": CHANGED}


def _of_policy(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Row]:
    """The rule, and what in it is another."""
    if then == now:
        return []
    rows = (
        [{"part": "policy", "before": _rule(then), "after": _rule(now)}] if _rule(then) != _rule(now) else []
    )
    for name in sorted({*then, *now} - {"name", "revision"}):
        rows += _values(f"rule, {name.replace('_', ' ')}", then.get(name), now.get(name))
    return rows


def _rule(policy: Mapping[str, Any]) -> str:
    return f"{policy['name']}, revision {policy['revision']}"


def _of_gates(then: list[Row], now: list[Row]) -> list[Row]:
    before, after = ({result["gate"]: result for result in side} for side in (then, now))
    rows = []
    for name in sorted({*before, *after}):
        one, other = before.get(name) or {}, after.get(name) or {}
        moved = [key for key in sorted({*one, *other} - _AGE) if one.get(key) != other.get(key)]
        told = _result(one, moved), _result(other, moved)
        if told[0] != told[1]:
            rows.append({"part": f"gate {name}", "before": told[0], "after": told[1]})
        else:
            rows += _values(f"gate {name}", *({key: side.get(key) for key in moved} for side in (one, other)))
    return rows


def _result(result: Mapping[str, Any], moved: list[str]) -> str | None:
    """`pass: 212 tests`, and the numbers that are others."""
    if not result:
        return None
    told = f"{result['verdict']}: {result['text']}"
    more = [
        f"{key} {result.get(key)}"
        for key in moved
        if key not in ("verdict", "text", "details", "title") and not isinstance(result.get(key), dict | list)
    ]
    return f"{told} ({', '.join(more)})" if more else told


def _of_evidence(name: str, then: Any, now: Any) -> list[Row]:
    if name == EVALUATIONS:
        counts = [len(one or ()) for one in (then, now)]
        if counts[0] == counts[1]:
            return []
        return [{"part": "evaluations of the gates", "before": counts[0], "after": counts[1]}]
    return _values(name.replace("_", " "), then, now)


def _values(part: str, then: Any, now: Any) -> list[Row]:
    """Each value that differs, the outermost first; of many the first few, and how many more."""
    before, after = dict(_leaves(then)), dict(_leaves(now))
    moved = sorted(
        (path for path in {*before, *after} if before.get(path) != after.get(path)),
        key=lambda path: (len(path), tuple(map(str, path))),
    )
    rows = [
        {"part": ", ".join([part, *(str(step).replace("_", " ") for step in path)]),
         "before": before.get(path), "after": after.get(path)}
        for path in moved[:MOST_VALUES]
    ]  # fmt: skip
    if len(moved) > MOST_VALUES:
        rows.append(_unnamed(f"{part}, {len(moved) - MOST_VALUES} more values"))
    return rows


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for key in value:
            yield from _leaves(value[key], (*path, key))
    elif isinstance(value, list | tuple) and value:
        for number, one in enumerate(value, start=1):
            yield from _leaves(one, (*path, number))
    else:
        yield path, None if isinstance(value, Mapping | list | tuple) else value
