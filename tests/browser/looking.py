"""What a page in a browser is asked: does it stand still, what does axe say, what does not fit, where does Tab lead."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import axe_playwright_python
from playwright.sync_api import Page

from tests.browser.people import PATIENCE_MS

GRAVE: Final = ("serious", "critical")
OURS: Final = ("heading-order",)
"""What axe calls moderate, and we do not: who listens to a page goes from heading to heading."""
ABOUT_COLOURS: Final = ("color-contrast", "link-in-text-block")
OF_A_PHONE: Final = (
    "target-size", "scrollable-region-focusable", "aria-hidden-focus", "button-name", "link-name", "label",
)  # fmt: skip
"""What another width changes: what is shown and how large, not in which colours."""
AGAIN: Final = 4

STANDS_STILL: Final = """() => {
  const app = document.querySelector('[data-testid=stApp]');
  return document.querySelector('h1, .w-empty') && (!app || (app.dataset.testScriptState === 'notRunning'
    && !document.querySelector('[data-testid=stSkeleton], [data-stale=true]')
    && [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(one => one.querySelector('.main-svg'))));
}"""
STILL_LOOK: Final = "*, *::before, *::after { transition: none !important; animation: none !important; }"

ASK_AXE: Final = """async rules => {
  const found = await axe.run(document, {
    resultTypes: ['violations'], ...(rules.length ? {runOnly: {type: 'rule', values: rules}} : {}),
  });
  return found.violations.map(one => ({
    rule: one.id, impact: one.impact,
    where: one.nodes.map(node => `${node.html.slice(0, 200)}: ${node.failureSummary}`),
  }));
}"""

# What is beside the window counts only where nothing around it scrolls: a wide table has a scroll bar of its own.
DOES_NOT_FIT: Final = """() => {
  const found = [], main = document.querySelector('[data-testid=stMain]') ?? document.body;
  for (const one of [document.documentElement, main])
    if (one.scrollWidth > one.clientWidth) found.push(`${one.nodeName} is ${one.scrollWidth} wide`);
  const scrolls = one => {
    for (let at = one.parentElement; at && at !== main; at = at.parentElement)
      if (getComputedStyle(at).overflowX !== 'visible') return true;
    return false;
  };
  for (const one of main.querySelectorAll('*')) {
    const box = one.getBoundingClientRect();
    const beside = box.width > 1 && box.height > 1 && (box.right > innerWidth + 1 || box.left < -1);
    if (beside && !one.closest('svg') && !scrolls(one)) found.push(`beside the window: ${one.outerHTML.slice(0, 120)}`);
  }
  const head = document.querySelector('h1'), bar = document.querySelector('[data-testid=stHeader]');
  if (head) {
    const box = head.getBoundingClientRect(), seen = document.elementFromPoint(box.left + 2, box.top + box.height / 2);
    const cut = head.scrollWidth > head.clientWidth + 1 || box.left < 0 || box.right > innerWidth;
    if (cut) found.push('headline is cut');
    if (bar && box.top + main.scrollTop < bar.getBoundingClientRect().bottom) found.push('headline is below the bar');
    if (seen && box.bottom < innerHeight && !head.contains(seen)) found.push('headline is covered');
  }
  return found;
}"""

# How it looks with the keyboard's place in it and without, up to the frame that a component draws around its field.
FOCUSED: Final = """async () => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const drawn = () => new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)));
  const look = () => {
    const found = [];
    for (let at = one, up = 0; at && up < 4; at = at.parentElement, up++) {
      const is = getComputedStyle(at);
      found.push(is.outlineStyle === 'none' ? '' : is.outline, is.boxShadow, is.borderColor, is.backgroundColor);
    }
    return found.join();
  };
  await drawn();
  const box = one.getBoundingClientRect(), lit = look();
  one.blur();
  await drawn();
  const plain = look();
  one.focus({focusVisible: true});
  await drawn();
  one.dataset.stop ??= (window.stops = (window.stops ?? 0) + 1);
  return {
    stop: +one.dataset.stop, lit: lit !== plain, name: one.getAttribute('aria-label') || one.innerText || one.id,
    inside: box.right > 0 && box.left < innerWidth,
  };
}"""
# The parts of a widget that its own keys reach: arrows move in a number, a list, a set of tabs or choices.
UNREACHED: Final = """within => {
  const shown = one => one.checkVisibility({visibilityProperty: true, opacityProperty: true})
    && one.getBoundingClientRect().width > 1;
  const byArrows = one => one.tabIndex < 0 ? one.closest('[role=tablist], [role=radiogroup], '
    + '[data-testid=stNumberInput], [data-testid=stSelectbox], [data-testid=stMultiSelect], [data-testid=stDateInput]')
    : one.closest('[role=radiogroup]')?.querySelector('[data-stop]');
  return [...document.querySelectorAll(within)].flatMap(part => [...part.querySelectorAll(
      'a[href], button, input, select, textarea, summary, [tabindex], [role=button], [role=tab], [role=radio]')])
    .filter(one => shown(one) && !one.disabled && !one.dataset.stop && !byArrows(one))
    .map(one => one.outerHTML.slice(0, 160));
}"""


@cache
def _axe() -> str:
    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


def settle(page: Page) -> None:
    page.wait_for_function(STANDS_STILL)


def show(page: Page, address: str) -> None:
    """Open it in the light, and wait until it stands still."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(address, timeout=2 * PATIENCE_MS)
    settle(page)
    page.add_style_tag(content=STILL_LOOK)


def grave(page: Page, *rules: str) -> list[dict[str, Any]]:
    """What axe finds serious or critical, or against a rule of `OURS`, by all of its rules or these, on a page that
    stood still meanwhile."""
    page.evaluate(_axe())
    for _ in range(AGAIN):
        settle(page)
        found = [
            one
            for one in page.evaluate(ASK_AXE, list(rules))
            if one["impact"] in GRAVE or one["rule"] in OURS
        ]
        if not found or page.evaluate(STANDS_STILL):
            break
    return found


def misfits(page: Page, width: int) -> list[str]:
    """What is cut, covered or beside the window at this width."""
    page.set_viewport_size({"width": width, "height": 900})
    for _ in range(AGAIN):
        page.wait_for_timeout(150)  # a chart is drawn anew for its new width
        settle(page)
        found: list[str] = page.evaluate(DOES_NOT_FIT)
        if not found:
            break
    return found


@dataclass(frozen=True)
class Stop:
    """Where Tab came to. lit: it looks otherwise than without the keyboard; inside: it lies in the window's width."""

    stop: int
    lit: bool
    name: str
    inside: bool


def stops(page: Page, most: int = 250) -> list[Stop]:
    """Every place that Tab comes to, in its order, until it leaves the page or comes round."""
    found: list[Stop] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        told = page.evaluate(FOCUSED)
        if told is None and not found:
            continue
        if told is None or told["stop"] in {one.stop for one in found}:
            return found
        found.append(Stop(**told))
    raise AssertionError(f"more than {most} places, the last {found[-3:]}")


def unreached(page: Page, within: str) -> list[str]:
    """What one can press or fill in there and Tab has not come to."""
    found: list[str] = page.evaluate(UNREACHED, within)
    return found
