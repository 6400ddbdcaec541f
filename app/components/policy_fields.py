"""Inputs that show what stands at a place of a draft and write there what is entered.

The text is the draft. An input is filled from it each time it is drawn, and a change of the input is written into it
before the page is drawn again, also where it cannot stand: then the input says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from pydantic import BaseModel

from app.plain_text import plain
from backend.errors import BadInput
from backend.governance.policy_edits import (
    Document,
    Fault,
    Place,
    document_of,
    faults_in,
    value_at,
    with_values,
)
from backend.settings import settings

Take = Callable[[Any], Any]
"""From what an input holds to what the draft says; None: the default"""


@dataclass
class Sheet:
    """A draft as the form sees it. `slot`: where the session keeps its text."""

    slot: str
    document: Document
    untold: list[Fault] = field(default_factory=list)

    @classmethod
    def of(cls, slot: str) -> Sheet:
        """`BadInput` where the text has nothing that a form could show."""
        written = st.session_state[slot]
        if written != st.session_state.get(_by_form(slot)):
            # Typed, or rules were moved. A browser may still send what the inputs held before: those are others now.
            st.session_state[_generation(slot)] = st.session_state.get(_generation(slot), 0) + 1
            st.session_state[_by_form(slot)] = written
        document = document_of(written)
        return cls(slot, document, faults_in(document))

    def at(self, place: Place, default: Any = None) -> Any:
        """What the draft says there; `default` also where it says something of another kind."""
        found = value_at(self.document, place, default)
        return found if default is None or isinstance(found, type(default)) else default

    def tell(self, place: Place) -> None:
        """What is wrong at this place and below it, once."""
        for fault in [one for one in self.untold if one.place[: len(place)] == place]:
            self.untold.remove(fault)
            st.error(plain(fault.reason))

    def tell_rest(self) -> None:
        """What no input told, such as the faults of other rules, with the place where it is."""
        for fault in self.untold:
            first, number, *below = [*fault.place, None, None][: max(len(fault.place), 2)]
            name = value_at(self.document, (str(first), number, "name")) if isinstance(number, int) else None
            where = f"{str(first).removesuffix('s')} {name!r}" if name else ".".join(map(str, fault.place))
            st.error(plain(": ".join(part for part in (where, *map(str, below), fault.reason) if part)))

    def bound(self, place: Place, shown: Any, take: Take, part: str = "") -> dict[str, Any]:
        """The key and the callback of an input of this place, filled with `shown`."""
        generation = str(st.session_state[_generation(self.slot)])
        key = ":".join((self.slot, "form", generation, *map(str, place), *([part] if part else [])))
        st.session_state[key] = shown
        return {"key": key, "on_change": _write, "args": (self.slot, place, key, take)}


def _by_form(slot: str) -> str:
    """Where the session keeps the text that the inputs were drawn from, with what they changed since."""
    return f"{slot}:by-form"


def _generation(slot: str) -> str:
    return f"{slot}:generation"


def _write(slot: str, place: Place, key: str, take: Take) -> None:
    if st.session_state[slot] != st.session_state.get(_by_form(slot)):
        return  # somebody typed meanwhile, which holds
    edit(slot, lambda text: with_values(text, {place: take(st.session_state[key])}))
    st.session_state[_by_form(slot)] = st.session_state[slot]


def edit(slot: str, change: Callable[[str], str]) -> None:
    """For callbacks: the draft becomes what `change` makes of it; one that is no policy any more stays as it is."""
    with suppress(BadInput):
        st.session_state[slot] = change(st.session_state[slot])


def default_of(model: type[BaseModel], name: str) -> Any:
    """Of a field, as the text would say it: tuples are lists there."""
    found = model.model_fields[name].get_default(call_default_factory=True)
    return list(found) if isinstance(found, tuple) else found


def number(
    sheet: Sheet, place: Place, label: str, default: float | None, *, whole: bool = False, help: str | None = None,
    width: int = 190,
) -> None:  # fmt: skip
    """A number; what is no number is shown as none at all, and told."""
    given = value_at(sheet.document, place, default)
    fits = isinstance(given, int | float) and not isinstance(given, bool)
    shown = (int(given) if whole else float(given)) if fits else None
    with st.container(width=width, gap="xsmall"):
        st.number_input(
            plain(label), value=None, step=1 if whole else None, format="%d" if whole else "%.6g", help=plain(help),
            **sheet.bound(place, shown, lambda value: value),
        )  # fmt: skip
        sheet.tell(place)


def text(
    sheet: Sheet, place: Place, label: str, default: str = "", *, take: Take = str.strip,
    show: Callable[[Any], str] = str, help: str | None = None, width: int = 300,
) -> None:  # fmt: skip
    """A text. `take` says what the draft holds for it, `show` how that reads."""
    with st.container(width=width, gap="xsmall"):
        st.text_input(
            plain(label), help=plain(help), max_chars=500,
            **sheet.bound(place, show(value_at(sheet.document, place, default)), take),
        )  # fmt: skip
        sheet.tell(place)


def choice(
    sheet: Sheet, place: Place, label: str, options: Sequence[str], default: str, *,
    words: Mapping[str, str] | None = None, help: str | None = None, width: int = 220,
) -> None:  # fmt: skip
    """One of `options`; what the text says stays on offer where it is none of them."""
    shown = str(value_at(sheet.document, place, default))
    with st.container(width=width, gap="xsmall"):
        st.selectbox(
            plain(label), _with(options, [shown]), format_func=lambda one: (words or {}).get(one, spoken(one)),
            help=plain(help), **sheet.bound(place, shown, str),
        )  # fmt: skip
        sheet.tell(place)


def many(
    sheet: Sheet, place: Place, label: str, options: Sequence[str], default: Sequence[str] = (), *,
    placeholder: str = "none", new: bool = False, help: str | None = None, width: int = 420,
) -> None:  # fmt: skip
    """Some of `options`, in their order; with `new` also what nobody has named yet."""
    shown = [str(one) for one in sheet.at(place, list(default))]
    offered = _with(options, shown)

    def take(chosen: list[str]) -> list[str]:
        return sorted(chosen, key=lambda one: offered.index(one) if one in offered else len(offered))

    with st.container(width=width, gap="xsmall"):
        st.multiselect(
            plain(label), offered, format_func=str if new else spoken, accept_new_options=new, help=plain(help),
            placeholder=placeholder, **sheet.bound(place, shown, take),
        )  # fmt: skip
        sheet.tell(place)


def tick(
    sheet: Sheet, place: Place, label: str, default: bool = False, *, shown: bool | None = None,
    take: Take = bool, help: str | None = None,
) -> None:  # fmt: skip
    """Yes or no; `shown` and `take` where the draft says it otherwise than with true and false."""
    given = value_at(sheet.document, place, default) is True if shown is None else shown
    st.checkbox(plain(label), help=plain(help), **sheet.bound(place, given, take))
    sheet.tell(place)


def button(label: str, key: str, act: Any, given: tuple[Any, ...], *, off: bool = False) -> None:
    """A button whose callback edits the draft."""
    st.button(plain(label), key=key, on_click=act, args=given, disabled=off)


def environments(document: Mapping[str, Any]) -> list[str]:
    """Those that the draft names anywhere, and that of this installation."""
    scopes = [rule.get("for") for rule in document["rules"]] + document.get("freezes", [])
    named = [one.get("environments") for one in scopes if isinstance(one, dict)]
    return list(dict.fromkeys(
        [settings().environment, *(str(place) for places in named if isinstance(places, list) for place in places)]
    ))  # fmt: skip


def spoken(name: str) -> str:
    return plain(name.replace("_", " "))


def _with(options: Sequence[str], given: Sequence[str]) -> list[str]:
    return [*options, *(one for one in given if one not in options)]
