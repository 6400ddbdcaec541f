"""The visual language is readable: contrast is computed, and no state is told by colour alone."""

from __future__ import annotations

import colorsys
import re
import tomllib
from pathlib import Path

import pytest

from app.components.assurance_parts import CONDITIONS
from app.components.card_parts import STATES as CARD_STATES
from app.components.change_parts import VERDICT_LEVELS
from app.components.incident_parts import VERDICT_LEVELS as SUSPECT_LEVELS
from app.components.notice_parts import _STATES as NOTICE_STATES
from app.components.pack_parts import _STATES as PACK_STATES
from app.components.progress import _LEVELS as JOB_LEVELS
from app.components.registry_parts import RULES
from app.components.request_parts import HEALTH
from app.components.retraining_parts import LEVELS as RUN_LEVELS
from app.components.search_parts import LEVELS as TRIAL_LEVELS
from app.components.serious_parts import STATES as CLOCK_LEVELS
from app.theme import DARK, GROUPS, LIGHT, MARK, NO_DATA, STATES, Scheme, contrast, stylesheet
from app.words import CHANGE_LEVELS
from tests.unit.app.colour_vision import SIGHTS, distance, lab, linear, nearest

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
    sheet = stylesheet(name)
    used, defined = set(re.findall(r"var\((--w-[\w-]+)\)", sheet)), set(re.findall(r"(--w-[\w-]+):", sheet))
    assert used <= defined
    assert not re.search(r"url\(|@import|http", sheet)


APART_ON_CHARTS, APART_IN_TEXT = 15, 12
"""Distances that marks and badges keep for every sight; each also has a shape and a word of its own."""
SAID_BY_COLOUR = ("page", "attention", "candidate", "champion", "ok", "injected", "estimated")
"""Marks that colour helps to tell apart. No data is hatched, what is only compared with is dashed."""


def test_distances_equal_the_published_ones() -> None:
    assert lab(linear("#ff0000")) == pytest.approx((53.24, 80.09, 67.20), abs=0.02)
    assert distance("#000000", "#ffffff") == pytest.approx(100, abs=0.01)
    for sight, matrix in SIGHTS.items():
        assert [sum(row) for row in matrix] == pytest.approx([1, 1, 1], abs=1e-5), (
            f"{sight}: white stays white"
        )
    assert distance("#ff0000", "#808000", "deuteranopia") < distance("#ff0000", "#808000") / 2


def test_marks_stay_apart_for_every_sight() -> None:
    near = nearest({name: MARK[name] for name in SAID_BY_COLOUR})
    assert near[0] >= APART_ON_CHARTS, near


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_states_stay_apart_for_every_sight(scheme: Scheme) -> None:
    alike = ("inconclusive", "settled")  # the amber of attention, the grey of unknown without its hatch
    near = nearest({name: colour for name, colour in scheme.states.items() if name not in alike})
    assert near[0] >= APART_IN_TEXT, near


def test_groups_stay_apart_and_look_like_no_state() -> None:
    assert nearest({one: one for one in GROUPS})[0] >= APART_ON_CHARTS
    states = {MARK[name] for name in ("page", "attention", "ok", "candidate", "injected")}
    assert min(distance(one, state) for one in GROUPS for state in states) >= APART_ON_CHARTS


def test_nothing_that_is_decided_or_over_is_green() -> None:
    assert CHANGE_LEVELS["executed"] == VERDICT_LEVELS["approve"] == SUSPECT_LEVELS["ruled_out"] == "settled"
    assert "ok" not in {*CHANGE_LEVELS.values(), *VERDICT_LEVELS.values(), *SUSPECT_LEVELS.values()}
    over = {
        "a card": CARD_STATES["approved"][1], "a pack": PACK_STATES["made"], "a notice": NOTICE_STATES["sent"][1],
        "a run": RUN_LEVELS["succeeded"], "a job": JOB_LEVELS["succeeded"], "a trial": TRIAL_LEVELS["complete"],
        "a clock": CLOCK_LEVELS["met"], "a condition": CONDITIONS["met"], "a rule": RULES["enforce"][1],
        "what served once": HEALTH[True][1],
    }  # fmt: skip
    assert {name for name, level in over.items() if level != "settled"} == set()


def test_colours_mean_what_the_conventions_say() -> None:
    assert MARK["change"] == MARK["candidate"] and MARK["realised"] == MARK["champion"]
    assert MARK["inconclusive"] == MARK["attention"]
    assert MARK["settled"] == MARK["unknown"], "what is over is neither good nor bad"
    assert STATES["inconclusive"].shape != STATES["attention"].shape
    assert MARK["ok"] not in {colour for name, colour in MARK.items() if name != "ok"}
    for name, hue in {"page": 0, "attention": 40, "ok": 130, "candidate": 220}.items():
        found = colorsys.rgb_to_hls(*(int(MARK[name][i : i + 2], 16) / 255 for i in (1, 3, 5)))[0] * 360
        assert min(abs(found - hue), 360 - abs(found - hue)) < 15, name
    assert colorsys.rgb_to_hls(*(int(MARK["champion"][i : i + 2], 16) / 255 for i in (1, 3, 5)))[2] < 0.12
    assert NO_DATA["shape"] == "/"


@pytest.mark.parametrize("folder", ["app/charts", "app/components", "app/data", "pages"])
def test_no_colour_is_written_anywhere_else(folder: str) -> None:
    root = Path(__file__).parents[3] / folder
    pattern = re.compile(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b(?=[\"'; ])")
    found = [
        f"{file.name}: {one}"
        for file in sorted(root.rglob("*.py"))
        for one in pattern.findall(file.read_text())
    ]
    assert found == []
