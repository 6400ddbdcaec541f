"""The visual language: one accent, the states, and the colours of both schemes in one place.

Red: act now. Amber: today, or inconclusive. Blue: a candidate and marks of change. Dark grey: the champion. Grey hatch:
no data. Grey without hatch: what is done, over or decided. Green: only a pass on fresh data. Links and buttons have the
accent, which says nothing about a state.

A state is never told by colour alone: it has a word and a shape. Style sheets, charts and badges take their
colours from here; `tests/unit/app/test_theme.py` computes the WCAG contrast of every pair that is used, and how far
apart states stay for people with each kind of colour blindness.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal[
    "ok", "attention", "inconclusive", "page", "unknown", "settled", "candidate", "champion", "injected"
]

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
        State("ok", "ok", "●", "circle", "checked on fresh data, and within its limits"),
        State("attention", "ticket", "▲", "triangle-up", "a person should look today"),
        State(
            "inconclusive",
            "inconclusive",
            "△",
            "triangle-up-open",
            "checked, and could not be told; never a pass",
        ),
        State("page", "page", "■", "square", "a person must act now"),
        State("unknown", "no data", "○", "circle-open", "could not be checked; never counted as fine"),
        State(
            "settled", "settled", "◇", "diamond-open", "done, over or decided; says nothing about fresh data"
        ),
        State(
            "candidate", "candidate", "▷", "triangle-right-open", "asks to serve, or takes over step by step"
        ),
        State("champion", "champion", "▶", "triangle-right", "answers requests now"),
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
        "ok": "#12794a",
        "attention": "#8d6508",
        "inconclusive": "#8d6508",
        "page": "#980f0f",
        "unknown": "#4b5460",
        "settled": "#4b5460",
        "candidate": "#0b57c8",
        "champion": "#262a31",
        "injected": "#8a1f9e",
    },
    tints={
        "ok": "#e8f4ec",
        "attention": "#fdf1dc",
        "inconclusive": "#fdf1dc",
        "page": "#fdebe9",
        "unknown": "#eef0f3",
        "settled": "#eef0f3",
        "candidate": "#e8f1fc",
        "champion": "#e3e6ea",
        "injected": "#f7ebfa",
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
        "ok": "#8ff2b0",
        "attention": "#fbc443",
        "inconclusive": "#fbc443",
        "page": "#f9685d",
        "unknown": "#97a1ad",
        "settled": "#97a1ad",
        "candidate": "#8fc0f8",
        "champion": "#dfe3e8",
        "injected": "#d57df7",
    },
    tints={
        "ok": "#13291c",
        "attention": "#2e2411",
        "inconclusive": "#2e2411",
        "page": "#361a18",
        "unknown": "#20262e",
        "settled": "#20262e",
        "candidate": "#132338",
        "champion": "#2a313a",
        "injected": "#2e1a36",
    },
)

CHAMPION, CANDIDATE, NEUTRAL = "#6b717c", "#1a5ae6", "#8b929d"

# Marks of charts are drawn once for both schemes: mid-tones with at least 3:1 on either background. What serves, and
# what was measured of it, is dark grey; blue is left to what changes it.
MARK = {
    "champion": CHAMPION,
    "realised": CHAMPION,
    "current": CHAMPION,
    "candidate": CANDIDATE,
    "change": CANDIDATE,
    "estimated": "#1fa0b8",
    "reference": NEUTRAL,
    "unknown": NEUTRAL,
    "settled": NEUTRAL,
    "ok": "#25712b",
    "attention": "#bd8b08",
    "inconclusive": "#bd8b08",
    "page": "#e0544c",
    "injected": "#b04ac0",
}

GROUPS = ("#3d9d87", "#a770cc", "#9e4d47", "#889a41", "#7443cc", "#51718b")
"""Lines of groups beside one another; none is the colour of a state."""

CHOSEN = "#2f7fcb"
"""The frame around what is looked at: the accent as a mid-tone."""

RAISES, LOWERS = "#9e4d47", "#51718b"
"""What pushes a prediction up and what pushes it down: neither is good or bad, so neither has a state's colour."""

NO_DATA = {"shape": "/", "fgcolor": "rgba(139,146,157,0.55)", "size": 7, "solidity": 0.15}
"""The pattern of a plotly bar where there is no data: grey hatch on a clear ground, never a full colour."""


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
