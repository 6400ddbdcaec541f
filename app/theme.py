"""The visual language: one accent, five states, and the colours of both schemes in one place.

A state is never told by colour alone: it has a word and a shape. Style sheets, charts and badges take their
colours from here; `tests/unit/app/test_theme.py` computes the WCAG contrast of every pair that is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["ok", "attention", "page", "unknown", "injected"]

STATIC = Path(__file__).parent / "static"
FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", Roboto, Arial, sans-serif'
MONO = 'ui-monospace, "Cascadia Mono", "Liberation Mono", Menlo, Consolas, monospace'


@dataclass(frozen=True)
class State:
    """`word` is the default wording; `shape` a text glyph; `symbol` the same shape as a plotly marker."""

    level: Level
    word: str
    shape: str
    symbol: str
    meaning: str


STATES: dict[str, State] = {
    state.level: state
    for state in (
        State("ok", "ok", "●", "circle", "checked, and within its limits"),
        State("attention", "ticket", "▲", "triangle-up", "a person should look within working hours"),
        State("page", "page", "■", "square", "a person must look now"),
        State("unknown", "no data", "○", "circle-open", "could not be checked; never counted as fine"),
        State("injected", "injected", "◆", "diamond", "a fault that somebody switched on for the demo"),
    )
}


@dataclass(frozen=True)
class Scheme:
    """Colours of one scheme as #rrggbb. `text`, `muted` and `accent` are read on `background` and `surface`;
    `action` is the ground of a button and carries white text (Streamlit always writes it white).
    """

    background: str
    surface: str
    text: str
    muted: str
    border: str
    accent: str
    action: str
    control: str
    states: dict[str, str]
    tints: dict[str, str]


LIGHT = Scheme(
    background="#ffffff",
    surface="#f5f6f8",
    text="#16191d",
    muted="#565f6b",
    border="#d8dce2",
    accent="#0b5cad",
    action="#0b5cad",
    control="#7a8491",
    states={
        "ok": "#1a6b39",
        "attention": "#865000",
        "page": "#b3201e",
        "unknown": "#565f6b",
        "injected": "#6a3cb0",
    },
    tints={
        "ok": "#e8f4ec",
        "attention": "#fdf1dc",
        "page": "#fdebe9",
        "unknown": "#eef0f3",
        "injected": "#f2ecfb",
    },
)
DARK = Scheme(
    background="#0f1216",
    surface="#181c22",
    text="#e6e9ed",
    muted="#a0a9b4",
    border="#2d343d",
    accent="#7fb6f5",
    action="#2b6fb8",
    control="#727c89",
    states={
        "ok": "#74d193",
        "attention": "#f0b55c",
        "page": "#ff8f86",
        "unknown": "#a0a9b4",
        "injected": "#c4a7f8",
    },
    tints={
        "ok": "#13291c",
        "attention": "#2e2411",
        "page": "#361a18",
        "unknown": "#20262e",
        "injected": "#271e39",
    },
)

# Marks of charts are drawn once for both schemes: mid-tones with at least 3:1 on either background.
MARK = {
    "realised": "#2f7fcb",
    "estimated": "#1d918a",
    "reference": "#7d8794",
    "current": "#2f7fcb",
    "ok": "#2f9457",
    "attention": "#c07a17",
    "page": "#d9483f",
    "unknown": "#7d8794",
    "injected": "#9068d8",
    "change": "#7d8794",
}

GROUPS = ("#2f7fcb", "#1d918a", "#9068d8", "#c4568e", "#9a7440", "#7d8794")
"""Lines of groups beside one another; none is the colour of a state."""


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, 0 to 1 (WCAG 2.2, "relative luminance")."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """WCAG 2.2 contrast ratio of two opaque colours, 1 to 21."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def faded(colour: str, alpha: float) -> str:
    """#rrggbb with an opacity, as CSS and plotly read it."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:.3g})"


def css_variables() -> str:
    """`--w-*` custom properties; `light-dark()` picks by the `color-scheme` of the element that uses them.

    Streamlit sets `color-scheme` on its root from the chosen theme; our own pages set `light dark`, which
    follows the browser.
    """
    pairs = {name: (getattr(LIGHT, name), getattr(DARK, name)) for name in _PLAIN}
    for level in STATES:
        pairs[f"{level}-text"] = (LIGHT.states[level], DARK.states[level])
        pairs[f"{level}-tint"] = (LIGHT.tints[level], DARK.tints[level])
    lines = [f"--w-{name.replace('_', '-')}: light-dark({a}, {b});" for name, (a, b) in pairs.items()]
    return ":root {\n  " + "\n  ".join([*lines, f"--w-font: {FONT};", f"--w-mono: {MONO};"]) + "\n}\n"


_PLAIN = ("background", "surface", "text", "muted", "border", "accent", "action", "control")


def stylesheet(*names: str) -> str:
    """The variables, then the named files of `app/static/` ("console", "plain"), as one style sheet."""
    parts = [(STATIC / f"{name}.css").read_text(encoding="utf-8") for name in names]
    return css_variables() + "".join(parts)
