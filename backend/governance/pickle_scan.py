"""What unpickling a stream would import, without unpickling it.

A symbolic machine follows the stack and the memo as `pickle.Unpickler` does, so that a name put together from memoised
strings is seen as what it is; nothing is imported, called or hashed. The raw bytes of arrays that joblib writes into
the stream are skipped by the length that their wrapper names, as joblib does.
"""

from __future__ import annotations

import io
import math
import pickletools
from dataclasses import dataclass, field
from typing import Any, Final

MOST_OPCODES: Final = 20_000_000
MOST_ARRAYS: Final = 100_000
_JOBLIB: Final = ("joblib.numpy_pickle", "NumpyArrayWrapper")


class Unscannable(ValueError):
    """A file that cannot be judged without loading it; says why."""


@dataclass(frozen=True)
class Global:
    """A name that is imported. A part that is not a constant of the stream is None."""

    module: str | None
    name: str | None

    def __str__(self) -> str:
        return f"{self.module or '(computed)'} {self.name or '(computed)'}"


@dataclass(eq=False)
class _Made:
    """The result of a call; `state` what BUILD gave it."""

    of: Any
    arguments: Any
    state: Any = None


@dataclass(eq=False)
class _Items:
    """A list, dict or set: its items, or keys and values in turn."""

    items: list[Any] = field(default_factory=list)


class _Mark:
    """Where a slice of the stack begins."""


_MARK: Final = _Mark()
_UNKNOWN: Final = object()
_STRINGS: Final = frozenset(
    {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
_NUMBERS: Final = frozenset({"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"})


@dataclass
class Found:
    """What was seen up to the end, or up to where the stream stopped being a pickle (`broken`)."""

    globals: list[Global] = field(default_factory=list)
    calls: int = 0
    opcodes: int = 0
    broken: str = ""
    end: int = 0  # position behind the STOP


def scan_pickle(stream: io.BytesIO) -> Found:
    """Follow one pickle from the stream's position. Whatever comes before an error would have run, and is reported."""
    found = Found()
    try:
        _follow(stream, found)
    except Unscannable:
        raise
    except Exception as error:  # noqa: BLE001 - pickletools raises anything on what is no pickle
        found.broken = str(error) or type(error).__name__
    found.end = stream.tell()
    return found


def _follow(stream: io.BytesIO, found: Found) -> None:
    machine = _Machine(stream, found)
    for opcode, argument, _ in pickletools.genops(stream):
        found.opcodes += 1
        if found.opcodes > MOST_OPCODES:
            raise Unscannable(f"it has more than {MOST_OPCODES:,} steps")
        machine.step(opcode, argument)


class _Machine:
    def __init__(self, stream: io.BytesIO, found: Found) -> None:
        self.stream, self.found = stream, found
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.arrays = 0

    def step(self, opcode: Any, argument: Any) -> None:
        name: str = opcode.name
        handler = None if name == "POP" else getattr(self, f"_{name.lower()}", None)
        if name in _STRINGS or name in _NUMBERS:
            self.stack.append(argument)
        elif handler is not None:
            handler(argument)
        else:
            self._as_described(opcode)

    # Names

    def _import(self, module: Any, name: Any) -> Global:
        parts = [part if isinstance(part, str) else None for part in (module, name)]
        one = Global(*parts)
        self.found.globals.append(one)
        self.stack.append(one)
        return one

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._import(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._import(module, name)

    def _inst(self, argument: str) -> None:
        arguments = self._slice()
        module, _, name = argument.partition(" ")
        one = self._import(module, name)
        self.stack[-1] = self._made(one, arguments)

    def _obj(self, _: Any) -> None:
        parts = self._slice()
        self.stack.append(self._made(parts[0], parts[1:]))

    def _ext1(self, argument: int) -> None:
        self._import("copyreg extension", str(argument))

    _ext2 = _ext4 = _ext1

    # Calls

    def _made(self, of: Any, arguments: Any) -> _Made:
        self.found.calls += 1
        return _Made(of, arguments)

    def _reduce(self, _: Any) -> None:
        arguments, of = self._pop(), self._pop()
        self.stack.append(self._made(of, arguments))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        self._pop()
        self._reduce(None)

    def _build(self, _: Any) -> None:
        state, made = self._pop(), self.stack[-1]
        if not isinstance(made, _Made):
            return
        made.state = state
        if isinstance(made.of, Global) and (made.of.module, made.of.name) == _JOBLIB:
            self._skip_array(state)
        elif (  # protocols 0 and 1: copyreg._reconstructor(NumpyArrayWrapper, object, None)
            isinstance(made.arguments, list) and made.arguments and isinstance(made.arguments[0], Global)
            and (made.arguments[0].module, made.arguments[0].name) == _JOBLIB
        ):  # fmt: skip
            self._skip_array(state)

    # Memo and stack

    def _put(self, argument: Any) -> None:
        self.memo[int(argument)] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, argument: Any) -> None:
        self.stack.append(self.memo[int(argument)])

    _binget = _long_binget = _get

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _pop_mark(self, _: Any) -> None:
        self._slice()

    # Containers, as far as names and lengths can lie in them

    def _empty_tuple(self, _: Any) -> None:
        self.stack.append([])

    def _tuple(self, _: Any) -> None:
        self.stack.append(self._slice())

    def _tuple1(self, _: Any) -> None:
        self._last(1)

    def _tuple2(self, _: Any) -> None:
        self._last(2)

    def _tuple3(self, _: Any) -> None:
        self._last(3)

    def _last(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self.stack.append(values[::-1])

    def _empty_dict(self, _: Any) -> None:
        self.stack.append(_Items())

    _empty_list = _empty_set = _empty_dict

    def _dict(self, _: Any) -> None:
        self.stack.append(_Items(self._slice()))

    _list = _frozenset = _dict

    def _setitems(self, _: Any) -> None:
        self._add(self._slice())

    _appends = _additems = _setitems

    def _setitem(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._add([key, value])

    def _append(self, _: Any) -> None:
        self._add([self._pop()])

    def _add(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], _Items):
            self.stack[-1].items += values

    def _newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def _newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def _none(self, _: Any) -> None:
        self.stack.append(None)

    def _as_described(self, opcode: Any) -> None:
        """Any other opcode: what it takes and gives, by pickletools' own description."""
        if opcode.name == "POP":
            self.stack.pop()
            return
        taken = [kind.name for kind in opcode.stack_before]
        if "mark" in taken:
            self._slice()
            taken = taken[: taken.index("mark")]
        for _ in taken:
            self._pop()
        self.stack += [_UNKNOWN] * len(opcode.stack_after)

    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("the stack is empty")
        return value

    def _slice(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _MARK:
                values = self.stack[position + 1 :]
                del self.stack[position:]
                return values
        raise ValueError("there is no mark")

    # joblib

    def _skip_array(self, state: Any) -> None:
        """Pass over the array that follows its wrapper; see `joblib.numpy_pickle.NumpyArrayWrapper.read_array`."""
        self.arrays += 1
        if self.arrays > MOST_ARRAYS:
            raise Unscannable(f"it holds more than {MOST_ARRAYS:,} arrays")
        items = state.items if isinstance(state, _Items) else []
        known = {
            key: value for key, value in zip(items[::2], items[1::2], strict=False) if isinstance(key, str)
        }
        shape, kind = known.get("shape"), _kind_of(known.get("dtype"))
        if (
            not isinstance(shape, list)
            or not all(isinstance(n, int) and n >= 0 for n in shape)
            or kind is None
        ):
            raise Unscannable("a joblib array names no shape or type that can be read without loading it")
        if kind[0] == "O":  # a pickle of its own follows
            inner = scan_pickle(self.stream)
            self.found.globals += inner.globals
            self.found.calls += inner.calls
            if inner.broken:
                raise ValueError(f"the objects of an array: {inner.broken}")
            return
        if known.get("numpy_array_alignment_bytes") is not None:
            padding = self.stream.read(1)
            self.stream.seek(padding[0] if padding else 0, io.SEEK_CUR)
        length = kind[1] * math.prod(shape)
        if length > len(self.stream.getbuffer()) - self.stream.tell():
            raise ValueError("the array is cut short")
        self.stream.seek(length, io.SEEK_CUR)


def _kind_of(made: Any) -> tuple[str, int] | None:
    """Kind and bytes of an element, of `numpy.dtype('f8', False, True)`; None where it is made otherwise."""
    import numpy as np

    if not isinstance(made, _Made) or not isinstance(made.of, Global) or not isinstance(made.arguments, list):
        return None
    if (made.of.module, made.of.name) != ("numpy", "dtype") or not made.arguments:
        return None
    text = made.arguments[0]
    if not isinstance(text, str) or len(text) > 20:
        return None
    try:
        found = np.dtype(text)
    except TypeError:
        return None
    if found.kind not in "SUV":
        return found.kind, found.itemsize
    # Text and records get their length, and records their fields, from the state that follows.
    state = made.state if isinstance(made.state, list) else []
    if found.kind == "V" and _holds_objects(state):
        raise Unscannable("a joblib array of records holds objects")
    length = state[5] if len(state) > 5 else found.itemsize
    return (found.kind, length) if isinstance(length, int) and length >= 0 else None


def _holds_objects(state: list[Any]) -> bool:
    """Whether any field of a record is an object, or is made in a way that cannot be read."""
    waiting: list[Any] = list(state)
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, _Items):
            waiting += node.items
        elif isinstance(node, list):
            waiting += node
        elif isinstance(node, _Made):
            kind = _kind_of(node)
            if kind is None or kind[0] == "O":
                return True
    return False
