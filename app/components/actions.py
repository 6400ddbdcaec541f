"""Forms that act on one object: they name it by id and carry the digest that the person saw, never a row
position.

The button's identity holds the id and the digest it was drawn with, and its callback is bound to them. A
click on a form that has since been redrawn for other content therefore arrives with the old digest, and the
service answers "changed since you looked"; a click on a form that is gone does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import streamlit as st

from app.plain_text import plain

_SLOT = "_submission"
_KEPT = "_kept_form"
_FRESH_S = 10.0  # a click whose form was not drawn in the run that followed is dropped, not kept for later


@dataclass(frozen=True)
class Field:
    """One input. `required` texts must not be blank and required boxes must be ticked."""

    name: str
    label: str
    kind: Literal["text", "password", "area", "select", "checkbox", "number"] = "text"
    required: bool = False
    options: Sequence[str] = ()
    value: Any = None
    help: str | None = None
    max_chars: int | None = 2000


@dataclass(frozen=True)
class Submission:
    """What was submitted: the object's id, the digest of what the person saw, and the fields by name."""

    object_id: str
    digest: str
    values: dict[str, Any]
    form: str = ""
    secret: frozenset[str] = frozenset()  # names of fields that are kept nowhere

    def to_keep(self) -> dict[str, Any]:
        """What may wait in the database while the person signs in again."""
        kinds = (str, bool, int, float)
        return {k: v for k, v in self.values.items() if k not in self.secret and isinstance(v, kinds)}


@dataclass(frozen=True)
class _Click:
    form: str
    submission: Submission
    at: float


def action_form(
    key: str,
    *,
    label: str,
    object_id: str,
    digest: str,
    fields: Sequence[Field] = (),
    danger: bool = False,
    disabled_because: str | None = None,
) -> Submission | None:
    """Draw the form; the submission in the run that follows the click, else None.

    `key` names the action ("approve"), `label` the button and says the object ("Approve CHG-118"). With
    `disabled_because` the button is off and the reason is written beside it. Missing required fields are
    asked for and nothing is returned.
    """
    form = f"{key}:{object_id}"
    secret = frozenset(field.name for field in fields if field.kind == "password")
    kept = _take_kept(form)
    with st.form(form, border=False):
        for field in fields:
            _draw(replace(field, value=kept.get(field.name, field.value)), f"{form}:{field.name}")
        st.form_submit_button(
            plain(label),
            key=f"{form}:{digest}",
            type="secondary" if danger else "primary",
            disabled=disabled_because is not None,
            on_click=_remember,
            args=(form, object_id, digest, tuple(field.name for field in fields), secret),
        )
        if disabled_because:
            st.caption(plain(disabled_because))
    submission = _take(form, clock=time.monotonic)
    if submission is None or disabled_because is not None:
        return None
    missing = [
        field.label for field in fields if field.required and _is_blank(submission.values.get(field.name))
    ]
    if missing:
        st.error(plain("Nothing was sent. Still needed: " + ", ".join(missing)))
        return None
    return submission


def came_too_late(key: str, *, object_id: str) -> bool:
    """Whether a click has come for a form that is no longer offered. It is used up."""
    return _take(f"{key}:{object_id}", clock=time.monotonic) is not None


def _draw(field: Field, key: str) -> None:
    label = field.label if field.required else f"{field.label} (optional)"
    if field.kind == "area":
        st.text_area(
            plain(label),
            field.value or "",
            key=key,
            help=plain(field.help),
            max_chars=field.max_chars,
            height=96,
        )
    elif field.kind == "select":
        index = list(field.options).index(field.value) if field.value in field.options else None
        st.selectbox(
            plain(label),
            list(field.options),
            index=index,
            key=key,
            help=plain(field.help),
            placeholder="choose",
        )
    elif field.kind == "checkbox":
        st.checkbox(plain(field.label), bool(field.value), key=key, help=plain(field.help))
    elif field.kind == "number":
        st.number_input(plain(label), value=field.value, key=key, help=plain(field.help))
    else:
        shown = "password" if field.kind == "password" else "default"
        st.text_input(
            plain(label),
            field.value or "",
            key=key,
            help=plain(field.help),
            max_chars=field.max_chars,
            type=shown,
        )


def _remember(form: str, object_id: str, digest: str, names: tuple[str, ...], secret: frozenset[str]) -> None:
    values = {name: st.session_state.get(f"{form}:{name}") for name in names}
    submission = Submission(object_id, digest, values, form, secret)
    st.session_state[_SLOT] = _Click(form, submission, time.monotonic())


def _take(form: str, *, clock: Callable[[], float]) -> Submission | None:
    click = st.session_state.get(_SLOT)
    if click is None or click.form != form:
        return None
    del st.session_state[_SLOT]
    return click.submission if clock() - click.at <= _FRESH_S else None


def offer_kept(form: str, values: dict[str, Any]) -> None:
    """Have the form of this name drawn with these values, for as long as the page is open."""
    st.session_state[_KEPT] = (form, values)


def _take_kept(form: str) -> dict[str, Any]:
    name, values = st.session_state.get(_KEPT, ("", {}))
    return dict(values) if name == form else {}


def _is_blank(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, str) and not value.strip())
