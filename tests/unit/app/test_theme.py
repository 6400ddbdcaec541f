"""The visual language is readable: contrast is computed, and no state is told by colour alone."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from app.theme import DARK, GROUPS, LIGHT, MARK, STATES, Scheme, contrast, stylesheet

SCHEMES = {"light": LIGHT, "dark": DARK}
CONFIG = Path(__file__).parents[3] / ".streamlit" / "config.toml"


def test_contrast_equals_the_published_examples() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_text_reaches_aa_on_every_ground(scheme: Scheme) -> None:
    pairs = {
        f"{name} on {ground}": contrast(getattr(scheme, name), getattr(scheme, ground))
        for name in ("text", "muted", "accent")
        for ground in ("background", "surface")
    }
    pairs["button"] = contrast("#ffffff", scheme.action)
    for level in STATES:
        pairs[f"{level} on its tint"] = contrast(scheme.states[level], scheme.tints[level])
        pairs[f"{level} on background"] = contrast(scheme.states[level], scheme.background)
        pairs[f"text on {level} tint"] = contrast(scheme.text, scheme.tints[level])
    assert {pair: round(ratio, 2) for pair, ratio in pairs.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_marks_and_control_borders_reach_three_to_one(scheme: Scheme) -> None:
    marks = {**MARK, **{one: one for one in GROUPS}, "control": scheme.control, "action": scheme.action}
    ratios = {name: round(contrast(colour, scheme.background), 2) for name, colour in marks.items()}
    assert {name: ratio for name, ratio in ratios.items() if ratio < 3} == {}


def test_each_state_has_its_own_word_shape_and_marker() -> None:
    for attribute in ("word", "shape", "symbol"):
        values = [getattr(state, attribute) for state in STATES.values()]
        assert len(set(values)) == len(STATES), attribute
    assert all(set(scheme.states) == set(scheme.tints) == set(STATES) for scheme in SCHEMES.values())


def test_streamlit_is_configured_with_the_same_colours() -> None:
    theme = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"]
    for name, scheme in SCHEMES.items():
        section = theme[name]
        assert section["primaryColor"] == scheme.action
        assert section["backgroundColor"] == scheme.background
        assert section["secondaryBackgroundColor"] == scheme.surface
        assert section["textColor"] == scheme.text
        assert section["linkColor"] == scheme.accent


@pytest.mark.parametrize("name", ["console", "plain"])
def test_style_sheets_use_only_variables_that_exist_and_load_nothing(name: str) -> None:
    import re

    sheet = stylesheet(name)
    used, defined = set(re.findall(r"var\((--w-[\w-]+)\)", sheet)), set(re.findall(r"(--w-[\w-]+):", sheet))
    assert used <= defined
    assert not re.search(r"url\(|@import|http", sheet)
